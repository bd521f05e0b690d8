"""Training from start to end: epochs, validation, early stopping, the best state."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from m2v_core.progress import progress_bar
from m2v_train.config import TrainConfig
from m2v_train.data.samples import Samples
from m2v_train.data.stored import AnySamples
from m2v_train.engine.batches import BatchLoader, Block, BlockShape
from m2v_train.engine.checkpoint import Checkpoint
from m2v_train.engine.devices import mesh_of
from m2v_train.engine.losses import Totals
from m2v_train.engine.module import TokenBatch
from m2v_train.engine.steps import Arrays, ModelState, Program, copied, measure, run_steps

#: Improvement of the monitored metric from which a validation counts as progress.
MIN_DELTA = 1e-3

#: The learning rate is multiplied by FACTOR, down to MIN_LEARNING_RATE, after more than PATIENCE epochs in which the
#: validation loss did not fall by the fraction THRESHOLD.
FACTOR, PATIENCE, THRESHOLD, MIN_LEARNING_RATE = 0.5, 3, 0.03, 1e-6

History = list[dict[str, Any]]
T = TypeVar("T")


@dataclass
class TrainingState:
    """All of the state of training but its arrays.

    Attributes:
        learning_rate: Current learning rate.
        epoch: Number of finished epochs.
        step: Number of finished steps.
        best: Monitored metric of the best state; higher is better.
        goal: Metric that early stopping compares with.
        waited: Validations since `goal` was set.
        plateau: Validation loss that the learning rate's schedule compares with.
        flat_epochs: Epochs since `plateau` was set.
        history: One record per validation.
        ended: Whether training has stopped.
    """

    learning_rate: float
    epoch: int = 0
    step: int = 0
    best: float = -math.inf
    goal: float = -math.inf
    waited: int = 0
    plateau: float = math.inf
    flat_epochs: int = 0
    history: History = field(default_factory=list)
    ended: bool = False

    def record_validation(self, record: dict[str, Any], metric: float, config: TrainConfig) -> bool:
        """Record a validation, and stop training if progress has ended.

        Args:
            record: Entry of the history.
            metric: Monitored metric; higher is better.
            config: Options of early stopping.

        Returns:
            Whether the validated state is the best so far.
        """
        self.history.append(record)
        if metric > self.goal + MIN_DELTA:
            self.goal, self.waited = metric, 0
        else:
            self.waited += 1
        patience = config.early_stopping_patience
        self.ended = patience is not None and self.waited >= patience and self.epoch >= (config.min_epochs or 0)
        is_best = metric > self.best
        self.best = max(metric, self.best)
        return is_best

    def finish_epoch(self, config: TrainConfig) -> None:
        """Lower the learning rate if the validation loss has reached a plateau, and stop after the last epoch."""
        if config.max_epochs is not None and 0 <= config.max_epochs <= self.epoch:
            self.ended = True
        loss = self.history[-1]["val_loss"] if self.history else math.inf
        if loss < self.plateau * (1 - THRESHOLD):
            self.plateau, self.flat_epochs = loss, 0
        elif self.history:
            self.flat_epochs += 1
        if self.flat_epochs > PATIENCE:
            self.learning_rate, self.flat_epochs = max(self.learning_rate * FACTOR, MIN_LEARNING_RATE), 0


class SyncPoint(NamedTuple):
    """A point between steps.

    Attributes:
        validates: Whether the model is validated here.
        ends_epoch: Whether an epoch ends here.
    """

    validates: bool
    ends_epoch: bool


def batch_size_of(config: TrainConfig, n: int) -> int:
    """Batch size for n samples: by default a thirtieth of them in multiples of 32, at most 512.

    Example:
        >>> batch_size_of(TrainConfig(), 9000), batch_size_of(TrainConfig(batch_size=7), 9000)
        (288, 7)
    """
    return config.batch_size or 32 * int(min(max(1, n / 30 // 32), 16))


def validation_interval(config: TrainConfig, n: int, batch_size: int) -> int | None:
    """Number of steps between validations; `None` for once per epoch.

    Example:
        >>> validation_interval(TrainConfig(), 9000, 288), validation_interval(TrainConfig(), 1_000_000, 512)
        (None, 488)
    """
    n_batches = n // batch_size
    automatic = max(250, n_batches // 4) if n_batches > 250 else None
    return config.validation_steps or automatic


class Trainer:
    """One run of training, until validation no longer improves.

    Args:
        program: Compiled program of the training steps.
        trained: Initial values of the arrays to train.
        constants: All other arrays.
        samples: Training samples.
        validation: Samples that select the best state and decide when training stops.
        config: Options.
        described: Text of what the head and an evaluation compute, which a checkpoint asks for.
        measured: Measures of trained arrays by name at each validation, the one that decides first; `None` to decide by
            the validation samples.
    """

    def __init__(
        self,
        program: Program,
        trained: Arrays,
        constants: Arrays,
        *,
        samples: AnySamples,
        validation: Samples,
        config: TrainConfig,
        described: Callable[[], str],
        measured: Callable[[Arrays], dict[str, float]] | None = None,
    ) -> None:
        self.measured = measured
        self.program, self.config, self.mesh = program, config, mesh_of(config.device)
        size = {"batch_size": batch_size_of(config, len(samples)), "n_devices": self.mesh.size}
        self.loader = BatchLoader(samples, token_dropout=config.token_dropout, **size)
        self.n_batches = -(-len(samples) // self.loader.batch_size)
        blocks = BatchLoader(validation, **size).blocks(np.arange(len(validation)))
        self.held_out = [_placed(block, self.mesh) for block in blocks]
        self.checkpoint: Checkpoint | None = None
        if config.checkpoint_dir is not None:
            computed = program.objective, program.normalize, program.width, described()
            self.checkpoint = Checkpoint.of(config, computed, (trained, constants), samples, validation)
        self.training, self.best, state = TrainingState(config.learning_rate), copied(trained), ModelState.of(trained)
        if self.checkpoint is not None and (kept := self.checkpoint.read((state, self.best), self._progress())):
            (state, self.best), progress = kept
            self.training = TrainingState(**progress["training"])
            shape = BlockShape(**progress["shape"])  # sums over other shapes may be rounded differently
            self.checkpoint.expect(self.loader.can_have(shape), "shapes of these samples are expected")
            self.loader.shape = shape
        everywhere = NamedSharding(self.mesh, PartitionSpec())  # type: ignore[no-untyped-call]
        self.state, self.constants = jax.device_put((state, constants), everywhere)
        self.sums = program.zeros()  # totals of the steps since the last validation

    def run(self) -> tuple[Arrays, History]:
        """Train.

        Returns:
            The trained arrays with the best validation, and one record per validation.
        """
        show, was_ended = self.config.show_progress_bar, self.training.ended
        with (
            prefetched(_events(self.loader, self.config, self.training.epoch, self.mesh)) as events,
            progress_bar("Training", unit="steps", total=self.n_batches, show=show) as bar,
        ):
            while not self.training.ended:
                event = next(events)
                if isinstance(event, Block):
                    _show_epoch(bar, self.training.epoch)
                    bar.update(self._take_steps(event))
                    continue
                self.training.epoch += event.ends_epoch
                is_last = event.ends_epoch and self.training.epoch == self.config.max_epochs
                if event.validates or (is_last and not self.training.history):
                    bar.set_postfix({name: f"{value:.3f}" for name, value in self._validate().items()})
                if event.ends_epoch:
                    self._finish_epoch()
        if not was_ended:
            self._write_checkpoint()  # until the model is saved, this is all that there is of it
        return self.best, self.training.history

    def _take_steps(self, block: Block) -> int:
        """Take a step for each batch of a block, and return the number of steps."""
        n_steps, lr = int(block.n_batches), jnp.float32(self.training.learning_rate)
        self.state, totals = run_steps(self.program, self.state, self.constants, block, lr)
        self.sums = jax.tree.map(jnp.add, jax.block_until_ready(self.sums), totals)  # type: ignore[no-untyped-call]
        self.training.step += n_steps
        return n_steps

    def _validate(self) -> dict[str, float]:
        """Measure the model, record the result, and keep the state if it is the best so far."""
        arrays, training = self.constants | self.state.trained, self.training
        found = [measure(self.program, arrays, block) for block in self.held_out]
        metrics = _means("train", self.sums) | _means("val", jax.tree.map(lambda *parts: sum(parts), *found))
        monitored = metrics["val_accuracy"] if self.program.objective.is_classification else -metrics["val_loss"]
        if self.measured is not None:
            measures = self.measured(self.state.trained)
            monitored = next(iter(measures.values()))
            metrics |= {f"val_{name}": value for name, value in measures.items()}
        epoch = -(-training.step // self.n_batches)
        record = {"epoch": epoch, "step": training.step, "learning_rate": training.learning_rate, **metrics}
        if training.record_validation(record, monitored, self.config):
            self.best = copied(self.state.trained)
        self.sums = self.program.zeros()
        return metrics

    def _finish_epoch(self) -> None:
        self.training.finish_epoch(self.config)
        if not self.training.ended:
            self._write_checkpoint()

    def _write_checkpoint(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.write((self.state, self.best), self._progress())

    def _progress(self) -> dict[str, dict[str, Any]]:
        return {"training": asdict(self.training), "shape": asdict(self.loader.shape)}


def _events(loader: BatchLoader, config: TrainConfig, epoch: int, mesh: Mesh) -> Iterator[Block | SyncPoint]:
    """Blocks in random order, epoch after epoch without end, and the points between them to validate at."""
    n = len(loader.samples)
    interval = validation_interval(config, n, loader.batch_size)
    n_batches = -(-n // loader.batch_size)
    for number in itertools.count(epoch):
        rng = np.random.default_rng([config.random_seed, number])
        order = loader.samples.order(rng)
        first = number * n_batches  # steps before this epoch
        stops = range(interval - first % interval, n_batches, interval) if interval else []
        for start, stop in itertools.pairwise([0, *stops, n_batches]):
            for block in loader.blocks(order, rng, start=start * loader.batch_size, stop=stop * loader.batch_size):
                yield _placed(block, mesh)
            ends = stop == n_batches
            yield SyncPoint(not ends or not interval or (first + stop) % interval == 0, ends)


def _placed(block: Block, mesh: Mesh) -> Block:
    """A block on the devices: each has its part of the samples."""
    specs = PartitionSpec(), PartitionSpec(None, *mesh.axis_names)  # type: ignore[no-untyped-call]
    everywhere, split = (partial(jax.device_put, device=NamedSharding(mesh, spec)) for spec in specs)
    ids, *others = block.tokens
    tokens = TokenBatch(everywhere(ids), *map(split, others))
    return Block(tokens, split(block.valid), split(block.targets), everywhere(block.n_batches))


def _means(prefix: str, totals: Totals) -> dict[str, float]:
    return {f"{prefix}_{name}": float(total) / max(float(count), 1e-30) for name, (total, count) in totals.items()}


def _show_epoch(bar: Any, epoch: int) -> None:
    """Label the progress bar, and restart it for a new epoch; after the last epoch it stays full."""
    if bar.n == bar.total:
        bar.reset()
    bar.set_description(f"Epoch {epoch + 1}", refresh=False)


@contextmanager
def prefetched(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Iterate over items; a thread makes the next one while one is in use.

    Example:
        >>> with prefetched(iter([1, 2, 3])) as numbers:
        ...     list(numbers)
        [1, 2, 3]
    """
    with ThreadPoolExecutor(1) as thread:

        def stream() -> Iterator[T]:
            following = thread.submit(next, items, None)
            while (item := following.result()) is not None:
                following = thread.submit(next, items, None)
                yield item

        yield stream()
