"""Weights of tokens: how often each occurs, counted or by Zipf's law, and smooth inverse frequency (SIF)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from numpy.typing import NDArray

from m2v_core import StaticModel
from m2v_core.errors import BadTextError, InvalidInputError
from m2v_core.storage.files import read_user_json, read_user_text
from m2v_core.tokenize.tokens import TextTokenizer

#: Counts by token or by id, in memory.
Counts = Mapping[str, float] | Sequence[float] | NDArray[Any]

#: Counts, or a file of them.
Frequencies = Counts | str | os.PathLike[str]

_FORMS = "a mapping of tokens to counts, a count for each id, or the path of a JSON or TSV file"


def token_counts(model: StaticModel, texts: Iterable[str], *, batch_size: int = 16_384) -> Int64[ndarray, " V"]:
    """Count how often each token of a model occurs in texts, for `frequencies=` of a distillation.

    All tokens of a text count, whatever the model's `max_length`; the unknown token does not.

    Args:
        model: A model with the vocabulary that will be distilled: an earlier one of the same teacher and words.
        texts: Any iterable of texts; only one batch of them is in memory.
        batch_size: Number of texts that are tokenised at once.

    Returns:
        [V] counts by token id.

    Raises:
        InvalidInputError: An element is not a text, or `texts` is one text.

    Example:
        >>> token_counts(tiny_model(), ["good day", "day after day"]).tolist()
        [0, 1, 3]
    """
    if isinstance(texts, str):
        raise InvalidInputError("Expected an iterable of texts; found one text (str). Pass a list of it.")
    tokenizer = TextTokenizer(model.stored.tokenizer_json)
    counts = np.zeros(tokenizer.n_tokens, np.int64)
    left = iter(texts)
    before = 0
    while batch := list(islice(left, batch_size)):
        try:
            counts += np.bincount(tokenizer(batch, None).values, minlength=len(counts))
        except BadTextError as error:
            raise error.moved(before) from None
        before += len(batch)
    return counts


def read_frequencies(source: Frequencies) -> dict[str, float] | tuple[float, ...]:
    """The counts in memory or in a file, checked.

    Args:
        source: Counts, or a path: a file named `.json` holds one object, any other file lines of `token<TAB>count`. The
            counts of a token on several lines are added.

    Raises:
        InvalidInputError: There is no such file, it does not hold counts, or a count is negative or not finite.

    Example:
        >>> read_frequencies({"day": 3, "good": 1})
        {'day': 3.0, 'good': 1.0}
        >>> read_frequencies([2, -1])
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: frequencies should be finite and at least 0; found -1 for id 1.
    """
    return checked_counts(_read_file(Path(source)) if isinstance(source, str | os.PathLike) else source)


def checked_counts(counts: Counts) -> dict[str, float] | tuple[float, ...]:
    """Counts in memory, checked.

    Raises:
        InvalidInputError: They are neither a mapping nor a sequence, or a count is negative or not finite.
    """
    if isinstance(counts, Mapping):
        return {_checked_token(token): _checked(count, f"{token!r}") for token, count in counts.items()}
    if isinstance(counts, bytes) or not isinstance(counts, Iterable):
        raise InvalidInputError(f"frequencies should be {_FORMS}; found {type(counts).__name__}.")
    values = counts.tolist() if isinstance(counts, np.ndarray) else counts
    return tuple(_checked(count, f"id {index}") for index, count in enumerate(values))


def _read_file(path: Path) -> Mapping[str, float]:
    if not path.is_file():
        raise InvalidInputError(f"frequencies should be {_FORMS}; found {str(path)!r}, and there is no such file.")
    counts: dict[str, float] = {}
    try:
        if path.suffix == ".json":
            if isinstance(raw := read_user_json(path), dict):
                return raw
            raise ValueError(f"a {type(raw).__name__}")
        for number, line in enumerate(read_user_text(path).split("\n"), 1):
            if line:
                token, tab, count = line.rpartition("\t")
                if not tab:
                    raise ValueError(f"line {number} without a tab")
                counts[token] = counts.get(token, 0.0) + float(count)
    except InvalidInputError:  # of a file that is no text, or no JSON
        raise
    except ValueError as error:
        raise InvalidInputError(
            f"{path}: a file of frequencies should hold a JSON object of counts (where it is named .json) or lines of "
            f"token<TAB>count; found {error!s:.200}."
        ) from None
    return counts


def _checked_token(token: object) -> str:
    if isinstance(token, str):
        return token
    raise InvalidInputError(f"frequencies should map tokens (str) to counts; found the key {token!r}.")


def _checked(count: Any, what: str) -> float:
    try:
        value = float(count)
    except (TypeError, ValueError, OverflowError):  # the last for a whole number of 400 digits
        value = float("nan")
    if isinstance(count, str) or not 0 <= value < float("inf"):
        raise InvalidInputError(f"frequencies should be finite and at least 0; found {count!r:.200} for {what:.200}.")
    return value


def counts_by_id(frequencies: Mapping[str, float] | Sequence[float], tokens: Sequence[str]) -> Float64[ndarray, " V"]:
    """The count of each token; tokens that a mapping does not name have none.

    Raises:
        InvalidInputError: There are more or fewer counts than tokens, or all of them are 0.

    Example:
        >>> counts_by_id({"day": 3, "night": 4}, ("[UNK]", "good", "day")).tolist()
        [0.0, 0.0, 3.0]
    """
    if isinstance(frequencies, Mapping):
        counts = np.array([frequencies.get(token, 0) for token in tokens], np.float64)
    else:
        counts = np.array(frequencies, np.float64)
    if len(counts) != len(tokens):
        raise InvalidInputError(
            f"frequencies should hold one count for each of the student's {len(tokens)} tokens; found {len(counts)}."
        )
    if not counts.any():
        raise InvalidInputError(
            "frequencies should name tokens of the student with a count above 0; found none. Are the tokens spelled as "
            "in `tokens` of a model with this vocabulary?"
        )
    return counts


def zipf_frequencies(n_tokens: int) -> Float64[ndarray, " V"]:
    """Frequencies by Zipf's law, not normalised: 1 / rank, with the first token at rank 2.

    Example:
        >>> zipf_frequencies(3).round(3).tolist()
        [0.5, 0.333, 0.25]
    """
    ranks: ndarray = np.arange(2, n_tokens + 2, dtype=np.float64)
    return 1 / ranks


def sif_weights(frequencies: Float64[ndarray, " V"], sif_coefficient: float) -> Float64[ndarray, " V"]:
    """Smooth inverse frequency: a / (a + p) with p = frequency / sum of all frequencies.

    A token that never occurs has the weight 1 (Arora, Liang and Ma, A Simple but Tough-to-Beat Baseline for Sentence
    Embeddings, ICLR 2017, section 3).

    Args:
        frequencies: Counts, or numbers proportional to them; not all 0.
        sif_coefficient: The coefficient a, above 0 and below 1.

    Example:
        >>> sif_weights(np.array([9.0, 1.0, 0.0]), 0.1).round(3).tolist()
        [0.1, 0.5, 1.0]
    """
    weights: ndarray = sif_coefficient / (sif_coefficient + frequencies / frequencies.sum())
    return weights
