"""Options of training: the only list of them, checked when a config is made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from m2v_core import checks
from m2v_core.devices import device_name
from m2v_core.options import option, or_none

MaxLength = int | None | Literal["model"]


def count_or_model(text: str) -> MaxLength:
    """Parse a maximum length; the name of the function is part of argparse's error."""
    return "model" if text == "model" else or_none(int)(text)


def count_or_fraction(text: str) -> float | int:
    """Parse a number of examples, or with a point in it a fraction of them."""
    return float(text) if "." in text else int(text)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Options of training.

    Attributes:
        n_layers: Number of hidden layers of the head, each with a ReLU. With 0 the head is one linear layer; if its
            outputs are vectors as wide as the table, there is no head.
        hidden_dim: Size of the hidden layers.
        freeze: Keep the table fixed, and train the head only.
        normalize: Scale text vectors to unit length before the head.
        freeze_weights: `None` trains token weights if the model has them; False also trains weights that start at 1 if
            the model has none; True keeps weights fixed.
        max_length: Maximum number of tokens per text; `None` for no limit, "model" for the model's setting.
        learning_rate: Initial learning rate of Adam. It is halved when the validation loss reaches a plateau.
        batch_size: Number of texts per step. `None` chooses a thirtieth of the texts, from 32 to 512.
        min_epochs: Number of epochs before early stopping may end training.
        max_epochs: Maximum number of epochs; -1 or `None` for no limit but early stopping.
        early_stopping_patience: Number of validations in a row without progress after which training stops; `None`
            disables early stopping.
        test_size: Examples held out for validation if none are given: a fraction (10,000 texts at most) or a number.
        validation_steps: Number of steps between validations. `None` validates once per epoch, or up to four times in
            epochs of more than 250 steps, at least 250 steps apart.
        random_seed: Seed of the split, the head's initial weights, the order of texts and token dropout.
        token_dropout: Fraction of each text's tokens that a step leaves out at random.
        device: "auto" or `None` for all devices of the best kind that JAX finds; "cpu", "gpu" or "tpu" for all of that
            kind; "gpu:1" for one of them; or a PyTorch device, for the one of that name.
        checkpoint_dir: Folder for the state of training, written after each epoch; the same `fit` continues from it.
            The last state stays, until another training replaces it.
        show_progress_bar: Show a progress bar on stderr; `None` shows it on a terminal only.
    """

    n_layers: int = option(1, "hidden layers of the head", parse=int, metavar="N")
    hidden_dim: int = option(512, "size of the hidden layers", parse=int, metavar="N")
    freeze: bool = option(False, "keep the table fixed, and train the head only")  # noqa: FBT003
    normalize: bool = option(True, "do not scale text vectors to unit length before the head")  # noqa: FBT003
    freeze_weights: bool | None = option(
        None,
        "keep token weights fixed; no-: also train weights if the model has none (default: train those that it has)",
        pair=True,
    )
    max_length: MaxLength = option(
        "model", "maximum tokens per text, or none (default: the model's)", parse=count_or_model, metavar="N"
    )
    learning_rate: float = option(1e-3, "initial learning rate of Adam", parse=float, metavar="RATE")
    batch_size: int | None = option(
        None, "texts per step (default: a thirtieth of them, from 32 to 512)", parse=or_none(int), metavar="N"
    )
    min_epochs: int | None = option(
        None, "epochs before early stopping may end training", parse=or_none(int), metavar="N"
    )
    max_epochs: int | None = option(
        -1, "maximum number of epochs; -1: until early stopping (default: -1)", parse=or_none(int), metavar="N"
    )
    early_stopping_patience: int | None = option(
        5, "validations without progress after which training stops; none: never", parse=or_none(int), metavar="N"
    )
    test_size: float | int = option(
        0.1,
        "examples held out for validation without --val: a fraction, or a number",
        parse=count_or_fraction,
        metavar="SIZE",
    )
    validation_steps: int | None = option(
        None, "steps between validations (default: about an epoch)", parse=or_none(int), metavar="N"
    )
    random_seed: int = option(42, "seed of all random choices", flag="--seed", parse=int, metavar="N")
    token_dropout: float = option(0.0, "fraction of tokens left out at random", parse=float, metavar="FRACTION")
    device: Any = option("auto", "cpu, gpu, tpu, gpu:1 (default: all of the best kind that JAX finds)")
    checkpoint_dir: str | os.PathLike[str] | None = option(
        None, "folder for the state of training; the same command continues from it", metavar="DIR"
    )
    show_progress_bar: bool | None = None

    def __post_init__(self) -> None:
        checks.whole("n_layers", self.n_layers)
        checks.whole("hidden_dim", self.hidden_dim, 1)
        checks.flag("freeze", self.freeze)
        checks.flag("normalize", self.normalize)
        checks.flag("freeze_weights", self.freeze_weights, or_none=True)
        if not (isinstance(self.max_length, str) and self.max_length == "model"):
            checks.whole("max_length", self.max_length, 1, or_none=True)
        checks.number("learning_rate", self.learning_rate, above=0)
        for name in ("batch_size", "early_stopping_patience", "validation_steps"):
            checks.whole(name, getattr(self, name), 1, or_none=True)
        checks.whole("min_epochs", self.min_epochs, or_none=True)
        checks.whole("max_epochs", self.max_epochs, -1, or_none=True)
        check_test_size(self.test_size)
        checks.whole("random_seed", self.random_seed)
        checks.number("token_dropout", self.token_dropout, least=0, below=1)
        device_name(self.device)
        checks.flag("show_progress_bar", self.show_progress_bar, or_none=True)


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TrainConfig):
    """Options of training a classifier, beside those of `TrainConfig`.

    Attributes:
        class_weight: Loss weight of each class: `None` for equal weights, "balanced" for the inverse of a class's
            frequency, or a mapping. For lists of labels, weights apply to the texts that have the class.
        focal_gamma: Exponent of the focal loss (Lin et al., "Focal Loss for Dense Object Detection", 2017); 0 for
            cross-entropy.
        token_dropout: As in `TrainConfig`, but 0.1 by default, which makes classifiers better.
    """

    class_weight: Any = option(
        None,
        "loss weight of each class: balanced, for the inverse of its frequency; or a JSON file of {class: weight} "
        "(default: equal)",
        metavar="WEIGHTS",
    )
    focal_gamma: float = option(0.0, "exponent of the focal loss; 0: cross-entropy", parse=float, metavar="GAMMA")
    token_dropout: float = option(0.1, "fraction of tokens left out at random", parse=float, metavar="FRACTION")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("focal_gamma", self.focal_gamma, least=0)


@dataclass(frozen=True, kw_only=True)
class PairConfig(TrainConfig):
    """Options of training on pairs, beside those of `TrainConfig`.

    Attributes:
        out_dim: Dimensions of the trained vectors; `None` for those of the table.
        temperature: InfoNCE temperature.
        matryoshka_dims: Numbers of first dimensions of which each alone should be good, such as `(256, 128, 64, 32)`:
            the loss is the sum over them (Kusupati et al., "Matryoshka Representation Learning", 2022). `None` for all
            dimensions alone.
        initial_share: Share of the table before training in the one after it, which is their weighted mean: 0.5 for the
            plain mean (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022). It keeps what the model was
            good at. Only for a fit without a head.
        tokens_dir: Folder for the token ids of texts in files (`m2v_train.FileColumn`); the next `fit` with the same
            files and tokenizer reads them there. `None` for a temporary folder, removed at the end.
    """

    out_dim: int | None = option(
        None, "dimensions of the trained vectors (default: the model's)", parse=or_none(int), metavar="N"
    )
    temperature: float = option(0.05, "InfoNCE temperature", parse=float, metavar="T")
    matryoshka_dims: Sequence[int] | None = option(
        None, "numbers of first dimensions of which each alone should be good", parse=int, metavar="N", nargs="+"
    )
    initial_share: float = option(
        0.0, "share of the table before training in the one after it", parse=float, metavar="SHARE"
    )
    tokens_dir: str | os.PathLike[str] | None = option(
        None, "folder for token ids: examples are read in parts, and may be larger than memory", metavar="DIR"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("out_dim", self.out_dim, 1, or_none=True)
        check_prefixes(self.matryoshka_dims)
        checks.number("initial_share", self.initial_share, least=0, below=1)
        checks.whole("batch_size", self.batch_size, 2, or_none=True)
        checks.number("temperature", self.temperature, above=0)


def check_prefixes(dims: Any, most: int | None = None) -> None:
    """Raise `InvalidInputError` unless Matryoshka dimensions are `None`, or different whole numbers from 1 to `most`.

    Example:
        >>> check_prefixes((256, 64)), check_prefixes(None)
        (None, None)
    """
    if dims is None:
        return
    listed = list(dims) if isinstance(dims, list | tuple) else []
    whole = all(type(dim) is int and 1 <= dim <= (most or dim) for dim in listed)
    size = "1 or more" if most is None else f"from 1 to {most}, the dimensions of the trained vectors"
    fits = bool(listed) and whole and len(set(listed)) == len(listed)
    checks.expect(fits, "matryoshka_dims", f"a list of different whole numbers, {size}, or None", dims)


def check_test_size(size: Any, n: int | None = None) -> None:
    """Raise `InvalidInputError` unless a size is a fraction between 0 and 1, or a number of rows below n.

    Example:
        >>> check_test_size(0.1), check_test_size(3, 10)
        (None, None)
    """
    if isinstance(size, float | np.floating):
        fits = bool(0 < size < 1)
    else:
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        fits = whole and size >= 1 and (n is None or bool(size < n))
    most = "1 up" if n is None else f"1 to {n - 1}"
    checks.expect(fits, "test_size", f"a fraction above 0 and below 1, or a number of rows from {most}", size)
