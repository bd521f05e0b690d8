"""Self-attention with rotary positions, and the feed-forward layer with or without a gate."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jaxtyping import Array, Bool, Float, Float32

from m2v_distill.teacher.nn.layers import Dense, activation, attention
from m2v_distill.teacher.nn.rotary import rotate

#: Cosines and sines of `Rotary`; `None` where queries and keys are not rotated.
RotaryTables = tuple[Float32[Any, "L R2"], Float32[Any, "L R2"]] | None


class SelfAttention(nnx.Module):
    """Self-attention of N heads of size K, with rotary positions."""

    def __init__(self, *, hidden_size: int, heads: int, head_dim: int, bias: bool) -> None:
        self.heads = heads
        self.query = Dense(hidden_size, heads * head_dim, bias=bias)
        self.key = Dense(hidden_size, heads * head_dim, bias=bias)
        self.value = Dense(hidden_size, heads * head_dim, bias=bias)
        self.out = Dense(heads * head_dim, hidden_size, bias=bias)

    def __call__(
        self, hidden: Float[Array, "B L H"], allowed: Bool[Array, "B 1 #L L"], cos_sin: RotaryTables
    ) -> Float[Array, "B L H"]:
        """The attention output, projected to the hidden size.

        Args:
            hidden: The layer's input.
            allowed: The keys (last axis) that each query may see.
            cos_sin: The rotary tables.
        """
        rows = hidden.shape[:2]
        query, key, value = (
            project(hidden).reshape(*rows, self.heads, -1) for project in (self.query, self.key, self.value)
        )
        if cos_sin is not None:
            query, key = rotate(query, *cos_sin), rotate(key, *cos_sin)
        out: Array = self.out(attention(query, key, value, allowed, dtype=self.query.dtype).reshape(*rows, -1))
        return out


class FeedForward(nnx.Module):
    """down(act(gate(x)) * up(x)) (Shazeer, GLU Variants Improve Transformer, 2020); without a gate down(act(up(x)))."""

    def __init__(
        self, *, hidden_size: int, intermediate_size: int, act: str, gated: bool, up_bias: bool, down_bias: bool
    ) -> None:
        self.act = activation(act)
        self.gate = Dense(hidden_size, intermediate_size, bias=up_bias) if gated else None
        self.up = Dense(hidden_size, intermediate_size, bias=up_bias)
        self.down = Dense(intermediate_size, hidden_size, bias=down_bias)

    def __call__(self, hidden: Float[Array, "B L H"]) -> Float[Array, "B L H"]:
        """The layer's output, without the residual."""
        up = self.up(hidden)
        activations = self.act(up) if self.gate is None else self.act(self.gate(hidden)) * up
        out: Array = self.down(activations)
        return out
