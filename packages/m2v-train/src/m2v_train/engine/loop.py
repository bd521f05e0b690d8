"""Training from start to end: epochs, validation, early stopping, the best state."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float32, Integer
from tqdm import tqdm

from m2v_train.config import TrainConfig
from m2v_train.engine.batches import Block, Samples, Shape, Tables, first_shape, make_block
from m2v_train.engine.checkpoint import Checkpoint
from m2v_train.engine.optimizer import Lag
from m2v_train.engine.steps import Program, State, Values, all_caught_up, measure, run_steps, values_of

#: Validation counts as progress if the monitored metric is better by this much.
MIN_DELTA = 1e-3

#: The learning rate is multiplied by FACTOR, down to MIN_LEARNING_RATE, after more than PATIENCE epochs in which the
#: validation loss did not fall by the share THRESHOLD.
FACTOR, PATIENCE, THRESHOLD, MIN_LEARNING_RATE = 0.5, 3, 0.03, 1e-6

T = TypeVar("T")


@dataclass
class Course:
    """How far training is, and how it went: all of its state but the arrays.

    Attributes:
        learning_rate: Now.
        epoch: How many are done.
        step: How many are done.
        best: The monitored metric of the best state, the higher the better.
        goal: The metric from which early stopping measures progress.
        waited: Validations since.
        plateau: The validation loss from which the learning rate's schedule measures progress.
        flat_epochs: Epochs since.
        history: What each validation found.
        ended: Whether training stopped.
    """

    learning_rate: float
    epoch: int = 0
    step: int = 0
    best: float = -math.inf
    goal: float = -math.inf
    waited: int = 0
    plateau: float = math.inf
    flat_epochs: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False

    def validated(self, found: dict[str, Any], score: float, config: TrainConfig) -> bool:
        """Take note of a validation, and whether to stop; whether its state is the best so far.

        Args:
            found: An entry of the history.
            score: The monitored metric, the higher the better.
            config: Says when to stop.
        """
        self.history.append(found)
        if score > self.goal + MIN_DELTA:
            self.goal, self.waited = score, 0
        else:
            self.waited += 1
        patience = config.early_stopping_patience
        self.ended = patience is not None and self.waited >= patience and self.epoch >= (config.min_epochs or 0)
        is_best = score > self.best
        self.best = max(score, self.best)
        return is_best

    def scheduled(self, config: TrainConfig) -> None:
        """After an epoch, lower the learning rate if the validation loss stands still, and stop after the last one."""
        if config.max_epochs is not None and 0 <= config.max_epochs <= self.epoch:
            self.ended = True
        loss = self.history[-1]["val_loss"] if self.history else math.inf
        if loss < self.plateau * (1 - THRESHOLD):
            self.plateau, self.flat_epochs = loss, 0
        elif self.history:
            self.flat_epochs += 1
        if self.flat_epochs > PATIENCE:
            self.learning_rate, self.flat_epochs = max(self.learning_rate * FACTOR, MIN_LEARNING_RATE), 0


class Steps(NamedTuple):
    """Batches to take steps on."""

    block: Block
    n_steps: int


class Pause(NamedTuple):
    """A point between steps at which all rows are brought up to date."""

    lag: Lag | None
    weight_lag: Lag | None
    validates: bool
    ends_epoch: bool


def batch_size_of(config: TrainConfig, n: int) -> int:
    """How many of `n` samples make a batch: a thirtieth in multiples of 32, up to 512, if it is left open.

    Example:
        >>> batch_size_of(TrainConfig(), 9000), batch_size_of(TrainConfig(batch_size=7), 9000)
        (288, 7)
    """
    return config.batch_size or 32 * int(min(max(1, n / 30 // 32), 16))


def validation_interval(config: TrainConfig, n: int, batch_size: int) -> int | None:
    """Steps between validations; `None` for once an epoch.

    Example:
        >>> validation_interval(TrainConfig(), 9000, 288), validation_interval(TrainConfig(), 1_000_000, 512)
        (None, 488)
    """
    n_batches = n // batch_size
    automatic = max(250, n_batches // 4) if n_batches > 250 else None
    return config.validation_steps or automatic


def train(
    program: Program,
    state: State,
    tables: Tables,
    samples: Samples,
    validation: Samples,
    class_weights: Float32[np.ndarray, " C"],
    config: TrainConfig,
    mesh: Mesh,
) -> tuple[Values, list[dict[str, Any]]]:
    """Train until it no longer helps.

    Args:
        program: What is trained, and by which loss.
        state: To begin with.
        tables: How tokens read the table.
        samples: To train on.
        validation: To choose the best state by, and the end.
        class_weights: See `Task.totals`.
        config: All options.
        mesh: Devices, in one axis, that share each batch.

    Returns:
        The values of the state with the best validation, and what each validation found.
    """
    batch_size = batch_size_of(config, len(samples))
    n_batches = -(-len(samples) // batch_size)
    everywhere = NamedSharding(mesh, PartitionSpec())  # type: ignore[no-untyped-call]
    still = replace(tables, clock=None, weight_clock=None)
    shape, val_shape = (first_shape(some, batch_size, mesh.size) for some in (samples, validation))
    held_out = list(_blocks(validation, np.arange(len(validation)), batch_size, val_shape, still, mesh))
    checkpoint = (
        None
        if config.checkpoint_dir is None
        else Checkpoint.of(config, replace(program, graph=None), state, samples, validation)
    )
    course, best = Course(config.learning_rate), values_of(state)
    if checkpoint is not None and (kept := checkpoint.read(state, best)) is not None:
        state, best, course = kept[0], kept[1], Course(**kept[2]["course"])
        shape = Shape(**kept[2]["shape"])  # in other shapes, sums may be rounded in another way
        for clock in tables.clocks:
            clock.resume(course.step)
    state = jax.device_put(state, everywhere)
    events = _events(samples, batch_size, shape, tables, mesh, config, course.epoch)
    hidden = None if config.show_progress_bar is None else not config.show_progress_bar
    sums: Any = None
    with ahead(events) as stream, tqdm(total=n_batches, unit=" steps", disable=hidden) as bar:
        while not course.ended:
            bar.set_description(f"Epoch {course.epoch + 1}", refresh=False)
            event, lr = next(stream), jnp.float32(course.learning_rate)
            if isinstance(event, Steps):
                state, totals = run_steps(program, state, event.block, jnp.int32(event.n_steps), lr, class_weights)
                sums = totals if sums is None else jax.tree.map(jnp.add, jax.block_until_ready(sums), totals)  # type: ignore[no-untyped-call]
                course.step += event.n_steps
                bar.update(event.n_steps)
                continue
            state = _up_to_date(state, event, lr)
            course.epoch += event.ends_epoch
            is_last = event.ends_epoch and course.epoch == config.max_epochs
            if event.validates or (is_last and not course.history):
                values = values_of(state)
                found: dict[str, Any] = {
                    "epoch": -(-course.step // n_batches),
                    "step": course.step,
                    "learning_rate": course.learning_rate,
                    **_means("train", sums),
                    **_means("val", _measured(program, values, held_out, class_weights)),
                }
                score = found["val_accuracy"] if program.task.monitored == "accuracy" else -found["val_loss"]
                best = values if course.validated(found, score, config) else best
                bar.set_postfix(
                    {name: f"{found[name]:.3f}" for name in found if "_" in name and name != "learning_rate"}
                )
                sums = None
            if event.ends_epoch:
                course.scheduled(config)
                bar.reset()
                if checkpoint is not None and not course.ended:
                    checkpoint.write(state, best, {"course": asdict(course), "shape": asdict(shape)})
    if checkpoint is not None:
        checkpoint.remove()
    return best, course.history


def _events(
    samples: Samples, batch_size: int, shape: Shape, tables: Tables, mesh: Mesh, config: TrainConfig, epoch: int
) -> Iterator[Steps | Pause]:
    """Batches in random order, epoch after epoch without end, and the pauses between them."""
    interval = validation_interval(config, len(samples), batch_size)
    n_batches = -(-len(samples) // batch_size)
    for number in itertools.count(epoch):
        rng = np.random.default_rng([config.random_seed, number])
        order = rng.permutation(len(samples))
        first = number * n_batches  # the number of steps before this epoch
        checks = range(interval - first % interval, n_batches, interval) if interval else []
        start = 0
        for stop in [*checks, n_batches]:
            part = order[start * batch_size : stop * batch_size]
            yield from _blocks(samples, part, batch_size, shape, tables, mesh, config.token_dropout, rng)
            lag, weight_lag = (None if c is None else c.read_all() for c in (tables.clock, tables.weight_clock))
            ends = stop == n_batches
            yield Pause(lag, weight_lag, not ends or not interval or (first + stop) % interval == 0, ends)
            start = stop


def _blocks(
    samples: Samples,
    order: Integer[np.ndarray, " n"],
    batch_size: int,
    shape: Shape,
    tables: Tables,
    mesh: Mesh,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Iterator[Steps]:
    """Samples in an order, as blocks of batches on the devices."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for start in range(0, len(batches), shape.n_batches):
        part = batches[start : start + shape.n_batches]
        block = make_block(samples, part, shape, tables, dropout=dropout, rng=rng)
        yield Steps(_placed(block, mesh), len(part))


def _placed(block: Block, mesh: Mesh) -> Block:
    """A block on the devices: its texts are split among them."""
    specs = PartitionSpec(), PartitionSpec(None, *mesh.axis_names)  # type: ignore[no-untyped-call]
    everywhere, split = (NamedSharding(mesh, spec) for spec in specs)
    texts = {"tokens": split, "valid": split, "targets": split}
    places = {name: texts.get(name, everywhere) for name in Block._fields}
    return Block(**{name: jax.device_put(part, places[name]) for name, part in block._asdict().items()})


def _up_to_date(state: State, pause: Pause, lr: Array) -> State:
    """A state of which all rows are as Adam on the whole table would have left them."""
    table, weights = state.table, state.weights
    if pause.lag is not None:
        table = all_caught_up(table, pause.lag, lr)
    if pause.weight_lag is not None and weights is not None:
        weights = all_caught_up(weights, pause.weight_lag, lr)
    return state._replace(table=table, weights=weights)


def _measured(program: Program, values: Values, held_out: list[Steps], class_weights: Any) -> Any:
    """The sums of losses and metrics over validation samples."""
    parts = [measure(program, values, part.block, jnp.int32(part.n_steps), class_weights) for part in held_out]
    return jax.tree.map(lambda *sums: sum(sums), *parts)


def _means(prefix: str, sums: dict[str, Any]) -> dict[str, float]:
    return {f"{prefix}_{name}": float(total) / max(float(count), 1e-30) for name, (total, count) in sums.items()}


@contextmanager
def ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Items of which the next one is made in a thread while one is worked on.

    Example:
        >>> with ahead(iter([1, 2, 3])) as numbers:
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
