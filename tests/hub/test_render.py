"""Values stay text whatever they hold; templates of users run in a sandbox, and their mistakes are named."""

from __future__ import annotations

import html
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from cards import CONFIG, MARKDOWN, RESULTS, model_of
from m2v_core import InvalidInputError
from m2v_hub import card_for
from m2v_hub.card.render import escaped, literal, plain, render


def shown(markdown: str) -> str:
    """What a reader sees of Markdown that must be one paragraph of text."""
    result = MARKDOWN.render(markdown)
    assert re.fullmatch(r"<p>[^<>]*</p>\n", result), result
    return html.unescape(result[3:-5])


SIGNS = st.text(st.sampled_from("\\`*_{}[]()<>#+-.!|~&$:@=/'\" \n\ta1é\u202e\x00"), max_size=20)


@settings(deadline=None)
@given(value=st.one_of(st.text(max_size=40), SIGNS))
@example("www.evil.example https://evil.example me@evil.example")
@example("$$x$$ \\(y\\) \\\\[z\\\\]")
@example("-")
@example("1. a")
@example("a\n===\nb\n---")
@example("&lt; &#60; &amp;lt;")
def test_values_are_shown_as_they_are(value: str) -> None:
    text = plain(value)
    if text:
        assert shown(escaped(value)) == text
        assert shown(f"before {escaped(value)} after") == f"before {text} after"
        table = MARKDOWN.render(f"| a | b |\n| --- | --- |\n| {escaped(value)} | c |\n")
        assert re.findall(r"<td>(.*)</td>", table) == [html.escape(text).replace("&#x27;", "'"), "c"]
    for structure in ("://", "www.", "$", "\\", "{{", "{%", "<", "@"):  # what GitHub, the Hub and jinja2 look for
        assert structure not in escaped(value).lower()


@given(value=st.text(max_size=40))
def test_plain_text_is_one_visible_line(value: str) -> None:
    text = plain(value)
    assert text == text.strip()
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") or sign in "\u2028\u2029\u202e" for sign in text)
    assert plain(text) == text


def test_names_stay_readable() -> None:
    for name in ("sentence-transformers/all-MiniLM-L6-v2", "token_remove_pattern", "apache-2.0", "0.0001", "en, de"):
        assert escaped(name) == name
    assert escaped(Markup("[a](b)")) == "[a](b)"
    assert escaped(None) == "&#45;"


@given(value=st.text())
def test_literals_are_the_string(value: str) -> None:
    assert eval(literal(value)) == value  # noqa: S307 # that is what it is for
    assert "\n" not in literal(value)


@pytest.fixture
def own(tmp_path: Path):
    """A function that renders a user's template for a small model."""
    model_of(CONFIG).save_pretrained(tmp_path / "m")

    def render_own(template: str, **options: object) -> str:
        file = tmp_path / "own.md"
        file.write_text(template, encoding="utf-8")
        card = card_for(tmp_path / "m", template=file, repo_id="org/m", **options)
        return card.partition("-->\n\n")[2].rpartition("\n\n<!--")[0]

    return render_own


def test_a_template_of_ones_own(own) -> None:
    text = own(
        "# {{ name }}\n{% for code in language %}\n* {{ code }}\n{% endfor %}\n"
        "{{ bytes | size }}, {{ tokens | number }}, {{ head }}, {{ metadata.license }}, {{ results[0].value }}\n"
        "{{ '*' ~ base_model ~ '*' }} {{ '<b>' | safe }} {{ distillation_settings.rounds }} {{ name | literal }}",
        metrics=RESULTS,
    )
    assert text == (
        "# org/m\n* en\n* de\n1.1 kB, 35, &#45;, apache-2.0, 0.9375\n"
        '&#42;org/teacher&#42; <b> 6 "org/m"'
    )  # fmt: skip


def test_a_template_may_change_a_block_of_ours(own) -> None:
    text = own('{% extends "distilled.md" %}{% block summary %}Mine.\n{% endblock %}')
    assert text.startswith("# org/m\n\nMine.\n\n| | |\n| --- | --- |\n| vectors | 8 dimensions")


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("a\n\n{{ nope }}", "line 3: .*'nope' is undefined"),
        ("a\n{{ name", "line 2: .*unexpected end of template"),
        ("{% for x in name %}", "line 1: .*endfor"),
        ("a\n{{ name.nope }}", "line 2: .*nope"),
        ("\n\n\n{{ 1 / 0 }}", "line 4: .*division by zero"),
        ("{{ name | nope }}", "line 1: .*No filter named 'nope'"),
        ("{{ 'a' + 1 }}", "line 1"),
        ("{% include '/etc/passwd' %}", "line 1: .*/etc/passwd"),
        ("{% include 'own.md' %}", "line 1: .*own.md"),
        ("{% include '../card.py' %}", "line 1"),
        ("\n{{ ''.__class__.__mro__ }}", "line 2: .*unsafe"),
        ("{{ metadata.update(a=1) }}", "line 1: .*unsafe"),
        ("{{ results.append(1) }}", "line 1"),
        ("{% for x in range(1000000) %}{% endfor %}", "line 1: .*[Rr]ange too big"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "line 1: .*recursion"),
        ("---\nlicense: mit\n---\n", "text only"),
        ("a\n<!-- m2v:end -->\nb", "marker lines"),
    ],
)
def test_mistakes(own, template: str, part: str) -> None:
    with pytest.raises(InvalidInputError, match=part) as caught:
        own(template)
    assert "own.md" in str(caught.value) or "marker" in part


def test_a_template_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no such file"):
        render(tmp_path / "none.md", {})
    (tmp_path / "latin.md").write_bytes("é".encode("latin-1"))
    with pytest.raises(InvalidInputError, match="UTF-8"):
        render(tmp_path / "latin.md", {})
