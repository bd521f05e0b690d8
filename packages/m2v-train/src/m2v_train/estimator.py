"""What all estimators share: options, a model to start from, and what comes out."""

from __future__ import annotations

import logging
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
from m2v_train.config import TrainConfig, TrainOptions, named_options
from m2v_train.data.inputs import TokenTexts, as_texts, check_aligned, check_has_tokens, split_indices
from m2v_train.engine.batches import Samples
from m2v_train.engine.fitting import Trained, fit
from m2v_train.engine.losses import Task
from m2v_train.subclasses import check_overrides, give_signature, names_to_pass

logger = logging.getLogger("m2v_train")

#: The share of texts without a token above which a log line is a warning.
NOTABLE = 0.1

#: What model2vec starts from if it is told nothing.
DEFAULT_MODEL = "minishlab/potion-base-32m"


class Estimator(BaseEstimator):  # type: ignore[misc]
    """A static model, and a head on top of it, to train.

    Options are given to `__init__`, as scikit-learn has it, or to `fit` for that time. A subclass may have an
    `__init__` of its own, with parameters that it stores under their names; it hands on the others,
    `super().__init__(model, **options)`.

    Args:
        model: The static model to start from. It stays as it is.
        **options: The fields of `config_class`.

    Attributes:
        history_: What each validation found: epoch, step, learning_rate, and losses and metrics by names such as
            train_loss and val_loss.
    """

    config_class: ClassVar[type[TrainConfig]] = TrainConfig

    def __init__(self, model: StaticModel | None = None, **options: Unpack[TrainOptions]) -> None:
        given = named_options(options, self.config_class.defaults())
        self.model = model
        for name, value in {**self.config_class.defaults(), **given}.items():
            setattr(self, name, value)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_overrides(cls)
        give_signature(cls, Estimator)

    def __sklearn_clone__(self) -> Self:
        # An option that a subclass's __init__ does not name may be set by it, and so is set here afterwards.
        options = self.get_params(deep=False)
        named = names_to_pass(type(self), Estimator)
        clone = type(self)(**{name: options.pop(name) for name in named})  # the model never changes: no copy
        for name, value in options.items():
            setattr(clone, name, value)
        return clone

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
        given = named_options(options, cls._get_param_names())  # before anything is fetched
        return cls(StaticModel.from_pretrained(path, token=token, revision=revision, subfolder=subfolder), **given)

    # --- training -----------------------------------------------------------------------------------------------

    def _config(self, options: dict[str, Any]) -> TrainConfig:
        """The settings of one `fit`.

        Raises:
            InvalidInputError: An option is out of range, or there is no model.
            TypeError: An option is unknown.
        """
        defaults = self.config_class.defaults()
        options = named_options(options, defaults)
        if not all(hasattr(self, name) for name in ("model", *defaults)):
            raise InvalidInputError(
                f"{type(self).__name__}.__init__ should call super().__init__(model, **options), which stores the "
                f"options; found that it does not."
            )
        if not isinstance(self.model, StaticModel):
            raise InvalidInputError(
                f"model should be the StaticModel to start from; found {type(self.model).__name__}. Pass model=, or "
                f"use {type(self).__name__}.from_pretrained(path)."
            )
        own = {name: getattr(self, name) for name in defaults}
        return self.config_class(**{**own, **options})

    def _tokenized(self, config: TrainConfig, **columns: Any) -> TokenTexts:
        """The token ids of columns of texts, by name, one column after the other.

        Raises:
            InvalidInputError: No text of a column has a token.
        """
        model: Any = self.model
        limit: Any = UNSET if config.max_length == "model" else config.max_length
        parts = [TokenTexts.of(model, column, max_length=limit) for column in columns.values()]
        for name, part in zip(columns, parts, strict=True):
            check_has_tokens(part.lengths, f"texts in {name}")
            n_empty = int((part.lengths == 0).sum())
            if n_empty:
                logger.log(
                    logging.WARNING if n_empty > NOTABLE * len(part) else logging.INFO,
                    "%d of the %d texts in %s have no token that the model knows: the head alone can learn from them",
                    *(n_empty, len(part), name),
                )
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
        for some, what in ((data, "to train on"), (validation, "to validate with")):
            for lengths in some.lengths.T:
                check_has_tokens(lengths, f"texts {what}", remedy="Change test_size, or pass other validation data.")
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


def aligned_texts(**columns: Any) -> dict[str, Any]:
    """Columns of texts of one length, checked."""
    checked = {name: as_texts(column, name) for name, column in columns.items()}
    check_aligned(**checked)
    return checked
