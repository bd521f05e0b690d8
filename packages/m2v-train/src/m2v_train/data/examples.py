"""Files of training examples, read as the columns that an estimator's `fit` takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m2v_core.data.columns import as_text, place_of, read_columns, read_labelled
from m2v_core.errors import InvalidInputError

#: Columns by the names of `fit`'s parameters.
Examples = dict[str, list[Any]]


def read_classes(path: Path, *, text: str, label: str, separator: str | None = None) -> Examples:
    """Read texts `X` and labels `y`; see `m2v_core.data.columns.read_labelled`.

    Raises:
        InvalidInputError: As there; or a text has an empty label, or there is no text.
        MissingPackageError: A Parquet file needs pyarrow.
    """
    hint = "Name the columns by --text-column and --label-column."
    rows = list(read_labelled(path, text, label, separator=separator, hint=hint))
    for number, (one, found) in enumerate(rows, 1):
        if found == "":
            raise InvalidInputError(
                f"{path}: expected a label for each text; found an empty one for text {number}, {one!r:.60}. Leave the "
                f"text out, or if texts may have no label, name the separator of several: --label-separator."
            )
    return _not_empty(path, {"X": [one for one, _ in rows], "y": [found for _, found in rows]})


def read_vectors(path: Path, *, text: str, targets: Sequence[str]) -> Examples:
    """Read texts `X` and vectors `y`: from columns of numbers, or from one column of lists of numbers.

    Raises:
        InvalidInputError: As `m2v_core.data.columns.read_columns`; or a value is not a text, or not a finite number.
        MissingPackageError: A Parquet file needs pyarrow.
    """
    place, hint = place_of(path), "Name the columns by --text-column and --target-column."
    examples: Examples = {"X": [], "y": []}
    for number, (one, *found) in read_columns(path, [text, *targets], hint=hint):
        values = found[0] if len(found) == 1 and isinstance(found[0], list) else found
        examples["X"].append(as_text(one, place, number))
        examples["y"].append([_number(value, place, number) for value in values])
    return _not_empty(path, examples)


def read_pairs(path: Path, *, text_a: str, text_b: str, negatives: str | None = None) -> Examples:
    """Read texts `text_a`, `text_b` and, if their column is named, `negatives`: a text or a list of texts a pair.

    Raises:
        InvalidInputError: As `m2v_core.data.columns.read_columns`; or a value is not a text.
        MissingPackageError: A Parquet file needs pyarrow.
    """
    columns = {"text_a": text_a, "text_b": text_b} | ({} if negatives is None else {"negatives": negatives})
    place, hint = place_of(path), "Name the columns by --text-a-column, --text-b-column and --negative-column."
    examples: Examples = {name: [] for name in columns}
    for number, values in read_columns(path, list(columns.values()), hint=hint):
        for (name, column), value in zip(examples.items(), values, strict=True):
            is_list = name == "negatives" and isinstance(value, list)
            column.append([as_text(one, place, number) for one in value] if is_list else as_text(value, place, number))
    return _not_empty(path, examples)


def _number(value: object, place: str, number: int) -> float:
    try:
        found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InvalidInputError(f"{place} {number}: expected a finite number; found {value!r:.60}.")
    return found


def _not_empty(path: Path, examples: Examples) -> Examples:
    if not all(examples.values()):
        raise InvalidInputError(f"{path}: expected rows with texts to train on; found none.")
    return examples
