"""`m2v train`, in this process: as a user types it, with what it prints and writes."""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core import StaticModel, StaticModelPipeline
from m2v_core.cli import main as core_cli
from m2v_core.evaluation import report_table
from m2v_core.options import chosen, defaults_of, flag_of, options_of
from m2v_core.results import read_results
from m2v_core.search import RetrievalEvaluator
from m2v_train.cli.train import COMMANDS
from m2v_train.data.labels import as_labels
from m2v_train.data.split import split_indices

FAST = ("--max-epochs", "4", "--learning-rate", "0.05", "--hidden-dim", "8")
LONGER = (*FAST, "--max-epochs", "30", "--early-stopping-patience", "none")
WORDS = ("good", "bad", "day", "sunny")
TEXTS = [WORDS[i % 4] + "." * (i % 3) for i in range(60)]
CLASSES = [("up", "down", "time", "sky")[i % 4] for i in range(60)]
ROWS = [{"text": text, "category": label} for text, label in zip(TEXTS, CLASSES, strict=True)]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is there, whatever is installed."""
    points = [EntryPoint("train", "m2v_train.cli.train:register", core_cli.COMMANDS)]
    monkeypatch.setattr(core_cli, "entry_points", lambda group: points)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("train") / "model"
    make_model(language=["en"]).save_pretrained(path)
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = core_cli.main(["train", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# --- classes ----------------------------------------------------------------------------------------------------------


def test_a_training_survives_a_save_that_fails(
    model: Path, tmp_path: Path, train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of training goes when the model is written; until then the same command gives it again at once."""
    file, state, out = write_csv(tmp_path / "train.csv", ROWS), tmp_path / "state", tmp_path / "out"
    command = ("classify", model, file, out, "--label-column", "category", "--checkpoint-dir", state, *FAST)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("m2v_core.pipeline.save", full)
        code, _, err = train(*command)
    assert code == 1
    assert "No space left on device" in err
    assert [path.name for path in state.iterdir()] == ["training.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr("m2v_train.engine.loop.Trainer._take_steps", lambda *_: pytest.fail("The training was done."))
        assert train(*command)[0] == 0
    assert StaticModelPipeline.from_pretrained(out).classes_ is not None
    assert list(state.iterdir()) == []


def test_classify(model: Path, tmp_path: Path, train: Run) -> None:
    file, out = write_csv(tmp_path / "train.csv", ROWS), tmp_path / "out"
    options = ("--label-column", "category", "--seed", 3, "--test-size", "0.2", "--plot", tmp_path / "plots")
    code, stdout, stderr = train("classify", model, file, out, *options, *LONGER)
    assert code == 0
    pipeline = StaticModelPipeline.from_pretrained(out)
    assert pipeline.model.language == ["en"]
    _, held = split_indices(60, 0.2, strata=as_labels(CLASSES, "y").targets, seed=3)
    report = pipeline.evaluate([TEXTS[i] for i in held], [CLASSES[i] for i in held])
    assert stdout == report_table(report) + "\n"
    assert report["accuracy"] > 0.8
    assert f"{out}: 48 examples, 30 validations, " in stderr
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "confusion_matrix.png",
        "learning_curves.png",
    ]
    again = tmp_path / "again"
    assert train("classify", model, file, again, *options, *LONGER)[1] == stdout
    assert (again / "head.safetensors").read_bytes() == (out / "head.safetensors").read_bytes()


def test_validation_in_a_file(model: Path, tmp_path: Path, train: Run) -> None:
    file = write_csv(tmp_path / "train.csv", ROWS)
    held = write_jsonl(tmp_path / "val.jsonl", ROWS[:7])
    out, plot = tmp_path / "out", tmp_path / "pictures" / "run.png"
    code, stdout, stderr = train(
        "classify", model, file, out, "--label-column", "category", "--val", held, "--plot", plot, *FAST
    )
    assert code == 0
    report = StaticModelPipeline.from_pretrained(out).evaluate(TEXTS[:7], CLASSES[:7])
    assert stdout == report_table(report) + "\n"
    assert ": 60 examples, " in stderr
    assert sorted(path.name for path in plot.parent.iterdir()) == ["run-confusion.png", "run.png"]


def test_several_labels(model: Path, tmp_path: Path, train: Run) -> None:
    """By lists in JSONL and by a separator in CSV, the same; a text may have none."""
    lists = [[], ["up"], ["up", "down"], ["down"]]
    rows = [{"text": text, "label": lists[i % 4]} for i, text in enumerate(TEXTS)]
    tables = []
    for file, more in [
        (write_jsonl(tmp_path / "train.jsonl", rows), ()),
        (
            write_csv(tmp_path / "a.csv", [{**r, "label": " ; ".join(r["label"])} for r in rows]),
            ("--label-separator", ";"),
        ),
    ]:
        out = tmp_path / file.stem
        code, stdout, _ = train("classify", model, file, out, *more, "--plot", out / "plots", *FAST)
        assert code == 0
        tables.append(stdout)
        assert StaticModelPipeline.from_pretrained(out).classes_.tolist() == ["down", "up"]  # type: ignore[union-attr]
        assert [path.name for path in (out / "plots").iterdir()] == ["learning_curves.png"]  # no matrix
    assert tables[0] == tables[1]


def test_class_weights(model: Path, tmp_path: Path, train: Run) -> None:
    """A class alone has a weight: all texts come to be of it. In JSON the key of class 2 is "2"."""
    rows = [{"text": text, "label": i // 12 % 3} for i, text in enumerate(TEXTS)]
    file, out = write_jsonl(tmp_path / "a.jsonl", rows), tmp_path / "out"
    val = write_jsonl(tmp_path / "val.jsonl", [row for row in rows if row["label"] == 2])
    (tmp_path / "weights.json").write_text('{"0": 0.0, "1": 0, "2": 1}')
    weights = ("--class-weight", tmp_path / "weights.json")
    assert train("classify", model, file, out, "--val", val, *weights, *LONGER)[0] == 0
    assert set(StaticModelPipeline.from_pretrained(out).predict(TEXTS).tolist()) == {2}
    assert train("classify", model, file, out, "--class-weight", "balanced", *FAST)[0] == 0


# --- other tasks ------------------------------------------------------------------------------------------------------


def test_regression(model: Path, tmp_path: Path, train: Run) -> None:
    rows = [{"text": text, "a": len(text), "b": i % 3} for i, text in enumerate(TEXTS)]
    file = write_csv(tmp_path / "train.csv", rows)
    code, stdout, _ = train("regression", model, file, tmp_path / "out", "--target-column", "a", "b", *FAST)
    assert code == 0
    assert [line.split("  ")[0] for line in stdout.splitlines()] == [
        "mean squared error",
        "mean absolute error",
        "R2",
        "mean cosine",
        "texts",
    ]
    assert StaticModelPipeline.from_pretrained(tmp_path / "out").predict("good").shape == (1, 2)


def test_similarity(model: Path, tmp_path: Path, train: Run) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    vectors = make_model().encode(TEXTS)[:, ::-1].tolist()
    pq.write_table(pa.table({"text": TEXTS, "target": vectors}), tmp_path / "train.parquet")
    code, stdout, _ = train("similarity", model, tmp_path / "train.parquet", tmp_path / "out", *FAST)
    assert code == 0
    cosine = float(stdout.splitlines()[0].removeprefix("mean cosine"))
    assert 0.5 < cosine <= 1


@pytest.mark.parametrize("layers", [0, 1])
def test_pairs(layers: int, model: Path, tmp_path: Path, train: Run) -> None:
    rows = [{"q": text, "a": text.upper(), "n": TEXTS[i - 1]} for i, text in enumerate(TEXTS)]
    file, out = write_csv(tmp_path / "train.csv", rows), tmp_path / "out"
    options = (
        "--text-a-column",
        "q",
        "--text-b-column",
        "a",
        "--negative-column",
        "n",
        "--n-layers",
        layers,
        "--plot",
        tmp_path / "a.png",
    )
    code, stdout, _ = train("pairs", model, file, out, *options, *FAST)
    assert code == 0
    assert "mean cosine of pairs       1.0000\nnearest text_b is right    1.0000\n" in stdout  # BERT's kind lowercases
    assert (out / "head.safetensors").exists() == (layers == 1)
    assert StaticModel.from_pretrained(out).dim == 8


# --- options ----------------------------------------------------------------------------------------------------------


def parsed(task: str, *arguments: str) -> dict[str, Any]:
    options = core_cli.build_parser(["train"]).parse_args(["train", task, "MODEL", "FILE", "OUT", *arguments])
    return chosen(options, COMMANDS[task].config)


@pytest.mark.parametrize("task", COMMANDS)
def test_every_option_is_in_the_help(task: str) -> None:
    """Under its flag, with its default; and there is no option that the config lacks."""
    config = COMMANDS[task].config
    assert parsed(task) == {}
    text = " ".join(help_of(task).split())
    for name, shown in options_of(config).items():
        default = defaults_of(config)[name]
        assert f"{flag_of(name, shown, default)} " in text, name
        assert shown.help in text, name
        if default is not None and not isinstance(default, bool):
            assert f"(default: {default})" in text or "(default: " in shown.help, name
    assert set(options_of(config)) == set(defaults_of(config)) - {"show_progress_bar"}


def help_of(task: str) -> str:
    parser = core_cli.build_parser(["train"])
    for name in ("train", task):
        parser = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices[name]
    return parser.format_help()


def test_options() -> None:
    said = {
        "max_length": ("none", None),
        "max_epochs": ("none", None),
        "early_stopping_patience": ("none", None),
        "test_size": ("7", 7),
        "validation_steps": ("9", 9),
        "device": ("cpu", "cpu"),
        "focal_gamma": ("2", 2.0),
        "checkpoint_dir": ("here", "here"),
    }
    arguments = [part for name, (text, _) in said.items() for part in ("--" + name.replace("_", "-"), text)]
    found = parsed("classify", *arguments, "--freeze", "--no-normalize", "--no-freeze-weights", "--seed", "5")
    assert {name: found[name] for name in said} == {name: value for name, (_, value) in said.items()}
    assert (found["freeze"], found["normalize"], found["freeze_weights"], found["random_seed"]) == (
        True,
        False,
        False,
        5,
    )
    assert parsed("classify", "--max-length", "7")["max_length"] == 7
    assert parsed("classify", "--test-size", "0.25")["test_size"] == 0.25
    assert parsed("classify", "--freeze-weights")["freeze_weights"] is True


# --- what it says ------------------------------------------------------------------------------------------------------


def test_json(model: Path, tmp_path: Path, train: Run) -> None:
    file, out = write_csv(tmp_path / "train.csv", ROWS), tmp_path / "out"
    held = write_csv(tmp_path / "val.csv", ROWS[:9])
    code, stdout, _ = train("classify", model, file, out, "--label-column", "category", "--val", held, "--json", *FAST)
    assert code == 0
    report = StaticModelPipeline.from_pretrained(out).evaluate(TEXTS[:9], CLASSES[:9])
    assert json.loads(stdout) == report
    kept = {one["metric"]: (one["value"], one["dataset"]) for one in read_results(out)["results"]}
    assert kept == {"accuracy": (report["accuracy"], "val.csv"), "f1": (report["macro avg"]["f1-score"], "val.csv")}


def test_texts_without_tokens_are_counted(model: Path, tmp_path: Path, train: Run) -> None:
    """A few are a note, many are a warning."""
    for n_empty, kind in [(2, "note"), (30, "warning")]:
        rows = [{"text": "" if i < n_empty else text, "label": CLASSES[i]} for i, text in enumerate(TEXTS)]
        file = write_csv(tmp_path / f"{n_empty}.csv", rows)
        said = (
            f"m2v: {kind}: {n_empty} of the 60 texts in the column 'text' of {file} have no token that the model knows: "
            f"only the head learns from them\n"
        )
        for quiet in ([], ["--quiet"]):
            _, _, stderr = train("classify", model, file, tmp_path / "out", *FAST, *quiet)
            assert (said in stderr) == (not quiet)
            assert (stderr == "") == bool(quiet)


def test_classes_that_are_held_out_whole(model: Path, tmp_path: Path, train: Run) -> None:
    """Two rows of one class each: one is trained on, the other is validated with."""
    rows = [{"text": "good", "label": "up"}, {"text": "bad", "label": "down"}]
    code, _, stderr = train("classify", model, write_csv(tmp_path / "two.csv", rows), tmp_path / "out", *FAST)
    assert code == 0
    assert "m2v: warning: no text of 1 of the 2 classes is left to train on" in stderr
    assert "add texts of each, or pass validation data" in stderr


def test_the_progress_bar_ends_full(model: Path, tmp_path: Path) -> None:
    """On a terminal the last line shows all steps of the last epoch."""
    file = write_csv(tmp_path / "train.csv", ROWS)
    code = (
        "import sys; sys.stderr.isatty = lambda: True\nfrom m2v_core.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    options = ["--label-column", "category", "--max-epochs", "3", "--batch-size", "7"]
    command = [sys.executable, "-c", code, "train", "classify", str(model), str(file), str(tmp_path / "out"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, last, summary = done.stderr.splitlines()
    assert re.search(r"Epoch 3: 100%.* 8/8 .*val_loss=", last), done.stderr
    assert "54 examples, 3 validations" in summary


def test_outputs_are_checked_before_work(model: Path, tmp_path: Path, train: Run) -> None:
    file = write_csv(tmp_path / "train.csv", ROWS)
    (tmp_path / "a-file").write_text("")
    inside = tmp_path / "a-file" / "out"
    code, _, stderr = train("classify", model, tmp_path / "no.csv", inside)  # the output before the input
    assert (code, "which is a file" in stderr) == (1, True)
    code, _, stderr = train("classify", model, file, tmp_path / "out", "--plot", inside)
    assert (code, stderr.startswith("m2v: error: ")) == (1, True)
    assert not (tmp_path / "out").exists()


def test_nothing_heavy_before_the_columns_are_checked(model: Path, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "train.csv", ROWS)
    code = (
        "import sys; from m2v_core.cli.main import main\n"
        "code = main(sys.argv[1:]); print([m for m in ('jax', 'sklearn', 'optax') if m in sys.modules]); sys.exit(code)"
    )
    for wrong in (["--label-column", "nope"], ["--learning-rate", "-1"], ["--device", "cpu:x"]):
        command = [sys.executable, "-c", code, "train", "classify", str(model), str(file), str(tmp_path / "o"), *wrong]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "[]\n"), done.stderr


# --- errors before training -------------------------------------------------------------------------------------------


def test_errors(model: Path, tmp_path: Path, train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is one line on stderr, and nothing is written."""
    monkeypatch.setattr("m2v_train.estimator.fit", lambda *_: pytest.fail("training has begun"))
    good, out = write_csv(tmp_path / "good.csv", ROWS), tmp_path / "out"
    empty = write_csv(tmp_path / "empty.csv", [*ROWS[:3], {"text": "bad day", "category": ""}])
    (tmp_path / "header.csv").write_text("text,category\n")
    numbers = write_csv(tmp_path / "numbers.csv", [{"text": "a", "target": "1.5"}, {"text": "b", "target": "nan"}])
    other = write_csv(tmp_path / "other.csv", [{"text": "good", "category": "new"}])
    one = write_csv(tmp_path / "one.csv", [{"text": "good", "category": "up"}] * 5)
    bare = write_jsonl(tmp_path / "bare.jsonl", [{"text": None, "label": "a"}])
    mixed = write_jsonl(tmp_path / "mixed.jsonl", [{"text": "a", "label": "a"}, {"text": "b", "label": 3}])
    (tmp_path / "weights.json").write_text('{"up": 1}')
    snow = {"text": "☃", "target": "1", "text_b": "good"}
    unknown = write_csv(tmp_path / "unknown.csv", [{**snow, "category": ["up", "down"][i % 2]} for i in range(8)])
    label = ("--label-column", "category")
    cases = [
        (("classify", model, good, good, *label), "The output should be a folder; found a file"),
        (
            ("classify", model, good, out),
            "expected the column 'label'; found 'text', 'category'. Name the columns by --text-column and --label-column",
        ),
        (("classify", model, tmp_path / "no.csv", out), "there is no such file"),
        (("classify", model, empty, out, *label), "found an empty one for text 4, 'bad day'"),
        (("classify", model, tmp_path / "header.csv", out, *label), "expected rows with texts to train on; found none"),
        (("classify", model, bare, out), "bare.jsonl, line 1: expected a text (str); found NoneType"),
        (("classify", model, mixed, out), "Labels should be all strings or all whole numbers"),
        (("classify", model, one, out, *label), "at least two classes; found only 'up', 5 times"),
        (
            ("classify", model, good, out, *label, "--val", other),
            f"the column 'category' of {other} should hold labels of the classes that were trained",
        ),
        (("classify", model, good, out, *label, "--val", tmp_path / "no.csv"), "there is no such file"),
        (
            ("classify", model, good, out, *label, "--class-weight", "blanced"),
            "balanced, or a JSON file; found 'blanced'",
        ),
        (
            ("classify", model, good, out, *label, "--class-weight", tmp_path / "weights.json"),
            "missing: 'down', 'sky', 'time'",
        ),
        (
            ("classify", model, good, out, *label, "--learning-rate", "-1"),
            "--learning-rate should be a number, above 0; found -1.0",
        ),
        (
            ("classify", model, good, out, *label, "--test-size", "1.5"),
            "--test-size should be a fraction above 0 and below 1",
        ),
        (("classify", tmp_path / "nothing", good, out, *label), "nothing"),
        (("regression", model, numbers, out), "numbers.csv, line 3: expected a finite number; found 'nan'"),
        (
            ("regression", model, good, out, "--target-column", "category"),
            "line 2: expected a finite number; found 'up'",
        ),
        (("pairs", model, good, out, "--text-a-column", "text"), "expected the column 'text_b'"),
        (("classify", model, unknown, out, *label), "None of the 8 texts in the column 'text' of"),
        (("classify", model, good, out, *label, "--val", unknown), "None of the 8 texts in the column 'text' of"),
        (("regression", model, unknown, out), "None of the 8 texts in the column 'text' of"),
        (("similarity", model, unknown, out), "None of the 8 texts in the column 'text' of"),
        (("pairs", model, unknown, out, "--text-a-column", "text"), "None of the 8 texts in the column 'text' of"),
        (
            ("pairs", model, unknown, out, "--text-a-column", "text_b", "--text-b-column", "text"),
            "None of the 8 texts in the column 'text' of",
        ),
    ]
    for arguments, message in cases:
        code, stdout, stderr = train(*arguments)
        assert (code, stdout) == (1, ""), arguments
        assert stderr.startswith("m2v: error: "), arguments
        assert message in stderr, arguments
        assert not out.exists()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, stderr = train("classify", model, good, out, *label, "--plot", tmp_path / "plots")
    assert (code, stderr) == (
        1,
        "m2v: error: Plots need matplotlib, which is not installed: pip install m2v-train[plot]\n",
    )


def test_lists_of_other_lengths(model: Path, tmp_path: Path, train: Run) -> None:
    rows = [{"text": "good", "target": [1, 2]}, {"text": "bad", "target": [1]}]
    code, _, stderr = train("similarity", model, write_jsonl(tmp_path / "a.jsonl", rows), tmp_path / "out")
    assert code == 1
    assert "one length; found 2 numbers at index 0 and 1 numbers at index 1" in stderr


def test_help_is_light(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys, m2v_train, m2v_train.cli.train; dir(m2v_train); print([m for m in ('jax', 'flax', 'sklearn', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(SystemExit):
        core_cli.main(["train", "--help"])
    assert "m2v train classify my-model train.csv my-classifier" in capsys.readouterr().out


# --- measures ---------------------------------------------------------------------------------------------------------


def test_measures_are_scikit_learns() -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    from m2v_core.head import Layer, MLPHead

    rng = np.random.default_rng(0)
    pipeline = StaticModelPipeline(make_model(), MLPHead([Layer(rng.normal(size=(3, 8)), np.zeros(3))], "identity"))
    held = {"X": TEXTS[:20], "y": rng.normal(size=(20, 3)).tolist()}
    found = pipeline.predict(TEXTS[:20])
    expected = [f(held["y"], found) for f in (mean_squared_error, mean_absolute_error, r2_score)]
    measures, table = COMMANDS["regression"].measure(pipeline, held)
    assert list(measures.values())[:3] == pytest.approx(expected)
    assert table.splitlines()[0].split()[-1] == f"{expected[0]:.4f}"
    flat = {"X": TEXTS[:2], "y": [[1.0] * 3] * 2}
    assert COMMANDS["regression"].measure(pipeline, flat)[0]["R2"] is None
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(found, np.array(held["y"]), strict=True)]
    assert COMMANDS["similarity"].measure(pipeline, held)[0] == {"mean cosine": pytest.approx(np.mean(cosines))}
    pairs = {"text_a": ["good", "bad", "day", ""], "text_b": ["good", "bad", "bad", "good"]}
    measures, _ = COMMANDS["pairs"].measure(pipeline, pairs)
    assert measures["nearest text_b is right"] in (0.5, 0.75)  # an empty text is near none


def test_pairs_for_search(model: Path, tmp_path: Path, train: Run) -> None:
    """Lists of hard negatives, Matryoshka dimensions, and a collection that selects the best state."""
    rows = [
        {"text_a": text, "text_b": f"{text} day", "others": ["bad", "sunny"][: i % 3]} for i, text in enumerate(TEXTS)
    ]
    file, out, collection = write_jsonl(tmp_path / "pairs.jsonl", rows), tmp_path / "out", tmp_path / "collection"
    collection.mkdir()
    write_jsonl(collection / "corpus.jsonl", [{"_id": word, "text": f"{word} day"} for word in WORDS])
    write_jsonl(collection / "queries.jsonl", [{"_id": f"q{word}", "text": word} for word in WORDS])
    lines = ["query-id\tcorpus-id\tscore", *(f"q{word}\t{word}\t1" for word in WORDS)]
    (collection / "qrels.tsv").write_text("\n".join(lines))
    options = ("--negative-column", "others", "--matryoshka-dims", "8", "4", "--retrieval", collection, "--json")
    code, stdout, _ = train("pairs", model, file, out, *options, *FAST, "--n-layers", "0")
    assert code == 0
    expected = RetrievalEvaluator.from_folder(collection)(StaticModel.from_pretrained(out))
    assert json.loads(stdout) == {**json.loads(stdout), **expected}
    code, _, stderr = train("pairs", model, file, out, *options[:-3], "--retrieval", tmp_path / "none", *FAST)
    assert code == 1
    assert "expected a collection in the layout of BEIR" in stderr


def test_pairs_that_are_read_in_parts(model: Path, tmp_path: Path, train: Run) -> None:
    """Validation examples are read out of the file; token ids stay."""
    pytest.importorskip("pyarrow")
    rows = [{"text_a": text, "text_b": text, "n": TEXTS[i - 1]} for i, text in enumerate(TEXTS)]
    file, out, tokens = write_csv(tmp_path / "pairs.csv", rows), tmp_path / "out", tmp_path / "tokens"
    options = ("--tokens-dir", tokens, "--negative-column", "n", "--n-layers", "0")
    code, stdout, stderr = train("pairs", model, file, out, *options, *FAST)
    assert code == 0
    assert "mean cosine of pairs       1.0000\n" in stdout
    assert f"{out}: 54 examples, " in stderr
    assert (tokens / "tokens.json").exists()
    held = write_jsonl(tmp_path / "val.jsonl", rows[:9])
    code, stdout, stderr = train("pairs", model, file, out, *options, "--val", held, *FAST)
    assert code == 0
    assert f"{out}: 60 examples, " in stderr
