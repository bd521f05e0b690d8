"""The settings of a distillation: listed once, checked once, and carried along as one frozen record."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from typing import Literal, TypedDict, get_args

from m2v_core.cluster import check_clusters
from m2v_core.errors import InvalidInputError
from m2v_core.quantize import checked_dtype

Pooling = Literal["mean", "first", "last", "pooler"]
PCADims = int | float | Literal["auto"] | None


class DistillOptions(TypedDict, total=False):
    """The keywords of `distill` and `distill_from_model`, for editors and type checkers; see `DistillConfig`."""

    device: str | None
    pca_dims: PCADims
    sif_coefficient: float | None
    token_remove_pattern: str | None
    quantize_to: str
    vocabulary_quantization: int | None
    pooling: Pooling
    show_progress_bar: bool | None


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Settings of a distillation, checked.

    Attributes:
        device: Where the teacher runs: "cpu", "gpu" or "cuda", "tpu", with ":1" for the second one. Default: the
            best that JAX finds.
        pca_dims: Dimensions to keep (int), the share of variance to keep (float from 0 to 1), "auto" to rotate
            without dropping any, `None` for no PCA.
        sif_coefficient: `a` of SIF weighting, above 0 and below 1; `None` for no weighting.
        token_remove_pattern: Tokens that this regular expression matches at their start are removed.
        quantize_to: dtype of the table: float16, float32, float64 or int8.
        vocabulary_quantization: How many rows the table has, each for a cluster of tokens; `None` for one a token.
        pooling: How a token's outputs become one vector: "mean" of all positions, "first", "last", or the teacher's
            "pooler".
        show_progress_bar: `None` shows it on a terminal only.

    Raises:
        InvalidInputError: A setting is out of range.

    Example:
        >>> DistillConfig(pca_dims=128).sif_coefficient
        0.0001
        >>> DistillConfig(pooling="max")
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: pooling should be one of mean, first, last, pooler; found 'max'.
    """

    device: str | None = None
    pca_dims: PCADims = 256
    sif_coefficient: float | None = 1e-4
    token_remove_pattern: str | None = r"\[unused\d+\]"
    quantize_to: str = "float16"
    vocabulary_quantization: int | None = None
    pooling: Pooling = "mean"
    show_progress_bar: bool | None = None

    @classmethod
    def of(cls, **options: object) -> DistillConfig:
        """Settings from keywords; an unknown keyword is an error that suggests the nearest one.

        Raises:
            TypeError: Unknown keyword.
            InvalidInputError: A setting is out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f" Did you mean {near[0]!r}?" if near else f" Known ones: {', '.join(known)}."
                raise TypeError(f"unexpected keyword {name!r}.{hint}")
        return cls(**options)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        object.__setattr__(self, "pooling", str(getattr(self.pooling, "value", self.pooling)))
        object.__setattr__(self, "quantize_to", checked_dtype(self.quantize_to))
        check_clusters(self.vocabulary_quantization)
        if self.pooling not in get_args(Pooling):
            raise InvalidInputError(f"pooling should be one of {', '.join(get_args(Pooling))}; found {self.pooling!r}.")
        self._check_pca()
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
