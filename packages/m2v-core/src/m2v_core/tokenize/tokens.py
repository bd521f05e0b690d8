"""The one way from texts to token ids.

A word that was tokenised before is not tokenised again: texts are cut at spaces, and pieces looked up by their bytes
(`word_cache`). Only pieces that are new go to the tokenizers library (`backend`), and so do whole texts
where cutting is not safe (`splitting`). The ids are the library's own on any text.

Vocabulary and settings are read from the text of `tokenizer.json`, because the immutable tokenizer of tokenizers 1.x
does not tell them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.tokenize import pieces as p
from m2v_core.tokenize.backend import Backend, CannotSpellError, with_added
from m2v_core.tokenize.ragged import Ids, cut, merged, without
from m2v_core.tokenize.splitting import CannotSplitError, Splitting, splitting_of
from m2v_core.tokenize.word_cache import DEFAULT_CACHE_BYTES, MAX_BYTES, UNSAFE, Found, Memory, Recent, shares

# Few short texts are looked up piece by piece.
_FEW_TEXTS = 24
_FEW_CHARS = 4096


@dataclass(frozen=True)
class Vocabulary:
    """What `tokenizer.json` says of its tokens.

    Attributes:
        tokens: All tokens, `tokens[i]` being that of id `i`; an empty string for an id that no token has.
        unk_id: The id that stands for whatever the vocabulary cannot spell; `None` if there is none.
    """

    tokens: tuple[str, ...]
    unk_id: int | None

    @classmethod
    def from_json(cls, tokenizer_json: str, where: str = "tokenizer.json") -> Vocabulary:
        """Read the vocabulary out of the text of a `tokenizer.json`; `where` names it in errors.

        Raises:
            ModelFormatError: The text is not a tokenizer, or an id is no number that a table could have as a row.

        Example:
            >>> import json
            >>> model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "cat": 1}, "unk_token": "[UNK]"}
            >>> Vocabulary.from_json(json.dumps({"added_tokens": [], "model": model}))
            Vocabulary(tokens=('[UNK]', 'cat'), unk_id=0)
        """
        by_id, unk_id = _tokens_by_id(_parsed(tokenizer_json, where), where)
        return cls(tokens=tuple(by_id.get(index, "") for index in range(_n_ids(by_id))), unk_id=unk_id)


class TextTokenizer:
    """Texts to flat token ids; safe to share between threads.

    Args:
        tokenizer_json: The text of a `tokenizer.json`.
        where: What errors call it.
        cache_bytes: What a model may use to remember; a part of it is for words. 0 for nothing.

    Attributes:
        json: The text it was made from.
        n_tokens: How many ids there are, those that no token has among them.
        unused: [n] int64, the ids below the largest that no token has.
        unk_id: The id of the unknown token, or `None`.
        odd_unknown: The unknown token where it seems to be an ordinary piece, which is then left out of every text;
            else `None`.
        splitting: How texts are cut, or why they are not.
        cache_bytes: As given.

    Raises:
        ModelFormatError: The tokenizers library does not accept it.
    """

    def __init__(
        self, tokenizer_json: str, where: str = "tokenizer.json", cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        raw = _parsed(tokenizer_json, where)
        self.json = tokenizer_json
        by_id, self.unk_id = _tokens_by_id(raw, where)
        self.n_tokens = _n_ids(by_id)
        self.odd_unknown = _odd_unknown(raw)
        has_none = np.full(self.n_tokens, len(by_id) < self.n_tokens)
        if has_none.any():
            has_none[list(by_id)] = False
        self.unused = np.flatnonzero(has_none)
        self.cache_bytes = cache_bytes
        self.splitting: Splitting | CannotSplitError
        try:
            self.splitting = splitting_of(raw)
        except CannotSplitError as why:
            self.splitting = why
        del raw, by_id  # large, and so is what comes next
        self._backend = Backend(tokenizer_json, where)
        self._forget()

    def _forget(self) -> None:
        for_recent, for_memory, _ = shares(self.cache_bytes)
        self._recent, self._memory = Recent(for_recent), Memory(for_memory)
        self._learning = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.json, "tokenizer.json", self.cache_bytes)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens: read when they are first asked for, because few need them and they take memory."""
        return Vocabulary.from_json(self.json)

    @property
    def backend(self) -> Any:
        """The `tokenizers.Tokenizer`, without truncation and padding. Do not change it."""
        return self._backend.tokenizer

    def __call__(self, texts: Sequence[str], max_length: int | None) -> tuple[Ids, Ids]:
        """Tokenise texts.

        Special tokens are not added, the unknown token is left out, and then each text is cut to `max_length` ids.

        Args:
            texts: n texts.
            max_length: The most ids of a text; `None` for no limit.

        Returns:
            ids [total] and offsets [n + 1], both int64: text i has `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            BadTextError: An element is not a string, is not valid Unicode, or has what the tokenizer cannot spell.
        """
        rule = self.splitting
        try:
            if isinstance(rule, CannotSplitError) or not self.cache_bytes:
                ids, lengths = self._whole(texts)
            elif len(texts) <= _FEW_TEXTS and sum(map(len, texts)) <= _FEW_CHARS:
                rows = [self._short(text, rule) for text in texts]
                ids = np.frombuffer(b"".join(rows), np.int64)
                lengths = np.fromiter(map(len, rows), np.int64, len(rows)) // _ID_BYTES
            else:
                ids, lengths = self._many(texts, rule)
        except _REFUSED:
            raise self.bad_text(texts) from None
        return cut(ids, lengths, max_length)

    def one(self, text: str, max_length: int | None) -> Ids:
        """The ids of one text; see `__call__`."""
        rule = self.splitting
        if isinstance(rule, CannotSplitError) or not self.cache_bytes or len(text) > _FEW_CHARS:
            return self([text], max_length)[0]
        try:
            return np.frombuffer(self._short(text, rule), np.int64)[:max_length]
        except _REFUSED:
            raise self.bad_text([text]) from None

    def bad_text(self, texts: Sequence[Any]) -> InvalidInputError:
        """The error for texts of which some cannot be tokenised, naming the first."""
        return self._backend.bad_text(texts)

    def _whole(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        return without(self.unk_id, *self._backend.ids_of_texts(texts))

    def _short(self, text: str, rule: Splitting) -> bytes:
        """The ids of one text as bytes, piece by piece: numpy's calls would cost more than they save."""
        if not isinstance(text, str):
            raise TypeError
        pieces = _SPACED.findall(text) if rule.spaced else text.split(" ")
        try:
            if rule.whole and _holds(text, rule.whole):
                return self._whole([text])[0].tobytes()
            return b"".join(map(self._recent.known.get, pieces))  # type: ignore[arg-type]
        except TypeError:  # None among them
            found = self._recalled(pieces, rule)
        return self._whole([text])[0].tobytes() if None in found else b"".join(found)  # type: ignore[arg-type]

    def _recalled(self, pieces: list[str], rule: Splitting) -> list[bytes | None]:
        """The ids of each piece as bytes, `None` for one that is not safe."""
        known = self._recent.known
        unseen = [piece for piece in dict.fromkeys(pieces) if piece not in known]
        ids, counts = self._ids_of_pieces(unseen, rule)
        ends = np.cumsum(np.where(counts == UNSAFE, 0, counts)).tolist()
        learnt: dict[str, bytes | None] = {}
        for piece, start, end, count in zip(unseen, [0, *ends], ends, counts.tolist(), strict=False):
            learnt[piece] = None if count == UNSAFE else ids[start:end].tobytes()
        self._recent.learn(learnt)
        return [learnt[piece] if piece in learnt else known[piece] for piece in pieces]

    def _many(self, texts: Sequence[str], rule: Splitting) -> tuple[Ids, Ids]:
        data = p.joined(texts)
        pieces = p.cut(data, spaced=rule.spaced)
        whole = np.zeros(len(texts), bool)
        if len(pieces.bounds) != len(texts) + 1 or any(token.encode() in data for token in rule.whole):
            whole[:] = [_holds(text, ("\0", *rule.whole)) for text in texts]  # U+0000 looks like the end of a text
            data = p.joined(["" if apart else text for text, apart in zip(texts, whole, strict=True)])
            pieces = p.cut(data, spaced=rule.spaced)
        starts, counts, store = self._found(pieces, rule)
        unsafe = np.flatnonzero(counts == UNSAFE)
        if len(unsafe):
            whole[np.searchsorted(pieces.bounds, unsafe, side="right") - 1] = True
            counts[np.repeat(whole, np.diff(pieces.bounds))] = 0
        ends = np.concatenate(([0], np.cumsum(counts)))
        ids = store.take(np.repeat(starts - ends[:-1], counts) + np.arange(ends[-1]))
        lengths = np.diff(ends.take(pieces.bounds))
        if not whole.any():
            return ids, lengths
        return merged(whole, self._whole(list(compress(texts, whole))), (ids, lengths[~whole]))

    def _found(self, pieces: p.Pieces, rule: Splitting) -> tuple[Ids, Ids, Ids]:
        """Where the ids of each piece start, how many they are (or `UNSAFE`), and the array that holds them."""
        by = p.keys(pieces, self._memory.factor, MAX_BYTES)
        found = self._memory.find(by)
        if found.known.all():
            return found.starts, found.counts, found.store
        if not self._learning.acquire(blocking=False):
            self._learning.acquire()  # another thread was learning, perhaps these very words
            found = self._memory.find(by)
        try:
            return self._learned(pieces, by, found, rule)
        finally:
            self._learning.release()

    def _learned(self, pieces: p.Pieces, by: p.Keys, found: Found, rule: Splitting) -> tuple[Ids, Ids, Ids]:
        """What `_found` says, after learning the pieces that are new."""
        counts, missing = found.counts, np.flatnonzero(~found.known)
        too_long = pieces.sizes.take(missing) > MAX_BYTES
        counts[missing.compress(too_long)] = UNSAFE
        missing = missing.compress(~too_long)
        same_as = by.one_of_equals(missing)
        new = missing.compress(same_as == missing)
        ids, new_counts = self._ids_of_pieces(pieces.texts_of(new), rule)
        new_starts, store = self._memory.learn(found, by, new, ids, new_counts)
        starts = found.starts
        starts[new], counts[new] = new_starts, new_counts
        starts[missing], counts[missing] = starts.take(same_as), counts.take(same_as)
        return starts, counts, store

    def _ids_of_pieces(self, pieces: list[str], rule: Splitting) -> tuple[Ids, Ids]:
        """The ids of pieces, flat, and how many each has: none and `UNSAFE` for one that is not safe."""
        safe = rule.safe(pieces)
        pieces = list(compress(pieces, safe))
        if rule.separator is None:
            ids, lengths = self._backend.ids_of_texts(pieces)
        else:
            ids, lengths = self._backend.ids_of_words(pieces, rule.separator)
        ids, lengths = without(self.unk_id, ids, lengths)
        counts = np.full(len(safe), UNSAFE)
        counts[np.array(safe, bool)] = lengths
        return ids, counts


_SPACED = re.compile(r" *[^ ]+| +")
_ID_BYTES = 8
_MAX_IDS = 1 << 24  # so that a stranger's file cannot ask for much memory by one number
_REFUSED = (TypeError, UnicodeEncodeError, CannotSpellError)


def _holds(text: str, parts: Sequence[str]) -> bool:
    return any(part in text for part in parts)


def _parsed(tokenizer_json: str, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(tokenizer_json)
        if not isinstance(raw, dict):
            raise TypeError(f"{type(raw).__name__} as the outermost value")
    except (ValueError, TypeError, RecursionError) as error:
        raise _no_tokenizer(where, error) from None
    return raw


def _tokens_by_id(raw: dict[str, Any], where: str) -> tuple[dict[int, str], int | None]:
    """The token of each id that has one, and the id of the unknown token."""
    try:
        model, added = raw["model"], raw.get("added_tokens") or []
        ids: dict[str, int]
        if isinstance(model["vocab"], list):  # Unigram: [[token, score], ...]
            ids = {token: index for index, (token, _) in enumerate(model["vocab"])}
            unk_id = model.get("unk_id")
        else:
            ids = dict(model["vocab"])
            unk_id = None
        ids = with_added(ids, added)
        if unk_id is None and model.get("unk_token") is not None:
            unk_id = ids.get(model["unk_token"])
        by_id = {index: token for token, index in ids.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_tokenizer(where, error) from None
    limit = max(_MAX_IDS, len(by_id))
    bad = next((index for index in by_id if type(index) is not int or not 0 <= index < limit), None)
    if bad is not None:
        raise ModelFormatError(
            f"{where}: token ids should be whole numbers from 0 to {limit - 1}, the rows of a table; found {bad!r} for "
            f"{by_id[bad]!r}."
        )
    return by_id, unk_id


def _odd_unknown(raw: dict[str, Any]) -> str | None:
    """A Unigram model's unknown token where it is no special token and has no such name.

    Some tools remove tokens before it, and leave its id as it was.
    """
    model, index = raw["model"], raw["model"].get("unk_id")
    if not isinstance(model["vocab"], list) or index is None or not 0 <= index < len(model["vocab"]):
        return None
    token = str(model["vocab"][index][0])
    added = {other["content"] for other in raw.get("added_tokens") or []}
    return None if token in added or "unk" in token.lower() else token


def _n_ids(by_id: Collection[int]) -> int:
    return max(by_id, default=-1) + 1


def _no_tokenizer(where: str, error: Exception) -> ModelFormatError:
    reason = f"{type(error).__name__}: {error}"
    return ModelFormatError(f"{where}: expected a tokenizer of the tokenizers library ({reason}).")
