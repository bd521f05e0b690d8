"""With hf_xet, as huggingface_hub has it by default: large files go to its storage, here a folder (`local://`)."""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from hub.loopback import Hub
from hub.processes import WRITER, Run, files_of, load, loads, push

XET = {"HF_HUB_DISABLE_XET": "0", "HF_XET_LOG_LEVEL": "error"}
NEW = "org/new"

pytestmark = [
    pytest.mark.skipif(find_spec("hf_xet") is None, reason="hf_xet is not installed"),
    pytest.mark.skipif(
        version("huggingface_hub").startswith("0."), reason="huggingface_hub 0.x asks for Xet otherwise"
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="hf_xet's local:// storage is a path of POSIX"),
]

PULL = "import json, sys; from m2v_hub import download; print(json.dumps(str(download(sys.argv[1]))))"


@pytest.fixture
def store(hub: Hub, tmp_path: Path) -> Path:
    hub.xet_store = tmp_path / "xet"
    hub.xet_store.mkdir()
    return hub.xet_store


def test_there_and_back(hub: Hub, python: Run, folder: Path, store: Path) -> None:
    loads(push(python, folder, NEW, variants=["float16"], variables=XET))
    assert hub.asked("PUT", "store/") == []
    assert list(store.rglob("*"))
    pulled = Path(loads(python(PULL, NEW, **XET)))
    assert hub.asked("GET", "store/") == []
    sent = files_of(folder)
    got = files_of(pulled)
    assert {name: got[name] for name in ("config.json", "model.safetensors", "tokenizer.json")} == {
        name: sent[name] for name in ("config.json", "model.safetensors", "tokenizer.json")
    }
    assert loads(load(python, NEW, subfolder="float16", variables=XET))["dim"] == 8
    loads(push(python, folder, NEW, variants=["float16"], variables=XET))  # nothing new
    assert len(hub.repos[NEW].history()) == 2


def test_a_damaged_store(hub: Hub, python: Run, folder: Path, store: Path) -> None:
    """Storage that lost its data: a plain error, and nothing in the cache."""
    loads(push(python, folder, NEW, variables=XET))
    for path in store.rglob("default.*"):
        path.write_bytes(path.read_bytes()[:100])
    done = load(python, NEW, variables=XET)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("m2v_core.errors.TransferError: Fetching org/new failed")
    assert WRITER not in done.stdout + done.stderr
    done = load(python, NEW, variables={**XET, "HF_HUB_OFFLINE": "1"})
    assert "not in the cache" in done.stderr
