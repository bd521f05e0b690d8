"""The tokenizers library, 0.2x and 1.x alike: the ordinary way from texts to ids.

The tokenizer object is built once, without truncation and padding, and never changed after: many threads may share it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Tokenizer

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.ragged import Ids

# tokenizers 1.x names options per call (`padding=None`); 0.2x keeps them in the object.
_IMMUTABLE_API = not hasattr(Tokenizer, "from_str")

_RUN = 2048  # about so many characters of words in a text
_RUNS = 32  # such texts at a time: what 0.2x makes of them takes a hundred times the memory of their ids


class Backend:
    """A tokenizer of the library.

    Args:
        tokenizer_json: The text of a `tokenizer.json`.
        where: What errors call it.

    Attributes:
        tokenizer: The `tokenizers.Tokenizer`, without truncation and padding. Do not change it.

    Raises:
        ModelFormatError: The library does not accept it.
    """

    def __init__(self, tokenizer_json: str, where: str) -> None:
        try:
            self.tokenizer: Any = _build(tokenizer_json)  # Any: stubs know one of the two APIs
        except Exception as error:  # tokenizers 0.2x raises bare Exception
            raise ModelFormatError(
                f"{where}: tokenizers {tokenizers.__version__} cannot read it ({error}). "
                f"Check that the file is whole, or try another version of tokenizers."
            ) from None

    def ids_of_texts(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """The ids of all texts, flat, and how many each text has: no special tokens added.

        Raises:
            TypeError: An element is not a string, or not valid Unicode; see `bad_text`.
        """
        if not _IMMUTABLE_API:
            return _joined_ids(self.tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False, padding=None, truncation=None)
        arrays = [encoding.ids_array for encoding in encodings]
        flat = np.concatenate(arrays).astype(np.int64) if arrays else np.zeros(0, np.int64)
        return flat, np.fromiter(map(len, arrays), np.int64, len(arrays))

    def ids_of_words(self, words: list[str], separator: tuple[str, int]) -> tuple[Ids, Ids]:
        """The same as `ids_of_texts`, faster: a text costs more than a word of it, so many words go as one text.

        Args:
            words: n texts.
            separator: An added token, and its id, that is put between them; see `m2v_core.splitting`.
        """
        content, mark = separator
        chars = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
        bounds = [0, *(np.flatnonzero(np.diff(chars // _RUN)) + 1).tolist(), len(words)]
        runs = [content.join(words[start:stop]) for start, stop in pairwise(bounds)]
        parts = [self.ids_of_texts(runs[start : start + _RUNS]) for start in range(0, len(runs), _RUNS)]
        ids, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        is_mark = ids == mark
        if np.count_nonzero(is_mark) != len(words) - len(runs):  # some word holds the separator
            return self.ids_of_texts(words)
        word_of = np.cumsum(is_mark) + np.repeat(np.arange(len(runs)), lengths)
        return ids.compress(~is_mark), np.bincount(word_of.compress(~is_mark), minlength=len(words))


def _joined_ids(encodings: Sequence[Any]) -> tuple[Ids, Ids]:
    """The ids of all encodings of 0.2x, flat, and how many each has."""
    lists = [encoding.ids for encoding in encodings]
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum())), lengths


def _build(tokenizer_json: str) -> Any:
    if not _IMMUTABLE_API:
        backend = Tokenizer.from_str(tokenizer_json)
        backend.no_truncation()
        backend.no_padding()
        return backend
    import tempfile  # few need it

    with tempfile.TemporaryDirectory(prefix="m2v-") as folder:  # 1.x reads files only
        path = Path(folder, "tokenizer.json")
        path.write_text(_without_prefix_space(tokenizer_json), encoding="utf-8")
        return Tokenizer.from_file(str(path))


def _without_prefix_space(tokenizer_json: str) -> str:
    """The same tokenizer without `add_prefix_space` of ByteLevel, which 1.x refuses: a normalizer adds the space."""
    raw = json.loads(tokenizer_json)
    splitter = raw.get("pre_tokenizer") or {}
    if splitter.get("pretokenizers"):
        splitter = splitter["pretokenizers"][0]
    if splitter.get("type") != "ByteLevel" or not splitter.get("add_prefix_space"):
        return tokenizer_json
    splitter["add_prefix_space"] = False
    space = {"type": "Replace", "pattern": {"Regex": r"\A(?! )"}, "content": " "}
    raw["normalizer"] = {"type": "Sequence", "normalizers": [*filter(None, [raw.get("normalizer")]), space]}
    return json.dumps(raw, ensure_ascii=False)


def bad_text(texts: Sequence[Any]) -> InvalidInputError:
    """The error for texts that the library refuses, naming the first bad one."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            return InvalidInputError(f"Expected texts (str); found {type(text).__name__} at index {index}.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return InvalidInputError(
                f"Expected valid Unicode; text {index} has a lone surrogate, {text[error.start]!r}, at character "
                f"{error.start}. Decode it with errors='replace', or remove it."
            )
    return InvalidInputError("Expected a list of texts (str).")


def json_of(tokenizer: Tokenizer | str | Path) -> str:
    """The text of `tokenizer.json` for a tokenizer object, a path, or that text itself.

    An object of tokenizers 1.x gives a form that only 1.x reads: a model of it works, but cannot be saved.

    Raises:
        InvalidInputError: It is none of these.
    """
    if isinstance(tokenizer, Path):
        return tokenizer.read_text(encoding="utf-8")
    if isinstance(tokenizer, str):
        return tokenizer
    if isinstance(tokenizer, Tokenizer):
        # 1.x has no to_str, but pickles its own form of the file (version 2.0).
        return str(tokenizer.__reduce__()[1][0]) if _IMMUTABLE_API else str(tokenizer.to_str())
    backend = getattr(tokenizer, "backend_tokenizer", None)  # a fast tokenizer of transformers
    if isinstance(backend, Tokenizer):
        return json_of(backend)
    raise InvalidInputError(
        f"Expected a tokenizers.Tokenizer, a Path to tokenizer.json or its text; found {type(tokenizer).__name__}."
    )
