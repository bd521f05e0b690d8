"""`m2v doctor` on this installation, and on some that are broken."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from commands import m2v
from m2v_core import StaticModel, __version__
from m2v_core.cli import diagnosis
from m2v_core.cli.colours import wants_colours
from m2v_core.cli.main import main

TOKEN = "hf_" + "a" * 34


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    """No imports of JAX, which take seconds; `nox -s release` runs the command as it is."""
    monkeypatch.setattr(diagnosis, "IMPORTS", {})


def broken(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The checks that failed, and why."""
    found = json.loads(done.stdout)
    assert (done.returncode == 0) == found["ok"]
    return {check["name"]: check["detail"] for check in found["checks"] if not check["ok"]}


def test_all_is_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--org--name").mkdir(parents=True)
    for name, value in {"HF_HOME": tmp_path, "HF_HUB_OFFLINE": "1", "HF_TOKEN": TOKEN, "M2V_API_KEY": "key"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    done = m2v("doctor", "--json")
    assert broken(done) == {}
    found = json.loads(done.stdout)
    assert found["packages"]["m2v-core"] == __version__
    assert found["python"]["executable"] == sys.executable
    assert (found["cache"]["models"], found["cache"]["writable"]) == (1, True)
    assert found["variables"]["https_proxy"] == "http://***@proxy:3128"
    assert (found["variables"]["HF_TOKEN"], found["variables"]["M2V_API_KEY"]) == ("set", "set")
    text = m2v("doctor")
    assert text.returncode == 0
    assert "All is in order." in text.stdout
    assert "m2v-core[mteb]" in text.stdout
    for secret in (TOKEN, "me:secret", "\x1b"):
        assert secret not in done.stdout + text.stdout


def test_a_package_that_does_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    about = tmp_path / "m2v_hub-9.0.dist-info"
    about.mkdir()
    needs = "Requires-Dist: m2v-core<10,>=9\nRequires-Dist: not-there>=1\nRequires-Dist: never; extra == 'x'\n"
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: m2v-hub\nVersion: 9.0\n{needs}")
    monkeypatch.syspath_prepend(tmp_path)
    assert broken(m2v("doctor", "--json")) == {
        "what m2v-hub needs": f"m2v-core<10,>=9 is needed; found {__version__}; not-there>=1 is not installed"
    }
    done = m2v("doctor")
    assert done.returncode == 1
    assert "BROKEN  what m2v-hub needs" in done.stdout
    assert "checks failed" in done.stdout


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("m2v_hub")
    monkeypatch.setattr(diagnosis, "IMPORTS", {"m2v-hub": "import m2v_hub, not_there"})
    assert broken(m2v("doctor", "--json")) == {"import of m2v-hub": "ModuleNotFoundError: No module named 'not_there'"}


def test_wrong_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    right = StaticModel.encode
    monkeypatch.setattr(StaticModel, "encode", lambda self, *texts, **options: right(self, *texts, **options) * -1)
    found = broken(m2v("doctor", "--json"))
    assert len(found) == 3
    assert "expected the vectors" in found["a tiny model embeds texts"]


def test_nowhere_to_write(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a read-only image: that saving was not tested is said, and no fault."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    assert main(["doctor", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)["checks"][-1]
    assert last["ok"]
    assert "not tested" in last["detail"]


def test_colours_are_for_terminals() -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    assert wants_colours(Terminal(), {"TERM": "xterm"})
    assert not wants_colours(Terminal(), {"TERM": "dumb"})
    assert not wants_colours(Terminal(), {"NO_COLOR": "1", "TERM": "xterm"})
    assert not wants_colours(None, {})


def test_versions_of_what_is_installed() -> None:
    lines = m2v("--version").stdout.splitlines()
    assert lines[0] == f"m2v-core {__version__}"
    versions = json.loads(m2v("doctor", "--json").stdout)["packages"]
    assert lines == [f"{name} {versions[name]}" for name in diagnosis.OURS if versions[name]]
