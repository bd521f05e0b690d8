"""`m2v predict` and `m2v evaluate` as a user runs them, each a process."""

from __future__ import annotations

import csv
import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import m2v
from conftest import GOLDEN, make_model
from m2v_core import StaticModel, StaticModelPipeline

HEADS = GOLDEN / "heads"
TEXTS = ["good day", "Bad, sunny days!", "", "good good good bad", "unable day."]


def output(*arguments: object, stdin: str = "") -> list[str]:
    done = m2v(*arguments, stdin=stdin)
    notes = [line for line in done.stderr.splitlines() if "hold no token that the model knows" not in line]
    assert (done.returncode, notes) == (0, [])
    return done.stdout.splitlines()


def fails(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code
    assert not done.stdout
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def predicted(case: str, **options: Any) -> list[Any]:
    labels = StaticModelPipeline.from_pretrained(HEADS / case).predict(TEXTS, **options)
    return [label.tolist() if hasattr(label, "tolist") else label for label in labels]


def write_csv(path: Path, **columns: list[Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    return path


@pytest.mark.parametrize("case", ["softmax", "softmax-numbers"])
def test_a_label_a_line(case: str, tmp_path: Path) -> None:
    """From lines, an empty one too, a pipe and a table."""
    expected = [str(label) for label in predicted(case)]
    assert len(set(expected)) > 1
    lines = tmp_path / "x.txt"
    lines.write_text("\n".join(TEXTS) + "\n")
    assert output("predict", HEADS / case, lines) == expected
    assert output("predict", HEADS / case, stdin="\n".join(TEXTS)) == expected
    assert output("predict", HEADS / case, "-", stdin="\r\n".join(TEXTS)) == expected
    assert output("predict", HEADS / case, write_csv(tmp_path / "x.csv", text=TEXTS, n=[1] * 5)) == expected
    named = write_csv(tmp_path / "y.csv", text=[1] * 5, tweet=TEXTS)
    assert output("predict", HEADS / case, named, "--text-column", "tweet") == expected
    assert output("predict", HEADS / case, stdin="") == []


def test_several_labels_and_numbers() -> None:
    lines = "\n".join(TEXTS)
    assert [json.loads(line) for line in output("predict", HEADS / "sigmoid", stdin=lines)] == predicted("sigmoid")
    few = output("predict", HEADS / "sigmoid", "--threshold", 0.9, stdin=lines)
    assert [json.loads(line) for line in few] == predicted("sigmoid", threshold=0.9) != predicted("sigmoid")
    numbers = [json.loads(line) for line in output("predict", HEADS / "identity", stdin=lines)]
    np.testing.assert_allclose(numbers, predicted("identity"), atol=1e-6)


def test_probabilities() -> None:
    pipeline = StaticModelPipeline.from_pretrained(HEADS / "softmax")
    found = [json.loads(line) for line in output("predict", HEADS / "softmax", "--proba", stdin="\n".join(TEXTS))]
    assert [entry["label"] for entry in found] == predicted("softmax")
    assert {tuple(entry["probabilities"]) for entry in found} == {("calm", "schön", "日 本")}
    rows = [list(entry["probabilities"].values()) for entry in found]
    np.testing.assert_allclose(rows, pipeline.predict_proba(TEXTS), atol=1e-6)
    several = json.loads(output("predict", HEADS / "sigmoid", "--proba", stdin=TEXTS[0])[0])
    assert several["label"] == [name for name, p in several["probabilities"].items() if p > 0.5]
    fails(m2v("predict", HEADS / "identity", "--proba", stdin="good"), 1, "--proba is for heads with labels")


def test_json_objects_for_programs() -> None:
    """A label as it is, where a line of text shows an escaped one."""
    found = output("predict", HEADS / "softmax-numbers", "--json", stdin="\n".join(TEXTS))
    assert [json.loads(line) for line in found] == [{"label": label} for label in predicted("softmax-numbers")]
    fails(m2v("predict", HEADS / "softmax", "--json", "--out", "x.jsonl", stdin="a"), 1, "--json is for stdout")


def test_more_texts_than_a_batch(tmp_path: Path) -> None:
    many = TEXTS * 1000
    (tmp_path / "x.txt").write_text("\n".join(many))
    done = m2v("predict", HEADS / "softmax", tmp_path / "x.txt", "--out", tmp_path / "y.txt")
    assert (done.returncode, done.stdout) == (0, "")
    assert "y.txt: 5000 texts" in done.stderr
    assert "1000 of 5000 texts hold no token that the model knows (the first is number 3)" in done.stderr
    assert (tmp_path / "y.txt").read_text(encoding="utf-8").splitlines() == predicted("softmax") * 1000
    assert {path.name for path in tmp_path.iterdir()} == {"x.txt", "y.txt"}


def test_an_error_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"good\n" * 5000 + b"\xff\n")
    (tmp_path / "y.txt").write_text("old")
    fails(m2v("predict", HEADS / "softmax", tmp_path / "x.txt", "--out", tmp_path / "y.txt"), 1, "line 5001")
    assert (tmp_path / "y.txt").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"x.txt", "y.txt"}


@pytest.mark.parametrize(
    ("case", "options"),
    [("softmax", []), ("softmax-numbers", []), ("sigmoid", ["--label-separator", ";"])],
)
def test_evaluate(case: str, options: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of CSV, where numbers are strings and lists are joined, and of JSONL, where they are not."""
    pipeline = StaticModelPipeline.from_pretrained(HEADS / case)
    assert pipeline.classes_ is not None
    wrong = pipeline.classes_[0].item() if case != "sigmoid" else ["b"]
    labels = [wrong, wrong, *predicted(case)[2:]]
    expected = pipeline.evaluate(TEXTS, labels)
    assert 0 < expected["accuracy"] < 1
    joined = [" ; ".join(label) for label in labels] if case == "sigmoid" else labels
    table = write_csv(tmp_path / "x.csv", text=TEXTS, label=joined)
    assert json.loads("".join(output("evaluate", HEADS / case, table, *options, "--json"))) == expected
    lines = [json.dumps({"a": text, "b": label}) for text, label in zip(TEXTS, labels, strict=True)]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    named = ["--text-column", "a", "--label-column", "b"]
    assert json.loads("".join(output("evaluate", HEADS / case, tmp_path / "x.jsonl", *named, "--json"))) == expected
    if case == "softmax-numbers":  # one that the head does not know
        unknown = write_csv(tmp_path / "y.csv", text=["good", "bad"], label=["3", "-1"])
        done = m2v("evaluate", HEADS / case, unknown, "--json")
        assert json.loads(done.stdout)["3"]["support"] == 1
        assert "1 of the labels in y are not among the model's 2 classes, and count as errors: 3" in caplog.text
    shown = output("evaluate", HEADS / case, table, *options)
    assert shown[0].split() == ["precision", "recall", "f1-score", "support"]
    assert f"{expected['macro avg']['f1-score']:.3f}" in next(line for line in shown if line.startswith("macro avg"))
    assert f"{expected['accuracy']:.3f}" in next(line for line in shown if line.startswith("accuracy"))


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is missing: pip install pyarrow")
def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": TEXTS, "label": predicted("sigmoid")}), tmp_path / "x.parquet")
    found = output("predict", HEADS / "sigmoid", tmp_path / "x.parquet")
    assert [json.loads(line) for line in found] == predicted("sigmoid")
    report = json.loads("".join(output("evaluate", HEADS / "sigmoid", tmp_path / "x.parquet", "--json")))
    assert report["accuracy"] == 1


def test_errors_have_no_traceback(tmp_path: Path) -> None:
    head, table = HEADS / "softmax", write_csv(tmp_path / "x.csv", text=TEXTS, label=["calm"] * 5)
    make_model().save_pretrained(tmp_path / "bare")
    (tmp_path / "empty.csv").write_text("text,label\n")
    fails(m2v("predict", tmp_path / "bare", stdin="a"), 1, "holds no trained head", "m2v-train")
    fails(m2v("predict", tmp_path / "none", stdin="a"), 1, "neither a folder")
    fails(m2v("predict", head, tmp_path / "none.txt"), 1, "no such file")
    fails(m2v("predict", head, "--text-column", "a", stdin="a"), 1, "--text-column is for files with columns")
    fails(
        m2v("predict", head, table, "--text-column", "tweet"), 1, "the column 'tweet'; found 'text', 'label'", "--text"
    )
    fails(m2v("predict", head, "--threshold", 2, stdin="a"), 2, "--threshold", "from 0 to 1; found '2'")
    fails(m2v("evaluate", head, table, "--label-column", "b"), 1, "the column 'b'", "--label-column")
    fails(m2v("evaluate", head, tmp_path / "empty.csv"), 1, "empty.csv: expected rows of examples; found none")
    fails(m2v("evaluate", head, tmp_path / "none.csv"), 1, "no such file")
    fails(m2v("evaluate", HEADS / "sigmoid", table), 1, "expected lists of labels", "--label-separator")
    fails(m2v("evaluate", head, table, "--label-separator", ";"), 1, "one label for each text, and no lists")
    fails(m2v("evaluate", HEADS / "identity", table, "--label-column", "label"), 1, "measured on numbers or pairs")
    fails(m2v("evaluate", head, table, "--target-column", "label"), 1, "expected numbers; found ['calm']")
    fails(
        m2v("evaluate", head, table, "--label-column", "text"), 1, "none of the labels in the column 'text'", "'calm'"
    )
    fails(m2v("evaluate", tmp_path / "bare", table), 1, "the column 'text_a'", "--text-a-column")
    fails(m2v("evaluate", head, table, "--label-separator", ""), 1, "separator")
    fails(m2v("evaluate", head), 2, "FILE")


def test_info_tells_of_a_head(tmp_path: Path) -> None:
    facts = json.loads("".join(output("info", HEADS / "softmax-numbers", "--json")))
    assert (facts["head"], facts["head_widths"], facts["classes"]) == ("softmax", [6, 2], [-1, 7])
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in output("info", HEADS / "softmax")}
    assert (shown["head"], shown["head_widths"], shown["classes"]) == ("softmax", "6, 4, 3", "calm, schön, 日 本")
    make_model().save_pretrained(tmp_path)
    facts = json.loads("".join(output("info", tmp_path, "--json")))
    assert (facts["head"], facts["head_widths"], facts["classes"]) == (None, None, None)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_help_teaches(command: str) -> None:
    assert any("trained" in line for line in output(command, "--help"))
    assert any(command in line for line in output("--help"))


def test_numbers_are_measured(tmp_path: Path) -> None:
    right = np.array(predicted("identity"))
    rows = [{"text": text, "target": (row + 1).tolist()} for text, row in zip(TEXTS, right, strict=True)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = json.loads("".join(output("evaluate", HEADS / "identity", tmp_path / "x.jsonl", "--json")))
    assert report["mean squared error"] == pytest.approx(1, abs=1e-5)
    assert report["R2"] == pytest.approx(1 - (1 / right.var(axis=0)).mean(), rel=1e-4)
    columns = {f"t{i}": (right[:, i] + 1).tolist() for i in range(right.shape[1])}
    table = write_csv(tmp_path / "x.csv", text=TEXTS, **columns)
    shown = output("evaluate", HEADS / "identity", table, "--target-column", *columns)
    assert shown[0].split() == ["mean", "squared", "error", "1.0000"]
    fails(m2v("evaluate", HEADS / "identity", table, "--target-column", "t0"), 1, f"expected {right.shape[1]} numbers")


def test_pairs_are_measured(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "bare")
    first, second = ["good day", "bad", "sunny"], ["good", "bad", "sunny days"]
    table = write_csv(tmp_path / "x.csv", q=first, a=second)
    model = StaticModel.from_pretrained(tmp_path / "bare", normalize=True)
    report = json.loads(
        "".join(output("evaluate", tmp_path / "bare", table, "--text-a-column", "q", "--text-b-column", "a", "--json"))
    )
    expected = (model.encode(first) * model.encode(second)).sum(axis=1).mean()
    assert report["mean cosine of pairs"] == pytest.approx(float(expected), abs=1e-6)
    nearest = (model.encode(first) @ model.encode(second).T).argmax(axis=1)
    assert report["nearest text_b is right"] == pytest.approx((nearest == np.arange(3)).mean())


@pytest.mark.parametrize("proba", [False, True])
def test_outputs_by_ending(proba: bool, tmp_path: Path) -> None:
    lines = tmp_path / "x.txt"
    lines.write_text("\n".join(TEXTS))
    options = ["--proba"] if proba else []
    for name in ("y.jsonl", "y.csv"):
        output_file = m2v("predict", HEADS / "softmax", lines, "-q", "--out", tmp_path / name, *options)
        assert (output_file.returncode, output_file.stdout, output_file.stderr) == (0, "", "")
    objects = [json.loads(line) for line in (tmp_path / "y.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["label"] for entry in objects] == predicted("softmax")
    assert all(("probabilities" in entry) == proba for entry in objects)
    with (tmp_path / "y.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == predicted("softmax")
    assert list(table[0]) == ["label", *(["calm", "schön", "日 本"] if proba else [])]
    fails(m2v("predict", HEADS / "softmax", lines, "--out", tmp_path / "y.npy"), 1, "should end in one of .txt, .jsonl")


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is missing: pip install pyarrow")
def test_parquet_outputs(tmp_path: Path) -> None:
    from pyarrow import parquet

    (tmp_path / "x.txt").write_text("\n".join(TEXTS))
    for case in ("sigmoid", "softmax"):
        done = m2v("predict", HEADS / case, tmp_path / "x.txt", "--proba", "--out", tmp_path / f"{case}.parquet")
        assert done.returncode == 0
        table = parquet.read_table(tmp_path / f"{case}.parquet")
        assert table.column("label").to_pylist() == predicted(case)
        assert table.num_columns == 1 + len(StaticModelPipeline.from_pretrained(HEADS / case).classes_)  # type: ignore[arg-type]


def test_a_wrong_delimiter_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text;label\ngood;calm\n")
    fails(m2v("evaluate", HEADS / "softmax", tmp_path / "x.csv"), 1, "separated by ';', and not by ','")
    (tmp_path / "y.csv").write_text("text\tlabel\ngood\tcalm\n")
    fails(m2v("predict", HEADS / "softmax", tmp_path / "y.csv"), 1, "ends in .tsv")
