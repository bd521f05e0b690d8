"""The student's vocabulary, and the teacher's ids for each of its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2v_core.errors import InvalidInputError
from m2v_distill.hf import quiet

if TYPE_CHECKING:
    from skeletoken import TokenizerModel
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class TeacherVocabulary:
    """Attributes:
    sequences: For each student token, in the order of its ids, the teacher's ids: the token between whatever the
        teacher puts around a text ([CLS] and [SEP], say).
    tokenizer_json: The student's `tokenizer.json`.
    pad_id: The teacher's padding id.
    """

    sequences: list[list[int]]
    tokenizer_json: str
    pad_id: int


def student_vocabulary(tokenizer: PreTrainedTokenizerFast, token_remove_pattern: str | None) -> TeacherVocabulary:
    """Turn a teacher's tokenizer into the student's, and say how the teacher spells each token.

    Added tokens that play no part in the student (mask, class and separator tokens, extra ids) go, and tokens that
    `token_remove_pattern` matches; the others keep their order. Special tokens are no longer put around a text.

    Args:
        tokenizer: A fast tokenizer of transformers. It is left as it is.
        token_remove_pattern: A regular expression, matched at a token's start; `None` removes nothing.

    Raises:
        InvalidInputError: No token is left, or the tokenizer is not a fast one.
    """
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise InvalidInputError(
            f"Expected a fast tokenizer (one with a tokenizer.json); found {type(tokenizer).__name__}. "
            f"Load it with AutoTokenizer and a current transformers, which converts the older kinds."
        )
    from skeletoken import TokenizerModel
    from skeletoken.padding import Padding

    with quiet("skeletoken"):
        teacher = TokenizerModel.from_transformers_tokenizer(tokenizer).prune_added_tokens()
        student = _cleaned(teacher, token_remove_pattern)
        if student.padding is not None:
            old = student.padding
            student.padding = Padding(pad_id=old.pad_id, pad_token=old.pad_token, pad_type_id=0)
        tokens = student.sorted_vocabulary
    if not tokens:
        raise InvalidInputError(
            f"token_remove_pattern {token_remove_pattern!r} matches every token; make it match fewer."
        )
    # By the tokenizer itself, not by the edited copy, whose ids have moved.
    ids = tokenizer.get_vocab()
    before = [ids[token] for token in teacher.bos or []]
    after = [ids[token] for token in teacher.eos or []]
    sequences = [
        [*before, ids[token], *after] if token in ids else list(tokenizer(token)["input_ids"]) for token in tokens
    ]
    pad_id = tokenizer.pad_token_id
    return TeacherVocabulary(sequences, student.to_tokenizer().to_str(), 0 if pad_id is None else int(pad_id))


def _cleaned(teacher: TokenizerModel, token_remove_pattern: str | None) -> TokenizerModel:
    student = teacher.deep_copy()
    if student.adds_prefix_space is not None:  # a byte-level tokenizer: a text's first word as any other
        student.adds_prefix_space = True
    student.post_processor = None
    if token_remove_pattern is not None:
        pattern = re.compile(token_remove_pattern)
        doomed = [token for token in student.sorted_vocabulary if pattern.match(token)]
        if len(doomed) == student.vocabulary_size:
            raise InvalidInputError(
                f"token_remove_pattern {token_remove_pattern!r} matches every token; make it match fewer."
            )
        student = student.remove_tokens_from_vocabulary(doomed)
    return student.prune_added_tokens()
