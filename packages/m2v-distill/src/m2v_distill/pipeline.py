"""Distillation as a list of steps: teacher, vocabulary, weights, table, dtype."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

import m2v_core
from m2v_core import Config, StaticModel, quantize_model
from m2v_core.aliases import aliased
from m2v_core.cluster import check_clusters
from m2v_core.options import picked
from m2v_distill.__about__ import __version__
from m2v_distill.config import DistillConfig, Method, Space
from m2v_distill.corpus.store import check_corpus
from m2v_distill.fit.pca import PCADims
from m2v_distill.logs import logger
from m2v_distill.table import Distillation, composed_table, likely_lengths, token_table
from m2v_distill.teacher.engine.forward import compile_ahead
from m2v_distill.teacher.engine.placement import Placement
from m2v_distill.teacher.interface import Backend, Device, PoolingName, Precision
from m2v_distill.teacher.teacher import Teacher
from m2v_distill.vocabulary.build import TeacherVocabulary, student_vocabulary
from m2v_distill.vocabulary.weights import Frequencies, counts_by_id, sif_weights, zipf_frequencies
from m2v_distill.vocabulary.words import Words

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@aliased
def distill(
    model_name: str | os.PathLike[str],
    *,
    trust_remote_code: bool = False,
    token: str | None = None,
    revision: str | None = None,
    method: Method = "composed",
    corpus: Any = None,
    text_column: str | None = None,
    rounds: int | None = None,
    seed: int = 0,
    device: Device = None,
    precision: Precision = "auto",
    model_parallel: int = 1,
    backend: Backend = "auto",
    compute_as: str | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    base_model: str | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = True,
    space: Space = "own",
    pca_dims: PCADims = 256,
    sif_coefficient: float | None = 1e-4,
    frequencies: Frequencies | None = None,
    token_remove_pattern: str | None = r"\[unused\d+\]",
    vocabulary: Words | None = None,
    use_subword: bool = True,
    quantize_to: str = "float16",
    vocabulary_quantization: int | None = None,
    pooling: PoolingName | None = None,
    show_progress_bar: bool | None = None,
) -> StaticModel:
    """Distil a sentence transformer into a static model, by its vocabulary and by texts if there are any.

    Args:
        model_name: The teacher: a folder, or `org/name` on the Hugging Face Hub. With m2v-distill[torch], transformers'
            PyTorch model runs for an architecture that m2v-distill lacks, and weights may be in `pytorch_model.bin`.
        trust_remote_code: Whether Python code of the teacher's repository may be run: for its tokenizer, and for a
            model that runs in PyTorch.
        token: A Hub token, for private teachers.
        revision: A branch, tag or commit of the teacher.
        method: This and all other options are described in `DistillConfig`.

    Returns:
        A model whose vectors are normalised. The row of the unknown token is zero, so that it never counts.

    Raises:
        ModelNotFoundError: There is no such teacher, or it has no weights.
        ModelFormatError: Its architecture, class or a setting is not computed, or its weights do not fit it.
        MissingPackageError: PyTorch is needed and not installed.
        InvalidInputError: An option is out of range.
        TypeError: An option is unknown.

    Example:
        >>> model = distill(teacher_folder(), pca_dims=8)
        >>> model.encode(["a token", "another"]).shape
        (2, 8)
    """
    config = picked(DistillConfig, locals())
    return distilled(model_name, config, trust_remote_code=trust_remote_code, token=token, revision=revision)


@aliased
def distill_from_model(
    model: Teacher | PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    method: Method = "composed",
    corpus: Any = None,
    text_column: str | None = None,
    rounds: int | None = None,
    seed: int = 0,
    device: Device = None,
    precision: Precision = "auto",
    model_parallel: int = 1,
    backend: Backend = "auto",
    compute_as: str | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    base_model: str | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = True,
    space: Space = "own",
    pca_dims: PCADims = 256,
    sif_coefficient: float | None = 1e-4,
    frequencies: Frequencies | None = None,
    token_remove_pattern: str | None = r"\[unused\d+\]",
    vocabulary: Words | None = None,
    use_subword: bool = True,
    quantize_to: str = "float16",
    vocabulary_quantization: int | None = None,
    pooling: PoolingName | None = None,
    show_progress_bar: bool | None = None,
) -> StaticModel:
    """Distil a teacher in memory into a static model.

    Args:
        model: A `Teacher`, or a loaded PyTorch model of transformers. Its weights are copied into Flax; a model of an
            architecture that m2v-distill lacks runs itself. A PyTorch model is the encoder alone: its pooling is the
            mean of the hidden states, unless `pooling` names another.
        tokenizer: Its tokenizer: a fast one of transformers, or a `tokenizers.Tokenizer`. It is used for the vocabulary
            and for texts, with a warning if its ids differ from those of `tokenizer.json` in the model's folder.
        method: This and all other options are described in `DistillConfig`.

    Returns and raises as `distill` does.

    Example:
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> distill_from_model(teacher, teacher.tokenizer, pca_dims=None).dim
        24
    """
    config = _prepared(picked(DistillConfig, locals()))
    if isinstance(model, Teacher):
        placement = Placement.of(
            device=config.device,
            precision=config.precision,
            model_parallel=config.model_parallel,
            beside_torch=not model.encoder.compiles,
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
    return _student(teacher.with_tokenizer(tokenizer), config)


def distilled(
    name_or_path: str | os.PathLike[str],
    config: DistillConfig,
    *,
    trust_remote_code: bool = False,
    token: str | None = None,
    revision: str | None = None,
) -> StaticModel:
    """Distil a teacher with the options of a record; see `distill`."""
    config = _prepared(config)
    teacher = load_teacher(name_or_path, config, trust_remote_code=trust_remote_code, token=token, revision=revision)
    return _student(teacher, config)


def load_teacher(
    name_or_path: str | os.PathLike[str],
    config: DistillConfig,
    *,
    trust_remote_code: bool = False,
    token: str | None = None,
    revision: str | None = None,
) -> Teacher:
    """The teacher of a folder or of the Hub, by the options of a distillation."""
    return Teacher.from_pretrained(
        name_or_path,
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


def _prepared(config: DistillConfig) -> DistillConfig:
    """The options with their files read and the corpus checked, before a teacher is loaded."""
    config = config.with_files_read()
    check_corpus(config.corpus, text_column=config.text_column)
    return config


def _student(teacher: Teacher, config: DistillConfig) -> StaticModel:
    facts = _student_config(teacher, config)  # its errors come before the expensive forward pass
    vocabulary = _vocabulary(teacher, config)
    check_clusters(config.vocabulary_quantization, len(vocabulary.tokens))  # and so do these
    frequencies = _frequencies(config, vocabulary.tokens)
    weights: ndarray = np.ones(len(frequencies))
    if config.sif_coefficient is not None:
        weights = sif_weights(frequencies, config.sif_coefficient)
    context = Distillation(teacher, vocabulary, config, frequencies, weights)
    table = token_table(context) if config.method == "token" else composed_table(context)
    if vocabulary.unknown_id is not None:
        # Here the unknown token never counts. Zeros keep it from counting in programs that average all ids too.
        table[vocabulary.unknown_id] = 0
    student = StaticModel(table, vocabulary.tokenizer_json, config=facts)
    return quantize_model(
        student, vocabulary_quantization=config.vocabulary_quantization, quantize_to=config.quantize_to
    )


def _vocabulary(teacher: Teacher, config: DistillConfig) -> TeacherVocabulary:
    """The student's vocabulary, built while the programs of the forward pass are compiled."""
    tokenizer, words = teacher.tokenizer, cast("Sequence[str]", config.vocabulary or ())
    with ThreadPoolExecutor(1) as compiler:
        # If it fails, the forward pass fails too, with the reason.
        compiler.submit(compile_ahead, teacher.network(normalize=False), likely_lengths(tokenizer, config))
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
    return vocabulary


def _frequencies(config: DistillConfig, tokens: Sequence[str]) -> Float64[ndarray, " V"]:
    if config.frequencies is None:
        return zipf_frequencies(len(tokens))
    return counts_by_id(cast("Mapping[str, float] | Sequence[float]", config.frequencies), tokens)


def _package_versions() -> dict[str, str]:
    """The versions of the packages that decide on a student, for its config."""
    import jax
    import transformers

    return {
        "m2v-distill": __version__,
        "m2v-core": m2v_core.__version__,
        "jax": jax.__version__,
        "transformers": transformers.__version__,
    }


def facts_of(teacher: Teacher, settings: dict[str, Any]) -> dict[str, Any]:
    """What the config of any student records of its teacher, the settings and the packages."""
    source = teacher.source
    return {
        "base_model": source.hub_id,
        "language": source.language,
        "license": source.license,
        "base_model_revision": source.revision,
        "distillation_settings": {**settings, "precision": teacher.placement.precision},
        "package_versions": _package_versions(),
    }


def _student_config(teacher: Teacher, config: DistillConfig) -> Config:
    facts = facts_of(teacher, config.recorded_settings)
    facts["base_model"] = config.base_model or facts["base_model"]
    return Config(
        normalize=True,
        pooling=teacher.pooling,
        apply_pca=config.pca_dims,
        sif_coefficient=config.sif_coefficient,
        distillation=config.method if config.corpus is None else "corpus",
        **facts,
    )
