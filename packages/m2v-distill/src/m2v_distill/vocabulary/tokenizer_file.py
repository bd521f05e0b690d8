"""Edits of a `tokenizer.json` as pure functions of its parsed content.

No function changes its argument. Each edit keeps the special roles (unknown, padding, begin and end of a text) on the
same tokens: ids are assigned anew, and everything that names a token by its id is updated.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from m2v_core.tokenize.vocabulary import with_added

#: The parsed content of a `tokenizer.json`, or a part of it.
Raw = dict[str, Any]

#: Flags of an added token that matches anywhere in the text as it is.
PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}


@contextmanager
def garbage_collector_paused() -> Iterator[None]:
    """Pause the collector of cyclic garbage, which copies of large vocabularies would start again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def parse(text: str) -> Raw:
    """The parsed content of a `tokenizer.json`.

    Raises:
        ValueError: The text is not JSON.
    """
    with garbage_collector_paused():
        raw: Raw = json.loads(text)
    return raw


def model_tokens(raw: Raw) -> list[str]:
    """The tokens of the model itself (WordPiece, BPE, Unigram, WordLevel), in the order of their ids."""
    vocab = raw["model"]["vocab"]
    if isinstance(vocab, list):
        return [token for token, _ in vocab]
    return sorted(vocab, key=vocab.__getitem__)


def token_ids(raw: Raw) -> dict[str, int]:
    """The id of each token: the model's, and added tokens that the model does not have, as the library numbers them.

    Example:
        >>> model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "cat": 1}, "unk_token": "[UNK]"}
        >>> token_ids({"model": model, "added_tokens": [{"content": "new york", "id": 2}]})
        {'[UNK]': 0, 'cat': 1, 'new york': 2}
    """
    vocab = raw["model"]["vocab"]
    ids = {token: index for index, (token, _) in enumerate(vocab)} if isinstance(vocab, list) else dict(vocab)
    return with_added(ids, added_tokens(raw))


def added_tokens(raw: Raw) -> list[Raw]:
    """The added tokens, which are matched in a text before the model sees it."""
    return raw.get("added_tokens") or []


def unknown_token(raw: Raw) -> str | None:
    """The token for text that the vocabulary cannot spell; `None` if there is none."""
    model = raw["model"]
    if isinstance(model["vocab"], list):
        index = model.get("unk_id")
        return None if index is None else str(model["vocab"][index][0])
    token = model.get("unk_token")
    return token if token in token_ids(raw) else None


def padding_token(raw: Raw) -> str | None:
    """The token that pads short texts; `None` if the file names none."""
    padding = raw.get("padding")
    return padding["pad_token"] if padding and padding["pad_token"] in token_ids(raw) else None


def special_ids(raw: Raw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the post-processor adds before a text, and after it."""
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    for part in parts_of(raw.get("post_processor"), "processors"):
        if part["type"] == "TemplateProcessing":
            pieces = part["single"]
            text = next(index for index, piece in enumerate(pieces) if "Sequence" in piece)
            before = (*_template_ids(part, pieces[:text]), *before)
            after = (*after, *_template_ids(part, pieces[text + 1 :]))
        elif part["type"] in ("BertProcessing", "RobertaProcessing"):
            before, after = (part["cls"][1], *before), (*after, part["sep"][1])
    return before, after


def _template_ids(template: Raw, pieces: Iterable[Raw]) -> Iterator[int]:
    for piece in pieces:
        yield from template["special_tokens"][piece["SpecialToken"]["id"]]["ids"]


def parts_of(component: Raw | None, members: str) -> list[Raw]:
    """The parts of a normalizer, pre-tokenizer or post-processor, with sequences flattened.

    Example:
        >>> parts_of({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}, "normalizers")
        [{'type': 'NFC'}, {'type': 'Lowercase'}]
    """
    if component is None:
        return []
    if component["type"] == "Sequence":
        return [part for member in component[members] for part in parts_of(member, members)]
    return [component]


def is_byte_level(raw: Raw) -> bool:
    """Whether tokens are spelled in characters that stand for bytes, as in GPT-2."""
    parts = [*parts_of(raw.get("normalizer"), "normalizers"), *parts_of(raw.get("pre_tokenizer"), "pretokenizers")]
    return any(part["type"] == "ByteLevel" for part in parts)


def word_prefix(raw: Raw) -> str | None:
    """The prefix of a token at the beginning of a word ("Ġ" for bytes, "▁" for a metaspace); `None` for no prefix."""
    if is_byte_level(raw):
        return "Ġ"
    parts = parts_of(raw.get("pre_tokenizer"), "pretokenizers")
    return next((part["replacement"] for part in parts if part["type"] == "Metaspace"), None)


def without_tokens(raw: Raw, removed: Collection[str]) -> Raw:
    """The tokenizer without these tokens and the merges that need one of them; unknown and padding token stay."""
    gone = set(removed) - {unknown_token(raw), padding_token(raw)}
    model = raw["model"]
    kept = [token for token in model_tokens(raw) if token not in gone]
    if "merges" in model:
        merges = [(merge, *_sides(merge)) for merge in model["merges"]]
        left = [merge for merge, a, b in merges if a not in gone and b not in gone and a + b not in gone]
        model = {**model, "merges": left}
    added = [token for token in added_tokens(raw) if token["content"] not in gone]
    return _numbered({**raw, "model": model, "added_tokens": added}, kept)


def with_tokens(raw: Raw, tokens: Sequence[str]) -> Raw:
    """The tokenizer with these tokens in its model, after its own; tokens that it already has stay as they are.

    BPE builds a token from others: missing merges are added at the end, and so are the tokens that they need. A Unigram
    token gets the lowest score of all.
    """
    model, known = raw["model"], model_tokens(raw)
    if "merges" in model:
        new, merges = _merged_tokens(tokens, known, [_sides(merge) for merge in model["merges"]])
        as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
        added = [" ".join(merge) if as_text else list(merge) for merge in merges]
        model = {**model, "merges": [*model["merges"], *added]}
    else:
        present = set(known)
        new = [token for token in dict.fromkeys(tokens) if token not in present]
    return _numbered({**raw, "model": model}, [*known, *new])


def with_added_tokens(raw: Raw, contents: Iterable[str], **flags: bool) -> Raw:
    """The tokenizer with more added tokens, which the model does not have; `flags` overrule those of `PLAIN`."""
    last = max(token_ids(raw).values(), default=-1)
    new = [{"id": index, "content": text, **PLAIN, **flags} for index, text in enumerate(contents, last + 1)]
    return {**raw, "added_tokens": [*added_tokens(raw), *new]}


def with_roles(raw: Raw, *, unknown: str | None, padding: str | None) -> Raw:
    """The tokenizer with an unknown token, if it names none, and with this padding token, if it has that token."""
    ids, model = token_ids(raw), raw["model"]
    if unknown_token(raw) is None and unknown in ids and unknown in model_tokens(raw):
        key, value = ("unk_id", ids[unknown]) if isinstance(model["vocab"], list) else ("unk_token", unknown)
        model = {**model, key: value}
    padding = padding if padding in ids else padding_token(raw)
    section = None if padding is None else _padding(padding, ids[padding])
    return {**raw, "model": model, "padding": section}


def _padding(token: str, index: int) -> Raw:
    fixed = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}
    return {**fixed, "pad_id": index, "pad_type_id": 0, "pad_token": token}


def with_space_before(raw: Raw) -> Raw:
    """A byte-level tokenizer that treats the first word of a text like any other: with a space before it.

    GPT-2's pre-tokenizer has an option for that, which applies to each piece that it is given: after another
    pre-tokenizer or an added token it would insert spaces inside the text. In that case a metaspace that is a space is
    used, which applies only at the start of the text.
    """
    parts = parts_of(raw.get("pre_tokenizer"), "pretokenizers")
    byte_level = next((part for part in parts if part["type"] == "ByteLevel"), None)
    if byte_level is None or byte_level.get("add_prefix_space", True):
        return raw
    if len(parts) == 1 and all(token.get("special") for token in added_tokens(raw)):
        return {**raw, "pre_tokenizer": {**parts[0], "add_prefix_space": True}}
    space = {"type": "Metaspace", "replacement": " ", "prepend_scheme": "first", "split": False}
    return {**raw, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [space, *parts]}}


def _numbered(raw: Raw, tokens: Sequence[str]) -> Raw:
    """The tokenizer with exactly these tokens in its model, numbered from 0 on, and the added tokens after them."""
    tokens = list(dict.fromkeys(tokens))
    model, ids = raw["model"], {token: index for index, token in enumerate(tokens)}
    vocab: Any = ids
    if isinstance(model["vocab"], list):
        scores = dict(model["vocab"])
        lowest = min(scores.values(), default=0.0)
        vocab = [[token, scores.get(token, lowest)] for token in tokens]
        unknown = unknown_token(raw)
        model = {**model, "unk_id": None if unknown is None else ids[unknown]}
    outside = [token for token in added_tokens(raw) if token["content"] not in ids]
    outside.sort(key=lambda token: token["id"])
    all_ids = ids | {token["content"]: index for index, token in enumerate(outside, len(ids))}
    added = [{**token, "id": all_ids[token["content"]]} for token in added_tokens(raw)]
    padding = padding_token(raw)
    return {
        **raw,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        "padding": None if padding is None else {**raw["padding"], "pad_id": all_ids[padding]},
        "model": {**model, "vocab": vocab},
    }


def _sides(merge: str | Sequence[str]) -> tuple[str, str]:
    """The two tokens of a merge, which files store as "a b" or as ["a", "b"]."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _merged_tokens(
    tokens: Iterable[str], known: Iterable[str], merges: Sequence[tuple[str, str]]
) -> tuple[list[str], list[tuple[str, str]]]:
    """The tokens that a BPE vocabulary lacks, and the merges that build them.

    A token of several parts gets merges for its first and second part, its third and fourth, and so on, until it is
    whole.
    """
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    present, new = set(known), []
    for token in tokens:
        if token in present:  # also as a part of a token before it
            continue
        needed = {token: None}
        while len(parts := _bpe(token, ranks)) > 1:
            for pair in zip(parts[::2], parts[1::2], strict=False):
                ranks.setdefault(pair, len(ranks))
                needed |= dict.fromkeys(pair)
        whole, *sides = needed
        added = [whole, *sorted(set(sides) - present)]
        present.update(added)
        new += added
    return new, list(ranks)[len(merges) :]


def _bpe(token: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """The parts of a token after all merges, applied in the order of the list (Sennrich et al., 2016)."""
    parts = list(token)
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged: list[str] = []
        for part in parts:
            if merged and merged[-1] == best[0] and part == best[1]:
                merged[-1] += part
            else:
                merged.append(part)
        parts = merged
    return parts
