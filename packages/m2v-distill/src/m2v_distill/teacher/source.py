"""Where a teacher lies, and what its card says of language and licence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from m2v_core.errors import ModelNotFoundError

#: What a teacher needs of its repository: configs, tokenizer (code of it is run only if trusted), weights, the card.
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
    """
    folder, name = Path(name_or_path), os.fspath(name_or_path)
    if folder.is_dir():
        return TeacherSource(folder, folder.resolve().name, *_card(folder / "README.md"))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                token=token,
                allow_patterns=list(TEACHER_FILES),
                ignore_patterns=list(OTHER_FRAMEWORKS),
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = str(error).splitlines()[0]
        raise ModelNotFoundError(
            f"{name!r} is neither a folder here (looked from {Path.cwd()}) nor a model that the Hugging Face Hub "
            f"gave ({type(error).__name__}: {reason}). Check the spelling and the connection."
        ) from None
    return TeacherSource(folder, name, *_card(folder / "README.md"), revision=folder.name)  # snapshots/<commit>


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
