"""The student's vocabulary, and the teacher's ids for each of its tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2v_core.errors import InvalidInputError
from m2v_distill.hf import quiet, uncollected
from m2v_distill.words import WordCounts, sort_words

if TYPE_CHECKING:
    from skeletoken import TokenizerModel
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class TeacherVocabulary:
    """Attributes:
    tokens: The student's tokens, in the order of its ids.
    sequences: For each of them the teacher's ids: the token between whatever the teacher puts around a text ([CLS]
        and [SEP], say). One may be empty: some tokenizers have no ids for what they cannot spell.
    tokenizer_json: The student's `tokenizer.json`.
    before: The teacher's ids before any text.
    after: And behind it.
    pad_id: The teacher's padding id.
    word_counts: What became of the words that were to be added.
    """

    tokens: tuple[str, ...]
    sequences: list[list[int]]
    tokenizer_json: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    pad_id: int
    word_counts: WordCounts

    @property
    def pieces(self) -> list[list[int]]:
        """The sequences without what is before and behind them."""
        start, end = len(self.before), len(self.after)
        return [sequence[start : len(sequence) - end] for sequence in self.sequences]


def student_vocabulary(
    tokenizer: PreTrainedTokenizerFast,
    token_remove_pattern: str | None,
    words: Sequence[str] = (),
    *,
    use_subword: bool = True,
) -> TeacherVocabulary:
    """Turn a teacher's tokenizer into the student's, and say how the teacher spells each token.

    Added tokens that play no part in the student (mask, class and separator tokens, extra ids) go, and tokens that
    `token_remove_pattern` matches; the others keep their order, and words follow them. Special tokens are no longer
    put around a text.

    Args:
        tokenizer: A fast tokenizer of transformers. It is left as it is.
        token_remove_pattern: A regular expression, matched at a token's start; `None` removes nothing.
        words: Words to add, by the rules of model2vec 0.10; see `m2v_distill.words.sort_words`.
        use_subword: If False, the words are all there is, besides the unknown and the padding token.

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

    with quiet("skeletoken"), uncollected():
        teacher = TokenizerModel.from_transformers_tokenizer(tokenizer).prune_added_tokens()
        student = _cleaned(teacher, token_remove_pattern) if use_subword else _word_level(teacher)
        present = frozenset(teacher.vocabulary if use_subword else student.vocabulary)
        student, word_counts = _with_words(student, words, present, token_remove_pattern, whole=not use_subword)
        if not use_subword and not word_counts.added + word_counts.several:
            raise InvalidInputError(
                f"use_subword=False needs words, and none is left of the vocabulary ({word_counts})."
            )
        if student.padding is not None:
            old = student.padding
            student.padding = Padding(pad_id=old.pad_id, pad_token=old.pad_token, pad_type_id=0)
        tokens = student.sorted_vocabulary
        if not tokens:
            raise _nothing_left(token_remove_pattern)
        ids = tokenizer.get_vocab()
        before, after = (tuple(ids[token] for token in tokens or []) for tokens in (teacher.bos, teacher.eos))
        spell = _speller(ids, teacher, student, known=present, around=(before, after))
        sequences = [spell(token) for token in tokens]
    pad_id = 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
    return TeacherVocabulary(
        tuple(tokens), sequences, student.to_tokenizer().to_str(), before, after, pad_id, word_counts
    )


def _nothing_left(pattern: str | None) -> InvalidInputError:
    return InvalidInputError(f"token_remove_pattern {pattern!r} matches every token; make it match fewer.")


def _cleaned(teacher: TokenizerModel, token_remove_pattern: str | None) -> TokenizerModel:
    student = teacher.deep_copy()
    if student.adds_prefix_space is not None:  # a byte-level tokenizer: a text's first word as any other
        student.adds_prefix_space = True
    student.post_processor = None
    if token_remove_pattern is not None:
        pattern = re.compile(token_remove_pattern)
        doomed = [token for token in student.sorted_vocabulary if pattern.match(token)]
        if len(doomed) == student.vocabulary_size:
            raise _nothing_left(token_remove_pattern)
        student = student.remove_tokens_from_vocabulary(doomed) if doomed else student
    return student.prune_added_tokens()


def _word_level(teacher: TokenizerModel) -> TokenizerModel:
    """A tokenizer of whole words, none yet, that normalises and splits texts as the teacher's does.

    A teacher's that keeps spaces as a part of words ("▁day", "Ġday") would keep punctuation too: "day," were another
    word. There, texts are split as BERT's are.
    """
    from skeletoken import TokenizerModel
    from skeletoken.models import WordLevel
    from skeletoken.normalizers import ReplaceNormalizer
    from skeletoken.pre_tokenizers import BertPreTokenizer
    from skeletoken.vocabulary import Vocabulary

    unknown, mark = teacher.unk_token or "[UNK]", teacher.initial_subword_prefix
    splits = teacher.pre_tokenizer is not None and mark is None
    student = TokenizerModel(
        normalizer=teacher.normalizer,
        pre_tokenizer=teacher.pre_tokenizer if splits else BertPreTokenizer(),
        model=WordLevel(vocab=Vocabulary({unknown: 0}), unk_token=unknown),
    )
    if not splits and not teacher.transforms_into_bytes:  # a normalizer may have put the mark in place of spaces
        student = student.add_normalizer(ReplaceNormalizer(pattern=mark or "▁", content=" "))
    if teacher.pad_token is not None:
        student.pad_token = teacher.pad_token
    if len(student.preprocessor.preprocess("a b")) != 2:
        raise InvalidInputError(
            "use_subword=False needs a teacher whose tokenizer splits texts at spaces; this one does not. "
            "Add the words with use_subword=True."
        )
    return student


def _with_words(
    student: TokenizerModel, words: Sequence[str], present: Collection[str], pattern: str | None, *, whole: bool
) -> tuple[TokenizerModel, WordCounts]:
    """Add words as model2vec 0.10 does, to `student` or a copy of it, which takes a while.

    `whole` keeps multi-word tokens from being found inside of longer words.
    """
    found = sort_words(words, student.preprocessor, present, pattern)
    misspelt = [token for token in found.misspelt if token in student.vocabulary]
    if misspelt:
        student = student.remove_tokens_from_vocabulary(misspelt)
    n_before = student.vocabulary_size
    for token in found.single:
        if token not in student.vocabulary:  # else it was added as a piece of a word before it
            student.model.add_token(token)
    pieces = student.vocabulary_size - n_before - len(found.single)
    several = [text for text in found.several if text not in student.vocabulary]
    if several:
        student = student.add_addedtokens(several, is_special=False, single_word=whole, normalized=True)
    counts = WordCounts(
        added=len(found.single),
        several=len(several),
        pieces=pieces,
        present=found.n_present + len(found.several) - len(several),
        repeated=found.n_repeated,
        empty=found.n_empty,
        removed=found.n_removed,
    )
    return student, counts


def _speller(
    ids: Mapping[str, int],
    teacher: TokenizerModel,
    student: TokenizerModel,
    *,
    known: Collection[str],
    around: tuple[Sequence[int], Sequence[int]],
) -> Callable[[str], list[int]]:
    """A function from a student's token to the teacher's ids for it.

    Args:
        ids: The teacher's own, because those of the edited copies have moved.
        teacher: The teacher's without the tokens that play no part.
        student: The student's, with its added tokens.
        known: The student's tokens that are the teacher's too.
        around: Ids to put before and behind those of a token.
    """
    before, after = around
    pieces, backend = teacher.sorted_vocabulary, teacher.to_tokenizer()
    backend.no_padding()  # else a word is mostly padding, which the teacher would attend to
    several = {token.content for token in student.added_tokens.root}

    def spell(token: str) -> list[int]:
        if token in known and token in ids:
            return [*before, ids[token], *after]
        if student.transforms_into_bytes and token not in several:  # bytes already: "Ġday" is no text
            return [*before, *(ids[piece.value] for piece in backend.model.tokenize(token)), *after]
        return [ids[pieces[index]] for index in backend.encode(token).ids]

    return spell
