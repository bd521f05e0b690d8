"""The one way from texts to token ids, for tokenizers 0.2x and 1.x alike.

Vocabulary and settings are read from the text of `tokenizer.json`, because the immutable tokenizer of tokenizers 1.x
does not tell them. The tokenizer object is built once, without truncation and padding, and never changed after: many
threads may share it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from m2v_core.errors import InvalidInputError, ModelFormatError

# tokenizers 1.x names options per call (`padding=None`); 0.2x keeps them in the object.
_IMMUTABLE_API = not hasattr(Tokenizer, "from_str")


@dataclass(frozen=True)
class Vocabulary:
    """What `tokenizer.json` says of its tokens.

    Attributes:
        tokens: All tokens, `tokens[i]` being that of id `i`.
        unk_id: The id that stands for whatever the vocabulary cannot spell; `None` if there is none.
    """

    tokens: tuple[str, ...]
    unk_id: int | None

    @classmethod
    def from_json(cls, tokenizer_json: str, where: str = "tokenizer.json") -> Vocabulary:
        """Read the vocabulary out of the text of a `tokenizer.json`; `where` names it in errors.

        Raises:
            ModelFormatError: The text is not a tokenizer, or its ids are not 0 to n - 1.

        Example:
            >>> import json
            >>> model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "cat": 1}, "unk_token": "[UNK]"}
            >>> Vocabulary.from_json(json.dumps({"added_tokens": [], "model": model}))
            Vocabulary(tokens=('[UNK]', 'cat'), unk_id=0)
        """
        try:
            raw = json.loads(tokenizer_json)
            model, added = raw["model"], raw.get("added_tokens") or []
            ids: dict[str, int]
            if isinstance(model["vocab"], list):  # Unigram: [[token, score], ...]
                ids = {token: index for index, (token, _) in enumerate(model["vocab"])}
                unk_id = model.get("unk_id")
            else:
                ids = dict(model["vocab"])
                unk_id = None
            ids.update({token["content"]: token["id"] for token in added})
            if unk_id is None and model.get("unk_token") is not None:
                unk_id = ids.get(model["unk_token"])
            by_id = {index: token for token, index in ids.items()}
            ordered = sorted(by_id)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelFormatError(f"{where}: expected a tokenizer of the tokenizers library ({reason}).") from None
        if ordered != list(range(len(ordered))):
            raise ModelFormatError(
                f"{where}: token ids should run from 0 to {len(ordered) - 1} without a gap; "
                f"found {len(ordered)} ids from {ordered[0]} to {ordered[-1]}."
            )
        return cls(tokens=tuple(by_id[index] for index in ordered), unk_id=unk_id)


class TextTokenizer:
    """Texts to flat token ids; safe to share between threads.

    Args:
        tokenizer_json: The text of a `tokenizer.json`.
        where: What errors call it.

    Attributes:
        json: The text it was made from.
        vocabulary: The tokens and the unknown token's id.
        backend: The `tokenizers.Tokenizer`, without truncation and padding. Do not change it.

    Raises:
        ModelFormatError: The tokenizers library does not accept it.
    """

    def __init__(self, tokenizer_json: str, where: str = "tokenizer.json") -> None:
        self.json = tokenizer_json
        self.vocabulary = Vocabulary.from_json(tokenizer_json, where)
        try:
            self.backend: Any = _build(tokenizer_json)  # Any: stubs know one of the two APIs
        except Exception as error:  # tokenizers 0.2x raises bare Exception
            raise ModelFormatError(
                f"{where}: tokenizers {tokenizers.__version__} cannot read it ({error}). "
                f"Check that the file is whole, or try another version of tokenizers."
            ) from None

    def __call__(self, texts: Sequence[str], max_length: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokenise texts.

        Special tokens are not added, the unknown token is left out, and then each text is cut to `max_length` ids.

        Args:
            texts: n texts.
            max_length: The most ids of a text; `None` for no limit.

        Returns:
            ids [total] and offsets [n + 1], both int64: text i has `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            InvalidInputError: An element is not a string, or not valid Unicode.
        """
        try:
            if _IMMUTABLE_API:
                encodings = self.backend.encode_batch(texts, add_special_tokens=False, padding=None, truncation=None)
                arrays = [encoding.ids_array for encoding in encodings]
                flat = np.concatenate(arrays).astype(np.int64) if arrays else np.zeros(0, np.int64)
                lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
            else:
                encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
                lists = [encoding.ids for encoding in encodings]
                lengths = np.fromiter(map(len, lists), np.int64, len(lists))
                flat = np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum()))
        except TypeError:
            raise _bad_text(texts) from None
        return _cut(flat, lengths, self.vocabulary.unk_id, max_length)


def _cut(
    flat: NDArray[np.int64], lengths: NDArray[np.int64], unk_id: int | None, max_length: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Drop the unknown token, then all ids of a text past `max_length`."""
    if unk_id is not None:
        known = flat != unk_id
        if not known.all():
            owner = np.repeat(np.arange(len(lengths)), lengths)
            flat, lengths = flat[known], np.bincount(owner[known], minlength=len(lengths))
    if max_length is not None and len(lengths) and lengths.max() > max_length:
        starts = np.cumsum(lengths) - lengths
        place = np.arange(len(flat)) - np.repeat(starts, lengths)
        flat, lengths = flat[place < max_length], np.minimum(lengths, max_length)
    return flat, np.concatenate(([0], np.cumsum(lengths)))


def _build(tokenizer_json: str) -> Any:
    if not _IMMUTABLE_API:
        backend = Tokenizer.from_str(tokenizer_json)
        backend.no_truncation()
        backend.no_padding()
        return backend
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


def _bad_text(texts: Sequence[Any]) -> InvalidInputError:
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
