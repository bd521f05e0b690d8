from __future__ import annotations

import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cards import CONFIG, RESULTS, model_of
from m2v_core.cli import main as cli
from m2v_hub import card_for


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    point = EntryPoint("card", "m2v_hub.cli.card:register", cli.COMMANDS)
    monkeypatch.setattr(cli, "entry_points", lambda group: [point] if group == cli.COMMANDS else [])
    model_of(CONFIG).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def test_it_shows_the_card(folder: Path, capsysbinary) -> None:
    assert cli.main(["card", str(folder)]) == 0
    assert capsysbinary.readouterr().out.decode() == card_for(folder)
    assert not (folder / "README.md").exists()


def test_options(folder: Path, tmp_path: Path, capsysbinary) -> None:
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    (tmp_path / "own.md").write_text("{{ name }}: é")
    options = ["--repo-id", "org/m", "--license", "mit", "--language", "fr", "--language", "it", "--dataset", "org/d"]
    more = ["--metrics", str(tmp_path / "results.json"), "--template", str(tmp_path / "own.md")]
    more += ["--base-model", "org/t"]
    assert cli.main(["card", *options, *more, str(folder)]) == 0
    assert capsysbinary.readouterr().out.decode() == card_for(
        folder,
        repo_id="org/m",
        license="mit",
        language=["fr", "it"],
        datasets=["org/d"],
        metrics=RESULTS,
        base_model="org/t",
        template=tmp_path / "own.md",
    )


def test_what_was_written_by_hand_stays(folder: Path, capsysbinary) -> None:
    file = folder / "README.md"
    assert cli.main(["card", str(folder), "--out", str(file)]) == 0
    edited = file.read_bytes().replace(b"\n", b"\r\n") + "mine: é\r\n".encode()
    file.write_bytes(edited)
    assert cli.main(["card", str(folder)]) == 0  # shows what a push would write
    assert capsysbinary.readouterr().out == edited
    assert cli.main(["card", str(folder), "--out", str(file), "--license", "mit"]) == 0
    licence = re.compile(rb"## Licence.*?## Citation", re.DOTALL)
    assert licence.sub(b"", file.read_bytes()) == licence.sub(b"", edited).replace(b"apache-2.0", b"mit")


def test_where_it_is_written(folder: Path, tmp_path: Path, capsys) -> None:
    """Through a link, with the mode that the file has."""
    (tmp_path / "real.md").write_text("# mine\n")
    (tmp_path / "real.md").chmod(0o640)
    (tmp_path / "link.md").symlink_to("real.md")
    assert cli.main(["card", str(folder), "--out", str(tmp_path / "link.md")]) == 0
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "real.md").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "real.md").read_text().endswith("---\n# mine\n")
    assert {path.name for path in tmp_path.iterdir()} == {"m", "real.md", "link.md"}


def test_a_device_is_written_as_it_is(folder: Path, device: Path, capsys) -> None:
    assert cli.main(["card", str(folder), "--out", str(device), "-q"]) == 0
    assert device.is_char_device()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--metrics", "none.json"], "found 'none.json', and there is no such file"),
        (["--metrics", "bad.json"], "bad.json: expected JSON"),
        (["--metrics", "deep.json"], "deep.json: expected JSON of a sane depth"),
        (["--metrics", "3.json"], "found 3"),
        (["--metrics", "field.json"], "Did you mean 'metric'?"),
        (["--template", "bad.md"], "bad.md, line 1"),
        (["--license", ""], "--license should be"),
        (["--out", "latin.md"], "latin.md: expected UTF-8"),
        (["--out", "none/README.md"], "no such folder"),
        (["--out", "m"], "The output should be a file"),
        (
            ["--base-model", "a b"],
            "--base-model should be the id of a model on the Hub, such as 'org/name'; found 'a b'",
        ),
        (["--template", "none.md"], "no such file"),
    ],
)
def test_errors(folder: Path, options: list[str], part: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (
        ("bad.json", "{"),
        ("deep.json", "[" * 100_000),
        ("3.json", "3"),
        ("field.json", '[{"metrik": 1}]'),
        ("bad.md", "{{ x }}"),
    ):
        Path(name).write_text(content)
    Path("latin.md").write_bytes(b"\xe9")
    assert cli.main(["card", str(folder), *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("m2v: error:")
    assert part in error


def test_without_m2v_hub_it_says_where_the_command_is(monkeypatch, capsys) -> None:
    monkeypatch.setattr(cli, "entry_points", lambda group: [])
    assert cli.main(["card", "m"]) == 1
    assert "pip install m2v-hub" in capsys.readouterr().err
