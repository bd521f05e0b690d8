"""The tokenizer of a teacher: the only way from texts to its ids. Prompts, special ids and truncation are here.

Where a folder has a `tokenizer.json`, that file alone decides on the ids. Only without it, transformers is asked: it
would build a new tokenizer for the class in `tokenizer_config.json` and keep little of the file but the vocabulary.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer, normalizers

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.prompts import check_one
from m2v_core.storage.files import read_json, read_text
from m2v_core.tokenize.backend import Backend, check_character_maps
from m2v_core.tokenize.bad_texts import is_refusal
from m2v_distill.logs import logger
from m2v_distill.teacher.modules_json import TextSettings
from m2v_distill.teacher.transformers_io import load_tokenizer
from m2v_distill.vocabulary.tokenizer_file import (
    Raw,
    added_tokens,
    padding_token,
    parse,
    special_ids,
    token_ids,
    unknown_token,
)

#: Lengths from here on mean that there is no limit: transformers writes 1e30 then.
NO_LIMIT = 1 << 24

#: Settings of a folder without sentence-transformers' files.
NO_SETTINGS = TextSettings()

#: Texts that show whether the ids of two tokenizers differ.
PROBES = (
    "The quick brown Fox, jumped over 2023 lazy dogs!  It's 3.14159.",
    "naïve café \uff21\uff22\uff23 \ufb01ne “quotes” — Łódź 100%",
    "日本語のテキスト 한국어 русский العربية हिन्दी 😀",
    "new\nline\tand   spaces",
)


@dataclass(frozen=True)
class TeacherTokenizer:
    """A teacher's `tokenizer.json`, with the settings beside it that decide on the ids of a text.

    Attributes:
        json: The text of `tokenizer.json`.
        unk_token: Unknown token by `tokenizer_config.json`; the one that `tokenizer.json` names takes precedence.
        pad_token: Padding token by `tokenizer_config.json`.
        model_max_length: Largest number of ids of a text by `tokenizer_config.json`; `None` for no limit.
        truncation_side: Side at which longer texts are cut, "right" or "left".
        has_token_types: Whether the model is given token types.
        settings: How the sentence transformer prepares texts.
        encoder_limit: Longest sequence that the encoder takes; `None` for no limit.

    Example:
        >>> tokenizer = read_tokenizer(teacher_folder())
        >>> ids = tokenizer.encode("a text", special=False)
        >>> tokenizer.encode("a text") == [*tokenizer.before, *ids, *tokenizer.after]
        True
    """

    json: str
    unk_token: str | None = None
    pad_token: str | None = None
    model_max_length: int | None = None
    truncation_side: str = "right"
    has_token_types: bool = False
    settings: TextSettings = NO_SETTINGS
    encoder_limit: int | None = None

    @classmethod
    def of(cls, tokenizer: Any) -> TeacherTokenizer:
        """The tokenizer of a teacher from one in memory: a fast one of transformers, or one of the tokenizers library.

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
            has_token_types="token_type_ids" in tokenizer.model_input_names,
        )

    def prepared(self, settings: TextSettings, encoder_limit: int | None) -> TeacherTokenizer:
        """The tokenizer with the settings of a teacher."""
        if (settings, encoder_limit) == (self.settings, self.encoder_limit):
            return self
        return replace(self, settings=settings, encoder_limit=encoder_limit)

    # The vocabulary and its roles

    @cached_property
    def raw(self) -> Raw:
        """The parsed content of `tokenizer.json`."""
        return parse(self.json)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token."""
        return token_ids(self.raw)

    @property
    def before(self) -> tuple[int, ...]:
        """The ids before each text ([CLS], for example)."""
        return special_ids(self.raw)[0]

    @property
    def after(self) -> tuple[int, ...]:
        """The ids after each text ([SEP], for example)."""
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
        """The id that fills a batch, at positions that the mask excludes."""
        return 0 if self.padding is None else self.ids[self.padding]

    def _named(self, token: str | None, role: str) -> str | None:
        """The token of a role: that of the config, else the special token with the usual name of the role."""
        if token in self.ids:
            return token
        specials = [found["content"] for found in added_tokens(self.raw) if found.get("special")]
        return next((content for content in specials if content.strip("[]<>|").lower() == role), None)

    # Ids of tokens, without truncation

    @cached_property
    def library(self) -> Tokenizer:
        """The tokenizer of the tokenizers library, without truncation and padding. Do not change it."""
        tokenizer = Tokenizer.from_str(self.json)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of a text, not truncated, with special ids around it or without.

        Raises:
            BadTextError: The tokenizer cannot spell the text, and has no unknown token.
        """
        return list(self._encodings(self.library, [text], special=special)[0].ids)

    def model_ids(self, token: str) -> list[int]:
        """The ids that the tokenizer's model gives a string as it is, which is neither normalised nor split."""
        return [piece.id for piece in self.library.model.tokenize(token)]

    def with_prompt(self, sequences: Sequence[Sequence[int]], prompt: str) -> tuple[list[list[int]], int]:
        """Insert the ids of a prompt into each sequence, after the special ids that come before any text.

        Args:
            sequences: Ids of tokens with special ids around them.
            prompt: The text of the prompt.

        Returns:
            The longer sequences, and the number of ids at their start that are special ones or the prompt's.
        """
        whole, empty = self.encode(prompt), self.encode("")
        if whole == empty:
            return [list(sequence) for sequence in sequences], 0
        lead = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(whole, empty, strict=False))))
        start = whole[: len(whole) - (len(empty) - lead)]
        return [[*start, *sequence[lead:]] for sequence in sequences], len(start)

    # Ids of texts, as sentence-transformers has them

    def prompt(self, *, prompt_name: str | None = None, prompt: str | None = None) -> str:
        """The text that is put before each text: the given one, that of the given name, or the default one.

        Raises:
            InvalidInputError: Both are given, or the name is unknown.
        """
        prompts = self.settings.prompts
        check_one(prompt_name, prompt)
        if prompt is not None:
            return prompt
        name = self.settings.default_prompt_name if prompt_name is None else prompt_name
        if name is not None and name not in prompts:
            raise InvalidInputError(f"prompt_name should be one of the teacher's, {list(prompts)}; found {name!r}.")
        return prompts[name] if name is not None else ""

    def text_ids(self, texts: Sequence[str], prompt: str = "") -> list[list[int]]:
        """The ids of texts after a prompt: lower-cased if the settings say so, truncated, with special ids.

        Raises:
            BadTextError: The tokenizer cannot spell a text, and has no unknown token.
            InvalidInputError: A token has a type other than 0, and the model is given token types.
        """
        encodings = self._encodings(self._truncating, [prompt + text for text in texts])
        if self.has_token_types and any(any(found.type_ids) for found in encodings):
            raise InvalidInputError(
                "tokenizer.json: expected each token of a text to have the type 0; found other types, which "
                "m2v-distill does not compute. Choose another teacher."
            )
        return [list(found.ids) for found in encodings]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """The number of ids of each text, not truncated, without special ids.

        Raises:
            BadTextError: The tokenizer cannot spell a text, and has no unknown token.
        """
        texts = [text.lower() for text in texts] if self.settings.lower_case else texts
        return [len(found) for found in self._encodings(self.library, texts, special=False)]

    def prompt_length(self, prompt: str) -> int:
        """The number of ids that a prompt puts at the start of a text, with the special ids before it."""
        if not prompt:
            return 0
        ids = self._truncating.encode(prompt).ids
        return len(ids) - (bool(ids) and ids[-1] in self._closing_ids)

    def tokens_left(self, prompt: str) -> int | None:
        """The largest number of ids of a text after a prompt and between special ids; `None` for no limit."""
        if self._truncating.truncation is None:
            return None
        return max(1, int(self._truncating.truncation["max_length"]) - len(self._truncating.encode(prompt).ids))

    @cached_property
    def _truncating(self) -> Tokenizer:
        """The library's tokenizer as it prepares texts."""
        tokenizer, settings = Tokenizer.from_str(self.json), self.settings
        own = [settings.max_seq_length]
        if settings.max_seq_length is None:
            own = [self.model_max_length, settings.positions]
        limits = [limit for limit in (*own, self.encoder_limit) if limit is not None]
        if limits:
            tokenizer.enable_truncation(min(limits), direction=self.truncation_side)
        else:
            tokenizer.no_truncation()
        tokenizer.no_padding()
        if settings.lower_case and not lowers_case(self.raw.get("normalizer")):
            normalizer = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *normalizer])
        return tokenizer

    @cached_property
    def _closing_ids(self) -> frozenset[int]:
        specials = [token["id"] for token in added_tokens(self.raw) if token.get("special")]
        return frozenset((*specials, *self.before, *self.after))

    def _encodings(self, library: Tokenizer, texts: Sequence[str], *, special: bool = True) -> list[Encoding]:
        try:
            return library.encode_batch_fast(texts, add_special_tokens=special)
        except BaseException as error:  # tokenizers raises bare Exception
            if not is_refusal(error):
                raise
            raise Backend(self.json, "tokenizer.json").bad_text(texts) from None


def read_tokenizer(
    folder: str | os.PathLike[str],
    settings: TextSettings = NO_SETTINGS,
    *,
    encoder_limit: int | None = None,
    trust_remote_code: bool = False,
) -> TeacherTokenizer:
    """The tokenizer of a teacher's folder.

    Args:
        folder: A folder with `tokenizer.json`, or with files that transformers makes a tokenizer of.
        settings: How the sentence transformer prepares texts.
        encoder_limit: Longest sequence that the encoder takes; `None` for no limit.
        trust_remote_code: Whether Python code of the folder may be run, where there is no `tokenizer.json`.

    Raises:
        ModelFormatError: There is no tokenizer, or it is damaged.
    """
    folder = Path(folder)
    path = folder / "tokenizer.json"
    if not path.is_file():
        loaded = TeacherTokenizer.of(load_tokenizer(folder, trust_remote_code=trust_remote_code))
        return loaded.prepared(settings, encoder_limit)
    config = _optional_json(folder / "tokenizer_config.json")
    named = _optional_json(folder / "special_tokens_map.json") | config
    limit, names = config.get("model_max_length"), config.get("model_input_names")
    text = read_text(path)
    try:
        truncation = parse(text).get("truncation") or {}
        tokenizer = TeacherTokenizer(
            text,
            unk_token=_content(named.get("unk_token")),
            pad_token=_content(named.get("pad_token")),
            model_max_length=int(limit) if isinstance(limit, int | float) and 1 <= limit < NO_LIMIT else None,
            truncation_side=str(config.get("truncation_side") or truncation.get("direction", "right")).lower(),
            has_token_types=isinstance(names, list) and "token_type_ids" in names,
            settings=settings,
            encoder_limit=encoder_limit,
        )
        check_character_maps(text)
        _ = tokenizer.library, tokenizer.ids, tokenizer.before
    except BaseException as error:  # tokenizers raises bare Exception
        if not is_refusal(error):
            raise
        raise ModelFormatError(
            f"{path}: expected a tokenizer of the tokenizers library; found {type(error).__name__}: {error}. Is the "
            f"file whole?"
        ) from None
    _warn_of_missing_special_ids(tokenizer, config, path)
    return tokenizer


def warn_if_ids_differ(passed: TeacherTokenizer, own: TeacherTokenizer, folder: Path) -> None:
    """Warn if the tokenizer that a caller passes gives other ids than the `tokenizer.json` of the teacher's folder."""
    if passed.ids != own.ids:
        reason = "they have other tokens"
    else:
        text = next((text for text in PROBES if passed.encode(text) != own.encode(text)), None)
        if text is None:
            return
        reason = f"for {text!r} they give {_first_few(passed.encode(text))} and {_first_few(own.encode(text))}"
    warnings.warn(
        f"The tokenizer that was passed gives other ids than {folder / 'tokenizer.json'} ({reason}). It is used for "
        f"the vocabulary and for the texts of a corpus. To use the file, pass tokenizers.Tokenizer.from_file of it.",
        stacklevel=4,
    )


def lowers_case(normalizer: Raw | None) -> bool:
    """Whether a normalizer of a `tokenizer.json` has a step that lower-cases texts.

    Example:
        >>> lowers_case({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})
        True
    """
    if normalizer is None:
        return False
    return any(part["type"] == "Lowercase" for part in (normalizer, *normalizer.get("normalizers", [])))


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _content(token: Any) -> str | None:
    """A token of a config, where it may be an object that holds the string."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _warn_of_missing_special_ids(tokenizer: TeacherTokenizer, config: dict[str, Any], path: Path) -> None:
    """Warn if `tokenizer_config.json` asks for special tokens that `tokenizer.json` does not add."""
    for key, ids in (("add_bos_token", tokenizer.before), ("add_eos_token", tokenizer.after)):
        if config.get(key) is True and not ids:
            logger.warning(
                '%s: tokenizer_config.json says "%s": true, but the post_processor of tokenizer.json adds no such '
                "token to a text. The ids of tokenizer.json are used; change its post_processor if that is wrong.",
                path,
                key,
            )


def _first_few(ids: Sequence[int]) -> str:
    return f"[{', '.join(map(str, ids[:8]))}{', ...' if len(ids) > 8 else ''}]"
