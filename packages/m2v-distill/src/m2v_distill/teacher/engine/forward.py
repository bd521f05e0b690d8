"""Token ids through an encoder: sequences of similar length in batches of few shapes, each a compiled program."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool, Float, Float32, Int
from numpy import ndarray

from m2v_core.errors import InvalidInputError
from m2v_core.progress import progress_bar
from m2v_distill.logs import logger
from m2v_distill.teacher.engine.batching import Batch, padded, plan
from m2v_distill.teacher.engine.placement import Placement
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.interface import Encoder
from m2v_distill.teacher.pooling import SentencePooling

#: Batches that are given to the device before the vectors of the first one are fetched.
AHEAD = 2

#: A function from the ids and mask of a batch to its vectors, which may not be computed yet.
Run = Callable[[ndarray, ndarray], Any]


@dataclass(frozen=True)
class Network:
    """A whole network from token ids to vectors.

    Attributes:
        encoder: Encoder from ids to hidden states.
        pooling: Modules from hidden states to vectors.
        placement: Devices and precision.
    """

    encoder: Encoder
    pooling: SentencePooling
    placement: Placement

    @property
    def dim(self) -> int:
        """The size of the vectors, D."""
        return self.pooling.output_size(self.encoder.config.hidden_size)

    def plan(self, lengths: Int[ndarray, " N"], batch_tokens: int | None = None) -> list[Batch]:
        """Batches for sequences of these lengths."""
        placement, longest = self.placement, self.encoder.config.max_length
        batch_tokens = batch_tokens or placement.batch_tokens
        return plan(lengths, batch_tokens=batch_tokens, copies=placement.copies, longest=longest)

    def runner(self, prompt_length: int) -> Run:
        """The function that computes a batch, whose first positions are a prompt of this length."""
        prompt = np.int32(prompt_length)
        if not self.encoder.compiles:
            graph, state = nnx.split(self.pooling)

            def run_pooling(ids: ndarray, mask: ndarray) -> Any:
                return _pooled(graph, state, *self.encoder.outputs(ids, mask), mask, prompt)

            return run_pooling
        whole, weights = nnx.split((self.encoder, self.pooling))
        placement = self.placement

        def run(ids: ndarray, mask: ndarray) -> Any:
            return _forward(whole, weights, placement.batch(ids), placement.batch(mask), prompt, placement)

        return run


def embed_sequences(
    network: Network,
    sequences: Sequence[Sequence[int]],
    *,
    pad_id: int = 0,
    prompt_length: int = 0,
    batch_tokens: int | None = None,
    chunks: ChunkStore | None = None,
    show_progress_bar: bool | None = False,
) -> Float32[ndarray, "N D"]:
    """One vector for each sequence of token ids.

    Args:
        network: The network.
        sequences: N lists of ids, none empty, none longer than the encoder allows.
        pad_id: Id that fills shorter sequences of a batch; it does not affect the others.
        prompt_length: Number of ids at the start of each sequence that belong to a prompt.
        batch_tokens: Positions that one copy of the weights computes at once. Default: what suits the device.
        chunks: Store of finished rows, from which an interrupted run is resumed.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.

    Returns:
        Vectors in the order of the sequences; values that are not finite become zero, as in model2vec.

    Raises:
        InvalidInputError: A sequence is empty or too long, or an id is unknown.
    """
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    _check(network, sequences, lengths)
    run, batches = network.runner(prompt_length), network.plan(lengths, batch_tokens)
    vectors = np.empty((len(sequences), network.dim), np.float32)
    if chunks is not None:
        batches = _resumed(chunks, run, batches, sequences, pad_id, vectors)
    done = len(sequences) - sum(len(batch.rows) for batch in batches)
    progress = progress_bar("Teacher", unit="tokens", total=len(sequences), initial=done, show=show_progress_bar)
    with progress as bar, chunks or nullcontext():
        for rows, values in _results(run, batches, sequences, pad_id):
            vectors[rows] = values
            if chunks is not None:
                chunks.add(rows, values)
            bar.update(len(rows))
    return vectors if np.isfinite(vectors).all() else np.nan_to_num(vectors, copy=False)


def compile_ahead(network: Network, lengths: Int[ndarray, " N"]) -> None:
    """Compile the programs for sequences of these lengths ahead of time; `embed_sequences` then finds them.

    If the sequences turn out to have other lengths, only time is lost.
    """
    longest = network.encoder.config.max_length
    if jax.process_count() > 1 or not network.encoder.compiles or lengths.max() > (longest or np.inf):
        return
    run = network.runner(prompt_length=0)
    for shape in sorted({(batch.height, batch.width) for batch in network.plan(lengths)}):
        run(np.zeros(shape, np.int32), np.ones(shape, bool))


def _check(network: Network, sequences: Sequence[Sequence[int]], lengths: Int[ndarray, " N"]) -> None:
    if not len(lengths):
        return
    config = network.encoder.config
    if lengths.min() < 1 or (config.max_length is not None and lengths.max() > config.max_length):
        raise InvalidInputError(
            f"The teacher takes sequences of 1 to {config.max_length} ids; found {lengths.min()} to {lengths.max()}."
        )
    lowest, highest = min(map(min, sequences)), max(map(max, sequences))
    if lowest < 0 or highest >= config.vocab_size:
        raise InvalidInputError(
            f"The teacher knows the ids 0 to {config.vocab_size - 1}; found {lowest} to {highest}. Do the tokenizer "
            f"and the weights belong together?"
        )


def _resumed(
    chunks: ChunkStore,
    run: Run,
    batches: list[Batch],
    sequences: Sequence[Sequence[int]],
    pad_id: int,
    vectors: Float32[ndarray, "N D"],
) -> list[Batch]:
    """Fill in the rows of an earlier run, and return the batches that are left.

    Chunks do not identify their teacher. To verify it, one batch of theirs is computed again.
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
    """Row numbers and vectors of each batch; the host prepares the next batches while the device computes."""
    pending: deque[tuple[ndarray, Any]] = deque()
    for batch in batches:
        pending.append((batch.rows, run(*padded(batch, sequences, pad_id))))
        if len(pending) > AHEAD:
            rows, values = pending.popleft()
            yield rows, np.asarray(values)[: len(rows)]
    for rows, values in pending:
        yield rows, np.asarray(values)[: len(rows)]


@partial(jax.jit, static_argnames=("graph", "placement"))
def _forward(
    graph: nnx.GraphDef[Any],
    state: nnx.State[Any, Any],
    ids: Int[Array, "B L"],
    mask: Bool[Array, "B L"],
    prompt_length: Int[Array, ""],
    placement: Placement,
) -> Float[Array, "B D"]:
    encoder, pooling = nnx.merge(graph, state)
    with jax.default_matmul_precision("float32"):  # GPUs would otherwise round inputs to 10 bits (TF32)
        hidden, pooled = encoder.outputs(ids, mask)
        return placement.gathered(pooling(hidden, mask, pooled, prompt_length))


@partial(jax.jit, static_argnames=("graph",))
def _pooled(
    graph: nnx.GraphDef[Any],
    state: nnx.State[Any, Any],
    hidden: Float[Array, "B L H"],
    pooled: Float[Array, "B H"] | None,
    mask: Bool[Array, "B L"],
    prompt_length: Int[Array, ""],
) -> Float[Array, "B D"]:
    pooling: SentencePooling = nnx.merge(graph, state)
    return pooling(hidden, mask, pooled, prompt_length)
