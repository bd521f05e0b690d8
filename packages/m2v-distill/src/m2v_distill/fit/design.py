"""Texts as rows of token shares, X, and the products with X'X and X'Y that a regression on them needs.

X is N texts x V tokens: how often a token occurs in a text, divided by the text's length, so that X E are the vectors
that a static model with table E gives the texts. It is kept as the ids it was made of, in memory or mapped from a file,
and read in chunks of one shape: beside V x H tables, memory does not grow with N.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32, Float64, Int, Int32
from numpy import ndarray

from m2v_core.errors import InvalidInputError

#: Tokens of a chunk, and texts at the most.
CHUNK, CHUNK_TEXTS = 1 << 14, 1 << 11

#: Columns of a table that one device works on at once: all of a wide one would not stay in a CPU's cache, and another
#: width would have its sums rounded in another way.
COLUMNS = 64


class Chunk(NamedTuple):
    """Some texts, padded to one shape with tokens of share 0.

    Attributes:
        ids: Of tokens.
        rows: The text, within the chunk, of each token; ascending.
        shares: 1 / length of its text.
    """

    ids: Int32[ndarray, " M"]
    rows: Int32[ndarray, " M"]
    shares: Float32[ndarray, " M"]


@dataclass(frozen=True)
class Design:
    """X, with its columns centred: the intercept of a regression is never computed.

    Attributes:
        ids: Token ids of all texts in a row.
        ends: Where each text ends in `ids`; none is longer than `CHUNK`.
        n_tokens: V.
        mesh: Devices among which the columns of a table are split. Columns do not depend on each other, so that the
            number of devices changes no value.

    Example:
        >>> mesh = Mesh(np.array(jax.devices()[:1]), ("columns",))
        >>> design = Design.of([[0, 1], [1]], n_tokens=3, mesh=mesh)
        >>> design.mean.tolist()
        [0.25, 0.75, 0.0]
        >>> design.gram(np.eye(3, dtype=np.float32)).round(3).tolist()
        [[0.125, -0.125, 0.0], [-0.125, 0.125, 0.0], [0.0, 0.0, 0.0]]
    """

    ids: Int32[ndarray, " T"]
    ends: Int[ndarray, " N"]
    n_tokens: int
    mesh: Mesh

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], *, n_tokens: int, mesh: Mesh) -> Design:
        """A design of N lists of ids in memory; an empty one is a row of zeros."""
        ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        ids = np.fromiter((token for text in texts for token in text), np.int32, int(ends[-1]) if len(ends) else 0)
        return cls(ids, ends, n_tokens, mesh)

    def __len__(self) -> int:
        """N."""
        return len(self.ends)

    def chunks(self) -> Iterator[tuple[slice, Chunk]]:
        """The texts, and what they hold."""
        first, start = 0, 0
        while first < len(self.ends):
            last = first + int(np.searchsorted(self.ends[first : first + CHUNK_TEXTS], start + CHUNK, side="right"))
            stop = int(self.ends[last - 1])
            lengths = np.diff(self.ends[first:last], prepend=start)
            chunk = Chunk(*(np.zeros(CHUNK, dtype) for dtype in (np.int32, np.int32, np.float32)))
            chunk.ids[: stop - start] = self.ids[start:stop]
            chunk.rows[: stop - start] = np.repeat(np.arange(last - first, dtype=np.int32), lengths)
            chunk.rows[stop - start :] = last - first - 1
            chunk.shares[: stop - start] = np.repeat(1 / np.maximum(lengths, 1).astype(np.float32), lengths)
            yield slice(first, last), chunk
            first, start = last, stop

    @cached_property
    def _sums(self) -> tuple[Float64[ndarray, " V"], Float64[ndarray, " V"]]:
        total, squares = np.zeros(self.n_tokens), np.zeros(self.n_tokens)
        for _, chunk in self.chunks():
            total += np.bincount(chunk.ids, chunk.shares, self.n_tokens)
            squares += np.bincount(chunk.ids, chunk.shares.astype(np.float64) ** 2, self.n_tokens)
        return total, squares

    @property
    def mean(self) -> Float64[ndarray, " V"]:
        """The mean share of each token."""
        return self._sums[0] / len(self)

    @property
    def scale(self) -> Float32[ndarray, " V"]:
        """The diagonal of X'X, but for tokens that a text has more than once: a preconditioner need not be exact."""
        return self._sums[1].astype(np.float32)

    def gram(self, table: Float32[ndarray, "V D"]) -> Float32[ndarray, "V D"]:
        """X'X table."""
        out = np.empty_like(table)
        for block in self.blocks(table.shape[1]):
            out[block] = self.collected(self.gram_on_device(self.on_device(table[block])), out[block].shape[1])
        return out

    def blocks(self, width: int) -> list[tuple[slice, slice]]:
        """Indices of the columns of a table that are worked on at once."""
        step = COLUMNS * self.mesh.size
        return [np.s_[:, first : min(first + step, width)] for first in range(0, width, step)]

    def on_device(self, table: Float32[ndarray, "R D"]) -> Float[Array, "R D2"]:
        """Columns split among the devices, `COLUMNS` on each or a multiple of that: the missing ones are zeros."""
        step = COLUMNS * self.mesh.size
        whole = np.pad(table, ((0, 0), (0, -table.shape[1] % step)))
        spec = PartitionSpec(None, self.mesh.axis_names)  # type: ignore[no-untyped-call]
        placed: Array = jax.device_put(whole, NamedSharding(self.mesh, spec))
        return placed

    @staticmethod
    def collected(table: Float[Array, "V D2"], width: int) -> Float32[ndarray, "V D"]:
        """What `on_device` put there."""
        return np.asarray(table)[:, :width]

    def gram_on_device(self, table: Float[Array, "V D2"]) -> Float[Array, "V D2"]:
        """`gram` of a table that is on the devices."""
        total = jnp.zeros_like(table)
        for _, chunk in self.chunks():
            total = _add_gram(total, table, *chunk)
        gram: Array = _less_mean(total, table, self.mean.astype(np.float32), len(self))
        return gram

    def cross(self, targets: Iterable[Float32[ndarray, "_ H"]], width: int) -> Float32[ndarray, "V H"]:
        """X'Y, with Y centred too.

        Args:
            targets: The rows of Y in order, in parts of any size.
            width: H.
        """
        total = self.on_device(np.zeros((self.n_tokens, width), np.float32))
        rest, parts = np.empty((0, width), np.float32), iter(targets)
        ys = np.zeros(width)
        for rows, chunk in self.chunks():
            wanted = rows.stop - rows.start
            while len(rest) < wanted:
                rest = np.concatenate([rest, next(parts)])
            y, rest = rest[:wanted], rest[wanted:]
            ys += y.sum(axis=0, dtype=np.float64)
            total = _add_cross(total, self.on_device(np.pad(y, ((0, CHUNK_TEXTS - wanted), (0, 0)))), *chunk)
        return self.collected(total, width) - np.outer(self.mean, ys).astype(np.float32)


@partial(jax.jit, donate_argnums=0)
def _add_gram(
    total: Float[Array, "V D"],
    table: Float[Array, "V D"],
    ids: Int[Array, " M"],
    rows: Int[Array, " M"],
    shares: Float[Array, " M"],
) -> Float[Array, "V D"]:
    vectors = jax.ops.segment_sum(table[ids] * shares[:, None], rows, CHUNK_TEXTS, indices_are_sorted=True)
    return total.at[ids].add(vectors[rows] * shares[:, None])


@partial(jax.jit, donate_argnums=0)
def _add_cross(
    total: Float[Array, "V D"],
    targets: Float[Array, "R D"],
    ids: Int[Array, " M"],
    rows: Int[Array, " M"],
    shares: Float[Array, " M"],
) -> Float[Array, "V D"]:
    return total.at[ids].add(targets[rows] * shares[:, None])


@partial(jax.jit, donate_argnums=0)
def _less_mean(
    total: Float[Array, "V D"], table: Float[Array, "V D"], mean: Float[Array, " V"], n: Int[Array, ""]
) -> Float[Array, "V D"]:
    return total - n * mean[:, None] * (mean @ table)


def spooled(texts: Iterable[Sequence[int]], folder: Path, *, n_tokens: int, mesh: Mesh) -> Design:
    """A design of more texts than memory may hold: ids and ends are written to files, and mapped from there.

    Args:
        texts: Lists of ids; one may be empty, and is a row of zeros.
        folder: Where `ids` and `ends` are written. It must stay as long as the design is used.
        n_tokens: V.
        mesh: See `Design`.

    Raises:
        InvalidInputError: There are no texts.
    """
    n_ids = 0
    with (folder / "ids").open("wb") as ids, (folder / "ends").open("wb") as ends:
        for text in texts:
            ids.write(np.array(text[:CHUNK], np.int32).tobytes())
            n_ids += len(text[:CHUNK])
            ends.write(np.int64(n_ids).tobytes())
    if not n_ids:
        raise InvalidInputError("The corpus should have texts with tokens of the vocabulary; found none.")
    return Design(np.memmap(folder / "ids", np.int32, "r"), np.memmap(folder / "ends", np.int64, "r"), n_tokens, mesh)
