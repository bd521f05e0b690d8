"""A store of features on disk: settings in `store.json`, texts and a teacher's vectors of them in shards."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from m2v_core.data.columns import TABLES, kind_of
from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.storage.atomic import replaced_file
from m2v_core.storage.files import json_bytes, read_json
from m2v_core.vectors import unit
from m2v_distill.corpus.read import read_texts
from m2v_distill.corpus.shards import REMEDY, count_texts, read_shard, texts_of

if TYPE_CHECKING:
    from m2v_distill.teacher.teacher import Teacher

FORMAT = 1

#: File whose presence makes a folder a store.
STORE = "store.json"

#: Name of the store of a corpus in `checkpoint_dir`.
CORPUS = "corpus"

#: Probe texts that verify a store's teacher, on any device and in any precision.
PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "Where can I see the balance of my account, and what does a transfer abroad cost?",
)

#: Smallest cosine of two vectors of a text by the same teacher; bfloat16 is closer.
SAME = 0.99


@dataclass(frozen=True)
class FeatureStore:
    """Texts and a teacher's vectors of them on disk; `featurize` writes it.

    `store.json` holds the settings below, `shard-<number>.safetensors` the texts and their vectors in float16, with a
    checksum. All shards but the last have `shard_size` texts.

    Attributes:
        folder: Folder of the store.
        teacher: Name of the teacher.
        prompt: Text that was put before each text.
        dim: Size of the vectors, H.
        shard_size: Number of texts in a shard.
        n_texts: Number of texts.
        probe: [2, H] unit vectors of two fixed texts, which verify the teacher.
        n_kept: Number of texts that `featurize` found there from an earlier run.

    Example:
        >>> import tempfile
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> folder = featurize(teacher, ["a text", "another", "a text"], tempfile.mkdtemp()).folder
        >>> store = FeatureStore.open(folder)
        >>> store.n_texts, [(texts, vectors.shape) for texts, vectors in store.shards()]
        (2, [(['a text', 'another'], (2, 24))])
    """

    folder: Path
    teacher: str
    prompt: str
    dim: int
    shard_size: int
    n_texts: int
    probe: Float32[ndarray, "2 H"] = field(repr=False, compare=False)
    n_kept: int = field(default=0, compare=False)
    _verified: set[int] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> FeatureStore:
        """Open the store in a folder; an interrupted run may have left it.

        Raises:
            InvalidInputError: The folder is not a store.
            ModelFormatError: The store is damaged.
        """
        folder = Path(folder)
        if not is_store(folder):
            raise InvalidInputError(
                f"{folder}: expected a store of features; found no {STORE} there. featurize (m2v featurize) writes one."
            )
        store = read_settings(folder)
        numbers = shard_numbers(folder)
        last = len(numbers) - 1
        if numbers != list(range(last + 1)) or not numbers:
            missing = next((index for index, number in enumerate(numbers) if index != number), 0)
            raise ModelFormatError(
                f"{folder}: expected shards numbered from 0 on; found {len(numbers)}, but not number {missing}. "
                f"{REMEDY}"
            )
        return replace(store, n_texts=last * store.shard_size + count_texts(shard_path(folder, last)))

    @property
    def n_bytes(self) -> int:
        """The size of its files."""
        shards = range(-(-self.n_texts // self.shard_size))
        return sum(path.stat().st_size for path in [self.folder / STORE, *(shard_path(self.folder, i) for i in shards)])

    def shards(self) -> Iterator[tuple[list[str], Float32[ndarray, "n H"]]]:
        """The texts and their vectors (of unit length or zeros), shard by shard with only one in memory.

        The checksum of a shard is verified when it is first read.

        Raises:
            ModelFormatError: A shard is damaged or missing; the error names it.
        """
        for number, start in enumerate(range(0, self.n_texts, self.shard_size)):
            path = shard_path(self.folder, number)
            try:
                packed, vectors = read_shard(path, self.dim, verify=number not in self._verified)
            except ModelNotFoundError:
                raise ModelFormatError(f"{path}: expected a shard; found no such file. {REMEDY}") from None
            expected = min(self.shard_size, self.n_texts - start)
            if len(vectors) != expected:
                raise ModelFormatError(f"{path}: expected {expected} texts; found {len(vectors)}. {REMEDY}")
            texts = texts_of(path, packed)
            self._verified.add(number)
            yield texts, vectors.astype(np.float32)

    def check(self, teacher: Teacher) -> None:
        """Check that the vectors are those of a teacher.

        Raises:
            InvalidInputError: The teacher's vectors of the probe texts are others.
        """
        self.check_probe(probe_of(teacher, self.prompt), teacher.name)

    def check_probe(self, probe: Float32[ndarray, "2 D"], name: str) -> None:
        """Raise unless the vectors of the probe texts are those of the store's teacher; `name` is in the error."""
        # For unit vectors, |a - b|^2 = 2 - 2 cos. Zeros, which some teacher may give, equal zeros.
        if probe.shape == self.probe.shape and (np.square(probe - self.probe).sum(1) <= 2 - 2 * SAME).all():
            return
        raise InvalidInputError(
            f"{self.folder}: expected vectors of {name}; found those of another teacher ({self.teacher}) or another "
            f"pooling: two sentences have other vectors. Use that teacher, or another folder."
        )


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder that `featurize` wrote."""
    return (Path(path) / STORE).is_file()


def check_corpus(corpus: Any, *, text_column: str | None = None) -> None:
    """Check a corpus before any work: that files exist and have the column, or that a store can be read.

    Only the first text of each file is read. Pipes and iterators, which can be read only once, are not read.

    Args:
        corpus: As in `read_texts`, a folder of features, or `None`.
        text_column: As in `read_texts`.

    Raises:
        InvalidInputError: It is not a corpus; or a file is missing, has an unknown ending, no such column, or a bad
            first text.
        ModelFormatError: A store is damaged.
    """
    if corpus is None or (isinstance(corpus, Iterable) and not isinstance(corpus, str | os.PathLike | Sequence)):
        return
    if isinstance(corpus, str | os.PathLike) and is_store(corpus):
        FeatureStore.open(corpus)
        return
    read_texts(corpus, text_column=text_column)  # raises unless it is a corpus
    paths = [corpus] if isinstance(corpus, str | os.PathLike) else [x for x in corpus if isinstance(x, os.PathLike)]
    for path in map(Path, paths):
        if path.is_file():
            next(read_texts(path, text_column=text_column if kind_of(path) in TABLES else None), None)


def check_folder(folder: Path) -> None:
    """Check that features can be written into a folder.

    Raises:
        InvalidInputError: It is a file, or holds other files.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"Expected a folder for features, or nothing yet; found a file: {folder}")
    if folder.is_dir() and not is_store(folder):
        others = sorted(path.name for path in folder.iterdir() if not path.name.endswith(".part"))
        if others:
            raise InvalidInputError(
                f"{folder}: expected a store of features, an empty folder, or none yet; found other files "
                f"({', '.join(others[:5])}). Choose another folder."
            )


def probe_of(teacher: Teacher, prompt: str) -> Float32[ndarray, "2 H"]:
    """A teacher's unit vectors of the probe texts."""
    return unit(teacher.encode(PROBES, prompt=prompt))


def shard_path(folder: Path, number: int) -> Path:
    """The path of a shard."""
    return folder / f"shard-{number:05d}.safetensors"


def shard_numbers(folder: Path) -> list[int]:
    """The numbers of the existing shards."""
    matches = (re.fullmatch(r"shard-(\d{5,9})\.safetensors", path.name, re.ASCII) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def write_settings(store: FeatureStore) -> None:
    """Write `store.json`, the whole file or nothing."""
    settings = {
        "format": FORMAT,
        "teacher": store.teacher,
        "prompt": store.prompt,
        "dim": store.dim,
        "shard_size": store.shard_size,
        "probe": [[round(value, 6) for value in vector] for vector in store.probe.tolist()],
    }
    with replaced_file(store.folder / STORE, "wb") as file:
        file.write(json_bytes(json.dumps(settings, ensure_ascii=False) + "\n"))


def read_settings(folder: Path) -> FeatureStore:
    """The settings in `store.json`, checked; the texts are not counted.

    Raises:
        ModelFormatError: The file is damaged, or of another format.
    """
    path = folder / STORE
    raw = read_json(path)
    if raw.get("format") != FORMAT:
        raise ModelFormatError(
            f"{path}: expected a store of features in format {FORMAT}; found {raw.get('format')!r}. Does it need a "
            f"newer m2v-distill?"
        )
    teacher, prompt, dim, size, probe = (raw.get(name) for name in ("teacher", "prompt", "dim", "shard_size", "probe"))
    valid = all(isinstance(name, str) for name in (teacher, prompt)) and all(
        type(number) is int and 0 < number < 1 << 31 for number in (dim, size)
    )
    if not (valid and _is_table(probe, len(PROBES), dim)):
        raise ModelFormatError(
            f"{path}: expected teacher and prompt (texts), dim and shard_size (numbers above 0) and probe "
            f"({len(PROBES)} x dim numbers); found others. Remove {folder}, and run featurize again."
        )
    return FeatureStore(folder, teacher, prompt, dim, size, 0, np.array(probe, np.float32))


def _is_table(value: Any, n_rows: int, n_columns: int) -> bool:
    """Whether a JSON value is a list of lists of numbers in the range of unit vectors."""
    return (
        isinstance(value, list)
        and len(value) == n_rows
        and all(isinstance(row, list) and len(row) == n_columns for row in value)
        and all(type(number) in (int, float) and -1.001 <= number <= 1.001 for row in value for number in row)
    )
