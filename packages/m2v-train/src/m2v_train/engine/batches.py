"""Batches of samples as arrays of a fixed shape, made on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Integer

from m2v_train.data.stored import AnySamples, MixedOrder
from m2v_train.engine.module import TokenBatch

#: Maximum number of tokens in a block, unless a single batch has more.
BLOCK_TOKENS = 1 << 21

#: Maximum number of batches in a block.
BLOCK_BATCHES = 32


class Block(NamedTuple):
    """s batches of b samples each, stacked, on n devices.

    Attributes:
        tokens: Tokens of each batch's texts.
        valid: [s, b] float32, 1 for a sample, 0 for padding.
        targets: [s, b, ...] target of each sample.
        n_batches: [] int32, number of batches in use; the remaining ones are padding.
    """

    tokens: TokenBatch
    valid: Any
    targets: Any
    n_batches: Any


@dataclass(frozen=True)
class BlockShape:
    """Sizes of a block's arrays. Every new shape costs a compilation, so sizes grow rarely and never shrink.

    Attributes:
        n_batches: Number of batches.
        n_tokens: Number of tokens of a batch on one device.
        n_ids: Number of different tokens of a batch.
    """

    n_batches: int
    n_tokens: int
    n_ids: int

    def grown(self, n_tokens: int, n_ids: int) -> BlockShape:
        """A shape that also holds so many tokens, with some room to spare.

        Example:
            >>> BlockShape(1, 16, 8).grown(20, 5)
            BlockShape(n_batches=1, n_tokens=24, n_ids=8)
        """
        return replace(
            self,
            n_tokens=self.n_tokens if n_tokens <= self.n_tokens else rounded(n_tokens),
            n_ids=self.n_ids if n_ids <= self.n_ids else rounded(n_ids),
        )


def rounded(size: int) -> int:
    """Round a size up to one of eight sizes per power of two, and to 8 at least.

    Example:
        >>> rounded(5), rounded(100), rounded(1000)
        (8, 104, 1024)
    """
    unit = max(1 << max(size.bit_length() - 4, 0), 8)
    return -(-size // unit) * unit


class BatchLoader:
    """Makes blocks of batches of samples.

    Args:
        samples: Samples to take batches from.
        batch_size: Number of samples per batch, before padding.
        n_devices: Number of devices that share each batch.
        token_dropout: Fraction of tokens to leave out at random; every text keeps at least one.

    Attributes:
        shape: Shape of the next block, unless its batches need a larger one.
    """

    def __init__(self, samples: AnySamples, *, batch_size: int, n_devices: int, token_dropout: float = 0.0) -> None:
        self.samples, self.batch_size, self.token_dropout = samples, batch_size, token_dropout
        self.n_devices = n_devices
        self.samples_per_device = -(-batch_size // n_devices)
        self.shape = self._first_shape()

    def _first_shape(self) -> BlockShape:
        """A shape that holds nearly all batches: four standard deviations above the mean number of tokens."""
        n, sizes = self.samples_per_device, self.samples.sizes
        likely = n * sizes.mean + 4 * n**0.5 * sizes.std
        n_tokens = rounded(max(int(min(likely, n * sizes.most)), 1))
        in_memory = BLOCK_TOKENS // (n_tokens * self.n_devices)
        n_batches = max(1, min(BLOCK_BATCHES, in_memory, -(-len(self.samples) // self.batch_size)))
        return BlockShape(n_batches, n_tokens, n_ids=rounded(1))

    def can_have(self, shape: BlockShape) -> bool:
        """Whether blocks of these samples can have a shape."""
        most = rounded(max(self.samples_per_device * self.samples.sizes.most, 1))
        return (
            shape.n_batches == self.shape.n_batches and shape.n_tokens <= most and shape.n_ids <= self.n_devices * most
        )

    def blocks(
        self,
        order: Integer[np.ndarray, " n"] | MixedOrder,
        rng: np.random.Generator | None = None,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[Block]:
        """Cut samples, in an order, into batches and stack these in blocks.

        Args:
            order: Indices of samples.
            rng: Source of token dropout; without it no token is left out.
            start: Position in the order of the first sample.
            stop: Position after the last one. Default: the end.
        """
        stop = len(order) if stop is None else min(stop, len(order))
        n_samples = self.shape.n_batches * self.batch_size
        for first in range(start, stop, n_samples):
            part = order[first : min(first + n_samples, stop)]
            yield self._block(np.split(part, range(self.batch_size, len(part), self.batch_size)), rng)

    def _block(self, batches: Sequence[Integer[np.ndarray, " _"]], rng: np.random.Generator | None) -> Block:
        n_texts = self.samples_per_device * self.samples.width  # on one device
        flat = [self._flat(batch, rng) for batch in batches]
        cuts = [np.searchsorted(tokens.texts, n_texts * np.arange(self.n_devices + 1)) for tokens in flat]
        self.shape = self.shape.grown(
            max(int(np.diff(cut).max()) for cut in cuts), max(len(tokens.ids) for tokens in flat)
        )

        s, n, m, b = self.shape.n_batches, self.n_devices, self.shape.n_tokens, self.samples_per_device * self.n_devices
        ids, columns = np.zeros((s, self.shape.n_ids), np.int32), np.zeros((s, n, m), np.int32)
        texts, scale = np.full((s, n, m), n_texts - 1, np.int32), np.zeros((s, n, m), np.float32)
        valid, targets = np.zeros((s, b), np.float32), self._no_targets(s, b)
        for i, (batch, tokens, cut) in enumerate(zip(batches, flat, cuts, strict=True)):
            ids[i, : len(tokens.ids)] = tokens.ids
            for device, (start, stop) in enumerate(pairwise(cut)):
                filled = i, device, slice(0, stop - start)
                columns[filled] = tokens.columns[start:stop]
                texts[filled] = tokens.texts[start:stop] - device * n_texts
                scale[filled] = tokens.scale[start:stop]
            targets[i, : len(batch)] = self.samples.targets_of(batch)
            valid[i, : len(batch)] = 1
        return Block(TokenBatch(ids, columns, texts, scale), valid, targets, np.asarray(len(batches), np.int32))

    def _no_targets(self, s: int, b: int) -> Any:
        one = self.samples.targets_of(np.arange(1))
        return np.zeros((s, b, *one.shape[1:]), one.dtype)

    def _flat(self, batch: Integer[np.ndarray, " b"], rng: np.random.Generator | None) -> _FlatTokens:
        """Tokens of a batch, without padding."""
        rows = self.samples.texts_of(batch)
        ids, lengths = rows.values, rows.lengths
        texts = np.repeat(np.arange(len(lengths)), lengths)
        if self.token_dropout and rng is not None:
            kept = rng.random(len(ids)) >= self.token_dropout
            emptied = (np.bincount(texts[kept], minlength=len(lengths)) == 0) & (lengths > 0)
            kept[rows.offsets[:-1][emptied]] = True
            ids, texts = ids[kept], texts[kept]
            lengths = np.bincount(texts, minlength=len(lengths))
        unique, columns = np.unique(ids, return_inverse=True)
        return _FlatTokens(unique, columns, texts, (1 / np.maximum(lengths, 1)).astype(np.float32)[texts])


class _FlatTokens(NamedTuple):
    """Tokens of a batch, as in `TokenBatch` but for all devices together and without padding."""

    ids: Int32[np.ndarray, " U"]
    columns: Integer[np.ndarray, " m"]
    texts: Integer[np.ndarray, " m"]
    scale: Float32[np.ndarray, " m"]
