"""Tokenizers of strangers on which the tokenizers library panics, with an error that is no `Exception`."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import numpy as np
import pytest

from m2v_core import BadTextError, M2VError, ModelFormatError, StaticModel
from m2v_core.tokenize.backend import check_character_maps


def tokenizer(**parts: Any) -> str:
    whole = {
        **dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder")),
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"},
    }
    return json.dumps({**whole, **parts})


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def model(text: str) -> StaticModel:
    return StaticModel(np.zeros((2, 2), np.float32), text)


def charsmap(size: int, data: bytes = b"") -> dict[str, Any]:
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(size.to_bytes(4, "little") + data).decode()}


@pytest.mark.parametrize(
    "normalizer",
    [
        {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
        charsmap(4, b"\0\0\0\xff"),
        {"type": "Sequence", "normalizers": [charsmap(2**32 - 1)]},
    ],
)
def test_a_character_map_that_is_none(normalizer: dict[str, Any]) -> None:
    """At once, or when the library is loaded for a text that it must see."""
    with pytest.raises(M2VError):
        model(tokenizer(normalizer=normalizer)).encode(["a", "a\0日本 \ufb01"])


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")
def test_a_map_that_asks_for_gigabytes_is_not_read() -> None:
    """The library reserves what the map states, and ends the process where that cannot be had."""
    for escaped in (False, True):
        text = tokenizer(normalizer={"type": "Sequence", "normalizers": [charsmap(2**32 - 1)]})
        if escaped:
            text = text.replace("precompiled_charsmap", r"\u0070recompiled_charsma\u0070")
        with pytest.raises(ValueError, match="a larger size than it has"):
            check_character_maps(text)
    check_character_maps(tokenizer(normalizer=charsmap(4, bytes(4))))


@pytest.mark.parametrize("splitter", [{"type": "FixedLength", "length": 0}, split("(a+)+$")])
@pytest.mark.parametrize("texts", [["hello world,日本", "a" * 40 + "!"], "a" * 40 + "!"])
def test_a_text_on_which_the_library_panics(splitter: dict[str, Any], texts: str | list[str]) -> None:
    """Earlier versions refuse `FixedLength`, and later ones may mend either."""
    try:
        found = model(tokenizer(pre_tokenizer=splitter)).encode(texts)
    except BadTextError as error:
        assert error.index in (0, 1)  # noqa: PT017
    except ModelFormatError as error:
        assert "cannot read it" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(found).all()
