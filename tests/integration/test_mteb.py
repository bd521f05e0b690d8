"""Live: mteb with static models, on tasks of local files (nox -s integrations)."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import m2v
from m2v_core import InvalidInputError, StaticModel, quantize_model

mteb = pytest.importorskip("mteb", reason="needs mteb: nox -s integrations")

from datasets import Dataset
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS
from mteb.types import PromptType
from scipy.stats import pearsonr, spearmanr

from m2v_core.integrations.mteb import (
    CustomMTEB,
    StaticModelEncoder,
    get_tasks,
    make_leaderboard,
    model_meta,
    parse_mteb_results,
    summarize_results,
)

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("default")]  # the libraries warn of their own parts

Ran = Callable[[str, str, float], None]


def local_task(base: type, name: str, kind: str, measure: str, dataset: Any, **attributes: Any) -> Any:
    """A task whose data are here."""
    metadata = mteb.TaskMetadata(
        name=name,
        dataset={"path": "local", "revision": "1"},
        description="A test.",
        type=kind,
        eval_langs=["eng-Latn"],
        main_score=measure,
    )

    def load_data(self: Any, *_: Any, **__: Any) -> None:
        self.dataset, self.data_loaded = dataset, True

    return type(name, (base,), {"metadata": metadata, "load_data": load_data, **attributes})()


@pytest.fixture(scope="module")
def folder(minilm_student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mteb") / "student"
    StaticModel.from_pretrained(minilm_student, quantize_to="float32").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> StaticModel:
    return StaticModel.from_pretrained(folder)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def sts(data: Path) -> Any:
    first, second, scores = zip(*rows_of(data / "stsb-en-dev.csv")[:400], strict=True)
    columns = {"sentence1": first, "sentence2": second, "score": list(map(float, scores))}
    return local_task(
        AbsTaskSTS, "LocalSTS", "STS", "cosine_spearman", {"default": {"test": Dataset.from_dict(columns)}}
    )


@pytest.fixture(scope="module")
def labelled(data: Path) -> dict[str, Dataset]:
    """Questions to a bank: every tenth is a test."""
    rows = rows_of(data / "banking_train.csv")[1:]
    names = sorted({row[1] for row in rows})
    parts = {"train": [row for i, row in enumerate(rows) if i % 10], "test": rows[::10]}
    return {
        split: Dataset.from_dict({"text": [row[0] for row in part], "label": [names.index(row[1]) for row in part]})
        for split, part in parts.items()
    }


@pytest.fixture(scope="module")
def classification(labelled: dict[str, Dataset]) -> Any:
    return local_task(
        AbsTaskClassification,
        "LocalClassification",
        "Classification",
        "accuracy",
        {"default": labelled},
        n_experiments=2,
    )


@pytest.fixture(scope="module")
def clustering(labelled: dict[str, Dataset]) -> Any:
    test = labelled["test"].rename_columns({"text": "sentences", "label": "labels"})
    attributes = {"max_fraction_of_documents_to_embed": None, "n_clusters": 2}
    return local_task(
        AbsTaskClustering, "LocalClustering", "Clustering", "v_measure", {"default": {"test": test}}, **attributes
    )


@pytest.fixture(scope="module")
def collection(data: Path) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]]]:
    """Documents, queries and gains: of Cranfield, or else second sentences of pairs for the first ones."""
    if not (data / "cranfield").is_dir():
        pairs = rows_of(data / "stsb-en-dev.csv")[:150]
        gains = {f"q{i}": {f"d{i}": round(float(pair[2]))} for i, pair in enumerate(pairs) if float(pair[2]) > 3}
        documents = {f"d{i}": pair[1] for i, pair in enumerate(pairs)}
        return documents, {name: pairs[int(name[1:])][0] for name in gains}, gains
    fields = [entry.split("\n.") for entry in (data / "cranfield" / "cran.all.1400").read_text().split("\n.I ")]
    documents = {str(i): f"{entry[1][1:]} {entry[-1][1:]}".strip() for i, entry in enumerate(fields, 1)}
    entries = (data / "cranfield" / "cran.qry").read_text().split(".I ")[1:]
    queries = {str(i): entry.split(".W\n", 1)[1].strip() for i, entry in enumerate(entries, 1)}
    gains = {}
    for line in (data / "cranfield" / "cranqrel").read_text().splitlines():
        query, document, code = line.split()[:3]
        if 1 <= int(code) <= 4 and documents.get(document):
            gains.setdefault(query, {})[document] = 5 - int(code)
    documents = {name: text for name, text in documents.items() if text}
    return documents, {name: queries[name] for name in gains}, gains


@pytest.fixture(scope="module")
def retrieval(collection: Any) -> Any:
    documents, queries, gains = collection
    split = {
        "corpus": Dataset.from_dict(
            {"id": list(documents), "title": [""] * len(documents), "text": [*documents.values()]}
        ),
        "queries": Dataset.from_dict({"id": list(queries), "text": [*queries.values()]}),
        "relevant_docs": gains,
        "top_ranked": None,
    }
    return local_task(AbsTaskRetrieval, "LocalRetrieval", "Retrieval", "ndcg_at_10", {"default": {"test": split}})


@pytest.fixture
def words(tmp_path: Path, own_data: Path) -> Path:
    """A file of pairs of words with scores, in the form of WordSim-353."""
    pairs: dict[frozenset[str], str] = {}
    for first, second, score in rows_of(own_data / "stsb-en-dev.csv"):
        pairs.setdefault(frozenset((first.split()[1].lower(), second.split()[-1].strip("."))), score)
    rows = [(*sorted(pair), score) for pair, score in pairs.items() if len(pair) == 2]
    path = tmp_path / "words.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("Word 1", "Word 2", "Human (mean)"), *rows])
    return path


def rows_of_task(sts: Any) -> Any:
    sts.load_data()
    return sts.dataset["default"]["test"]


def cosines(model: StaticModel, first: Any, second: Any) -> np.ndarray:
    return model.similarity_pairwise(model.encode(first), model.encode(second))


def ndcg(model: StaticModel, documents: Any, queries: Any, gains: Any) -> float:
    """NDCG@10, by hand."""
    names = list(documents)
    similar = model.similarity(model.encode_query(queries.values()), model.encode_document(documents.values()))
    scores = []
    for row, query in zip(similar, queries, strict=True):
        found = [gains[query].get(names[i], 0) for i in np.argsort(-row, kind="stable")[:10]]
        best = sorted(gains[query].values(), reverse=True)[:10]
        scores.append(
            sum(g / math.log2(i + 2) for i, g in enumerate(found))
            / sum(g / math.log2(i + 2) for i, g in enumerate(best))
        )
    return float(np.mean(scores))


def test_four_kinds_of_tasks(
    model: StaticModel,
    folder: Path,
    sts: Any,
    classification: Any,
    clustering: Any,
    retrieval: Any,
    collection: Any,
    ran: Ran,
    tmp_path: Path,
) -> None:
    """By hand, and as mteb runs the same folder by sentence-transformers."""
    evaluation = CustomMTEB([sts, classification, clustering, retrieval])
    results = evaluation.run(model, eval_splits=["test"], output_folder=tmp_path / "results")
    scores = parse_mteb_results(results, "m2v")["m2v"]
    assert {name: score.type for name, score in scores.items()} == {
        "LocalSTS": "STS",
        "LocalClassification": "Classification",
        "LocalClustering": "Clustering",
        "LocalRetrieval": "Retrieval",
    }
    rows = rows_of_task(sts)
    expected = spearmanr(cosines(model, rows["sentence1"], rows["sentence2"]), rows["score"]).statistic
    assert scores["LocalSTS"].score == pytest.approx(100 * expected, abs=1e-3)
    assert scores["LocalRetrieval"].score == pytest.approx(100 * ndcg(model, *collection), abs=0.01)

    from sentence_transformers import SentenceTransformer

    other = parse_mteb_results(evaluation.run(SentenceTransformer(str(folder), device="cpu")), "other")
    differences = [abs(score.score - other["other"][name].score) for name, score in scores.items()]
    assert max(differences) < 0.5  # k-means and logistic regression see other last bits
    summary = summarize_results({"m2v": scores, **other})
    assert summary["m2v"]["Avg (All)"] == pytest.approx(np.mean([score.score for score in scores.values()]))
    header = make_leaderboard(summary).splitlines()[0]
    assert " ".join(header.split()) == "| Model | Avg (All) | Avg (MTEB) | Class | Clust | Ret | STS | Tasks |"
    ran("mteb", "CustomMTEB: STS, classification, clustering, retrieval", max(differences) / 100)


def test_stored_results_are_those_of_the_model(model: StaticModel, sts: Any, tmp_path: Path) -> None:
    """A second run reads them; another model of the same name has other results."""
    evaluation = CustomMTEB([sts])
    model.mteb_model_meta = model_meta(model, "mine")
    try:
        first = evaluation.run(model, output_folder=tmp_path)
        second = evaluation.run(model, output_folder=tmp_path)
    finally:
        del model.mteb_model_meta
    assert second[0].date == first[0].date
    small = quantize_model(model, dimensionality=16)
    small.mteb_model_meta = model_meta(small, "mine")
    third = evaluation.run(small, output_folder=tmp_path)
    assert third[0].get_score() != first[0].get_score()
    files = sorted(path for path in tmp_path.rglob("LocalSTS.json"))
    assert len(files) == 2
    assert {path.parent.parent.name for path in files} == {"local__mine"}
    metadata = json.loads((files[0].parent / "model_meta.json").read_text())
    assert metadata["framework"] == ["NumPy"]


def test_metadata(model: StaticModel, folder: Path) -> None:
    meta = StaticModelEncoder(folder, truncate_dim=64).mteb_model_meta
    assert meta.name == "local/student"
    assert meta.embed_dim == 64
    assert meta.experiment_kwargs == {"truncate_dim": 64}
    assert meta.n_parameters == meta.n_embedding_parameters == model.embedding.size
    assert meta.memory_usage_mb == model.embedding.nbytes / 2**20
    assert meta.max_tokens == 512
    assert meta.adapted_from == model.base_model_name
    assert meta.license == "apache-2.0"
    assert meta.languages == (["eng-Latn"] if model.language else None)
    assert not meta.use_instructions
    assert meta.similarity_fn_name.value == "cosine"
    same, other = model_meta(StaticModel.from_pretrained(folder)), model_meta(quantize_model(model, quantize_to="int8"))
    assert same.revision == model_meta(model).revision != other.revision
    assert other.n_parameters == model.embedding.size + model.n_tokens
    assert type(meta).model_validate(meta.model_dump()) == meta


def test_prompts_and_measures(folder: Path, retrieval: Any, collection: Any, sts: Any) -> None:
    """Queries and documents get their prompts, and other measures of similarity than the cosine count."""
    model = StaticModel.from_pretrained(folder)
    model.prompts = {"query": "query: ", "document": "passage: "}
    encoder = StaticModelEncoder(model)
    texts = [{"text": ["a", "good day"]}, {"text": ["b"]}]
    for prompt_type, call in (
        (None, model.encode),
        (PromptType.query, model.encode_query),
        (PromptType.document, model.encode_document),
    ):
        assert np.array_equal(encoder.encode(texts, prompt_type=prompt_type), call(["a", "good day", "b"]))
    assert encoder.mteb_model_meta.use_instructions
    rows = rows_of_task(sts)
    for measure in ("dot", "euclidean", "manhattan"):
        model.similarity_fn_name, model.normalize = measure, False
        (result,) = CustomMTEB([retrieval]).run(model)
        assert result.get_score() == pytest.approx(ndcg(model, *collection), abs=2e-4)
        (result,) = CustomMTEB([sts]).run(model)
        expected = spearmanr(cosines(model, rows["sentence1"], rows["sentence2"]), rows["score"]).statistic
        assert result.scores["test"][0]["spearman"] == pytest.approx(expected, abs=1e-4)


def test_words_and_phrases(model: StaticModel, folder: Path, words: Path, ran: Ran) -> None:
    phrases = words.with_name("phrases.tsv")
    rows = rows_of(words)[1:]
    phrases.write_text("".join("\t".join(row) + "\n" for row in rows))
    evaluation = CustomMTEB(get_tasks(tasks=[], word_similarity=[words], phrases=[phrases]))
    scores = parse_mteb_results(evaluation.run(folder), "m")["m"]
    first, second, people = zip(*rows, strict=True)
    found, people = cosines(model, first, second), np.array(people, float)
    expected = {"WordSim-words": spearmanr(found, people), "PEARL-phrases": pearsonr(found, people)}
    differences = [abs(scores[name].score / 100 - value.statistic) for name, value in expected.items()]
    assert max(differences) < 1e-6
    assert [score.type for score in scores.values()] == ["WordSim", "PEARL"]
    summary = summarize_results({"m": scores})["m"]
    assert math.isnan(summary["Avg (MTEB)"])
    ran("mteb", "files of word similarity and phrases", max(differences))


def test_the_command(folder: Path, words: Path, tmp_path: Path) -> None:
    """Two models, the better one first."""
    small = tmp_path / "small"
    quantize_model(StaticModel.from_pretrained(folder), dimensionality=1).save_pretrained(small)
    done = m2v("evaluate-mteb", small, folder, "--word-similarity", words, "-q")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == "| Model | Avg (All) | Avg (MTEB) | WordSim | Tasks |"
    assert [line.split()[1] for line in lines[2:]] == ["student", "small"]
    found = json.loads(
        m2v("evaluate-mteb", folder, "--word-similarity", words, "--json", "--out", tmp_path / "o").stdout
    )
    assert found["means"]["student"]["Tasks"] == 1
    assert f"{found['scores']['student']['WordSim-words']['score']:.2f}" in lines[2]
    assert list((tmp_path / "o").rglob("WordSim-words.json"))


def test_what_is_wrong(folder: Path, words: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="STS12x"):
        get_tasks(tasks=["STS12x"])
    with pytest.raises(InvalidInputError, match="benchmark"):
        get_tasks(benchmark="MTEB(none)")
    with pytest.raises(InvalidInputError, match="task_types should be one of STS"):
        get_tasks(["STSs"], tasks=["STS12"])
    with pytest.raises(InvalidInputError, match="found none"):
        get_tasks(tasks=[])
    assert [task.metadata.name for task in get_tasks(["WordSim"], tasks=["STS12"], word_similarity=[words])] == [
        "WordSim-words"
    ]
    assert len(get_tasks()) == 56
    assert len(get_tasks(["STS"])) == 10
    for content, message in (("a,b,1\na,b\n", "line 2"), ("a,b,1\n", "found 1"), ("", "found 0")):
        (tmp_path / "x.csv").write_text(content)
        with pytest.raises(InvalidInputError, match=message):
            get_tasks(tasks=[], word_similarity=[tmp_path / "x.csv"])
    with pytest.raises(InvalidInputError, match=r"none\.csv"):
        get_tasks(tasks=[], word_similarity=[tmp_path / "none.csv"])
    with pytest.raises(InvalidInputError, match="different names"):
        CustomMTEB(get_tasks(tasks=[], word_similarity=[words, words]))
    with pytest.raises(InvalidInputError, match="static model"):
        CustomMTEB(get_tasks(tasks=[], word_similarity=[words])).run(object(), truncate_dim=3)
    with pytest.raises(InvalidInputError, match="truncate_dim"):
        CustomMTEB(get_tasks(tasks=[], word_similarity=[words])).run(folder, truncate_dim=9999)
    done = m2v("evaluate-mteb", folder, "--tasks", "STS12x")
    assert done.returncode == 1
    assert "STS12x" in done.stderr
