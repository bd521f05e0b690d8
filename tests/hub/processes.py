"""The real client in processes of their own: huggingface_hub reads its endpoint and cache once, when it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forks import Forks
from hub.loopback import Hub

WRITER, READER, SECRET = ("hf_" + word * 6 for word in ("Writer", "Reader", "Sesame"))
TOKENS = (WRITER, READER, SECRET)
MODEL = "org/model"
PROJECT = Path(__file__).parents[2] / "packages/m2v-hub/pyproject.toml"

#: What the end of the tests' output tells.
figures: list[str] = []

#: All that is slow to import but huggingface_hub itself.
FORKS = Forks(
    *(
        "m2v_core.cli.main",
        "m2v_core.pipeline",
        "numpy",
        "safetensors.numpy",
        "tokenizers",
        "tqdm.auto",
        "jinja2",
        "yaml",
    ),
    *(
        "filelock",
        "fsspec",
        "httpx",
        "httpx2",
        "requests",
        "asyncio",
        "concurrent.futures",
        "packaging.version",
        "typer",
    ),
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]

#: Pauses are kept short, and told.
QUICK = """
import json, sys, time
naps = []
def nap(seconds, sleep=time.sleep):
    naps.append(seconds)
    sleep(min(seconds, 0.02))
time.sleep = nap
"""

#: The entry points of this tree, which need not be those that are installed.
POINTS = f"""
import importlib.metadata
groups = {tomllib.loads(PROJECT.read_text())["project"]["entry-points"]!r}
importlib.metadata.entry_points = lambda group: [
    importlib.metadata.EntryPoint(name, value, group) for name, value in groups.get(group, {{}}).items()
]
"""

COMMAND = "import sys; from m2v_core.cli.main import main; sys.exit(main(sys.argv[1:]))"

LOAD = """
import json, sys
from m2v_core import StaticModel
options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
model = StaticModel.from_pretrained(sys.argv[1], **options)
print(json.dumps({"dim": model.dim, "vectors": model.encode(["good day", "bad"]).tolist()}))
"""

PUSH = """
import json, sys
from m2v_hub import push_to_hub
done = push_to_hub(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
print(json.dumps({"url": str(done), "commit": done.commit, "files": dict(done.files), "deleted": done.deleted}))
"""


def files_of(folder: Path, prefix: str = "") -> dict[str, bytes]:
    return {prefix + str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def process(hub: Hub, home: Path) -> Run:
    """A function that runs Python code with `hub` as its Hub, and its cache in `home`."""

    def run(code: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "NO_COLOR": "1"}
        env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), **quiet, **variables}
        home.parent.mkdir(parents=True, exist_ok=True)
        return FORKS.run(POINTS + code, *arguments, env=env, cwd=home.parent)

    return run


def load(run: Run, name: str = MODEL, variables: dict[str, str] | None = None, **options: object) -> Any:
    return run(LOAD, name, json.dumps(options), **(variables or {}))


def push(run: Run, folder: Path, name: str = MODEL, variables: dict[str, str] | None = None, **options: object) -> Any:
    return run(PUSH, folder, name, json.dumps({"token": WRITER, **options}), **(variables or {}))


def loads(done: subprocess.CompletedProcess[str]) -> Any:
    """What a process printed as JSON."""
    assert done.returncode == 0, done.stderr
    assert not any(token in done.stdout + done.stderr for token in TOKENS)
    return json.loads(done.stdout)


def fails(done: subprocess.CompletedProcess[str], kind: str, *parts: str) -> None:
    """It ended with one of our errors, which holds these words, and no token."""
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"m2v_core.errors.{kind}: "), done.stderr
    for part in parts:
        assert part in last
    assert not any(token in done.stdout + done.stderr for token in TOKENS)
