"""Texts into a teacher: tokenized and cut as sentence-transformers does, and embedded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from m2v_core.errors import InvalidInputError
from m2v_distill.teacher.engine.forward import embed_sequences

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from m2v_distill.teacher.teacher import Teacher


def encode_texts(
    teacher: Teacher,
    texts: Sequence[str],
    *,
    prompt_name: str | None,
    prompt: str | None,
    show_progress_bar: bool | None,
) -> Float32[ndarray, "N D"]:
    """See `Teacher.encode`."""
    wrong = {type(text).__name__ for text in texts} - {"str"}
    if wrong:
        raise InvalidInputError(f"Expected texts; found {', '.join(sorted(wrong))}.")
    prefix = prompt_of(teacher, prompt_name=prompt_name, prompt=prompt)
    tokenizer = teacher.text_tokenizer
    encodings = teacher.tokenizer.encodings(tokenizer, [prefix + text for text in texts])
    if teacher.tokenizer.gives_types and any(any(found.type_ids) for found in encodings):
        raise InvalidInputError(
            f"{teacher.name}: expected a tokenizer that gives each token of a text the type 0; found others in "
            f"{teacher.settings.encoder_folder / 'tokenizer.json'}, which m2v-distill does not compute."
        )
    head = teacher.settings.head
    vectors = np.empty((len(texts), head.width(teacher.hidden_size)), np.float32)
    empty = np.array([not encoding.ids for encoding in encodings], bool)
    if empty.any():  # no special tokens, no text
        states = jnp.zeros((1, 1, teacher.hidden_size))
        vectors[empty] = head(states, jnp.zeros((1, 1), bool), lambda: states[:, 0], jnp.int32(0))
    vectors[~empty] = embed_sequences(
        teacher,
        [encoding.ids for encoding in encodings if encoding.ids],
        prompt_length=len(prompt_ids(teacher, tokenizer, prefix)) if prefix else 0,
        pad_id=teacher.tokenizer.pad_id,
        show_progress_bar=show_progress_bar,
    )
    return vectors


def prompt_of(teacher: Teacher, *, prompt_name: str | None, prompt: str | None) -> str:
    """The text that goes before each text.

    Raises:
        InvalidInputError: Both are given, or the name is unknown.
    """
    prompts = teacher.settings.prompts
    if prompt is not None:
        if prompt_name is not None:
            raise InvalidInputError("Expected prompt or prompt_name; found both.")
        return prompt
    name = teacher.settings.default_prompt_name if prompt_name is None else prompt_name
    if name is not None and name not in prompts:
        raise InvalidInputError(f"{teacher.name} has the prompts {list(prompts)}; found {name!r}.")
    return prompts[name] if name is not None else ""


def prompt_ids(teacher: Teacher, tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The ids that a prompt puts at the start of a sequence: special ones before it too, but not a closing one."""
    ids = list(tokenizer.encode(prompt).ids)
    return ids[:-1] if ids and ids[-1] in teacher.tokenizer.closing_ids else ids


def text_tokenizer(teacher: Teacher) -> Tokenizer:
    """A copy of the teacher's tokenizer that cuts texts at the longest length, and lowers their case if asked."""
    from tokenizers import Tokenizer, normalizers

    whole = teacher.tokenizer
    tokenizer = Tokenizer.from_str(whole.json)
    settings = teacher.settings
    asked = (
        [whole.model_max_length, settings.positions] if settings.max_seq_length is None else [settings.max_seq_length]
    )
    longest = min((limit for limit in (*asked, teacher.max_length) if limit is not None), default=None)
    if longest is not None:
        tokenizer.enable_truncation(longest, direction=whole.truncation_side)
    else:
        tokenizer.no_truncation()
    tokenizer.no_padding()
    if settings.lower_case and not lowers_case(json.loads(tokenizer.to_str())["normalizer"]):
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer


def text_limit(teacher: Teacher, prompt: str) -> int | None:
    """How many ids of a text the teacher sees, behind a prompt and between special ones; `None` for all."""
    tokenizer = teacher.text_tokenizer
    if tokenizer.truncation is None:
        return None
    return max(1, int(tokenizer.truncation["max_length"]) - len(tokenizer.encode(prompt).ids))


def lowers_case(normalizer: dict[str, Any] | None) -> bool:
    """Whether a normalizer of a `tokenizer.json` has a step that puts texts into lower case.

    Example:
        >>> lowers_case({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})
        True
    """
    if normalizer is None:
        return False
    return any(part["type"] == "Lowercase" for part in (normalizer, *normalizer.get("normalizers", [])))
