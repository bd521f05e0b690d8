"""The state of training on disk, after each epoch, to go on from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_train.config import TrainConfig
from m2v_train.engine.batches import Samples

FILE = "training.safetensors"

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the state of training.

    Attributes:
        path: Where it is.
        run: A digest of all that decides how training goes, so that one run is never taken for another.
    """

    path: Path
    run: str

    @classmethod
    def of(cls, config: TrainConfig, program: object, state: Any, *data: Samples) -> Checkpoint:
        """The checkpoint of a run in `config.checkpoint_dir`."""
        decisive = asdict(config)
        for name in ("checkpoint_dir", "device", "show_progress_bar"):
            del decisive[name]
        digest = hashlib.sha256(json.dumps([decisive, repr(program)], sort_keys=True, default=str).encode())
        for samples in data:
            targets = samples.targets(np.arange(len(samples)))
            for array in (samples.texts.ids, samples.texts.ends, samples.places, targets):
                digest.update(np.ascontiguousarray(array).data)
        for leaf in jax.tree.leaves(state):
            digest.update(np.ascontiguousarray(leaf).data)
        return cls(Path(str(config.checkpoint_dir)) / FILE, digest.hexdigest())

    def write(self, state: Any, best: Any, progress: dict[str, Any]) -> None:
        """Write the state in one step: whoever reads finds the last one or this one, whole."""
        leaves = jax.tree.leaves((state, best))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        arrays = {str(i): np.array(leaf, order="C") for i, leaf in enumerate(leaves)}
        save_file(arrays, part, metadata={"run": self.run, "progress": json.dumps(progress)})
        part.replace(self.path)

    def read(self, state: Tree, best: Any) -> tuple[Tree, Any, dict[str, Any]] | None:
        """What was written: a state and a best one of the structure given, and the progress; `None` if nothing was.

        Raises:
            InvalidInputError: It is of another run.
            ModelFormatError: It is damaged.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("run") != self.run:
                    raise InvalidInputError(
                        f"{self.path}: expected the state of the same training (data, options, model); found that of "
                        f"another. Choose another checkpoint_dir, or remove the file to start anew."
                    )
                like, structure = jax.tree.flatten((state, best))
                leaves = [file.get_tensor(str(i)) for i in range(len(like))]
                progress = json.loads(metadata["progress"])
        except (SafetensorError, ValueError, KeyError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise ModelFormatError(f"{self.path} is damaged ({error}). Remove it to start anew.") from None
        state, best = jax.tree.unflatten(structure, [jax.numpy.asarray(leaf) for leaf in leaves])
        return state, best, progress

    def remove(self) -> None:
        """Training is done."""
        self.path.unlink(missing_ok=True)
