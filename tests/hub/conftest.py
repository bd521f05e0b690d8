"""A repository, a Hub that holds it, and the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import make_model
from hub.loopback import Hub, Repo, running
from hub.processes import FORKS, MODEL, READER, SECRET, WRITER, Run, figures, files_of, process


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model."""
    path = tmp_path_factory.mktemp("hub") / "other"
    make_model(dim=5).save_pretrained(path)
    return path


@pytest.fixture
def hub(folder: Path, other: Path) -> Iterator[Hub]:
    revisions = {"main": files_of(folder), "v1": files_of(other)}
    repos = {
        MODEL: Repo(revisions),
        "org/private": Repo(revisions, token=SECRET),
        "org/gated": Repo(revisions, gated=True),
        "org/empty": Repo({"main": {"README.md": b"nothing here"}}),
    }
    with running(Hub(repos=repos, writers={WRITER: "org"}, readers={READER})) as server:
        yield server


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Run:
    return process(hub, tmp_path / "cache")


def pytest_sessionfinish() -> None:
    FORKS.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in figures:
        terminalreporter.write_line(line)
