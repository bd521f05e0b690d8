"""benchmarks/quality.py on small files, with real models."""

from __future__ import annotations

import csv
import doctest
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import quality_encoders
import quality_plot
import records
from quality import DEFAULT_ENCODERS, main, measure
from quality_categories import Clustering, PairClassification, Retrieval
from quality_encoders import Spec, unit
from quality_files import dev_tasks, label_task, pair_task, read_labelled
from quality_plot import place_labels
from quality_tasks import NearestNeighbour, Pairs, Probe, difference, held_out, mean_difference
from search_collections import Collection

from conftest import GOLDEN, make_model
from m2v_core import StaticModel
from m2v_core.errors import InvalidInputError
from tokenizer_files import wordpiece

WORDS = ("good", "day", "bad", "days", "unable", "sun", "sunny", "ab", "cde", "fg", "hij")
TWEETS = ("te_emotion_train", "te_emotion_val", "te_offensive_train")


def sentences(count: int, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=draw.integers(1, 6))) for _ in range(count)]


def write(path: Path, rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def cosines(model: StaticModel, first: list[str], second: list[str]) -> np.ndarray:
    return (unit(model.encode(first)) * unit(model.encode(second))).sum(axis=1)


@pytest.fixture
def folder(tmp_path: Path, model: StaticModel) -> Path:
    model.save_pretrained(tmp_path / "student")
    return tmp_path / "student"


@pytest.fixture
def pairs(tmp_path: Path, model: StaticModel) -> Path:
    """400 pairs with the model's own cosines as scores."""
    first, second = sentences(400, 1), sentences(400, 2)
    return write(tmp_path / "perfect.csv", zip(first, second, cosines(model, first, second), strict=True))


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """A data folder in the real one's layout."""
    folder, draw = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    for seed, code in enumerate(("en", "de")):
        columns = sentences(60, 2 * seed), sentences(60, 2 * seed + 1), draw.uniform(0, 5, 60).round(2)
        write(folder / f"stsb-{code}-dev.csv", zip(*columns, strict=True))
    texts = sentences(60, 8)
    write(folder / "banking_train.csv", [("text", "category"), *((text, str("sun" in text)) for text in texts)])
    for name in TWEETS:
        lines = [f"{text}\x85" for text in sentences(40, 9)]  # a separator to Python, but not to TweetEval
        (folder / f"{name}_text.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (folder / f"{name}_labels.txt").write_text("".join(f"{int('good' in line)}\n" for line in lines))
    return folder


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-teacher"
    shutil.copytree(GOLDEN / "teachers" / "bert", folder)
    (folder / "tokenizer.json").write_text(wordpiece())
    tokens = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep")}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 40, **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_the_whole_table(small_data: Path, folder: Path, pairs: Path, teacher: Path, tmp_path: Path) -> None:
    """As a user runs it: all tasks, all kinds of encoders."""
    out = tmp_path / "new" / "numbers.json"
    encoders = [folder, f"half={folder}?dimensionality=4", f"teacher:{teacher}", f"distill:{teacher}?pca_dims=8"]
    options = ["--data", small_data, "--pairs", pairs, "--languages", "de,xx", "--json", out, "--speed"]
    command = [sys.executable, BENCHMARKS / "quality.py", *encoders, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "skipped STS-B xx: no stsb-xx-dev.csv" in lines[0]
    tables = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    tasks = ["STS-B en", "Banking77", "Banking77 1-NN", "Emotion", "Offensive", "perfect"]
    others = ["STS-B pairs", "Banking77 clusters", "STS-B de"]
    assert tables[0] == ["encoder", *tasks, "mean", *others, "texts/s"]
    names = ["student", "half", "teacher:tiny-teacher", "distill:tiny-teacher?pca_dims=8"]
    assert [row[0] for row in tables[2:6]] == names
    assert tables[6] == ["encoder", *tasks, "mean", *others]
    assert [row[0] for row in tables[8:]] == names[1:]
    assert tables[2][6] == "100.0"
    record = records.read(out)
    measures = {one.case: one.measure for one in record.measured if "error" not in one.measure}
    for row in tables[2:6]:
        found = {case: record.find(case, row[0], measure) for case, measure in measures.items()}
        shown = [found[task].mean for task in (*tasks, "mean", *others)]
        assert shown == pytest.approx(list(map(float, row[1:11])), abs=0.051)  # tables and files round each on its own
        assert found["mean"].mean == pytest.approx(np.mean(shown[:6]), rel=1e-3)
        assert len(found["Banking77"].values) == 3
        assert found["tweets seen before"].median > 0
    assert record.settings["encoders"]["half"] == {"kind": "static", "dimensionality": 4}


def test_pairs_against_their_own_and_shuffled_scores(pairs: Path, model: StaticModel) -> None:
    task = pair_task(pairs)
    row = measure("model", model.encode, [task])
    assert row.mean == row.scores["perfect"].value == pytest.approx(100, abs=0.01)
    shuffled = tuple(np.random.default_rng(0).permutation(task.gold).tolist())
    score = Pairs("shuffled", task.texts, shuffled).score(lambda texts: unit(model.encode(texts)))
    assert abs(score.value) < 15  # three standard errors of 400 pairs
    assert np.std(score.samples) == pytest.approx(100 / 400**0.5, rel=0.2)


def test_labels_of_the_texts_and_of_chance() -> None:
    """A label that a direction of the vectors tells is learnt; shuffled labels are not."""
    model = make_model(dim=16)
    texts = tuple(f"{word} {text}" for text in sentences(150, 7) for word in ("good", "bad"))
    labels = tuple(text.split()[0] for text in texts)
    chance = tuple(np.random.default_rng(1).permutation(labels).tolist())

    def embed(texts: tuple[str, ...]) -> np.ndarray:
        return unit(model.encode([" ".join([text.split()[0]] * 5 + [text]) for text in texts]))

    for make in (Probe, NearestNeighbour):
        assert make("true", texts, labels).score(embed).value > 95
        assert 30 < make("chance", texts, chance).score(embed).value < 70
    macro = Probe("macro", texts, labels, measure="macro F1").score(embed)
    assert macro.value > 95
    assert macro.averaged == len(macro.samples) == 3


def test_clusters_of_the_texts_and_of_chance() -> None:
    """Groups that are the labels get 100, and labels by chance nearly nothing; each start is a sample."""
    texts = tuple(f"{label} {number}" for label in "abc" for number in range(60))
    labels = tuple(text[0] for text in texts)
    chance = tuple(np.random.default_rng(1).permutation(labels).tolist())

    def embed(texts: tuple[str, ...]) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, 0.01, (len(texts), 3))
        return np.eye(3)[["abc".index(text[0]) for text in texts]] + noise

    score = Clustering("true", texts, labels, folds=4).score(embed)
    assert score.value == pytest.approx(np.mean(score.samples))
    assert max(score.samples) == pytest.approx(100)
    assert score.averaged == len(score.samples) == 4
    assert Clustering("chance", texts, chance).score(embed).value < 10
    assert Clustering("same", texts, labels).score(lambda texts: np.ones((len(texts), 2), np.float32)).value == 0


def test_average_precision_of_pairs() -> None:
    """Of four pairs that count, the first and the third by cosine mean the same: (1 / 1 + 2 / 3) / 2."""
    cosine = {5.0: 0.9, 1.0: 0.8, 4.5: 0.7, 0.0: 0.6, 3.0: 0.95, 2.0: 0.99, 4.0: 0.0}
    gold = tuple(cosine)
    texts = tuple(f"{kind} {number}" for kind in ("first", "second") for number in gold)

    def embed(texts: tuple[str, ...]) -> np.ndarray:
        angles = [np.arccos(cosine[float(text.split()[1])]) if "second" in text else 0 for text in texts]
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    score = PairClassification("pairs", texts, gold).score(embed)
    assert score.value == pytest.approx(100 * (1 + 2 / 3) / 2)
    with pytest.raises(InvalidInputError, match="below 2 and above 4; found scores from 2 to 4"):
        PairClassification("none", ("a", "b", "c", "d"), (2.0, 4.0))


def test_ndcg_of_a_search() -> None:
    """The right document of the first query is found at once, that of the second at the third place of three."""
    vectors = {"east": (1, 0), "north": (0, 1), "west": (-1, 0), "e": (1, 0.1), "n": (0.1, 1)}
    task = Retrieval("places", Collection(["east", "north", "west"], ["e", "n"], [{0: 1.0}, {2: 1.0}]))
    score = task.score(lambda texts: np.array([vectors[text] for text in texts], np.float32))
    assert score.samples == pytest.approx((100, 100 / np.log2(4)))
    assert score.averaged == 2
    assert not task.counts


def test_a_peer_in_a_process_of_its_own(pairs: Path, folder: Path, tmp_path: Path) -> None:
    """Here wordllama is missing, and the error says where; a library that is there gives its vectors."""
    arguments = ["--pairs", str(pairs), "--data", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"(?s)wordllama failed in the environment of .*No module named 'wordllama'"):
        main(["wordllama:its own", *arguments])
    encode = quality_encoders.by_peer(str(folder), library="m2v")
    assert np.array_equal(encode(["good day", "bad"]), StaticModel.from_pretrained(folder).encode(["good day", "bad"]))


def test_macro_f1_counts_labels_alike() -> None:
    """Vectors that say nothing: the probe says the frequent label, right for 90 % and F1 for half of the labels."""
    texts, labels = tuple(map(str, range(100))), ("often",) * 90 + ("seldom",) * 10

    def blank(texts: tuple[str, ...]) -> np.ndarray:
        return np.zeros((len(texts), 4), np.float32)

    assert Probe("accuracy", texts, labels).score(blank).value == pytest.approx(90)
    f1 = 100 * (2 * 0.9 / 1.9) / 2
    assert Probe("f1", texts, labels, measure="macro F1").score(blank).value == pytest.approx(f1)


def test_folds_are_disjoint_stratified_and_fixed_by_the_seed() -> None:
    labels = np.repeat([0, 1], [80, 20])
    folds = [held.tolist() for _, held in held_out(labels, folds=5, seed=3)]
    assert sorted(chain(*folds)) == list(range(100))
    assert {labels[held].sum() for held in folds} == {4}
    assert folds == [held.tolist() for _, held in held_out(labels, folds=5, seed=3)]
    assert folds != [held.tolist() for _, held in held_out(labels, folds=5, seed=4)]
    assert folds[:2] == [held.tolist() for _, held in held_out(labels, folds=2, seed=3)]
    for train, held in held_out(labels, folds=5, seed=3):
        assert sorted([*train, *held]) == list(range(100))


def test_differences_are_paired(small_data: Path, model: StaticModel) -> None:
    tasks, _ = dev_tasks(small_data, [], folds=3, seed=0)
    one = measure("one", model.encode, tasks)
    same = measure("same", model.encode, tasks)
    other = measure("other", make_model(dim=4).encode, tasks)
    for task in tasks:
        assert difference(same.scores[task.name], one.scores[task.name]) == (0, 0)
        value, error = difference(other.scores[task.name], one.scores[task.name])
        assert value == pytest.approx(other.scores[task.name].value - one.scores[task.name].value)
        assert error is not None
        assert error >= 0
    banking = "Banking77"
    apart = np.subtract(other.scores[banking].samples, one.scores[banking].samples)
    assert difference(other.scores[banking], one.scores[banking])[1] == pytest.approx(apart.std(ddof=1) / 3**0.5)
    assert mean_difference([(1.0, 3.0), (3.0, 4.0)]) == (2.0, 2.5)
    single, _ = dev_tasks(small_data, [], folds=1, seed=0)
    score = measure("one", model.encode, single).scores[banking]
    assert difference(score, score) == (0, None)


def test_each_set_of_texts_is_embedded_once(small_data: Path, model: StaticModel) -> None:
    tasks, skipped = dev_tasks(small_data, ["de"], folds=3, seed=0)
    calls: Counter[tuple[str, ...]] = Counter()

    def encode(texts: Sequence[str]) -> np.ndarray:
        calls[tuple(texts)] += 1
        return model.encode(texts)

    measure("model", encode, tasks)
    assert (len(tasks), len(calls), skipped) == (8, 5, [])
    assert set(calls.values()) == {1}


def test_length_of_vectors_does_not_matter(pairs: Path, small_data: Path, model: StaticModel) -> None:
    tasks = [pair_task(pairs), *dev_tasks(small_data, [], folds=1, seed=0)[0]]
    plain = measure("plain", model.encode, tasks)
    longer = measure("longer", lambda texts: 2.0 ** (np.arange(len(texts)) % 7)[:, None] * model.encode(texts), tasks)
    assert [s.value for s in longer.scores.values()] == pytest.approx([s.value for s in plain.scores.values()])
    assert np.array_equal(unit(np.zeros((1, 3))), np.zeros((1, 3)))


@pytest.mark.parametrize("name", ["model2vec", "model2vec-int8", "sentence-transformers"])
def test_folders_that_peers_saved(name: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(GOLDEN / "students" / name), "--pairs", str(pairs), "--data", str(tmp_path)])
    printed = capsys.readouterr().out
    assert f"| {name} " in printed
    skipped = [line.split(":")[0] for line in printed.splitlines() if line.startswith("skipped")]
    assert skipped == [f"skipped {task}" for task in ("STS-B en", "Banking77", "Emotion", "Offensive")]


def test_files_of_ones_own(tmp_path: Path) -> None:
    rows = [("# from nowhere", "", ""), ("Word 1", "Word 2", "score"), ("good", "bad, day", "1.5"), ("a", 'b"', "0")]
    commas, tabs = write(tmp_path / "words.csv", rows), tmp_path / "words.tsv"
    tabs.write_text("".join("\t".join(filter(None, row)) + "\n" for row in rows), encoding="utf-8")
    for file in (commas, tabs):
        assert pair_task(file) == Pairs("words", ("good", "a", "bad, day", 'b"'), (1.5, 0.0))
    named = [("label", "id", "text"), ("x", "1", "# good day"), ("y", "2", "bad")]
    assert read_labelled(write(tmp_path / "a.csv", named)) == (("# good day", "bad"), ("x", "y"))
    plain = [("good", "x"), ("day", "x"), ("bad", "y")]
    expected = (("good", "day", "bad"), ("x", "x", "y"))
    assert read_labelled(write(tmp_path / "b.csv", plain)) == expected
    assert read_labelled(write(tmp_path / "c.csv", [("query", "intent"), *plain])) == expected


@pytest.mark.parametrize(
    ("content", "read", "says"),
    [
        ("a,b,1\nc,d,much\n", pair_task, r"line 2: expected text, text, number; found \['c', 'd', 'much'\]"),
        ("a,b,1\nc,d,nan\n", pair_task, "line 2: expected text, text, number"),
        ("a,b\n", pair_task, "line 1: expected text, text, number"),
        ("a,b,1\nc,d,1\n", pair_task, "expected pairs with different scores; found 2 pairs"),
        ("text,label\nonly\n", read_labelled, "line 2: expected a text and a label"),
        ("a,x\nb,x\nc,y\n", lambda file: label_task(file, folds=3, seed=0), "expected two labels or more of 5 texts"),
        (None, pair_task, "expected a CSV or TSV file"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(
    content: str | None, read: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidInputError, match=says) as raised:
        read(file)
    assert "bad" in str(raised.value)


def test_rare_labels_are_allowed(model: StaticModel) -> None:
    texts = tuple(sentences(31))
    labels = ("a",) * 15 + ("b",) * 15 + ("rare",)
    assert Probe("rare", texts, labels).score(lambda texts: unit(model.encode(texts))).value > 0


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("teacher:minilm", Spec("teacher:minilm", "teacher", "minilm", {})),
        ("runs/a/student", Spec("student", "static", "runs/a/student", {})),
        ("./lr=3", Spec("lr=3", "static", "./lr=3", {})),
        ("best one=/x/y=1", Spec("best one", "static", "/x/y=1", {})),
        (
            "d=distill:org/name?pca_dims=64&sif_coefficient=1e-3&pooling=first&vocabulary=None&corpus=a=b.txt",
            Spec(
                "d",
                "distill",
                "org/name",
                {"pca_dims": 64, "sif_coefficient": 1e-3, "pooling": "first", "vocabulary": None, "corpus": "a=b.txt"},
            ),
        ),
        ("m?quantize_to=int8", Spec("m?quantize_to=int8", "static", "m", {"quantize_to": "int8"})),
    ],
)
def test_encoders_of_the_command_line(text: str, spec: Spec) -> None:
    assert Spec.parse(text) == spec


@pytest.mark.parametrize("module", [quality_encoders, quality_plot])
def test_examples_in_docstrings(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_default_encoders_are_well_formed() -> None:
    assert [Spec.parse(text).kind for text in DEFAULT_ENCODERS] == ["teacher", "distill", "distill"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{folder}"], "nothing to measure"),
        (["?x=1", "--pairs", "{pairs}"], "expected .NAME=..teacher:.distill:.FOLDER"),
        (["{folder}?quantise=int8", "--pairs", "{pairs}"], "unknown option 'quantise'; known ones: token"),
        (["{folder}", "{folder}", "--pairs", "{pairs}"], "two encoders are called student: call one of them NAME="),
        (["{folder}", "--pairs", "{pairs}", "{pairs}"], "two tasks are called perfect"),
        (["{folder}/none", "--pairs", "{pairs}"], "none"),
    ],
)
def test_bad_command_lines(arguments: list[str], says: str, folder: Path, pairs: Path, tmp_path: Path) -> None:
    filled = [argument.format(folder=folder, pairs=pairs) for argument in arguments]
    with pytest.raises(SystemExit, match=says):
        main([*filled, "--data", str(tmp_path)])


def test_the_plot(folder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    stem = tmp_path / "plots" / "speed.v1"
    encoders = [f"one={folder}", f"two={folder}?dimensionality=2"]
    main([*encoders, "--pairs", str(pairs), "--data", str(tmp_path), "--plot", str(stem)])
    png, svg = (stem.with_name(f"speed.v1.{kind}") for kind in ("png", "svg"))
    assert f"plots: {png}, {svg}" in capsys.readouterr().out
    assert png.read_bytes().startswith(b"\x89PNG")
    drawn = svg.read_text()
    for text in ("Quality against speed", "texts per second (log scale)", "mean of 1 task", "one", "two"):
        assert f"<!-- {text} -->" in drawn


def test_a_plot_without_matplotlib(folder: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    with pytest.raises(SystemExit, match="pip install matplotlib"):
        main([str(folder), "--pairs", str(pairs), "--data", str(tmp_path), "--plot", str(tmp_path / "plot")])


def test_labels_of_the_plot_meet_nothing() -> None:
    """Dots in clusters: no label lies on a dot, on another label or over the edge."""
    draw = np.random.default_rng(0)
    dots = [(x + dx, y + dy) for x, y in ((60, 50), (200, 150), (390, 290)) for dx, dy in draw.uniform(-9, 9, (4, 2))]
    frame = (0.0, 0.0, 450.0, 340.0)
    boxes = place_labels(dots, [(50 + 5 * place, 11) for place in range(len(dots))], frame, radius=5)
    round_dots = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    for one, other in [*combinations(boxes, 2), *((box, dot) for box in boxes for dot in round_dots)]:
        assert min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(one[1], other[1])
    for left, bottom, right, top in boxes:
        assert left >= 0
        assert bottom >= 0
        assert right <= 450
        assert top <= 340
