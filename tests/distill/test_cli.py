from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import m2v
from m2v_core import StaticModel
from m2v_core.cli import main as cli
from m2v_distill import Teacher, featurize


def test_distill(teacher_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "student"
    done = m2v(
        *("distill", teacher_folder, out, "--pca-dims", "4", "--quantize-to", "float32", "--sif-coefficient", "none"),
        *("--vocabulary-quantization", "9"),
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1  # one line, and no advice about PyTorch
    assert "4 dimensions, float32" in done.stderr
    model = StaticModel.from_pretrained(out)
    assert model.config.sif_coefficient is None
    assert model.vocabulary_quantization == 9


def test_distill_with_words(teacher_folder: Path, tmp_path: Path) -> None:
    words, counts, out = tmp_path / "words.txt", tmp_path / "counts.tsv", tmp_path / "student"
    words.write_text("sunny\ngood day\nGOOD\n\n")
    counts.write_text("sunny\t3\ngood day\t1\n")
    options = ("--vocabulary", words, "--frequencies", counts, "--pca-dims", "none")
    done = m2v("distill", teacher_folder, out, *options)
    assert (done.returncode, done.stdout) == (0, "")
    summary, result = done.stderr.splitlines()
    assert summary == "words: 1 added, 1 multi-word, 1 already there, 1 empty"
    assert "24 dimensions" in result
    done = m2v("distill", teacher_folder, out, *options, "--no-subword")
    assert done.returncode == 0
    assert StaticModel.from_pretrained(out).tokens == ("[UNK]", "[PAD]", "sunny", "good", "good day")


def test_methods_and_corpora(teacher_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Token, composed, and of a corpus in each form; two files are one corpus."""
    lines, table, store = tmp_path / "a.txt", tmp_path / "b.csv", tmp_path / "store"
    texts = [f"{'good ' * (i % 5)}day {'bad ' * (i % 3)}{'sunny ' * (i % 4)}" for i in range(60)]
    lines.write_text("\n".join(texts))
    table.write_text("\n".join(["number,sentence", *(f"{i},{text}" for i, text in enumerate(texts))]))
    featurize(Teacher.from_pretrained(teacher_folder, precision="auto"), texts, store)
    tables = {}
    for name, options in {
        "composed": (),
        "said": ("--method", "composed", "--seed", "0"),
        "seed": ("--seed", "1"),
        "token": ("--method", "token"),
        "lines": ("--corpus", lines),
        "table": ("--corpus", table, "--text-column", "sentence"),
        "both": ("--corpus", lines, table, "--text-column", "sentence"),
        "store": ("--corpus", store),
    }.items():
        # In this process, where programs that were compiled for one serve all.
        assert cli.main(["distill", *map(str, (teacher_folder, tmp_path / name, "--pca-dims", 8, *options))]) == 0
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert not (tmp_path / f"{name}.chunks").exists()
        tables[name] = (tmp_path / name / "model.safetensors").read_bytes()
    assert tables["said"] == tables["composed"]
    assert tables["table"] == tables["both"] == tables["store"] == tables["lines"]
    assert len(set(tables.values())) == 4
    assert store.is_dir()
    facts = json.loads(m2v("info", tmp_path / "lines", "--json").stdout)
    assert facts["distillation"] == "corpus"


def test_the_listing_is_light_and_helpful() -> None:
    code = "import sys; from m2v_core.cli.main import build_parser; print(build_parser().format_help()); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "distil a sentence transformer into a static model" in done.stdout
    assert done.stdout.strip().endswith("False")
    assert "--pca-dims" in m2v("distill", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["distill", "{teacher}/none", "{out}"], 1, "neither a folder here"),
        (["distill", "{teacher}", "{teacher}/config.json"], 1, "found a file"),
        (["distill", "{teacher}", "{out}", "--pooling", "min"], 2, "'min'"),
        (["distill", "{teacher}", "{out}", "--device", "tpu"], 1, "cpu:0"),
        (["distill", "{teacher}", "{out}", "--vocabulary", "none.txt"], 1, "no such file"),
        (["distill", "{teacher}", "{out}", "--no-subword"], 1, "leaves only the words"),
        (["distill", "{teacher}", "{out}", "--frequencies", "{teacher}/tokenizer.json"], 1, "frequencies"),
        (["distill", "{teacher}", "{out}", "--pca-dims", "x"], 2, "--pca-dims"),
        (["distill", "{teacher}", "{out}", "--model-parallel", "3"], 1, "--model-parallel should divide"),
        (["distill", "{teacher}", "{out}", "--precision", "half"], 2, "'half'"),
        (["distill", "{teacher}", "{out}", "--backend", "tf"], 2, "'tf'"),
        (["distill", "{teacher}", "{out}", "--prompt", "a", "--prompt-name", "b"], 1, "found both"),
        (["distill", "{teacher}", "{out}", "--method", "tokn"], 2, "Did you mean 'token'"),
        (["distill", "{teacher}", "{out}", "--method", "token", "--corpus", "a.txt"], 1, "needs method 'composed'"),
        (["distill", "{teacher}", "{out}", "--corpus", "none.txt"], 1, "no such file"),
        (["distill", "{teacher}", "{out}", "--corpus", "{teacher}"], 1, "is a folder"),
        (["distill", "{teacher}", "{out}", "--text-column", "a"], 1, "no corpus"),
        (["distill", "{teacher}", "{out}", "--seed", "-1"], 1, "0 or more"),
        (["distill", "{teacher}", "{out}", "--processes", "2"], 1, "all three"),
        (["distill", "{teacher}", "{out}", "--distributed", "--process", "0"], 1, "and --distributed"),
        (
            ["distill", "{teacher}", "{out}", "--coordinator", "localhost:1", "--processes", "2", "--process", "2"],
            1,
            "0 to 1",
        ),
        (["distill", "{teacher}"], 2, "OUT"),
    ],
)
def test_errors(teacher_folder: Path, tmp_path: Path, arguments: list[str], code: int, part: str) -> None:
    done = m2v(*(argument.format(teacher=teacher_folder, out=tmp_path / "out") for argument in arguments))
    assert done.returncode == code
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


#: The command where neither jax nor transformers can be imported.
LIGHT = """
import sys
sys.modules["jax"] = sys.modules["flax"] = sys.modules["transformers"] = sys.modules["huggingface_hub"] = None
from m2v_core.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["distill", "featurize"])
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["{teacher}", "{out}", "--corpus", "{table}", "--text-column", "nope"], "expected the column 'nope'"),
        (["{teacher}", "{out}", "--corpus", "{table}"], "expected the column 'text'"),
        (["{teacher}", "{table}/out", "--corpus", "{lines}"], "which is a file"),
        (["{teacher}", "{table}", "--corpus", "{lines}"], "found a file"),
        (["{teacher}/none", "{out}", "--corpus", "{lines}"], "neither a folder here"),
        (["{student}", "{out}", "--corpus", "{lines}"], "found a static model"),
        (["{teacher}", "{out}", "--corpus", "{lines}", "--model-parallel", "0"], "--model-parallel should be"),
        (["{teacher}", "{out}", "--corpus", "{lines}", "--device", "gpu:x"], "--device should be"),
        (
            ["{teacher}", "{out}", "--corpus", "{lines}", "--backend", "torch", "--compute-as", "bert"],
            "backend='torch'",
        ),
    ],
)
def test_checks_come_before_imports_and_downloads(
    teacher_folder: Path, tmp_path: Path, model: StaticModel, command: str, arguments: list[str], part: str
) -> None:
    places = {name: tmp_path / name for name in ("out", "student", "table.csv", "lines.txt")}
    places["table.csv"].write_text("number,sentence\n1,good\n")
    places["lines.txt"].write_text("good\n")
    model.save_pretrained(places["student"])
    named = {name.partition(".")[0]: path for name, path in places.items()}
    filled = [argument.format(teacher=teacher_folder, **named) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", LIGHT, command, *filled], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert part in done.stderr
    assert not places["out"].exists()


def test_files_of_options_are_read_before_imports(teacher_folder: Path, tmp_path: Path) -> None:
    for option in ("--vocabulary", "--frequencies"):
        command = [
            sys.executable,
            "-c",
            LIGHT,
            "distill",
            str(teacher_folder),
            str(tmp_path / "out"),
            option,
            "none.txt",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, "no such file" in done.stderr) == (1, True)


def test_quiet_and_json(teacher_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, options = tmp_path / "student", ("--pca-dims", "4", "--base-model", "org/teacher")
    assert cli.main(["distill", str(teacher_folder), str(out), *options, "-q"]) == 0
    assert capfd.readouterr() == ("", "")
    assert StaticModel.from_pretrained(out).base_model_name == "org/teacher"
    assert cli.main(["distill", str(teacher_folder), str(out), *options, "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["out"], facts["dimensions"], facts["dtype"]) == (str(out), 4, "float16")


def test_an_interruption_names_resume(
    teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from m2v_distill.teacher.engine.resume import ChunkStore

    add = ChunkStore.add

    def interrupted(self: ChunkStore, *arrays: object) -> None:
        add(self, *arrays)
        raise KeyboardInterrupt

    monkeypatch.setattr(ChunkStore, "add", interrupted)
    arguments = ["distill", str(teacher_folder), str(tmp_path / "out"), "--pca-dims", "4"]
    assert cli.main(arguments) == 130
    assert "the same command with --resume continues" in capfd.readouterr().err
    monkeypatch.undo()
    assert cli.main([*arguments, "--resume"]) == 0
    assert "resumed: " in capfd.readouterr().err
