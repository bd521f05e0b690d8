"""Features of a corpus: its texts and the teacher's vectors of them in a folder, which a later run can extend."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import jax
import numpy as np

from m2v_core.aliases import aliased
from m2v_core.checks import whole
from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.progress import progress_bar
from m2v_core.ragged import Ragged
from m2v_core.vectors import unit
from m2v_distill.corpus.read import distinct
from m2v_distill.corpus.shards import pack, read_shard, starts_with, write_shard
from m2v_distill.corpus.store import (
    FeatureStore,
    check_folder,
    is_store,
    probe_of,
    read_settings,
    shard_numbers,
    shard_path,
    write_settings,
)
from m2v_distill.logs import logger
from m2v_distill.teacher.engine.resume import UNFINISHED
from m2v_distill.teacher.teacher import Teacher


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
    """Embed texts with the teacher, and write the texts and their vectors into a folder.

    One shard of texts is in memory at a time, and is written when it is computed. Repeats are dropped as in `distinct`.
    Called again with the same texts, or with more texts after them, it continues where an interrupted or earlier run
    stopped: undamaged shards with the same texts are kept.

    Args:
        teacher: The teacher.
        texts: Any iterable of texts, such as that of `read_texts`.
        folder: Folder of a store, an empty folder, or a new one.
        prompt: Text of the prompt, as in `Teacher.encode`.
        prompt_name: Name of the prompt, as in `Teacher.encode`.
        shard_size: Number of texts in a shard; a killed run loses at most these.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.
        total: Number of texts, repeats included, for the time left; `None` if it is not known.

    Raises:
        InvalidInputError: There are no texts, or an element is not a text; the folder holds other files, or a store of
            other texts, another teacher, prompt or shard size; or several processes take part.
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
    whole("shard_size", shard_size, 1)
    folder = Path(folder)
    check_folder(folder)
    prefix = teacher.tokenizer.prompt(prompt_name=prompt_name, prompt=prompt)
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
    with progress_bar("Teacher", unit="texts", total=total, show=show_progress_bar) as bar:
        for number, batch in enumerate(chain(first, batches)):
            path, packed = shard_path(folder, number), pack(batch)
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


def _prepared(folder: Path, teacher: Teacher, prompt: str, shard_size: int) -> FeatureStore:
    """The store with the expected settings, which are written or compared."""
    probe = probe_of(teacher, prompt)
    store = FeatureStore(folder, teacher.name, prompt, probe.shape[1], shard_size, 0, probe)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(UNFINISHED):
        path.unlink()
    if not is_store(folder):
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


def _is_kept(path: Path, texts: Ragged, dim: int) -> bool:
    """Whether a shard is undamaged and has these texts; False if it has to be computed."""
    try:
        found, _ = read_shard(path, dim)
    except ModelNotFoundError:
        return False
    except ModelFormatError:
        logger.info("%s is damaged and is computed again", path)
        return False
    if not starts_with(texts, found):
        raise _other_corpus(path)
    return len(found) == len(texts)  # fewer: the corpus ended there at the time


def _other_corpus(path: Path) -> InvalidInputError:
    return InvalidInputError(
        f"{path}: expected the corpus that this folder was started with, or a longer one that begins with it; found "
        f"other texts there, or more. Choose another folder, or remove {path.parent} to start again."
    )
