"""`Teacher`: a sentence transformer's encoder, loaded and ready to run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2v_core.errors import InvalidInputError
from m2v_core.files import read_json
from m2v_distill.hf import load_config
from m2v_distill.teacher.registry import family_of
from m2v_distill.teacher.source import TeacherSource, find_teacher
from m2v_distill.teacher.weights import Checkpoint, fill, open_checkpoint, weights_file


@dataclass(frozen=True)
class Teacher:
    """A teacher's encoder with its weights, on the host as float32.

    Attributes:
        module: The family's Flax module: called with ids [B, L] and mask [B, L] it gives the last hidden states
            [B, L, H]; `hidden_states` gives all of them, and `pool` the pooler's output [B, H].
        source: Its files, name, language and licence.

    Example:
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> teacher.hidden_size, teacher.max_length
        (24, 40)
    """

    module: Any
    source: TeacherSource

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], *, token: str | None = None, revision: str | None = None
    ) -> Teacher:
        """Load a teacher from a folder or the Hugging Face Hub; weights are read from safetensors.

        Raises:
            ModelNotFoundError: There is no such teacher, or it has no safetensors.
            ModelFormatError: Its architecture is unknown, or its weights do not fit it.
        """
        source = find_teacher(name_or_path, token=token, revision=revision)
        raw = read_json(source.folder / "config.json")
        family = family_of(raw.get("model_type"), str(source.folder / "config.json"))
        config = raw if family.raw else load_config(source.folder)
        return cls(_encoder(config, open_checkpoint(source.folder), str(weights_file(source.folder))), source)

    @classmethod
    def from_transformers(cls, model: Any) -> Teacher:
        """A teacher with the weights of a loaded PyTorch model of transformers, which is left as it is.

        Raises:
            InvalidInputError: It is not such a model.
            ModelFormatError: Its architecture is unknown, or its weights do not fit it.
        """
        if not (hasattr(model, "state_dict") and hasattr(model, "config")):
            raise InvalidInputError(
                f"Expected a Teacher, or a model of transformers (with config and state_dict); "
                f"found {type(model).__name__}."
            )
        tensors = {name: _host_copy(tensor) for name, tensor in model.state_dict().items()}
        path = str(getattr(model, "name_or_path", "") or "")
        source = (
            find_teacher(path) if path and Path(path).is_dir() else TeacherSource(Path(), path or type(model).__name__)
        )
        return cls(_encoder(model.config.to_dict(), tensors, type(model).__name__), source)

    @property
    def name(self) -> str:
        """The Hub id, or the folder's name."""
        return self.source.name

    @property
    def hidden_size(self) -> int:
        """H, the width of the hidden states."""
        return int(self.module.config.width)

    @property
    def vocab_size(self) -> int:
        """The number of ids that it knows."""
        return int(self.module.config.vocab_size)

    @property
    def max_length(self) -> int | None:
        """The longest sequence of ids that it takes; `None` for no limit."""
        limit: int | None = self.module.config.max_length
        return limit

    @property
    def has_pooler(self) -> bool:
        """Whether its checkpoint has a pooler."""
        return bool(self.module.config.pooler)


def _host_copy(tensor: Any) -> Any:
    return lambda: tensor.detach().cpu().float().numpy()


def _encoder(config: dict[str, Any], checkpoint: Checkpoint, where: str) -> Any:
    family = family_of(config.get("model_type"), where)
    pooler = family.pooler is not None and family.table.prefix_of(checkpoint) + family.pooler in checkpoint
    settings = family.config(config, pooler=pooler)
    return fill(lambda: family.module(settings), checkpoint, family.table, where)
