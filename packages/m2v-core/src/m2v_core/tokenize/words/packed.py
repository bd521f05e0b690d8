"""Word models as plain data, settings and flat arrays, and back; and the checks of such data from a stranger's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.tokenize.words.build import UNSPELT
from m2v_core.tokenize.words.table import Ids, Table, shift_of, slots_of
from m2v_core.tokenize.words.trie import NODE_BITS, ROOT, Trie

if TYPE_CHECKING:
    from m2v_core.tokenize.words.build import Model

Settings = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]

#: dtype of each array; see `docs/format.md`.
DTYPES = {
    "slots": "uint32",
    "ids": "int32",
    "sizes": "int32",
    "scores": "float64",
    "merge_keys": "int64",
    "merge_values": "int32",
    "results": "int32",
    "bytes": "int64",
}

#: Settings of each kind of model, besides its name.
_SETTINGS = {
    "WordPiece": {"unk_id", "continuing", "prefix_bytes", "max_chars"},
    "WordLevel": {"unk_id"},
    "Unigram": {"unk_id"},
    "BPE": {"unk_id", "prefix", "suffix", "fuse_unk", "whole_words"},
}

_CHUNK = 1 << 16
_NO_UTF8 = 0xF8  # the least byte that UTF-8 does not have
_MAX_RUN = 1 << 12  # slots without a free one; a search ends there


class BadVocabularyError(ValueError):
    """The data of a word model is not sound; the message says why."""


def packed(model: Model) -> tuple[Settings, dict[str, NDArray[Any]]]:
    """A word model as settings, which JSON can hold, and arrays.

    Example:
        >>> from m2v_core.tokenize.words.build import model_of
        >>> settings, arrays = packed(model_of({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}))
        >>> settings, sorted(arrays)
        ({'type': 'WordLevel', 'unk_id': 0}, ['ids', 'slots'])
    """
    from m2v_core.tokenize.words.bpe import BPE
    from m2v_core.tokenize.words.unigram import Unigram
    from m2v_core.tokenize.words.wordpiece import WordPiece

    settings: Settings = {"type": type(model).__name__, "unk_id": model.unk_id}
    arrays: dict[str, NDArray[Any]] = {"slots": model.trie.slots, "ids": model.trie.ids}
    match model:
        case WordPiece():
            settings |= {name: getattr(model, name) for name in ("continuing", "prefix_bytes", "max_chars")}
            arrays["sizes"] = model.sizes
        case Unigram():
            arrays["scores"] = model.scores
        case BPE():
            names = ("prefix", "suffix", "fuse_unk", "whole_words")
            settings |= {name: getattr(model, name) for name in names}
            arrays |= {
                "merge_keys": model.merges.keys,
                "merge_values": model.merges.values,
                "results": model.results,
            }
    if isinstance(model, Unigram | BPE) and model.bytes_ is not None:
        arrays["bytes"] = model.bytes_
    return settings, arrays


def unpacked(settings: Settings, arrays: Arrays) -> Model:
    """The word model that `packed` gave as data."""
    options = {name: value for name, value in settings.items() if name != "type"}
    trie = Trie(arrays["slots"], arrays["ids"])
    match settings["type"]:
        case "WordPiece":
            from m2v_core.tokenize.words.wordpiece import WordPiece

            return WordPiece(trie, arrays["sizes"], **options)
        case "WordLevel":
            from m2v_core.tokenize.words.wordlevel import WordLevel

            return WordLevel(trie, **options)
        case "Unigram":
            from m2v_core.tokenize.words.unigram import Unigram

            return Unigram(trie, arrays["scores"], **options, bytes_=arrays.get("bytes"))
        case "BPE":
            from m2v_core.tokenize.words.bpe import BPE

            merges = Table(arrays["merge_keys"], arrays["merge_values"])
            return BPE(trie, merges, arrays["results"], **options, bytes_=arrays.get("bytes"))
    raise KeyError(settings["type"])


def check(settings: Settings, arrays: Arrays, n_tokens: int) -> None:
    """Raise `BadVocabularyError` unless a model made of this data ends on every word, with ids below `n_tokens`.

    The arrays are read in chunks: little memory is needed, whatever their size.
    """
    for name, array in arrays.items():
        if array.dtype.name != DTYPES[name] or array.ndim != 1:
            raise BadVocabularyError(f"{name} should be a row of {DTYPES[name]}; found {array.dtype} {array.shape}")
    try:
        _check(settings, arrays, n_tokens)
    except (KeyError, TypeError) as error:
        raise BadVocabularyError(f"a model of an unknown form ({type(error).__name__}: {error})") from None


def _check(settings: Settings, arrays: Arrays, n_tokens: int) -> None:
    if set(settings) != {"type", *_SETTINGS[settings["type"]]}:
        raise BadVocabularyError(f"a model of an unknown form, with the settings {', '.join(sorted(settings))}")
    names, n_ids = {"slots", "ids"}, n_tokens
    unknowns: tuple[int, ...] = (UNSPELT,)
    match settings["type"]:
        case "WordPiece":
            _whole("continuing", settings["continuing"], -1, len(arrays["ids"]))
            _whole("prefix_bytes", settings["prefix_bytes"], 0, 1 << 16)
            _whole("max_chars", settings["max_chars"], 0, 1 << 62)
            names |= {"sizes"}
            n_ids = min(n_tokens, len(arrays["sizes"]) - 1)
            _check_range("sizes", arrays["sizes"], 0, 1 << 16)
            if not len(arrays["sizes"]) or arrays["sizes"][-1]:
                raise BadVocabularyError("sizes should end with 0")
        case "Unigram":
            names |= {"scores"}
            n_ids, unknowns = min(n_tokens, len(arrays["scores"])), ()
            if not all(np.isfinite(part).all() for part in _chunks(arrays["scores"])):
                raise BadVocabularyError("a score is not finite")
        case "BPE":
            names |= {"merge_keys", "merge_values", "results"}
            unknowns = (-1,)
            _check_merges(arrays, n_tokens)
            for name, kind in (("prefix", str), ("suffix", str), ("fuse_unk", bool), ("whole_words", bool)):
                if not isinstance(settings[name], kind):
                    raise BadVocabularyError(f"{name} should be a {kind.__name__}; found {settings[name]!r}")
    if settings["type"] in ("Unigram", "BPE") and "bytes" in arrays:
        names |= {"bytes"}
        _check_range("bytes", arrays["bytes"], -1, n_ids)
        if len(arrays["bytes"]) != 256:
            raise BadVocabularyError(f"bytes should have 256 values; found {len(arrays['bytes'])}")
    if names != set(arrays):
        raise BadVocabularyError(f"expected the arrays {', '.join(sorted(names))}; found {', '.join(sorted(arrays))}")
    if settings["unk_id"] not in unknowns:
        _whole("unk_id", settings["unk_id"], 0, n_ids)
    _check_trie(arrays["slots"], arrays["ids"], n_ids)


def _check_trie(slots: NDArray[np.uint32], ids: NDArray[np.int32], n_ids: int) -> None:
    if len(ids) != len(slots) or len(slots) > 1 << NODE_BITS:
        raise BadVocabularyError(f"slots and ids should have one size; found {len(slots)} and {len(ids)}")
    if not len(slots) or slots[0] != ROOT or ids[0] != -1:
        raise BadVocabularyError("slots and ids should begin with the root")
    _check_range("ids", ids, -1, n_ids)
    for start, part in zip(range(0, len(ids), _CHUNK), _chunks(ids), strict=False):
        if (part[slots[start : start + _CHUNK] == 0] != -1).any():
            raise BadVocabularyError("ids has a token at a free slot")
    for entries in _entries("slots", slots, first=1):
        parents, labels = entries - 1 >> 8, entries - 1 & 0xFF
        if not (parents < len(slots)).all() or not slots.take(parents).all():
            raise BadVocabularyError("slots has an edge from a node that is not there")
        if (labels >= _NO_UTF8).any():
            raise BadVocabularyError("slots has a byte that is none of UTF-8")


def _check_merges(arrays: Arrays, n_tokens: int) -> None:
    keys, values, results = arrays["merge_keys"], arrays["merge_values"], arrays["results"]
    if len(values) != len(keys):
        raise BadVocabularyError(f"merge_values should have {len(keys)} values; found {len(values)}")
    for _ in _entries("merge_keys", keys):
        pass
    _check_range("results", results, 0, n_tokens)
    for part, ranks in zip(_chunks(keys), _chunks(values), strict=True):
        _check_range("merge_values", ranks[part != 0], 0, len(results))


def _entries(name: str, table: NDArray[Any], first: int = 0) -> Iterator[Ids]:
    """The entries of a table, in chunks, after a check that a search finds each of them, and ends for any other key.

    The `first` slots are taken, but by no entries.
    """
    size = len(table)
    if size < 8 or size & (size - 1):
        raise BadVocabularyError(f"{name} should have a power of two of slots, 8 or more; found {size}")
    n_held, begin, before = 0, _last_free(table) + 1, -1  # where the current run of taken slots begins; the last one
    for start in range(0, size, _CHUNK):
        part = table[start : start + _CHUNK]
        held = np.flatnonzero(part != 0)
        if not len(held):
            continue
        entries = part[held].astype(np.int64)
        held += start
        is_first = np.empty(len(held), bool)
        is_first[0], is_first[1:] = held[0] != before + 1, held[1:] != held[:-1] + 1
        begins = np.maximum.accumulate(np.where(is_first, held, begin))
        begin, before = int(begins[-1]), int(held[-1])
        if start == 0:
            held, begins, entries = held[first:], begins[first:], entries[first:]
            if not len(held):
                continue
        run = held - begins
        distance = held - slots_of(entries, shift_of(size)) & size - 1
        if entries.min() < 0 or run.max() >= _MAX_RUN or (distance > run).any():
            raise BadVocabularyError(f"{name} has an entry that a search does not find")
        n_held += len(held)
        yield entries
    if 2 * n_held > size:
        raise BadVocabularyError(f"{name} should be half empty at least; found {n_held} of {size} slots taken")


def _last_free(table: Ids) -> int:
    """The last free slot, as a place before the first slot, because a search goes on at the beginning."""
    for start in reversed(range(0, len(table), _CHUNK)):
        free = np.flatnonzero(table[start : start + _CHUNK] == 0)
        if len(free):
            return start + int(free[-1]) - len(table)
    raise BadVocabularyError("a table has no free slot")


def _check_range(name: str, array: NDArray[Any], least: int, end: int) -> None:
    for part in _chunks(array):
        if not (least <= int(part.min()) and int(part.max()) < end):
            raise BadVocabularyError(
                f"{name} should have values from {least} to {end - 1}; found {int(part.min())} to {int(part.max())}"
            )


def _chunks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (array[start : start + _CHUNK] for start in range(0, len(array), _CHUNK))


def _whole(name: str, value: Any, least: int, end: int) -> None:
    if type(value) is not int or not least <= value < end:
        raise BadVocabularyError(f"{name} should be a whole number from {least} to {end - 1}; found {value!r}")
