"""The student's table out of the teacher: token by token, composed, or fitted to a corpus."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float32, Float64, Int
from numpy import ndarray

from m2v_core import Config, InvalidInputError, StaticModel
from m2v_distill.chunks import ChunkStore
from m2v_distill.compose import (
    GROUP_SIZE,
    WHITENING,
    fit_corpus,
    fit_groups,
    joined,
    mean_rows,
    text_moments,
    token_groups,
    token_moments,
)
from m2v_distill.config import DistillConfig
from m2v_distill.corpus import read_texts
from m2v_distill.design import Design, spooled
from m2v_distill.features import featurize
from m2v_distill.forward import embed_sequences
from m2v_distill.pca import apply_pca, apply_whitened_pca
from m2v_distill.prompts import after_prompt
from m2v_distill.store import FeatureStore, is_store, unit
from m2v_distill.teacher.teacher import Teacher
from m2v_distill.teacher.texts import prompt_of, text_limit
from m2v_distill.vocab import TeacherVocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Where a corpus is kept in `checkpoint_dir`.
CORPUS = "corpus"


def likely_lengths(tokenizer: PreTrainedTokenizerFast, config: DistillConfig) -> Int[ndarray, " N"]:
    """Lengths of the sequences that a vocabulary makes if each of its tokens is one to the teacher."""
    around, n_tokens = len(tokenizer("")["input_ids"]), len(tokenizer)
    n_groups = config.group_rounds * (n_tokens // GROUP_SIZE) if config.method == "composed" else 0
    return np.repeat([around + 1, around + GROUP_SIZE], [n_tokens, n_groups])


def token_table(
    teacher: Teacher,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: TeacherVocabulary,
    config: DistillConfig,
    _frequencies: Float64[ndarray, " V"],
    weights: Float64[ndarray, " V"],
) -> Float32[ndarray, "V D"]:
    """Each token as the teacher sees it alone."""
    table = _teacher_vectors(teacher, tokenizer, vocabulary, config, [])
    return apply_pca(table, config.pca_dims) * weights[:, None].astype(np.float32)


def composed_table(
    teacher: Teacher,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: TeacherVocabulary,
    config: DistillConfig,
    frequencies: Float64[ndarray, " V"],
    weights: Float64[ndarray, " V"],
) -> Float32[ndarray, "V D"]:
    """Each token as the teacher sees it among others: random ones, and then those of a corpus."""
    corpus = None if config.corpus is None else _corpus(teacher, config)
    n_tokens, pieces = len(vocabulary.tokens), vocabulary.pieces
    spelt = np.flatnonzero([bool(ids) for ids in pieces])
    groups, sequences = joined(
        token_groups(spelt, rounds=config.group_rounds, seed=config.seed),
        pieces,
        _room(teacher, tokenizer, vocabulary, config),
    )
    vectors = _teacher_vectors(teacher, tokenizer, vocabulary, config, sequences)
    design = Design.of(groups, n_tokens=n_tokens, mesh=teacher.placement.columns)
    features = [vectors[:n_tokens], mean_rows(teacher.words, pieces)]
    table = fit_groups(design, unit(vectors[n_tokens:]), features) if groups else vectors[:n_tokens]
    centre, covariance = token_moments(table, frequencies, weights)
    heard = weights[:, None].astype(np.float32)
    if corpus is None:
        return apply_whitened_pca(table, centre, covariance, config.pca_dims, WHITENING) * heard
    prior = (table - centre.astype(np.float32)) * heard
    with TemporaryDirectory(prefix="m2v-") as scratch:
        store = corpus if isinstance(corpus, FeatureStore) else _featurized(teacher, corpus, config, Path(scratch))
        settings = Config(max_length=text_limit(teacher, store.prompt))
        student = StaticModel(prior, vocabulary.tokenizer_json, config=settings)
        ids = (text for texts, _ in store.shards() for text in student.tokenize(texts))
        design = spooled(ids, Path(scratch), n_tokens=n_tokens, mesh=design.mesh)
        targets = (vectors for _, vectors in store.shards())
        table = fit_corpus(design, targets, prior, show_progress_bar=config.show_progress_bar)
        centre, covariance = text_moments(design, table)
    return apply_whitened_pca(table, centre, covariance, config.pca_dims, WHITENING)


def _corpus(teacher: Teacher, config: DistillConfig) -> FeatureStore | Iterator[str]:
    """The corpus, or a folder of what the teacher makes of it: what is amiss shows before the teacher has to work.

    Raises:
        InvalidInputError: There is no such file; or a folder is no store, or not this teacher's and prompt's.
    """
    if not (isinstance(config.corpus, str | os.PathLike) and is_store(config.corpus)):
        return read_texts(config.corpus, text_column=config.text_column)
    store = FeatureStore.open(config.corpus)
    store.check(teacher)
    if config.prompt is not None or config.prompt_name is not None:
        prompt = prompt_of(teacher, prompt_name=config.prompt_name, prompt=config.prompt)
        if store.prompt != prompt:
            raise InvalidInputError(
                f"{store.folder}: expected texts behind the prompt {prompt!r}; found {store.prompt!r}. Leave out the "
                f"prompt, or featurize the texts with it."
            )
    return store


def _featurized(teacher: Teacher, texts: Iterator[str], config: DistillConfig, scratch: Path) -> FeatureStore:
    """What the teacher makes of texts: made now, as far as an earlier run has not."""
    folder = (scratch if config.checkpoint_dir is None else Path(config.checkpoint_dir)) / CORPUS
    if not config.resume and is_store(folder):
        shutil.rmtree(folder)
    return featurize(
        teacher,
        texts,
        folder,
        prompt=config.prompt,
        prompt_name=config.prompt_name,
        show_progress_bar=config.show_progress_bar,
    )


def _around(
    tokenizer: PreTrainedTokenizerFast, teacher: Teacher, config: DistillConfig, sequences: Sequence[Sequence[int]]
) -> tuple[Sequence[Sequence[int]], int]:
    """Sequences behind the prompt, if there is one, and how many ids at their start are special ones or its own."""
    if not (config.prompt or config.prompt_name):
        return sequences, 0
    return after_prompt(sequences, tokenizer, prompt_of(teacher, prompt_name=config.prompt_name, prompt=config.prompt))


def _room(
    teacher: Teacher, tokenizer: PreTrainedTokenizerFast, vocabulary: TeacherVocabulary, config: DistillConfig
) -> int | None:
    """How many ids of a text the teacher takes."""
    if teacher.max_length is None:
        return None
    (empty,), _ = _around(tokenizer, teacher, config, [[*vocabulary.before, *vocabulary.after]])
    return teacher.max_length - len(empty)


def _teacher_vectors(
    teacher: Teacher,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: TeacherVocabulary,
    config: DistillConfig,
    groups: Sequence[Sequence[int]],
) -> Float32[ndarray, "N H"]:
    """The teacher's vectors of each token alone, and behind them those of groups of tokens, given by its ids."""
    before, after = vocabulary.before, vocabulary.after
    sequences, prompt_length = _around(
        tokenizer,
        teacher,
        config,
        [
            *(sequence or [vocabulary.pad_id] for sequence in vocabulary.sequences),
            *([*before, *ids, *after] for ids in groups),
        ],
    )
    vectors = embed_sequences(
        teacher,
        sequences,
        pad_id=vocabulary.pad_id,
        prompt_length=prompt_length,
        normalize=False,  # a student normalises texts; here it would only take away how strong a token's output is
        chunks=_chunks(config),
        show_progress_bar=config.show_progress_bar,
    )
    # The teacher has no ids for these tokens.
    vectors[: len(vocabulary.sequences)][[not sequence for sequence in vocabulary.sequences]] = 0
    return vectors


def _chunks(config: DistillConfig) -> ChunkStore | None:
    if config.checkpoint_dir is None:
        return None
    return ChunkStore(config.checkpoint_dir, fresh=not config.resume, writes=jax.process_index() == 0)
