"""What commands show of untrusted models cannot steer a terminal, nor break the lines of their output."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import make_model
from m2v_core import Config, Layer, MLPHead, StaticModelPipeline
from m2v_core.cli.main import main

ESC, CSI, OVERRIDE = "\x1b[2J", "\x9b31m", "\u202e"
LABELS = [f"calm{ESC}", f"loud{CSI}\nsunny", f"day{OVERRIDE}\u2028x"]
EVIL = [ESC[0], CSI[0], OVERRIDE, "\u2028"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = make_model(
        config=Config(
            base_model=f"org/{ESC}{OVERRIDE}",
            license=f"mit{CSI}\nmodel: trusted",
            language=(f"en{ESC}",),
            distillation_settings={"prompt": f"a{CSI}{OVERRIDE}"},
        )
    )
    layer = Layer(np.random.default_rng(0).normal(size=(3, model.dim)).astype(np.float32), np.zeros(3, np.float32))
    StaticModelPipeline(model, MLPHead([layer], "softmax", LABELS)).save_pretrained(tmp_path / "m")
    with (tmp_path / "test.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "label"], *(("good day", label) for label in LABELS)])
    (tmp_path / "texts.txt").write_text("good day\nbad\n")
    return tmp_path / "m"


def is_harmless(text: str) -> bool:
    return not any(sign in text for sign in EVIL)


@pytest.mark.parametrize(
    "command",
    [
        ["info", "m"],
        ["info", "m", "--json"],
        ["predict", "m", "texts.txt"],
        ["predict", "m", "texts.txt", "--proba"],
        ["evaluate", "m", "test.csv"],
        ["evaluate", "m", "test.csv", "--json"],
        ["evaluate", "m", "texts.txt"],
        ["predict", f"no{ESC}{OVERRIDE}model"],
        ["encode", "m", f"no-{CSI}{OVERRIDE}file.txt"],
    ],
)
def test_what_a_command_prints(
    folder: Path, command: list[str], capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(folder.parent)
    main(command)
    out, err = capfd.readouterr()
    assert out or err
    assert is_harmless(out + err)
    if command[0] == "predict" and out:
        assert len(out.splitlines()) == 2  # a line for each text
    if "--json" in command:
        assert LABELS[0] in json.loads(out).get("classes", json.loads(out))  # nothing is lost


def test_an_error_about_a_file_of_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name, value in (("model_type", f"x{ESC}{OVERRIDE}"), ("head_config", f"{CSI}y{OVERRIDE}")):
        (folder / "config.json").write_text(json.dumps({**config, name: value}))
        assert main(["evaluate", str(folder), str(folder.parent / "test.csv")]) == 1
        assert is_harmless(capsys.readouterr().err)


def test_files_keep_labels_as_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the format has quotes; a line of text is one label."""
    texts, out = str(folder.parent / "texts.txt"), folder.parent / "out"
    for kind in (".csv", ".jsonl", ".txt"):
        assert main(["predict", str(folder), texts, "--out", f"{out}{kind}"]) == 0
    with Path(f"{out}.csv").open(newline="", encoding="utf-8") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert len(labels) == 2
    assert set(labels) <= set(LABELS)
    assert [json.loads(line)["label"] for line in Path(f"{out}.jsonl").read_text().split("\n")[:-1]] == labels
    assert len(Path(f"{out}.txt").read_text().splitlines()) == 2


def test_letters_of_all_scripts_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["می\u200cخواهم", "日\u3000本", "prix\u00a0:"]
    model = make_model()
    layer = Layer(np.random.default_rng(0).normal(size=(3, model.dim)).astype(np.float32), np.zeros(3, np.float32))
    StaticModelPipeline(model, MLPHead([layer], "softmax", labels)).save_pretrained(tmp_path / "m")
    assert main(["info", str(tmp_path / "m")]) == 0
    assert ", ".join(labels) in capsys.readouterr().out


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(folder: Path, closed: str) -> None:
    """No traceback, and nothing of the output in the files that are opened next."""
    command = f"{sys.executable} -m m2v_core"
    script = (
        f"echo good | {command} encode m {closed}; {command} encode m texts.txt --out x.npy {closed}; echo $? >code"
    )
    done = subprocess.run(["sh", "-c", script], cwd=folder.parent, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert (folder.parent / "code").read_text() == "0\n"
    assert np.load(folder.parent / "x.npy").shape == (2, 8)
