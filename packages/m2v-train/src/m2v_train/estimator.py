"""The base of all estimators: options, a model to start from, and the trained model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, ClassVar, Self

import numpy as np
from flax import nnx
from jaxtyping import Int32
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from m2v_core import StaticModel, StaticModelPipeline
from m2v_core.aliases import aliased
from m2v_core.errors import InvalidInputError
from m2v_core.head import Activation, MLPHead
from m2v_core.model import UNSET
from m2v_core.options import defaults_of, known_options
from m2v_core.ragged import Ragged
from m2v_train.config import MaxLength, TrainConfig
from m2v_train.data.samples import Samples
from m2v_train.data.split import split_indices
from m2v_train.data.stored import StoredSamples
from m2v_train.data.tokens import check_has_tokens, log_empty, tokenize
from m2v_train.engine.fitting import Problem, Trained, fit
from m2v_train.engine.head import FlaxHead, Head
from m2v_train.engine.module import MLP, layer_sizes
from m2v_train.subclasses import check_overrides

#: Default model of model2vec.
DEFAULT_MODEL = "minishlab/potion-base-32m"


def limit_of(config: TrainConfig) -> Any:
    """The maximum number of tokens per text, as `StaticModel.token_ids` takes it."""
    return UNSET if config.max_length == "model" else config.max_length


class Estimator(BaseEstimator):  # type: ignore[misc]
    """A static model and a head on top of it, trained together.

    Options are given to `__init__`, as in scikit-learn, or to `fit` for one call. A subclass may have an `__init__` of
    its own: it stores its parameters under their names, and passes the others on, `super().__init__(model, **options)`.
    It may have a head of its own too: see `construct_head`.

    Args:
        model: Static model to start from. It is not changed.
        n_layers: See `m2v_train.config.TrainConfig`, as for all options that follow.

    Attributes:
        history_: One record per validation: epoch, step, learning_rate, and losses and metrics by names such as
            train_loss and val_loss.
        validation_indices_: Indices of the examples that `fit` held out for validation; `None` if validation data was
            given.
        n_examples_: Number of examples that the model was trained on, without those held out.
    """

    config_class: ClassVar[type[TrainConfig]] = TrainConfig

    @aliased
    def __init__(
        self,
        model: StaticModel | None = None,
        *,
        n_layers: int = 1,
        hidden_dim: int = 512,
        freeze: bool = False,
        normalize: bool = True,
        freeze_weights: bool | None = None,
        max_length: MaxLength = "model",
        learning_rate: float = 1e-3,
        batch_size: int | None = None,
        min_epochs: int | None = None,
        max_epochs: int | None = -1,
        early_stopping_patience: int | None = 5,
        test_size: float | int = 0.1,
        validation_steps: int | None = None,
        random_seed: int = 42,
        token_dropout: float = 0.0,
        device: Any = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        show_progress_bar: bool | None = None,
    ) -> None:
        self._store(locals())

    def _store(self, parameters: Mapping[str, Any]) -> None:
        """Store the parameters of an `__init__` under their names; `parameters` are its `locals()`."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """The parameters of `__init__`, and of those that it passes other keywords on to."""
        names: set[str] = set()
        for owner in cls.__mro__:
            if "__init__" not in vars(owner):
                continue
            parameters = list(signature(vars(owner)["__init__"]).parameters.values())[1:]
            names |= {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
        return sorted(names)

    @classmethod
    def _keywords(cls) -> list[str]:
        """The keywords of `from_pretrained` and `from_static_model` that `__init__` gets."""
        return cls._get_param_names()

    def __sklearn_clone__(self) -> Self:
        return type(self)(**self.get_params(deep=False))  # the model never changes: no copy

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.no_validation = False
        return tags

    @classmethod
    def from_static_model(cls, model: StaticModel, **options: Any) -> Self:
        """Make an estimator that starts from a model; options are those of the class.

        Raises:
            TypeError: An option is unknown.
        """
        return cls(model=model, **known_options(cls.__name__, options, cls._keywords()))

    @classmethod
    @aliased
    def from_pretrained(
        cls,
        path: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        token: str | None = None,
        revision: str | None = None,
        subfolder: str | None = None,
        **options: Any,
    ) -> Self:
        """Make an estimator that starts from a model in a folder or on the Hugging Face Hub (with m2v-hub).

        Args:
            path: A folder, or `org/name`.
            token: A Hub token, for private repositories.
            revision: A branch, a tag or a commit.
            subfolder: Folder of the model within `path`.
            **options: Options of the class.

        Raises:
            TypeError: An option is unknown.
            M2VError: As `StaticModel.from_pretrained`.
        """
        given = known_options(cls.__name__, options, cls._keywords())  # before anything is fetched
        model = StaticModel.from_pretrained(path, token=token, revision=revision, subfolder=subfolder)
        return cls(model=model, **given)

    # --- training -----------------------------------------------------------------------------------------------

    def _config(self, options: Mapping[str, Any]) -> Any:
        """The options of one `fit`, as a `config_class`.

        Raises:
            InvalidInputError: An option is out of range, there is no model, or a subclass overrides what has no effect.
            TypeError: An option is unknown.
        """
        check_overrides(type(self))
        defaults = defaults_of(self.config_class)
        given = known_options(f"{type(self).__name__}.fit", options, defaults)
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
        return self.config_class(**{name: getattr(self, name) for name in defaults} | given)

    def _tokenized(self, config: TrainConfig, **columns: Sequence[str]) -> Ragged:
        """Token ids of columns of texts, by name, one column after the other.

        Raises:
            InvalidInputError: No text of a column has a token.
        """
        tokens = tokenize(self.model, *columns.values(), max_length=limit_of(config))
        stops = np.cumsum([len(column) for column in columns.values()])
        for name, lengths in zip(columns, np.split(tokens.lengths, stops[:-1]), strict=True):
            check_has_tokens(lengths, f"texts in {name}")
            log_empty(int((lengths == 0).sum()), len(lengths), name)
        return tokens

    def _split(
        self, samples: Samples, config: TrainConfig, *, strata: Int32[np.ndarray, " n"] | None = None
    ) -> tuple[Samples, Samples]:
        """Hold out some samples for validation."""
        kept, held_out = split_indices(len(samples), config.test_size, strata=strata, seed=config.random_seed)
        return samples.take(kept), samples.take(held_out)

    def _train(self, problem: Problem, config: TrainConfig) -> Self:
        """Train, and keep the result."""
        for samples, purpose in ((problem.samples, "to train on"), (problem.validation, "to validate with")):
            if not isinstance(samples, Samples):
                continue
            for lengths in np.split(samples.lengths, (1, 2), axis=1):  # of pairs: first, second, hard negatives
                if lengths.size:
                    remedy = "Change test_size, or pass other validation data."
                    check_has_tokens(lengths.ravel(), f"texts {purpose}", remedy=remedy)
        head = Head.made_by(self.construct_head, self.model.dim, problem.out_dim, config)
        self._trained: Trained = fit(self.model, problem, config, head)
        self._made = problem.out_dim, config
        self.history_, self.n_examples_ = self._trained.history, len(problem.samples)
        if isinstance(problem.samples, StoredSamples):
            self.validation_indices_ = problem.samples.held_out if len(problem.samples.held_out) else None
        else:
            is_split = problem.validation.texts is problem.samples.texts
            self.validation_indices_ = problem.validation.rows if is_split else None
        return self

    def construct_head(self, dim: int, out_dim: int, config: TrainConfig, rngs: nnx.Rngs) -> nnx.Module:
        """Make the head before training; a subclass may override this method to have a head of its own.

        Args:
            dim: Dimensions of a text's vector.
            out_dim: Number of outputs for each text: of classes, of numbers, or of dimensions.
            config: The options of this `fit`, which may differ from those of the estimator.
            rngs: Source of initial weights, made of `random_seed`.

        Returns:
            A module that takes vectors [n, dim] and gives outputs [n, out_dim], both float32, and each row of them
            from one row alone. Its variables are of the kind `nnx.Param`; `nnx.Dropout` is active during training.

        Example:
            >>> class Normed(Estimator):
            ...     def construct_head(self, dim, out_dim, config, rngs):
            ...         own = super().construct_head(dim, out_dim, config, rngs)
            ...         return nnx.Sequential(nnx.LayerNorm(dim, rngs=rngs), own)
            >>> Normed().construct_head(2, 3, TrainConfig(), nnx.Rngs(0))(np.zeros((4, 2), np.float32)).shape
            (4, 3)
        """
        sizes = layer_sizes(
            dim,
            out_dim,
            n_layers=config.n_layers,
            hidden_dim=config.hidden_dim,
            may_be_empty=not isinstance(self, ClassifierMixin),
        )
        return MLP(sizes, rngs)

    # --- what comes out -----------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_trained")

    def to_static_model(self) -> StaticModel:
        """The trained model without its head; tokenizer and metadata are those of the original model.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` has not been called.
        """
        check_is_fitted(self)
        return self._trained.model

    def to_pipeline(self) -> StaticModelPipeline:
        """The trained model with its head, which m2v-core alone can run.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` has not been called.
            InvalidInputError: `construct_head` made a head that is not linear layers with ReLU between them.
        """
        check_is_fitted(self)
        if self._trained.layers is None:
            raise InvalidInputError(
                f"The head of a pipeline, and of its files, should be linear layers with ReLU between them; found the "
                f"one that {type(self).__name__}.construct_head makes. Keep the estimator itself (pickle, joblib) to "
                f"predict with it, or the model without its head by to_static_model(); or return an nnx.Sequential of "
                f"nnx.Linear, nnx.relu and nnx.Dropout alone, which a pipeline can hold."
            )
        return self._predictor()

    def _predictor(self) -> StaticModelPipeline:
        """The trained model with its head, of any kind."""
        check_is_fitted(self)
        if self._trained.layers is None and self._trained.structure is None:
            structure = Head.made_by(self.construct_head, self._trained.model.dim, *self._made).structure
            self._trained = replace(self._trained, structure=structure)
        return self._pipeline(self._trained)

    def _pipeline(self, trained: Trained) -> StaticModelPipeline:
        """A model with its head, of any kind."""
        options = self._activation(), getattr(self, "classes_", None)
        if trained.structure is None:
            return StaticModelPipeline(trained.model, MLPHead(trained.layers or [], *options))
        return StaticModelPipeline(trained.model, FlaxHead(trained.structure, trained.arrays, *options))

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if "_trained" in state:  # functions in the structure of a head may refuse to be pickled
            state["_trained"] = replace(self._trained, structure=None)
        return state

    def _activation(self) -> Activation:
        return Activation.IDENTITY
