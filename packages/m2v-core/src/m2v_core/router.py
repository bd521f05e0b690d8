"""Writes a student and its teacher as one folder of sentence-transformers, with a Router.

A Router has a model for queries and another one for documents: here the student, and its teacher. Its settings are in
`router_config.json`, and each model has a folder for its modules.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2v_core import checks
from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.model import StaticModel
from m2v_core.prompts import DOCUMENT, QUERY, resolved
from m2v_core.sentence_transformers import (
    call_settings,
    new_folder,
    static_modules,
    warn_of_unknown_tokens,
    write_static_embedding,
)
from m2v_core.storage.atomic import replaced_folder
from m2v_core.storage.files import path_inside, read_json, write_json
from m2v_core.storage.foreign import SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.storage.format import CONFIG_FILE, MODULES_FILE

#: The first version with Router.
OLDEST = "5.0.0"

ROUTER_MODULE = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}
ROUTER_CONFIG = "router_config.json"

#: Routes by the tasks of `encode_query` and `encode_document`; each has a folder of this name for its modules.
QUERIES, DOCUMENTS = "query", "document"

#: Files of a module: settings, tokenizer and weights.
MODULE_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py")
PICKLED = ("pytorch_model*.bin",)

#: Modules that decide on the number of dimensions, and the keys of it in their settings.
SIZED = ("Dense", "Pooling")
SIZES = ("out_features", "embedding_dimension", "word_embedding_dimension")

#: Router, and its name before version 5.
ROUTERS = ("Router", "Asym")


def save_router(
    student: StaticModel,
    teacher: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    document_prompt: str | None = None,
    compact: bool = False,
) -> None:
    """Save a folder of sentence-transformers whose queries a student embeds, and whose documents its teacher.

    It is one with a Router: `SentenceTransformer(path)` of version 5.0 and newer loads it, its `encode_query` has the
    student's vectors, and its `encode_document` and `encode` the teacher's. The teacher's files are copied.

    Args:
        student: A model in the space of the teacher, such as the student of `m2v_distill.fit_collection`, or that of
            `m2v_distill.distill` with `space="teacher"`.
        teacher: The teacher's folder, with its `modules.json`.
        path: The folder, which changes in one step. It may be one that this function wrote before.
        document_prompt: Text before each document. Default: the teacher's prompt for documents, or its default one.
        compact: See `save_sentence_transformers`.

    Raises:
        ModelNotFoundError: There is no such teacher.
        ModelFormatError: The teacher has modules that are not of sentence-transformers, or a Router itself.
        InvalidInputError: The student has another number of dimensions, or the folder holds another model.
        OSError: The folder cannot be written.

    Example:
        >>> import json, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     teacher = Path(folder, "teacher")
        ...     teacher.mkdir()
        ...     modules = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
        ...     _ = (teacher / "modules.json").write_text(json.dumps(modules))
        ...     _ = (teacher / "config.json").write_text("{}")
        ...     save_router(tiny_model(), teacher, f"{folder}/both")
        ...     router = json.loads(Path(folder, "both", "router_config.json").read_text())
        >>> router["structure"]["document"]
        ['document/0_Transformer']
    """
    folder, source = new_folder(path), _Source.read(checks.path("teacher", teacher))
    settings = _settings(student, source, document_prompt=document_prompt, compact=compact)
    _check_space(student, source)
    warn_of_unknown_tokens(student, folder)
    queries = _named(QUERIES, [module["type"] for module in static_modules(student, compact=compact)])
    documents = _named(DOCUMENTS, [kind for _, kind in source.modules])
    router = {
        "types": queries | documents,
        "structure": {QUERIES: list(queries), DOCUMENTS: list(documents)},
        "parameters": {"default_route": DOCUMENTS, "allow_empty_key": True},
    }
    owned = {QUERIES, DOCUMENTS, ROUTER_CONFIG, MODULES_FILE, SENTENCE_TRANSFORMERS_CONFIG}
    with replaced_folder(folder, owned=owned, last=MODULES_FILE) as staging:
        write_static_embedding(staging / next(iter(queries)), student, compact=compact)
        for (origin, _), name in zip(source.modules, documents, strict=True):
            _copy_module(origin, staging / name)
        write_json(staging / ROUTER_CONFIG, router)
        write_json(staging / SENTENCE_TRANSFORMERS_CONFIG, settings)
        write_json(staging / MODULES_FILE, [ROUTER_MODULE])


@dataclass(frozen=True)
class _Source:
    """The folder of a teacher.

    Attributes:
        folder: The folder.
        modules: Folder and type of each module, in order.
        prompts: Prompts by name.
        default_prompt: The prompt that it puts before texts by default.
        truncate_dim: Dimensions that are kept, or `None`.
    """

    folder: Path
    modules: Sequence[tuple[Path, str]]
    prompts: Mapping[str, str]
    default_prompt: str
    truncate_dim: int | None

    @classmethod
    def read(cls, folder: Path) -> _Source:
        """Read `modules.json` and the prompts of a folder."""
        listing, path = folder / MODULES_FILE, folder / SENTENCE_TRANSFORMERS_CONFIG
        if not listing.is_file():
            found = "a folder without it" if folder.is_dir() else "no such folder"
            raise ModelNotFoundError(
                f"{folder}: expected the folder of a sentence transformer, which holds {MODULES_FILE}; found {found}. "
                f"SentenceTransformer(NAME).save_pretrained(FOLDER) makes one."
            )
        modules = [_module(folder, module, listing) for module in read_json(listing, list)]
        if not modules:
            raise ModelFormatError(f"{listing}: expected modules; found none. Is the file whole?")
        raw = read_json(path) if path.is_file() else {}
        prompts, dims = raw.get("prompts") or {}, raw.get("truncate_dim")
        if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
            raise ModelFormatError(f'{path}: "prompts" should give a text for each name; found {prompts!r:.100}.')
        if not (dims is None or (type(dims) is int and dims > 0)):
            raise ModelFormatError(f'{path}: "truncate_dim" should be 1 or more, or null; found {dims!r:.100}.')
        prompts = {name: text or "" for name, text in prompts.items()}
        return cls(folder, modules, prompts, prompts.get(str(raw.get("default_prompt_name")), ""), dims)

    def may_have(self, dim: int) -> bool:
        """Whether vectors can have this number of dimensions, by the settings of the last modules that have it."""
        if self.truncate_dim is not None:
            return dim <= self.truncate_dim
        for folder, kind in reversed(self.modules):
            path = folder / CONFIG_FILE
            raw = read_json(path) if kind.rpartition(".")[2] in SIZED and path.is_file() else {}
            if sizes := [raw[key] for key in SIZES if type(raw.get(key)) is int and raw[key] > 0]:
                return bool(dim % sizes[0] == 0)  # a Pooling may have several modes, beside each other
        return True


def _module(folder: Path, module: Any, listing: Path) -> tuple[Path, str]:
    """Folder and type of a module of a teacher."""
    kind = module.get("type") if isinstance(module, dict) else module
    if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
        raise ModelFormatError(
            f'{listing}: expected each "type" to be a class of sentence_transformers; found {kind!r:.100}. Choose '
            f"another teacher."
        )
    if kind.rpartition(".")[2] in ROUTERS:
        raise ModelFormatError(
            f"{listing}: expected a teacher with one model for all texts; found a Router, which has several. Name the "
            f"folder of one of them."
        )
    return path_inside(folder, module.get("path", ""), listing), kind


def _named(route: str, kinds: Iterable[str]) -> dict[str, str]:
    """The types of a route's modules by their folders."""
    return {f"{route}/{number}_{kind.rpartition('.')[2]}": kind for number, kind in enumerate(kinds)}


def _check_space(student: StaticModel, teacher: _Source) -> None:
    """Raise if the student cannot be in the teacher's space; warn if its config does not say that it is."""
    advice = 'm2v_distill.fit_collection and distill(space="teacher") make such students'
    if not teacher.may_have(student.dim):
        raise InvalidInputError(
            f"The student should have the dimensions of its teacher, {teacher.folder}; found {student.dim}, another "
            f"number. {advice}."
        )
    settings = student.config.distillation_settings
    if settings is None or settings.get("space") != "teacher":
        logging.getLogger("m2v_core").warning(
            "%s: the student's config does not say that it is in the space of a teacher, so its queries may find the "
            "wrong documents: %s",
            teacher.folder,
            advice,
        )


def _copy_module(origin: Path, folder: Path) -> None:
    """Copy the files of a module from its own folder; a module without files has none."""
    patterns = MODULE_FILES if any(origin.glob("*.safetensors")) else MODULE_FILES + PICKLED
    for path in sorted({path for pattern in patterns for path in origin.glob(pattern) if path.is_file()}):
        if path.name not in (MODULES_FILE, SENTENCE_TRANSFORMERS_CONFIG):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / path.name)


def _settings(student: StaticModel, teacher: _Source, *, document_prompt: str | None, compact: bool) -> dict[str, Any]:
    """The content of `config_sentence_transformers.json`."""
    if document_prompt is None:
        document_prompt = resolved(teacher.prompts, DOCUMENT) or teacher.default_prompt
    settings = call_settings(student, compact=compact)
    settings["prompts"] = {QUERIES: resolved(student.prompts, QUERY), DOCUMENTS: document_prompt}
    settings["default_prompt_name"] = DOCUMENTS if document_prompt else None
    if not compact:
        settings["__version__"] = {"sentence_transformers": OLDEST}
    return settings if teacher.truncate_dim is None else settings | {"truncate_dim": teacher.truncate_dim}
