"""The interface of an encoder, and the names of the options that choose and place one. It imports nothing heavy."""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args, runtime_checkable

from jaxtyping import Bool, Float, Int

from m2v_core.checks import expect, one_of
from m2v_core.errors import InvalidInputError

#: Names of the ways to make one vector of a sequence's hidden states.
PoolingName = Literal["mean", "first", "last", "pooler", "max", "mean_sqrt_len_tokens", "weightedmean"]

#: sentence-transformers' names of two of them.
POOLING_ALIASES = {"cls": "first", "lasttoken": "last"}

#: Precision of the inputs of matrix products.
Precision = Literal["auto", "float32", "bfloat16"]

#: Library that computes the encoder.
Backend = Literal["auto", "flax", "torch"]

#: Name of a device, or an object like `torch.device`.
Device = Any


def check_compute_as(compute_as: object, backend: object) -> None:
    """Check that a backend uses `compute_as`.

    Raises:
        InvalidInputError: It would ignore it.
    """
    one_of("backend", backend, get_args(Backend))
    expect(isinstance(compute_as, str | None), "compute_as", "the name of a kind of encoder, or None", compute_as)
    if compute_as is not None and backend == "torch":
        raise InvalidInputError(
            f"compute_as chooses a Flax module, for the backends 'flax' and 'auto'; found compute_as={compute_as!r} "
            f"and backend='torch'. Leave one of them out."
        )


@runtime_checkable
class EncoderConfig(Protocol):
    """Sizes of an encoder."""

    @property
    def hidden_size(self) -> int:
        """Size of the hidden states, H."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""

    @property
    def max_length(self) -> int | None:
        """Longest sequence of ids; `None` for no limit."""

    @property
    def pooler(self) -> bool:
        """Whether the checkpoint has a pooler."""


@runtime_checkable
class Encoder(Protocol):
    """A network from token ids [B, L] and a mask [B, L] of real tokens to hidden states [B, L, H].

    Two classes implement it: `m2v_distill.teacher.nn.encoder.FlaxEncoder`, the base of all families, and
    `m2v_distill.teacher.torch_encoder.TorchEncoder`.

    """

    @property
    def compiles(self) -> bool:
        """Whether JAX can compile it. If not, it takes and returns NumPy arrays."""

    @property
    def config(self) -> EncoderConfig:
        """Sizes."""

    def outputs(
        self, ids: Int[Any, "B L"], mask: Bool[Any, "B L"]
    ) -> tuple[Float[Any, "B L H"], Float[Any, "B H"] | None]:
        """The last hidden states, and the pooler's output if there is a pooler."""

    def token_embeddings(self) -> Float[Any, "V E"]:
        """The input embeddings of all token ids."""
