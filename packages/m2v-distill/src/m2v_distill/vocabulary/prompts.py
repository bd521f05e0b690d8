"""A prompt before each token, as before the texts that a teacher was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from m2v_distill.teacher.tokenizer import TeacherTokenizer


def after_prompt(
    sequences: Sequence[Sequence[int]], tokenizer: TeacherTokenizer, prompt: str
) -> tuple[list[list[int]], int]:
    """Put a prompt's ids before each sequence, behind what the tokenizer puts before any text ([CLS], say).

    Args:
        sequences: Ids of tokens, special ones around them.
        tokenizer: The teacher's.
        prompt: The text.

    Returns:
        The longer sequences, and how many ids at their start are special ones or the prompt's.
    """
    whole, empty = tokenizer.encode(prompt), tokenizer.encode("")
    if whole == empty:
        return [list(sequence) for sequence in sequences], 0
    lead = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(whole, empty, strict=False))))
    start = whole[: len(whole) - (len(empty) - lead)]
    return [[*start, *sequence[lead:]] for sequence in sequences], len(start)
