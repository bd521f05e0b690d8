"""The student's table out of the teacher: token by token, composed, or fitted to a corpus."""

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
from m2v_distill.config import DistillConfig
from m2v_distill.corpus.featurize import featurize
from m2v_distill.corpus.read import read_texts
from m2v_distill.corpus.store import FeatureStore, is_store, unit
from m2v_distill.fit.design import Design, spooled
from m2v_distill.fit.groups import (
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
from m2v_distill.fit.pca import apply_pca, apply_whitened_pca
from m2v_distill.teacher.engine.forward import embed_sequences
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.teacher import Teacher
from m2v_distill.teacher.texts import prompt_of, text_limit
from m2v_distill.teacher.tokenizer import TeacherTokenizer
from m2v_distill.vocabulary.build import TeacherVocabulary
from m2v_distill.vocabulary.prompts import after_prompt

#: Where a corpus is kept in `checkpoint_dir`.
CORPUS = "corpus"


def likely_lengths(tokenizer: TeacherTokenizer, config: DistillConfig) -> Int[ndarray, " N"]:
    """Lengths of the sequences that a vocabulary makes if each of its tokens is one to the teacher."""
    around, n_tokens = len(tokenizer.before + tokenizer.after), len(tokenizer.ids)
    n_groups = config.group_rounds * (n_tokens // GROUP_SIZE) if config.method == "composed" else 0
    return np.repeat([around + 1, around + GROUP_SIZE], [n_tokens, n_groups])


@dataclass(frozen=True)
class Distillation:
    """What a table is made of.

    Attributes:
        teacher: What sees the tokens, and texts.
        vocabulary: The student's tokens, and the teacher's ids of each.
        config: All options.
        frequencies: How often each token occurs, up to a factor.
        weights: The factor of each token in a text; ones for none.
    """

    teacher: Teacher
    vocabulary: TeacherVocabulary
    config: DistillConfig
    frequencies: Float64[ndarray, " V"]
    weights: Float64[ndarray, " V"]

    @property
    def prompt(self) -> str:
        """The prompt, or the teacher's own default."""
        return prompt_of(self.teacher, prompt_name=self.config.prompt_name, prompt=self.config.prompt)

    def around(self, sequences: Sequence[Sequence[int]]) -> tuple[Sequence[Sequence[int]], int]:
        """Sequences behind the prompt, if there is one, and how many ids at their start are special ones or its own."""
        if not (self.config.prompt or self.config.prompt_name):
            return sequences, 0
        return after_prompt(sequences, self.teacher.tokenizer, self.prompt)

    @property
    def room(self) -> int | None:
        """How many ids of a text the teacher takes."""
        if self.teacher.max_length is None:
            return None
        (empty,), _ = self.around([[*self.vocabulary.before, *self.vocabulary.after]])
        return self.teacher.max_length - len(empty)

    def weighted(self, table: Float32[ndarray, "V D"]) -> Float32[ndarray, "V D"]:
        """Each row times its token's weight."""
        rows: ndarray = table * self.weights[:, None].astype(np.float32)
        return rows


def token_table(job: Distillation) -> Float32[ndarray, "V D"]:
    """Each token as the teacher sees it alone."""
    return job.weighted(apply_pca(_teacher_vectors(job, []), job.config.pca_dims))


def composed_table(job: Distillation) -> Float32[ndarray, "V D"]:
    """Each token as the teacher sees it among others: random ones, and then those of a corpus."""
    corpus = None if job.config.corpus is None else _corpus(job)
    table = _group_table(job)
    centre, covariance = token_moments(table, job.frequencies, job.weights)
    if corpus is None:
        return job.weighted(apply_whitened_pca(table, centre, covariance, job.config.pca_dims, WHITENING))
    return _corpus_table(job, corpus, prior=job.weighted(table - centre.astype(np.float32)))


def _group_table(job: Distillation) -> Float32[ndarray, "V H"]:
    """The table fitted to random groups of tokens."""
    n_tokens, pieces = len(job.vocabulary.tokens), job.vocabulary.pieces
    spelt = np.flatnonzero([bool(ids) for ids in pieces])
    groups = token_groups(spelt, rounds=job.config.group_rounds, seed=job.config.seed)
    groups, sequences = joined(groups, pieces, job.room)
    vectors = _teacher_vectors(job, sequences)
    if not groups:
        return vectors[:n_tokens]
    design = Design.of(groups, n_tokens=n_tokens, mesh=job.teacher.placement.columns)
    return fit_groups(design, unit(vectors[n_tokens:]), [vectors[:n_tokens], mean_rows(job.teacher.words, pieces)])


def _corpus_table(
    job: Distillation, corpus: FeatureStore | Iterator[str], prior: Float32[ndarray, "V H"]
) -> Float32[ndarray, "V D"]:
    """The table fitted to texts, beginning with one that is weighted."""
    config, mesh = job.config, job.teacher.placement.columns
    with TemporaryDirectory(prefix="m2v-") as scratch:
        store = corpus if isinstance(corpus, FeatureStore) else _featurized(job, corpus, Path(scratch))
        settings = Config(max_length=text_limit(job.teacher, store.prompt))
        student = StaticModel(prior, job.vocabulary.tokenizer_json, config=settings)
        ids = (text for texts, _ in store.shards() for text in student.tokenize(texts))
        design = spooled(ids, Path(scratch), n_tokens=len(prior), mesh=mesh)
        targets = (vectors for _, vectors in store.shards())
        table = fit_corpus(design, targets, prior, show_progress_bar=config.show_progress_bar)
        centre, covariance = text_moments(design, table)
    return apply_whitened_pca(table, centre, covariance, config.pca_dims, WHITENING)


def _corpus(job: Distillation) -> FeatureStore | Iterator[str]:
    """The corpus, or a folder of what the teacher makes of it: what is amiss shows before the teacher has to work.

    Raises:
        InvalidInputError: There is no such file; or a folder is no store, or not this teacher's and prompt's.
    """
    corpus = job.config.corpus
    if not (isinstance(corpus, str | os.PathLike) and is_store(corpus)):
        return read_texts(corpus, text_column=job.config.text_column)
    store = FeatureStore.open(corpus)
    store.check(job.teacher)
    asked = job.config.prompt is not None or job.config.prompt_name is not None
    if asked and store.prompt != job.prompt:
        raise InvalidInputError(
            f"{store.folder}: expected texts behind the prompt {job.prompt!r}; found {store.prompt!r}. Leave out the "
            f"prompt, or featurize the texts with it."
        )
    return store


def _featurized(job: Distillation, texts: Iterator[str], scratch: Path) -> FeatureStore:
    """What the teacher makes of texts: made now, as far as an earlier run has not."""
    config = job.config
    folder = (scratch if config.checkpoint_dir is None else Path(config.checkpoint_dir)) / CORPUS
    if not config.resume and is_store(folder):
        shutil.rmtree(folder)
    return featurize(
        job.teacher,
        texts,
        folder,
        prompt=config.prompt,
        prompt_name=config.prompt_name,
        show_progress_bar=config.show_progress_bar,
    )


def _teacher_vectors(job: Distillation, groups: Sequence[Sequence[int]]) -> Float32[ndarray, "N H"]:
    """The teacher's vectors of each token alone, and behind them those of groups of tokens, given by its ids."""
    vocabulary, config = job.vocabulary, job.config
    # The teacher has no ids for some tokens.
    alone = [sequence or [vocabulary.pad_id] for sequence in vocabulary.sequences]
    together = [[*vocabulary.before, *ids, *vocabulary.after] for ids in groups]
    sequences, prompt_length = job.around([*alone, *together])
    vectors = embed_sequences(
        job.teacher,
        sequences,
        pad_id=vocabulary.pad_id,
        prompt_length=prompt_length,
        normalize=False,  # a student normalises texts; here it would only take away how strong a token's output is
        chunks=_chunks(config),
        show_progress_bar=config.show_progress_bar,
    )
    vectors[: len(alone)][[not sequence for sequence in vocabulary.sequences]] = 0
    return vectors


def _chunks(config: DistillConfig) -> ChunkStore | None:
    if config.checkpoint_dir is None:
        return None
    return ChunkStore(config.checkpoint_dir, fresh=not config.resume, writes=jax.process_index() == 0)
