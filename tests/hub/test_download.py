"""Real traffic with the real client: pulling, in processes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hub.loopback import Hub
from hub.processes import LOAD, MODEL, SECRET, fails, load, loads
from m2v_core import StaticModel


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


def test_what_cannot_be_had(python) -> None:
    missing = "ModelNotFoundError"
    fails(load(python, "org/none"), missing, "no model org/none", "private", "hf auth login")
    fails(load(python, "org/gated"), missing, "gated", "accept its terms")
    fails(load(python, revision="v9"), missing, "no revision 'v9'")
    fails(load(python, subfolder="none"), missing, "none")
    fails(load(python, "org/empty"), missing, "no static model")
    fails(load(python, variables={"HF_HUB_OFFLINE": "1"}), missing, "not in the cache", "HF_HUB_OFFLINE")
    fails(load(python, variables={"HF_ENDPOINT": "http://127.0.0.1:9"}), "TransferError", "cannot be reached")


def test_tokens_stay_secret(python) -> None:
    fails(load(python, "org/private"), "ModelNotFoundError", "private")
    wrong = load(python, "org/private", token=SECRET[:-1] + "!")
    fails(wrong, "TransferError", "status 401", "Invalid credentials")
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
