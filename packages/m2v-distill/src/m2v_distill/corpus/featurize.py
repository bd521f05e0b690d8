"""A corpus through the teacher, once: its texts and their vectors into a folder, to read again and to go on from."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from tqdm import tqdm

from m2v_core.aliases import aliased
from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_distill.corpus.read import distinct
from m2v_distill.corpus.shards import Packed, read_shard, write_shard
from m2v_distill.corpus.store import (
    STORE,
    FeatureStore,
    is_store,
    probe_of,
    read_settings,
    shard_numbers,
    shard_path,
    unit,
    write_settings,
)
from m2v_distill.teacher.texts import prompt_of

if TYPE_CHECKING:
    from m2v_distill.teacher.teacher import Teacher

__all__ = ["FeatureStore", "featurize", "is_store"]

logger = logging.getLogger("m2v_distill")


@aliased
def featurize(
    teacher: Teacher,
    texts: Iterable[str],
    folder: str | os.PathLike[str],
    *,
    prompt: str | None = None,
    prompt_name: str | None = None,
    shard_size: int = 4096,
    show_progress_bar: bool | None = False,
    total: int | None = None,
) -> FeatureStore:
    """Send texts through the teacher, and keep them and their vectors in a folder.

    A shard of texts is in memory at a time, and is written when it is computed; repeats are dropped as `distinct` does.
    Started again with the same texts, or with more of them after the same ones, it goes on where an interrupted or
    earlier run stopped: shards that are whole and hold the same texts are kept.

    Args:
        teacher: The teacher.
        texts: Any iterable, such as `read_texts` gives.
        folder: A store, an empty folder, or none yet.
        prompt: As in `Teacher.encode`.
        prompt_name: As in `Teacher.encode`.
        shard_size: Texts in a shard, which are what a killed run loses.
        show_progress_bar: On stderr; `None` shows it on a terminal only.
        total: How many texts there are, repeats included, for the time left.

    Raises:
        InvalidInputError: There are no texts, or one is none; the folder holds something else, or a store of other
            texts, of another teacher, prompt or shard size; or several processes take part.
        ModelFormatError: The folder's `store.json` is damaged.

    Example:
        >>> import tempfile
        >>> teacher, folder = Teacher.from_pretrained(teacher_folder()), tempfile.mkdtemp()
        >>> featurize(teacher, ["a", "b", "c"], folder, shard_size=2).n_texts
        3
        >>> featurize(teacher, ["a", "b", "c", "d"], folder, shard_size=2).n_kept
        2
    """
    if jax.process_count() > 1:
        raise InvalidInputError(
            f"featurize runs in one process; found {jax.process_count()}. Run it on one host, with all of its devices, "
            f"or on each host with a part of the corpus and a folder of its own."
        )
    if isinstance(texts, str):
        raise InvalidInputError("Expected an iterable of texts; found one text (str). Pass a list of it.")
    if type(shard_size) is not int or shard_size < 1:
        raise InvalidInputError(f"shard_size should be a number of texts, 1 or more; found {shard_size!r}.")
    folder = Path(folder)
    _check_folder(folder)
    prefix = prompt_of(teacher, prompt_name=prompt_name, prompt=prompt)
    n_read = 0

    def counted() -> Iterator[str]:
        nonlocal n_read
        for n_read, text in enumerate(texts, 1):
            if not isinstance(text, str):
                raise InvalidInputError(f"Expected texts (str); found {type(text).__name__} as number {n_read}.")
            yield text

    stream = distinct(counted())
    batches = iter(lambda: list(islice(stream, shard_size)), [])
    first = list(islice(batches, 1))
    if not first:
        raise InvalidInputError("Expected texts; found none. Is the corpus empty, or all of it blank?")
    store = _prepared(folder, teacher, prefix, shard_size)
    n_kept = 0
    hidden = None if show_progress_bar is None else not show_progress_bar  # tqdm: None means "off if no terminal"
    with tqdm(total=total, desc="Teacher", unit=" texts", disable=hidden) as bar:
        for number, batch in enumerate(chain(first, batches)):
            path, packed = shard_path(folder, number), Packed.of(batch)
            if _is_kept(path, packed, store.dim):
                n_kept += len(batch)
            else:
                vectors = unit(teacher.encode(batch, prompt=prefix))
                write_shard(path, packed, vectors.astype(np.float16))
            bar.update(n_read - bar.n)
        bar.update(n_read - bar.n)  # repeats at the end
    if max(shard_numbers(folder)) > number:
        raise _other_corpus(shard_path(folder, number + 1))
    return replace(FeatureStore.open(folder), n_kept=n_kept)


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"Expected a folder for features, or nothing yet; found a file: {folder}")
    if folder.is_dir() and not is_store(folder):
        others = sorted(path.name for path in folder.iterdir() if path.name != f"{STORE}.part")
        if others:
            raise InvalidInputError(
                f"{folder}: expected a store of features, an empty folder, or none yet; found other files "
                f"({', '.join(others[:5])}). Choose another folder."
            )


def _prepared(folder: Path, teacher: Teacher, prompt: str, shard_size: int) -> FeatureStore:
    """The store's settings as they should be, written or checked."""
    probe = probe_of(teacher, prompt)
    store = FeatureStore(folder, teacher.name, prompt, probe.shape[1], shard_size, 0, probe)
    if not is_store(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_settings(store)
        return store
    found = read_settings(folder)
    for name in ("prompt", "shard_size"):
        expected = getattr(store, name)
        if getattr(found, name) != expected:
            raise InvalidInputError(
                f"{folder}: expected a store with {name}={expected!r}; found {getattr(found, name)!r}. Pass that, or "
                f"choose another folder."
            )
    found.check_probe(probe, teacher.name)
    return found


def _is_kept(path: Path, texts: Packed, dim: int) -> bool:
    """Whether a shard is whole and holds these texts; False if it must be computed."""
    try:
        found, _ = read_shard(path, dim)
    except ModelNotFoundError:
        return False
    except ModelFormatError:
        logger.info("%s is damaged, and computed again", path)
        return False
    if not texts.starts_with(found):
        raise _other_corpus(path)
    return len(found.ends) == len(texts.ends)  # fewer: the corpus went no further at the time


def _other_corpus(path: Path) -> InvalidInputError:
    return InvalidInputError(
        f"{path}: expected the corpus that this folder was started with, or a longer one that begins with it; found "
        f"other texts, or more, there. Choose another folder, or remove {path.parent} to start anew."
    )
