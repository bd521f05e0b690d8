"""Check what `examples/image/Containerfile` makes, without a container engine: by bubblewrap (Linux).

The root holds a bare Python, the libraries that it is linked to, m2v-core with numpy and safetensors, and a model. It
is read-only; there is no home, no network, no /tmp, no /proc and no /dev, the user is nobody, and memory is limited
where control groups can be written. `nox -s image` runs it; `-- --model FOLDER` takes a model of your own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "tests" / "golden" / "students" / "model2vec"
LIMIT = 128 * 2**20
GROUPS = Path("/sys/fs/cgroup/memory")

#: Parts of the standard library that no program needs at run time.
LEFT_OUT = ("site-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "config-*")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the root, run the checks in it, and print figures; the exit code is 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="a folder in which m2v-core, numpy and safetensors were installed")
    parser.add_argument("--model", type=Path, default=MODEL, help="a model folder (default: one of the tests')")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        make_root(root, options.site, options.model)
        for name in ("app", "model", "usr"):
            print(f"{name:<24} {size(root / name) / 1e6:7.1f} MB")
        return 0 if run_checks(root, Path(folder)) else 1


def make_root(root: Path, site: Path, model: Path) -> None:
    """The file system of the image."""
    shutil.copytree(site, root / "app", ignore=shutil.ignore_patterns("__pycache__", "bin", "tests"))
    shutil.copy(ROOT / "examples" / "image" / "__main__.py", root / "app")
    shutil.copytree(model, root / "model")
    subprocess.run([sys.executable, "-I", root / "app", "compile", root / "model", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", root / "app"], check=True)
    copy_python(root)


def copy_python(root: Path) -> None:
    """The interpreter, its standard library, and the shared libraries that it and the extension modules load."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib"))
    target = root / "usr" / "lib" / version
    left_out = shutil.ignore_patterns(*LEFT_OUT, "*.a", "*.opt-?.pyc")
    shutil.copytree(library, target, ignore=left_out, symlinks=True)
    binary = root / "usr" / "bin" / "python3"
    binary.parent.mkdir(parents=True)
    shutil.copy(os.path.realpath(sys.executable), binary)
    for file in (binary, *(root / "app").rglob("*.so"), *target.rglob("*.so")):
        for needed in linked(file):
            copy = root / needed.relative_to("/")
            if not copy.exists() and root not in needed.parents:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(os.path.realpath(needed), copy)


def linked(file: Path) -> Iterator[Path]:
    """The shared libraries of a program, as the linker finds them here."""
    said = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
    return (Path(found) for found in re.findall(r"(?:=> |^\t)(/\S+) \(", said, flags=re.MULTILINE))


def size(folder: Path) -> int:
    """The bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


# --- checks -----------------------------------------------------------------------------------------------------------


def run_checks(root: Path, outside: Path) -> bool:
    """Run each command in the root and compare its output; print time and memory."""
    text = "a good day\nund noch einer\n"
    expected = subprocess.run(
        [sys.executable, "-I", root / "app", "encode", root / "model"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with memory_group() as group:
        checks = {
            "embeds a text": (["encode", "/model", "-q"], text, lambda done: close(done.stdout, expected)),
            "knows its model": (["info", "/model", "--json"], "", lambda done: json.loads(done.stdout)["tokens"] > 0),
            "is in order": (["doctor", "--json"], "", lambda done: json.loads(done.stdout)["ok"]),
            "cannot write": (
                ["encode", "/model", "--out", "/x.npy"],
                text,
                lambda done: done.returncode == 1 and "m2v: error" in done.stderr and "Traceback" not in done.stderr,
            ),
        }
        good = [check(root, name, *parts, group=group) for name, parts in checks.items()]
        good.append(is_limited(root, group))
    return all(good) and not (outside / "x.npy").exists()


def check(root: Path, name: str, command: list[str], text: str, holds: object, *, group: Path | None) -> bool:
    """Run a command of m2v in the root; print whether it did what it should, its time and its largest memory."""
    started = time.perf_counter()
    done, peak = run(root, ["/usr/bin/python3", "-I", "-S", "/app", *command], text, group)
    seconds = time.perf_counter() - started
    try:
        good = bool(holds(done)) and peak <= LIMIT  # type: ignore[operator] # a function
    except ValueError:  # no JSON
        good = False
    print(f"{name:<24} {'ok' if good else 'FAILED'}, {seconds:.2f} s, {peak / 2**20:.0f} MiB at most")
    if not good:
        print(f"  exit code {done.returncode}\n  {done.stdout[-500:]}\n  {done.stderr[-2000:]}")
    return good


def run(root: Path, command: list[str], text: str, group: Path | None) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run a command in the root, cut off from everything, and return its largest resident memory too."""
    cut_off = [
        *(f"--unshare-{name}" for name in ("user", "ipc", "net", "uts", "cgroup-try")),
        "--clearenv",
        "--die-with-parent",
        "--new-session",
        "--uid",
        "65534",
        "--gid",
        "65534",
    ]
    inside = [shutil.which("bwrap") or "bwrap", "--ro-bind", str(root), "/", *cut_off, "--chdir", "/", "--", *command]
    join = f"echo $$ > {group / 'cgroup.procs'}; " if group else ""
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(text)
        given.seek(0)
        started = subprocess.Popen(["sh", "-c", f'{join}exec "$@"', "sh", *inside], stdin=given, stdout=out, stderr=err)
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess(command, started.returncode, out.read(), err.read())
    return done, used.ru_maxrss * 1024


def close(found: str, expected: str) -> bool:
    """Whether two outputs of `m2v encode` hold the same numbers, within rounding: kernels differ by alignment."""
    one, other = ([json.loads(line) for line in text.splitlines()] for text in (found, expected))
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return bool(pairs) and all(abs(a - b) < 1e-6 for a, b in pairs)


def is_limited(root: Path, group: Path | None) -> bool:
    """Whether a program that takes more memory than the limit is ended: else the checks would prove nothing."""
    if group is None:
        print(
            "memory is not limited here (no control group of version 1 can be written): the peaks above were compared"
        )
        return True
    greedy = "b = bytearray(200 * 2**20); b[::4096] = bytes([1]) * len(b[::4096])"
    done, _ = run(root, ["/usr/bin/python3", "-I", "-S", "-c", greedy], "", group)
    good = done.returncode != 0
    print(f"{'is held to 128 MiB':<24} {'ok' if good else 'FAILED'}: a program that takes 200 MiB is ended")
    return good


@contextmanager
def memory_group() -> Iterator[Path | None]:
    """A control group with the limit; `None` where none can be made."""
    group = GROUPS / f"m2v-image-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


if __name__ == "__main__":
    sys.exit(main())
