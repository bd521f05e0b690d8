"""Heads as Flax modules: made and checked, split for compiled programs, run, and read as linear layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike, NDArray

from m2v_core.errors import InvalidInputError
from m2v_core.head import Activation, Layer, MLPHead
from m2v_train.config import TrainConfig
from m2v_train.engine.module import MLP

#: A method `construct_head`: dimensions in and out, options and random numbers to a module.
Constructor = Callable[[int, int, TrainConfig, nnx.Rngs], nnx.Module]

_EXAMPLE = "nnx.Sequential(nnx.LayerNorm(dim, rngs=rngs), nnx.Linear(dim, out_dim, rngs=rngs))"
_LINEN = "nnx.bridge.ToNNX(module, rngs=rngs).lazy_init(jax.numpy.zeros((1, dim)))"


@dataclass(frozen=True)
class Structure:
    """All of a head but its arrays. Hashable: equal structures share compiled programs.

    Attributes:
        training: Graph of the module in training, when dropout is active.
        inference: Graph of the module afterwards.
    """

    training: Any
    inference: Any

    def outputs(
        self, parameters: Any, noise: Any, vectors: Float[Array, "n D"], step: Int[Array, ""] | None = None
    ) -> Float[Array, "n O"]:
        """Compute logits, numbers or vectors.

        Args:
            parameters: What is trained.
            noise: Keys of random numbers, as plain numbers, and their counts; both empty without dropout.
            vectors: Vectors of texts.
            step: Number of the training step, each of which has random numbers of its own; `None` after training.
        """
        keys, counts = noise
        number = 0 if step is None else step
        keys = jax.tree.map(lambda key: jax.random.fold_in(jax.random.wrap_key_data(key), number), keys)
        counts = jax.tree.map(jnp.asarray, counts)  # variables of this trace, which it may change
        graph = self.inference if step is None else self.training
        found: Array = nnx.merge(graph, parameters, keys, counts)(vectors)
        return found


@dataclass(frozen=True)
class Head:
    """A head before training.

    Attributes:
        structure: All but its arrays.
        parameters: Its variables of the kind `nnx.Param`.
        noise: Keys and counts of its random numbers; see `Structure.outputs`.
        dim: Number of inputs.
    """

    structure: Structure
    parameters: Any
    noise: Any
    dim: int

    @classmethod
    def made_by(cls, construct: Constructor, dim: int, out_dim: int, config: TrainConfig) -> Head:
        """The head that a method `construct_head` makes.

        Raises:
            InvalidInputError: The method takes other arguments, or returns something else than a module from vectors
                [n, dim] to float32 outputs [n, out_dim] whose variables are parameters.
        """
        arguments = (dim, out_dim, config, nnx.Rngs(config.random_seed))
        try:
            signature = inspect.signature(construct)
            signature.bind(*arguments)
        except TypeError:
            raise InvalidInputError(
                f"construct_head should take (self, dim, out_dim, config, rngs) and return a flax.nnx.Module; found "
                f"{signature}. (model2vec's takes self alone, and returns a PyTorch module.) Return, for example, "
                f"{_EXAMPLE}."
            ) from None
        module = construct(*arguments)
        _check_kind(module)
        module = nnx.clone(module)  # whoever made it may keep it: train() and eval() change a module
        module.eval()  # type: ignore[no-untyped-call]
        inference = nnx.graphdef(module)
        module.train()  # type: ignore[no-untyped-call]
        parts: Any = nnx.split(module, nnx.Param, nnx.RngKey, nnx.RngCount, ...)
        training, parameters, keys, counts, others = parts
        _check_variables(parameters, others)
        keys = jax.tree.map(jax.random.key_data, keys)
        # A step reuses the memory of the parameters, so they are copied.
        head = cls(Structure(training, inference), jax.tree.map(jnp.array, parameters), (keys, counts), dim)
        head._check(out_dim)
        return head

    def _check(self, out_dim: int) -> None:
        try:
            hash(self.structure)
        except TypeError as error:
            raise InvalidInputError(
                f"The attributes of a head should be modules, variables or hashable values, such as numbers and "
                f"tuples; found another ({error})."
            ) from None
        vectors = jax.ShapeDtypeStruct((2, self.dim), jnp.float32)  # type: ignore[no-untyped-call]
        found = jax.eval_shape(self.structure.outputs, self.parameters, self.noise, vectors)
        if getattr(found, "shape", None) != (2, out_dim) or found.dtype != jnp.float32:
            raise InvalidInputError(
                f"A head should give {out_dim} float32 outputs for each vector of {self.dim} numbers: [2, {out_dim}] "
                f"from [2, {self.dim}]. Found {found}."
            )

    def described(self) -> str:
        """What it computes in training, as a program that is the same text in every process."""
        vectors, step = jnp.zeros((2, self.dim)), jnp.int32(0)
        return jax.jit(self.structure.outputs).lower(self.parameters, self.noise, vectors, step).as_text()


class FlaxHead(MLPHead):
    """A head that Flax computes, for the process in which it was trained: files hold linear layers only.

    Args:
        structure: All but its arrays.
        arrays: Parameters and noise.
        activation: See `MLPHead`.
        classes: See `MLPHead`.
    """

    def __init__(
        self, structure: Structure, arrays: tuple[Any, Any], activation: Activation, classes: ArrayLike | None
    ) -> None:
        super().__init__([], activation, classes)
        self._run = partial(_outputs, structure, *arrays)

    def check_takes(self, dim: int) -> None:
        """Nothing: the head was made for its model."""

    def _logits(self, vectors: NDArray[Any]) -> NDArray[Any]:
        n, dim = vectors.shape
        padded = np.zeros((1 << max(n - 1, 0).bit_length(), dim), np.float32)  # few shapes, as each is compiled
        padded[:n] = vectors
        return np.asarray(self._run(padded))[:n]


@partial(jax.jit, static_argnums=0)
def _outputs(structure: Structure, parameters: Any, noise: Any, vectors: Float[Array, "n D"]) -> Float[Array, "n O"]:
    return structure.outputs(parameters, noise, vectors)


def layers_of(structure: Structure, arrays: tuple[Any, Any]) -> list[Layer] | None:
    """The layers of a head that consists of linear layers with ReLU between them; `None` for any other head.

    Such a head is an `MLP`, a `Linear`, or a `Sequential` of these, `nnx.relu` and `Dropout`, which has no effect after
    training.
    """
    parts = list(_parts(nnx.merge(structure.inference, arrays[0], *arrays[1])))
    linear, between = parts[::2], parts[1::2]
    if any(type(part) is not nnx.Linear for part in linear) or any(part is not nnx.relu for part in between):
        return None
    if len(linear) == len(between) != 0:  # the last one has a ReLU after it
        return None
    return [_layer(part) for part in linear]


def _parts(module: Any) -> Iterator[Any]:
    """The modules and functions that are applied one after the other after training."""
    if type(module) is MLP:
        yield from list(chain.from_iterable((nnx.relu, layer) for layer in module.layers))[1:]
    elif type(module) is nnx.Sequential:
        yield from chain.from_iterable(map(_parts, module.layers))
    elif type(module) is not nnx.Dropout:
        yield module


def _layer(linear: nnx.Linear) -> Layer:
    weight = np.asarray(linear.kernel[...], np.float32).T.copy()
    return Layer(weight, np.zeros(len(weight), np.float32) if linear.bias is None else np.asarray(linear.bias[...]))


def _check_kind(module: Any) -> None:
    if isinstance(module, nnx.Module):
        return
    libraries = {each.__module__.partition(".")[0] for each in type(module).__mro__}
    if "torch" in libraries:
        remedy = f"Heads are trained by JAX here: return, for example, {_EXAMPLE}."
    elif "flax" in libraries:
        remedy = f"Convert it: {_LINEN}."
    else:
        remedy = f"Return, for example, {_EXAMPLE}."
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    raise InvalidInputError(f"construct_head should return a flax.nnx.Module; found {kind}. {remedy}")


def _check_variables(parameters: Any, others: Any) -> None:
    if found := sorted({type(each).__name__ for each in jax.tree.leaves(others, is_leaf=_is_variable)}):
        raise InvalidInputError(
            f"All arrays of a head should be of the kind nnx.Param, or keys of random numbers, as of nnx.Dropout; "
            f"found {', '.join(found)}. (A text's outputs never depend on the texts beside it: take nnx.LayerNorm in "
            f"place of nnx.BatchNorm.)"
        )
    if found := sorted({str(leaf.dtype) for leaf in jax.tree.leaves(parameters)} - {"float32"}):
        raise InvalidInputError(f"The parameters of a head should be float32; found {', '.join(found)}.")


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)
