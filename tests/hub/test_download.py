"""Real traffic with the real client: m2v-hub against a Hub on loopback, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from hub.loopback import Hub, Repo, running
from m2v_core import StaticModel

SECRET = "hf_" + "Sesame" * 6
MODEL = "org/model"


def files_of(folder: Path, prefix: str = "") -> dict[str, bytes]:
    return {prefix + str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: a model, another in a subfolder, and files that no static model needs."""
    path = tmp_path_factory.mktemp("hub") / "repo"
    make_model(normalize=True).save_pretrained(path)
    make_model(dim=3).save_pretrained(path / "small/int8")
    (path / "pytorch_model.bin").write_bytes(b"\x80" * 5_000)
    (path / "onnx").mkdir()
    (path / "onnx/model.onnx").write_bytes(b"\0" * 5_000)
    (path / "README.md").write_text("# a model")
    return path


@pytest.fixture
def hub(folder: Path, tmp_path: Path) -> Iterator[Hub]:
    make_model(dim=5).save_pretrained(tmp_path / "v1")
    revisions = {"main": files_of(folder), "v1": files_of(tmp_path / "v1")}
    repos = {
        MODEL: Repo(revisions),
        "org/private": Repo(revisions, token=SECRET),
        "org/gated": Repo(revisions, gated=True),
        "org/empty": Repo({"main": {"README.md": b"nothing here"}}),
    }
    with running(Hub(repos=repos)) as server:
        yield server


@pytest.fixture
def python(hub: Hub, tmp_path: Path):
    """Run a snippet with the Hub as its endpoint; returns what it printed as JSON, or the finished process."""

    def run(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "NO_COLOR": "1"}
        env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), **quiet, **variables}
        command = [sys.executable, *(["-c", code] if code else []), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)

    return run


def loads(done: subprocess.CompletedProcess[str]) -> object:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOAD = """
import json, sys
from m2v_core import StaticModel
options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
model = StaticModel.from_pretrained(sys.argv[1], **options)
print(json.dumps({"dim": model.dim, "vectors": model.encode(["good day", "bad"]).tolist()}))
"""


def load(python, name: str = MODEL, variables: dict[str, str] | None = None, **options: object):
    return python(LOAD, name, json.dumps(options), **(variables or {}))


def test_a_model_by_its_name(hub: Hub, python, folder: Path) -> None:
    result = loads(load(python))
    expected = StaticModel.from_pretrained(folder).encode(["good day", "bad"])
    assert np.array_equal(np.array(result["vectors"], np.float32), expected)
    fetched = {path.split("/", 4)[-1] for _, path in hub.requests if "/resolve/" in path}
    assert fetched >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not any("onnx" in path or path.endswith(".bin") or "small" in path for _, path in hub.requests)


def test_the_cache(hub: Hub, python) -> None:
    first = loads(load(python))
    hub.requests.clear()
    assert loads(load(python, force_download=False)) == first
    assert hub.requests == []  # nothing was asked
    assert loads(load(python)) == first
    assert not [
        path for method, path in hub.requests if method == "GET" and "/resolve/" in path
    ]  # nothing is fetched twice
    assert loads(load(python, variables={"HF_HUB_OFFLINE": "1"})) == first
    assert loads(load(python, variables={"HF_ENDPOINT": "http://127.0.0.1:9"})) == first  # the Hub is gone


def test_the_ref_decides(hub: Hub, python) -> None:
    loads(load(python))
    assert loads(load(python, revision="v1"))["dim"] == 5  # now the newest folder in the cache
    assert loads(load(python, force_download=False))["dim"] == 8
    assert loads(load(python, force_download=False, revision="v1"))["dim"] == 5


def test_revisions_and_subfolders(hub: Hub, python) -> None:
    commit = hub.repos[MODEL].commit("v1")
    assert loads(load(python, revision=commit))["dim"] == 5
    hub.requests.clear()
    assert loads(load(python, subfolder="small/int8", force_download=False))["dim"] == 3
    assert loads(load(python, force_download=False))["dim"] == 8  # only the subfolder was cached so far
    assert not any("onnx" in path for _, path in hub.requests)


def fails(done: subprocess.CompletedProcess[str], kind: str, *parts: str) -> None:
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"m2v_core.errors.{kind}: "), done.stderr
    for part in parts:
        assert part in last
    assert SECRET not in done.stdout + done.stderr


def test_what_cannot_be_had(python) -> None:
    missing = "ModelNotFoundError"
    fails(load(python, "org/none"), missing, "no model org/none", "private", "hf auth login")
    fails(load(python, "org/gated"), missing, "gated", "accept its terms")
    fails(load(python, revision="v9"), missing, "no revision 'v9'")
    fails(load(python, subfolder="none"), missing, "none")
    fails(load(python, "org/empty"), missing, "no static model")
    fails(load(python, variables={"HF_HUB_OFFLINE": "1"}), missing, "not in the cache", "HF_HUB_OFFLINE")
    fails(load(python, variables={"HF_ENDPOINT": "http://127.0.0.1:9"}), missing, "not in the cache")


def test_tokens_stay_secret(python) -> None:
    wrong = load(python, "org/private", token=SECRET[:-1] + "!")
    fails(wrong, "ModelNotFoundError", "private")
    assert SECRET[:-1] not in wrong.stdout + wrong.stderr
    assert loads(load(python, "org/private", token=SECRET))["dim"] == 8
    assert loads(load(python, "org/private", variables={"HF_TOKEN": SECRET}))["dim"] == 8


def test_the_command(python) -> None:
    done = python("", "-m", "m2v_core", "info", MODEL, "--json")
    assert loads(done)["dimensions"] == 8
    assert done.stderr == ""
    done = python("", "-m", "m2v_core", "info", "org/none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("m2v: error: The Hub has no model org/none")
    assert len(done.stderr.splitlines()) == 1


def test_without_m2v_hub(python, tmp_path: Path) -> None:
    """m2v-core where no resolver is registered: its sources, without the entry points of what is installed."""
    code = "import importlib.metadata as m; m.entry_points = lambda **_: ()\n" + LOAD
    fails(python(code, MODEL), "MissingPackageError", "pip install m2v-hub")


def test_downloading_directly(hub: Hub, python) -> None:
    code = """
import json, sys
from m2v_hub import download
from m2v_core import InvalidInputError
first = download("org/model", cache_dir="here")
again = download("org/model", cache_dir="here", local_files_only=True)
try:
    download("no/such/name")
except InvalidInputError as error:
    print(json.dumps([str(first), first == again, sorted(p.name for p in first.iterdir()), str(error)]))
"""
    folder, same, names, error = loads(python(code))
    assert same
    assert "here/models--org--model/" in folder
    assert names == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert "found 'no/such/name'" in error
