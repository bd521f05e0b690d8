"""Live: libraries that import model2vec by name run with m2v, unchanged (nox -s integrations)."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_core import StaticModel, compat
from m2v_core.compat.finder import Finder

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("default")]  # the libraries warn of their own parts

TEXTS = [
    "The cat sits on the mat.",
    "A kitten is sitting on a rug!",
    "Stock markets fell sharply on Monday.",
    "Shares dropped at the start of the week",
    "long " * 700,
]

Ran = Callable[[str, str, float], None]


@pytest.fixture(scope="module", autouse=True)
def named() -> Iterator[None]:
    """The name model2vec, for this module."""
    if find_spec("chonkie") is None or find_spec("model2vec") is not None:
        pytest.skip("needs the libraries, and no model2vec: nox -s integrations")
    for name in [name for name in sys.modules if name.partition(".")[0] == "txtai"]:
        del sys.modules[name]  # it looks for model2vec when it is imported, as other tests may have done
    compat.enable()
    yield
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "model2vec"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def folder(minilm_student: Path) -> str:
    return str(minilm_student)


@pytest.fixture(scope="module")
def float32_folder(folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What sentence-transformers loads by itself."""
    path = tmp_path_factory.mktemp("float32") / "model"
    StaticModel.from_pretrained(folder, quantize_to="float32").save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def expected(folder: str) -> np.ndarray:
    return StaticModel.from_pretrained(folder).encode(TEXTS)


def library(name: str) -> Any:
    """A module of a library; a test that needs it fails in the session, which installs all of them."""
    return import_module(name)


def difference(found: Any, expected: np.ndarray) -> float:
    found = np.asarray(found, np.float32)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


def test_sentence_transformers(folder: str, expected: np.ndarray, ran: Ran) -> None:
    """`from_model2vec` takes the table and a tokenizer that truncates; the model's normalisation is a module there."""
    sentence_transformers = library("sentence_transformers")
    models = library("sentence_transformers.models")
    embedding = models.StaticEmbedding.from_model2vec(folder)
    there = sentence_transformers.SentenceTransformer(modules=[embedding, models.Normalize()], device="cpu")
    found = difference(there.float().encode(TEXTS), expected)
    assert found < 1e-6
    ran("sentence-transformers", "StaticEmbedding.from_model2vec", found)


@pytest.mark.parametrize("options", [{"quantize_to": "int8"}, {"vocabulary_quantization": 2048}])
def test_sentence_transformers_folds(folder: str, options: dict[str, Any], tmp_path: Path, ran: Ran) -> None:
    """`from_model2vec` multiplies weights and clusters into its table, since version 6.2."""
    model = StaticModel.from_pretrained(folder, **options)
    model.save_pretrained(tmp_path / "m")
    models = library("sentence_transformers.models")
    embedding = models.StaticEmbedding.from_model2vec(str(tmp_path / "m"))
    there = library("sentence_transformers").SentenceTransformer(modules=[embedding, models.Normalize()], device="cpu")
    found = difference(there.encode(TEXTS), model.encode(TEXTS))
    assert found < 5e-6  # of a text with 512 tokens; 1e-7 without
    ran("sentence-transformers", f"StaticEmbedding.from_model2vec, {next(iter(options))}", found)


def test_sentence_transformers_distillation(minilm: Path, ran: Ran) -> None:
    models = library("sentence_transformers.models")
    embedding = models.StaticEmbedding.from_distillation(str(minilm), device="cpu", pca_dims=32)
    there = library("sentence_transformers").SentenceTransformer(modules=[embedding, models.Normalize()], device="cpu")
    from m2v_distill import distill

    ours = distill(minilm, device="cpu", pca_dims=32, quantize_to="float32").encode(TEXTS)
    found = difference(there.encode(TEXTS), ours)
    assert found < 2e-5  # PyTorch's sum of the 512 vectors of the longest text
    assert difference(there.encode(TEXTS[:4]), ours[:4]) < 1e-6
    ran("sentence-transformers", "StaticEmbedding.from_distillation", found)


def test_langchain_community(folder: str, expected: np.ndarray, ran: Ran) -> None:
    embeddings = library("langchain_community.embeddings").Model2vecEmbeddings(folder)
    found = difference(embeddings.embed_documents(TEXTS), expected)
    assert found == difference(embeddings.embed_query(TEXTS[0]), expected[0]) == 0
    store = library("langchain_core.vectorstores").InMemoryVectorStore.from_texts(TEXTS[:4], embeddings)
    assert store.similarity_search("a cat on a rug", k=1)[0].page_content in TEXTS[:2]
    ran("langchain-community", "Model2vecEmbeddings, InMemoryVectorStore", found)


def test_semhash(folder: str, expected: np.ndarray, ran: Ran) -> None:
    model = library("model2vec").StaticModel.from_pretrained(folder)
    semhash = library("semhash").SemHash.from_records(records=[*TEXTS[:4], TEXTS[0] + " "], model=model)
    kept = semhash.self_deduplicate(threshold=0.95).selected
    assert kept == TEXTS[:4]
    found = difference(np.asarray(semhash.index.vectors)[:4], expected[:4])
    assert found < 1e-6
    ran("semhash", "SemHash.from_records, self_deduplicate", found)


def test_vicinity(folder: str, expected: np.ndarray, ran: Ran) -> None:
    """vicinity's README: a store of a model's vectors, queried by the same model's."""
    model = library("model2vec").StaticModel.from_pretrained(folder)
    vectors = model.encode(TEXTS)
    store = library("vicinity").Vicinity.from_vectors_and_items(vectors=vectors, items=TEXTS)
    nearest = store.query(model.encode(["a cat on a rug"]), k=1)[0][0][0]
    assert nearest in TEXTS[:2]
    ran("vicinity", "from_vectors_and_items, query", difference(vectors, expected))


def test_chonkie(folder: str, expected: np.ndarray, ran: Ran) -> None:
    """Its calls pass `convert_to_numpy=True`."""
    embeddings = library("chonkie.embeddings").Model2VecEmbeddings(folder)
    found = difference(embeddings.embed_batch(TEXTS), expected)
    assert found == difference(embeddings.embed(TEXTS[0]), expected[0]) == 0
    chunker = library("chonkie").SemanticChunker(embedding_model=embeddings, chunk_size=40)
    chunks = chunker.chunk(" ".join(TEXTS[:4]))
    assert "".join(chunk.text for chunk in chunks) == " ".join(TEXTS[:4])
    ran("chonkie", "Model2VecEmbeddings, SemanticChunker", found)


def test_keybert(folder: str, expected: np.ndarray, ran: Ran) -> None:
    """It looks for "model2vec" in the name of the model's type."""
    model = library("model2vec").StaticModel.from_pretrained(folder)
    keybert = library("keybert").KeyBERT(model)
    assert type(keybert.model).__name__ == "Model2VecBackend"
    found = difference(keybert.model.embed(TEXTS), expected)
    assert found == 0
    keywords = [word for word, _ in keybert.extract_keywords(TEXTS[2], top_n=3)]
    assert {"stock", "markets"} & set(keywords)
    ran("keybert", "KeyBERT(model).extract_keywords", found)


def test_txtai(folder: str, expected: np.ndarray, ran: Ran) -> None:
    embeddings = library("txtai").Embeddings(path=folder, method="model2vec", backend="numpy")
    embeddings.index(TEXTS[:4])
    assert embeddings.search("a cat on a rug", 1)[0][0] in {0, 1}
    found = difference(embeddings.batchtransform(TEXTS), expected)
    assert found < 1e-6  # txtai normalises again
    ran("txtai", 'Embeddings(method="model2vec"), index, search', found)


def test_llama_index(folder: str, expected: np.ndarray, ran: Ran) -> None:
    """By its adapter of LangChain's embeddings."""
    langchain = library("langchain_community.embeddings").Model2vecEmbeddings(folder)
    embed_model = library("llama_index.embeddings.langchain").LangchainEmbedding(langchain)
    found = difference(embed_model.get_text_embedding_batch(TEXTS), expected)
    assert found == 0
    documents = [library("llama_index.core").Document(text=text) for text in TEXTS[:4]]
    index = library("llama_index.core").VectorStoreIndex.from_documents(documents, embed_model=embed_model)
    nodes = index.as_retriever(similarity_top_k=1).retrieve("a cat on a rug")
    assert nodes[0].get_content() in TEXTS[:2]
    ran("llama-index-core", "LangchainEmbedding, VectorStoreIndex", found)


def test_haystack(float32_folder: str, expected: np.ndarray, ran: Ran) -> None:
    """By sentence-transformers, which loads a folder of float32 by itself."""
    embedders = library("haystack_integrations.components.embedders.sentence_transformers")
    document = library("haystack").Document
    embedder = embedders.SentenceTransformersDocumentEmbedder(model=float32_folder, progress_bar=False)
    embedder.warm_up()
    documents = embedder.run([document(content=text) for text in TEXTS[:4]])["documents"]
    found = difference([document.embedding for document in documents], expected[:4])
    assert found < 1e-6
    ran("haystack-ai", "SentenceTransformersDocumentEmbedder", found)


def test_mteb(folder: str, expected: np.ndarray, ran: Ran) -> None:
    models = library("mteb.models.model_implementations.model2vec_models")
    with pytest.warns(DeprecationWarning, match="Model2VecModel"):
        model = models.Model2VecModel(folder)
    found = difference(model.encode([{"text": TEXTS}], task_metadata=None, hf_split="test", hf_subset="en"), expected)
    assert found == 0
    ran("mteb", "Model2VecModel.encode", found)


def test_the_page(float32_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of docs/integrations.md, block by block as a reader runs it."""
    pages = library("test_pages")
    shutil.copytree(float32_folder, tmp_path / "my-model")
    pages.make_teacher(tmp_path)
    (tmp_path / "words.csv").write_text("word 1,word 2,score\ncat,kitten,9\ncat,share,1\nmarket,bank,5\nsun,tax,0\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    seen: list[dict[str, Any]] = []
    for line, code in pages.blocks_of("integrations.md"):
        pages.run("integrations.md", line, code, names)
        seen.append({**names})

    def all_of(name: str) -> list[Any]:
        """What a name stood for, in the order of the page."""
        found = [each[name] for each in seen if name in each]
        return [value for i, value in enumerate(found) if i == 0 or value is not found[i - 1]]

    assert [found[0].page_content for found in all_of("retrieved")] == ["Mighty Mushroom Risotto"] * 2
    assert [found[0].get_content() for found in all_of("nodes")] == ["Mighty Mushroom Risotto"] * 2
    texts = all_of("texts")
    assert [texts[i][found[0][0]] for i, found in enumerate(all_of("found"))] == ["Mighty Mushroom Risotto"] * 2
    assert names["nearest"][0][0][0] == "Mighty Mushroom Risotto"
    assert names["kept"] == texts[0]
    assert len(names["embedding"]) == names["model"].dim == names["vectors"].shape[1]
    assert len(all_of("chunks")) == 2
    assert all(all_of("chunks"))
    assert all_of("keywords")[0] == all_of("keywords")[1]
    assert names["dishes"][0].content == "Risotto"
    assert names["label"] == "food"
    assert 0 < names["similarity"] < 1
    assert len(set(names["topics"].topics_[:5])) == len(set(names["topics"].topics_[5:])) == 1
    assert names["task_scores"]["my-model"]["Tasks"] == 1
    assert len(names["token_embeddings"]) == 2
    assert names["word_model"].n_tokens < names["m2v_model"].n_tokens
    assert (tmp_path / "m2v_model" / "model.safetensors").is_file()
