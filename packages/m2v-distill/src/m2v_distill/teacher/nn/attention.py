"""Parts of encoders with rotary positions: self-attention, and the feed-forward layer with or without a gate."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jaxtyping import Array, Bool, Float, Float32

from m2v_distill.teacher.nn.layers import Dense, activation, attention
from m2v_distill.teacher.nn.rotary import rotate

#: Cosines and sines of `Rotary`, or `None` where positions do not turn queries and keys.
Turn = tuple[Float32[Any, "L R2"], Float32[Any, "L R2"]] | None


class SelfAttention(nnx.Module):
    """Self-attention of N heads of width K, with rotary positions."""

    def __init__(self, *, width: int, heads: int, head_dim: int, bias: bool) -> None:
        self.heads = heads
        self.query = Dense(width, heads * head_dim, bias=bias)
        self.key = Dense(width, heads * head_dim, bias=bias)
        self.value = Dense(width, heads * head_dim, bias=bias)
        self.out = Dense(heads * head_dim, width, bias=bias)

    def __call__(
        self, hidden: Float[Array, "B L H"], allowed: Bool[Array, "B 1 #L L"], turn: Turn
    ) -> Float[Array, "B L H"]:
        """What each position takes from those that it is allowed to see."""
        rows = hidden.shape[:2]
        query, key, value = (
            project(hidden).reshape(*rows, self.heads, -1) for project in (self.query, self.key, self.value)
        )
        if turn is not None:
            query, key = rotate(query, *turn), rotate(key, *turn)
        out: Array = self.out(attention(query, key, value, allowed, dtype=self.query.dtype).reshape(*rows, -1))
        return out


class FeedForward(nnx.Module):
    """down(act(gate(x)) * up(x)) (Shazeer, GLU Variants Improve Transformer, 2020); without a gate down(act(up(x)))."""

    def __init__(self, *, width: int, inner: int, act: str, gated: bool, up_bias: bool, down_bias: bool) -> None:
        self.act = activation(act)
        self.gate = Dense(width, inner, bias=up_bias) if gated else None
        self.up = Dense(width, inner, bias=up_bias)
        self.down = Dense(inner, width, bias=down_bias)

    def __call__(self, hidden: Float[Array, "B L H"]) -> Float[Array, "B L H"]:
        """The layer's output, without the residual."""
        up = self.up(hidden)
        inner = self.act(up) if self.gate is None else self.act(self.gate(hidden)) * up
        out: Array = self.down(inner)
        return out
