"""The base class of all families of encoders."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from m2v_distill.teacher.interface import EncoderConfig
from m2v_distill.teacher.nn.layers import Dense, Embedding


class FlaxEncoder(nnx.Module):
    """An encoder as a Flax module; see `m2v_distill.teacher.interface.Encoder`.

    A family sets `config` and `token_embedding`, and `pooler` if its config says so, and defines `hidden_states`.
    """

    compiles: ClassVar[bool] = True

    config: Any  # of the family: an `EncoderConfig`
    token_embedding: Embedding
    pooler: Dense

    def hidden_states(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> list[Float[Array, "B L H"]]:
        """The output of the embedding layer and of each block, the last one as the encoder gives it."""
        raise NotImplementedError

    def __call__(self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]) -> Float[Array, "B L H"]:
        """The last hidden states."""
        return self.hidden_states(ids, mask)[-1]

    def pool(self, hidden: Float[Array, "B L H"]) -> Float[Array, "B H"]:
        """The pooler's output: a dense layer with tanh on the first position."""
        return jnp.tanh(self.pooler(hidden[:, 0]))

    def outputs(
        self, ids: Int[Array, "B L"], mask: Bool[Array, "B L"]
    ) -> tuple[Float[Array, "B L H"], Float[Array, "B H"] | None]:
        """The last hidden states, and the pooler's output if there is a pooler."""
        config: EncoderConfig = self.config
        hidden = self(ids, mask)
        return hidden, self.pool(hidden) if config.pooler else None

    def token_embeddings(self) -> Float[Array, "V E"]:
        """The input embeddings of all token ids."""
        table: Array = self.token_embedding.embedding[...]
        return table
