"""The files of a teacher, in a folder or on the Hub, and what its card says of language and licence."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from m2v_core.checks import lone_surrogate
from m2v_core.errors import MissingPackageError, ModelFormatError, ModelNotFoundError, TransferError
from m2v_core.redact import checked_token, redacted
from m2v_core.storage.files import read_json
from m2v_core.storage.format import MODEL_TYPE
from m2v_distill.teacher.pickled import has_torch

#: Files of a repository that are fetched: configs, tokenizer (its code is run only if trusted), weights, card.
#: Pickled weights are fetched only where there are no others; see `_pickled`.
TEACHER_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.py", "README.md")
OTHER_FRAMEWORKS = ("onnx/*", "openvino/*", "coreml/*")


#: Id of a repository on the Hub; some old ones have no organisation.
HUB_ID = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*")

#: End of the path of a folder of the Hub's cache.
CACHED = re.compile(r"/models--([\w.-]+?)--([\w.-]+)/snapshots/(\w+)$")


@dataclass(frozen=True)
class TeacherSource:
    """The files of a teacher, and what is known of them.

    Attributes:
        folder: Folder of the files.
        name: Name in messages and stores: the Hub id, the folder's name, or the class of a model in memory.
        language: Language codes of the card.
        license: Licence of the card.
        revision: Commit on the Hub, if the files come from there.
        hub_id: Id on the Hub, if it is known.
    """

    folder: Path
    name: str
    language: tuple[str, ...] | None = None
    license: str | None = None
    revision: str | None = None
    hub_id: str | None = None


def find_teacher(
    name_or_path: str | os.PathLike[str], *, token: str | None = None, revision: str | None = None
) -> TeacherSource:
    """The files of a teacher: a local folder, else downloaded from the Hugging Face Hub or taken from its cache.

    Raises:
        ModelNotFoundError: There is no such folder, and the Hub gave no such model.
        TransferError: The download broke off, or the files cannot be written.
        MissingPackageError: The weights are pickled, and PyTorch, which reads them, is not installed.
        InvalidInputError: The token is malformed.
    """
    token = checked_token(token)
    folder, name = Path(name_or_path), os.fspath(name_or_path)
    if folder.is_dir():
        check_not_static(folder)
        hub_id, revision = _cached(folder)
        card = _card(folder / "README.md")
        return TeacherSource(folder, folder.resolve().name, *card, revision=revision, hub_id=hub_id)
    folder = _fetched(name, revision, token, TEACHER_FILES)
    if pickled := _pickled(folder):
        if not has_torch():
            _check_torch(name, folder.name, token, pickled)
        _fetched(name, folder.name, token, pickled)
    check_not_static(folder)
    card = _card(folder / "README.md")
    return TeacherSource(folder, name, *card, revision=folder.name, hub_id=name)  # the folder is snapshots/<commit>


def _fetched(name: str, revision: str | None, token: str | None, patterns: Sequence[str]) -> Path:
    """The folder in the Hub's cache with those files of a repository that fit the patterns."""
    from huggingface_hub import get_token, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            revision=revision,
            token=token,
            allow_patterns=list(patterns),
            ignore_patterns=list(OTHER_FRAMEWORKS),
        )
    except Exception as error:  # huggingface_hub lets those of its HTTP library, hf_xet and the disk through
        refused = isinstance(error, (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError))
        first_line = str(error).partition("\n")[0]
        problem = f"{type(error).__name__}: {redacted(first_line, token, get_token())}"
    else:
        return Path(folder)
    # Outside the handler: the original error, which may hold a token, is not the context of these.
    if refused:
        raise ModelNotFoundError(
            f"{name!r} is neither a folder here (looked from {Path.cwd()}) nor a model that the Hugging Face Hub gave "
            f"({problem}). Check the spelling and the connection."
        )
    raise TransferError(
        f"Fetching {name} from the Hugging Face Hub failed ({problem}). Check the connection and the disk; then "
        f"try again."
    )


def check_reference(name_or_path: str | os.PathLike[str]) -> None:
    """Check, without the network, that a teacher's name can be that of a folder or of a model on the Hub.

    Raises:
        ModelNotFoundError: It is neither.
        ModelFormatError: The folder holds a static model.
    """
    folder, name = Path(name_or_path), os.fspath(name_or_path)
    if folder.is_dir():
        check_not_static(folder)
    elif not HUB_ID.fullmatch(name):
        found = "a file" if folder.exists() else "neither a folder here nor a name on the Hub"
        raise ModelNotFoundError(
            f"The teacher should be a folder, or org/name on the Hugging Face Hub; found {name!r}, which is {found} "
            f"(looked from {Path.cwd()}). Check the spelling."
        )


def check_not_static(folder: Path) -> None:
    """Check that a folder does not hold a static model, which cannot be a teacher.

    Raises:
        ModelFormatError: It does.
    """
    config = folder / "config.json"
    if config.is_file() and read_json(config).get("model_type") == MODEL_TYPE:
        raise ModelFormatError(
            f"{folder}: expected a sentence transformer; found a static model, which has no network to distil. "
            f"m2v_core.StaticModel.from_pretrained loads it, and m2v encode runs it."
        )


def source_of_model(model: Any) -> TeacherSource:
    """The files of a PyTorch model in memory: the folder that it was loaded from, if there is one."""
    path = str(getattr(model, "name_or_path", "") or "")
    if path and Path(path).is_dir():
        return find_teacher(path)
    name = path or type(model).__name__
    return TeacherSource(Path(name), name, hub_id=name if "/" in name and HUB_ID.fullmatch(name) else None)


def _cached(folder: Path) -> tuple[str | None, str | None]:
    """The Hub id and the commit of a folder of the Hub's cache; `None` for other folders.

    A folder's config does not tell its id: `_name_or_path` there is the model that it was fine-tuned from.

    Example:
        >>> _cached(Path("hub/models--org--name/snapshots/0123"))
        ('org/name', '0123')
    """
    match = CACHED.search(folder.resolve().as_posix())
    return (f"{match[1]}/{match[2]}", match[3]) if match else (None, None)


def _pickled(folder: Path) -> list[str]:
    """Patterns of the pickled weights of those parts of a teacher that have no safetensors."""
    parts = {path.parent for path in folder.rglob("config.json") if "Pooling" not in path.parent.name}
    bare = [part.relative_to(folder) for part in sorted(parts) if not any(part.glob("model.safetensors*"))]
    return [(part / "pytorch_model*.bin").as_posix() for part in bare]


def _check_torch(name: str, revision: str, token: str | None, patterns: Sequence[str]) -> None:
    """Refuse to fetch gigabytes that nothing installed can read."""
    from huggingface_hub import list_repo_files

    found: list[str] = []
    with suppress(Exception):  # without a connection, missing weights are an error when they are opened
        found = list_repo_files(name, revision=revision, token=token)
    if pickled := [path for path in found if any(fnmatch(path, pattern) for pattern in patterns)]:
        raise MissingPackageError(
            f"{name}: expected weights in safetensors; found {', '.join(pickled[:5])}, pickle files, which only "
            f"PyTorch reads: pip install m2v-distill[torch]. Or take a revision with safetensors."
        )


def _card(readme: Path) -> tuple[tuple[str, ...] | None, str | None]:
    """Language codes and licence in the metadata of a model card; `None` for what is missing or cannot be read."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    try:
        metadata = metadata_load(readme) or {}
    except (OSError, ValueError, YAMLError):  # a broken card does not stop a distillation
        return None, None
    language, licence = metadata.get("language"), metadata.get("license")
    listed = [language] if isinstance(language, str) else language if isinstance(language, list) else []
    codes = tuple(code for code in listed if _is_text(code))
    return codes or None, licence if _is_text(licence) else None


def _is_text(value: object) -> bool:
    """Whether a value is a text of valid Unicode; YAML can spell others too."""
    return isinstance(value, str) and lone_surrogate(value) is None
