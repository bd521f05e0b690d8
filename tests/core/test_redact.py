"""What is shown of texts that others wrote."""

from __future__ import annotations

import pytest

from m2v_core.redact import has_hub_token, redacted

TOKEN = "hf_" + "Sesame" * 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a secret-of-another-form b", "a *** b"),
        ("hf_abcdefgh1234, Bearer xyz'", "***, Bearer ***'"),
        ("api_org_abcdefgh1234", "***"),
        ("at https://host/a?X-Amz-Signature=5&b=c (why?)", "at https://host/a?*** (why?)"),
        ("a\x1b[2J\nb", "a [2J b"),
        ("nothing secret", "nothing secret"),
    ],
)
def test_secrets_and_control_characters_are_removed(text: str, expected: str) -> None:
    assert redacted(text, "secret-of-another-form", None, "") == expected
    assert redacted(ValueError(text), "secret-of-another-form") == expected


def test_a_long_text_is_redacted_before_it_is_shortened() -> None:
    shown = redacted("x" * 290 + f" {TOKEN}")
    assert shown.endswith("***")
    assert len(redacted("x" * 1000)) == 301


def test_a_whole_token_is_found() -> None:
    assert has_hub_token(f"a {TOKEN}.")
    assert has_hub_token("api_org_" + "x" * 34)
    assert not has_hub_token("from huggingface_hub import hf_hub_download")
