"""The state of training on disk, from which an interrupted `fit` continues."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.storage.atomic import replaced_file
from m2v_core.storage.tensor_file import checksum, read_all
from m2v_core.storage.tensor_pieces import serialized
from m2v_train.config import TrainConfig
from m2v_train.data.stored import AnySamples

logger = logging.getLogger("m2v_train")

FILE = "training.safetensors"

#: Options that have no influence on the result.
_NEUTRAL = ("checkpoint_dir", "device", "show_progress_bar", "tokens_dir")

#: Whole numbers of the progress, such as steps, are below this.
_MOST = 1 << 40

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the state of one training run.

    Attributes:
        path: Path of the file.
        run: Digest of everything that the result depends on, so that one run is never mistaken for another.
    """

    path: Path
    run: str

    @classmethod
    def of(cls, config: TrainConfig, program: object, arrays: Any, *data: AnySamples) -> Checkpoint:
        """The checkpoint of a run in `config.checkpoint_dir`.

        Args:
            config: Options.
            program: Anything whose `repr` tells what is computed.
            arrays: All arrays before the first step.
            *data: Training and validation samples.
        """
        options = {name: value for name, value in asdict(config).items() if name not in _NEUTRAL}
        digest = hashlib.sha256(json.dumps([options, repr(program)], sort_keys=True, default=str).encode())
        for array in chain.from_iterable(samples.digested() for samples in data):
            digest.update(np.ascontiguousarray(array).data)
        for leaf in jax.tree.leaves(arrays):
            digest.update(np.ascontiguousarray(leaf).data)
        return cls(Path(str(config.checkpoint_dir)) / FILE, digest.hexdigest())

    def write(self, arrays: Any, progress: dict[str, Any]) -> None:
        """Replace the file as a whole: a reader finds the previous state or this one.

        Args:
            arrays: A tree of arrays.
            progress: All else, as JSON.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        leaves = {str(i): np.array(leaf, order="C") for i, leaf in enumerate(jax.tree.leaves(arrays))}
        with replaced_file(self.path, "wb") as file:
            text = json.dumps(progress)
            metadata = {"run": self.run, "progress": text, "sha256": checksum(leaves, text)}
            file.write(serialized(leaves, metadata))

    def read(self, like: Tree, progress_like: Mapping[str, Mapping[str, Any]]) -> tuple[Tree, dict[str, Any]] | None:
        """Read the arrays and the progress; `None` if there is no file, or that of another run which has ended.

        Args:
            like: Arrays in the same structure.
            progress_like: Progress before the first step; no whole number of it is less later.

        Raises:
            InvalidInputError: The file is of another run, which has not ended.
            ModelFormatError: The file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            leaves, metadata = read_all(self.path)
        except ModelFormatError as error:
            raise ModelFormatError(f"{error} The file is damaged: remove it to start again.") from None
        text = metadata.get("progress", "")
        self.expect(metadata.get("sha256") == checksum(leaves, text), "the checksum does not match")
        progress = _parsed(text)
        self.expect(progress is not None, "the progress of a training is expected")
        if metadata.get("run") != self.run:
            if progress["training"]["ended"]:
                logger.warning("%s: the state of another training, which has ended, is replaced", self.path)
                return None
            raise InvalidInputError(
                f"{self.path}: expected the state of the same training (data, options, model); found that of "
                f"another. Choose another checkpoint_dir, or remove the file to start again."
            )
        initial, structure = jax.tree.flatten(like)
        arrays = [leaves.get(str(i), np.zeros(0)) for i in range(len(initial))]
        fit = [
            array.shape == leaf.shape and array.dtype == leaf.dtype for array, leaf in zip(arrays, initial, strict=True)
        ]
        self.expect(len(leaves) == len(initial) and all(fit), "the arrays of this training are expected")
        self.expect(_is_like(progress, progress_like), "the progress of this training is expected")
        return jax.tree.unflatten(structure, list(map(jax.numpy.asarray, arrays))), progress

    def expect(self, holds: bool, what: str) -> None:
        """Raise `ModelFormatError`, which says what is wrong with the file, unless something holds."""
        if not holds:
            raise ModelFormatError(f"{self.path}: {what}. The file is damaged: remove it to start again.")


def _parsed(text: str) -> Any:
    """The progress of some training; `None` if it is none."""
    try:
        found = json.loads(text)
        return found if isinstance(found["training"]["ended"], bool) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_like(found: Any, like: Any) -> bool:
    """Whether values are of the same kinds as those of a training that begins."""
    if isinstance(like, Mapping):
        return (
            isinstance(found, dict) and found.keys() == like.keys() and all(_is_like(found[x], like[x]) for x in like)
        )
    if isinstance(like, list):  # records of numbers
        records = found if isinstance(found, list) else [None]
        return all(isinstance(x, dict) and {type(value) for value in x.values()} <= {int, float} for x in records)
    if type(like) is int:
        return type(found) is int and like <= found < _MOST
    return type(found) in (int, float) if type(like) is float else type(found) is type(like)


def discard(checkpoint_dir: str | os.PathLike[str]) -> None:
    """Remove the state of a training, which is needed until its result is saved."""
    (Path(checkpoint_dir) / FILE).unlink(missing_ok=True)
