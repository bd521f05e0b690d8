"""Collect what a push publishes in a folder, a model and its variants, and load each model once."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from m2v_core.checks import did_you_mean, expect, iterable, one_of
from m2v_core.errors import InvalidInputError, ModelNotFoundError
from m2v_core.model import StaticModel
from m2v_core.pipeline import StaticModelPipeline
from m2v_core.storage.compile import compile_vocabulary
from m2v_core.storage.files import check_is_finished, read_consistently
from m2v_core.storage.format import EMBEDDING_DTYPES, HEAD_FILE, LAST_FILES
from m2v_hub.names import is_inside

#: The keywords of `StaticModel.from_pretrained` by which a variant may differ from its model.
VARIANT_OPTIONS = frozenset({"quantize_to", "dimensionality", "vocabulary_quantization"})

Variants = Sequence[str] | Mapping[str, Mapping[str, Any]]

_VARIANT_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


class Saves(Protocol):
    """A model or a pipeline: anything that saves itself to a folder."""

    def save_pretrained(self, path: str | os.PathLike[str], /) -> None:
        """Write the folder."""


def stage(
    model: Saves | str | os.PathLike[str],
    target: Path,
    variants: Variants | None = None,
    *,
    compiled: bool = False,
    onnx: bool = False,
) -> None:
    """Save a model (or copy its folder) to `target`, and its variants to subfolders; load each once.

    With `compiled`, each gets its compiled vocabulary; with `onnx`, the model gets its ONNX export. Of a folder, hidden
    files and the content of hidden folders (names with a leading dot) are not copied.

    Raises:
        ModelNotFoundError: The folder does not exist, or holds no model.
        ModelFormatError: The model does not load, or a save into the folder was interrupted.
        InvalidInputError: The folder holds links or unportable names; a variant is unknown or not possible; the
            vocabulary cannot be compiled, or the model cannot be exported.
        MissingPackageError: An export needs onnx.
    """
    if isinstance(model, (str, os.PathLike)):
        folder = Path(model)
        if not folder.is_dir():
            raise ModelNotFoundError(f"{folder} is not a folder; a model is a folder of files.")
        read_consistently(folder, partial(_copy, target=target), last=LAST_FILES)
    elif hasattr(model, "save_pretrained"):
        model.save_pretrained(target)
    else:
        raise InvalidInputError(f"Expected a model, a pipeline or a folder to publish; found {type(model).__name__}.")
    if onnx:
        from m2v_core.onnx import add_onnx  # few need it

        add_onnx(target)
    if compiled:
        compile_vocabulary(target)
    load(target)
    for name, options in parsed_variants(variants).items():
        if (target / name).exists():
            raise InvalidInputError(f"The folder has a {name} already; choose another name for the variant.")
        load(target, **options).save_pretrained(target / name)
        if compiled:
            compile_vocabulary(target / name)


def load(folder: Path, **options: Any) -> Saves:
    """Load the model, or the pipeline, in a folder."""
    if not (folder / HEAD_FILE).is_file():
        return StaticModel.from_pretrained(folder, **options)
    if "dimensionality" in options:
        raise InvalidInputError(
            "A pipeline keeps all dimensions, because its head needs them. Change its dtype instead."
        )
    return StaticModelPipeline.from_pretrained(folder, **options)


def parsed_variants(variants: Variants | None) -> dict[str, dict[str, Any]]:
    """The keywords of each variant, by the name of its subfolder.

    Args:
        variants: Names that describe a variant: a dtype, a number of dimensions followed by "d", or both; or a mapping
            from any names to keywords.

    Raises:
        InvalidInputError: A name describes no variant, or a keyword is unknown.

    Example:
        >>> from m2v_hub.staging import parsed_variants
        >>> parsed_variants(["int8", "128d-float16"])
        {'int8': {'quantize_to': 'int8'}, '128d-float16': {'dimensionality': 128, 'quantize_to': 'float16'}}
    """
    if isinstance(variants, str):
        raise InvalidInputError(f"variants should be a list of names, or a mapping; found the text {variants!r}.")
    if not isinstance(variants, Mapping):
        names = [] if variants is None else list(iterable("variants", variants))
        for name in names:
            expect(isinstance(name, str), "variants", "names of variants", name)
        variants = {name: _options_by_name(name) for name in names}
    for name, options in variants.items():
        if not _VARIANT_NAME.fullmatch(name):
            raise InvalidInputError(f"The name of a variant has letters, digits and ._- only; found {name!r}.")
        expect(bool(options), f"The variant {name}", f"one or more of {', '.join(sorted(VARIANT_OPTIONS))}", options)
        for keyword in options:
            one_of(f"A keyword of the variant {name}", keyword, sorted(VARIANT_OPTIONS))
    return {name: dict(options) for name, options in variants.items()}


def _options_by_name(name: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in name.split("-"):
        if part in EMBEDDING_DTYPES.values():
            options["quantize_to"] = part
        elif re.fullmatch(r"[1-9]\d{0,5}d", part, re.ASCII):
            options["dimensionality"] = int(part[:-1])
        else:
            hint = did_you_mean(part, EMBEDDING_DTYPES.values())
            raise InvalidInputError(
                f"A variant is a dtype ({', '.join(EMBEDDING_DTYPES.values())}), a number of dimensions (128d), or "
                f"both (128d-int8); found {name!r}. For other variants pass a mapping from names to keywords.{hint}"
            )
    return options


def files_of(folder: Path) -> dict[str, Path]:
    """All files below a folder that are not hidden, by their paths as the Hub writes them.

    Raises:
        InvalidInputError: A file is a link that leaves the folder (except the links of huggingface_hub's cache to its
            blobs), is not a regular file, or has a name that some operating systems do not allow.
    """
    found = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *(name for name in folders if (Path(parent) / name).is_symlink())]):
            path = Path(parent) / name
            inner = path.relative_to(folder).as_posix()
            if name.startswith("."):
                continue
            if not is_inside(inner):
                raise InvalidInputError(
                    f"{folder} holds {inner!r}; rename it: some operating systems do not allow this name."
                )
            if not path.is_file() or (path.is_symlink() and not _may_lead_to(path.resolve(), folder.resolve())):
                raise InvalidInputError(
                    f"{path} is a link out of the folder, or not a regular file: it is not published. Copy its content."
                )
            found[inner] = path
    return found


def _may_lead_to(target: Path, folder: Path) -> bool:
    cached = [above.with_name("blobs") for above in folder.parents if above.name == "snapshots"]
    return any(target.is_relative_to(allowed) for allowed in (folder, *cached))


def _copy(folder: Path, *, target: Path) -> None:
    check_is_finished(folder)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for inner, path in files_of(folder).items():
        (target / inner).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / inner)
