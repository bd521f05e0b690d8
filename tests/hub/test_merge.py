"""What people wrote by hand stays, byte for byte; strangers' metadata are refused or left alone."""

from __future__ import annotations

import time

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import InvalidInputError
from m2v_hub.card.merge import BEGIN, END, METADATA, updated, updated_metadata

OURS = {"license": "mit", "tags": ["m2v", "embeddings"], "language": ["no"]}
SECTION = "# org/model\n\nfacts"
NEW = updated(None, OURS, SECTION)
BLOCK = NEW[NEW.index(BEGIN) : NEW.index(END) + len(END)]

#: Text without markers, and not all white space. The Hub's own client decides where metadata end, so none at its start.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=80).filter(
    lambda text: "m2v:" not in text
)
BODY = TEXT.filter(lambda text: text.strip() and not METADATA.match(text) and not text.startswith("\ufeff"))
VALUE = st.text(st.characters(codec="utf-8"), max_size=20)
SEPARATORS = [sign for sign in map(chr, range(0x3000)) if len(f"a{sign}b".splitlines()) == 2]  # as str.splitlines does
KEYS = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=8),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), VALUE),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("ab", min_size=1), inner, max_size=2)),
        max_leaves=5,
    ),
    max_size=4,
)  # fmt: skip


def head(text: str) -> str:
    return f"---\n{text}---\n"


def test_a_new_card() -> None:
    metadata = "license: mit\ntags:\n- m2v\n- embeddings\nlanguage:\n- 'no'\n"
    assert head(metadata) + f"\n{BEGIN}\n\n# org/model\n\nfacts\n\n{END}\n" == NEW
    assert ModelCard(NEW).data.to_dict() == OURS
    for existing in ("", "\n", "\ufeff", head(""), head("license: mit\n"), "\ufeff" + head("license: mit\n")):
        assert updated(existing, OURS, SECTION) == NEW, existing


def dumped(keys: dict) -> str:
    """As a user's program may write them; PyYAML reads U+0085 that it did not escape as a space."""
    text = yaml.safe_dump(keys, allow_unicode=True, sort_keys=False) if keys else ""
    return yaml.safe_dump(keys, sort_keys=False) if "\x85" in text else text


@settings(deadline=None)
@given(before=TEXT, after=TEXT, old=TEXT, keys=KEYS)
def test_text_outside_of_the_markers_stays(before: str, after: str, old: str, keys: dict) -> None:
    body = f"\n{before}\n<!-- m2v:begin -->\n{old}\n<!-- m2v:end -->\n{after}"
    card = updated(head(dumped(keys)) + body, OURS, SECTION)
    assert card.endswith(f"---\n\n{before}\n{BLOCK}\n{after}")
    assert ModelCard(card).data.to_dict() == {**{k: v for k, v in keys.items() if v is not None}, **OURS}
    assert updated(card, OURS, SECTION) == card


@settings(deadline=None)
@given(body=BODY, keys=KEYS)
def test_a_card_without_markers_is_the_users(body: str, keys: dict) -> None:
    metadata = head(dumped(keys)) if keys else ""
    card = updated(metadata + body, OURS, SECTION)
    assert card.endswith(f"---\n{body}")
    assert ModelCard(card).text == body
    assert updated(card, OURS, SECTION) == card


@settings(deadline=None)
@given(before=TEXT, after=TEXT)
def test_windows_line_endings(before: str, after: str) -> None:
    text = f"license: gpl # mine\n\n# on widgets\nwidget: []\n---\n\n{before}\n{BEGIN}\nold\n{END}\n{after}"
    card = updated(("---\n" + text).replace("\n", "\r\n"), OURS, SECTION)
    assert card.endswith(f"\n\n{before}\n{BLOCK}\n{after}".replace("\n", "\r\n"))
    assert "\n" not in card.replace("\r\n", "")
    assert "\r\n\r\n# on widgets\r\nwidget: []\r\n" in card


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "license: mit\n"),
        ("# only a comment\n", "# only a comment\nlicense: mit\n"),
        ("license: mit\n", "license: mit\n"),
        ("license:   'mit' # mine\n", "license:   'mit' # mine\n"),
        ("license: gpl\n", "license: mit\n"),
        ("license: gpl\n\n# more\nx: 1\n", "license: mit\n\n# more\nx: 1\n"),
        ("x: 1\nlicense: [a,\n  b]\ny: 2", "x: 1\nlicense: mit\ny: 2\n"),
        ("license: |\n  a\n  b\n\ny: {a: 1}\n", "license: mit\n\ny: {a: 1}\n"),
        ("license: a\nx: 1\nlicense: b\n", "license: mit\nx: 1\n"),
        ('"license": gpl\n', "license: mit\n"),
        ("x: 010 # as it is\nno: off\nd: 2024-01-01\n", "x: 010 # as it is\nno: off\nd: 2024-01-01\nlicense: mit\n"),
        ("t: !!python/object/apply:os.system [x]\n", "t: !!python/object/apply:os.system [x]\nlicense: mit\n"),
        ("x: &a 1\n", "x: &a 1\nlicense: mit\n"),
        ("x: 日本\n", "x: 日本\nlicense: mit\n"),
        ("- a\n", "keys"),
        ("{license: gpl}\n", "keys"),
        ("just text\n", "keys"),
        ("  license: gpl\n", "line 1"),
        ("? license\n: gpl\n", "line 1"),
        ("a: 1\n...\n", "end"),
        ("a: &x [1]\nb: [*x, *x]\n", "an alias .* in line 2"),
        ("license: !!python/object/apply:os.system [x]\n", "could not determine a constructor"),
        ("a: [1\n", "in line 2"),
        ("a: \x07\n", "unacceptable character"),
        ("a: b: c\n", "mapping values are not allowed"),
        ("a:\n\t- b\n", "in line 2"),
        ("a: " + "[" * 5_000 + "\n", "RecursionError|recursion"),
        ("a: " + "x" * (1 << 20), "1,048,576 characters at most"),
    ],
)  # fmt: skip
def test_metadata(text: str, expected: str) -> None:
    if expected.endswith("\n"):
        assert updated_metadata(text, {"license": "mit"}) == expected
    else:
        with pytest.raises(InvalidInputError, match=expected if expected != "keys" else "key: value"):
            updated_metadata(text, {"license": "mit"})


def test_a_bomb_is_refused_at_once() -> None:
    """Nine levels of nine aliases stand for a billion strings."""
    lines = ["a0: &a0 [lol, lol, lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    started = time.monotonic()
    with pytest.raises(InvalidInputError, match="alias"):
        updated(head("\n".join(lines) + "\n"), OURS, SECTION)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ("tags: [mine, m2v]\n", ["mine", "m2v", "embeddings"]),
        ("tags: mine\n", ["mine", "m2v", "embeddings"]),
        ("tags:\n- 3\n", ["3", "m2v", "embeddings"]),
        ("tags: {a: b}\n", ["m2v", "embeddings"]),
        ("tags:\n", ["m2v", "embeddings"]),
        ("tags: [embeddings, m2v]\n", ["embeddings", "m2v"]),
    ],
)
def test_tags_are_added(old: str, expected: list[str]) -> None:
    assert yaml.safe_load(updated_metadata(old, {"tags": ["m2v", "embeddings"]})) == {"tags": expected}


@pytest.mark.parametrize("separator", SEPARATORS)
def test_line_separators_stay_in_values(separator: str) -> None:
    """In tags that are written again, and in values that are ours; in the text they are bytes like any other."""
    tag, body = f"a{separator}b", f"# mine{separator}more\n"
    card = updated(f"---\n{dumped({'tags': [tag, separator]})}---\n{body}", {"tags": ["m2v"], "title": tag}, SECTION)
    assert yaml.safe_load(card.split("---\n")[1]) == {"tags": [tag, separator, "m2v"], "title": tag}
    assert card.endswith(body)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("<!-- m2v:begin -->\n", "begin in line 2"),
        ("<!-- m2v:end -->\n<!-- m2v:begin -->\n", "end in line 2, begin in line 3"),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", "begin in line 4"),
    ],
)
def test_markers_that_are_no_pair(body: str, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part):
        updated(f"mine\n{body}", OURS, SECTION)


@pytest.mark.parametrize(
    "text", ["see `<!-- m2v:begin -->`", " <!-- m2v:begin -->", "<!-- m2v:beginning -->", "m2v:end"]
)
def test_only_whole_lines_are_markers(text: str) -> None:
    assert updated(text, OURS, SECTION).endswith(f"---\n{text}")


def test_template_syntax_of_a_stranger_is_text() -> None:
    text = "{{ 7 * 7 }} {% for x in range(10**9) %}x{% endfor %}"
    assert updated(text, OURS, SECTION).endswith(f"---\n{text}")


def test_a_rule_is_no_metadata() -> None:
    body = "text\n\n---\n\nlicense: gpl\n\n---\n"
    assert updated(body, OURS, SECTION).endswith(f"---\n{body}")
    with pytest.raises(InvalidInputError, match="key: value"):
        updated(f"---\nThis is between two rules.\n---\n{body}", OURS, SECTION)


LINES = [
    "license: gpl", "license:", "tags: [a, 'b']", "  - a", "- b", "tags:", "  x: 1", "# c", "", "  # d", "k: |", "  text",
    "'tags': [a]", "language: >-", "a: &v w", 'b: "c', '  d"', "? e", "--- ", "f: {a: b,", "c: d}", "%YAML 1.1", "   ",
    "\tz", "license: !x y", "m: 'it''s", "  ok'", "a: b # c", "!!str q: r", "&z w: v", "g: *v", "...", "\u2028", "\x85",
    "license: a\x85  b", "i: a\u2028b", "'", "]", "\x01", "license: *v",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(lines=st.lists(st.sampled_from(LINES), max_size=7))
def test_any_metadata_are_refused_or_kept(lines: list[str]) -> None:
    """Whatever stands there: an error of ours, or metadata that parse, with our keys, and the others as they were."""

    def values(text: str) -> dict[str, str]:
        node = yaml.compose(text)
        return {key.value: yaml.serialize(value) for key, value in node.value} if node else {}

    text = "\n".join([*lines, ""])
    try:
        result = updated_metadata(text, OURS)
    except InvalidInputError:
        return
    before, after = values(text), values(result)
    assert {key: after.get(key) for key in before if key not in OURS} == {
        key: value for key, value in before.items() if key not in OURS
    }
    assert after.keys() == before.keys() | OURS.keys()
    assert updated_metadata(result, OURS) == result
