"""Where a teacher lies, and what its card says of language and licence."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from m2v_core.errors import MissingPackageError, ModelNotFoundError
from m2v_core.redact import redacted
from m2v_distill.teacher.torch_encoder import has_torch

#: What a teacher needs of its repository: configs, tokenizer (code of it is run only if trusted), weights, the card.
#: Pickled weights are fetched only where there are no others: see `_pickled`.
TEACHER_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.py", "README.md")
OTHER_FRAMEWORKS = ("onnx/*", "openvino/*", "coreml/*")


@dataclass(frozen=True)
class TeacherSource:
    """Attributes:
    folder: The teacher's files.
    name: What a student calls it: the Hub id, or the folder's name.
    language: Language codes of its card.
    license: Licence of its card.
    revision: Its commit on the Hub, if it comes from there.
    """

    folder: Path
    name: str
    language: tuple[str, ...] | None = None
    license: str | None = None
    revision: str | None = None


def find_teacher(
    name_or_path: str | os.PathLike[str], *, token: str | None = None, revision: str | None = None
) -> TeacherSource:
    """A teacher's files: a folder on this machine, else downloaded from (or cached of) the Hugging Face Hub.

    Raises:
        ModelNotFoundError: Neither has it.
        MissingPackageError: Its weights are pickled, and there is no PyTorch to read them.
    """
    folder, name = Path(name_or_path), os.fspath(name_or_path)
    if folder.is_dir():
        return TeacherSource(folder, folder.resolve().name, *_card(folder / "README.md"))
    from huggingface_hub import get_token, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def fetched(revision: str | None, patterns: Sequence[str]) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                token=token,
                allow_patterns=list(patterns),
                ignore_patterns=list(OTHER_FRAMEWORKS),
            )
        )

    try:
        folder = fetched(revision, TEACHER_FILES)
        if pickled := _pickled(folder):
            if not has_torch():
                _check_torch(name, folder.name, token, pickled)
            fetched(folder.name, pickled)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        first_line = str(error).partition("\n")[0]
        problem = f"{type(error).__name__}: {redacted(first_line, token, get_token())}"
    else:
        return TeacherSource(folder, name, *_card(folder / "README.md"), revision=folder.name)  # snapshots/<commit>
    raise ModelNotFoundError(  # outside of the handler: the original error, which may hold a token, is not its context
        f"{name!r} is neither a folder here (looked from {Path.cwd()}) nor a model that the Hugging Face Hub gave "
        f"({problem}). Check the spelling and the connection."
    )


def _pickled(folder: Path) -> list[str]:
    """Pickled weights of those parts of a teacher that came without safetensors, as patterns to fetch."""
    parts = {path.parent for path in folder.rglob("config.json") if "Pooling" not in path.parent.name}
    bare = [part.relative_to(folder) for part in sorted(parts) if not any(part.glob("model.safetensors*"))]
    return [(part / "pytorch_model*.bin").as_posix() for part in bare]


def _check_torch(name: str, revision: str, token: str | None, patterns: Sequence[str]) -> None:
    """Refuse to fetch gigabytes that nothing here reads."""
    from huggingface_hub import list_repo_files

    found: list[str] = []
    with suppress(Exception):  # without a connection, what is missing shows when weights are opened
        found = list_repo_files(name, revision=revision, token=token)
    if pickled := [path for path in found if any(fnmatch(path, pattern) for pattern in patterns)]:
        raise MissingPackageError(
            f"{name}: expected weights in safetensors; found {', '.join(pickled[:5])}, which is pickle and is read by "
            f"PyTorch alone: pip install m2v-distill[torch]. Or take a revision with safetensors."
        )


def _card(readme: Path) -> tuple[tuple[str, ...] | None, str | None]:
    """Language codes and licence of a model card's metadata; `None` where it has none or cannot be read."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    try:
        metadata = metadata_load(readme) or {}
    except (OSError, ValueError, YAMLError):  # a card is a courtesy: a broken one does not stop a distillation
        return None, None
    language, licence = metadata.get("language"), metadata.get("license")
    listed = [language] if isinstance(language, str) else language if isinstance(language, list) else []
    codes = tuple(code for code in listed if isinstance(code, str))
    return codes or None, licence if isinstance(licence, str) else None
