"""Training samples: texts and their targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int8, Int32, Int64, Integer, Shaped

from m2v_core.ragged import Ragged, concatenated


@dataclass(frozen=True)
class MultiHot:
    """Rows of zeros and ones that are stored as the columns of the ones.

    Attributes:
        ones: Columns that are 1 in each row.
        n_columns: Number of columns.

    Example:
        >>> MultiHot(Ragged.of([[0, 2], [], [1]]), 3)[np.array([0, 1])].tolist()
        [[1, 0, 1], [0, 0, 0]]
    """

    ones: Ragged
    n_columns: int

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ones)

    def __getitem__(self, rows: Integer[np.ndarray, " b"]) -> Int8[np.ndarray, "b C"]:
        """Some rows as an array."""
        chosen = self.ones.take(rows)
        dense = np.zeros((len(chosen), self.n_columns), np.int8)
        dense[np.repeat(np.arange(len(chosen)), chosen.lengths), chosen.values] = 1
        return dense


#: Samples whose targets are digested at a time.
_DIGESTED = 16_384


class Sizes(NamedTuple):
    """Number of tokens of a sample, of all of its texts together.

    Attributes:
        mean: Mean over samples.
        std: Standard deviation.
        most: Largest number.
    """

    mean: float
    std: float
    most: int


@dataclass(frozen=True)
class Samples:
    """n samples, each of one text, or of two or three for pairs.

    Attributes:
        texts: Token ids of all texts.
        members: Indices into `texts` of each sample's texts.
        targets: Target of each sample: a class index, zeros and ones for the classes, a vector; or for pairs a number
            for each text that identifies it.
        rows: Indices into `members` and `targets` of the n samples.

    Example:
        >>> samples = Samples.of_texts(Ragged.of([[4], [5, 6]]), np.array([7, 8]))
        >>> samples.take(np.array([1])).texts_of(np.array([0])).values.tolist()
        [5, 6]
    """

    texts: Ragged
    members: Int64[np.ndarray, "N w"]
    targets: Shaped[np.ndarray, "N ..."] | MultiHot
    rows: Int64[np.ndarray, " n"]

    @classmethod
    def of_texts(cls, texts: Ragged, targets: Shaped[np.ndarray, "N ..."] | MultiHot) -> Samples:
        """Samples of one text each."""
        rows = np.arange(len(texts))
        return cls(texts, rows[:, None], targets, rows)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    @property
    def width(self) -> int:
        """Number of texts per sample."""
        return int(self.members.shape[1])

    @property
    def lengths(self) -> Int64[np.ndarray, "n w"]:
        """Number of tokens in each text of each sample."""
        return np.asarray(self.texts.lengths[self.members[self.rows]])

    def take(self, indices: Integer[np.ndarray, " m"]) -> Samples:
        """Select samples; texts and targets are shared, not copied."""
        return replace(self, rows=self.rows[indices])

    def texts_of(self, batch: Integer[np.ndarray, " b"]) -> Ragged:
        """Token ids of the texts of some samples, sample after sample."""
        return self.texts.take(self.members[self.rows[batch]].ravel())

    def targets_of(self, batch: Integer[np.ndarray, " b"]) -> Shaped[np.ndarray, "b ..."]:
        """Targets of some samples."""
        return self.targets[self.rows[batch]]

    @property
    def sizes(self) -> Sizes:
        """Number of tokens of a sample."""
        totals = self.lengths.sum(axis=1)
        return Sizes(totals.mean(), totals.std(), int(totals.max())) if len(totals) else Sizes(0.0, 0.0, 0)

    def occurring(self, n_tokens: int) -> Bool[np.ndarray, " V"]:
        """Which of the tokens of a vocabulary occur in the texts."""
        occurs = np.zeros(n_tokens, bool)
        occurs[self.texts.values] = True
        return occurs

    def renumbered(self, numbering: Int32[np.ndarray, " V"]) -> Samples:
        """The samples with other numbers for tokens."""
        return replace(self, texts=replace(self.texts, values=numbering[self.texts.values]))

    def widened(self, width: int) -> Samples:
        """The samples, of pairs, with empty texts up to a number of texts per sample; their number is -1."""
        missing = width - self.width
        if not missing:
            return self
        texts = concatenated([self.texts, Ragged.of([[]], self.texts.values.dtype)])
        members = np.pad(self.members, ((0, 0), (0, missing)), constant_values=len(self.texts))
        targets = np.pad(np.asarray(self.targets), ((0, 0), (0, missing)), constant_values=-1)
        return replace(self, texts=texts, members=members, targets=targets)

    def order(self, rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
        """Numbers of all samples in random order."""
        return rng.permutation(len(self))

    def digested(self) -> Iterator[Any]:
        """Arrays of all that the samples are, for a digest."""
        yield from (self.texts.values, self.texts.offsets, self.members[self.rows])
        for start in range(0, len(self), _DIGESTED):
            yield self.targets_of(np.arange(start, min(start + _DIGESTED, len(self))))
