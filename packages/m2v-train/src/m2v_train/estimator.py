"""What all estimators share: options, a model to start from, and what comes out."""

from __future__ import annotations

import inspect
import os
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from jaxtyping import Float32
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from m2v_core import StaticModel, StaticModelPipeline
from m2v_core.aliases import aliased
from m2v_core.errors import InvalidInputError
from m2v_core.head import Activation, MLPHead
from m2v_core.model import UNSET
from m2v_train.batches import Samples
from m2v_train.config import TrainConfig, TrainOptions
from m2v_train.fitting import Trained, fit
from m2v_train.inputs import TokenTexts, as_texts, check_aligned, split_indices
from m2v_train.losses import Task

#: What model2vec starts from if it is told nothing.
DEFAULT_MODEL = "minishlab/potion-base-32m"


class Estimator(BaseEstimator):  # type: ignore[misc]
    """A static model, and a head on top of it, to train.

    Options are given to `__init__`, as scikit-learn has it, or to `fit` for that time.

    Args:
        model: The static model to start from. It stays as it is.
        **options: The fields of `config_class`.

    Attributes:
        history_: What each validation found: epoch, step, learning_rate, and losses and metrics by names such as
            train_loss and val_loss.
    """

    config_class: ClassVar[type[TrainConfig]] = TrainConfig

    def __init__(self, model: StaticModel | None = None, **options: Unpack[TrainOptions]) -> None:
        given = self.config_class.named(options)
        self.model = model
        for name, value in {**self.config_class.defaults(), **given}.items():
            setattr(self, name, value)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)

        def __init__(  # noqa: N807
            self: Estimator, model: StaticModel | None = None, **options: Unpack[TrainOptions]
        ) -> None:
            Estimator.__init__(self, model, **options)

        # scikit-learn reads the names and defaults of options from here.
        first = [p for p in inspect.signature(__init__).parameters.values() if p.kind is not p.VAR_KEYWORD]
        listed = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in cls.config_class.defaults().items()
        ]
        __init__.__signature__ = inspect.Signature([*first, *listed])  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]

    def __sklearn_clone__(self) -> Self:
        return type(self)(**self.get_params(deep=False))  # the model is never changed, so need not be copied

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.no_validation = False
        return tags

    @classmethod
    def from_static_model(cls, model: StaticModel, **options: Unpack[TrainOptions]) -> Self:
        """An estimator that starts from a model."""
        return cls(model, **options)

    @classmethod
    @aliased
    def from_pretrained(
        cls,
        path: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        token: str | None = None,
        revision: str | None = None,
        subfolder: str | None = None,
        **options: Unpack[TrainOptions],
    ) -> Self:
        """An estimator that starts from a model of a folder, or of the Hugging Face Hub (with m2v-hub).

        Raises as `StaticModel.from_pretrained` does.
        """
        given = cls.config_class.named(options)  # before anything is fetched
        return cls(StaticModel.from_pretrained(path, token=token, revision=revision, subfolder=subfolder), **given)

    # --- training -----------------------------------------------------------------------------------------------

    def _config(self, options: dict[str, Any]) -> TrainConfig:
        """The settings of one `fit`.

        Raises:
            InvalidInputError: An option is out of range, or there is no model.
            TypeError: An option is unknown.
        """
        options = self.config_class.named(options)
        if not isinstance(self.model, StaticModel):
            raise InvalidInputError(
                f"model should be the StaticModel to start from; found {type(self.model).__name__}. Pass model=, or "
                f"use {type(self).__name__}.from_pretrained(path)."
            )
        own = {name: getattr(self, name) for name in self.config_class.defaults()}
        return self.config_class(**{**own, **options})

    def _tokenized(self, config: TrainConfig, *columns: Any) -> TokenTexts:
        """The token ids of columns of texts, one column after the other."""
        model: Any = self.model
        limit: Any = UNSET if config.max_length == "model" else config.max_length
        parts = [TokenTexts.of(model, column, max_length=limit) for column in columns]
        starts = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
        ends = [part.ends + start for part, start in zip(parts, starts, strict=True)]
        return TokenTexts(np.concatenate([part.ids for part in parts]), np.concatenate(ends))

    def _trained(
        self,
        config: TrainConfig,
        data: Samples,
        validation: Samples | None,
        *,
        task: Task,
        out_dim: int,
        class_weights: Float32[np.ndarray, " C"] | None = None,
        strata: Any = None,
    ) -> Self:
        """Train, with samples held out if there is no validation data."""
        if validation is None:
            kept, held_out = split_indices(len(data), config.test_size, strata=strata, seed=config.random_seed)
            data, validation = data.take(kept), data.take(held_out)
        weights = np.ones(1, np.float32) if class_weights is None else class_weights
        model: Any = self.model
        self._trained_: Trained = fit(model, data, validation, task, weights, out_dim, config)
        self.history_ = self._trained_.history
        return self

    # --- what comes out -----------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_trained_")

    def to_static_model(self) -> StaticModel:
        """The trained model without its head, with the tokenizer and what the model knows of itself.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` has not been called.
        """
        check_is_fitted(self)
        return self._trained_.model

    def to_pipeline(self) -> StaticModelPipeline:
        """The trained model with its head, for m2v-core alone.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` has not been called.
        """
        check_is_fitted(self)
        head = MLPHead(self._trained_.layers, self._activation(), getattr(self, "classes_", None))
        return StaticModelPipeline(self._trained_.model, head)

    def _activation(self) -> Activation:
        return Activation.IDENTITY


def single_texts(texts: TokenTexts, targets: Any) -> Samples:
    """Samples of one text each."""
    return Samples(texts, np.arange(len(texts))[:, None], targets)


def checked_validation(first: Any, second: Any, names: tuple[str, str]) -> bool:
    """Whether there is validation data.

    Raises:
        InvalidInputError: There is but half of it.
    """
    if (first is None) != (second is None):
        missing, given = names if first is None else names[::-1]
        raise InvalidInputError(f"{names[0]} and {names[1]} belong together; found {given} without {missing}.")
    return first is not None


def aligned_texts(**columns: Any) -> list[Any]:
    """Columns of texts of one length, checked."""
    checked = {name: as_texts(column, name) for name, column in columns.items()}
    check_aligned(**checked)
    return list(checked.values())
