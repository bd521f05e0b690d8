"""The steps of a fit: prompts, passages, the teacher's vectors, and the student's table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from m2v_core import Config, StaticModel
from m2v_core.encode.rows import token_rows
from m2v_core.errors import InvalidInputError
from m2v_core.options import defaults_of
from m2v_core.prompts import DOCUMENT, QUERY, resolved
from m2v_core.ragged import Ragged, concatenated
from m2v_core.vectors import unit
from m2v_distill.collection.config import CollectionConfig
from m2v_distill.collection.documents import DocumentPassage, Documents, numbered, passages_of, sentences_of
from m2v_distill.collection.table import collection_table, rarer_larger, rarity, sampled
from m2v_distill.config import DistillConfig
from m2v_distill.fit.design import BATCH_TOKENS
from m2v_distill.logs import logger
from m2v_distill.pipeline import facts_of
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.teacher import Teacher
from m2v_distill.vocabulary.build import student_vocabulary
from m2v_distill.vocabulary.weights import sif_weights, zipf_frequencies


def prompts_of(teacher: Teacher, config: CollectionConfig) -> tuple[str, str]:
    """The prompts of documents and of queries: those of the options, of the teacher, or its default one."""
    tokenizer = teacher.tokenizer
    known, default = tokenizer.settings.prompts, tokenizer.prompt()
    document, query = resolved(known, DOCUMENT) or default, resolved(known, QUERY) or default
    if config.prompt is not None or config.prompt_name is not None:
        document = tokenizer.prompt(prompt_name=config.prompt_name, prompt=config.prompt)
    return document, query if config.query_prompt is None else config.query_prompt


def teacher_passages(teacher: Teacher, documents: Documents, prompt: str) -> tuple[DocumentPassage, ...]:
    """The passages of documents, none longer than what the teacher takes after a prompt."""
    tokenizer = teacher.tokenizer
    found = tuple(passages_of(numbered(documents), tokenizer.counts, tokenizer.tokens_left(prompt)))
    if not any(passage.text for passage in found):
        raise InvalidInputError("Expected documents; found none, or only blank ones.")
    seen = set()
    for passage in found:
        if passage.id in seen:
            raise InvalidInputError(
                f"Each document should have an id of its own; found {passage.id!r:.100} again. Choose another id."
            )
        seen.add(passage.id)
    return found


def embedded(
    teacher: Teacher, passages: Sequence[DocumentPassage], config: CollectionConfig, prompt: str
) -> Float32[ndarray, "n H"]:
    """The teacher's unit vectors of passages; zeros for blank ones."""
    has_text = np.array([bool(passage.text) for passage in passages], bool)
    texts = [passage.text for passage in passages if passage.text]
    encoded = _encoded(teacher, texts, config, prompt, "passages")
    vectors = np.zeros((len(passages), encoded.shape[1]), np.float32)
    vectors[has_text] = encoded
    return vectors


def _encoded(
    teacher: Teacher, texts: Sequence[str], config: CollectionConfig, prompt: str, part: str
) -> Float32[ndarray, "n H"]:
    chunks = _chunks(config, part)
    vectors: ndarray = unit(
        teacher.encode(texts, prompt=prompt, chunks=chunks, show_progress_bar=config.show_progress_bar)
    )
    return vectors


def _chunks(config: CollectionConfig, part: str) -> ChunkStore | None:
    if config.checkpoint_dir is None:
        return None
    return ChunkStore(Path(config.checkpoint_dir) / part, fresh=not config.resume, writes=jax.process_index() == 0)


def token_student(teacher: Teacher, config: CollectionConfig) -> StaticModel:
    """The teacher's vector of each token alone, times its SIF weight, as a student."""
    pattern = defaults_of(DistillConfig)["token_remove_pattern"]
    vocabulary = student_vocabulary(teacher.tokenizer, pattern, n_rows=teacher.vocab_size, longest=teacher.max_length)
    has_ids: Bool[ndarray, " V"] = np.array([bool(ids) for ids in vocabulary.sequences], bool)
    vectors = teacher.encode_ids(
        [ids or [vocabulary.pad_id] for ids in vocabulary.sequences],
        pad_id=vocabulary.pad_id,
        normalize=False,
        chunks=_chunks(config, "tokens"),
        show_progress_bar=config.show_progress_bar,
    )
    weights = sif_weights(zipf_frequencies(len(vectors)), defaults_of(DistillConfig)["sif_coefficient"])
    centred = (vectors - vectors[has_ids].mean(axis=0)) * (weights * has_ids)[:, None].astype(np.float32)
    return StaticModel(centred, vocabulary.tokenizer_json, config=Config(normalize=True))


def student_table(
    teacher: Teacher,
    passages: Sequence[DocumentPassage],
    vectors: Float32[ndarray, "n H"],
    prior: StaticModel,
    config: CollectionConfig,
    query_prompt: str,
) -> Float32[ndarray, "V H"]:
    """The table of the student."""
    limit = teacher.tokenizer.tokens_left(query_prompt)
    ids = Ragged(*prior.token_ids([passage.text for passage in passages], max_length=limit))
    rows = np.arange(len(passages)) if config.sample is None else sampled(ids, config.sample, seed=config.seed)
    parts, targets = [ids.take(rows)], [vectors[rows]]
    if config.sentences:
        known = {passages[row].text for row in rows.tolist()}
        found = dict.fromkeys(text for row in rows.tolist() for text in sentences_of(passages[row].text))
        sentences = [text for text in found if text not in known]
        logger.info("%d passages, %d sentences", len(rows), len(sentences))
        parts.append(Ragged(*prior.token_ids(sentences, max_length=limit)))
        targets.append(_encoded(teacher, sentences, config, query_prompt, "sentences"))
    texts, wanted = concatenated(parts).truncate(BATCH_TOKENS), np.concatenate(targets)
    has_tokens = texts.lengths > 0
    if not has_tokens.any():
        raise InvalidInputError("Expected documents with tokens of the vocabulary; found none.")
    if not has_tokens.all():
        texts, wanted = texts.take(np.flatnonzero(has_tokens)), wanted[has_tokens]
    features = token_rows(prior.embedding, np.arange(prior.n_tokens), prior.weights, prior.token_mapping)
    table = collection_table(
        texts,
        wanted,
        features.astype(np.float32),
        strength=config.strength,
        mesh=teacher.placement.columns,
        show_progress_bar=config.show_progress_bar,
    )
    return rarer_larger(table, rarity(ids, len(table)), wanted.mean(axis=0, dtype=np.float64))


def student_config(teacher: Teacher, config: CollectionConfig) -> Config:
    """What the student's config records of the teacher and the options."""
    facts = facts_of(teacher, config.recorded_settings)
    return Config(normalize=True, pooling=teacher.pooling, distillation="corpus", **facts)
