"""The settings of training: listed once, checked once, and carried along as one frozen record."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict

from m2v_core import checks
from m2v_core.aliases import renamed
from m2v_core.devices import device_name
from m2v_core.errors import InvalidInputError

MaxLength = int | None | Literal["model"]


class TrainOptions(TypedDict, total=False):
    """The keywords of every estimator, for editors and type checkers; see `TrainConfig`."""

    n_layers: int
    hidden_dim: int
    freeze: bool
    normalize: bool
    freeze_weights: bool | None
    max_length: MaxLength
    learning_rate: float
    batch_size: int | None
    min_epochs: int | None
    max_epochs: int | None
    early_stopping_patience: int | None
    test_size: float | int
    validation_steps: int | None
    random_seed: int
    token_dropout: float
    device: Any
    checkpoint_dir: str | os.PathLike[str] | None
    show_progress_bar: bool | None


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of training, checked.

    Attributes:
        n_layers: Hidden layers of the head, each with a ReLU. With 0 it is one linear layer, or where the outputs of
            vectors are as wide as the table, none.
        hidden_dim: Their width.
        freeze: Leave the table as it is, and train the head alone.
        normalize: Scale a text's vector to unit length before the head.
        freeze_weights: `None` trains the tokens' weights if the model has some; False trains weights that start at 1 if
            it has none; True leaves them as they are.
        max_length: Tokens of a text that count; `None` for all, "model" for the model's setting.
        learning_rate: Of Adam, at first: it is halved when the validation loss stands still for more than three epochs.
        batch_size: Texts of a step. `None` chooses 32 to 512 of them, a thirtieth of all.
        min_epochs: Epochs before training may stop early.
        max_epochs: Epochs at the most; -1 or `None` for no limit but early stopping.
        early_stopping_patience: Validations in a row without progress after which training stops; `None` goes on.
        test_size: What is held out for validation where none is given: a share (10,000 texts at the most), or a number.
        validation_steps: Steps between two validations. `None` for once an epoch, or four times in epochs of more than
            1,000 steps, and never closer than 250 steps.
        random_seed: Of the split, the head's first weights, the order of texts and dropout.
        token_dropout: The share of a text's tokens that a step leaves out, at random.
        device: "auto" or `None` for all devices of the best kind that JAX finds, or "cpu", "gpu", "tpu", "gpu:1"; or a
            device of PyTorch, for the one of that name.
        checkpoint_dir: A folder to write the state of training into after each epoch. The same `fit` goes on from it.
        show_progress_bar: On stderr; `None` shows it on a terminal only.
    """

    n_layers: int = 1
    hidden_dim: int = 512
    freeze: bool = False
    normalize: bool = True
    freeze_weights: bool | None = None
    max_length: MaxLength = "model"
    learning_rate: float = 1e-3
    batch_size: int | None = None
    min_epochs: int | None = None
    max_epochs: int | None = -1
    early_stopping_patience: int | None = 5
    test_size: float | int = 0.1
    validation_steps: int | None = None
    random_seed: int = 42
    token_dropout: float = 0.0
    device: Any = "auto"
    checkpoint_dir: str | os.PathLike[str] | None = None
    show_progress_bar: bool | None = None

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """All options by name."""
        return {f.name: f.default for f in fields(cls)}

    def __post_init__(self) -> None:
        if self.max_length != "model":
            checks.whole("max_length", self.max_length, 1, or_none=True)
        self._whole("n_layers", 0)
        self._whole("hidden_dim", 1)
        for name in ("batch_size", "early_stopping_patience", "validation_steps"):
            self._whole(name, 1, or_none=True)
        self._whole("min_epochs", 0, or_none=True)
        self._whole("max_epochs", -1, or_none=True)
        self._whole("random_seed", 0)
        for name in ("freeze", "normalize"):
            self._expect(isinstance(getattr(self, name), bool), name, "True or False")
        self._expect(self.freeze_weights in (None, True, False), "freeze_weights", "True, False or None")
        self._number("learning_rate", "a number above 0", above=0)
        self._number("token_dropout", "a share from 0 to below 1", least=0, below=1)
        device_name(self.device)

    def _whole(self, name: str, least: int, *, or_none: bool = False) -> None:
        value = getattr(self, name)
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        expected = f"a whole number, {least} or more" + (", or None" if or_none else "")
        self._expect(fits or (or_none and value is None), name, expected)

    def _number(
        self, name: str, expected: str, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
    ) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        self._expect(number and above < value < below and value >= least, name, expected)

    def _expect(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise InvalidInputError(f"{name} should be {expected}; found {getattr(self, name)!r}.")


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TrainConfig):
    """Settings of a classifier.

    Attributes:
        class_weight: How much each class counts in the loss: `None` for the same, "balanced" for the inverse of its
            frequency, or a mapping. With lists of labels it counts for the texts that have the class.
        focal_gamma: The exponent of the focal loss (Lin et al., "Focal Loss for Dense Object Detection", 2017); 0 is
            cross-entropy.
        token_dropout: As in `TrainConfig`. By default a tenth: with that, classifiers are better than without.
    """

    class_weight: Any = None
    focal_gamma: float = 0.0
    token_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("focal_gamma", "a number, 0 or more", least=0)


@dataclass(frozen=True, kw_only=True)
class PairConfig(TrainConfig):
    """Settings of training on pairs.

    Attributes:
        out_dim: The width of the vectors; `None` for that of the table.
        temperature: By which cosines are divided in the loss.
    """

    out_dim: int | None = None
    temperature: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        self._whole("out_dim", 1, or_none=True)
        self._whole("batch_size", 2, or_none=True)
        self._number("temperature", "a number above 0", above=0)


def named_options(options: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Options by our names (see `m2v_core.aliases`); any other is a `TypeError`, which names what is near."""
    options = renamed(options, known)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"There is no option {name!r}.{hint}")
    return options
