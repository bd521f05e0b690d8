"""The tokenizers library, 0.2x and 1.x alike: the ordinary way from texts to ids.

The tokenizer object is built once, without truncation and padding, and never changed after: many threads may share it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Tokenizer

from m2v_core.checks import lone_surrogate
from m2v_core.errors import BadTextError, InvalidInputError, ModelFormatError
from m2v_core.tokenize.ragged import Ids

# tokenizers 1.x names options per call (`padding=None`); 0.2x keeps them in the object.
_IMMUTABLE_API = not hasattr(Tokenizer, "from_str")

_RUN = 2048  # about so many characters of words in a text
_RUNS = 32  # such texts at a time: what 0.2x makes of them takes a hundred times the memory of their ids
_SEARCHED = 1024  # texts among which a bad one is looked for at a time
_SHOWN = 40  # characters of a text in an error


class CannotSpellError(Exception):
    """A text has something that is not in the vocabulary, and there is no unknown token."""


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
            CannotSpellError: The tokenizer has no token for a part of a text, and no unknown token.
        """
        if not all(issubclass(kind, str) for kind in set(map(type, texts))):  # the library takes a tuple for a pair
            raise TypeError
        try:
            if not _IMMUTABLE_API:
                return _joined_ids(self.tokenizer.encode_batch_fast(texts, add_special_tokens=False))
            encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False, padding=None, truncation=None)
        except (TypeError, UnicodeEncodeError, MemoryError):
            raise
        except Exception as error:  # 0.2x raises bare Exception, 1.x ValueError
            raise CannotSpellError(str(error)) from None
        arrays = [encoding.ids_array for encoding in encodings]
        flat = np.concatenate(arrays).astype(np.int64) if arrays else np.zeros(0, np.int64)
        return flat, np.fromiter(map(len, arrays), np.int64, len(arrays))

    def ids_of_words(self, words: list[str], separator: tuple[str, int]) -> tuple[Ids, Ids]:
        """The same as `ids_of_texts`, faster: a text costs more than a word of it, so many words go as one text.

        Args:
            words: n texts.
            separator: An added token, and its id, that is put between them; see `m2v_core.tokenize.splitting`.
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

    def bad_text(self, texts: Sequence[Any]) -> InvalidInputError:
        """The error for texts that the library refuses, naming the first bad one."""
        error = bad_text(texts)
        before = texts[: error.index] if isinstance(error, BadTextError) else texts
        for start in range(0, len(before), _SEARCHED):
            part = before[start : start + _SEARCHED]
            if self._cannot_spell(part):
                place = next(place for place, text in enumerate(part) if self._cannot_spell([text]))
                return self._unspelt(part[place], start + place)
        return error

    def _cannot_spell(self, texts: Sequence[str]) -> str | None:
        """Why the library cannot spell texts, in its words; `None` if it can."""
        try:
            self.ids_of_texts(texts)
        except CannotSpellError as why:
            return str(why) or type(why).__name__
        return None

    def _unspelt(self, text: str, index: int) -> BadTextError:
        words = (word for word in re.finditer(r"\S+", text) if self._cannot_spell([word[0]]))
        start, stop = next((word.span() for word in words), (0, len(text)))
        first = start  # texts without spaces are long: which beginning of one is the first that cannot be spelt
        while stop - start > _SHOWN:
            middle = (start + stop) // 2
            start, stop = (start, middle) if self._cannot_spell([text[first:middle]]) else (middle, stop)
        return BadTextError(
            "The tokenizer cannot spell text ",
            index,
            f", {text[:_SHOWN]!r}{'...' * (len(text) > _SHOWN)}, and has no unknown token for {text[start:stop]!r} "
            f"({self._cannot_spell([text])}). Take that out of the text, or name the unknown token in tokenizer.json "
            f"(unk_id or unk_token of its model): unknown tokens are left out.",
        )


def with_added(ids: Mapping[str, int], added: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The ids of a model's tokens and of `added_tokens`, as the library gives them.

    An added token that the model lacks gets the next id, whatever the file says: that after the number of the model's
    tokens, or after the largest of an added token. 0.2x takes them in the order of the file, 1.x by their ids.
    """
    known, following = dict(ids), len(ids)
    for token in sorted(added, key=lambda token: int(token["id"])) if _IMMUTABLE_API else added:
        index = known.setdefault(token["content"], following)
        following = max(following, index + 1)
    return known


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
    """The same tokenizer with a normalizer that puts a space before a text, in place of what 1.x refuses.

    That is `add_prefix_space` of ByteLevel, and a Metaspace that is a space before other pre-tokenizers.
    """
    raw = json.loads(tokenizer_json)
    splitter = raw.get("pre_tokenizer") or {}
    parts = splitter.get("pretokenizers") or [splitter]
    if parts[0].get("type") == "Metaspace" and parts[0].get("replacement") == " " and len(parts) > 1:
        del parts[0]
        if raw.get("normalizer") is None:  # else added tokens would be looked for with the space
            raw["added_tokens"] = [{**token, "normalized": False} for token in raw.get("added_tokens") or []]
    elif parts[0].get("type") == "ByteLevel" and parts[0].get("add_prefix_space"):
        parts[0]["add_prefix_space"] = False
    else:
        return tokenizer_json
    space = {"type": "Replace", "pattern": {"Regex": r"\A(?! )"}, "content": " "}
    raw["normalizer"] = {"type": "Sequence", "normalizers": [*filter(None, [raw.get("normalizer")]), space]}
    return json.dumps(raw, ensure_ascii=False)


def bad_text(texts: Sequence[Any]) -> InvalidInputError:
    """The error for what is no text, naming the first bad one."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            return BadTextError(f"Expected texts (str); found {type(text).__name__} at index ", index, ".")
        if (position := lone_surrogate(text)) is not None:
            return BadTextError(
                "Expected valid Unicode; text ",
                index,
                f" has a lone surrogate, {text[position]!r}, at character {position}. Decode it with "
                f"errors='replace', or remove it.",
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
