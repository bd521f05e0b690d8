"""Training samples: texts and their targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int8, Int64, Integer, Shaped

from m2v_core.ragged import Ragged


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
