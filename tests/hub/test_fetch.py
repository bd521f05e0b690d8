"""Real traffic with the real client: pulling, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hub.loopback import Hub, Repo
from hub.processes import LOAD, MODEL, SECRET, fails, files_of, load, loads
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


def test_without_m2v_hub(python, tmp_path: Path) -> None:
    """m2v-core where no resolver is registered: its sources, without the entry points of what is installed."""
    code = "importlib.metadata.entry_points = lambda **_: ()" + LOAD
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


PULL = """
import json, sys
from m2v_hub import download
print(json.dumps(str(download(sys.argv[1], **json.loads(sys.argv[2])))))
"""


def test_a_commit_needs_no_request(hub: Hub, python) -> None:
    """What a whole hash names never changes."""
    commit = hub.repos[MODEL].commit("v1")
    folder = loads(python(PULL, MODEL, json.dumps({"revision": commit})))
    hub.requests.clear()
    assert loads(python(PULL, MODEL, json.dumps({"revision": commit}))) == folder
    assert hub.requests == []
    assert loads(python(PULL, MODEL, json.dumps({"revision": commit, "force_download": True}))) == folder
    assert len(hub.asked("GET", "store/")) == 1


def test_what_others_left_half(hub: Hub, python) -> None:
    """huggingface_hub writes a ref before the files: without the table it is no model, and the rest is fetched."""
    code = """
import json, sys
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download(sys.argv[1], allow_patterns=["config.json", "tokenizer.json"])))
"""
    half = Path(loads(python(code, MODEL)))
    assert (half / "config.json").is_file()
    fails(load(python, variables={"HF_HUB_OFFLINE": "1"}), "ModelNotFoundError", "not in the cache")
    hub.requests.clear()
    assert loads(load(python, force_download=False))["dim"] == 8
    assert hub.asked("GET", "tokenizer.json") == []
    assert loads(load(python, variables={"HF_HUB_OFFLINE": "1"}))["dim"] == 8


def test_a_branch_that_moves(hub: Hub, python, other: Path) -> None:
    """The newest is fetched when the Hub is asked, and stays what the branch stands for."""
    assert loads(load(python))["dim"] == 8
    hub.repos[MODEL] = Repo({"main": files_of(other)})
    assert loads(load(python, force_download=False))["dim"] == 8
    assert loads(load(python))["dim"] == 5
    assert loads(load(python, force_download=False))["dim"] == 5


def test_the_hub_refuses_what_is_cached(hub: Hub, python) -> None:
    """A token that is no longer good takes no model away; a warning says so."""
    assert loads(load(python))["dim"] == 8
    done = load(python, token="hf_" + "expired" * 3)
    assert loads(done)["dim"] == 8
    assert "status 401" in done.stderr
    assert f"The cached files of {MODEL} are used." in done.stderr
    hub.repos.clear()
    assert loads(load(python))["dim"] == 8


def test_a_cache_that_is_read_only(hub: Hub, python, tmp_path: Path) -> None:
    """As in an image that was made with the model in it."""
    assert loads(load(python))["dim"] == 8
    ref = next(tmp_path.rglob("refs/main"))
    commit = ref.read_text()
    ref.unlink()
    ref.parent.rmdir()
    ref.parent.write_text("in the way")  # nobody can write a ref here, not even root
    assert loads(load(python))["dim"] == 8
    assert loads(load(python, revision=commit, variables={"HF_HUB_OFFLINE": "1"}))["dim"] == 8


def test_patterns_are_names(hub: Hub, python) -> None:
    fails(load(python, subfolder="*"), "InvalidInputError", "inside the repository")
    fails(load(python, subfolder="[s]mall/int8"), "ModelNotFoundError", "[s]mall/int8")
    assert hub.asked("GET", "store/") == []


def test_one_request_for_what_is_cached(hub: Hub, python) -> None:
    loads(python(PULL, MODEL, "{}"))
    hub.requests.clear()
    loads(python(PULL, MODEL, "{}"))
    assert hub.requests == [("GET", f"api/models/{MODEL}/revision/main")]
