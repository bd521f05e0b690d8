"""Token ids through the teacher: sequences of like length in fixed-size batches, one compiled program a length."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool, Float, Float32, Int
from numpy import ndarray
from tqdm import tqdm

from m2v_core.errors import InvalidInputError
from m2v_distill.teacher.engine.batching import Batch, padded, plan
from m2v_distill.teacher.engine.placement import Placement
from m2v_distill.teacher.pooling import Head
from m2v_distill.teacher.torch_encoder import TorchEncoder

if TYPE_CHECKING:
    from m2v_distill.teacher.engine.resume import ChunkStore
    from m2v_distill.teacher.teacher import Teacher

logger = logging.getLogger("m2v_distill")

#: Batches that the device may be given before the first one's vectors are fetched.
AHEAD = 2

#: Ids and mask of a batch to its vectors, which may still be under way.
Run = Callable[[ndarray, ndarray], Any]


def embed_sequences(
    teacher: Teacher,
    sequences: Sequence[Sequence[int]],
    *,
    pad_id: int = 0,
    prompt_length: int = 0,
    normalize: bool = True,
    batch_tokens: int | None = None,
    chunks: ChunkStore | None = None,
    show_progress_bar: bool | None = False,
) -> Float32[ndarray, "N D"]:
    """One vector for each sequence of token ids.

    Args:
        teacher: The teacher.
        sequences: N lists of ids, none empty, each at most `teacher.max_length` long.
        pad_id: Fills the end of shorter sequences in a batch; it has no effect on the others.
        prompt_length: Ids at the start of each sequence that are a prompt.
        normalize: Whether a closing `Normalize` of the teacher's is computed.
        batch_tokens: Positions that one copy of the weights computes at once. Default: what suits the device.
        chunks: Keeps what is computed, and has what was computed before.
        show_progress_bar: On stderr; `None` shows it on a terminal only.

    Returns:
        Vectors in the order of the sequences; values that are not finite become zero, as in model2vec.

    Raises:
        InvalidInputError: An empty or too long sequence, or an unknown id.
    """
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    _check(teacher, sequences, lengths)
    placement = teacher.placement
    head = teacher.settings.head if normalize else teacher.settings.head.unnormalized()
    run = _runner(teacher.module, head, placement, prompt_length)
    batches = plan(
        lengths,
        batch_tokens=batch_tokens or placement.batch_tokens,
        copies=placement.copies,
        longest=teacher.max_length,
    )
    vectors = np.empty((len(sequences), head.width(teacher.hidden_size)), np.float32)
    if chunks is not None:
        batches = _resumed(chunks, run, batches, sequences, pad_id, vectors)
    hidden = None if show_progress_bar is None else not show_progress_bar  # tqdm: None means "off if no terminal"
    with tqdm(total=len(sequences), desc="Teacher", unit=" tokens", disable=hidden) as bar, chunks or nullcontext():
        bar.update(len(sequences) - sum(len(batch.rows) for batch in batches))
        for rows, values in _results(run, batches, sequences, pad_id):
            vectors[rows] = values
            if chunks is not None:
                chunks.add(rows, values)
            bar.update(len(rows))
    return vectors if np.isfinite(vectors).all() else np.nan_to_num(vectors, copy=False)


def compile_ahead(teacher: Teacher, lengths: Int[ndarray, " N"]) -> None:
    """Compile, ahead of time, the programs for sequences of these lengths; `embed_sequences` finds them.

    If its sequences turn out to be others, nothing is lost but work.
    """
    longest = teacher.max_length
    if jax.process_count() > 1 or isinstance(teacher.module, TorchEncoder) or lengths.max() > (longest or np.inf):
        return
    placement = teacher.placement
    batches = plan(lengths, batch_tokens=placement.batch_tokens, copies=placement.copies, longest=longest)
    run = _runner(teacher.module, teacher.settings.head.unnormalized(), placement, 0)
    for shape in sorted({(batch.height, batch.width) for batch in batches}):
        run(np.zeros(shape, np.int32), np.ones(shape, bool))


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


def _resumed(
    chunks: ChunkStore,
    run: Run,
    batches: list[Batch],
    sequences: Sequence[Sequence[int]],
    pad_id: int,
    vectors: Float32[ndarray, "N D"],
) -> list[Batch]:
    """Fill in what was computed before, and say what is left.

    Chunks do not know their teacher: that it is the same shows in one batch of theirs, which is computed again.
    """
    finished = chunks.read(sequences, vectors)
    if jax.process_count() > 1:  # the first process has the chunks, and all must agree on what is left
        finished, vectors[:] = multihost_utils.broadcast_one_to_all((finished, vectors))
    if not finished.any():
        return batches
    known = [batch for batch in batches if finished[batch.rows].all()]
    if known:
        rows, values = next(_results(run, known[:1], sequences, pad_id))
        if np.allclose(values, vectors[rows], rtol=0, atol=1e-5 * float(np.abs(values).max())):
            left = [batch for batch in batches if not finished[batch.rows].all()]
            logger.info("resumed: %d of %d batches were finished", len(known), len(batches))
            return left
    chunks.forget()
    logger.info("not resumed: what is in %s does not fit this teacher and these options", chunks.folder)
    return batches


def _results(
    run: Run, batches: Sequence[Batch], sequences: Sequence[Sequence[int]], pad_id: int
) -> Iterator[tuple[Int[ndarray, " n"], Float32[ndarray, "n D"]]]:
    """Row numbers and vectors of each batch; the host prepares batches while the device computes those before."""
    pending: deque[tuple[ndarray, Any]] = deque()
    for batch in batches:
        pending.append((batch.rows, run(*padded(batch, sequences, pad_id))))
        if len(pending) > AHEAD:
            rows, values = pending.popleft()
            yield rows, np.asarray(values)[: len(rows)]
    for rows, values in pending:
        yield rows, np.asarray(values)[: len(rows)]


def _runner(encoder: Any, head: Head, placement: Placement, prompt_length: int) -> Run:
    prompt = np.int32(prompt_length)
    if isinstance(encoder, TorchEncoder):
        graph, state = nnx.split(head)

        def run_torch(ids: ndarray, mask: ndarray) -> Any:
            return _headed(graph, state, *encoder(ids, mask), mask, prompt)

        return run_torch
    whole, weights = nnx.split((encoder, head))

    def run(ids: ndarray, mask: ndarray) -> Any:
        return _forward(whole, weights, placement.batch(ids), placement.batch(mask), prompt, placement)

    return run


@partial(jax.jit, static_argnames=("graph", "placement"))
def _forward(
    graph: nnx.GraphDef[Any],
    state: nnx.State[Any, Any],
    ids: Int[Array, "B L"],
    mask: Bool[Array, "B L"],
    prompt_length: Int[Array, ""],
    placement: Placement,
) -> Float[Array, "B D"]:
    encoder, head = nnx.merge(graph, state)
    with jax.default_matmul_precision("float32"):  # GPUs would otherwise round inputs to 10 bits (TF32)
        hidden = encoder(ids, mask)
        return placement.gathered(head(hidden, mask, lambda: encoder.pool(hidden), prompt_length))


@partial(jax.jit, static_argnames=("graph",))
def _headed(
    graph: nnx.GraphDef[Any],
    state: nnx.State[Any, Any],
    hidden: Float[Array, "B L H"],
    pooled: Float[Array, "B H"] | None,
    mask: Bool[Array, "B L"],
    prompt_length: Int[Array, ""],
) -> Float[Array, "B D"]:
    head: Head = nnx.merge(graph, state)
    return head(hidden, mask, lambda: jnp.asarray(pooled), prompt_length)
