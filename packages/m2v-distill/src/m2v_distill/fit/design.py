"""The design matrix X of texts as rows of token shares, and the products X'X and X'Y for a regression on it.

X is [N texts, V tokens]: the number of occurrences of a token in a text, divided by the text's length, so that X E are
the vectors of the texts by a static model with table E. It is stored as token ids, in memory or mapped from a file, and
read in batches of one shape: apart from V x H tables, memory does not grow with N.
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
from m2v_core.ragged import Ragged

#: Tokens of a batch, and its largest number of texts.
BATCH_TOKENS, BATCH_TEXTS = 1 << 14, 1 << 11

#: Columns of a table that a device works on at once. All columns of a wide table would exceed a CPU's cache; another
#: number would round sums differently.
COLUMNS = 64


class TextBatch(NamedTuple):
    """Some texts, padded to one shape with tokens of share 0.

    Attributes:
        ids: Token ids.
        rows: Index, within the batch, of the text of each token; ascending.
        shares: Share of each token in its text: 1 / length of the text.
    """

    ids: Int32[ndarray, " M"]
    rows: Int32[ndarray, " M"]
    shares: Float32[ndarray, " M"]


@dataclass(frozen=True)
class Design:
    """The design matrix X with centred columns, so that a regression needs no intercept.

    Attributes:
        texts: Token ids of each text; none is longer than `BATCH_TOKENS`.
        n_tokens: Number of tokens in the vocabulary, V.
        mesh: Devices among which the columns of a table are divided. Columns do not depend on each other, so the number
            of devices changes no value.

    Example:
        >>> mesh = Mesh(np.array(jax.devices()[:1]), ("columns",))
        >>> design = Design.of([[0, 1], [1]], n_tokens=3, mesh=mesh)
        >>> design.mean.tolist()
        [0.25, 0.75, 0.0]
        >>> design.gram(np.eye(3, dtype=np.float32)).round(3).tolist()
        [[0.125, -0.125, 0.0], [-0.125, 0.125, 0.0], [0.0, 0.0, 0.0]]
    """

    texts: Ragged
    n_tokens: int
    mesh: Mesh

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], *, n_tokens: int, mesh: Mesh) -> Design:
        """The design of N lists of ids in memory; an empty list is a row of zeros."""
        return cls(Ragged.of(texts, np.int32), n_tokens, mesh)

    def __len__(self) -> int:
        """The number of texts, N."""
        return len(self.texts)

    def batches(self) -> Iterator[tuple[slice, TextBatch]]:
        """The indices of the texts of each batch, and the batch."""
        ids, ends = self.texts.values, self.texts.offsets[1:]
        first, start = 0, 0
        while first < len(ends):
            last = first + int(np.searchsorted(ends[first : first + BATCH_TEXTS], start + BATCH_TOKENS, side="right"))
            stop = int(ends[last - 1])
            lengths = np.diff(ends[first:last], prepend=start)
            batch = TextBatch(*(np.zeros(BATCH_TOKENS, dtype) for dtype in (np.int32, np.int32, np.float32)))
            batch.ids[: stop - start] = ids[start:stop]
            batch.rows[: stop - start] = np.repeat(np.arange(last - first, dtype=np.int32), lengths)
            batch.rows[stop - start :] = last - first - 1
            batch.shares[: stop - start] = np.repeat(1 / np.maximum(lengths, 1).astype(np.float32), lengths)
            yield slice(first, last), batch
            first, start = last, stop

    @cached_property
    def _sums(self) -> tuple[Float64[ndarray, " V"], Float64[ndarray, " V"]]:
        total, squares = np.zeros(self.n_tokens), np.zeros(self.n_tokens)
        for _, batch in self.batches():
            total += np.bincount(batch.ids, batch.shares, self.n_tokens)
            squares += np.bincount(batch.ids, batch.shares.astype(np.float64) ** 2, self.n_tokens)
        return total, squares

    @property
    def mean(self) -> Float64[ndarray, " V"]:
        """The mean share of each token."""
        return self._sums[0] / len(self)

    @property
    def scale(self) -> Float32[ndarray, " V"]:
        """The diagonal of X'X, without repeats of a token in a text: a preconditioner need not be exact."""
        return self._sums[1].astype(np.float32)

    def gram(self, table: Float32[ndarray, "V D"]) -> Float32[ndarray, "V D"]:
        """The product X'X table."""
        out = np.empty_like(table)
        for block in self.blocks(table.shape[1]):
            out[block] = self.collected(self.gram_on_device(self.on_device(table[block])), out[block].shape[1])
        return out

    def blocks(self, n_columns: int) -> list[tuple[slice, slice]]:
        """The indices of the columns of a table that are processed at once."""
        step = COLUMNS * self.mesh.size
        return [np.s_[:, first : min(first + step, n_columns)] for first in range(0, n_columns, step)]

    def on_device(self, table: Float32[ndarray, "R D"]) -> Float[Array, "R D2"]:
        """A table with its columns divided among the devices, a multiple of `COLUMNS` on each, filled with zeros."""
        step = COLUMNS * self.mesh.size
        whole = np.pad(table, ((0, 0), (0, -table.shape[1] % step)))
        spec = PartitionSpec(None, self.mesh.axis_names)  # type: ignore[no-untyped-call]
        placed: Array = jax.device_put(whole, NamedSharding(self.mesh, spec))
        return placed

    @staticmethod
    def collected(table: Float[Array, "V D2"], n_columns: int) -> Float32[ndarray, "V D"]:
        """A table of `on_device` as one NumPy array, without the padding columns."""
        return np.asarray(table)[:, :n_columns]

    def gram_on_device(self, table: Float[Array, "V D2"]) -> Float[Array, "V D2"]:
        """The product of `gram`, for a table on the devices."""
        total = jnp.zeros_like(table)
        for _, batch in self.batches():
            total = _add_gram(total, table, *batch)
        gram: Array = _less_mean(total, table, self.mean.astype(np.float32), len(self))
        return gram

    def cross(self, targets: Iterable[Float32[ndarray, "_ H"]], hidden_size: int) -> Float32[ndarray, "V H"]:
        """The product X'Y, with Y centred too.

        Args:
            targets: Rows of Y in order, in parts of any size.
            hidden_size: Number of columns of Y, H.
        """
        total = self.on_device(np.zeros((self.n_tokens, hidden_size), np.float32))
        rest, parts = np.empty((0, hidden_size), np.float32), iter(targets)
        ys = np.zeros(hidden_size)
        for rows, batch in self.batches():
            wanted = rows.stop - rows.start
            while len(rest) < wanted:
                rest = np.concatenate([rest, next(parts)])
            y, rest = rest[:wanted], rest[wanted:]
            ys += y.sum(axis=0, dtype=np.float64)
            total = _add_cross(total, self.on_device(np.pad(y, ((0, BATCH_TEXTS - wanted), (0, 0)))), *batch)
        return self.collected(total, hidden_size) - np.outer(self.mean, ys).astype(np.float32)


@partial(jax.jit, donate_argnums=0)
def _add_gram(
    total: Float[Array, "V D"],
    table: Float[Array, "V D"],
    ids: Int[Array, " M"],
    rows: Int[Array, " M"],
    shares: Float[Array, " M"],
) -> Float[Array, "V D"]:
    vectors = jax.ops.segment_sum(table[ids] * shares[:, None], rows, BATCH_TEXTS, indices_are_sorted=True)
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
    """The design of more texts than fit into memory: ids and offsets are written to files and mapped from there.

    Args:
        texts: Lists of ids; an empty one is a row of zeros.
        folder: Folder for the files `ids` and `offsets`. It must exist as long as the design is used.
        n_tokens: Number of tokens in the vocabulary, V.
        mesh: See `Design`.

    Raises:
        InvalidInputError: There are no texts.
    """
    n_ids = 0
    with (folder / "ids").open("wb") as ids, (folder / "offsets").open("wb") as offsets:
        offsets.write(np.int64(0).tobytes())
        for text in texts:
            ids.write(np.array(text[:BATCH_TOKENS], np.int32).tobytes())
            n_ids += len(text[:BATCH_TOKENS])
            offsets.write(np.int64(n_ids).tobytes())
    if not n_ids:
        raise InvalidInputError("The corpus should have texts with tokens of the vocabulary; found none.")
    mapped = Ragged(np.memmap(folder / "ids", np.int32, "r"), np.memmap(folder / "offsets", np.int64, "r"))
    return Design(mapped, n_tokens, mesh)
