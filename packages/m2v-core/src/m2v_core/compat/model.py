"""`model2vec.StaticModel`, which takes what model2vec takes."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from m2v_core import model as core
from m2v_core.aliases import aliased
from m2v_core.compat.calls import positional, tolerant
from m2v_core.errors import ModelNotFoundError
from m2v_core.storage import format
from m2v_core.storage.format import DEFAULT_MAX_LENGTH, Config

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["StaticModel", "quantize_model"]

quantize_model = positional(core.quantize_model)

_from_pretrained = positional(core.StaticModel.from_pretrained.__func__)  # type: ignore[attr-defined]


class MissingModelError(ModelNotFoundError, ValueError):
    """There is no model where one was named: in model2vec that is often a ValueError."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedConfig(Config, Mapping[str, Any]):
    """A `Config` that can also be read as the dictionary that model2vec has.

    Attributes:
        derived: Entries that are found by their key alone: a saved `config.json` has them too.
    """

    derived: Mapping[str, Any] = field(default_factory=dict)

    def _stated(self) -> dict[str, Any]:
        return {key: value for key, value in self.to_json().items() if key not in self.derived}

    def __getitem__(self, key: str) -> Any:
        stated = self._stated()
        return stated[key] if key in stated else self.derived[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stated())

    def __len__(self) -> int:
        return len(self._stated())

    def __eq__(self, other: object) -> bool:
        return self._stated() == (other._stated() if isinstance(other, MappedConfig) else other)

    __hash__ = None  # type: ignore[assignment] # as a dictionary


class StaticModel(core.StaticModel):
    """`m2v_core.StaticModel` with the constructor, the tolerance and the attributes of model2vec's.

    Args:
        vectors: [V, D] the table.
        tokenizer: A `tokenizers.Tokenizer`.
        config: The content of a `config.json`.
        normalize: Whether vectors are scaled to unit length, whatever the config says.
        base_model_name: Name of the teacher.
        language: Languages of the teacher.
        weights: [V] factor of each token.
        token_mapping: [V] row of each token.
        max_length: Number of tokens at which a text is truncated, whatever the config says.
    """

    __module__ = "model2vec.model"  # BERTopic and KeyBERT look for "model2vec" in str(type(model))

    _truncating: tuple[int | None, Any] | None = None

    def __init__(
        self,
        vectors: NDArray[Any],
        tokenizer: Tokenizer,
        config: Mapping[str, Any] | None = None,
        normalize: bool = False,
        base_model_name: str | None = None,
        language: Sequence[str] | None = None,
        weights: NDArray[Any] | None = None,
        token_mapping: NDArray[Any] | None = None,
        max_length: int | None = DEFAULT_MAX_LENGTH,
    ) -> None:
        super().__init__(
            vectors, tokenizer, config, normalize, base_model_name, language, weights, token_mapping, max_length
        )

    @classmethod
    def of(cls, model: core.StaticModel) -> Self:
        """The same model as one of this class; both share arrays and tokenizer."""
        if isinstance(model, cls):
            return model
        own = cls.__new__(cls)
        own._hold(model.stored, model._tokenizer)
        return own

    @classmethod
    @aliased
    def from_pretrained(cls, path: str | os.PathLike[str], *args: Any, **options: Any) -> Self:
        """Load a model; `m2v_core.StaticModel.from_pretrained` describes the options, which may come by position.

        Raises:
            MissingModelError: There is no model of this name; it is also a ValueError.
        """
        try:
            model: Self = _from_pretrained(cls, path, *args, **options)
        except ModelNotFoundError as error:
            raise MissingModelError(str(error)) from error
        return model

    def save_pretrained(
        self,
        path: str | os.PathLike[str],
        model_name: str | None = None,
        subfolder: str | None = None,
        **options: Any,
    ) -> None:
        """Save the model; see `m2v_core.StaticModel.save_pretrained`. No card is written."""
        super().save_pretrained(path, subfolder=subfolder, model_name=model_name, **options)

    encode = tolerant(core.StaticModel.encode)
    encode_as_sequence = tolerant(core.StaticModel.encode_as_sequence)
    tokenize = tolerant(core.StaticModel.tokenize)  # type: ignore[assignment] # its overloads

    @property
    def config(self) -> MappedConfig:
        """The settings and origin, which can be read as a dictionary too."""
        own = self._stored.config
        derived = {
            **{key: value for key, value in Config().to_json().items() if not hasattr(own, key)},
            "tokenizer_name": own.base_model,
            "hidden_dim": self.dim,
            "embedding_dtype": self.embedding_dtype,
            "vocabulary_quantization": self.vocabulary_quantization,
        }
        return MappedConfig(**{f.name: getattr(own, f.name) for f in fields(Config)}, derived=derived)

    @property
    def tokenizer(self) -> Any:
        """A tokenizer of its own that truncates at `max_length` (in 1.x of tokenizers the calls truncate)."""
        from m2v_core.tokenize.backend import IS_IMMUTABLE

        if IS_IMMUTABLE:
            return super().tokenizer
        if self._truncating is None or self._truncating[0] != self.max_length:
            tokenizer = copy.deepcopy(super().tokenizer)
            if self.max_length is not None:
                tokenizer.enable_truncation(self.max_length)
            self._truncating = (self.max_length, tokenizer)
        return self._truncating[1]

    def _set(self, **arrays: Any) -> None:
        """Replace arrays of the model, as programs for model2vec do."""
        stored = replace(self._stored, **arrays)
        format.check_arrays(stored.embeddings, stored.weights, stored.mapping, self.n_tokens, "vectors")
        self._hold(stored, self._tokenizer)

    embedding = core.StaticModel.embedding.setter(lambda self, value: self._set(embeddings=value))  # type: ignore[attr-defined]
    weights = core.StaticModel.weights.setter(lambda self, value: self._set(weights=value))  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        return _restored, (self.__getstate__(),)  # so that a process without the name model2vec can load it


def _restored(state: dict[str, Any]) -> StaticModel:
    model = StaticModel.__new__(StaticModel)
    model.__setstate__(state)
    return model
