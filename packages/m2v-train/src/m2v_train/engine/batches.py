"""Samples as blocks of batches, all of one shape: what the host makes and a device works through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64, Integer, Shaped

from m2v_train.data.inputs import TokenTexts
from m2v_train.data.ragged import lengths_of
from m2v_train.engine.module import Tokens
from m2v_train.engine.optimizer import Clock, Lag

#: Tokens of a block at the most, unless a single batch has more.
BLOCK_TOKENS = 1 << 21

#: Batches of a block at the most.
BLOCK_BATCHES = 32


@dataclass(frozen=True)
class Samples:
    """Texts that belong together, with what they should become.

    Attributes:
        texts: All texts.
        places: The texts of each sample; one, or two and three for pairs.
        targets: Gives the targets of some samples, as an array of a row for each.
    """

    texts: TokenTexts
    places: Int64[np.ndarray, "n w"]
    targets: Callable[[Integer[np.ndarray, " b"]], Shaped[np.ndarray, "b ..."]]

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.places)

    @property
    def width(self) -> int:
        """Texts of a sample."""
        return int(self.places.shape[1])

    @property
    def lengths(self) -> Int64[np.ndarray, "n w"]:
        """The tokens of each text."""
        lengths: Int64[np.ndarray, "n w"] = self.texts.lengths[self.places]
        return lengths

    def take(self, indices: Integer[np.ndarray, " m"]) -> Samples:
        """Some samples, in the order given."""
        return Samples(self.texts, self.places[indices], lambda batch: self.targets(indices[batch]))


class Reads(NamedTuple):
    """Rows of a table that batches read, each once, and padding: places past the table's end, which are never written.

    Attributes:
        rows: Of the table, for each batch.
        lag: What they have missed.
    """

    rows: Int32[np.ndarray, "s U"]
    lag: Lag


class Block(NamedTuple):
    """Some batches on n devices, stacked.

    Attributes:
        table: Rows of the table that each batch reads.
        weights: Token weights that it reads; `None` without such.
        tokens: The tokens of its texts; see `Tokens`.
        valid: 1 for each sample, 0 for padding.
        targets: Of each sample.
        steps: The number of each batch's step, from 1.
    """

    table: Reads
    weights: Reads | None
    tokens: Tokens
    valid: Float32[np.ndarray, "s b"]
    targets: Shaped[np.ndarray, "s b ..."]
    steps: Int32[np.ndarray, " s"]


@dataclass
class Shape:
    """The sizes of a block. They only grow, and in few steps: each new shape is compiled once more.

    Attributes:
        n_batches: Of a block.
        batch_size: Samples of a batch, on all devices.
        n_devices: Devices, which share each batch.
        tokens: On one device.
        rows: Of the table in a batch.
        weights: Token weights in a batch.
    """

    n_batches: int
    batch_size: int
    n_devices: int
    tokens: int = 0
    rows: int = 0
    weights: int = 0

    def grow(self, name: str, needed: int) -> None:
        """Make a size `needed` or more, and 1 at the least: texts may have no tokens."""
        needed = max(needed, 1)
        if needed > getattr(self, name):
            setattr(self, name, rounded(needed))


def rounded(size: int) -> int:
    """A number that is not much larger: of eight for each power of two, and 8 at the least.

    Example:
        >>> rounded(5), rounded(100), rounded(1000)
        (8, 104, 1024)
    """
    unit = max(1 << max(size.bit_length() - 4, 0), 8)
    return -(-size // unit) * unit


@dataclass(frozen=True)
class Tables:
    """What is trained of a table, as texts see it: token t has row `row_of[t]`, and weight t.

    Attributes:
        row_of: The row of each token; `None` if they have rows of their own, in order.
        clock: Of the rows; `None` if they are not trained.
        weight_clock: Of the tokens' weights, if they are trained.
        has_weights: Whether tokens have weights.
    """

    row_of: Int64[np.ndarray, " T"] | None
    clock: Clock | None
    weight_clock: Clock | None
    has_weights: bool

    @property
    def clocks(self) -> list[Clock]:
        """Of all that is trained."""
        return [clock for clock in (self.clock, self.weight_clock) if clock is not None]


def first_shape(samples: Samples, batch_size: int, n_devices: int) -> Shape:
    """A shape that nearly all batches of these samples fit into."""
    own = -(-batch_size // n_devices)
    lengths = samples.lengths.sum(axis=1)
    likely = own * lengths.mean() + 4 * own**0.5 * lengths.std() if len(lengths) else 0
    tokens = rounded(max(int(min(likely, own * lengths.max(initial=0))), 1))
    n_batches = max(1, min(BLOCK_BATCHES, BLOCK_TOKENS // (tokens * n_devices), -(-len(samples) // batch_size)))
    return Shape(n_batches, own * n_devices, n_devices, tokens)


def make_block(
    samples: Samples,
    batches: Sequence[Integer[np.ndarray, " _"]],
    shape: Shape,
    tables: Tables,
    *,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Block:
    """Batches as arrays.

    Args:
        samples: From which they are.
        batches: The indices of the samples of each, no more than `shape` has room for.
        shape: Which grows if need be.
        tables: Whose clocks go on, by a step a batch, if they are there.
        dropout: The share of tokens that is left out; a text keeps one at least.
        rng: From which that is drawn.
    """
    own = shape.batch_size // shape.n_devices * samples.width  # texts on one device
    parts = [_tokens_of(samples, batch, dropout, rng) for batch in batches]
    reads = [_reads(tables, ids) for ids, _, _ in parts]
    splits = [np.searchsorted(texts, own * np.arange(shape.n_devices + 1)) for _, texts, _ in parts]
    shape.grow("tokens", max(int(np.diff(split).max()) for split in splits))
    shape.grow("rows", max(len(rows) for rows, *_ in reads))
    if tables.has_weights:
        shape.grow("weights", max(len(weights) for *_, weights, _ in reads))

    s, n, m = shape.n_batches, shape.n_devices, shape.tokens
    columns, texts = np.zeros((s, n, m), np.int32), np.full((s, n, m), own - 1, np.int32)
    weight_columns = np.zeros((s, n, m), np.int32) if tables.has_weights else None
    shares, valid = np.zeros((s, n, m), np.float32), np.zeros((s, shape.batch_size), np.float32)
    targets: Any = None
    table, weights = _Padded(s, shape.rows), _Padded(s, shape.weights)
    steps = np.zeros(s, np.int32)
    for i, (batch, (_, text_of, share), split) in enumerate(zip(batches, parts, splits, strict=True)):
        rows, row_columns, tokens, token_columns = reads[i]
        for clock in tables.clocks:
            steps[i] = clock.tick()
        table.put(i, rows, tables.clock)
        if weight_columns is not None:
            weights.put(i, tokens, tables.weight_clock)
        for device, (start, stop) in enumerate(pairwise(split)):
            place = i, device, slice(0, stop - start)
            columns[place] = row_columns[start:stop]
            texts[place] = text_of[start:stop] - device * own
            shares[place] = share[start:stop]
            if weight_columns is not None:
                weight_columns[place] = token_columns[start:stop]
        found = samples.targets(batch)
        if targets is None:
            targets = np.zeros((s, shape.batch_size, *found.shape[1:]), found.dtype)
        targets[i, : len(batch)] = found
        valid[i, : len(batch)] = 1
    return Block(
        table=table.reads(),
        weights=weights.reads() if tables.has_weights else None,
        tokens=Tokens(columns, weight_columns, texts, shares),
        valid=valid,
        targets=targets,
        steps=steps,
    )


def _tokens_of(
    samples: Samples, batch: Integer[np.ndarray, " b"], dropout: float, rng: np.random.Generator | None
) -> tuple[Int32[np.ndarray, " m"], Int64[np.ndarray, " m"], Float32[np.ndarray, " m"]]:
    """The tokens of a batch, which of its texts each belongs to, and one over that one's length."""
    texts = samples.texts.take(samples.places[batch].ravel())
    ids, lengths = texts.ids, lengths_of(texts.ends)
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    if dropout and rng is not None:
        kept = rng.random(len(ids)) >= dropout
        starts = texts.ends - lengths
        emptied = (np.bincount(text_of[kept], minlength=len(lengths)) == 0) & (lengths > 0)
        kept[starts[emptied]] = True
        ids, text_of = ids[kept], text_of[kept]
        lengths = np.bincount(text_of, minlength=len(lengths))
    return ids, text_of, (1 / np.maximum(lengths, 1)).astype(np.float32)[text_of]


def _reads(tables: Tables, ids: Int32[np.ndarray, " m"]) -> tuple[Any, Any, Any, Any]:
    """The rows that tokens have, each once, and the column of each token; likewise the weights."""
    tokens, token_columns = np.unique(ids, return_inverse=True)
    if tables.row_of is None:
        return tokens, token_columns, tokens, token_columns
    rows, row_columns = np.unique(tables.row_of[tokens], return_inverse=True)
    return rows, row_columns[token_columns], tokens, token_columns


class _Padded:
    """Reads that are filled batch by batch."""

    def __init__(self, s: int, size: int) -> None:
        self.rows = np.full((s, size), np.iinfo(np.int32).max, np.int32)
        self.lag = Lag(np.zeros((s, size), np.float32), *(np.ones((s, size), np.float32) for _ in range(3)))

    def put(self, i: int, rows: Integer[np.ndarray, " u"], clock: Clock | None) -> None:
        self.rows[i, : len(rows)] = rows
        if clock is not None:
            for padded, own in zip(self.lag, clock.read(rows), strict=True):
                padded[i, : len(rows)] = own

    def reads(self) -> Reads:
        return Reads(self.rows, self.lag)
