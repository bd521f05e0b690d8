"""The options of a distillation: listed once, checked once, and passed on as one frozen record."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from m2v_core.checks import expect, number, one_of, shown, truth, whole
from m2v_core.cluster import check_clusters
from m2v_core.devices import device_name
from m2v_core.errors import InvalidInputError
from m2v_core.options import defaults_of, option, or_none
from m2v_core.prompts import check_one
from m2v_core.quantize import checked_dtype
from m2v_core.storage.format import EMBEDDING_DTYPES
from m2v_distill.fit.pca import PCADims
from m2v_distill.teacher.interface import (
    POOLING_ALIASES,
    Backend,
    Device,
    PoolingName,
    Precision,
    check_compute_as,
)
from m2v_distill.teacher.source import HUB_ID
from m2v_distill.vocabulary.weights import Frequencies, checked_counts, read_frequencies
from m2v_distill.vocabulary.words import Words, checked_words, read_words

#: Ways to compute the table.
Method = Literal["composed", "token"]

#: Spaces of the vectors.
Space = Literal["own", "teacher"]

#: Defaults of `rounds`, without and with a corpus.
ROUNDS, ROUNDS_WITH_CORPUS = 4, 20


def _pca_dims(text: str) -> int | float | str:
    if text == "auto":
        return text
    return float(text) if "." in text else int(text)


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    r"""Options of a distillation, checked; no file is read.

    Attributes:
        method: Way to compute the table: "composed" fits it to the teacher's vectors of random groups of tokens, or of
            a corpus; "token" takes the teacher's vector of each token alone, as model2vec does.
        corpus: Texts that the table is fitted to, with method "composed": an iterable of texts, a file or several
            (each a `Path`; one text a line, or CSV, TSV, JSONL or Parquet), or a folder that `featurize` made.
        text_column: Column of the texts, in files that have columns. Default: "text".
        rounds: Number of random groups that each token is in; more take longer and fit slightly better. Default: 4, or
            20 with a corpus, which takes a while in any case.
        seed: Seed of the random groups.
        device: Device of the teacher: "cpu", "gpu" (or "cuda") or "tpu" for all devices of that kind, "gpu:1" for the
            second one; a `torch.device` is accepted, and stored by its name. Default ("auto" is the same): all devices
            of the best kind that JAX finds, with the vocabulary divided among them, on every host if
            `jax.distributed` is initialised.
        precision: Precision of the inputs of matrix products; sums and everything else are float32. "bfloat16" is
            several times as fast where the hardware supports it, and "auto" uses it there: on TPUs, on GPUs since
            Ampere, on CPUs with AMX.
        model_parallel: Number of devices that share one copy of the weights, for a teacher too large for one.
        backend: Library that computes the teacher: "flax", "torch" (transformers' own PyTorch model, which needs
            m2v-distill[torch]), or "auto": Flax, and PyTorch for an architecture that m2v-distill lacks.
        compute_as: `model_type` of the architecture that computes the teacher, if its config names another, or a class
            of its own (`auto_map`) that computes the same: "bert", for example. With "bidirectional-llama",
            "-mistral", "-qwen2" and "-qwen3", every position sees all others.
        prompt: Text that is put before each token, and each text of a corpus, as in the teacher's texts with a prompt.
        prompt_name: Name of a prompt of the teacher.
        base_model: Hub id of the teacher, stored in the student's config. Default: the id by which the teacher was
            loaded, if it came from the Hub; a folder's name is not an id.
        checkpoint_dir: Folder for the finished parts of the forward pass, from which an interrupted run is resumed. It
            remains after the run, and may then be removed.
        resume: Whether to use what is in `checkpoint_dir`; if not, new parts replace it.
        space: Space of the vectors: "own", principal components of the table; "teacher", the teacher's with all of its
            dimensions, so that queries by the student can be asked of an index with the teacher's vectors. It needs
            method "composed" and no `pca_dims`, whose default then is `None`.
        pca_dims: Number of dimensions to keep (int), fraction of the variance to keep (float from 0 to 1), "auto" to
            rotate without dropping any, `None` for no PCA.
        sif_coefficient: Coefficient a of the SIF weights, above 0 and below 1; `None` for no weights.
        frequencies: Frequencies of tokens, for the weights: a mapping of tokens to counts, a count for each id (see
            `token_counts`), or a file: one JSON object if it is named `.json`, otherwise lines of `token<TAB>count`.
            Default: Zipf's law. Stored as a dictionary, a tuple or the path.
        token_remove_pattern: Regular expression; tokens that match it at their start are removed.
        vocabulary: Words to add to the teacher's vocabulary: a list, or a UTF-8 text file with one word a line. Words
            that the tokenizer splits become multi-word tokens. Stored as a tuple or the path.
        use_subword: Whether the student keeps the teacher's tokens; if not, it knows the words of `vocabulary` alone.
        quantize_to: Dtype of the table: float16, float32, float64 or int8.
        vocabulary_quantization: Number of rows of the table, each for a cluster of tokens; `None` for a row a token.
        pooling: Pooling of a token's hidden states: "mean" of all positions, "first" ("cls"), "last" ("lasttoken"),
            "max", "mean_sqrt_len_tokens", "weightedmean", or the teacher's "pooler". It replaces all modules after the
            encoder. Default: the modules of `modules.json`; without that file, the mean.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.

    Raises:
        InvalidInputError: An option is out of range.

    Example:
        >>> DistillConfig(pca_dims=128).sif_coefficient
        0.0001
        >>> DistillConfig(pooling="min")
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: pooling should be one of mean, first, last, ...
    """

    method: Method = option(
        "composed",
        "composed: fit the table to random groups of tokens, or to a corpus; token: the vector of each token alone, as "
        "in model2vec",
        choices=get_args(Method),
    )
    corpus: Any = option(
        None,
        "texts to fit the table to: .txt, one a line; .csv, .tsv, .jsonl, .ndjson, any of them .gz; .parquet; or a "
        "folder of m2v featurize",
        metavar="FILE",
        parse=Path,
        nargs="+",
    )
    text_column: str | None = option(None, "column, or key, of the texts (default: text)", metavar="NAME")
    rounds: int | None = option(
        None,
        f"random groups that each token is in; more take longer and fit slightly better (default: {ROUNDS}, or "
        f"{ROUNDS_WITH_CORPUS} with a corpus)",
        metavar="N",
        parse=int,
    )
    seed: int = option(0, "seed of the random groups", metavar="N", parse=int)
    device: Device = option(
        None, "cpu, gpu or tpu: all devices of that kind; gpu:1: the second one (default: all of the best kind)"
    )
    precision: Precision = option(
        "auto",
        "precision of matrix products; auto: bfloat16 where the hardware is fast with it",
        choices=get_args(Precision),
    )
    model_parallel: int = option(1, "devices that share one copy of the weights", metavar="N", parse=int)
    backend: Backend = option(
        "auto",
        "library that computes the teacher; auto: torch (needs m2v-distill[torch]) only for what flax lacks",
        choices=get_args(Backend),
    )
    compute_as: str | None = option(
        None,
        "architecture that computes the teacher, if its config names another or a class of its own: bert, "
        "bidirectional-llama, ...",
        metavar="MODEL_TYPE",
    )
    prompt: str | None = option(None, "text to put before each token and text", metavar="TEXT")
    prompt_name: str | None = option(None, "name of a prompt of the teacher to put there", metavar="NAME")
    base_model: str | None = option(
        None, "Hub id of the teacher, for the student's config (default: that of a teacher from the Hub)", metavar="ID"
    )
    checkpoint_dir: str | os.PathLike[str] | None = None
    resume: bool = option(
        default=True, help="continue from what an interrupted run left beside OUT, in OUT.chunks", flag="--resume"
    )
    space: Space = option(
        "own",
        "own: principal components; teacher: the teacher's space with all its dimensions, for queries to its index",
        choices=get_args(Space),
    )
    pca_dims: PCADims = option(
        256,
        "dimensions to keep; 0.95: that fraction of the variance; auto: all, rotated; none: no PCA",
        metavar="N",
        parse=or_none(_pca_dims),
    )
    sif_coefficient: float | None = option(
        1e-4,
        "coefficient of the SIF weights, by which frequent tokens weigh less; none: no weights",
        metavar="A",
        parse=or_none(float),
    )
    frequencies: Frequencies | None = option(
        None,
        "frequencies of tokens, for the weights: a JSON object (*.json), or lines of token<TAB>count (default: Zipf's "
        "law)",
        metavar="FILE",
        parse=Path,
    )
    token_remove_pattern: str | None = option(
        r"\[unused\d+\]",
        "remove tokens that match at their start; '' removes none",
        metavar="REGEX",
        parse=lambda text: text or None,
    )
    vocabulary: Words | None = option(None, "words to add, one a line", metavar="FILE", parse=Path)
    use_subword: bool = option(default=True, help="know only the words of --vocabulary", flag="--no-subword")
    quantize_to: str = option("float16", "dtype of the table", choices=tuple(EMBEDDING_DTYPES.values()))
    vocabulary_quantization: int | None = option(
        None, "rows of the table, each for a cluster of tokens (default: one a token)", metavar="N", parse=int
    )
    pooling: PoolingName | None = option(
        None,
        "pooling of hidden states, in place of the teacher's modules.json",
        choices=(*get_args(PoolingName), *POOLING_ALIASES),
    )
    show_progress_bar: bool | None = None

    @property
    def group_rounds(self) -> int:
        """The value of `rounds`, or its default."""
        default = ROUNDS if self.corpus is None else ROUNDS_WITH_CORPUS
        return default if self.rounds is None else self.rounds

    @property
    def recorded_settings(self) -> dict[str, Any]:
        """The settings that `Config.distillation_settings` records beside the rest: plain values, and no local paths.

        Example:
            >>> DistillConfig(prompt="query: ").recorded_settings
            {'prompt': 'query: ', 'rounds': 4, 'seed': 0}
        """
        defaults = defaults_of(DistillConfig)
        names = ("compute_as", "prompt", "prompt_name", "space", "token_remove_pattern", "use_subword")
        settings = {name: value for name in names if (value := getattr(self, name)) != defaults[name]}
        if self.method == "composed":
            settings |= {"rounds": self.group_rounds, "seed": self.seed}
        if isinstance(self.vocabulary, tuple) and self.vocabulary:
            settings["words"] = len(self.vocabulary)
        if self.frequencies is not None:
            settings["frequencies"] = "counted"
        return settings

    def with_files_read(self) -> DistillConfig:
        """The config with the words of `vocabulary` and the counts of `frequencies` instead of the names of files.

        Raises:
            InvalidInputError: A file is missing or does not hold words or counts.
        """
        words, counts = self.vocabulary, self.frequencies
        return replace(
            self,
            vocabulary=None if words is None else read_words(words),
            frequencies=None if counts is None else read_frequencies(counts),
        )

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("device", device_name(self.device))
        put("quantize_to", checked_dtype(self.quantize_to))
        if self.pooling is not None:
            name = getattr(self.pooling, "value", self.pooling)  # of an enum's member
            put("pooling", POOLING_ALIASES.get(name, name) if isinstance(name, str) else name)
        if self.vocabulary is not None and not isinstance(self.vocabulary, str | os.PathLike):
            put("vocabulary", checked_words(self.vocabulary))
        if self.frequencies is not None and not isinstance(self.frequencies, str | os.PathLike):
            put("frequencies", checked_counts(self.frequencies))
        one_of("method", self.method, get_args(Method))
        one_of("space", self.space, get_args(Space))
        if self.space == "teacher" and self.pca_dims == defaults_of(DistillConfig)["pca_dims"]:
            put("pca_dims", None)
        one_of("pooling", self.pooling, get_args(PoolingName), or_none=True)
        one_of("precision", self.precision, get_args(Precision))
        one_of("backend", self.backend, get_args(Backend))
        whole("rounds", self.group_rounds, 1)
        whole("seed", self.seed)
        whole("model_parallel", self.model_parallel, 1)
        number("sif_coefficient", self.sif_coefficient, above=0, below=1, or_none=True)
        model, expected = self.base_model, "the id of a model on the Hub, such as 'org/name'"
        expect(isinstance(model, str | None), "base_model", expected, model)
        expect(model is None or HUB_ID.fullmatch(model) is not None, "base_model", expected, model)
        check_clusters(self.vocabulary_quantization)
        self._check_pca()
        self._check_pattern()
        self._check_together()

    def _check_pca(self) -> None:
        dims = self.pca_dims
        whole_number = isinstance(dims, int) and not isinstance(dims, bool) and dims >= 1
        fraction = isinstance(dims, float) and 0 < dims <= 1
        expect(
            dims is None or (isinstance(dims, str) and dims == "auto") or whole_number or fraction,
            "pca_dims",
            "a number of dimensions (int, 1 or more), a fraction of the variance (float above 0, at most 1), 'auto' or "
            "None",
            dims,
        )

    def _check_pattern(self) -> None:
        if self.token_remove_pattern is not None:
            pattern = self.token_remove_pattern
            expect(isinstance(pattern, str | re.Pattern), "token_remove_pattern", "a regular expression", pattern)
            try:
                re.compile(self.token_remove_pattern)
            except re.error as error:
                raise InvalidInputError(
                    f"token_remove_pattern should be a regular expression: {error} in {self.token_remove_pattern!r}."
                ) from None

    def _check_together(self) -> None:
        """Check options that depend on each other."""
        if self.corpus is not None and self.method != "composed":
            raise InvalidInputError(f"corpus needs method 'composed'; found {self.method!r}.")
        if self.corpus is None and self.text_column is not None:
            raise InvalidInputError(
                f"text_column is for files of a corpus; found {shown(self.text_column)} and no corpus."
            )
        if self.space == "teacher" and (self.method != "composed" or self.pca_dims is not None):
            raise InvalidInputError(
                f"space 'teacher' needs method 'composed' and all dimensions (no pca_dims); found method "
                f"{self.method!r}, pca_dims {self.pca_dims!r}. Leave these out."
            )
        check_one(self.prompt_name, self.prompt)
        check_compute_as(self.compute_as, self.backend)
        if not truth("use_subword", self.use_subword) and not self.vocabulary:
            raise InvalidInputError(
                "use_subword=False leaves only the words of vocabulary; found none. Pass some, or use_subword=True."
            )
        if self.frequencies is not None and self.sif_coefficient is None:
            raise InvalidInputError(
                "frequencies are for weights; found sif_coefficient=None, no weights. Leave one of them out."
            )
