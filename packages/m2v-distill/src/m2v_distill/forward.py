"""Token ids through the teacher: sequences of like length in fixed-size batches, one compiled program a length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int
from numpy import ndarray
from tqdm import tqdm

from m2v_core.errors import InvalidInputError
from m2v_distill.config import Pooling
from m2v_distill.teacher.teacher import Teacher

#: Rows of a batch: 256 short rows stay in a CPU's cache, 1024 do not.
BATCH_SIZE = 256


def embed_sequences(
    teacher: Teacher,
    sequences: Sequence[Sequence[int]],
    *,
    pooling: Pooling = "mean",
    pad_id: int = 0,
    device: str | None = None,
    show_progress_bar: bool | None = False,
    batch_size: int = BATCH_SIZE,
) -> Float32[ndarray, "N H"]:
    """One vector for each sequence of token ids.

    Args:
        teacher: The teacher.
        sequences: N lists of ids, none empty, each at most `teacher.max_length` long.
        pooling: "mean", "first", "last" or "pooler".
        pad_id: Fills the end of shorter sequences in a batch; it has no effect on the others.
        device: See `DistillConfig.device`.
        show_progress_bar: On stderr; `None` shows it on a terminal only.
        batch_size: Rows computed at once.

    Returns:
        Vectors in the order of the sequences; values that are not finite become zero, as in model2vec.

    Raises:
        InvalidInputError: An empty or too long sequence, an unknown id or device, or a teacher without a pooler.
    """
    if pooling == "pooler" and not teacher.has_pooler:
        raise InvalidInputError(
            f"{teacher.name} has no pooler (a dense layer on the first position); use pooling='mean' or 'first'."
        )
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    _check(teacher, sequences, lengths)
    target = pick_device(device)
    graph, state = nnx.split(teacher.module)
    state = jax.device_put(state, target)
    vectors = np.empty((len(sequences), teacher.hidden_size), np.float32)
    hidden = None if show_progress_bar is None else not show_progress_bar  # tqdm: None means "off if no terminal"
    with tqdm(total=len(sequences), desc="Teacher", unit=" tokens", disable=hidden) as bar:
        for rows, ids, mask in _batches(sequences, lengths, batch_size, pad_id):
            inputs = jax.device_put((ids, mask), target)
            pooled = _pooled_forward(graph, state, *inputs, pooling)
            vectors[rows] = np.asarray(pooled)[: len(rows)]
            bar.update(len(rows))
    return np.nan_to_num(vectors, copy=False)


def _check(teacher: Teacher, sequences: Sequence[Sequence[int]], lengths: Int[ndarray, " N"]) -> None:
    if not len(lengths):
        return
    if lengths.min() < 1 or (teacher.max_length is not None and lengths.max() > teacher.max_length):
        raise InvalidInputError(
            f"{teacher.name} takes sequences of 1 to {teacher.max_length} ids; "
            f"found {lengths.min()} to {lengths.max()}."
        )
    lowest, highest = min(map(min, sequences)), max(map(max, sequences))
    if lowest < 0 or highest >= teacher.vocab_size:
        raise InvalidInputError(
            f"{teacher.name} knows ids 0 to {teacher.vocab_size - 1}; found {lowest} to {highest}. "
            f"Do the tokenizer and the weights belong together?"
        )


def _batches(
    sequences: Sequence[Sequence[int]], lengths: Int[ndarray, " N"], batch_size: int, pad_id: int
) -> Iterator[tuple[Int[ndarray, " n"], Int[ndarray, "B L"], Bool[ndarray, "B L"]]]:
    """Row numbers, padded ids and mask of each batch; short ones are filled up with a copy of their first row."""
    buckets = np.array([bucket_length(int(length)) for length in lengths], np.int64)
    for width in np.unique(buckets):
        members = np.flatnonzero(buckets == width)
        for start in range(0, len(members), batch_size):
            rows = members[start : start + batch_size]
            ids = np.full((batch_size, int(width)), pad_id, np.int32)
            mask = np.zeros(ids.shape, bool)
            for place, row in enumerate(rows):
                ids[place, : lengths[row]] = sequences[row]
                mask[place, : lengths[row]] = True
            ids[len(rows) :], mask[len(rows) :] = ids[0], mask[0]
            yield rows, ids, mask


def bucket_length(length: int) -> int:
    """The padded length of a sequence: itself up to 8, then steps of an eighth of the next power of two.

    Example:
        >>> [bucket_length(n) for n in (3, 8, 9, 17, 100, 512)]
        [3, 8, 10, 20, 112, 512]
    """
    step = 1 << max(0, (length - 1).bit_length() - 3)
    return -(-length // step) * step


@partial(jax.jit, static_argnames=("graph", "pooling"))
def _pooled_forward(
    graph: nnx.GraphDef[Any],
    state: nnx.State[Any, Any],
    ids: Int[Array, "B L"],
    mask: Bool[Array, "B L"],
    pooling: Pooling,
) -> Float[Array, "B H"]:
    module = nnx.merge(graph, state)
    with jax.default_matmul_precision("float32"):  # GPUs would otherwise round inputs to 10 bits (TF32)
        hidden = module(ids, mask)
        return module.pool(hidden) if pooling == "pooler" else POOLINGS[pooling](hidden, mask)


def mean_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The mean over a row's real positions."""
    share = mask / mask.sum(axis=1, keepdims=True)
    return jnp.einsum("blh,bl->bh", hidden, share)


def first_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The first position ([CLS] in BERT)."""
    return hidden[:, 0]


def last_pooling(hidden: Float[Array, "B L H"], mask: Bool[Array, "B L"]) -> Float[Array, "B H"]:
    """The last real position."""
    return hidden[jnp.arange(len(hidden)), mask.sum(axis=1) - 1]


POOLINGS: dict[Pooling, Callable[[Array, Array], Array]] = {
    "mean": mean_pooling,
    "first": first_pooling,
    "last": last_pooling,
}


def pick_device(name: str | None) -> jax.Device:
    """The JAX device of a name: "cpu", "gpu", "cuda", "tpu", with ":1" for the second one; `None` for JAX's first.

    Raises:
        InvalidInputError: JAX has no such device here.
    """
    if name is None:
        return jax.devices()[0]
    kind, _, index = name.partition(":")
    try:
        return jax.devices({"cuda": "gpu"}.get(kind, kind))[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        found = ", ".join(f"{device.platform}:{device.id}" for device in jax.devices())
        raise InvalidInputError(
            f"device should name one that JAX has here ({found}); found {name!r}. "
            f"For a GPU install jax[cuda12] or jax[cuda13]."
        ) from None
