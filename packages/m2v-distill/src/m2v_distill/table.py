"""The student's table by each method: token by token, composed, or fitted to a corpus."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np
from jaxtyping import Float32, Float64, Int
from numpy import ndarray

from m2v_core import Config, InvalidInputError, StaticModel
from m2v_core.vectors import unit
from m2v_distill.config import DistillConfig
from m2v_distill.corpus.featurize import featurize
from m2v_distill.corpus.read import read_texts
from m2v_distill.corpus.store import CORPUS, FeatureStore, is_store
from m2v_distill.fit.design import Design, spooled
from m2v_distill.fit.groups import (
    EMBEDDING_SIZE,
    GROUP_SIZE,
    WHITENING,
    beside,
    fit_corpus,
    fit_groups,
    group_sequences,
    mean_rows,
    token_groups,
    token_moments,
    weighted_rows,
)
from m2v_distill.fit.pca import apply_pca, apply_whitened_pca, dims_to_keep
from m2v_distill.fit.ridge import mean_shift
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.teacher import Teacher
from m2v_distill.teacher.tokenizer import TeacherTokenizer
from m2v_distill.vocabulary.build import TeacherVocabulary


def likely_lengths(tokenizer: TeacherTokenizer, config: DistillConfig) -> Int[ndarray, " N"]:
    """The lengths of the sequences of a vocabulary if each of its tokens is one token of the teacher."""
    n_special, n_tokens = len(tokenizer.before + tokenizer.after), len(tokenizer.ids)
    n_groups = config.group_rounds * (n_tokens // GROUP_SIZE) if config.method == "composed" else 0
    return np.repeat([n_special + 1, n_special + GROUP_SIZE], [n_tokens, n_groups])


@dataclass(frozen=True)
class Distillation:
    """The input of a table.

    Attributes:
        teacher: The teacher.
        vocabulary: Tokens of the student, with the teacher's ids of each.
        config: All options.
        frequencies: Frequency of each token, up to a factor.
        weights: Weight of each token in a text; ones for no weights.
    """

    teacher: Teacher
    vocabulary: TeacherVocabulary
    config: DistillConfig
    frequencies: Float64[ndarray, " V"]
    weights: Float64[ndarray, " V"]

    @property
    def prompt(self) -> str:
        """The prompt of the options, or the teacher's default one."""
        return self.teacher.tokenizer.prompt(prompt_name=self.config.prompt_name, prompt=self.config.prompt)

    def with_prompt(self, sequences: Sequence[Sequence[int]]) -> tuple[Sequence[Sequence[int]], int]:
        """Sequences with the prompt of the options, if any, and the number of ids at their start that belong to it."""
        if not (self.config.prompt or self.config.prompt_name):
            return sequences, 0
        return self.teacher.tokenizer.with_prompt(sequences, self.prompt)

    @property
    def tokens_left(self) -> int | None:
        """The largest number of ids between special ids and after the prompt; `None` for no limit."""
        if self.teacher.max_length is None:
            return None
        (empty,), _ = self.with_prompt([[*self.vocabulary.before, *self.vocabulary.after]])
        return self.teacher.max_length - len(empty)


def token_table(context: Distillation) -> Float32[ndarray, "V D"]:
    """The table of the teacher's vectors of each token alone."""
    table: ndarray = apply_pca(_teacher_vectors(context, []), context.config.pca_dims)
    return table * context.weights[:, None].astype(np.float32)


def composed_table(context: Distillation) -> Float32[ndarray, "V D"]:
    """The table that is fitted to random groups of tokens, and then to a corpus if there is one."""
    config, frequencies = context.config, context.frequencies
    corpus = None if config.corpus is None else _corpus(context)
    fitted, embeddings = _group_table(context)
    table = weighted_rows(fitted, frequencies, context.weights)
    if corpus is not None:
        table = _corpus_table(context, corpus, prior=table)
    dims = dims_to_keep(config.pca_dims, table)
    if dims is None:
        return table
    both = beside(table, weighted_rows(embeddings, frequencies, context.weights), frequencies, EMBEDDING_SIZE)
    return apply_whitened_pca(both, *token_moments(both, frequencies), dims, WHITENING)[:, : table.shape[1]]


def _group_table(context: Distillation) -> tuple[Float32[ndarray, "V H"], Float32[ndarray, "V E"]]:
    """The table that is fitted to random groups of tokens, and the input embedding of each token."""
    n_tokens, pieces = len(context.vocabulary.tokens), context.vocabulary.pieces
    has_ids = np.flatnonzero([bool(ids) for ids in pieces])
    groups = token_groups(has_ids, rounds=context.config.group_rounds, seed=context.config.seed)
    groups, sequences = group_sequences(groups, pieces, context.tokens_left)
    vectors = _teacher_vectors(context, sequences)  # which checks the ids
    embeddings = mean_rows(context.teacher.token_embeddings, pieces)
    if not groups:
        return vectors[:n_tokens], embeddings
    design = Design.of(groups, n_tokens=n_tokens, mesh=context.teacher.placement.columns)
    return fit_groups(design, unit(vectors[n_tokens:]), [vectors[:n_tokens], embeddings]), embeddings


def _corpus_table(
    context: Distillation, corpus: FeatureStore | Iterator[str], prior: Float32[ndarray, "V H"]
) -> Float32[ndarray, "V H"]:
    """The table that is fitted to texts, with a weighted table as prior."""
    config, mesh = context.config, context.teacher.placement.columns
    with TemporaryDirectory(prefix="m2v-") as scratch:
        store = corpus if isinstance(corpus, FeatureStore) else _featurized(context, corpus, Path(scratch))
        settings = Config(max_length=context.teacher.tokenizer.tokens_left(store.prompt))
        student = StaticModel(prior, context.vocabulary.tokenizer_json, config=settings)
        ids = (text for texts, _ in store.shards() for text in student.tokenize(texts))
        design = spooled(ids, Path(scratch), n_tokens=len(prior), mesh=mesh)
        targets = (vectors for _, vectors in store.shards())
        table = fit_corpus(design, targets, prior, show_progress_bar=config.show_progress_bar)
        if config.space == "teacher":
            total = sum(vectors.sum(axis=0, dtype=np.float64) for _, vectors in store.shards())
            table += mean_shift(design, table, total / len(design))
    return table


def _corpus(context: Distillation) -> FeatureStore | Iterator[str]:
    """The corpus, as texts or as a store of features; a store is verified before the expensive forward pass.

    Raises:
        InvalidInputError: There is no such file, or a store is of another teacher or prompt.
    """
    corpus = context.config.corpus
    if not (isinstance(corpus, str | os.PathLike) and is_store(corpus)):
        return read_texts(corpus, text_column=context.config.text_column)
    store = FeatureStore.open(corpus)
    store.check(context.teacher)
    given = context.config.prompt is not None or context.config.prompt_name is not None
    if given and store.prompt != context.prompt:
        raise InvalidInputError(
            f"{store.folder}: expected texts with the prompt {context.prompt!r}; found {store.prompt!r}. Leave out the "
            f"prompt, or featurize the texts with it."
        )
    return store


def _featurized(context: Distillation, texts: Iterator[str], scratch: Path) -> FeatureStore:
    """The features of texts; those of an earlier run are kept."""
    config = context.config
    folder = (scratch if config.checkpoint_dir is None else Path(config.checkpoint_dir)) / CORPUS
    if not config.resume and is_store(folder):
        shutil.rmtree(folder)
    return featurize(
        context.teacher,
        texts,
        folder,
        prompt=config.prompt,
        prompt_name=config.prompt_name,
        show_progress_bar=config.show_progress_bar,
    )


def _teacher_vectors(context: Distillation, groups: Sequence[Sequence[int]]) -> Float32[ndarray, "N H"]:
    """The teacher's vectors of each token alone, followed by those of groups of tokens, given by its ids."""
    vocabulary, config = context.vocabulary, context.config
    # The teacher has no ids for some tokens.
    alone = [sequence or [vocabulary.pad_id] for sequence in vocabulary.sequences]
    together = [[*vocabulary.before, *ids, *vocabulary.after] for ids in groups]
    sequences, prompt_length = context.with_prompt([*alone, *together])
    vectors = context.teacher.encode_ids(
        sequences,
        pad_id=vocabulary.pad_id,
        prompt_length=prompt_length,
        normalize=False,  # a student normalises texts; here it would lose the norm of a token's vector
        chunks=_chunks(config),
        show_progress_bar=config.show_progress_bar,
    )
    vectors[: len(alone)][[not sequence for sequence in vocabulary.sequences]] = 0
    return vectors


def _chunks(config: DistillConfig) -> ChunkStore | None:
    if config.checkpoint_dir is None:
        return None
    return ChunkStore(config.checkpoint_dir, fresh=not config.resume, writes=jax.process_index() == 0)
