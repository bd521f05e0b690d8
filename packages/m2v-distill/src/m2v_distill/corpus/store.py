"""What a teacher made of a corpus, on disk: settings in `store.json`, texts and vectors in shards."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from m2v_core.storage.files import read_json
from m2v_distill.corpus.shards import REMEDY, count_texts, read_shard, texts_of

if TYPE_CHECKING:
    from m2v_distill.teacher.teacher import Teacher

FORMAT = 1

#: The file that makes a folder a store.
STORE = "store.json"

#: Texts by whose vectors a store knows its teacher again, whatever device and precision it runs on.
PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "Where can I see the balance of my account, and what does a transfer abroad cost?",
)

#: Vectors of one text by the same teacher have at least this cosine: bfloat16 keeps more.
SAME = 0.99


@dataclass(frozen=True)
class FeatureStore:
    """Texts and what a teacher makes of them, on disk; `featurize` writes it.

    `store.json` holds what is below, and `shard-<number>.safetensors` the texts and their vectors in float16, with a
    checksum; all shards but the last have `shard_size` texts.

    Attributes:
        folder: Where it lies.
        teacher: The teacher's name.
        prompt: What was put before each text.
        dim: H, the width of the vectors.
        shard_size: Texts in a shard.
        n_texts: How many there are.
        probe: [2, H] unit vectors of two fixed texts, by which the teacher is known again.
        n_kept: How many of the texts `featurize` found there from an earlier run.

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
    _sound: set[int] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> FeatureStore:
        """The store in a folder, which may also be one that an interrupted run left.

        Raises:
            InvalidInputError: There is none.
            ModelFormatError: It is damaged.
        """
        folder = Path(folder)
        if not is_store(folder):
            raise InvalidInputError(
                f"{folder}: expected a store of features; found no {STORE} there. featurize (m2v featurize) makes one."
            )
        store = read_settings(folder)
        numbers = shard_numbers(folder)
        last = len(numbers) - 1
        if numbers != list(range(last + 1)) or not numbers:
            missing = next((place for place, number in enumerate(numbers) if place != number), 0)
            raise ModelFormatError(
                f"{folder}: expected shards numbered from 0 on; found {len(numbers)}, but none of number {missing}. "
                f"{REMEDY}"
            )
        return replace(store, n_texts=last * store.shard_size + count_texts(shard_path(folder, last)))

    @property
    def n_bytes(self) -> int:
        """How much space its files take."""
        shards = range(-(-self.n_texts // self.shard_size))
        return sum(path.stat().st_size for path in [self.folder / STORE, *(shard_path(self.folder, i) for i in shards)])

    def shards(self) -> Iterator[tuple[list[str], Float32[ndarray, "n H"]]]:
        """Texts and their vectors, of unit length or zeros, a shard at a time and no more than one in memory.

        Checksums are verified when a shard is first read.

        Raises:
            ModelFormatError: A shard is damaged or has gone; the error names it.
        """
        for number, start in enumerate(range(0, self.n_texts, self.shard_size)):
            path = shard_path(self.folder, number)
            try:
                packed, vectors = read_shard(path, self.dim, verify=number not in self._sound)
            except ModelNotFoundError:
                raise ModelFormatError(f"{path}: expected a shard; found no such file. {REMEDY}") from None
            expected = min(self.shard_size, self.n_texts - start)
            if len(vectors) != expected:
                raise ModelFormatError(f"{path}: expected {expected} texts; found {len(vectors)}. {REMEDY}")
            texts = texts_of(path, packed)
            self._sound.add(number)
            yield texts, vectors.astype(np.float32)

    def check(self, teacher: Teacher) -> None:
        """See that it is this teacher's.

        Raises:
            InvalidInputError: Its vectors of the probes are others.
        """
        self.check_probe(probe_of(teacher, self.prompt), teacher.name)

    def check_probe(self, probe: Float32[ndarray, "2 D"], name: str) -> None:
        """As `check`, of a teacher's vectors of the probes, and its name."""
        # Of unit vectors |a - b|^2 = 2 - 2 cos; and zeros, as some teacher may make, are equal to zeros.
        if probe.shape == self.probe.shape and (np.square(probe - self.probe).sum(1) <= 2 - 2 * SAME).all():
            return
        raise InvalidInputError(
            f"{self.folder}: expected vectors of {name}; found those of another teacher ({self.teacher}), or with "
            f"another pooling: two sentences give other vectors. Use that teacher, or another folder."
        )


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder that `featurize` wrote."""
    return (Path(path) / STORE).is_file()


def unit(vectors: Float32[ndarray, "n H"]) -> Float32[ndarray, "n H"]:
    """Rows of unit length; zeros stay zeros.

    Example:
        >>> unit(np.array([[0, 2], [0, 0]], np.float32)).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, np.float32(1))


def probe_of(teacher: Teacher, prompt: str) -> Float32[ndarray, "2 H"]:
    """A teacher's unit vectors of the probes."""
    return unit(teacher.encode(PROBES, prompt=prompt))


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"shard-{number:05d}.safetensors"


def shard_numbers(folder: Path) -> list[int]:
    """The numbers of the shards that are there."""
    matches = (re.fullmatch(r"shard-(\d{5,9})\.safetensors", path.name, re.ASCII) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def write_settings(store: FeatureStore) -> None:
    """Write `store.json`, in one step."""
    settings = {
        "format": FORMAT,
        "teacher": store.teacher,
        "prompt": store.prompt,
        "dim": store.dim,
        "shard_size": store.shard_size,
        "probe": [[round(value, 6) for value in vector] for vector in store.probe.tolist()],
    }
    unfinished = store.folder / f"{STORE}.part"
    unfinished.write_text(json.dumps(settings, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(store.folder / STORE)


def read_settings(folder: Path) -> FeatureStore:
    """What `store.json` says, checked; the store's texts are not counted.

    Raises:
        ModelFormatError: It is damaged, or of another format.
    """
    path = folder / STORE
    raw = read_json(path)
    if raw.get("format") != FORMAT:
        raise ModelFormatError(
            f"{path}: expected a store of features in format {FORMAT}; found {raw.get('format')!r}. Does it need a "
            f"newer m2v-distill?"
        )
    teacher, prompt, dim, size, probe = (raw.get(name) for name in ("teacher", "prompt", "dim", "shard_size", "probe"))
    sound = all(isinstance(name, str) for name in (teacher, prompt)) and all(
        type(number) is int and 0 < number < 1 << 31 for number in (dim, size)
    )
    if not (sound and _is_table(probe, len(PROBES), dim)):
        raise ModelFormatError(
            f"{path}: expected teacher and prompt (texts), dim and shard_size (numbers above 0) and probe "
            f"({len(PROBES)} x dim numbers); found others. Remove {folder}, and run featurize again."
        )
    return FeatureStore(folder, teacher, prompt, dim, size, 0, np.array(probe, np.float32))


def _is_table(value: Any, height: int, width: int) -> bool:
    """Whether a JSON value is a list of lists of such numbers as unit vectors have."""
    return (
        isinstance(value, list)
        and len(value) == height
        and all(isinstance(row, list) and len(row) == width for row in value)
        and all(type(number) in (int, float) and -1.001 <= number <= 1.001 for row in value for number in row)
    )
