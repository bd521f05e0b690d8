"""A repository is a stranger, and a token is a secret."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import make_model
from hub.loopback import Fault, Hub, Repo, running
from hub.loopback.storage import Commit, File
from hub.processes import MODEL, QUICK, READER, SECRET, TOKENS, WRITER, Run, fails, files_of, load, loads, process, push
from m2v_core import InvalidInputError
from m2v_hub.client import Client
from m2v_hub.names import checked_repo_id, checked_revision, checked_subfolder, is_inside

# --- files of strangers ------------------------------------------------------------------------------------------


def tensors(header: object, data: bytes = b"\0" * 64, length: int | None = None) -> dict[str, bytes]:
    """A safetensors file with a header of any kind."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return {"model.safetensors": struct.pack("<Q", len(text) if length is None else length) + text + data}


def table(dtype: str, shape: list[int], first: int, last: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP = b'{"a":' * 200_000 + b"1" + b"}" * 200_000

ODD = (
    "../evil",
    "/tmp/evil",  # noqa: S108
    "a/../../evil",
    "\x1b[2J",
    "a\nb",
    "..\\evil",
    "C:evil",
    "config.json/evil",
)

#: What a stranger's file holds, and the error; without an error the model loads.
STRANGERS: dict[str, tuple[dict[str, bytes], str | None]] = {
    "header longer than the file": (tensors({}, length=1 << 40), "ModelFormatError"),
    "header as long as can be": (tensors({}, length=(1 << 64) - 1), "ModelFormatError"),
    "header of nothing": (tensors(b""), "ModelFormatError"),
    "header that is deep": (tensors(DEEP), "ModelFormatError"),
    "header that is a list": (tensors([1]), "ModelFormatError"),
    "shape beyond the data": (tensors({"embeddings": table("F32", [1 << 30, 1 << 10], 0, 64)}), "ModelFormatError"),
    "shape that overflows": (tensors({"embeddings": table("F32", [1 << 33, 1 << 33], 0, 0)}, b""), "ModelFormatError"),
    "offsets past the end": (tensors({"embeddings": table("F32", [4, 1 << 30], 0, 1 << 34)}), "ModelFormatError"),
    "offsets backwards": (tensors({"embeddings": table("F32", [4, 4], 64, 0)}), "ModelFormatError"),
    "negative offsets": (tensors({"embeddings": table("F32", [4, 4], -64, 0)}), "ModelFormatError"),
    "infinite offsets": (
        tensors(b'{"embeddings":{"dtype":"F32","shape":[1],"data_offsets":[0,1e999]}}'),
        "ModelFormatError",
    ),
    "tensors that overlap": (
        tensors({"embeddings": table("F32", [4, 4], 0, 64), "weights": table("F32", [16], 0, 64)}),
        "ModelFormatError",
    ),
    "another dtype": (tensors({"embeddings": table("BOOL", [8, 8], 0, 64)}), "ModelFormatError"),
    "no dimensions": (tensors({"embeddings": table("F32", [35, 0], 0, 0)}, b""), "ModelFormatError"),
    "too few rows": (tensors({"embeddings": table("F32", [4, 4], 0, 64)}), "ModelFormatError"),
    "a deep config": ({"config.json": DEEP}, "ModelFormatError"),
    "a config of no sense": ({"config.json": b'{"model_type":"model2vec","max_length":-1}'}, "ModelFormatError"),
    "a huge config": ({"config.json": b'{"a":"' + b"x" * (11 << 20) + b'"}'}, "ModelFormatError"),
    "a link for a config": ({"config.json": b"../../../../etc/passwd"}, "ModelFormatError"),
    "a deep tokenizer": ({"tokenizer.json": DEEP}, "ModelFormatError"),
    "a tokenizer with far ids": (
        {"tokenizer.json": b'{"model":{"type":"WordLevel","vocab":{"a":0,"b":1000000000000},"unk_token":"a"}}'},
        "ModelFormatError",
    ),
    "a huge readme": ({"README.md": b"x" * (11 << 20)}, "ModelFormatError"),
    "a readme that is a bomb": ({"README.md": f"---\n{BOMB}---\n".encode()}, None),
    "a readme that is a template": (
        {"README.md": b"{{ ''.__class__.__mro__ }}{% for x in range(10**9) %}{% endfor %}"},
        None,
    ),
    "names of all kinds": (dict.fromkeys(ODD, b"evil"), None),
}

VISIT = """
import json, sys, time
from m2v_core import M2VError, StaticModel
results = {}
for name in json.loads(sys.argv[1]):
    start = time.monotonic()
    try:
        StaticModel.from_pretrained(name).encode(["good day"])
        error = None
    except M2VError as problem:
        error = [type(problem).__name__, str(problem)]
    results[name] = {"error": error, "seconds": time.monotonic() - start}
with open("/proc/self/status") as status:  # getrusage counts what the tests' own process had when it started this one
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([results, peak * 1024]))
"""


def repo_of(case: str) -> str:
    return "org/" + case.replace(" ", "-")


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any], int]]:
    home = tmp_path_factory.mktemp("strangers")
    make_model().save_pretrained(home / "model")
    sound = files_of(home / "model")
    repos = {repo_of(name): Repo({"main": sound | files}) for name, (files, _) in STRANGERS.items()}
    with running(Hub(repos=repos)) as hub:
        results, memory = loads(process(hub, home / "cache/home")(VISIT, json.dumps(list(repos))))
        yield home, results, memory


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers(name: str, visited: tuple[Path, dict[str, Any], int]) -> None:
    _, results, _ = visited
    result, expected = results[repo_of(name)], STRANGERS[name][1]
    if expected is None:
        assert result["error"] is None
    else:
        kind, message = result["error"]
        assert kind == expected
        assert "\x1b" not in message
        assert len(message) < 2_000
        assert "root:" not in message
    assert result["seconds"] < 5


def test_strangers_leave_nothing_behind(visited: tuple[Path, dict[str, Any], int]) -> None:
    """No file outside of the cache, nor by a name that was not asked for; and no memory for what headers claim."""
    home, _, memory = visited
    assert {path.name for path in home.iterdir()} == {"cache", "model"}
    assert not list(home.rglob("*evil*"))
    assert not Path("/tmp/evil").exists()  # noqa: S108
    assert memory < 600e6


def test_a_file_larger_than_the_disk(hub: Hub, python: Run) -> None:
    repo = hub.repos[MODEL]
    head = repo.commits[repo.refs["main"]]
    claimed = {**head.files, "model.safetensors": File(b"", True, 1 << 60, "0" * 64)}
    repo.refs["main"] = repo.add(Commit(claimed))
    fails(load(python), "TransferError", "1,152,921,504,606,8", "free")
    assert hub.asked("GET", "store/") == []


def test_a_file_that_cannot_be_written(hub: Hub, python: Run) -> None:
    """As on a disk that is full: an error that names the reason, and nothing half in the cache."""
    code = f"""
import resource, sys
sys.dont_write_bytecode = True  # a compiled module would be cut off
limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (700, limit))
from m2v_hub import download
try:
    download({MODEL!r})
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # for what is written at the end, such as coverage
"""
    fails(python(code), "TransferError", "Fetching org/model failed", "large")
    fails(load(python, variables={"HF_HUB_OFFLINE": "1"}), "ModelNotFoundError", "not in the cache")
    assert loads(load(python))["dim"] == 8


def test_a_card_that_is_a_bomb(hub: Hub, python: Run, other: Path) -> None:
    """A repository's own card is read by a push: aliases are refused, templates are text."""
    hub.repos[MODEL].write("README.md", f"---\n{BOMB}---\n".encode(), "a bomb")
    fails(push(python, other), "InvalidInputError", "alias")
    assert hub.repos[MODEL].history()[0] == "a bomb"
    hub.repos[MODEL].write("README.md", b"{{ 7 * 7 }}{% include '/etc/passwd' %}", "a template")
    loads(push(python, other))
    assert hub.repos[MODEL].files()["README.md"].endswith(b"{{ 7 * 7 }}{% include '/etc/passwd' %}")


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "a", "a/b/c", "../b", "a/..", "/a/b", "a/b/", "a b/c", "a/b\n", "a--b/c", "a/b..c", "a/é"]
)
def test_ids(name: str) -> None:
    with pytest.raises(InvalidInputError, match="org/name"):
        checked_repo_id(name)


@pytest.mark.parametrize(
    "name", ["", "..", "a/../b", "/a", "a//b", "a/", "a b", "a\nb", "a\\b", "a:b", "-a", "\x1b", "a/./b", "a*"]
)
def test_revisions(name: str) -> None:
    with pytest.raises(InvalidInputError, match="branch, tag or commit"):
        checked_revision(name)


@pytest.mark.parametrize("name", ["..", "a/../..", "/a", "a\\b", "C:", "a\nb", "*", ".git", "a/.git/b"])
def test_subfolders(name: str) -> None:
    with pytest.raises(InvalidInputError, match="inside the repository"):
        checked_subfolder(name)
    assert not is_inside(name)


def test_sound_names() -> None:
    assert checked_repo_id("org/a-name_1.0") == "org/a-name_1.0"
    assert [checked_revision(name) for name in (None, "v1.0", "refs/pr/7", "feature/é")] == [
        "main",
        "v1.0",
        "refs/pr/7",
        "feature/é",
    ]
    assert [checked_subfolder(name) for name in (None, "", "a/b/", "int8 (small)")] == ["", "", "a/b", "int8 (small)"]


def test_odd_names_ask_nothing(hub: Hub, python: Run, other: Path) -> None:
    fails(load(python, revision="../../../evil"), "InvalidInputError", "branch, tag or commit")
    fails(push(python, other, revision="a..b"), "InvalidInputError", "branch, tag or commit")
    fails(push(python, other, subfolder="../up"), "InvalidInputError", "inside the repository")
    fails(push(python, other, "org/a b"), "InvalidInputError", "org/name")
    assert hub.requests == []


# --- tokens ---------------------------------------------------------------------------------------------------------

WATCHED = (
    QUICK
    + """
import logging, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.getLogger().setLevel(logging.DEBUG)
from huggingface_hub.utils import logging as theirs
theirs.set_verbosity_debug()
theirs.enable_propagation()
from m2v_hub import download, push_to_hub
from m2v_core import StaticModel

def told(error, seen):
    if error is None or id(error) in seen:
        return []
    seen.add(id(error))
    own = [repr(error), str(error), repr(error.args), repr(vars(error)), *getattr(error, "__notes__", [])]
    return own + told(error.__cause__, seen) + told(error.__context__, seen)

failed = 0
for name, options in json.loads(sys.argv[2]):
    for action in (lambda: push_to_hub(sys.argv[1], name, **options), lambda: download(name, token=options.get("token"))):
        try:
            done = action()
            print(repr(done), done, getattr(done, "card", ""))
        except Exception as error:
            failed += 1
            traceback.print_exception(error)
            print(*told(error, set()), sep="\\n")
print("failed", failed)
"""
)


def test_no_token_in_anything(hub: Hub, python: Run, other: Path, tmp_path: Path) -> None:
    """All output of pushes and pulls that fail, with every logger at DEBUG, holds none of the tokens."""
    split = WRITER[:12] + "\n" + WRITER[12:]
    echo = {"message": f"the token {WRITER} is not good, nor is Bearer {WRITER}"}
    for repo_id in ("echo", "reset", "broken", "moved"):
        hub.repos[f"org/{repo_id}"] = Repo()
    moved = hub.repos["org/moved"]
    hub.faults = [
        Fault("status", "POST api/models/org/echo/preupload", 1, 400, **echo),
        Fault("status", "GET api/models/org/echo", 1, 403, **echo),
        Fault("vanish", "PUT store/org/reset", 1000),
        Fault("status", "POST api/models/org/broken/commit", 1000, 500, **echo),
        Fault(
            "before",
            "POST api/models/org/moved/commit",
            1000,
            action=lambda: moved.write(f"{len(moved.commits)}", b"x", "other"),
        ),
    ]
    make_model().save_pretrained(tmp_path / "leak")
    (tmp_path / "leak/upload.py").write_text(f'push_to_hub(token="{WRITER}")')
    make_model().save_pretrained(tmp_path / "told")
    (tmp_path / "told/README.md").write_text(f'push_to_hub(token="{WRITER}")')
    tries = [
        (MODEL, {"token": READER}),
        (MODEL, {"token": SECRET + "x"}),
        (MODEL, {"token": split}),
        (MODEL, {"token": WRITER + "é"}),
        ("another/model", {"token": WRITER}),
        ("org/private", {"token": WRITER}),
        ("org/echo", {"token": WRITER}),
        ("org/echo", {"token": WRITER}),
        ("org/reset", {"token": WRITER}),
        ("org/broken", {"token": WRITER}),
        ("org/moved", {"token": WRITER}),
        ("org/good", {"token": WRITER, "variants": ["int8"]}),
    ]
    done = python(WATCHED, other, json.dumps(tries), HF_DEBUG="1")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= len(tries)
    everything = done.stdout + done.stderr
    assert "POST" in everything  # DEBUG it was
    assert "***" in everything  # the Hub's echo
    for token in (*TOKENS, split):
        assert token not in everything
        assert token[:12] not in everything
    for name, error in (("leak", "upload.py holds the token itself"), ("told", "looks like a token")):
        leak = python(WATCHED, tmp_path / name, json.dumps([(MODEL, {"token": WRITER})]))
        assert error in leak.stdout
        assert WRITER not in leak.stdout + leak.stderr
    assert not any(WRITER.encode() in data for repo in hub.repos.values() for data in repo.files().values())


def test_tokens_go_to_the_hub_alone(hub: Hub, python: Run, other: Path) -> None:
    """Not to where large files lie."""
    hub.part_size = 500
    loads(push(python, other, "org/new", private=True))
    assert loads(load(python, "org/new", token=WRITER))["dim"] == 5
    assert hub.asked("PUT", "store/")
    assert hub.asked("GET", "store/")
    assert hub.authorized
    assert {host for host, _ in hub.authorized} == {hub.url.removeprefix("http://")}


def test_what_is_shown_of_others() -> None:
    """The client's own token, whatever its form; the rest is `m2v_core.redact`'s."""
    client = Client.of("org/name", "main", "secret-of-another-form")
    assert client.shown("a secret-of-another-form b") == "a *** b"
    assert client.shown("hf_abcdefgh1234, Bearer xyz'") == "***, Bearer ***'"
    assert "secret" not in repr(client)
