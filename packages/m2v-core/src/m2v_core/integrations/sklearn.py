"""scikit-learn: `StaticModelTransformer`, for pipelines from texts (`m2v-core[sklearn]`)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import InvalidInputError
from m2v_core.extras import needs
from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel

with needs("scikit-learn"):
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin


class StaticModelTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A static model as a scikit-learn transformer: texts to vectors [n, D] float32.

    It is made of texts that a model knows already: `fit` learns nothing and only checks the options. Clones share
    the model. `get_feature_names_out` gives `staticmodeltransformer0`, ...

    Args:
        model: A model, or a folder or `org/name` that is loaded when it is first needed.
        max_length: Number of tokens at which a text is truncated, `None` for no limit. Default: the model's setting.
        normalize: See `StaticModel.encode`.
        truncate_dim: See `StaticModel.encode`.
        batch_size: See `StaticModel.encode`.

    Raises:
        InvalidInputError: In `fit` or `transform`: an option is out of range, or an element is not a text.
        M2VError: There too: the model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> classifier = make_pipeline(StaticModelTransformer(tiny_model()), LogisticRegression())
        >>> classifier.fit(["good", "day"], ["judgement", "time"]).predict(["good good day"]).tolist()
        ['judgement']
    """

    def __init__(
        self,
        model: StaticModel | str | os.PathLike[str],
        *,
        max_length: int | str | None = "model",
        normalize: bool | None = None,
        truncate_dim: int | None = None,
        batch_size: int = 1024,
    ) -> None:
        self.model = model
        self.max_length = max_length
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.batch_size = batch_size

    def fit(self, X: Iterable[str] | None = None, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Load the model and check the options; texts and labels are not looked at."""
        self._embedder()
        return self

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:
        """The vectors [n, D] of n texts."""
        if isinstance(X, str):
            raise InvalidInputError(f"X should be an iterable of texts; found one text: {X!r:.200}. Pass a list of it.")
        return self._embedder().encode(X)

    def _embedder(self) -> Embedder:
        """The model with the options as they are now; a model of a folder is kept while the name stays."""
        if isinstance(self.model, StaticModel):
            loaded = self.model
        else:
            name, loaded = self.__dict__.get("_loaded", (None, None))
            if name != self.model:
                loaded = StaticModel.from_pretrained(self.model)
                self._loaded = (self.model, loaded)
        options = {name: value for name, value in self.get_params(deep=False).items() if name != "model"}
        if options["max_length"] == "model":
            del options["max_length"]
        return Embedder.of(loaded, options)

    def __sklearn_clone__(self) -> Self:
        return type(self)(**self.get_params(deep=False))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        """All but a model that can be loaded again."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_loaded"}

    @property
    def _n_features_out(self) -> int:
        return self._embedder().dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        return tags
