"""Live: clients of OpenAI and text-embeddings-inference with `m2v serve` (nox -s integrations)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from conftest import GOLDEN
from m2v_core import StaticModel
from servers import Server, serving

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("default")]  # the libraries warn of their own parts

TEXTS = ["The cat sits on the mat.", "A kitten is sitting on a rug!", "", "naïve 日本 ☃", "long " * 700]
KEY = "secret-0123456789"

Ran = Callable[[str, str, float], None]


def needed(*names: str) -> None:
    """Skips where a library is missing, but not in the session that has them."""
    missing = [name for name in names if find_spec(name) is None]
    if missing and find_spec("txtai") is None:  # the largest one stands for all
        pytest.skip(f"needs {', '.join(missing)}: nox -s integrations")


@pytest.fixture(scope="module")
def server(minilm_student: Path) -> Iterator[Server]:
    with serving(f"student={minilm_student}", GOLDEN / "heads" / "softmax", M2V_API_KEY=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def model(minilm_student: Path) -> StaticModel:
    return StaticModel.from_pretrained(minilm_student)


@pytest.fixture(scope="module")
def vectors(model: StaticModel) -> np.ndarray:
    return model.encode(TEXTS)


def largest(found: object, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(found, "float32") - expected).max())


def test_openai(server: Server, vectors: np.ndarray, ran: Ran) -> None:
    """base64, which the client asks for by itself, and floats; errors as its exceptions."""
    needed("openai")
    import openai

    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY, max_retries=0)
    answer = client.embeddings.create(model="student", input=TEXTS)
    difference = largest([one.embedding for one in answer.data], vectors)
    assert difference == 0
    floats = client.embeddings.create(model="student", input=TEXTS, encoding_format="float")
    assert largest([one.embedding for one in floats.data], vectors) == 0
    assert answer.usage == floats.usage
    assert answer.usage.total_tokens > 500
    short = client.embeddings.create(model="student", input=TEXTS[0], dimensions=8)
    assert [len(one.embedding) for one in short.data] == [8]
    assert [model.id for model in client.models.list()] == ["student", "softmax"]
    assert client.models.retrieve("softmax").owned_by == "m2v"
    with pytest.raises(openai.NotFoundError, match="Did you mean 'student'"):
        client.embeddings.create(model="studnt", input="a")
    with pytest.raises(openai.BadRequestError, match="token ids") as error:
        client.embeddings.create(model="student", input=[[1, 2]])
    assert error.value.param == "input"
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="another").models.list()
    assert refused.value.code == "invalid_api_key"
    ran("openai", "embeddings.create, models", difference)


def test_openai_async(server: Server, vectors: np.ndarray) -> None:
    needed("openai")
    import openai

    async def ask() -> list[float]:
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY) as client:
            asked = (client.embeddings.create(model="student", input=TEXTS) for _ in range(20))
            answers = await asyncio.gather(*asked)
        return [largest([one.embedding for one in answer.data], vectors) for answer in answers]

    assert max(asyncio.run(ask())) == 0


def test_langchain(server: Server, vectors: np.ndarray, ran: Ran) -> None:
    needed("langchain_openai")
    from langchain_openai import OpenAIEmbeddings

    options = {"model": "student", "base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": KEY}
    embeddings = OpenAIEmbeddings(**options, check_embedding_ctx_length=False)
    difference = largest(embeddings.embed_documents(TEXTS), vectors)
    assert difference == 0
    assert largest(embeddings.embed_query(TEXTS[1]), vectors[1]) == 0
    ran("langchain-openai", "OpenAIEmbeddings", difference)


def test_hugging_face(server: Server, model: StaticModel, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client takes the address of the route; it asks no Hub."""
    needed("huggingface_hub")
    from huggingface_hub import InferenceClient, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    address = f"http://127.0.0.1:{server.port}"
    client = InferenceClient(f"{address}/embed", token=KEY)
    difference = largest(client.feature_extraction(TEXTS), model.encode(TEXTS, normalize=True))
    assert difference == 0
    plain = model.encode(TEXTS, normalize=False)
    assert largest(client.feature_extraction(TEXTS, normalize=False), plain) == 0
    ran("huggingface_hub", "feature_extraction of m2v serve", difference)


def test_the_document_is_valid(server: Server) -> None:
    needed("openapi_spec_validator")
    from openapi_spec_validator import validate

    validate(server.request("GET", "/openapi.json")[1])
