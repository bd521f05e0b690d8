"""Token ids of many texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from m2v_core import StaticModel
from m2v_core.errors import BadTextError, InvalidInputError
from m2v_core.model import UNSET
from m2v_core.ragged import Ragged

logger = logging.getLogger("m2v_train")

#: Fraction of texts without a token above which a log line is a warning.
NOTABLE = 0.1

#: Texts that are tokenized at a time.
_TEXTS = 16_384


def tokenize(model: StaticModel, *columns: Sequence[str], max_length: Any = UNSET) -> Ragged:
    """Tokenise columns of texts.

    Args:
        model: Model with the tokenizer.
        *columns: Texts (see `m2v_train.data.inputs.as_texts`).
        max_length: Maximum number of tokens per text; `None` keeps all. Default: the model's.

    Returns:
        The ids (int32) of each text, one column after the other, as `StaticModel.token_ids` gives them.

    Raises:
        BadTextError: The tokenizer has no token for a part of a text.

    Example:
        >>> tokens = tokenize(tiny_model(), ["good day", "", "day"])
        >>> tokens.values.tolist(), tokens.lengths.tolist()
        ([1, 2, 2], [2, 0, 1])
    """
    ids = [np.zeros(0, np.int32)]
    lengths = [np.zeros(0, np.int64)]
    for column in columns:
        for start in range(0, len(column), _TEXTS):
            try:
                part, offsets = model.token_ids(column[start : start + _TEXTS], max_length=max_length)
            except BadTextError as error:
                raise error.moved(start) from None
            ids.append(part.astype(np.int32))
            lengths.append(np.diff(offsets))
    return Ragged.with_lengths(np.concatenate(ids), np.concatenate(lengths))


def check_has_tokens(
    lengths: Int64[np.ndarray, " n"],
    texts: str,
    *,
    remedy: str = "Pass texts in a language and script of its vocabulary, or start from another model.",
) -> None:
    """Raise an error unless at least one text has a token.

    Args:
        lengths: Number of tokens in each text.
        texts: Name of the texts in the error.
        remedy: Advice in the error.

    Raises:
        InvalidInputError: No text has a token.

    Example:
        >>> check_has_tokens(np.array([0, 2]), "texts in X")
    """
    if not lengths.any():
        raise InvalidInputError(
            f"None of the {len(lengths)} {texts} has a token that the model knows: they are empty, or in words or a "
            f"script that its vocabulary lacks. {remedy}"
        )


def log_empty(n_empty: int, n: int, name: str) -> None:
    """Log how many of n texts have no token, if any: as a warning if they are more than a tenth."""
    if n_empty:
        logger.log(
            logging.WARNING if n_empty > NOTABLE * n else logging.INFO,
            "%d of the %d texts in %s have no token that the model knows: only the head learns from them",
            *(n_empty, n, name),
        )
