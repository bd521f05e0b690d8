"""An index to its folder, and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.model import StaticModel
from m2v_core.search import files, precision
from m2v_core.search.collection import Collection
from m2v_core.search.entries import Entries
from m2v_core.search.lexical import Lexical, needs_bm25s
from m2v_core.search.table import Table
from m2v_core.storage.digest import model_digest
from m2v_core.storage.tensor_pieces import Tensor


def save(
    folder: str | os.PathLike[str],
    rows: Collection,
    *,
    dtype: str,
    next_id: int,
    model: StaticModel | None,
    include_model: bool,
    adapts: bool,
    token_weights: NDArray[np.float32] | None,
) -> None:
    """Write the folder of an index; see `Index.save`."""
    left, n, dim = rows.left(), int(rows.is_there.sum()), 1 if rows.table is None else rows.table.dim
    table = rows.table or Table(dtype, dim)
    lengths = rows.entries.lengths()
    known = rows.has_vector if left is None else rows.has_vector[left]
    ends = np.cumsum(lengths if left is None else lengths[left])
    tensors = {
        name: Tensor(precision.STORED[dtype][name], (n, *width), table.pieces(name, left))
        for name, width in precision.widths(dtype, dim).items()
    }
    tensors[files.ZERO_ROWS] = Tensor.of(np.flatnonzero(~known))
    tensors[files.LINE_ENDS] = Tensor.of(ends)
    if token_weights is not None:
        tensors[files.TOKEN_WEIGHTS] = Tensor.of(token_weights)
    lexical = None
    if rows.lexical is not None:
        documents, scores = rows.lexical.documents(left), rows.lexical.scores(left)
        text = "".join(f"{word}\n" for word in rows.lexical.vocabulary).encode()
        lexical = {
            files.VOCABULARY: Tensor.of(np.frombuffer(text, np.uint8)),
            files.WORDS: Tensor.of(documents.values),
            files.OFFSETS: Tensor.of(documents.offsets),
            files.VALUES: Tensor.of(scores.values),
            files.DOCUMENTS: Tensor.of(scores.documents),
            files.STARTS: Tensor.of(scores.starts),
        }
    save_model: Callable[[Path], None] | None = None
    if checks.truth("include_model", include_model) and model is not None:
        save_model = partial(model.save_pretrained, compiled=not isinstance(model.stored.tokenizer, str))
    header = {
        "count": n,
        "dim": None if rows.table is None else dim,
        "dtype": dtype,
        "next_id": next_id,
        "lexical": lexical is not None,
        "adapt": adapts,
        "model_digest": None if model is None else model_digest(model.stored),
    }
    written = files.Writing(
        header=header, tensors=tensors, entries=rows.entries.lines(left), lexical=lexical, save_model=save_model
    )
    files.write(checks.path("folder", folder), written)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What `load` found.

    Attributes:
        model: The model, or `None`.
        rows: The rows.
        dtype: Numbers of the vectors.
        next_id: The next id that is a number.
        adapts: Whether tokens are weighted for the collection.
        token_weights: Their factors, or `None`.
    """

    model: StaticModel | None
    rows: Collection
    dtype: str
    next_id: int
    adapts: bool
    token_weights: NDArray[np.float32] | None


def load(
    folder: str | os.PathLike[str], model: StaticModel | str | os.PathLike[str] | None, *, memory_map: bool
) -> Loaded:
    """Read the folder of an index; see `Index.load`."""
    folder = checks.path("folder", folder)
    stored = files.read(folder, memory_map=memory_map)
    if stored.documents is not None:
        needs_bm25s()
    if model is None:
        model = stored.model_folder
    if isinstance(model, str | os.PathLike):
        model = StaticModel.from_pretrained(model, memory_map=memory_map)
    if model is not None:
        _check_model(model, stored, folder)
    lexical = None
    if stored.documents is not None:
        lexical = Lexical(stored.vocabulary, stored.documents, stored.scores)
    table = None if stored.dim is None else Table(stored.dtype, stored.dim, stored.arrays)
    return Loaded(
        model=model,
        rows=Collection(table, Entries(stored.lines), lexical, stored.zero_rows),
        dtype=stored.dtype,
        next_id=stored.next_id,
        adapts=stored.adapts,
        token_weights=stored.token_weights,
    )


def _check_model(model: StaticModel, stored: files.StoredIndex, folder: Path) -> None:
    """Raise unless the index was made with a model."""
    checks.expect(isinstance(model, StaticModel), "model", "a StaticModel, a folder or the name of a model", model)
    if stored.model_digest not in (None, model_digest(model.stored)):
        raise InvalidInputError(
            f"{folder} should be loaded with the model that it was made with; found another one (the digests differ). "
            f"Load it with that model, or make it again with this one."
        )
    if stored.dim not in (None, model.dim):
        raise ModelFormatError(f"{folder}: expected vectors of {model.dim} dimensions; found {stored.dim}.")
    weights = stored.token_weights
    if weights is not None and len(weights) != model.n_tokens:
        raise ModelFormatError(f"{folder}: expected weights of {model.n_tokens} tokens; found {len(weights)}.")
