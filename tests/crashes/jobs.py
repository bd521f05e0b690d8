"""The work that is killed: what it is, what must hold after a kill, and what it comes to when it is done again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from conftest import GOLDEN, make_model
from m2v_core import StaticModel
from m2v_core.search import Index
from training_texts import LABELS
from training_texts import TEXTS as EXAMPLES

TEXTS = ["good day", "bad", "a sunny day, unable", ""]
MODEL = {"config.json", "model.safetensors", "tokenizer.json"}

#: Options of a command that make it write often.
OFTEN = "import m2v_distill.teacher.engine.resume as chunks\nchunks.INTERVAL = 0\n"

COMMAND = "from m2v_core.cli.main import main\ncode = main({arguments!r})\nassert not code, code\n"

SAVES = """
from m2v_core import StaticModel
models = [StaticModel.from_pretrained(name) for name in ("one", "two")]
for number in range({times}):
    models[number % 2].save_pretrained("m", compiled=number % 3 == 0)
models[0].save_pretrained("m")
"""

BY_FILES = "from m2v_core.storage import exchange\nexchange._change_places = lambda one, other: False\n"

COMPILES = """
from pathlib import Path
from m2v_core.storage.compile import compile_vocabulary
for _ in range({times}):
    compile_vocabulary(Path("m"))
"""

INDEXES = """
from m2v_core.search import Index
indexes = [Index.load(name) for name in ("i1", "i2")]
for number in range({times}):
    indexes[number % 2].save("i")
indexes[0].save("i")
"""

FIT = """
import sys
sys.path[:0] = {paths!r}
from crashes.jobs import fitted
fitted()
"""


@dataclass(frozen=True)
class Job:
    """Work that is killed.

    Attributes:
        code: What a process does, in the folder of the work; the same again continues it.
        prepare: Writes what it needs into the current folder.
        check: Raises AssertionError unless what a killed process left, in the current folder, is whole.
        results: Names of what it makes: done again, they have the bytes of an uninterrupted run.
        share: Share of all kills.
        process: What runs it: "core", "jax" or "hub".
        litter: Names that may be left beside the results.
    """

    code: str
    prepare: Callable[[], object]
    check: Callable[[], object]
    results: tuple[str, ...]
    share: float
    process: str = "core"
    litter: frozenset[str] = field(default=frozenset())


def content(*names: str) -> dict[str, bytes]:
    """The bytes of all files below some names, without those of a model's cache."""
    found = {}
    for name in names:
        path = Path(name)
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file():
                found[str(file)] = file.read_bytes()
            elif file.is_dir() and not any(file.iterdir()):
                found[str(file)] = b"an empty folder"
    return found


# --- models ---------------------------------------------------------------------------------------------------------


def prepare_models() -> None:
    make_model(dim=64).save_pretrained("one")
    StaticModel(2 * make_model(dim=64).embedding, make_model().stored.tokenizer_json).save_pretrained("two")
    shutil.copytree("one", "m")


def check_model() -> None:
    """It is one of both, whole."""
    found = StaticModel.from_pretrained("m").encode(TEXTS)
    expected = make_model(dim=64).encode(TEXTS)
    assert np.array_equal(found, expected) or np.array_equal(found, 2 * expected)


# --- indexes --------------------------------------------------------------------------------------------------------


def index_of(number: int) -> Index:
    index = Index(make_model(dim=16), lexical=number == 1)
    index.add([f"good day {'sunny ' * (row % 5)}" for row in range(200 * number)], metadata=[number] * 200 * number)
    return index


def prepare_indexes() -> None:
    for number in (1, 2):
        index_of(number).save(f"i{number}")
    shutil.copytree("i1", "i")


def check_index() -> None:
    index = Index.load("i")
    hits = index.search("sunny", k=300)
    assert len(index) in (200, 400)
    assert {hit.metadata for hit in hits} == {len(index) // 200}
    assert hits == Index.load(f"i{len(index) // 200}").search("sunny", k=300)


# --- corpora --------------------------------------------------------------------------------------------------------


def prepare_corpus() -> None:
    make_model(dim=64).save_pretrained("model")
    words = np.random.default_rng(0)
    for number in range(5):
        texts = words.choice(["good", "day", "bad", "sunny"], (1000, 20)).tolist()
        Path(f"{number}.txt").write_text("\n".join(map(" ".join, texts)))


def check_shards() -> None:
    from pyarrow import parquet

    for path in Path("out").glob("*.parquet") if Path("out").is_dir() else ():
        assert parquet.read_table(path).num_rows == 1000


# --- teachers -------------------------------------------------------------------------------------------------------


def prepare_teacher() -> None:
    from teacher_files import write_tokenizer
    from tokenizer_files import wordpiece

    shutil.copytree(GOLDEN / "teachers/bert", "teacher")
    write_tokenizer(Path("teacher"), wordpiece(), "bert")
    phrases = [f"{'good ' * (i % 9 + 1)}{'day ' * (i // 9 % 9)}{'sunny ' * (i // 81)}" for i in range(1, 400)]
    Path("words.txt").write_text("\n".join(phrases))


def check_student() -> None:
    if Path("out").exists():
        assert StaticModel.from_pretrained("out").encode("good day").any()


def check_store() -> None:
    """What is there is whole: `featurize` would otherwise compute it again without a word."""
    from m2v_distill.corpus.shards import read_shard

    for path in Path("out").glob("shard-*") if Path("out").is_dir() else ():
        read_shard(path, 24)


# --- training -------------------------------------------------------------------------------------------------------


def fitted() -> None:
    """Train a head; called again, it continues."""
    from m2v_train import StaticModelForClassification
    from m2v_train.engine.checkpoint import discard

    options = {"hidden_dim": 16, "learning_rate": 0.02, "max_epochs": 12, "show_progress_bar": False}
    estimator = StaticModelForClassification(make_model(), checkpoint_dir="state", token_dropout=0.1, **options)
    estimator.fit(EXAMPLES, LABELS).to_pipeline().save_pretrained("out")
    discard("state")


def check_head() -> None:
    from m2v_core import StaticModelPipeline

    if Path("out").exists():
        assert len(StaticModelPipeline.from_pretrained("out").predict(TEXTS)) == len(TEXTS)


# --- the Hub --------------------------------------------------------------------------------------------------------


def check_pulled() -> None:
    if Path("out").exists():
        assert StaticModel.from_pretrained("out").encode(TEXTS).shape == (len(TEXTS), 64)


def _command(*arguments: str, often: bool = False) -> str:
    return (OFTEN if often else "") + COMMAND.format(arguments=list(arguments))


def jobs(times: int = 12) -> dict[str, Job]:
    """All jobs by name; short ones repeat themselves so often."""
    tests = [str(Path(__file__).parents[1])]
    saves, compiles, indexes = (code.format(times=times) for code in (SAVES, COMPILES, INDEXES))
    embed = _command("embed", "model", "*.txt", "--out", "out", "--workers", "2", "--quiet")
    featurize = _command("featurize", "teacher", "out", "--corpus", "words.txt", "--shard-size", "50", "-q")
    distil = _command(
        "distill", "teacher", "out", "--method", "token", "--vocabulary", "words.txt", "--resume", "-q", often=True
    )
    resumed = partial(Job, process="jax")
    return {
        "save": Job(saves, prepare_models, check_model, ("m",), 0.15),
        "save by files": Job(BY_FILES + saves, prepare_models, check_model, ("m",), 0.15),
        "compile": Job(compiles, prepare_models, check_model, ("m",), 0.1),
        "index": Job(indexes, prepare_indexes, check_index, ("i",), 0.1),
        "embed": Job(embed, prepare_corpus, check_shards, ("out",), 0.1),
        "pull": Job(
            _command("pull", "org/model", "--out", "out", "-q"), lambda: None, check_pulled, ("out",), 0.1, "hub"
        ),
        "featurize": resumed(featurize, prepare_teacher, check_store, ("out",), 0.1),
        "distil": resumed(distil, prepare_teacher, check_student, ("out",), 0.1),
        "fit": resumed(FIT.format(paths=tests), lambda: None, check_head, ("out",), 0.1),
    }


def entries() -> set[str]:
    """The names in the current folder."""
    return {path.name for path in Path().iterdir()}
