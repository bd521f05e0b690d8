"""A trained head in numpy: linear layers from a text's vector to classes, probabilities or other numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.vectors import scaled

#: Vectors that go through the layers at a time, which limits the memory of hidden layers.
ROWS = 4096

#: dtypes of a layer's arrays.
LAYER_DTYPES = ("float16", "float32", "float64")

#: Memory that the names of classes may take, of a file of strangers too.
_MOST_CLASS_BYTES = 1 << 30


class Activation(StrEnum):
    """Activation of a head's last layer, which decides what the head predicts.

    softmax predicts one class for each text, sigmoid any number of classes, identity the outputs themselves.
    """

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    IDENTITY = "identity"


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer: `x @ weight.T + bias`.

    Attributes:
        weight: [out, in] float16, float32 or float64.
        bias: [out] float16, float32 or float64.

    Raises:
        InvalidInputError: The arrays have other shapes or dtypes, or hold NaN or infinity.

    Example:
        >>> Layer(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0.5, 0.0]))(np.array([[1.0, 1.0]]))
        array([[1.5, 2. ]])
    """

    weight: NDArray[Any]
    bias: NDArray[Any]

    def __post_init__(self) -> None:
        for name in ("weight", "bias"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if self.weight.ndim != 2 or 0 in self.weight.shape or self.bias.shape != self.weight.shape[:1]:
            raise InvalidInputError(
                f"A layer should have a weight of shape [out, in] and a bias of shape [out]; found "
                f"{list(self.weight.shape)} and {list(self.bias.shape)}."
            )
        for name, array in (("weight", self.weight), ("bias", self.bias)):
            if array.dtype.name not in LAYER_DTYPES:
                raise InvalidInputError(
                    f"A layer's {name} should be one of {', '.join(LAYER_DTYPES)}; found {array.dtype}."
                )
            if not np.isfinite(array).all():
                raise InvalidInputError(
                    f"A layer's {name} should hold finite numbers; found NaN or infinity. Did training diverge?"
                )

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """[n, out] from [n, in]; outputs beyond the range of their dtype are its largest number."""
        try:
            with np.errstate(over="raise", invalid="ignore"):
                return np.asarray(x @ self.weight.T + self.bias)
        except FloatingPointError:
            return self._large(x)

    def _large(self, x: NDArray[Any]) -> NDArray[Any]:
        """The same where numbers are too large: of scaled inputs and weights, none of whose sums is infinite."""
        dtype = np.result_type(x, self.weight, self.bias)
        most = np.finfo(dtype).max
        with np.errstate(over="ignore", invalid="ignore"):
            (inputs, factors), (weight, sizes) = scaled(x.astype(np.float64)), scaled(self.weight.astype(np.float64))
            result = (inputs @ weight.T) * sizes.T * factors + self.bias
            is_finite = np.isfinite(x).all(axis=1)[:, None]
            return np.asarray(np.where(is_finite, np.clip(result, -most, most), result), dtype)


class MLPHead:
    """Linear layers with ReLU between them, and an activation at the end.

    Attributes:
        layers: Layers, in order.
        activation: Activation of the last layer.
        classes_: [C] class of each output: strings, whole numbers or booleans; `None` for a head without classes.

    Args:
        layers: Layers, in order; without layers the head returns vectors unchanged.
        activation: softmax, sigmoid or identity.
        classes: Class of each output; required unless the activation is identity, which has no classes.

    Raises:
        InvalidInputError: A layer does not fit the one before it; classes are missing, too many, too few, not all of
            one kind, or not all different; or the activation is unknown.

    Example:
        >>> layer = Layer(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2))
        >>> head = MLPHead([layer], "softmax", ["calm", "wild"])
        >>> logits = head.logits(np.array([[0.0, 3.0]]))
        >>> head.labels(logits), head.probabilities(logits).round(2)
        (array(['wild'], dtype='<U4'), array([[0.05, 0.95]]))
    """

    def __init__(self, layers: Iterable[Layer], activation: Activation | str, classes: ArrayLike | None = None) -> None:
        self.layers = tuple(layers)
        self.activation = _activation(activation)
        for number, (one, other) in enumerate(pairwise(self.layers), 1):
            if one.weight.shape[0] != other.weight.shape[1]:
                raise InvalidInputError(
                    f"Layer {number} of a head should take the {one.weight.shape[0]} outputs of layer {number - 1}; "
                    f"found a weight of shape {list(other.weight.shape)}."
                )
        if (classes is None) != (self.activation is Activation.IDENTITY):
            raise InvalidInputError(
                f"A head with the activation {self.activation} should have "
                f"{'classes; found none' if classes is None else 'no classes; found some'}."
            )
        self.classes_ = None if classes is None else _class_array(classes)
        if self.layers:
            self._check_classes(self.layers[-1].weight.shape[0])

    def _check_classes(self, n_outputs: int) -> None:
        if self.classes_ is not None and len(self.classes_) != n_outputs:
            raise InvalidInputError(
                f"A head should have a class for each of its {n_outputs} outputs; found {len(self.classes_)}."
            )

    def __repr__(self) -> str:
        classes = "" if self.classes_ is None else f", classes={len(self.classes_)}"
        return f"{type(self).__name__}(widths={self.widths}, activation={self.activation.value!r}{classes})"

    @property
    def widths(self) -> list[int]:
        """Number of inputs of each layer, and of outputs of the last one; empty without layers."""
        return [layer.weight.shape[1] for layer in self.layers] + [len(layer.bias) for layer in self.layers[-1:]]

    def check_takes(self, dim: int) -> None:
        """Raise `InvalidInputError` unless the head takes vectors of `dim` dimensions."""
        if not self.layers:
            self._check_classes(dim)
        elif self.widths[0] != dim:
            raise InvalidInputError(
                f"The head takes vectors of {self.widths[0]} dimensions; the model gives {dim}. They do not belong "
                f"together."
            )

    def logits(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """The last layer's outputs [n, out] for vectors [n, in]: float32, or float64 if the vectors or a layer are."""
        if len(vectors) <= ROWS:
            return self._logits(vectors)
        return np.concatenate([self._logits(vectors[start : start + ROWS]) for start in range(0, len(vectors), ROWS)])

    def _logits(self, vectors: NDArray[Any]) -> NDArray[Any]:
        for layer in self.layers[:-1]:
            vectors = np.maximum(layer(vectors), 0)
        return self.layers[-1](vectors) if self.layers else vectors

    def probabilities(self, logits: NDArray[Any]) -> NDArray[Any]:
        """The probability of each class for logits [n, out]; with identity the logits themselves."""
        if self.activation is Activation.IDENTITY:
            return logits
        return softmax(logits) if self.activation is Activation.SOFTMAX else sigmoid(logits)

    def labels(self, logits: NDArray[Any], threshold: float = 0.5) -> NDArray[Any]:
        """The predictions for logits [n, out].

        Returns:
            softmax: [n] the most likely class of each. sigmoid: [n] objects, an array of the classes whose
            probability is above `threshold` for each. identity: the logits.
        """
        if self.classes_ is None:
            return logits
        if self.activation is Activation.SOFTMAX:
            best: NDArray[Any] = self.classes_[logits.argmax(axis=1)]
            return best
        found = np.empty(len(logits), dtype=object)
        for text, row in enumerate(sigmoid(logits) > threshold):
            found[text] = self.classes_[row]
        return found

    def predict_proba(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """The probability of each class [n, out] for vectors [n, in]."""
        return self.probabilities(self.logits(vectors))

    def predict_index(self, vectors: NDArray[Any]) -> NDArray[np.intp]:
        """The index [n] of the largest output for vectors [n, in]."""
        index: NDArray[np.intp] = self.logits(vectors).argmax(axis=1)
        return index

    def predict_regression(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """The outputs [n, out] for vectors [n, in], the predictions of regressions and projections."""
        return self.logits(vectors)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities that sum to one along the last axis; large logits do not overflow.

    Example:
        >>> softmax(np.array([[1000.0, 1000.0]]))
        array([[0.5, 0.5]])
    """
    with np.errstate(over="ignore"):  # exp(-inf) is 0
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[Any] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """`1 / (1 + exp(-logits))`, without overflow.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    powers = np.exp(-np.abs(logits))
    values: NDArray[Any] = np.where(logits >= 0, 1, powers) / (1 + powers)
    return values


def check_threshold(value: object) -> None:
    """Raise `InvalidInputError` unless `value` is a probability."""
    fits = isinstance(value, int | float | np.floating) and not isinstance(value, bool) and 0 <= value <= 1
    checks.expect(bool(fits), "threshold", "a probability, a number from 0 to 1 such as 0.5", value)


def _activation(value: Any) -> Activation:
    name = getattr(value, "value", value)  # members of other libraries' enums count by their value
    checks.one_of("A head's activation", name, list(Activation))
    return Activation(name)


def _class_array(classes: ArrayLike) -> NDArray[Any]:
    """Classes as a numpy array that holds exactly the given values."""
    found = classes if isinstance(classes, Iterable) and not isinstance(classes, str) else [None]
    items: list[Any] = [item.item() if isinstance(item, np.generic) else item for item in found]
    kinds = set(map(type, items))
    if kinds not in ({str}, {int}, {bool}):
        raise InvalidInputError(
            f"A head's classes should be strings, whole numbers or booleans, all of one kind; found {classes!r:.100}."
        )
    n_bytes = 4 * len(items) * max(map(len, items), default=0) if kinds == {str} else 0  # an array pads its strings
    if n_bytes > _MOST_CLASS_BYTES:
        raise InvalidInputError(
            f"A head's classes should take {_MOST_CLASS_BYTES} bytes at the most, all of them as long as the longest; "
            f"found {n_bytes}. Give them shorter names."
        )
    array = np.array(items)  # it drops zeros at the end of strings, and has no whole numbers above 64 bits
    is_unicode = checks.lone_surrogate("".join(map(str, items))) is None
    if array.dtype.kind not in "Uiub" or array.tolist() != items or not is_unicode:
        raise InvalidInputError(
            f"A head's classes should be valid Unicode without zeros at the end, or numbers of 64 bits; found "
            f"{classes!r:.100}."
        )
    if len(set(items)) != len(items):
        seen: set[Any] = set()
        twice = next(item for item in items if item in seen or seen.add(item))  # type: ignore[func-returns-value]
        raise InvalidInputError(f"A head's classes should all be different; found {twice!r:.100} twice.")
    return array
