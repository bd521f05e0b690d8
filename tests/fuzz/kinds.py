"""What is damaged: for each kind of files, how they are made, and how they are loaded and used."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from conftest import GOLDEN, make_model
from fuzz.mutations import change_json
from fuzz.served import BODY, HEAD, make_requests, use_request
from tokenizer_files import CHARSMAP, edited, unigram

TEXTS = ["good day", "", "a bad sunny day, unable!", "日本 é ＜pad＞", "x" * 300, "good\0day \u200b\x07", "day " * 40]

#: Files that say what came out of others: no stranger damages them.
ORACLES = ("expected.safetensors", "expected.json", "texts.json", "hits.json")


@dataclass(frozen=True)
class Kind:
    """A kind of files that strangers give.

    Attributes:
        make: Writes folders of it, each whole, into a folder.
        use: Loads one of them and uses it; raises what loading and using raises, and AssertionError for wrong numbers.
        names: Patterns of the files that are damaged.
        share: Share of all mutations.
        reseal: Makes the checksums of a damaged folder right, as a malicious stranger would.
    """

    make: Callable[[Path], None]
    use: Callable[[Path, random.Random], None]
    names: tuple[str, ...]
    share: float
    reseal: Callable[[Path, random.Random], None] | None = None


def finite(values: Any, *tables: Any) -> None:
    """No NaN and no infinity comes out of numbers that are finite."""
    if all(table is None or np.isfinite(table).all() for table in tables):
        assert np.isfinite(values).all(), "numbers that are not finite out of a finite table"


# --- models ---------------------------------------------------------------------------------------------------------


def make_models(root: Path) -> None:
    make_model(normalize=True).save_pretrained(root / "wordpiece")
    make_model("byte_bpe", dtype="float16", max_length=5).save_pretrained(root / "bytes")
    from m2v_core import quantize_model

    quantize_model(make_model("unigram"), quantize_to="int8").save_pretrained(root / "unigram")
    make_model("wordlevel", dtype="float64").save_pretrained(root / "words")
    for name in ("model2vec-clusters-int8", "model2vec-unigram", "sentence-transformers-nested"):
        shutil.copytree(GOLDEN / "students" / name, root / name, ignore=shutil.ignore_patterns(*ORACLES))
    maps = {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}
    from m2v_core import StaticModel
    from m2v_core.tokenize.vocabulary import Vocabulary

    text = edited(unigram(), normalizer=maps)
    StaticModel(np.ones((len(Vocabulary.from_json(text).tokens), 3), np.float32), text).save_pretrained(
        root / "charsmap"
    )


def make_modules(root: Path) -> None:
    for name in ("sentence-transformers", "sentence-transformers-nested", "sentence-transformers-normalized"):
        shutil.copytree(GOLDEN / "students" / name, root / name, ignore=shutil.ignore_patterns(*ORACLES))


def use_model(folder: Path, rng: random.Random) -> None:
    from m2v_core import StaticModel

    options: dict[str, Any] = {"memory_map": rng.random() < 0.3}
    if rng.random() < 0.1:
        options["quantize_to"] = rng.choice(["float16", "int8", "float32"])
    if rng.random() < 0.05:
        options["dimensionality"] = 2
    model = StaticModel.from_pretrained(folder, **options)
    check_model(model)
    if rng.random() < 0.2:
        again = folder.parent / "again"
        shutil.rmtree(again, ignore_errors=True)
        model.save_pretrained(again, compiled=False)
        loaded = StaticModel.from_pretrained(again)
        np.testing.assert_array_equal(loaded.encode(TEXTS), model.encode(TEXTS))
    if rng.random() < 0.1:
        use_command(["info", str(folder), *rng.choice([[], ["--json"]])])


def check_model(model: Any) -> None:
    vectors = model.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), model.dim)
    assert vectors.dtype == np.float32
    finite(vectors, model.embedding, model.weights)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_array_equal(model.encode(text), vector)
    ids, offsets = model.token_ids(TEXTS)
    assert offsets[-1] == len(ids)
    assert not len(ids) or (ids.min() >= 0 and ids.max() < model.n_tokens)
    model.tokenize(TEXTS)
    model.encode_as_sequence(TEXTS[:3])
    model.encode_query(TEXTS[:2])
    finite(model.similarity(vectors, vectors), vectors)
    repr(model)


def use_command(arguments: list[str]) -> None:
    from m2v_core.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
    assert code in (0, 1, 2, None), f"exit code {code}"
    assert "\x1b" not in out.getvalue(), "a control character on the terminal"


def make_compiled(root: Path) -> None:
    for kind in ("wordpiece", "byte_bpe", "unigram", "wordlevel"):
        make_model(kind).save_pretrained(root / kind, compiled=True)


# --- heads ----------------------------------------------------------------------------------------------------------


def make_heads(root: Path) -> None:
    from m2v_core import Layer, MLPHead, StaticModelPipeline

    for path in (GOLDEN / "heads").iterdir():
        shutil.copytree(path, root / path.name, ignore=shutil.ignore_patterns(*ORACLES))
    draw = np.random.default_rng(0)
    layers = [Layer(draw.normal(size=(5, 8)).astype(np.float32), draw.normal(size=5).astype(np.float32))]
    layers.append(Layer(draw.normal(size=(3, 5)).astype(np.float32), draw.normal(size=3).astype(np.float32)))
    head = MLPHead(layers, "softmax", ["a", "b", "é"])
    StaticModelPipeline(make_model(), head).save_pretrained(root / "own")


def use_head(folder: Path, rng: random.Random) -> None:
    from m2v_core import StaticModel, StaticModelPipeline, load

    loaded = load(folder) if rng.random() < 0.3 else StaticModelPipeline.from_pretrained(folder)
    if isinstance(loaded, StaticModel):
        check_model(loaded)
        return
    vectors = loaded.model.encode(TEXTS)
    predicted = loaded.predict(TEXTS)
    assert len(predicted) == len(TEXTS)
    layers = [array for layer in loaded.head.layers for array in (layer.weight, layer.bias)]
    if loaded.classes_ is not None:
        scores = loaded.predict_proba(TEXTS)
        assert scores.shape[0] == len(TEXTS)
        finite(scores, vectors, *layers)
    repr(loaded)
    if rng.random() < 0.2:
        again = folder.parent / "again"
        shutil.rmtree(again, ignore_errors=True)
        loaded.save_pretrained(again)
        assert list(map(str, StaticModelPipeline.from_pretrained(again).predict(TEXTS))) == list(map(str, predicted))


# --- cards ----------------------------------------------------------------------------------------------------------


def make_cards(root: Path) -> None:
    from m2v_hub import card_for

    make_model().save_pretrained(root / "one")
    card = card_for(root / "one", repo_id="org/tiny", license="mit", language=["en", "de"], datasets=["org/data"])
    own = card.replace("---\n", "---\ncustom:\n- name: x\n  list: [1, 2]\n", 1)
    (root / "one/README.md").write_text(own + "\nMine.\n", encoding="utf-8")


def use_card(folder: Path, rng: random.Random) -> None:
    from m2v_hub import card_for
    from m2v_hub.card.card import read_card
    from m2v_hub.card.merge import metadata_in, updated_metadata

    existing = read_card(folder / "README.md")
    how = rng.random()
    if how < 0.4:
        metadata_in(existing)
    elif how < 0.8:
        metadata_in(updated_metadata(existing, {"license": "mit", "tags": ["a"]}))
    else:
        card = card_for(folder, repo_id="org/tiny", existing=existing)
        assert card_for(folder, repo_id="org/tiny", existing=card) == card


def make_exports(root: Path) -> None:
    for path in (GOLDEN / "onnx").iterdir():
        shutil.copytree(path, root / path.name, ignore=shutil.ignore_patterns(*ORACLES))
    shutil.copytree(root / "vectors", root / "beside")
    make_model().save_pretrained(root / "beside")


def use_export(folder: Path, rng: random.Random) -> None:
    from m2v_hub import card_for
    from m2v_hub.onnx_file import read_signature

    for values in read_signature(folder / "model.onnx"):
        assert all(isinstance(value.name, str) for value in values)
    if rng.random() < 0.3:
        card_for(folder, repo_id="org/tiny")


def make_results(root: Path) -> None:
    from m2v_core.results import results_of, save_results

    for number, name in enumerate(("one", "two")):
        make_model().save_pretrained(root / name)
        report = {"accuracy": 0.5, "macro avg": {"f1-score": 0.25}, "R2": -1.0}
        speed = {"texts_per_second": 1000.5, "machine": "a machine", "dataset": "é"} if number else None
        save_results(root / name, results_of(report, dataset="org/data", split="test"), speed=speed)


def use_results(folder: Path, rng: random.Random) -> None:
    from m2v_core.results import read_results, save_results
    from m2v_hub import card_for

    found = read_results(folder)
    if rng.random() < 0.3:
        card = card_for(folder, repo_id="org/tiny")
        assert card_for(folder, repo_id="org/tiny", existing=card) == card
    if rng.random() < 0.3:
        new = {"metric": "accuracy", "value": 1.0, "dataset": "org/data", "split": "test"}
        save_results(folder, [new])
        assert new in read_results(folder)["results"]
        assert read_results(folder)["speed"] == found["speed"]


# --- lists that a user got from others ------------------------------------------------------------------------------


def make_lists(root: Path) -> None:
    lists = {
        "counts.json": json.dumps({"good": 3, "day": 2.5, "é": 0}),
        "counts.tsv": "good\t3\nday\t2.5\na tab\there\t1e3\n",
        "words.txt": "good day\nsunny\n日本\n",
        "metrics.json": json.dumps([{"metric": "accuracy", "value": 0.5, "dataset": "org/data", "task": "sts"}]),
    }
    for name, text in lists.items():
        folder = root / name.replace(".", "-")
        folder.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")


def use_list(folder: Path, rng: random.Random) -> None:
    from m2v_distill.vocabulary.weights import read_frequencies
    from m2v_distill.vocabulary.words import read_words
    from m2v_hub.card.options import CardOptions
    from m2v_hub.cli.options import read_results

    path = next((path for path in folder.iterdir()), folder / "words.txt")
    if path.name.startswith("counts"):
        finite(list(dict(read_frequencies(path)).values()))
    elif path.name.startswith("words"):
        assert all(isinstance(word, str) for word in read_words(path))
    else:
        CardOptions(metrics=read_results(path))


# --- search, corpora ------------------------------------------------------------------------------------------------


def make_indexes(root: Path) -> None:
    from m2v_core.search import Index

    for dtype, options in (("float32", {"lexical": True}), ("int8", {}), ("binary", {}), ("float16", {"adapt": True})):
        index = Index(make_model(), dtype=dtype, **options)  # type: ignore[arg-type]
        index.add(TEXTS, ids=["a", 3, "é", 4, 5, 6, 7], metadata=[{"page": 1}, None, "x", 3, [1], {}, 0.5])
        index.save(root / dtype)


def use_index(folder: Path, rng: random.Random) -> None:
    from m2v_core.search import Index

    index = Index.load(folder, memory_map=rng.random() < 0.5)
    names = list(index)
    assert len(names) == len(index)
    for query in ("good day", "", "日本 sunny"):
        hits = index.search(query, k=3)
        assert all(np.isfinite(hit.score) and hit.id in names for hit in hits)
    index.search(TEXTS, k=100)
    index.search("good", k=3, filter={"page": 1})
    if rng.random() < 0.3:
        index.add(["day"])
        index.remove(next(iter(index)))
        index.search("day")
        again = folder.parent / "again"
        shutil.rmtree(again, ignore_errors=True)
        index.save(again)
        assert Index.load(again).search("day") == index.search("day")


def make_embedded(root: Path) -> None:
    from m2v_core.embed import embed_files

    folder = root / "one"
    make_model().save_pretrained(folder / "model")
    (folder / "a.txt").write_text("good day\n\nbad\n")
    (folder / "b.jsonl").write_text('{"text": "sunny"}\n{"text": null}\n')
    with contextlib.chdir(folder):
        embed_files("model", ["a.txt", "b.jsonl"], "out", workers=1)


def use_embedded(folder: Path, rng: random.Random) -> None:
    from pyarrow import parquet

    from m2v_core.embed import embed_files
    from m2v_core.embed.manifest import read_manifest

    read_manifest(folder / "out")
    with contextlib.chdir(folder):
        done = embed_files("model", ["a.txt", "b.jsonl"], "out", workers=1)
    if done.n_embedded == 5:
        assert done.n_texts == 5
        assert [parquet.read_metadata(path).num_rows for path in map(folder.joinpath, done.paths)] == [3, 2]


def make_tables(root: Path) -> None:
    import gzip

    import pyarrow
    from pyarrow import feather, parquet

    make_model().save_pretrained(root / "model")
    table = pyarrow.table({"text": [*TEXTS, None], "n": list(range(8)), "tags": [["a"]] * 8})
    for kind in ("parquet", "feather", "csv", "tsv", "jsonl", "jsonl.gz", "txt", "csv.gz"):
        folder = root / kind
        folder.mkdir()
        path, name = folder / f"texts.{kind}", kind.split(".")[0]
        if kind == "parquet":
            parquet.write_table(table, path)
        elif kind == "feather":
            feather.write_feather(table, path)
        else:
            lines = {
                "csv": ["text,n", *(f'"{text}",{number}' for number, text in enumerate(TEXTS))],
                "tsv": ["text\tn", *(f"{text}\t{number}" for number, text in enumerate(TEXTS))],
                "jsonl": [json.dumps({"text": text, "n": number}) for number, text in enumerate(TEXTS)],
            }.get(name, TEXTS)
            data = ("\n".join(lines) + "\n").encode()
            path.write_bytes(gzip.compress(data, mtime=0) if kind.endswith("gz") else data)


def use_table(folder: Path, rng: random.Random) -> None:
    from m2v_core.data.columns import read_texts
    from m2v_core.embed import embed_files

    path = next(iter(folder.glob("texts.*")), folder / "texts.csv")
    if rng.random() < 0.3:
        list(read_texts(path, None if path.suffix in (".txt", ".gz") else "text"))
        return
    out = folder / "out"
    done = embed_files(_MODEL.setdefault("model", make_model()), path, out, workers=1)
    assert done.n_embedded == done.n_texts


_MODEL: dict[str, Any] = {}


# --- teachers -------------------------------------------------------------------------------------------------------


def make_teachers(root: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from sentence_folders import write_dense, write_modules
    from teacher_files import write_tokenizer
    from tokenizer_files import wordpiece

    for case in ("bert", "distilbert", "modernbert", "qwen3-left", "t5"):
        folder = root / case
        shutil.copytree(GOLDEN / "teachers" / case, folder, ignore=shutil.ignore_patterns(*ORACLES))
        write_tokenizer(folder, wordpiece(), "bert")
    dim = json.loads((root / "bert/config.json").read_text())["hidden_size"]
    pooling = {"word_embedding_dimension": dim, "pooling_mode_mean_tokens": True}
    write_modules(root / "bert", "Pooling", "Dense", "Normalize", Pooling=pooling)
    write_dense(root / "bert/2_Dense", dim, 6, activation_function="torch.nn.modules.activation.Tanh")
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    (root / "bert/config_sentence_transformers.json").write_text(json.dumps(prompts))
    (root / "bert/sentence_bert_config.json").write_text('{"max_seq_length": 30, "do_lower_case": false}')
    (root / "bert/README.md").write_text("---\nlicense: mit\nlanguage:\n- en\n---\n# A teacher\n")
    # In two shards with an index.
    folder = root / "distilbert"
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts: list[dict[str, Any]] = [{}, {}]
    for number, name in enumerate(tensors):
        parts[number % 2][name] = tensors[name]
    where = {}
    for number, part in enumerate(parts):
        name = f"model-{number}.safetensors"
        save_file(part, folder / name)
        where |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def use_teacher(folder: Path, rng: random.Random) -> None:
    from m2v_distill import Teacher

    teacher = Teacher.from_pretrained(folder)
    vectors = teacher.encode(["good day", "a bad sunny day"])
    assert vectors.shape[0] == 2


def make_stores(root: Path) -> None:
    from m2v_distill import Teacher
    from m2v_distill.corpus.featurize import featurize

    make_teachers(root.parent / "teachers-of-stores")
    teacher = Teacher.from_pretrained(root.parent / "teachers-of-stores/bert")
    featurize(teacher, [f"text {number}" for number in range(10)], root / "one", shard_size=4)


def use_store(folder: Path, rng: random.Random) -> None:
    from m2v_distill.corpus.store import FeatureStore, check_corpus

    check_corpus(folder if (folder / "store.json").is_file() else ["a"])
    store = FeatureStore.open(folder)
    for texts, vectors in store.shards():
        assert len(texts) == len(vectors)
        assert np.isfinite(vectors).all()
    assert store.n_bytes > 0
    repr(store)


SEQUENCES = [[2, number, 3] for number in range(8)]


def make_chunks(root: Path) -> None:
    from m2v_distill.teacher.engine.resume import ChunkStore

    table = np.zeros((8, 4), np.float32)
    store = ChunkStore(root / "one", interval=0.0)
    store.read(SEQUENCES, table)
    for row in range(3):
        store.add(np.array([row]), np.full((1, 4), row + 1, np.float32))


def use_chunks(folder: Path, rng: random.Random) -> None:
    from m2v_distill.teacher.engine.resume import ChunkStore

    table = np.zeros((8, 4), np.float32)
    store = ChunkStore(folder, interval=0.0)
    finished = store.read(SEQUENCES, table)
    assert not table[~finished].any()
    with store:
        store.add(np.array([7]), np.ones((1, 4), np.float32))
    store.discard()


# --- training -------------------------------------------------------------------------------------------------------


def _fitted(folder: Path) -> Any:
    from m2v_train import StaticModelForClassification
    from training_texts import FAST, LABELS
    from training_texts import TEXTS as EXAMPLES

    options = {**FAST, "max_epochs": 2}
    estimator = StaticModelForClassification(make_model(), checkpoint_dir=folder, **options)  # type: ignore[arg-type]
    return estimator.fit(EXAMPLES[:60], LABELS[:60])


def make_checkpoints(root: Path) -> None:
    _fitted(root / "one")


def use_checkpoint(folder: Path, rng: random.Random) -> None:
    scores = _fitted(folder).predict_proba(TEXTS)
    assert scores.shape[0] == len(TEXTS)


def make_legacy(root: Path) -> None:
    import warnings

    import skops.io
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline

    vectors, draw = make_model().encode(TEXTS), np.random.default_rng(0)
    estimators = {
        "many": (MLPClassifier(hidden_layer_sizes=(5, 4), max_iter=3), ["a", "b", "é"] * 2 + ["a"]),
        "two": (
            MLPClassifier(hidden_layer_sizes=(5,), max_iter=3, solver="sgd", early_stopping=False),
            [0, 1, 0, 1, 0, 1, 0],
        ),
        "linear": (
            MLPClassifier(hidden_layer_sizes=(), max_iter=3, solver="lbfgs"),
            draw.integers(0, 2, (len(TEXTS), 3)),
        ),
        "numbers": (MLPRegressor(hidden_layer_sizes=(4,), max_iter=3), draw.normal(size=(len(TEXTS), 2))),
    }
    for name, (estimator, targets) in estimators.items():
        make_model().save_pretrained(root / name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # three steps do not converge
            fitted = make_pipeline(estimator).fit(vectors, targets)
        skops.io.dump(fitted, root / name / "pipeline.skops")


def use_legacy(folder: Path, rng: random.Random) -> None:
    from m2v_train.legacy import convert_legacy_pipeline

    loaded = convert_legacy_pipeline(folder)
    assert len(loaded.predict(TEXTS)) == len(TEXTS)
    finite(loaded.predict_proba(TEXTS) if loaded.classes_ is not None else loaded.predict(TEXTS))
    if rng.random() < 0.3:
        again = folder.parent / "again"
        shutil.rmtree(again, ignore_errors=True)
        loaded.save_pretrained(again)
        use_head(again, rng)


# --- checksums of a malicious stranger ------------------------------------------------------------------------------


def reseal(folder: Path, rng: random.Random) -> None:
    """Make the checksums of all files right again, and sometimes change what they hold besides tensors."""
    from m2v_core import M2VError
    from m2v_core.storage.tensor_file import checksum, read_all

    if rng.random() < 0.4:
        return
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            tensors, metadata = read_all(path)
        except (M2VError, OSError):
            continue
        more = []
        if "progress" in metadata:
            text = metadata["progress"]
            if rng.random() < 0.5:
                with contextlib.suppress(ValueError, RecursionError):
                    text = change_json(text.encode(), rng)[1].decode()
            metadata["progress"] = text
            more = [text]
        with contextlib.suppress(Exception):  # safetensors refuses what its own reader took
            metadata["sha256"] = checksum(tensors, *more)
            path.write_bytes(save(tensors, metadata))


# --- all ------------------------------------------------------------------------------------------------------------

KINDS = {
    "model": Kind(make_models, use_model, ("*.json", "*.safetensors"), 0.25),
    "compiled": Kind(make_compiled, use_model, ("vocabulary.safetensors",), 0.07),
    "modules": Kind(make_modules, use_model, ("*.json", "*.safetensors"), 0.06),
    "head": Kind(make_heads, use_head, ("config.json", "head.safetensors"), 0.08),
    "legacy": Kind(make_legacy, use_legacy, ("pipeline.skops",), 0.03),
    "card": Kind(make_cards, use_card, ("README.md",), 0.06),
    "export": Kind(make_exports, use_export, ("model.onnx", "*.json"), 0.02),
    "results": Kind(make_results, use_results, ("m2v_results.json",), 0.02),
    "list": Kind(make_lists, use_list, ("*",), 0.02),
    "request": Kind(make_requests, use_request, (HEAD, BODY), 0.06),
    "index": Kind(make_indexes, use_index, ("*.json", "*.safetensors", "*.jsonl"), 0.08),
    "embedded": Kind(make_embedded, use_embedded, ("out/_manifest.jsonl", "out/*.parquet"), 0.04),
    "table": Kind(make_tables, use_table, ("texts.*",), 0.08),
    "store": Kind(make_stores, use_store, ("*.json", "*.safetensors"), 0.06, reseal),
    "chunks": Kind(make_chunks, use_chunks, ("*.safetensors",), 0.05, reseal),
    "checkpoint": Kind(make_checkpoints, use_checkpoint, ("*.safetensors",), 0.01, reseal),
    "teacher": Kind(make_teachers, use_teacher, ("*.json", "*.safetensors", "*.md"), 0.02),
}


def seeds(kind: str, root: Path) -> list[Path]:
    """The whole folders of a kind, made once below `root`."""
    folder = root / kind
    if not folder.exists():
        KINDS[kind].make(folder)
    return sorted(path for path in folder.iterdir() if path.name != "model" or kind != "table")
