"""The settings of a distillation: listed once, checked once, and carried along as one frozen record."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, get_args

from m2v_core.aliases import renamed
from m2v_core.cluster import check_clusters
from m2v_core.devices import device_name
from m2v_core.errors import InvalidInputError
from m2v_core.quantize import checked_dtype
from m2v_distill.vocabulary.frequencies import Frequencies, read_frequencies
from m2v_distill.vocabulary.words import Words, read_words

Pooling = Literal["mean", "first", "last", "pooler", "max", "mean_sqrt_len_tokens", "weightedmean"]
Precision = Literal["auto", "float32", "bfloat16"]
Method = Literal["composed", "token"]
Backend = Literal["auto", "flax", "torch"]
#: A name, or an object as `torch.device` is.
Device = Any
PCADims = int | float | Literal["auto"] | None

#: Defaults of `rounds`.
ROUNDS, ROUNDS_BESIDE_CORPUS = 4, 20


class DistillOptions(TypedDict, total=False):
    """The keywords of `distill` and `distill_from_model`, for editors and type checkers; see `DistillConfig`."""

    method: Method
    corpus: Any
    text_column: str | None
    rounds: int | None
    seed: int
    device: Device
    precision: Precision
    model_parallel: int
    backend: Backend
    compute_as: str | None
    prompt: str | None
    prompt_name: str | None
    checkpoint_dir: str | os.PathLike[str] | None
    resume: bool
    pca_dims: PCADims
    sif_coefficient: float | None
    frequencies: Frequencies | None
    token_remove_pattern: str | None
    vocabulary: Words | None
    use_subword: bool
    quantize_to: str
    vocabulary_quantization: int | None
    pooling: Pooling | None
    show_progress_bar: bool | None


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Settings of a distillation, checked.

    Attributes:
        method: "composed" fits the table to the teacher's vectors of random groups of tokens, or of a corpus; "token"
            passes each token through the teacher alone, as model2vec does.
        corpus: Plain texts that the table is fitted to, for method "composed": an iterable of texts, a file or several
            (`Path`s; a text a line, or CSV, TSV, JSONL or Parquet), or a folder that `featurize` made.
        text_column: The column of the texts, in files that have columns. Default: "text".
        rounds: How many random groups each token is in; more take longer and fit a little better. Default: 4, or 20
            beside a corpus, which takes a while in any case.
        seed: Of the random groups.
        device: Where the teacher runs: "cpu", "gpu" or "cuda", "tpu", with ":1" for the second one; a `torch.device`
            is taken too, and kept by its name. Default ("auto" is the same): on all devices of the best kind that JAX
            finds, the vocabulary split among them, on every host if `jax.distributed` is initialised.
        precision: Of the inputs of matrix products; sums and everything else are float32. "bfloat16" is several times
            as fast where the hardware has such products, and "auto" takes it there: on TPUs, on GPUs since Ampere, on
            CPUs with AMX.
        model_parallel: Devices that share one copy of the weights, for a teacher that does not fit into one.
        backend: "flax", "torch" (transformers' own PyTorch model, which needs m2v-distill[torch]), or "auto": Flax, and
            PyTorch for an architecture that m2v-distill lacks.
        compute_as: The `model_type` that the teacher is computed as, if its config has another one, or names a class of
            its own (`auto_map`) that equals it: "bert", say. "bidirectional-llama", "-mistral", "-qwen2" and "-qwen3"
            let every position see all others.
        prompt: Put before each token, and each text of a corpus, as the teacher would see it in a text with a prompt.
        prompt_name: A prompt of the teacher's, by name.
        checkpoint_dir: A folder to keep finished parts of the forward pass in, of which a run that was interrupted and
            is started again makes use. It stays when all is done, and may then be removed.
        resume: If False, what `checkpoint_dir` holds is not used, and replaced as soon as there is something new.
        pca_dims: Dimensions to keep (int), the share of variance to keep (float from 0 to 1), "auto" to rotate
            without dropping any, `None` for no PCA.
        sif_coefficient: `a` of SIF weighting, above 0 and below 1; `None` for no weighting.
        frequencies: How often tokens occur, for the weights: a mapping of tokens to counts, a count for each id (see
            `token_counts`), or a file: one JSON object if it is named `.json`, else lines of `token<TAB>count`.
            Default: by Zipf's law. Kept as a dictionary or a tuple.
        token_remove_pattern: Tokens that this regular expression matches at their start are removed.
        vocabulary: Words to add to the teacher's vocabulary: a list, or a UTF-8 text file with one a line. Those that
            the tokenizer splits become multi-word tokens. Kept as a tuple.
        use_subword: If False, the words of `vocabulary` are all that the student knows.
        quantize_to: dtype of the table: float16, float32, float64 or int8.
        vocabulary_quantization: How many rows the table has, each for a cluster of tokens; `None` for one a token.
        pooling: How a token's outputs become one vector: "mean" of all positions, "first" ("cls"), "last"
            ("lasttoken"), "max", "mean_sqrt_len_tokens", "weightedmean", or the teacher's "pooler". It takes the place
            of all that comes after the encoder. Default: what `modules.json` says, with dense layers; without that
            file, the mean.
        show_progress_bar: `None` shows it on a terminal only.

    Raises:
        InvalidInputError: A setting is out of range.

    Example:
        >>> DistillConfig(pca_dims=128).sif_coefficient
        0.0001
        >>> DistillConfig(pooling="min")
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: pooling should be one of mean, first, last, ...
    """

    method: Method = "composed"
    corpus: Any = None
    text_column: str | None = None
    rounds: int | None = None
    seed: int = 0
    device: Device = None
    precision: Precision = "auto"
    model_parallel: int = 1
    backend: Backend = "auto"
    compute_as: str | None = None
    prompt: str | None = None
    prompt_name: str | None = None
    checkpoint_dir: str | os.PathLike[str] | None = None
    resume: bool = True
    pca_dims: PCADims = 256
    sif_coefficient: float | None = 1e-4
    frequencies: Frequencies | None = None
    token_remove_pattern: str | None = r"\[unused\d+\]"
    vocabulary: Words | None = None
    use_subword: bool = True
    quantize_to: str = "float16"
    vocabulary_quantization: int | None = None
    pooling: Pooling | None = None
    show_progress_bar: bool | None = None

    @classmethod
    def of(cls, **options: object) -> DistillConfig:
        """Settings from keywords; an unknown keyword is an error that suggests the nearest one.

        Raises:
            TypeError: Unknown keyword.
            InvalidInputError: A setting is out of range.
        """
        known = [field.name for field in fields(cls)]
        options = renamed(options, known)
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f" Did you mean {near[0]!r}?" if near else f" Known ones: {', '.join(known)}."
                raise TypeError(f"unexpected keyword {name!r}.{hint}")
        return cls(**options)  # type: ignore[arg-type]

    @property
    def group_rounds(self) -> int:
        """`rounds`, or its default."""
        default = ROUNDS if self.corpus is None else ROUNDS_BESIDE_CORPUS
        return default if self.rounds is None else self.rounds

    @property
    def decisive(self) -> dict[str, Any]:
        """What else decided on a table, for `Config.distillation_settings`: plain values, and no paths of this machine.

        Example:
            >>> DistillConfig(prompt="query: ").decisive
            {'prompt': 'query: ', 'rounds': 4, 'seed': 0}
        """
        names = ("compute_as", "prompt", "prompt_name", "token_remove_pattern", "use_subword")
        chosen = {name: getattr(self, name) for name in names}
        defaults = {field.name: field.default for field in fields(self)}
        settings = {name: value for name, value in chosen.items() if value != defaults[name]}
        if self.method == "composed":
            settings |= {"rounds": self.group_rounds, "seed": self.seed}
        if self.vocabulary:
            settings["words"] = len(self.vocabulary)  # type: ignore[arg-type] # a tuple by now
        if self.frequencies is not None:
            settings["frequencies"] = "counted"
        return settings

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", device_name(self.device))
        if self.pooling is not None:
            name = str(getattr(self.pooling, "value", self.pooling))
            object.__setattr__(self, "pooling", {"cls": "first", "lasttoken": "last"}.get(name, name))
        object.__setattr__(self, "quantize_to", checked_dtype(self.quantize_to))
        check_clusters(self.vocabulary_quantization)
        for name, kind in (
            ("method", Method),
            ("pooling", Pooling),
            ("precision", Precision),
            ("backend", Backend),
        ):
            value, known = getattr(self, name), get_args(kind)
            if value not in known and not (name == "pooling" and value is None):
                raise InvalidInputError(f"{name} should be one of {', '.join(known)}; found {value!r}.")
        if self.corpus is not None and self.method != "composed":
            raise InvalidInputError(f"corpus needs method 'composed'; found {self.method!r}.")
        if type(self.group_rounds) is not int or self.group_rounds < 1:
            raise InvalidInputError(f"rounds should be a whole number, 1 or more; found {self.rounds!r}.")
        if self.corpus is None and self.text_column is not None:
            raise InvalidInputError(f"text_column is for files of a corpus; found {self.text_column!r} and no corpus.")
        if type(self.seed) is not int or self.seed < 0:
            raise InvalidInputError(f"seed should be a whole number, 0 or more; found {self.seed!r}.")
        if self.prompt is not None and self.prompt_name is not None:
            raise InvalidInputError("Expected prompt or prompt_name; found both.")
        self._check_pca()
        self._check_words()
        if self.sif_coefficient is not None and not 0 < self.sif_coefficient < 1:
            raise InvalidInputError(
                f"sif_coefficient should be above 0 and below 1, or None; found {self.sif_coefficient!r}."
            )
        if self.token_remove_pattern is not None:
            try:
                re.compile(self.token_remove_pattern)
            except re.error as error:
                raise InvalidInputError(
                    f"token_remove_pattern should be a regular expression: {error} in {self.token_remove_pattern!r}."
                ) from None

    def _check_words(self) -> None:
        if self.vocabulary is not None:
            object.__setattr__(self, "vocabulary", read_words(self.vocabulary))
        if not self.use_subword and not self.vocabulary:
            raise InvalidInputError(
                "use_subword=False leaves only the words of vocabulary; found none. Pass some, or use_subword=True."
            )
        if self.frequencies is not None:
            if self.sif_coefficient is None:
                raise InvalidInputError(
                    "frequencies are for weights; found sif_coefficient=None, no weights. Leave one of them out."
                )
            object.__setattr__(self, "frequencies", read_frequencies(self.frequencies))

    def _check_pca(self) -> None:
        dims = self.pca_dims
        if dims is None or dims == "auto":
            return
        if isinstance(dims, int) and not isinstance(dims, bool) and dims >= 1:
            return
        if isinstance(dims, float) and 0 < dims <= 1:
            return
        raise InvalidInputError(
            f"pca_dims should be a number of dimensions (int, 1 or more), a share of variance (float above 0, at most "
            f"1), 'auto' or None; found {dims!r}."
        )
