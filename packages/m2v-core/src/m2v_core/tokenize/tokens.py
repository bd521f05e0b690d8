"""The one way from texts to token ids.

No word is tokenised twice: texts are split at spaces (`pieces`), and pieces are looked up by their bytes
(`word_cache`). New pieces go to our own models (`words`) or to the tokenizers library (`backend`), and whole texts to
the library where splitting is not safe (`splitting`). The ids are those of the library for every text.
"""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.cache_budget import DEFAULT_CACHE_BYTES, cache_budget
from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.forking import cached, is_held, renew_in_forks
from m2v_core.ragged import Ragged, merged
from m2v_core.tokenize.bad_texts import CannotSpellError, bad_text
from m2v_core.tokenize.library import library
from m2v_core.tokenize.pieces import PieceKeys, Pieces, encoded, hashed, split
from m2v_core.tokenize.splitting import CannotSplitError, Splitting, check_not_shared, splitting_of
from m2v_core.tokenize.vocabulary import Numbering, Vocabulary, numbering, ordinary_unknown, parsed
from m2v_core.tokenize.word_cache import ENTRY_BYTES, MAX_BYTES, UNSAFE, Lookup, SmallTextCache, WordCache

if TYPE_CHECKING:
    from m2v_core.tokenize.backend import Backend
    from m2v_core.tokenize.compiled import CompiledTokenizer
    from m2v_core.tokenize.words.build import Model
    from m2v_core.tokenize.words.piece_encoder import PieceEncoder

Ids = NDArray[np.int64]

# Few short texts are looked up piece by piece.
_FEW_TEXTS = 24
_FEW_CHARS = 4096

#: A larger vocabulary takes the library seconds to build: our own model is built at load, and the library when needed.
LARGE_VOCABULARY = 100_000

# Models that tokenise many words at once faster than the library.
_TAKE_MANY = ("WordPiece", "Unigram")

# Where the library takes batches, our own model is built after so many small texts with new pieces, and takes those.
_SMALL_MISSES = 64

# So few new pieces are quicker one by one.
_FEW_PIECES = 48

# Small texts take over all that batches have learnt once they have missed a twelfth as many pieces: by then it pays.
_PIECES_FOR_A_MISS = 12

# Without a cache, that of one batch.
_PASSING_CACHE = 1 << 20

_SPACED = re.compile(r" *[^ ]+| +")
_ID_BYTES = 8
_REFUSED = (TypeError, UnicodeEncodeError, CannotSpellError)


class TextTokenizer:
    """Texts to token ids; it may be shared between threads.

    Args:
        tokenizer: The text of a `tokenizer.json`, or a tokenizer with a compiled vocabulary. Where our own
            model takes batches, the tokenizers library is loaded when a text needs it.
        where: Name of the tokenizer in errors.
        cache_bytes: Bytes that all caches of a model may use, of which a part is for words; 0 for no cache.

    Attributes:
        n_tokens: Number of ids, including unused ones.
        unused_ids: [n] int64, ids below the largest that no token has.
        unk_id: Id of the unknown token, or `None`.
        ordinary_unknown: The unknown token if it looks like an ordinary piece, else `None`. It is removed from every
            text.
        splitting: Rule for splitting texts, or the reason for not splitting them.
        cache_bytes: Bytes that all caches of a model may use.

    Raises:
        ModelFormatError: The tokenizers library does not accept the tokenizer.
    """

    def __init__(
        self,
        tokenizer: str | CompiledTokenizer,
        where: str = "tokenizer.json",
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        raw = parsed(tokenizer, where) if isinstance(tokenizer, str) else tokenizer.outline
        numbers = numbering(raw, where) if isinstance(tokenizer, str) else tokenizer
        self.n_tokens, self.unused_ids, self.unk_id = numbers.n_tokens, numbers.unused_ids, numbers.unk_id
        self.ordinary_unknown = ordinary_unknown(raw) if isinstance(tokenizer, str) else tokenizer.ordinary_unknown
        self.cache_bytes = cache_bytes
        self.splitting: Splitting | CannotSplitError
        try:
            if isinstance(numbers, Numbering):
                check_not_shared(numbers)
            self.splitting = splitting_of(raw)
        except CannotSplitError as why:
            self.splitting = why
        self._source, self._where, self._loading = tokenizer, where, threading.Lock()
        self._adding = threading.Lock()
        self._backend: Backend | None = None
        self._piece_encoder: PieceEncoder | None = None
        self._prefers_model = self.n_tokens > LARGE_VOCABULARY or not isinstance(tokenizer, str)
        if self._prefers_model or raw["model"].get("type") in _TAKE_MANY:
            self._build_piece_encoder(raw)
        del raw, numbers  # large, and so is the backend
        if self._piece_encoder is None:
            self._library  # noqa: B018 - a file that the library does not accept is an error now
        self._reset_caches()
        renew_in_forks(self)

    def after_fork(self) -> None:
        """Replace locks that threads of the parent process held. They guard what is set in one step."""
        if is_held(self._loading):
            self._loading = threading.Lock()
        if is_held(self._adding):
            self._adding = threading.Lock()

    def _reset_caches(self) -> None:
        budget = cache_budget(self.cache_bytes)
        self._small_texts, self._words = SmallTextCache(), WordCache(budget.words)
        self._cached_bytes = budget.small_texts + budget.words
        self._small_misses = self._missed_pieces = 0

    @property
    def _room(self) -> int:
        """How many bytes the cache of small texts may use: what that of batches does not."""
        return self._cached_bytes - self._words.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._source, "tokenizer.json", self.cache_bytes)

    @property
    def json(self) -> str:
        """The text of `tokenizer.json`."""
        return self._source if isinstance(self._source, str) else self._source.text()

    @cached
    def vocabulary(self) -> Vocabulary:
        """The tokens, read when they are first asked for, because they take memory and few callers need them."""
        return Vocabulary.from_json(self.json)

    @property
    def backend(self) -> Any:
        """The `tokenizers.Tokenizer`, without truncation and padding. Do not change it."""
        return self._library.tokenizer

    def _build_piece_encoder(self, raw: dict[str, Any]) -> None:
        """Build our own model, unless the library must see whole texts or the tokenizer is of an unknown kind."""
        if not isinstance(self.splitting, CannotSplitError):
            from m2v_core.tokenize.words.piece_encoder import piece_encoder  # few models need it at once

            self._piece_encoder = piece_encoder(raw, self._compiled_model())

    def _compiled_model(self) -> Model | None:
        if isinstance(self._source, str):
            return None
        from m2v_core.tokenize.words.packed import unpacked

        return unpacked(self._source.settings, self._source.arrays)

    @property
    def _library(self) -> Backend:
        """The whole tokenizer of the library, built when something first needs it: it takes time and memory."""
        with self._loading:
            if self._backend is None:
                self._backend = library().Backend(self.json, self._where, self.n_tokens)
            return self._backend

    def __call__(self, texts: Sequence[str], max_length: int | None) -> Ragged:
        """Tokenise texts.

        Special tokens are not added, the unknown token is removed, and then each text is truncated.

        Args:
            texts: n texts.
            max_length: Most ids of a text; `None` for no limit.

        Returns:
            The ids of each text, int64.

        Raises:
            BadTextError: An element is not a string, is not valid Unicode, or has what the tokenizer cannot spell.
        """
        rule = self.splitting
        try:
            if isinstance(rule, CannotSplitError):
                ids = self._whole(texts)
            elif self.cache_bytes and len(texts) <= _FEW_TEXTS and sum(map(len, texts)) <= _FEW_CHARS:
                rows = [self._small(text, rule) for text in texts]
                lengths = np.fromiter(map(len, rows), np.int64, len(rows)) // _ID_BYTES
                ids = Ragged.with_lengths(np.frombuffer(b"".join(rows), np.int64), lengths)
            else:
                ids = self._batch(texts, rule)
        except _REFUSED:
            raise self.bad_text(texts) from None
        return ids.truncate(max_length)

    def one(self, text: str, max_length: int | None) -> Ids:
        """The ids of one text; see `__call__`."""
        rule = self.splitting
        if isinstance(rule, CannotSplitError) or not self.cache_bytes or len(text) > _FEW_CHARS:
            return self([text], max_length).values
        try:
            return np.frombuffer(self._small(text, rule), np.int64)[:max_length]
        except _REFUSED:
            raise self.bad_text([text]) from None

    def with_unknown(self, texts: Sequence[str]) -> Ragged:
        """The library's own ids of texts, not truncated, those of the unknown token included."""
        return self._library.ids_of_texts(texts)

    def bad_text(self, texts: Sequence[Any]) -> InvalidInputError:
        """The error for texts of which some cannot be tokenised, which names the first."""
        return bad_text(texts, self._complaint)

    def _complaint(self, texts: Sequence[str]) -> str | None:
        try:
            return self._library.complaint(texts)
        except MissingPackageError:  # then the text that it was asked for is not the bad one
            return None

    def _whole(self, texts: Sequence[str]) -> Ragged:
        return self._library.ids_of_texts(texts).without(self.unk_id)

    def _small(self, text: str, rule: Splitting) -> bytes:
        """The ids of a small text as bytes, piece by piece: numpy's calls would cost more than they save."""
        if not isinstance(text, str):
            raise TypeError
        pieces = _SPACED.findall(text) if rule.spaced else list(filter(None, text.split(" ")))
        try:
            if rule.whole and _contains_any(text, rule.whole):
                return self._whole([text]).values.tobytes()
            known = self._small_texts.known
            return b"".join([known[piece] for piece in pieces])  # type: ignore[misc]
        except (KeyError, TypeError):  # one is new, or None
            found = self._small_pieces(pieces, rule)
        return self._whole([text]).values.tobytes() if None in found else b"".join(found)  # type: ignore[arg-type]

    def _small_pieces(self, pieces: list[str], rule: Splitting) -> list[bytes | None]:
        """The ids of each piece as bytes, `None` for a piece that is not safe."""
        small, words = self._small_texts, self._words
        known = small.known
        missing = set(pieces).difference(known)
        new: dict[str, bytes | None] = {}
        if words.n_entries:
            self._missed_pieces += len(missing)
            if 0 < words.n_untold <= _PIECES_FOR_A_MISS * self._missed_pieces:
                self._missed_pieces = 0
                most = max(self._room - small.nbytes, 0) // (ENTRY_BYTES + 4 * _ID_BYTES)
                small.add(words.tell(most), self._room)
                return self._small_pieces(pieces, rule)
            new = words.few(missing)
            if new and small.nbytes < self._room:  # else they stay where they are
                small.add(new, self._room)
            missing.difference_update(new)
        if missing:
            computed = dict(zip(missing, self._new_small_pieces([*missing], rule), strict=True))
            small.add(computed, self._room)
            new |= computed
        return [new[piece] if piece in new else known[piece] for piece in pieces]

    def _new_small_pieces(self, pieces: list[str], rule: Splitting) -> list[bytes | None]:
        self._small_misses += 1
        if self._small_misses == _SMALL_MISSES and self._piece_encoder is None:
            self._build_piece_encoder(parsed(self.json, self._where))
        if self._piece_encoder is not None and len(pieces) <= _FEW_PIECES and all(rule.safe(pieces)):
            rows = self._piece_encoder.rows(pieces)
            if None not in rows:
                return [self._as_bytes(row) for row in rows]  # type: ignore[arg-type] # there is no None
        ids, counts = self._ids_of_pieces(pieces, rule)
        ends = np.cumsum(np.where(counts == UNSAFE, 0, counts)).tolist()
        return [
            None if count == UNSAFE else ids[start:end].tobytes()
            for start, end, count in zip([0, *ends], ends, counts.tolist(), strict=False)
        ]

    def _as_bytes(self, row: list[int]) -> bytes:
        if self.unk_id in row:
            row = [index for index in row if index != self.unk_id]
        return array("q", row).tobytes()

    def _batch(self, texts: Sequence[str], rule: Splitting) -> Ragged:
        """The ids of many texts: all their pieces are looked up at once."""
        data = encoded(texts)
        pieces = split(data, spaced=rule.spaced)
        whole = np.zeros(len(texts), bool)
        if len(pieces.offsets) != len(texts) + 1 or any(token.encode() in data for token in rule.whole):
            # U+0000 looks like the end of a text
            whole[:] = [_contains_any(text, ("\0", *rule.whole)) for text in texts]
            data = encoded(["" if is_whole else text for text, is_whole in zip(texts, whole, strict=True)])
            pieces = split(data, spaced=rule.spaced)
        starts, counts, store = self._find(pieces, rule)
        unsafe = np.flatnonzero(counts == UNSAFE)
        if len(unsafe):
            whole[np.searchsorted(pieces.offsets, unsafe, side="right") - 1] = True
            counts[np.repeat(whole, np.diff(pieces.offsets))] = 0
        ends = np.concatenate(([0], np.cumsum(counts)))
        ids = store.take(np.repeat(starts - ends[:-1], counts) + np.arange(ends[-1]))
        rows = Ragged(ids, ends.take(pieces.offsets))
        if not whole.any():
            return rows
        others = Ragged.with_lengths(ids, rows.lengths[~whole])  # whole texts have no ids yet
        return merged(whole, self._whole(list(compress(texts, whole))), others)

    def _find(self, pieces: Pieces, rule: Splitting) -> tuple[Ids, Ids, Ids]:
        """The position of each piece's first id, the number of its ids (or `UNSAFE`), and the array of all ids."""
        words = self._words if self.cache_bytes else WordCache(_PASSING_CACHE)
        keys = hashed(pieces, words.factor, MAX_BYTES)
        lookup = words.find(keys)
        if lookup.known.all():
            return lookup.starts, lookup.counts, lookup.store
        if self._takes_many:  # threads work side by side; what two of them meet at the same time is added twice
            return self._add_missing(pieces, keys, lookup, words, rule)
        if not self._adding.acquire(blocking=False):
            self._adding.acquire()  # another thread was adding pieces, perhaps the same ones
            lookup = words.find(keys)
        try:
            return self._add_missing(pieces, keys, lookup, words, rule)
        finally:
            self._adding.release()

    @property
    def _takes_many(self) -> bool:
        """Whether our own model tokenises the pieces of batches, and not the library, which uses all cores."""
        encoder = self._piece_encoder
        return encoder is not None and (encoder.takes_many or self._prefers_model)

    def _add_missing(
        self, pieces: Pieces, keys: PieceKeys, lookup: Lookup, words: WordCache, rule: Splitting
    ) -> tuple[Ids, Ids, Ids]:
        """The result of `_find`, after adding the new pieces to the cache."""
        starts, counts, missing = lookup.starts, lookup.counts, np.flatnonzero(~lookup.known)
        is_long = pieces.sizes.take(missing) > MAX_BYTES
        long, missing = missing.compress(is_long), missing.compress(~is_long)
        representatives = keys.representatives(missing)
        new = missing.compress(representatives == missing)
        ids, new_counts = self._ids_of_pieces(pieces.texts_of(new), rule)
        starts[new], store = words.add(lookup, keys, new, ids, new_counts)
        counts[new] = new_counts
        starts[missing], counts[missing] = starts.take(representatives), counts.take(representatives)
        if len(long):
            ids, counts[long] = self._ids_of_pieces(pieces.texts_of(long), rule)
            n_ids = np.where(counts[long] == UNSAFE, 0, counts[long])
            starts[long] = len(store) + np.cumsum(n_ids) - n_ids
            store = np.concatenate((store, ids))
        self._small_texts.keep_within(self._room)
        return starts, counts, store

    def _ids_of_pieces(self, pieces: list[str], rule: Splitting) -> tuple[Ids, Ids]:
        """The ids of all safe pieces, flat, and the number of ids of each piece, `UNSAFE` for others and too many."""
        is_safe = rule.safe(pieces)
        pieces = list(compress(pieces, is_safe))
        ids = self._by_model(pieces, rule) if self._takes_many else self._by_library(pieces, rule)
        ids = ids.without(self.unk_id)
        lengths = ids.lengths
        if lengths.max(initial=0) >= UNSAFE:  # more than the cache counts, as by a normalizer that repeats
            ids = ids.take(np.flatnonzero(lengths < UNSAFE))
            lengths = np.minimum(lengths, UNSAFE)
        counts = np.full(len(is_safe), UNSAFE)
        counts[np.array(is_safe, bool)] = lengths
        return ids.values, counts

    def _by_model(self, pieces: list[str], rule: Splitting) -> Ragged:
        """The ids of pieces by our own model, and of what is left by the library."""
        ids, left = self._piece_encoder.ids_of(pieces)  # type: ignore[union-attr] # there is one
        if not left:
            return ids
        is_left = np.zeros(len(pieces), bool)
        is_left[left] = True
        others = Ragged.with_lengths(ids.values, ids.lengths[~is_left])
        return merged(is_left, self._by_library([pieces[index] for index in left], rule), others)

    def _by_library(self, pieces: list[str], rule: Splitting) -> Ragged:
        if rule.separator is None:
            return self._library.ids_of_texts(pieces)
        return self._library.ids_of_words(pieces, rule.separator)


def _contains_any(text: str, parts: Sequence[str]) -> bool:
    return any(part in text for part in parts)
