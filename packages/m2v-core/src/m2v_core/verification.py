"""`verify`: the vectors of a model by m2v and by the other libraries that read its folder.

Each library runs in a process of its own, and may be installed for another Python. Nothing of it is imported here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.errors import InvalidInputError, MissingPackageError
from m2v_core.model import StaticModel
from m2v_core.storage.format import MODULES_FILE, sentence_transformers_agrees
from m2v_core.storage.resolve import resolve

#: Largest difference of a number that is only rounding, for numbers up to 1; for larger ones it is relative.
TOLERANCE = 1e-5

#: Difference up to which a float16 table is why, for a reader that computes in float16; the same for larger numbers.
FLOAT16_TOLERANCE = 1e-3

#: Distribution of each reader -> code that makes `model`.
READERS: Mapping[str, str] = {
    "model2vec": "import model2vec; model = model2vec.StaticModel.from_pretrained(folder)",
    "sentence-transformers": (
        "import sentence_transformers; model = sentence_transformers.SentenceTransformer(folder, device='cpu')"
    ),
}

#: Texts that show where readers differ: six languages, emoji, an added token, none, many, and words nobody knows.
TEXTS: Sequence[str] = (
    "A good day begins with a cup of coffee.",
    "I lost my card yesterday; how do I order a new one?",
    "good",
    "The QUICK brown fox, 3.14 times -- isn't it?",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "Où est la bibliothèque la plus proche ?",
    "今日はとてもいい天気ですね。",
    "今天天气很好,我们去公园吧。",
    "Сегодня хорошая погода, пойдём гулять.",
    "आज मौसम बहुत अच्छा है।",
    "What a day 😀🎉 #sunny @home https://example.org/a?b=c",
    "A text with [MASK] and <unk> in it.",
    "Zwölf Boxkämpfer jagen Viktor\tquer\nüber   den Sylter Deich",
    "word ꙮꙮꙮ 𓀀𓀁 word",
    "𓀀𓀁",
    "",
    "   ",
    "good day " * 40,
    "good day " * 1500,
    "𓀀 good day " * 700,
)

_MARK = "m2v-verify:"

_UNEXPLAINED = "m2v knows no reason: please report it"

_CODE = """
import importlib.metadata, json, sys
name, folder, code = sys.argv[1:]
answer = {}
try:
    answer["version"] = importlib.metadata.version(name)
except importlib.metadata.PackageNotFoundError:
    pass
else:
    try:
        exec(code)
        vectors = model.encode(json.load(sys.stdin))
        answer["vectors"] = [[float(number) for number in vector] for vector in vectors]
    except Exception as error:
        answer["error"] = f"{type(error).__name__}: {error}"
print("\\n" + MARK + json.dumps(answer))
"""


@dataclass(frozen=True)
class Difference:
    """Texts whose vectors differ by more than rounding, for one reason.

    Attributes:
        reason: Why, as far as m2v knows.
        texts: How many there are.
        largest: The largest difference of a number; `None` if the reader gives NaN.
        example: One of the texts, shortened.
        expected: Whether the reader computes these texts in another way by its rules, as `docs/format.md` says, and
            no wrong vectors.
    """

    reason: str
    texts: int
    largest: float | None
    example: str
    expected: bool = False


@dataclass(frozen=True)
class Reading:
    """A reader's vectors beside those of m2v.

    Attributes:
        reader: Name of the library.
        version: Its version; `None` if it is not installed.
        largest: The largest difference of a number, over all texts; `None` without vectors, or with NaN among them.
        differences: The texts that differ.
        problem: Why there are no vectors, if there are none.
        same: Whether all vectors are the same but for rounding; `None` if the folder is not for this reader.
    """

    reader: str
    version: str | None = None
    largest: float | None = None
    differences: tuple[Difference, ...] = ()
    problem: str | None = None
    same: bool | None = None

    @property
    def expected(self) -> bool | None:
        """Whether all vectors are the same, or differ only as expected; `None` if the folder is not for it."""
        if self.same is not False:
            return self.same
        return bool(self.differences) and all(each.expected for each in self.differences)


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        model: The folder.
        texts: Number of texts.
        tolerance: Differences up to this are rounding.
        readings: One for each reader.
    """

    model: str
    texts: int
    tolerance: float
    readings: tuple[Reading, ...]

    @property
    def same(self) -> bool:
        """Whether some reader was compared, and all that were computed the same vectors."""
        compared = [reading.same for reading in self.readings if reading.same is not None]
        return bool(compared) and all(compared)

    @property
    def expected(self) -> bool:
        """Whether some reader was compared, and all computed the same vectors or differ only as expected."""
        compared = [reading.expected for reading in self.readings if reading.expected is not None]
        return bool(compared) and all(compared)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "same": self.same, "expected": self.expected}


def verify(
    path: str | os.PathLike[str], *, python: str | os.PathLike[str] | None = None, tolerance: float = TOLERANCE
) -> Verification:
    """Compare the vectors that m2v, model2vec and sentence-transformers compute with a model.

    The texts are in six languages; among them are an empty one, one without known tokens and long ones. A difference
    above the tolerance is not always an error: the reasons say what the reader does in another way.

    Args:
        path: A folder, or a repository id.
        python: Another Python in which the libraries are installed. Default: this one.
        tolerance: Largest difference that is only rounding, relative for numbers above 1.

    Raises:
        MissingPackageError: None of the libraries is installed.
        InvalidInputError: There is no such Python.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.
    """
    checks.number("tolerance", tolerance, least=0)
    folder = resolve(path, subfolder=None, token=None, revision=None, force_download=True)
    model = StaticModel.from_pretrained(folder)
    vectors = model.encode(TEXTS)
    answers = {name: _answer(name, code, folder, python) for name, code in READERS.items()}
    if not any("version" in answer for answer in answers.values()):
        raise MissingPackageError(
            f"Neither {' nor '.join(READERS)} is installed for {python or sys.executable}. Install one of them (first "
            f"pip install torch for a CPU), or name the Python of another environment: python=."
        )
    readings = (_reading(name, answer, model, folder, vectors, tolerance) for name, answer in answers.items())
    return Verification(str(folder), len(TEXTS), tolerance, tuple(readings))


def _answer(name: str, code: str, folder: Path, python: str | os.PathLike[str] | None) -> dict[str, Any]:
    """What a reader computes: its version, unless it is not installed, and vectors or an error."""
    settings = {"HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore", "TOKENIZERS_PARALLELISM": "false"}
    if name == "sentence-transformers" and not (folder / MODULES_FILE).is_file():
        code = ""  # no model is read, but the version is of interest
    command = [str(python or sys.executable), "-c", f"MARK = {_MARK!r}{_CODE}", name, str(folder.resolve()), code]
    with TemporaryDirectory(prefix="m2v-") as elsewhere:  # so that no file here is taken for a module
        try:
            done = subprocess.run(  # noqa: S603 - our own code, in a Python that the user names
                command,
                input=json.dumps(TEXTS),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                cwd=elsewhere,
                env={**os.environ, **settings},
                check=False,
            )
        except OSError as error:
            raise InvalidInputError(
                f"python should be a Python to run; found {command[0]}: {error.strerror or error}."
            ) from None
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if lines:
        answer: dict[str, Any] = json.loads(lines[-1].removeprefix(_MARK))
        return answer
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    return {"version": "?", "error": f"the process ended with {done.returncode}: {last}"}


def _reading(
    name: str, answer: dict[str, Any], model: StaticModel, folder: Path, ours: NDArray[Any], tolerance: float
) -> Reading:
    version = answer.get("version")
    if version is None:
        return Reading(name, problem="not installed")
    if name == "sentence-transformers" and not (folder / MODULES_FILE).is_file():
        return Reading(name, version, problem=_not_for_sentence_transformers(model))
    if "error" in answer:
        return Reading(name, version, problem=answer["error"], same=False)
    theirs = np.array(answer["vectors"], np.float64)
    if theirs.shape != ours.shape:
        return Reading(name, version, problem=f"vectors of shape {theirs.shape}; m2v: {ours.shape}", same=False)
    errors = np.abs(theirs - ours).max(axis=1) / np.maximum(np.abs(ours).max(axis=1), 1)
    differences = tuple(_differences(name, version, model, errors, tolerance))
    largest = None if np.isnan(errors).any() else float(errors.max())
    return Reading(name, version, largest, differences, same=not differences)


def _differences(
    name: str, version: str, model: StaticModel, errors: NDArray[np.float64], tolerance: float
) -> Iterator[Difference]:
    groups: dict[tuple[str, bool], list[int]] = {}
    for index in np.flatnonzero(~(errors <= tolerance)).tolist():
        reason, expected = _reason(name, version, model, TEXTS[index], errors[index])
        groups.setdefault((reason, expected and not np.isnan(errors[index])), []).append(index)
    for (reason, expected), indices in groups.items():
        largest = float(errors[indices].max())
        first = TEXTS[indices[0]]
        example = first if len(first) <= 40 else f"{first[:40]}..."
        yield Difference(reason, len(indices), None if np.isnan(largest) else largest, example, expected)


def _not_for_sentence_transformers(model: StaticModel) -> str:
    """Why a save wrote no `modules.json`: rule 15 of the format."""
    stored = model.stored
    parts = [name for name in ("weights", "mapping") if getattr(stored, name) is not None]
    parts += ["an int8 table"] if stored.embeddings.dtype == np.int8 else []
    parts = parts or ["a row for the unknown token, or no normalisation"]
    return f"not for this reader: without modules.json, because of {' and '.join(parts)} (rule 15 of the format)"


def _reason(name: str, version: str, model: StaticModel, text: str, error: np.float64) -> tuple[str, bool]:
    """Why a reader's vector of a text differs, as far as m2v knows, and whether that is as expected."""
    table, unknown, limit = model.embedding.dtype.name, model.unk_token_id, model.max_length
    in_float16, is_rounding = table == "float16", bool(error <= FLOAT16_TOLERANCE)
    ids = model._tokenizer.with_unknown([text]).values
    has_unknown = unknown is not None and unknown in ids
    if name == "model2vec":
        near_limit = limit is not None and 2 * len(ids) > limit  # it cuts characters by an estimate
        if near_limit and (has_unknown or not in_float16):
            return (
                "it cuts long texts by characters before it counts tokens, and removes unknown tokens after that",
                True,
            )
        return ("it averages a float16 table in float16", is_rounding) if in_float16 else (_UNEXPLAINED, False)
    old = re.match(r"[0-5]\.|6\.[01](?!\d)", version) is not None
    if old and (model.weights is not None or model.token_mapping is not None):
        return "versions before 6.2 ignore weights and mapping", False
    if np.isnan(error) and in_float16:
        return "in float16 its Normalize divides 0 by 0: SentenceTransformer(folder).float() does not", False
    is_long = limit is not None and len(ids) > limit
    if has_unknown and (is_long or not sentence_transformers_agrees(model.stored, unknown)):
        return "it counts the unknown token, which m2v leaves out", is_long  # in a short text it changes no direction
    return ("it computes in float16", is_rounding) if in_float16 else (_UNEXPLAINED, False)
