"""Distillation as a list of steps: vocabulary, teacher, fit, PCA, weights, clusters, table."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

import m2v_core
from m2v_core import Config, StaticModel, quantize_model
from m2v_core.cluster import check_clusters
from m2v_distill.__about__ import __version__
from m2v_distill.config import DistillConfig, DistillOptions
from m2v_distill.table import Distillation, composed_table, likely_lengths, token_table
from m2v_distill.teacher.engine.forward import compile_ahead
from m2v_distill.teacher.engine.placement import Placement
from m2v_distill.teacher.teacher import Teacher
from m2v_distill.teacher.torch_encoder import TorchEncoder
from m2v_distill.vocabulary.build import student_vocabulary
from m2v_distill.vocabulary.frequencies import counts_by_id
from m2v_distill.vocabulary.weighting import sif_weights_of, zipf_frequencies

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

logger = logging.getLogger("m2v_distill")

P = ParamSpec("P")
R = TypeVar("R")


def _lists_options(function: Callable[P, R]) -> Callable[P, R]:
    """Show the fields of `DistillConfig` in the signature, in place of `**options`."""
    plain = inspect.signature(function)
    own = [p for p in plain.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    listed = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(DistillConfig)
    ]
    function.__signature__ = plain.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]
    return function


@_lists_options
def distill(
    model_name: str | os.PathLike[str],
    *,
    trust_remote_code: bool = False,
    token: str | None = None,
    revision: str | None = None,
    **options: Unpack[DistillOptions],
) -> StaticModel:
    """Make a static model of a sentence transformer: its vocabulary, and texts if there are any, go through it.

    Args:
        model_name: The teacher: a folder, or `org/name` on the Hugging Face Hub. With m2v-distill[torch], transformers'
            PyTorch model runs for an architecture that m2v-distill lacks, and weights may be in `pytorch_model.bin`.
        trust_remote_code: Let the teacher's repository bring Python code for its tokenizer, and for a model that runs
            in PyTorch.
        token: A Hub token, for private teachers.
        revision: A branch, tag or commit of the teacher.
        **options: The fields of `DistillConfig`.

    Returns:
        A model whose vectors are normalised, with a row of zeros for the unknown token, which never counts.

    Raises:
        ModelNotFoundError: There is no such teacher, or it has no weights.
        ModelFormatError: Its architecture, class or a setting is not computed, or its weights do not fit it.
        MissingPackageError: It needs PyTorch, which is not installed.
        InvalidInputError: An option is out of range.
        TypeError: An option is unknown.

    Example:
        >>> model = distill(teacher_folder(), pca_dims=8)
        >>> model.encode(["a token", "another"]).shape
        (2, 8)
    """
    config = DistillConfig.of(**options)
    teacher = Teacher.from_pretrained(
        model_name,
        token=token,
        revision=revision,
        trust_remote_code=trust_remote_code,
        pooling=config.pooling,
        device=config.device,
        precision=config.precision,
        model_parallel=config.model_parallel,
        backend=config.backend,
        compute_as=config.compute_as,
    )
    return _distilled(teacher, config)


@_lists_options
def distill_from_model(
    model: Teacher | PreTrainedModel, tokenizer: PreTrainedTokenizerFast, **options: Unpack[DistillOptions]
) -> StaticModel:
    """Make a static model of a teacher in memory.

    Args:
        model: A `Teacher`, or a loaded PyTorch model of transformers. Its weights are copied into Flax; of an
            architecture that m2v-distill lacks, it runs itself. It is the encoder alone: the mean of its hidden states
            is taken, unless `pooling` says otherwise.
        tokenizer: Its tokenizer: a fast one of transformers, or a `tokenizers.Tokenizer`. It is used for the vocabulary
            and for texts, with a warning where its ids differ from those of `tokenizer.json` in the model's folder.
        **options: The fields of `DistillConfig`.

    Returns and raises as `distill` does.

    Example:
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> distill_from_model(teacher, teacher.tokenizer, pca_dims=None).dim
        24
    """
    config = DistillConfig.of(**options)
    if isinstance(model, Teacher):
        placement = Placement.of(
            device=config.device,
            precision=config.precision,
            model_parallel=config.model_parallel,
            beside_torch=isinstance(model.module, TorchEncoder),
        )
        teacher = model.pooled(config.pooling).placed(placement)
    else:
        teacher = Teacher.from_transformers(
            model,
            pooling=config.pooling,
            device=config.device,
            precision=config.precision,
            model_parallel=config.model_parallel,
            backend=config.backend,
            compute_as=config.compute_as,
        )
    return _distilled(teacher.with_tokenizer(tokenizer), config)


def _distilled(teacher: Teacher, config: DistillConfig) -> StaticModel:
    tokenizer = teacher.tokenizer
    words = cast("Sequence[str]", config.vocabulary or ())
    with ThreadPoolExecutor(1) as meanwhile:
        # If it fails, so will the forward pass, and say why.
        meanwhile.submit(compile_ahead, teacher, likely_lengths(tokenizer, config))
        vocabulary = student_vocabulary(
            tokenizer,
            config.token_remove_pattern,
            words,
            use_subword=config.use_subword,
            n_rows=teacher.vocab_size,
            longest=teacher.max_length,
        )
    if words:
        logger.info("%s", vocabulary.word_counts)
    check_clusters(config.vocabulary_quantization, len(vocabulary.tokens))  # before the teacher has to work
    frequencies = _frequencies(config, vocabulary.tokens)
    weights = np.ones(len(frequencies))
    if config.sif_coefficient is not None:
        weights = sif_weights_of(frequencies, config.sif_coefficient)
    job = Distillation(teacher, vocabulary, config, frequencies, weights)
    table = token_table(job) if config.method == "token" else composed_table(job)
    student = StaticModel(table, vocabulary.tokenizer_json, config=_student_config(teacher, config))
    if student.unk_token_id is not None:
        # It never counts here; zeros (its weight, with clusters) keep it from counting where all ids are averaged.
        table[student.unk_token_id] = 0
    return quantize_model(
        student, vocabulary_quantization=config.vocabulary_quantization, quantize_to=config.quantize_to
    )


def _frequencies(config: DistillConfig, tokens: Sequence[str]) -> Float64[ndarray, " V"]:
    if config.frequencies is None:
        return zipf_frequencies(len(tokens))
    return counts_by_id(cast("Mapping[str, float] | Sequence[float]", config.frequencies), tokens)


def _versions() -> dict[str, str]:
    import jax
    import transformers

    return {
        "m2v-distill": __version__,
        "m2v-core": m2v_core.__version__,
        "jax": jax.__version__,
        "transformers": transformers.__version__,
    }


def _student_config(teacher: Teacher, config: DistillConfig) -> Config:
    facts: dict[str, Any] = {
        "base_model": teacher.name,
        "language": teacher.source.language,
        "license": teacher.source.license,
        "base_model_revision": teacher.source.revision,
        "distillation_settings": {**config.decisive, "precision": teacher.placement.precision},
        "package_versions": _versions(),
    }
    return Config(
        normalize=True,
        pooling=teacher.pooling,
        apply_pca=config.pca_dims,
        sif_coefficient=config.sif_coefficient,
        distillation=config.method if config.corpus is None else "corpus",
        **facts,
    )
