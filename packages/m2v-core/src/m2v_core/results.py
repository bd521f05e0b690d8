"""Results of measurements beside a model: `m2v train` and `m2v evaluate` write `m2v_results.json`, cards read it.

The file holds the digest of the tensors that were measured. Where the model has others by now, its results are ignored.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from m2v_core.errors import ModelFormatError
from m2v_core.storage.atomic import replaced_file
from m2v_core.storage.files import json_bytes, read_json
from m2v_core.storage.format import HEAD_FILE, RESULTS_FILE, TENSOR_FILE
from m2v_core.threads import available_cpus

#: Our names of measures, and those by which the Hub lists them.
_NAMES = {
    "accuracy": "accuracy",
    "mean squared error": "mse",
    "mean absolute error": "mae",
    "R2": "r_squared",
    "mean cosine": "mean_cosine",
    "mean cosine of pairs": "mean_cosine",
    "nearest text_b is right": "accuracy_at_1",
}
_WORDS = ("metric", "dataset", "split")
_MOST = 1000


def results_of(report: Mapping[str, Any], *, dataset: str, split: str | None = None) -> list[dict[str, Any]]:
    """The measures of a report as results: one for each measure of numbers or pairs; accuracy and mean F1 of classes.

    Args:
        report: What `m2v evaluate --json` prints.
        dataset: Name of the data set.
        split: Its part.

    Example:
        >>> results_of({"R2": 0.5, "mean cosine": None}, dataset="org/data", split="test")
        [{'metric': 'r_squared', 'value': 0.5, 'dataset': 'org/data', 'split': 'test'}]
    """
    found = {_NAMES[name]: value for name, value in report.items() if name in _NAMES and isinstance(value, float)}
    if isinstance(report.get("macro avg"), Mapping):
        found["f1"] = report["macro avg"]["f1-score"]
    where = {"dataset": dataset} | ({} if split is None else {"split": split})
    return [{"metric": metric, "value": value, **where} for metric, value in found.items()]


def save_results(
    folder: str | os.PathLike[str],
    results: Sequence[Mapping[str, Any]],
    *,
    speed: Mapping[str, Any] | None = None,
) -> Path:
    """Add results to those of the model in a folder; a result of the same metric, data set and split is replaced.

    Args:
        folder: A model.
        results: Objects with the keys metric, value, dataset and, if it is known, split.
        speed: An object with the keys texts_per_second, machine and dataset. Default: that which is there.

    Raises:
        ModelFormatError: The file that is there cannot be read.
    """
    import json

    before = read_results(folder)
    kept = [old for old in before["results"] if _key(old) not in set(map(_key, results))]
    content = {
        "model": _digest(Path(folder)),
        "results": [*kept, *map(dict, results)],
        "speed": before["speed"] if speed is None else dict(speed),
    }
    path = Path(folder) / RESULTS_FILE
    with replaced_file(path, "wb") as file:
        file.write(json_bytes(json.dumps(content, ensure_ascii=False, indent=1) + "\n"))
    return path


def read_results(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The results of the model in a folder, under `results`, and its speed, or `None`, under `speed`.

    Both are empty if nothing was measured, or another model was.

    Raises:
        ModelFormatError: The file is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tiny_model().save_pretrained(folder)
        ...     _ = save_results(folder, results_of({"R2": 0.5}, dataset="org/data"))
        ...     read_results(folder)["results"]
        [{'metric': 'r_squared', 'value': 0.5, 'dataset': 'org/data'}]
    """
    path = Path(folder) / RESULTS_FILE
    if not path.is_file():
        return {"results": [], "speed": None}
    raw = read_json(path)
    results, speed = raw.get("results"), raw.get("speed")
    if not (isinstance(results, list) and len(results) <= _MOST and all(map(_is_result, results))):
        raise ModelFormatError(
            f"{path}: expected results with metric, value and dataset; found others. Remove the file."
        )
    if not (speed is None or _is_speed(speed)):
        raise ModelFormatError(f"{path}: expected a speed in texts_per_second; found {speed!r:.100}. Remove the file.")
    if raw.get("model") != _digest(Path(folder)):
        return {"results": [], "speed": None}
    return {"results": results, "speed": speed}


def machine() -> str:
    """The processor and the number of CPUs that this process may use.

    Example:
        >>> "CPU" in machine()
        True
    """
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except (OSError, ValueError):  # another system
        pass
    return f"{name}, {available_cpus()} CPUs"


def _key(result: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(result.get(name) for name in _WORDS)


def _is_result(result: Any) -> bool:
    if not isinstance(result, dict) or not set(result) <= {*_WORDS, "value"}:
        return False
    words = all(isinstance(result.get(name), str) for name in ("metric", "dataset"))
    return words and isinstance(result.get("split", ""), str) and _is_number(result.get("value"))


def _is_speed(speed: Any) -> bool:
    words = isinstance(speed, dict) and all(isinstance(speed.get(name), str) for name in ("machine", "dataset"))
    return words and _is_number(speed.get("texts_per_second"))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _digest(folder: Path) -> str:
    """SHA-256 of a model's tensors, and those of its head."""
    digest = hashlib.sha256()
    for name in (TENSOR_FILE, HEAD_FILE):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
