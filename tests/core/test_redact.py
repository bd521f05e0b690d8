"""What is shown of texts that others wrote."""

from __future__ import annotations

import pytest

from m2v_core import InvalidInputError
from m2v_core.redact import checked_token, has_hub_token, redacted

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


@pytest.mark.parametrize("secret", ["open-sesame\n", " open sesame ", "open\nsesame", "open\tsesame"])
def test_a_secret_of_several_words(secret: str) -> None:
    """White space of a text is replaced before its secrets are."""
    for text in (f"a {secret} b", f"a {secret.strip()!r} b", f"a {' '.join(secret.split())} b"):
        assert "sesame" not in redacted(text, secret, " ", "\n")
    assert redacted("a b", " ") == "a b"


def test_white_space_around_a_token_is_removed() -> None:
    assert checked_token("  a-token\n") == "a-token"
    assert checked_token(None) is None


@pytest.mark.parametrize("token", ["", " ", "hf_a b", "hf_a\nb", "hf_é", "hf_\x00", "hf_\x1b"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(InvalidInputError, match="one word") as caught:
        checked_token(token)
    assert token.strip() == "" or token not in str(caught.value)
