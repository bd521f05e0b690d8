"""A teacher's tokenizer: the one way from texts to this teacher's ids.

Where a folder holds a `tokenizer.json`, that file alone decides on the ids. transformers is asked only where there is
none: from the class that `tokenizer_config.json` names it would build a tokenizer anew, and keep of the file little but
the vocabulary.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.storage.files import read_json, read_text
from m2v_core.tokenize.backend import Backend
from m2v_distill.teacher.transformers_io import load_tokenizer, uncollected
from m2v_distill.vocabulary.tokenizer_file import (
    Raw,
    added_tokens,
    padding_token,
    special_ids,
    token_ids,
    unknown_token,
)

logger = logging.getLogger("m2v_distill")

#: transformers says 1e30 where a tokenizer has no longest length.
NO_LIMIT = 1 << 24

#: Texts by which two tokenizers show that their ids differ.
PROBES = (
    "The quick brown Fox, jumped over 2023 lazy dogs!  It's 3.14159.",
    "naïve café \uff21\uff22\uff23 \ufb01ne “quotes” — Łódź 100%",
    "日本語のテキスト 한국어 русский العربية हिन्दी 😀",
    "new\nline\tand   spaces",
)


@dataclass(frozen=True)
class TeacherTokenizer:
    """A teacher's `tokenizer.json`, and what its `tokenizer_config.json` says beside it.

    Attributes:
        json: The text of `tokenizer.json`.
        unk_token: The unknown token by its config; the one that `tokenizer.json` names comes first.
        pad_token: The padding token by its config.
        model_max_length: The most ids of a text; `None` for no limit.
        truncation_side: The side at which longer texts are cut, "right" or "left".
        gives_types: Whether its model is given the types of tokens.

    Example:
        >>> tokenizer = read_tokenizer(teacher_folder())
        >>> inner = tokenizer.encode("a text", special=False)
        >>> tokenizer.encode("a text") == [*tokenizer.before, *inner, *tokenizer.after]
        True
    """

    json: str
    unk_token: str | None = None
    pad_token: str | None = None
    model_max_length: int | None = None
    truncation_side: str = "right"
    gives_types: bool = False

    @classmethod
    def of(cls, tokenizer: Any) -> TeacherTokenizer:
        """Take over a tokenizer in memory: a fast one of transformers, or one of the tokenizers library.

        Raises:
            InvalidInputError: It is neither.
        """
        if isinstance(tokenizer, TeacherTokenizer):
            return tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if isinstance(tokenizer, Tokenizer):
            return cls(tokenizer.to_str())
        if backend is None:
            raise InvalidInputError(
                f"Expected a fast tokenizer (one with a tokenizer.json); found {type(tokenizer).__name__}. "
                f"Load it with AutoTokenizer and a current transformers, which converts the older kinds."
            )
        limit = tokenizer.model_max_length
        return cls(
            backend.to_str(),
            unk_token=tokenizer.unk_token,
            pad_token=tokenizer.pad_token,
            model_max_length=limit if limit < NO_LIMIT else None,
            truncation_side=tokenizer.truncation_side,
            gives_types="token_type_ids" in tokenizer.model_input_names,
        )

    @cached_property
    def raw(self) -> Raw:
        """The parsed content of `tokenizer.json`."""
        with uncollected():
            parsed: Raw = json.loads(self.json)
        return parsed

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token."""
        return token_ids(self.raw)

    @cached_property
    def library(self) -> Tokenizer:
        """The tokenizer of the tokenizers library, which neither cuts nor pads. Do not change it."""
        tokenizer = Tokenizer.from_str(self.json)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @property
    def before(self) -> tuple[int, ...]:
        """The ids before each text ([CLS], say)."""
        return special_ids(self.raw)[0]

    @property
    def after(self) -> tuple[int, ...]:
        """The ids after each text ([SEP], say)."""
        return special_ids(self.raw)[1]

    @property
    def unknown(self) -> str | None:
        """The unknown token."""
        return unknown_token(self.raw) or self._named(self.unk_token, "unk")

    @property
    def padding(self) -> str | None:
        """The padding token."""
        return self._named(self.pad_token, "pad") or padding_token(self.raw)

    @property
    def pad_id(self) -> int:
        """The id that fills a batch, where the teacher does not look."""
        return 0 if self.padding is None else self.ids[self.padding]

    def _named(self, token: str | None, role: str) -> str | None:
        """The token of a role: as the config says, else the special token that has the usual name of it."""
        if token in self.ids:
            return token
        specials = [found["content"] for found in added_tokens(self.raw) if found.get("special")]
        return next((content for content in specials if content.strip("[]<>|").lower() == role), None)

    @cached_property
    def closing_ids(self) -> frozenset[int]:
        """The ids of special tokens."""
        specials = [token["id"] for token in added_tokens(self.raw) if token.get("special")]
        return frozenset((*specials, *self.before, *self.after))

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of a text, with special tokens around it or without.

        Raises:
            BadTextError: The tokenizer cannot spell it, and has no unknown token.
        """
        return list(self.encodings(self.library, [text], special=special)[0].ids)

    def encodings(self, library: Tokenizer, texts: Sequence[str], *, special: bool = True) -> list[Encoding]:
        """What a tokenizer of the library that was made of this one makes of texts.

        Raises:
            BadTextError: It cannot spell one of them; the error names the first.
        """
        try:
            return library.encode_batch_fast(texts, add_special_tokens=special)
        except Exception:  # tokenizers raises bare Exception
            raise Backend(self.json, "tokenizer.json").bad_text(texts) from None


def read_tokenizer(folder: str | os.PathLike[str], *, trust_remote_code: bool = False) -> TeacherTokenizer:
    """The tokenizer of a teacher's folder.

    Args:
        folder: Holds `tokenizer.json`, or what transformers makes one of.
        trust_remote_code: Let the folder bring Python code, where it has no `tokenizer.json`.

    Raises:
        ModelFormatError: There is none, or it is damaged.
    """
    folder = Path(folder)
    path = folder / "tokenizer.json"
    if not path.is_file():
        return TeacherTokenizer.of(load_tokenizer(folder, trust_remote_code=trust_remote_code))
    config = _settings(folder / "tokenizer_config.json")
    named = _settings(folder / "special_tokens_map.json") | config
    limit, names = config.get("model_max_length"), config.get("model_input_names")
    text = read_text(path)
    try:
        with uncollected():
            truncation = json.loads(text).get("truncation") or {}
        tokenizer = TeacherTokenizer(
            text,
            unk_token=_content(named.get("unk_token")),
            pad_token=_content(named.get("pad_token")),
            model_max_length=int(limit) if isinstance(limit, int | float) and 1 <= limit < NO_LIMIT else None,
            truncation_side=str(config.get("truncation_side") or truncation.get("direction", "right")).lower(),
            gives_types=isinstance(names, list) and "token_type_ids" in names,
        )
        _ = tokenizer.library, tokenizer.ids, tokenizer.before
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelFormatError(
            f"{path}: expected a tokenizer of the tokenizers library; found {type(error).__name__}: {error}. Is the "
            f"file whole?"
        ) from None
    _note_other_special_tokens(tokenizer, config, path)
    return tokenizer


def _settings(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _content(token: Any) -> str | None:
    """A token of a config, which may be an object that holds it."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _note_other_special_tokens(tokenizer: TeacherTokenizer, config: dict[str, Any], path: Path) -> None:
    """Log where `tokenizer_config.json` asks for special tokens that `tokenizer.json` does not put."""
    for key, ids in (("add_bos_token", tokenizer.before), ("add_eos_token", tokenizer.after)):
        if config.get(key) is True and not ids:
            logger.warning(
                '%s: tokenizer_config.json says "%s": true, but the post_processor of tokenizer.json puts no such '
                "token around a text. The ids of tokenizer.json are used; change its post_processor if that is wrong.",
                path,
                key,
            )


def warn_if_ids_differ(passed: TeacherTokenizer, folder: str | os.PathLike[str]) -> None:
    """Warn where the tokenizer that a caller passes gives other ids than the folder's `tokenizer.json`."""
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        return
    own = read_tokenizer(Path(folder))
    if passed.ids != own.ids:
        reason = "they have other tokens"
    else:
        text = next((text for text in PROBES if passed.encode(text) != own.encode(text)), None)
        if text is None:
            return
        reason = f"of {text!r} they make {_few(passed.encode(text))} and {_few(own.encode(text))}"
    warnings.warn(
        f"The tokenizer that was passed gives other ids than {path} ({reason}). It is used, for the vocabulary and for "
        f"the texts of a corpus. To use the file, pass tokenizers.Tokenizer.from_file of it.",
        stacklevel=4,
    )


def _few(ids: Sequence[int]) -> str:
    return f"[{', '.join(map(str, ids[:8]))}{', ...' if len(ids) > 8 else ''}]"
