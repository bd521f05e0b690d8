"""Each decision about cutting texts, from tokenizer.json alone."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from m2v_core.tokenize.splitting import CannotSplitError, Splitting, splitting_of
from m2v_core.tokenize.tokens import TextTokenizer
from tokenizer_files import (
    CHARSMAP,
    SPACES,
    TO_PAD,
    byte_bpe,
    charsmap,
    edited,
    metaspace_bpe,
    metaspace_pad,
    model2vec_pad,
    special,
    unigram,
    wordlevel,
    wordpiece,
)

METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
MASK = {**special("<mask>", 0), "lstrip": True, "rstrip": True}


PAD = special("[PAD]", 0)


def pad_with(rules: dict[str, str]) -> str:
    """A padding token that is looked for in text that these rules normalise, and others."""
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap({**TO_PAD, **rules})}
    return edited(metaspace_pad(), normalizer=precompiled)


def with_model(tokenizer: str, **changes: Any) -> str:
    raw = json.loads(tokenizer)
    raw["model"].update(changes)
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("kind", "spaced", "ends", "whole"),
    [
        ("wordpiece", False, "any", ()),
        ("wordpiece_cased", False, "any", ()),
        ("wordlevel", False, "any", ()),
        ("multiword", False, "any", ("good day",)),
        ("byte_bpe", True, "solid", ()),
        ("gpt2", True, "solid", ("<mask>",)),
        ("llama3", True, "solid", ("<mask>",)),
        ("metaspace_bpe", True, "solid", ()),
        ("metaspace_never", True, "solid", ()),
        ("unigram", True, "solid", ()),
        ("xlm_roberta", True, "solid", ()),
        ("collapsing", True, "visible", ()),
        ("model2vec_pad", True, "solid", ()),
        ("metaspace_pad", True, "visible", ()),
    ],
)
def test_texts_are_cut(kind: str, spaced: bool, ends: str, whole: tuple[str, ...]) -> None:
    rule = splitting_of(json.loads(SPACES[kind]()))
    assert (rule.spaced, rule.ends, rule.whole) == (spaced, ends, whole)


@pytest.mark.parametrize(
    ("tokenizer", "why"),
    [
        (edited(unigram(), pre_tokenizer=None), "no pre-tokenizer"),
        (edited(unigram(), pre_tokenizer={**METASPACE, "split": False}), "unknown pre-tokenizer Metaspace"),
        (edited(unigram(), pre_tokenizer={"type": "UnicodeScripts"}), "unknown pre-tokenizer UnicodeScripts"),
        (
            edited(
                wordlevel(),
                pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Mystery"}]},
            ),
            "unknown pre-tokenizer Mystery",
        ),
        (
            edited(
                byte_bpe(),
                pre_tokenizer={
                    "type": "Sequence",
                    "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": ".."}, "behavior": "Isolated", "invert": False},
                        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
                    ],
                },
            ),
            "unknown pre-tokenizer Split, ByteLevel",
        ),
        (
            edited(
                byte_bpe(),
                pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False},
            ),
            "unknown pre-tokenizer ByteLevel",
        ),
        (with_model(metaspace_bpe(), dropout=0.1), "dropout is random"),
        (with_model(wordlevel(), type="Other"), "unknown model"),
        (edited(unigram(), normalizer={"type": "Prepend", "prepend": "▁"}), "Prepend may look past a space"),
        (edited(byte_bpe(), normalizer=json.loads(wordpiece())["normalizer"]), "BertNormalizer may look past"),
        (edited(byte_bpe(), normalizer={"type": "Strip", "strip_left": False, "strip_right": True}), "Strip may look"),
        (edited(unigram(), normalizer={"type": "Strip", "strip_left": True, "strip_right": True}), "removes the space"),
        (
            edited(unigram(), normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
            "Replace of .* may look past a space",
        ),
        (
            edited(unigram(), normalizer={"type": "Replace", "pattern": {"Regex": "a b"}, "content": ""}),
            "Replace of .* may look past a space",
        ),
        (
            edited(wordpiece(), added=[{**special("good day", 40), "normalized": True}]),
            "'good day' is looked for in normalised text",
        ),
        (
            edited(wordpiece(), added=[{**special("日本", 40), "normalized": True}]),
            "'日本' is looked for in normalised",
        ),
        (edited(metaspace_pad(), added=[{**PAD, "content": "é", "normalized": True, "rstrip": True}]), "'<pad>' is"),
        (pad_with({" ": " "}), None),
        (pad_with({" ": "x"}), "Precompiled replaces spaces"),
        (pad_with({" \u0301": "x"}), "Precompiled replaces spaces"),
        (pad_with({"p": "q"}), "'<pad>' is looked for in normalised"),
        (edited(metaspace_pad(), normalizer={"type": "Precompiled", "precompiled_charsmap": "?"}), "unfamiliar form"),
        (
            edited(
                metaspace_pad(),
                normalizer={
                    "type": "Sequence",
                    "normalizers": [{"type": "Precompiled", "precompiled_charsmap": CHARSMAP}, {"type": "NFKC"}],
                },
            ),
            "'<pad>' is looked for in normalised",
        ),
        (edited(wordpiece(), added=[special(f"w {index}", 40 + index) for index in range(17)]), "17 added tokens may"),
        (edited(wordpiece(), version="2.0"), r"version 2\.0"),
        (edited(wordpiece(), normalizer=[1]), "unfamiliar form"),
    ],
)
def test_texts_stay_whole(tokenizer: str, why: str | None) -> None:
    if why is None:
        splitting_of(json.loads(tokenizer))
        return
    with pytest.raises(CannotSplitError, match=why):
        splitting_of(json.loads(tokenizer))


def test_the_engine_takes_the_ordinary_way_then() -> None:
    tokenizer = TextTokenizer(edited(unigram(), pre_tokenizer=None))
    assert isinstance(tokenizer.splitting, CannotSplitError)
    texts = ["good day", "day good day", ""] * 20
    ids = tokenizer(texts, None)
    expected = [tokenizer.backend.encode(text, add_special_tokens=False).ids for text in texts]
    unknown = tokenizer.unk_id
    assert ids.values.tolist() == [index for row in expected for index in row if index != unknown]


def test_a_precompiled_normalizer_may_erase_the_end_of_a_word() -> None:
    normalizer = {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}
    assert splitting_of(json.loads(edited(unigram(), normalizer=normalizer))).ends == "visible"


def test_white_space_that_vanishes_leaves_words_alone() -> None:
    rule = splitting_of(json.loads(wordpiece()))
    assert all(rule.safe(["good", "\u200b", "a\u00a0", "\n"]))


@pytest.mark.parametrize(
    ("ends", "safe", "unsafe"),
    [
        ("solid", [" good", "good!", " \u0301", " \ufe0f", "   ", " 日"], [" \n", " a\u00a0", " \u200d", " \x00"]),
        ("visible", [" good", " a…", "  ", " 1"], [" \n", " \u0301", " \ufe0f", " \u200b", " \ufffd", " \u3164"]),
    ],
)
def test_ends_of_pieces(ends: Any, safe: list[str], unsafe: list[str]) -> None:
    rule = Splitting(spaced=True, ends=ends)
    assert all(rule.safe(safe))
    assert not any(rule.safe(unsafe))


@pytest.mark.parametrize(
    ("added", "separator"),
    [
        ([PAD, special("[UNK]", 1)], "[PAD]"),
        ([special("[UNK]", 1), PAD], "[PAD]"),  # words give [UNK] themselves
        ([special("[UNK]", 1)], None),
        ([], None),
        ([{**PAD, "lstrip": True}], None),
        ([{**PAD, "rstrip": True}], None),
        ([{**PAD, "single_word": True}], None),
        ([{**PAD, "normalized": True}], None),
        ([special("[A B]", 0)], None),
        ([PAD, special("x[P", 1)], "x[P"),  # would take the beginning of [PAD] after an x
        ([PAD, special("[", 1)], "["),
        ([PAD, special("AD]", 1)], "[PAD]"),
        ([special("PAD", 0)], "PAD"),
        ([special("PAD", 0), {**PAD, "single_word": True}], None),  # "goodPAD[PAD]"
        ([special("PAD", 0), {**PAD, "single_word": True}, special("<s>", 2)], "<s>"),
    ],
)
def test_what_stands_between_words(added: list[dict[str, Any]], separator: str | None) -> None:
    assert splitting_of({**json.loads(wordpiece()), "added_tokens": added}).separator == separator


def test_many_added_tokens_are_no_work_without_bound() -> None:
    """All tokens are compared with a few, not with each other."""
    twins = [special("<s>", 0)] * 20_000
    started = time.process_time()
    assert splitting_of({**json.loads(wordpiece()), "added_tokens": twins}).separator is None
    assert splitting_of({**json.loads(wordpiece()), "added_tokens": [*twins[:20], PAD]}).separator == "[PAD]"
    long = [special("[" * length, 0) for length in range(1, 3_000)]
    assert splitting_of({**json.loads(wordpiece()), "added_tokens": long}).separator is None
    assert time.process_time() - started < 4


def test_nothing_stands_between_words_where_only_the_first_gets_a_prefix() -> None:
    splitter = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    assert splitting_of(json.loads(unigram())).separator == "<s>"
    assert splitting_of(json.loads(edited(unigram(), pre_tokenizer=splitter))).separator is None


def test_what_may_hide_an_added_token() -> None:
    hidden = splitting_of(json.loads(metaspace_pad())).hidden
    assert hidden is not None
    assert hidden.contents == ("<pad>",)
    assert [part for part in ("<", *TO_PAD) if hidden.parts.search(part)] == ["<", "＜", "≺\u0338", "℗"]
    safe = ["<3", "a<b", " pad", " day", "é", " ＞", " ᵖad>"]
    unsafe = ["<pad>", " <pad>", "a<pad>b", " é<pad", " ＜3", " ≺\u0338", " ℗", " <\x07pad>"]
    rule = Splitting(spaced=True, ends="solid", hidden=hidden)
    assert rule.safe([*safe, *unsafe]) == [True] * len(safe) + [False] * len(unsafe)
    assert rule.safe(safe) == [True] * len(safe)


def test_a_token_that_takes_spaces_does_not_matter_where_they_are_dropped() -> None:
    rule = splitting_of(json.loads(model2vec_pad()))
    assert (rule.whole, rule.hidden) == ((), None)


def test_an_empty_map_hides_nothing() -> None:
    empty = {"type": "Precompiled", "precompiled_charsmap": ""}
    hidden = splitting_of(json.loads(edited(metaspace_pad(), normalizer=empty))).hidden
    assert hidden is not None
    assert hidden.parts.pattern == "<"
