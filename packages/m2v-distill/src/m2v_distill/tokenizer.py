"""A teacher's tokenizer, by transformers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from m2v_core.errors import ModelFormatError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_tokenizer(folder: str | os.PathLike[str], *, trust_remote_code: bool = False) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a teacher's folder.

    Args:
        folder: Holds `tokenizer.json`, or what transformers makes one of.
        trust_remote_code: Let the folder bring Python code.

    Raises:
        ModelFormatError: transformers cannot load it.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelFormatError(f"{folder}: transformers cannot load a tokenizer from it ({reason}).") from error
    return cast("PreTrainedTokenizerFast", tokenizer)
