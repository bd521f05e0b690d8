"""`model2vec.tokenizer`: the student's tokenizer out of the teacher's, as skeletoken's models or tokenizers' own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from m2v_distill.teacher.tokenizer import TeacherTokenizer
from m2v_distill.vocabulary.build import student_vocabulary
from m2v_distill.vocabulary.words import checked_words

__all__ = ["clean_and_create_vocabulary", "turn_tokens_into_ids"]


def clean_and_create_vocabulary(
    model: Any, vocabulary_to_add: Sequence[str], token_remove_regex: re.Pattern[str] | None
) -> Any:
    r"""The tokenizer of a student: without special tokens that it does not need, and with words; see `distill`.

    Args:
        model: The teacher's tokenizer: a skeletoken `TokenizerModel`, or a `tokenizers.Tokenizer`.
        vocabulary_to_add: Words to add.
        token_remove_regex: Tokens that match it at their start are removed.

    Returns:
        A tokenizer of the same class.

    Raises:
        InvalidInputError: A word is not a text, or no token is left.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> teacher = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "[unused0]": 2}, unk_token="[UNK]"))
        >>> teacher.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> student = clean_and_create_vocabulary(teacher, ["day"], re.compile(r"\[unused"))
        >>> student.encode("good day").tokens
        ['good', 'day']
    """
    pattern = None if token_remove_regex is None else token_remove_regex.pattern
    found = student_vocabulary(_teacher(model), pattern, checked_words(vocabulary_to_add)).tokenizer_json
    return Tokenizer.from_str(found) if isinstance(model, Tokenizer) else type(model).from_string(found)


def turn_tokens_into_ids(tokens: Sequence[str], model: Any) -> list[list[int]]:
    """The ids of each token, with the ids around a text; of what is no token, the ids as a text.

    Args:
        tokens: Tokens.
        model: The teacher's tokenizer, as for `clean_and_create_vocabulary`.
    """
    teacher = _teacher(model)
    ids = teacher.ids
    return [
        [*teacher.before, ids[token], *teacher.after] if token in ids else teacher.encode(token) for token in tokens
    ]


def _teacher(model: Any) -> TeacherTokenizer:
    return TeacherTokenizer.of(model.to_tokenizer() if hasattr(model, "to_tokenizer") else model)
