"""What breaks on the way: tried again where that is safe, told where not; never half a model, never half a commit.

Each case has a repository of its own, so that one process goes through all of them with the real client. Pulling: the
cache holds an earlier model; the faults meet the fetching of the next; then what the cache holds is the earlier model
or the next, whole; and without faults the next arrives. Pushing: after the faults the branch holds the old files or
the new ones, by one commit at the most; and without faults the new ones arrive.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from conftest import GOLDEN, make_model
from hub.loopback import Fault, Hub, Repo, running
from hub.processes import QUICK, WRITER, fails, figures, files_of, load, loads, process

ALWAYS = 1000
OLD_CLIENT = tuple(map(int, version("huggingface_hub").split(".")[:2])) < (1, 25)  # it does not know Retry-After
QUICK_TIMEOUTS = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}


@dataclass
class Case:
    """Attributes:
    faults: `{repo}` stands for the repository of the case.
    error: Words of the error; without them there should be none.
    pauses: At least one pause as long as this, if it is not 0.
    theirs: Whether huggingface_hub itself makes the pause.
    options: Of `push_to_hub`.
    cached: Whether the cache holds an earlier model.
    stays: Whether the earlier model is taken, for want of the next.
    """

    faults: list[Fault]
    error: str | None = None
    pauses: float = 0
    theirs: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    cached: bool = True
    stays: bool = False


def fault(kind: str, match: str, **options: Any) -> list[Fault]:
    return [Fault(kind, match, **options)]


TABLE, CONFIG = "GET store/{repo}/", "GET {repo}/resolve/.*/config.json"
TOKENIZER, INFO = "GET {repo}/resolve/.*/tokenizer.json", "GET api/models/{repo}/revision"
PULLS = {
    "reset in a table": Case(fault("reset", TABLE)),
    "reset in a table again and again": Case(fault("reset", TABLE, times=3)),
    "reset in a tokenizer": Case(fault("reset", TOKENIZER)),
    "reset for ever": Case(fault("reset", TABLE, times=ALWAYS), "stopped answering"),
    "reset of the listing": Case(fault("reset", INFO), cached=False),
    "a table cut": Case(fault("cut", TABLE)),
    "a config cut": Case(fault("cut", CONFIG)),
    "a short table": Case(fault("short", TABLE)),
    "a short tokenizer": Case(fault("short", TOKENIZER)),
    "short for ever": Case(fault("short", TABLE, times=ALWAYS), "size"),
    "a corrupt table": Case(fault("corrupt", TABLE)),
    "a corrupt config": Case(fault("corrupt", CONFIG)),
    "corrupt for ever": Case(fault("corrupt", TABLE, times=ALWAYS), "checksum"),
    "500 for the listing": Case(fault("status", INFO, status=500, times=2), cached=False),
    "500 for a table": Case(fault("status", TABLE, status=500)),
    "503 for a table": Case(fault("status", TABLE, status=503, times=2)),
    "503 before a table": Case(fault("status", "HEAD {repo}/resolve/.*/model.safetensors", status=503)),
    "500 for ever": Case(fault("status", TABLE, status=500, times=ALWAYS), "status 500"),
    "429 with a pause": Case(fault("status", TABLE, status=429, headers={"Retry-After": "7"}), pauses=7, theirs=True),
    "429 for the listing": Case(
        fault("status", INFO, status=429, headers={"Retry-After": "9"}), pauses=9, cached=False
    ),
    "a pause of a day": Case(
        fault("status", INFO, status=429, headers={"Retry-After": "86400"}), "status 429", cached=False
    ),
    "a slow listing": Case(fault("slow", INFO, seconds=1.5), cached=False),
    "no listing": Case(fault("status", INFO, status=503, times=ALWAYS), "status 503", cached=False),
    "500 for the listing of a cached model": Case(fault("status", INFO, status=500), stays=True),
    "reset of the listing of a cached model": Case(fault("reset", INFO), stays=True),
    "a slow listing of a cached model": Case(fault("slow", INFO, seconds=1.5), stays=True),
    "a slow table": Case(fault("slow", TABLE, seconds=1.5)),
}

CREATE, COMMIT = "POST api/repos/create", "POST api/models/{repo}/commit"
BATCH, PUT, VERIFY = "POST {repo}.git/info/lfs/objects/batch", "PUT store/{repo}/", "POST {repo}.git/info/lfs/verify"
PREUPLOAD = "POST api/models/{repo}/preupload"
PUSHES = {
    "500 for the state": Case(fault("status", "GET api/models/{repo}", status=500)),
    "500 for modes": Case(fault("status", PREUPLOAD, status=500)),
    "429 for modes": Case(fault("status", PREUPLOAD, status=429, headers={"Retry-After": "7"}), pauses=7, theirs=True),
    "503 for the batch": Case(fault("status", BATCH, status=503)),
    "500 for a part": Case(fault("status", PUT, status=500)),
    "500 for all parts": Case(fault("status", PUT, status=500, times=ALWAYS), "status 500"),
    "reset of a part": Case(fault("vanish", PUT)),
    "a garbled part": Case(fault("garble", PUT), "checksum mismatch"),
    "500 for the check": Case(fault("status", VERIFY, status=500)),
    "500 for the commit": Case(fault("status", COMMIT, status=500)),
    "503 for the commit": Case(fault("status", COMMIT, status=503, times=2)),
    "500 for every commit": Case(fault("status", COMMIT, status=500, times=ALWAYS), "It is safe to push again"),
    "a lost answer": Case(fault("vanish", COMMIT)),
    "all answers lost": Case(fault("vanish", COMMIT, times=ALWAYS)),
    "a race": Case(fault("before", COMMIT)),
    "races": Case(fault("before", COMMIT, times=3)),
    "a race for ever": Case(fault("before", COMMIT, times=ALWAYS), "at the same time"),
    "a pull request lost": Case(fault("vanish", COMMIT), "look before you try", options={"create_pr": True}),
    "a slow commit": Case(fault("slow", COMMIT, seconds=1.5)),
}

PULL_ALL = (
    QUICK
    + """
from m2v_hub import download
results = {}
for name in json.loads(sys.argv[1]):
    naps.clear()
    try:
        download(name)
        error = None
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    try:
        folder = str(download(name, local_files_only=True))
    except Exception as problem:
        folder = None
    results[name] = {"error": error, "naps": list(naps), "folder": folder}
print(json.dumps(results))
"""
)

PUSH_ALL = (
    QUICK
    + """
from m2v_hub import push_to_hub
results = {}
for name, options in json.loads(sys.argv[2]).items():
    naps.clear()
    try:
        push_to_hub(sys.argv[1], name, token=sys.argv[3], **options)
        error = None
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    results[name] = {"error": error, "naps": list(naps)}
print(json.dumps(results))
"""
)


def repo_of(case: str) -> str:
    return "org/" + case.replace(" ", "-")


def armed(cases: dict[str, Case], hub: Hub) -> None:
    """Let the faults of all cases wait for their requests; a race is a commit of somebody else."""
    for name, case in cases.items():
        repo = hub.repos.get(repo_of(name))
        for one in case.faults:
            action = (lambda repo=repo: another_commit(repo)) if one.kind == "before" else one.action
            hub.faults.append(replace(one, match=one.match.replace("{repo}", repo_of(name)), action=action))


def another_commit(repo: Repo) -> None:
    """A file of somebody else's, and one that has no place in our model."""
    count = len(repo.commits)
    repo.write("head.safetensors", b"theirs", "a head")
    repo.write(f"other-{count}.txt", b"x", f"other {count}")


# --- pulling ---------------------------------------------------------------------------------------------------


@dataclass
class Pulled:
    old: dict[str, bytes]
    new: dict[str, bytes]
    results: dict[str, Any]
    cached: dict[str, dict[str, bytes] | None]
    after: dict[str, dict[str, bytes] | None]
    injected: int


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulled]:
    home = tmp_path_factory.mktemp("pulls")
    old, new = (model_files(home / name, dim) for name, dim in (("old", 8), ("new", 16)))
    names = json.dumps([repo_of(case) for case in PULLS])

    def cached(results: dict[str, Any]) -> dict[str, dict[str, bytes] | None]:
        return {name: result["folder"] and files_of(Path(result["folder"])) for name, result in results.items()}

    with running(Hub(repos={repo_of(case): Repo({"main": old}) for case in PULLS})) as hub:
        python = process(hub, home / "cache")
        first = loads(python(PULL_ALL, json.dumps([repo_of(name) for name, case in PULLS.items() if case.cached])))
        assert all(files == old for files in cached(first).values())
        for case in PULLS:
            hub.repos[repo_of(case)] = Repo({"main": new})
        armed(PULLS, hub)
        results = loads(python(PULL_ALL, names, **QUICK_TIMEOUTS))
        broken = cached(results)
        injected = len(hub.injected)
        hub.faults.clear()
        after = cached(loads(python(PULL_ALL, names)))
        tell(
            "pulling",
            PULLS,
            injected,
            [name for name in broken if broken[name] not in (old, new, None) or after[name] != new],
        )
        yield Pulled(old, new, results, broken, after, injected)


def model_files(folder: Path, dim: int) -> dict[str, bytes]:
    make_model(dim=dim, normalize=True).save_pretrained(folder)
    return files_of(folder)


def tell(doing: str, cases: dict[str, Case], injected: int, lost: list[str]) -> None:
    line = f"faults while {doing}: {len(cases)} kinds, {injected} injected, lost {len(lost)}"
    if line not in figures:
        figures.append(line)


def check(case: Case, result: dict[str, Any]) -> None:
    if case.error is None:
        assert result["error"] is None
    else:
        assert (result["error"] or "").startswith("TransferError: ")
        assert case.error in result["error"]
    if case.pauses and not (OLD_CLIENT and case.theirs):
        assert max(result["naps"]) >= case.pauses
    assert sum(result["naps"]) < 300


@pytest.mark.parametrize("name", PULLS)
def test_pulling(name: str, pulled: Pulled) -> None:
    case, repo = PULLS[name], repo_of(name)
    check(case, pulled.results[repo])
    old = pulled.old if case.cached else None
    assert pulled.cached[repo] == (old if case.error or case.stays else pulled.new)
    assert pulled.after[repo] == pulled.new


def test_all_faults_of_pulling_happened(pulled: Pulled) -> None:
    assert pulled.injected >= len(PULLS)


# --- pushing ---------------------------------------------------------------------------------------------------


@dataclass
class Pushed:
    results: dict[str, Any]
    before: dict[str, tuple[dict[str, bytes], list[str]]]
    after: dict[str, tuple[dict[str, bytes], list[str]]]
    refs: dict[str, set[str]]
    end: dict[str, dict[str, bytes]]
    model: dict[str, bytes]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    home = tmp_path_factory.mktemp("pushes")
    old = model_files(home / "old", 8) | {"modules.json": b"[]"}
    model = model_files(home / "model", 16)
    model.pop("modules.json", None)
    (home / "model/modules.json").unlink(missing_ok=True)
    options = {repo_of(case): PUSHES[case].options for case in PUSHES}
    repos = {repo_of(case): Repo({"main": old}) for case in PUSHES}

    def state() -> dict[str, tuple[dict[str, bytes], list[str]]]:
        return {name: (repo.files(), repo.history()) for name, repo in repos.items()}

    with running(Hub(repos=repos, writers={WRITER: "org"}, part_size=500)) as hub:
        python = process(hub, home / "cache")
        armed(PUSHES, hub)
        before = state()
        results = loads(python(PUSH_ALL, home / "model", json.dumps(options), WRITER))
        after = state()
        refs = {name: set(repo.refs) for name, repo in repos.items()}
        injected = len(hub.injected)
        hub.faults.clear()
        loads(python(PUSH_ALL, home / "model", json.dumps({name: {} for name in options}), WRITER))
        end = {name: repo.files() for name, repo in repos.items()}
        theirs = old | {"head.safetensors": b"theirs"}
        lost = [name for name in repos if half(after[name][0], old, theirs, model) or half(end[name], model)]
        tell("pushing", PUSHES, injected, lost)
        yield Pushed(results, before, after, refs, end, model)


def half(files: dict[str, bytes], *models: dict[str, bytes]) -> bool:
    """Whether these are none of the models, whatever else is there."""
    owned = {"config.json", "model.safetensors", "tokenizer.json", "modules.json", "head.safetensors"}
    return {name: data for name, data in files.items() if name in owned} not in models


@pytest.mark.parametrize("name", PUSHES)
def test_pushing(name: str, pushed: Pushed) -> None:
    case, repo = PUSHES[name], repo_of(name)
    check(case, pushed.results[repo])
    files, history = pushed.after[repo]
    ours = [title for title in history if title.startswith("Upload")]
    if case.error:
        assert ours == []
        assert pushed.before[repo][0].items() <= files.items()
    else:
        assert len(ours) == 1
        assert not half(files, pushed.model)
    others = [title for title in history if title.startswith("other")]
    assert len(others) == sum(name.startswith("other") for name in files)
    assert len(others) == {"a race": 1, "races": 3, "a race for ever": 4}.get(name, 0)
    assert not half(pushed.end[repo], pushed.model)


def test_a_pull_request_is_opened_once(pushed: Pushed) -> None:
    assert pushed.refs[repo_of("a pull request lost")] == {"main", "refs/pr/1"}


# --- making a repository, and a process that is killed ------------------------------------------------------------


@pytest.mark.parametrize("kind", ["status", "vanish"])
def test_a_repository_is_made_once(kind: str, other: Path, tmp_path: Path) -> None:
    with running(Hub(writers={WRITER: "org"}, faults=fault(kind, CREATE))) as hub:
        result = loads(process(hub, tmp_path / "cache")(PUSH_ALL, other, json.dumps({"org/new": {}}), WRITER))
        assert result["org/new"]["error"] is None
        assert len(hub.injected) == 1
        assert len(hub.repos["org/new"].history()) == 2


#: The process is killed when a file appears, which is when the fault does.
KILLED = """
import os, signal, threading
def kill(wait=threading.Event().wait):
    while not os.path.exists("now"):
        wait(0.02)
    wait(0.5)  # for what arrives beside
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill, daemon=True).start()
"""


def test_a_killed_pull(other: Path, folder: Path, tmp_path: Path) -> None:
    """Killed while the table arrives: the cache holds the earlier model, and the next pull fetches the rest."""
    old, new = files_of(other), files_of(folder)
    with running(Hub(repos={"org/model": Repo({"main": old})})) as hub:
        python = process(hub, tmp_path / "cache")
        names = json.dumps(["org/model"])
        loads(python(PULL_ALL, names))
        hub.repos["org/model"] = repo = Repo({"main": new})
        hub.faults.append(Fault("slow", "GET store/", seconds=60, action=(tmp_path / "now").touch))
        assert python(KILLED + PULL_ALL, names).returncode == -9
        assert len(hub.injected) == 1
        offline = loads(python(PULL_ALL, names, HF_HUB_OFFLINE="1"))["org/model"]
        assert files_of(Path(offline["folder"])) == old
        hub.requests.clear()
        whole = loads(python(PULL_ALL, names))["org/model"]
        assert whole["folder"].endswith(repo.refs["main"])
        assert len(hub.asked("GET", "store/")) == 1
        assert hub.asked("GET", "tokenizer.json") == []  # it was there


def test_a_pull_killed_before_the_head(tmp_path: Path) -> None:
    """The table comes last: a commit in the cache is no model before its other files are there."""
    repo = Repo({"main": files_of(GOLDEN / "heads/softmax")})
    commit = repo.refs["main"]
    with running(Hub(repos={"org/model": repo})) as hub:
        python = process(hub, tmp_path / "cache")
        head = repo.commits[commit].files["head.safetensors"].sha256
        hub.faults.append(Fault("slow", f"GET store/.*/{head}", seconds=60, action=(tmp_path / "now").touch))
        assert load(lambda code, *rest: python(KILLED + code, *rest), "org/model", revision=commit).returncode == -9
        assert len(hub.injected) == 1
        done = load(python, "org/model", {"HF_HUB_OFFLINE": "1"}, revision=commit)
        fails(done, "ModelNotFoundError", "not in the cache")
        assert loads(load(python, "org/model", revision=commit))["dim"] > 0
