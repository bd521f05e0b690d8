"""Word models of a parsed `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from m2v_core.ragged import Ragged
from m2v_core.tokenize.words.table import Ids, Table
from m2v_core.tokenize.words.trie import TooManyNodesError, Trie

if TYPE_CHECKING:  # a process imports the model that it uses
    from m2v_core.tokenize.words.bpe import BPE
    from m2v_core.tokenize.words.unigram import Unigram
    from m2v_core.tokenize.words.wordlevel import WordLevel
    from m2v_core.tokenize.words.wordpiece import WordPiece

    Model: TypeAlias = WordPiece | Unigram | BPE | WordLevel

#: So many tokens are kept as texts too, which the words of small texts are looked up in.
_MOST_TEXTS = 1 << 16

#: Stands in place of an id for a word that a model without an unknown token cannot spell.
UNSPELT = -2


class CannotModelError(Exception):
    """The words of a tokenizer must be left to the tokenizers library; the message says why."""


def model_of(model: dict[str, Any]) -> Model:
    """The word model that the `model` of a `tokenizer.json` describes.

    Raises:
        CannotModelError: The model is of an unknown kind.

    Example:
        >>> model = {"type": "WordPiece", "vocab": {"[UNK]": 0, "day": 1, "##s": 2}, "unk_token": "[UNK]"}
        >>> model_of(model).ids_of_one("days")
        [1, 2]
    """
    try:
        kind = model["type"]
        if kind == "WordPiece":
            return _wordpiece(model)
        if kind == "WordLevel":
            return _wordlevel(model)
        if kind == "Unigram":
            return _unigram(model)
        if kind == "BPE":
            return _bpe(model)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, TooManyNodesError) as error:
        raise CannotModelError(f"an unfamiliar form ({type(error).__name__}: {error})") from None
    raise CannotModelError(f"unknown model {kind!r}")


def _trie(rows: Ragged, ids: Ids) -> Trie:
    if not rows.lengths.all():  # a token that no word has
        kept = np.flatnonzero(rows.lengths)
        rows, ids = rows.take(kept), ids[kept]
    return Trie.of_rows(rows, ids)


def _rows_and_ids(vocab: dict[str, int]) -> tuple[Ragged, Ids]:
    return _utf8([*vocab]), np.fromiter(vocab.values(), np.int64, len(vocab))


def _trie_of(vocab: dict[str, int]) -> Trie:
    return _trie(*_rows_and_ids(vocab))


def _utf8(tokens: Sequence[str]) -> Ragged:
    """The bytes of each token, encoded at once where a character that none of them has can stand between them."""
    for code in range(32):
        text = chr(code).join([*tokens, ""])
        if text.count(chr(code)) == len(tokens):
            data = np.frombuffer(text.encode(), np.uint8)
            ends = np.flatnonzero(data == code)
            return Ragged.with_lengths(data[data != code], np.diff(ends, prepend=-1) - 1)
    return Ragged.of([token.encode() for token in tokens], np.uint8)


def _wordlevel(model: dict[str, Any]) -> WordLevel:
    from m2v_core.tokenize.words.wordlevel import WordLevel

    return WordLevel(_trie_of(model["vocab"]), _unknown(model))


def _wordpiece(model: dict[str, Any]) -> WordPiece:
    from m2v_core.tokenize.words.wordpiece import WordPiece

    rows, ids = _rows_and_ids(model["vocab"])
    text = model.get("continuing_subword_prefix", "##")
    trie, prefix = _trie(rows, ids), text.encode()
    sizes = np.zeros(int(ids.max(initial=-1)) + 2, np.int32)
    sizes[ids] = rows.lengths
    return WordPiece(
        trie=Trie(trie.slots, trie.longest()),
        sizes=sizes,
        continuing=trie.node_of(prefix),
        prefix_bytes=len(prefix),
        unk_id=_unknown(model),
        max_chars=model.get("max_input_chars_per_word", 100),
        tokens=model["vocab"] if len(ids) <= _MOST_TEXTS else None,
        prefix=text,
    )


def _unknown(model: dict[str, Any]) -> int:
    token = model.get("unk_token")
    index = None if token is None else model["vocab"].get(token)
    return UNSPELT if index is None else int(index)


def _unigram(model: dict[str, Any]) -> Unigram:
    from m2v_core.tokenize.words.unigram import Unigram

    vocab = model["vocab"]
    tokens = [token for token, _ in vocab]
    scores = np.array([score for _, score in vocab], np.float64)
    if len(set(tokens)) != len(vocab) or not np.isfinite(scores).all():
        raise CannotModelError("a token twice, or a score that is no number")
    if model.get("unk_id") is None:
        raise CannotModelError("no unknown token: the library then refuses words that could be spelt")
    if not 0 <= int(model["unk_id"]) < len(vocab):
        raise CannotModelError("the unknown token is not in the vocabulary")
    fallback = byte_tokens(model, dict(zip(tokens, range(len(tokens)), strict=True)))
    return Unigram(_trie(_utf8(tokens), np.arange(len(tokens))), scores, int(model["unk_id"]), _array(fallback))


def _bpe(model: dict[str, Any]) -> BPE:
    from m2v_core.tokenize.words.bpe import BPE

    if model.get("dropout"):
        raise CannotModelError("BPE with dropout is random")
    vocab: dict[str, int] = model["vocab"]
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    pairs = merge_pairs(model)
    results = [vocab[left + right[len(prefix) :]] for left, right in pairs]
    keys = [vocab[left] << 32 | vocab[right] for left, right in pairs]
    ranks = dict(zip(keys, range(len(keys)), strict=True))  # of equal pairs, the last counts
    unknown = model.get("unk_token")
    return BPE(
        trie=_trie_of(vocab),
        merges=Table.of(np.array([*ranks], np.int64), np.array([*ranks.values()], np.int64)),
        results=np.array(results, np.int32),
        unk_id=-1 if unknown is None else vocab[unknown],
        prefix=prefix,
        suffix=suffix,
        fuse_unk=bool(model.get("fuse_unk")),
        bytes_=_array(byte_tokens(model, vocab)),
        whole_words=bool(model.get("ignore_merges")),
    )


def merge_pairs(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The two tokens of each merge of a BPE model, in either of the two forms of a `tokenizer.json`."""
    merges = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    return [(left, right) for left, right in merges]


def byte_tokens(model: Mapping[str, Any], ids: Mapping[str, int]) -> list[int] | None:
    """The id of the token of each byte, -1 for none; `None` for a model without `byte_fallback`."""
    return [ids.get(f"<0x{byte:02X}>", -1) for byte in range(256)] if model.get("byte_fallback") else None


def _array(ids: list[int] | None) -> Ids | None:
    return None if ids is None else np.array(ids, np.int64)
