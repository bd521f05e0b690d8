"""Live: our adapters in the libraries that they are for (nox -s integrations)."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m2v_core import InvalidInputError, StaticModel

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("default")]  # the libraries warn of their own parts

TEXTS = [
    "The cat sits on the mat.",
    "A kitten is sitting on a rug!",
    "Stock markets fell sharply on Monday.",
    "Shares dropped at the start of the week",
    "",
    "long " * 700,
]
PROMPTS = {"query": "search: ", "document": "text: "}

Ran = Callable[[str, str, float], None]


@pytest.fixture(scope="module")
def folder(minilm_student: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student with prompts."""
    path = tmp_path_factory.mktemp("adapters") / "student"
    model = StaticModel.from_pretrained(minilm_student)
    model.prompts = PROMPTS
    model.save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def model(folder: str) -> StaticModel:
    return StaticModel.from_pretrained(folder)


@pytest.fixture
def adapter(request: pytest.FixtureRequest) -> Any:
    """The adapter of the library that a test is for; without the library the test is skipped, but not in the session."""
    module, *names = request.param
    missing = [name for name in names if find_spec(name) is None]
    if missing and find_spec("txtai") is None:  # the largest one stands for all
        pytest.skip(f"needs {', '.join(missing)}: nox -s integrations")
    return import_module(f"m2v_core.integrations.{module}")


def needs(module: str, *names: str) -> Any:
    return pytest.mark.parametrize("adapter", [(module, *names)], indirect=True, ids=[module])


def difference(found: Any, expected: np.ndarray) -> float:
    found = np.asarray(found, np.float32)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


@needs("langchain", "langchain_core")
def test_langchain(adapter: Any, folder: str, model: StaticModel, ran: Ran) -> None:
    from langchain_core.vectorstores import InMemoryVectorStore

    embeddings = adapter.StaticModelEmbeddings(folder)
    found = difference(embeddings.embed_documents(TEXTS), model.encode_document(TEXTS))
    assert found == difference(embeddings.embed_query(TEXTS[0]), model.encode_query(TEXTS[0])) == 0
    assert asyncio.run(embeddings.aembed_query(TEXTS[0])) == embeddings.embed_query(TEXTS[0])
    store = InMemoryVectorStore.from_texts(TEXTS[:4], pickle.loads(pickle.dumps(embeddings)))
    assert store.similarity_search("a cat on a rug", k=1)[0].page_content in TEXTS[:2]
    short = adapter.StaticModelEmbeddings(model, truncate_dim=64).embed_query(TEXTS[0])
    assert difference(short, model.encode_query(TEXTS[0], truncate_dim=64)) == 0
    ran("langchain-core", "StaticModelEmbeddings, InMemoryVectorStore", found)


@needs("langchain", "langchain_community", "faiss")
def test_langchain_faiss(adapter: Any, model: StaticModel, ran: Ran, tmp_path: Path) -> None:
    from langchain_community.vectorstores import FAISS

    embeddings = adapter.StaticModelEmbeddings(model)
    store = FAISS.from_texts(TEXTS[:4], embeddings)
    store.save_local(str(tmp_path))
    store = FAISS.load_local(str(tmp_path), embeddings, allow_dangerous_deserialization=True)
    (document, squared), *_ = store.similarity_search_with_score("a cat on a rug", k=4)
    place = TEXTS.index(document.page_content)
    query, documents = model.encode_query("a cat on a rug"), model.encode_document(TEXTS[:4])
    distances = ((documents - query) ** 2).sum(axis=1)
    assert place == distances.argmin()
    found = abs(float(squared) - float(distances[place]))
    assert found < 1e-5
    ran("langchain-community", "StaticModelEmbeddings, FAISS", found)


@needs("llama_index", "llama_index")
def test_llama_index(adapter: Any, folder: str, model: StaticModel, ran: Ran) -> None:
    from llama_index.core import Document, VectorStoreIndex

    embedding = adapter.StaticModelEmbedding(folder, embed_batch_size=2)
    expected = model.encode_document(TEXTS)
    found = difference(embedding.get_text_embedding_batch(TEXTS), expected)
    assert found == difference(asyncio.run(embedding.aget_text_embedding_batch(TEXTS)), expected) == 0
    assert difference(embedding.get_query_embedding(TEXTS[0]), model.encode_query(TEXTS[0])) == 0
    assert difference(asyncio.run(embedding.aget_query_embedding(TEXTS[0])), model.encode_query(TEXTS[0])) == 0
    assert difference(embedding.get_text_embedding(TEXTS[0]), expected[0]) == 0
    assert embedding.to_dict()["model_name"] == folder
    assert embedding.to_dict()["class_name"] == "StaticModelEmbedding"
    assert difference(pickle.loads(pickle.dumps(embedding)).get_query_embedding("x"), model.encode_query("x")) == 0
    short = adapter.StaticModelEmbedding(folder, encode_options={"truncate_dim": 9})
    again = type(short).from_dict(json.loads(json.dumps(short.to_dict())))
    assert difference(again.get_query_embedding("x"), model.encode_query("x", truncate_dim=9)) == 0
    with pytest.raises(InvalidInputError, match="model should be a StaticModel, a folder"):
        adapter.StaticModelEmbedding()
    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS[:4]], embed_model=embedding)
    assert index.as_retriever(similarity_top_k=1).retrieve("a cat on a rug")[0].get_content() in TEXTS[:2]
    ran("llama-index-core", "StaticModelEmbedding, VectorStoreIndex", found)


@needs("haystack", "haystack")
def test_haystack(adapter: Any, folder: str, model: StaticModel, ran: Ran) -> None:
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    embedder = adapter.StaticModelDocumentEmbedder(folder)
    documents = [Document(content=text, meta={"title": f"T{i}", "n": i}) for i, text in enumerate(TEXTS)]
    embedded = embedder.run(documents)["documents"]
    assert all(document.embedding is None for document in documents)
    found = difference([document.embedding for document in embedded], model.encode_document(TEXTS))
    assert found == 0
    options = {"meta_fields_to_embed": ["title", "n", "none"], "embedding_separator": " | ", "suffix": "!"}
    with_meta = adapter.StaticModelDocumentEmbedder(folder, prefix="", encode_options={"truncate_dim": 32}, **options)
    expected = model.encode([f"T{i} | {i} | {text}!" for i, text in enumerate(TEXTS)], truncate_dim=32)
    assert difference([document.embedding for document in with_meta.run(documents)["documents"]], expected) == 0

    store = InMemoryDocumentStore()
    store.write_documents(embedded[:4])
    pipeline = Pipeline()
    pipeline.add_component("embedder", adapter.StaticModelTextEmbedder(folder))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    (nearest,) = pipeline.run({"embedder": {"text": "a cat on a rug"}})["retriever"]["documents"]
    assert nearest.content in TEXTS[:2]
    ran("haystack-ai", "StaticModelTextEmbedder, StaticModelDocumentEmbedder, Pipeline", found)


@needs("haystack", "haystack")
def test_haystack_files(adapter: Any, folder: str, model: StaticModel) -> None:
    """A pipeline that is written and read again computes the same; a model in memory cannot be written."""
    from haystack import Document, Pipeline

    for name in ("StaticModelTextEmbedder", "StaticModelDocumentEmbedder"):
        made = getattr(adapter, name)(folder, prefix="now: ", encode_options={"normalize": False})
        pipeline = Pipeline()
        pipeline.add_component("embedder", made)
        again = Pipeline.loads(pipeline.dumps(), allowed_modules=[adapter.__name__])
        given = {"text": "a cat"} if "Text" in name else {"documents": [Document(content="a cat")]}
        found = again.run({"embedder": given})["embedder"]
        vector = found["embedding"] if "Text" in name else found["documents"][0].embedding
        assert difference(vector, model.encode("now: a cat", normalize=False)) == 0
        assert (
            json.loads(json.dumps(made.to_dict())) == made.to_dict() == type(made).from_dict(made.to_dict()).to_dict()
        )
        assert made.to_dict()["init_parameters"]["model"] == folder
        with pytest.raises(InvalidInputError, match="save_pretrained"):
            getattr(adapter, name)(model).to_dict()
    lazy = adapter.StaticModelTextEmbedder("no/such-model")
    with pytest.raises((FileNotFoundError, OSError, ImportError)):
        lazy.warm_up()
    with pytest.raises(TypeError, match="StaticModelDocumentEmbedder"):
        adapter.StaticModelTextEmbedder(model).run([Document(content="a")])
    with pytest.raises(TypeError, match="StaticModelTextEmbedder"):
        adapter.StaticModelDocumentEmbedder(model).run("a")


@needs("chonkie", "chonkie")
def test_chonkie(adapter: Any, folder: str, model: StaticModel, ran: Ran) -> None:
    from chonkie import SemanticChunker

    embeddings = adapter.StaticModelEmbeddings(folder)
    found = difference(embeddings.embed_batch(TEXTS), model.encode(TEXTS))
    assert found == difference(embeddings.embed(TEXTS[0]), model.encode(TEXTS[0])) == 0
    assert embeddings.dimension == model.dim
    first, second = model.encode(TEXTS[:2])
    assert embeddings.similarity(first, second) == pytest.approx(float(first @ second), abs=1e-6)
    assert embeddings.similarity(first, np.zeros_like(first)) == 0
    text = " ".join(TEXTS[:4])
    chunks = SemanticChunker(embedding_model=embeddings, chunk_size=40).chunk(text)
    assert "".join(chunk.text for chunk in chunks) == text
    assert [chunk.token_count for chunk in chunks] == [
        len(model.tokenizer.encode(chunk.text, add_special_tokens=False).ids) for chunk in chunks
    ]
    ran("chonkie", "StaticModelEmbeddings, SemanticChunker", found)


@needs("txtai", "txtai")
def test_txtai(adapter: Any, folder: str, model: StaticModel, ran: Ran) -> None:
    from txtai import Embeddings

    instructions = {"query": PROMPTS["query"], "data": PROMPTS["document"]}
    store = Embeddings(
        method="external", transform=adapter.transform(folder), instructions=instructions, backend="numpy"
    )
    store.index(TEXTS[:4])
    assert store.search("a cat on a rug", 1)[0][0] in {0, 1}
    found = difference(store.batchtransform(TEXTS, "data"), model.encode_document(TEXTS))
    assert found < 1e-6  # txtai normalises again
    ran("txtai", 'Embeddings(method="external"), index, search', found)


@needs("keybert", "keybert")
def test_keybert(adapter: Any, folder: str, model: StaticModel, ran: Ran) -> None:
    from keybert import KeyBERT

    backend = adapter.StaticModelBackend(folder)
    found = difference(backend.embed(TEXTS), model.encode(TEXTS))
    assert found == 0
    keybert = KeyBERT(backend)
    assert keybert.model is backend
    assert {"stock", "markets"} & {word for word, _ in keybert.extract_keywords(TEXTS[2], top_n=3)}
    ran("keybert", "StaticModelBackend, extract_keywords", found)


@needs("bertopic", "bertopic")
def test_bertopic(adapter: Any, folder: str, model: StaticModel, ran: Ran) -> None:
    """Two kinds of sentences are two topics."""
    from bertopic import BERTopic
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    backend = adapter.StaticModelBackend(folder)
    found = difference(backend.embed_documents(TEXTS), model.encode(TEXTS))
    assert found == difference(backend.embed_words(TEXTS), model.encode(TEXTS)) == 0
    cats = [
        f"The {size} cat sleeps on the {place}" for size in ("small", "old", "big") for place in ("mat", "rug", "bed")
    ]
    shares = [f"{who} shares fell on {day}" for who in ("Bank", "Oil", "Steel") for day in ("Monday", "Friday", "June")]
    topics = BERTopic(
        embedding_model=backend, umap_model=PCA(3), hdbscan_model=KMeans(2, n_init=3, random_state=0)
    ).fit(cats + shares)
    assert topics.embedding_model is backend
    assert len(set(topics.topics_[:9])) == len(set(topics.topics_[9:])) == 1
    assert len(set(topics.topics_)) == 2
    ran("bertopic", "StaticModelBackend, BERTopic.fit", found)


@needs("spacy", "spacy")
def test_spacy(adapter: Any, folder: str, model: StaticModel, ran: Ran, tmp_path: Path) -> None:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("static_model", config={"model": folder, "options": {"truncate_dim": 100}})
    expected = model.encode(TEXTS, truncate_dim=100)
    found = difference([doc.vector for doc in nlp.pipe(TEXTS, batch_size=2)], expected)
    assert found == difference(nlp(TEXTS[0]).vector, expected[0]) == 0
    first, second, other = nlp.pipe(TEXTS[:3])
    assert first.similarity(second) == pytest.approx(float(expected[0] @ expected[1]), abs=1e-5)
    assert first.similarity(second) > first.similarity(other)
    nlp.to_disk(tmp_path / "pipeline")
    code = f"import spacy; print(spacy.load({str(tmp_path / 'pipeline')!r})('a cat').vector.tolist())"
    printed = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=True, text=True)
    assert difference(json.loads(printed.stdout), model.encode("a cat", truncate_dim=100)) == 0
    ran("spacy", "static_model in a pipeline, doc.similarity, to_disk", found)


@needs("sklearn", "sklearn")
def test_sklearn(adapter: Any, folder: str, model: StaticModel, own_data: Path, ran: Ran) -> None:
    """All else of it: `tests/core/test_sklearn.py`."""
    import csv

    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    with (own_data / "banking_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], [row["category"] for row in rows]
    transformer = adapter.StaticModelTransformer(folder)
    found = difference(transformer.transform(texts), model.encode(texts))
    assert found == 0
    score = make_pipeline(transformer, LogisticRegression(C=100)).fit(texts[::2], labels[::2]).score(texts, labels)
    assert score > 0.8
    ran("scikit-learn", "StaticModelTransformer, make_pipeline", found)
