"""The tokenizers library, 0.2x and 1.x alike: from texts to ids without any cache.

The tokenizer object is made once, without truncation and padding, and never changes: many threads may share it.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Tokenizer

from m2v_core import forking
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.ragged import Ragged, concatenated
from m2v_core.tokenize import bad_texts
from m2v_core.tokenize.bad_texts import CannotSpellError, is_refusal
from m2v_core.tokenize.parts import flattened

#: Whether the library is 1.x, whose calls take options (`padding=None`), while 0.2x keeps them in the object.
IS_IMMUTABLE = not hasattr(Tokenizer, "from_str")

#: A vocabulary with a gap: rules differ in the id of "c".
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_GAP = {
    **dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")),
    "version": "1.0",
    "added_tokens": [{"id": 5, "content": "b", **_PLAIN}, {"id": 6, "content": "c", **_PLAIN}],
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 5}, "unk_token": "a"},
}

_RUN = 2048  # about so many characters of words in a text
_RUNS = 32  # such texts at a time: the encodings of 0.2x take a hundred times the memory of their ids


@cache
def rule() -> str:
    """By which rule the installed version numbers added tokens; see `m2v_core.tokenize.vocabulary.Rule`."""
    if IS_IMMUTABLE:
        return "sorted"
    return "largest" if Tokenizer.from_str(json.dumps(_GAP)).token_to_id("c") == 6 else "counting"


class Backend:
    """A tokenizer of the library.

    Args:
        tokenizer_json: The text of a `tokenizer.json`.
        where: Name of the tokenizer in errors.
        n_tokens: Number of ids that there are; `None` if they need no check.

    Attributes:
        tokenizer: The `tokenizers.Tokenizer`, without truncation and padding. Do not change it.

    Raises:
        ModelFormatError: The library does not accept the tokenizer.
    """

    def __init__(self, tokenizer_json: str, where: str, n_tokens: int | None = None) -> None:
        self._where, self._n_tokens = where, n_tokens
        self._separators: dict[str, int | None] = {}
        try:
            self.tokenizer: Any = _build(tokenizer_json)  # Any: stubs know one of the two APIs
        except BaseException as error:  # tokenizers 0.2x raises bare Exception
            if not is_refusal(error):
                raise
            raise ModelFormatError(
                f"{where}: tokenizers {tokenizers.__version__} cannot read it ({error}). "
                f"Check that the file is whole, or try another version of tokenizers."
            ) from None

    def ids_of_texts(self, texts: Sequence[str]) -> Ragged:
        """The ids of each text, without special tokens.

        Raises:
            TypeError: An element is not a string, or not valid Unicode; see `bad_text`.
            CannotSpellError: The tokenizer has no token for a part of a text, and no unknown token.
            ModelFormatError: The library gives an id that `tokenizer.json` does not: it numbers added tokens itself.
        """
        ids = self._ids_of_texts(texts)
        if self._n_tokens is not None and (largest := int(ids.values.max(initial=-1))) >= self._n_tokens:
            raise ModelFormatError(
                f"{self._where}: expected ids from 0 to {self._n_tokens - 1}; tokenizers {tokenizers.__version__} gave "
                f"a text the id {largest}, which has no row. Use the version of tokenizers that wrote the file."
            )
        return ids

    def _ids_of_texts(self, texts: Sequence[str]) -> Ragged:
        if not all(issubclass(kind, str) for kind in set(map(type, texts))):  # the library takes a tuple for a pair
            raise TypeError
        try:
            encodings = self._encodings(texts)
        except (TypeError, UnicodeEncodeError, MemoryError):
            raise
        except BaseException as error:  # 0.2x raises bare Exception, 1.x ValueError
            if not is_refusal(error):
                raise
            raise CannotSpellError(str(error)) from None
        if not IS_IMMUTABLE:
            return _ids_of_encodings(encodings)
        arrays = [encoding.ids_array for encoding in encodings]
        flat = np.concatenate(arrays).astype(np.int64) if arrays else np.zeros(0, np.int64)
        return Ragged.with_lengths(flat, np.fromiter(map(len, arrays), np.int64, len(arrays)))

    def _encodings(self, texts: Sequence[str]) -> Any:
        """The library's encodings of texts; in a fork one after the other.

        For more than one text the library uses its threads, of which a fork has none. It then waits for ever if
        TOKENIZERS_PARALLELISM tells it to use them, as it may for the sake of the process that forked.
        """
        if forking.is_fork() and len(texts) > 1:
            return [encoding for text in texts for encoding in self._encodings([text])]
        if not IS_IMMUTABLE:
            return self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return self.tokenizer.encode_batch(texts, add_special_tokens=False, padding=None, truncation=None)

    def ids_of_words(self, words: list[str], separator: str) -> Ragged:
        """The ids of each word. Many words are joined to one text, because a text costs more than a word.

        Args:
            words: n words.
            separator: An added token to put between words; see `m2v_core.tokenize.splitting`.
        """
        separator_id = self._id_of_separator(separator)
        if separator_id is None:
            return self.ids_of_texts(words)
        chars = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
        bounds = [0, *(np.flatnonzero(np.diff(chars // _RUN)) + 1).tolist(), len(words)]
        runs = [separator.join(words[start:stop]) for start, stop in pairwise(bounds)]
        ids = concatenated([self.ids_of_texts(runs[start : start + _RUNS]) for start in range(0, len(runs), _RUNS)])
        is_separator = ids.values == separator_id
        if np.count_nonzero(is_separator) != len(words) - len(runs):  # a word contains the separator
            return self.ids_of_texts(words)
        word_of = np.cumsum(is_separator) + np.repeat(np.arange(len(runs)), ids.lengths)
        lengths = np.bincount(word_of.compress(~is_separator), minlength=len(words))
        return Ragged.with_lengths(ids.values.compress(~is_separator), lengths)

    def _id_of_separator(self, token: str) -> int | None:
        """The library's own id of an added token, whatever the file says; `None` if it gives another number of ids."""
        if token not in self._separators:
            found = self.ids_of_texts([token]).values.tolist()
            self._separators[token] = found[0] if len(found) == 1 else None
        return self._separators[token]

    def bad_text(self, texts: Sequence[Any]) -> InvalidInputError:
        """The error for texts that the library refuses, which names the first bad one."""
        return bad_texts.bad_text(texts, self.complaint)

    def complaint(self, texts: Sequence[str]) -> str | None:
        """The library's reason for not spelling texts; `None` if it can."""
        try:
            self.ids_of_texts(texts)
        except CannotSpellError as why:
            return str(why) or type(why).__name__
        return None


def attempted(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the library returns; `None` if it refuses its arguments, or panics."""
    try:
        return function(*arguments)
    except BaseException as error:
        if isinstance(error, MemoryError) or not is_refusal(error):
            raise
        return None


def json_of(tokenizer: Any) -> str:
    """The text of `tokenizer.json` for a tokenizer object, or that text itself.

    An object of tokenizers 1.x gives a form that only 1.x reads: its model works, but cannot be saved.

    Raises:
        InvalidInputError: The argument is neither.
    """
    if isinstance(tokenizer, str):
        return tokenizer
    if isinstance(tokenizer, Tokenizer):
        # 1.x has no to_str, but pickles its own form of the file (version 2.0).
        return str(tokenizer.__reduce__()[1][0]) if IS_IMMUTABLE else str(tokenizer.to_str())
    backend = getattr(tokenizer, "backend_tokenizer", None)  # a fast tokenizer of transformers
    if isinstance(backend, Tokenizer):
        return json_of(backend)
    raise InvalidInputError(
        f"Expected a tokenizers.Tokenizer, a Path to tokenizer.json or its text; found {type(tokenizer).__name__}."
    )


def _ids_of_encodings(encodings: Sequence[Any]) -> Ragged:
    """The ids of encodings of 0.2x."""
    lists = [encoding.ids for encoding in encodings]
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return Ragged.with_lengths(np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum())), lengths)


def check_character_maps(tokenizer_json: str) -> None:
    """Raise `ValueError` if a character map states a size that it has not.

    The library reserves as much memory as the map states, and ends the process where it cannot have it.
    """
    if "charsmap" not in tokenizer_json and "\\u" not in tokenizer_json:
        return
    for part in flattened(json.loads(tokenizer_json).get("normalizer"), "normalizers"):
        encoded = part.get("precompiled_charsmap")
        if isinstance(encoded, str):
            data = binascii.a2b_base64(encoded[:8])
            if int.from_bytes(data[:4], "little") > len(encoded):
                raise ValueError("a character map states a larger size than it has")


def _build(tokenizer_json: str) -> Any:
    check_character_maps(tokenizer_json)
    if not IS_IMMUTABLE:
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
    """The same tokenizer with a normalizer that puts a space before a text, in place of settings that 1.x refuses.

    These are `add_prefix_space` of ByteLevel, and a Metaspace that is a space before other pre-tokenizers.
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
