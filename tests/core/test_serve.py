"""The server's answers, in this process: shapes of OpenAI and text-embeddings-inference, errors, limits and the key."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from conftest import GOLDEN, make_model
from m2v_core import InvalidInputError, StaticModel, StaticModelPipeline
from m2v_core.search import Index
from m2v_core.serve import ServeConfig, create_app
from m2v_core.serve.openapi import OPERATIONS
from servers import JSON
from tokenizer_files import unigram

HEADS = GOLDEN / "heads"
TEXTS = ["good day", "Bad, sunny days!", "", "unable\u0000 day. 日本 ☃", "good " * 700]
KEY = "sk-secret-0123456789"
SECRET = "the secret text"


def model_with_prompts() -> StaticModel:
    model = make_model(dim=12)
    model.prompts = {"query": "sunny "}
    return model


MODEL = model_with_prompts()
PIPELINES = {
    case: StaticModelPipeline.from_pretrained(HEADS / case) for case in sorted(p.name for p in HEADS.iterdir())
}
SERVED: dict[str, Any] = {"plain": MODEL, "org/unigram": make_model("unigram", normalize=True), **PIPELINES}
SMALL = ServeConfig(max_texts=5, max_chars=4000, max_body=30_000)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(SERVED, SMALL)) as client:
        yield client


def refusal(response: Any, status: int, code: str | None, param: str | None = None) -> str:
    """The message of a refused request; its form is checked."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    error = response.json().pop("error")
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param), error
    assert (
        error["type"] == "server_error"
        if status >= 500
        else error["type"] in {"invalid_request_error", "rate_limit_error"}
    )
    return str(error["message"])


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "org/unigram", "softmax"])
@pytest.mark.parametrize("dimensions", [None, 3])
def test_embeddings_are_those_of_encode(client: TestClient, name: str, dimensions: int | None) -> None:
    model = SERVED[name].model if name == "softmax" else SERVED[name]
    expected = model.encode(TEXTS, truncate_dim=dimensions)
    asked = {"input": TEXTS, "model": name} | ({"dimensions": dimensions} if dimensions else {})
    answer = client.post("/v1/embeddings", json=asked).json()
    assert {key: answer[key] for key in ("object", "model")} == {"object": "list", "model": name}
    assert [(one["object"], one["index"]) for one in answer["data"]] == [("embedding", i) for i in range(5)]
    np.testing.assert_array_equal(np.array([one["embedding"] for one in answer["data"]], "float32"), expected)
    tokens = sum(map(len, model.tokenize(TEXTS)))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    packed = client.post("/v1/embeddings", json={**asked, "encoding_format": "base64", "user": "me"}).json()
    rows = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in packed["data"]]
    np.testing.assert_array_equal(rows, expected)
    one = client.post("/v1/embeddings", json={**asked, "input": TEXTS[1]}).json()["data"]
    np.testing.assert_array_equal(np.array([row["embedding"] for row in one], "float32"), expected[1:2])


def test_null_is_the_default_and_the_first_model_too(client: TestClient) -> None:
    nothing = {"model": None, "encoding_format": None, "dimensions": None, "user": None}
    answer = client.post("/v1/embeddings", json={"input": "good", **nothing}).json()
    assert answer["model"] == "plain"
    np.testing.assert_array_equal(np.float32(answer["data"][0]["embedding"]), MODEL.encode("good"))


def test_embed_is_that_of_text_embeddings_inference(client: TestClient) -> None:
    def embed(**fields: Any) -> Any:
        return np.array(client.post("/embed", json=fields).json(), "float32")

    np.testing.assert_array_equal(embed(inputs=TEXTS), MODEL.encode(TEXTS, normalize=True))
    np.testing.assert_array_equal(embed(inputs=TEXTS, normalize=False), MODEL.encode(TEXTS, normalize=False))
    np.testing.assert_array_equal(embed(inputs="good"), MODEL.encode(["good"], normalize=True))
    fields = {"truncate": True, "truncation_direction": "Right", "prompt_name": "query", "dimensions": 2}
    expected = MODEL.encode(["sunny good"], normalize=True, truncate_dim=2)
    np.testing.assert_array_equal(embed(inputs="good", **fields), expected)
    other = SERVED["org/unigram"].encode(["good"], normalize=True)
    np.testing.assert_array_equal(embed(inputs="good", model="org/unigram"), other)


def test_truncate_false_refuses_what_would_be_truncated(client: TestClient) -> None:
    fits, long = " ".join(["good"] * 512), " ".join(["good"] * 513)
    assert client.post("/embed", json={"inputs": fits, "truncate": False}).status_code == 200
    refused = client.post("/embed", json={"inputs": [fits, long], "truncate": False})
    assert "at most 512 tokens; found more in text 1" in refusal(refused, 413, "string_above_max_length", "inputs")
    with_prompt = {"inputs": fits, "truncate": False, "prompt_name": "query"}
    refusal(client.post("/embed", json=with_prompt), 413, "string_above_max_length", "inputs")
    predicted = client.post("/predict", json={"inputs": long, "truncate": False})
    limit = PIPELINES["identity"].model.max_length
    assert predicted.status_code == (200 if limit is None or limit > 513 else 413)


@pytest.mark.parametrize("case", ["softmax", "softmax-numbers", "sigmoid"])
def test_predictions_are_those_of_the_pipeline(client: TestClient, case: str) -> None:
    pipeline = PIPELINES[case]
    assert pipeline.classes_ is not None
    names = list(map(str, pipeline.classes_.tolist()))
    for raw in (False, True):
        vectors = pipeline.model.encode(TEXTS)
        expected = pipeline.head.logits(vectors) if raw else pipeline.predict_proba(TEXTS)
        asked = {"model": case, "raw_scores": raw}
        answer = client.post("/predict", json={**asked, "inputs": TEXTS}).json()
        scores = [{one["label"]: one["score"] for one in row} for row in answer]
        np.testing.assert_allclose([[row[name] for name in names] for row in scores], expected, atol=1e-6)
        assert all(row == sorted(row, key=lambda one: -one["score"]) for row in answer)
        assert client.post("/predict", json={**asked, "inputs": [[text] for text in TEXTS]}).json() == answer
        single = client.post("/predict", json={**asked, "inputs": TEXTS[1]}).json()
        assert [one["label"] for one in single] == [one["label"] for one in answer[1]]
        assert [one["score"] for one in single] == pytest.approx([one["score"] for one in answer[1]])


def test_predictions_of_numbers_and_the_default_pipeline(client: TestClient) -> None:
    answer = client.post("/predict", json={"inputs": TEXTS[:2]}).json()  # identity: the first one with a head
    expected = PIPELINES["identity"].predict(TEXTS[:2])
    np.testing.assert_allclose([[one["score"] for one in row] for row in answer], expected, atol=1e-6)
    assert [one["label"] for one in answer[0]] == [f"LABEL_{number}" for number in range(expected.shape[1])]
    message = refusal(client.post("/predict", json={"inputs": "good", "model": "plain"}), 400, "no_head", "model")
    assert "'plain' has none" in message
    pair = client.post("/predict", json={"inputs": [["good", "day"]]})
    assert "found a list at index 0" in refusal(pair, 400, None, "inputs")


def test_the_models_and_their_facts(client: TestClient) -> None:
    answer = client.get("/v1/models").json()
    assert (answer["object"], [one["id"] for one in answer["data"]]) == ("list", list(SERVED))
    assert {tuple(sorted(one)) for one in answer["data"]} == {("created", "id", "object", "owned_by")}
    assert client.get("/v1/models/org/unigram").json() == answer["data"][1]
    assert "Did you mean 'plain'?" in refusal(client.get("/v1/models/plane"), 404, "model_not_found", "model")
    facts = client.get("/info").json()
    assert (facts["model_id"], facts["model_type"]) == ("plain", {"embedding": {"pooling": "mean"}})
    assert (facts["max_input_length"], facts["max_client_batch_size"], facts["auto_truncate"]) == (512, 5, True)
    with TestClient(create_app({"x": PIPELINES["softmax"]})) as other:
        kind = other.get("/info").json()["model_type"]["classifier"]
        labels = PIPELINES["softmax"].classes_.tolist()  # type: ignore[union-attr]
        assert kind == {
            "id2label": {str(number): label for number, label in enumerate(labels)},
            "label2id": {label: number for number, label in enumerate(labels)},
        }


def test_a_text_that_the_tokenizer_cannot_spell_is_an_error_of_its_own_request() -> None:
    raw = json.loads(unigram())
    raw["model"]["unk_id"] = None
    table = np.zeros((len(raw["model"]["vocab"]), 2), "float32")
    with TestClient(create_app({"x": StaticModel(table, json.dumps(raw))})) as client:
        message = refusal(client.post("/embed", json={"inputs": ["good", "good ☃"]}), 400, None)
        assert "cannot spell text 1" in message
        assert client.post("/embed", json={"inputs": ["good"]}).status_code == 200


@pytest.fixture(scope="module")
def index() -> Index:
    index = Index(MODEL, lexical=True)
    texts = ["good day", "bad day", "sunny days", "un able", "zebra 4711", ""]
    index.add(texts, metadata=[{"page": page, "text": text} for page, text in enumerate(texts)])
    return index


def test_hits_are_those_of_the_index(index: Index) -> None:
    queries = ["sunny day", "zebra", "bad, bad!"]
    with TestClient(create_app({"x": MODEL}, SMALL, index=index)) as client:
        for options in ({}, {"k": 2}, {"mode": "dense"}, {"mode": "lexical", "k": 100}, {"filter": {"page": [0, 4]}}):
            expected = [[hit._asdict() for hit in hits] for hits in index.search(queries, **options)]  # type: ignore[arg-type]
            answer = client.post("/search", json={"query": queries, **options}).json()
            found = [[(hit["id"], hit["metadata"]) for hit in hits] for hits in answer["hits"]]
            assert found == [[(hit["id"], hit["metadata"]) for hit in hits] for hits in expected]
            scores = [hit["score"] for hits in answer["hits"] for hit in hits]
            assert scores == pytest.approx([hit["score"] for hits in expected for hit in hits], abs=1e-6)
            one = client.post("/search", json={"query": queries[1], **options}).json()["hits"]
            assert [hit["id"] for hit in one] == [hit["id"] for hit in expected[1]]
        assert client.get("/openapi.json").json()["paths"]["/search"]["post"]["requestBody"]
        for wrong, param in (
            ({"k": 0}, "k"),
            ({"k": 1001}, "k"),
            ({"mode": "both"}, "mode"),
            ({"filter": "a"}, "filter"),
        ):
            refusal(client.post("/search", json={"query": "a", **wrong}), 400, None, param)
        refusal(client.post("/search", json={"query": ["a"] * 6}), 400, "array_above_max_length", "query")


def test_metadata_of_a_stranger_is_answered(tmp_path: Path) -> None:
    """Python's JSON reads numbers and depths that the server's writes not, and half surrogate pairs."""
    index = Index(MODEL)
    index.add(["good", "good day", "day"], metadata=[2**70, "XXXXXXXXX", []])
    index.save(tmp_path)
    line = b'[1,"XXXXXXXXX"]'
    entries = (tmp_path / "entries.jsonl").read_bytes()
    assert entries.count(line) == 1
    (tmp_path / "entries.jsonl").write_bytes(entries.replace(line, b'[1,"abc\\ud800"]'))
    with TestClient(create_app({"a": MODEL}, index=Index.load(tmp_path))) as client:
        hits = client.post("/search", json={"query": "good day", "k": 3}).json()["hits"]
    assert {hit["id"]: hit["metadata"] for hit in hits} == {0: 2**70, 1: "abc\ud800", 2: []}


@pytest.mark.parametrize("depth", [1, 100, 250, 300, 1000, 2000])
def test_a_deep_filter(index: Index, depth: int) -> None:
    with TestClient(create_app({"a": MODEL}, index=index)) as client:
        found = client.post(
            "/search", content='{"query": "good", "filter": {"a": %s}}' % ("[" * depth + "]" * depth), headers=JSON
        )
    if depth > 250:
        refusal(found, 400, *(("bad_json", None) if depth > 1024 else (None, "filter")))
    else:
        assert found.status_code in (200, 400)


def test_search_needs_an_index_with_a_model(client: TestClient) -> None:
    refusal(client.post("/search", json={"query": "good"}), 404, "not_found")
    assert "/search" not in client.get("/docs").text
    with pytest.raises(InvalidInputError, match="an index with a model"):
        create_app({"x": MODEL}, index=Index())
    dense = Index(MODEL)
    dense.add(["good"])
    with TestClient(create_app({"x": MODEL}, index=dense)) as other:
        message = refusal(other.post("/search", json={"query": "good", "mode": "lexical"}), 400, None)
        assert "needs an index made with lexical=True" in message


# --- wrong requests ---------------------------------------------------------------------------------------------------

EMBEDDINGS = "/v1/embeddings"
WRONG: list[tuple[str, Any, str | None, str | None, str]] = [
    (EMBEDDINGS, {}, "missing", "input", "should have a field 'input'"),
    (EMBEDDINGS, {"input": None}, "missing", "input", "should have a field 'input'"),
    (EMBEDDINGS, {"input": []}, None, "input", "found an empty list"),
    (EMBEDDINGS, {"input": {}}, None, "input", "found an object"),
    (EMBEDDINGS, {"input": True}, None, "input", "found true"),
    (EMBEDDINGS, {"input": 3}, None, "input", "found 3"),
    (EMBEDDINGS, {"input": [1, 2, 3]}, None, "input", "found token ids"),
    (EMBEDDINGS, {"input": [[1, 2], [3]]}, None, "input", "check_embedding_ctx_length=False"),
    (EMBEDDINGS, {"input": ["a", None]}, None, "input", "found null at index 1"),
    (EMBEDDINGS, {"input": ["a", True]}, None, "input", "found true at index 1"),
    (EMBEDDINGS, {"input": [["a"]]}, None, "input", "found a list at index 0"),
    (EMBEDDINGS, {"input": ["a", 0.5]}, None, "input", "found 0.5 at index 1"),
    (EMBEDDINGS, {"input": ["a"] * 6}, "array_above_max_length", "input", "at most 5 texts; found 6"),
    (EMBEDDINGS, {"input": ["a", "b" * 4001]}, "string_above_max_length", "input", "found 4001 in text 1"),
    (EMBEDDINGS, {"input": "a", "model": 3}, None, "model", "should be a text; found 3"),
    (EMBEDDINGS, {"input": "a", "model": ["x"]}, None, "model", "found a list"),
    (EMBEDDINGS, {"input": "a", "dimensions": 0}, None, "dimensions", "1 or more; found 0"),
    (EMBEDDINGS, {"input": "a", "dimensions": 13}, None, "dimensions", "from 1 to 12; found 13"),
    (EMBEDDINGS, {"input": "a", "dimensions": True}, None, "dimensions", "found true"),
    (EMBEDDINGS, {"input": "a", "dimensions": 2.0}, None, "dimensions", "found 2.0"),
    (EMBEDDINGS, {"input": "a", "dimensions": "2"}, None, "dimensions", "found '2'"),
    (EMBEDDINGS, {"input": "a", "dimensions": 10**18}, None, "dimensions", "from 1 to 12"),
    (
        EMBEDDINGS,
        {"input": "a", "encoding_format": "int8"},
        None,
        "encoding_format",
        "one of float, base64; found 'int8'",
    ),
    (EMBEDDINGS, {"input": "a", "encoding_format": ["float"]}, None, "encoding_format", "found a list"),
    (EMBEDDINGS, {"input": "a", "user": {}}, None, "user", "found an object"),
    (EMBEDDINGS, {"input": "a", "dimension": 2}, "unknown_parameter", "dimension", "Did you mean 'dimensions'?"),
    (EMBEDDINGS, {"input": "a", "x" * 999: 2}, "unknown_parameter", "x" * 60, "Known fields: input, model"),
    (EMBEDDINGS, [], "bad_json", None, "a JSON object; found a list"),
    (EMBEDDINGS, "a", "bad_json", None, "a JSON object; found 'a'"),
    ("/embed", {"input": "a"}, "unknown_parameter", "input", "Did you mean 'inputs'?"),
    ("/embed", {"inputs": "a", "normalize": "yes"}, None, "normalize", "true or false; found 'yes'"),
    ("/embed", {"inputs": "a", "truncate": 1}, None, "truncate", "found 1"),
    ("/embed", {"inputs": "a", "truncation_direction": "Left"}, None, "truncation_direction", "one of Right"),
    ("/embed", {"inputs": "a", "prompt_name": "quary"}, None, "prompt_name", "['query']; found 'quary'"),
    ("/predict", {"inputs": [[]]}, None, "inputs", "found a list at index 0"),
    ("/predict", {"inputs": ["a"], "raw_scores": None, "text": 1}, "unknown_parameter", "text", "Known fields"),
]


@pytest.mark.parametrize(("path", "body", "code", "param", "message"), WRONG)
def test_wrong_fields(
    client: TestClient, path: str, body: Any, code: str | None, param: str | None, message: str
) -> None:
    assert message in refusal(client.post(path, json=body), 400, code, param)


@pytest.mark.parametrize("model", ["plane", "", "x" * 5000])
def test_an_unknown_model(client: TestClient, model: str) -> None:
    response = client.post(EMBEDDINGS, json={"input": "a", "model": model})
    message = refusal(response, 404, "model_not_found", "model")
    assert "plain, org/unigram" in message
    assert len(message) < 400


HOSTILE = {
    "nothing": b"",
    "no json": b"input=good",
    "cut off": b'{"input": "good"',
    "more after it": b'{"input": "good"} {}',
    "NaN": b'{"input": "good", "dimensions": NaN}',
    "infinity": b'{"input": "good", "dimensions": -Infinity}',
    "beyond float64": b'{"input": "good", "dimensions": 1e999}',
    "a number of 5,000 digits": b'{"input": "good", "dimensions": ' + b"9" * 5000 + b"}",
    "deep lists": b'{"input": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep objects": b'{"input": ' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
    "half a surrogate pair": b'{"input": "good \\ud83d day"}',
    "half a surrogate pair as bytes": b'{"input": "good \xed\xa0\xbd day"}',
    "another encoding": '{"input": "naïve"}'.encode("latin-1"),
    "UTF-16": '{"input": "good"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"input": "good"}',
    "a comment": b'{"input": "good" /* day */}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies(client: TestClient, body: bytes) -> None:
    response = client.post(EMBEDDINGS, content=body, headers={"content-type": "application/json; charset=utf-8"})
    message = refusal(response, 400, "bad_json")
    assert "good" not in message


def test_numbers_of_thirty_digits_and_deep_lists_that_are_json(client: TestClient) -> None:
    for body in (b'{"input": 123456789012345678901234567890}', b'{"input": ' + b"[" * 900 + b"]" * 900 + b"}"):
        response = client.post(EMBEDDINGS, content=body, headers={"content-type": "application/json"})
        refusal(response, 400, None, "input")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_only_json_is_read(client: TestClient, kind: str | None) -> None:
    """A page of another site can send the other kinds without asking."""
    response = client.post(EMBEDDINGS, content=b'{"input": "a"}', headers={"content-type": kind} if kind else {})
    assert "Content-Type: application/json" in refusal(response, 415, "unsupported_media_type")


def test_a_large_body_is_refused_with_and_without_its_length(client: TestClient) -> None:
    headers = {"content-type": "application/json"}

    def pieces(size: int) -> Iterator[bytes]:
        for _ in range(size // 1000):
            yield b" " * 1000
        yield b'{"input": "good"}'

    assert client.post(EMBEDDINGS, content=pieces(29_000), headers=headers).status_code == 200
    for size in (31_000, 10_000_000):
        response = client.post(EMBEDDINGS, content=pieces(size), headers=headers)
        assert "at most 30000 bytes" in refusal(response, 413, "request_too_large")
        assert response.headers["connection"] == "close"
        refusal(client.post(EMBEDDINGS, content=b" " * size, headers=headers), 413, "request_too_large")
    lies = {**headers, "content-length": "1" * 25}
    refusal(client.post(EMBEDDINGS, content=b"{}", headers=lies), 400, "bad_content_length")


def test_unknown_paths_and_methods(client: TestClient) -> None:
    assert "no such path" in refusal(client.get("/v2/embeddings"), 404, "not_found")
    response = client.get(EMBEDDINGS)
    assert "for the method POST" in refusal(response, 405, "not_found")
    assert response.headers["allow"] == "POST"
    refusal(client.delete("/v1/models"), 405, "not_found")


# --- key, logs, counters ------------------------------------------------------------------------------------------------


def test_the_key() -> None:
    with TestClient(create_app({"x": MODEL}, api_key=KEY)) as client:
        asked = {"url": EMBEDDINGS, "json": {"input": "good"}}
        wrong = ["", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer", "Bearer ", "Bearer\t"]
        for value in [*wrong, b"Bearer \xff\xfe", *(f"{scheme} nix" for scheme in ("Bearer", "bearer"))]:
            response = client.post(**asked, headers={"authorization": value})  # type: ignore[dict-item]
            message = refusal(response, 401, "invalid_api_key")
            assert KEY not in message
            assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/info", "/metrics", "/nix"):
            refusal(client.get(path), 401, "invalid_api_key")
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        for scheme in ("Bearer", "bearer", "BEARER  "):
            assert client.post(**asked, headers={"authorization": f"{scheme} {KEY}"}).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", " ", "a b", "naïve", "a\n", "\x00"])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(InvalidInputError, match="api_key should be a key of visible ASCII") as error:
        create_app({"x": MODEL}, api_key=key)
    assert "naïve" not in str(error.value)


class Broken(StaticModel):
    """A model with a fault whose message holds the text, as that of a KeyError may."""

    def _settings(self, *_: Any) -> Any:
        raise KeyError(SECRET)


def test_neither_texts_nor_keys_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken.from_stored(MODEL.stored)
    app = create_app({"x": MODEL, "broken": broken}, ServeConfig(log_requests=True), api_key=KEY)
    with caplog.at_level(logging.DEBUG), TestClient(app) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        assert client.post(f"{EMBEDDINGS}?text=secret&key={KEY}", json={"input": SECRET}).status_code == 200
        client.post(EMBEDDINGS, content=b'{"input": "the secret', headers={"content-type": "application/json"})
        client.post("/secret", headers={"authorization": f"Bearer {KEY}x"})
        failed = client.post(EMBEDDINGS, json={"input": SECRET, "model": "broken"})
        assert "its log says where" in refusal(failed, 500, None)
        assert client.post(EMBEDDINGS, json={"input": SECRET}).status_code == 200  # the server goes on
    ours = [record for record in caplog.records if record.name.startswith(("m2v", "uvicorn", "starlette"))]
    lines = [record.getMessage() for record in ours]
    assert any("KeyError in POST /v1/embeddings" in line and "tasks.py" in line for line in lines)
    assert [line.split()[:3] for line in lines if line.endswith(" ms")] == [
        ["POST", EMBEDDINGS, "200"],
        ["POST", EMBEDDINGS, "400"],
        ["POST", "other", "401"],
        ["POST", EMBEDDINGS, "500"],
        ["POST", EMBEDDINGS, "200"],
    ]
    formatted = "\n".join(logging.Formatter().format(record) for record in ours)
    assert "secret" not in formatted
    assert KEY not in formatted


def test_counters() -> None:
    with TestClient(create_app({"x": MODEL})) as client:
        client.post(EMBEDDINGS, json={"input": TEXTS})
        client.post(EMBEDDINGS, json={"input": []})
        for number in range(20):
            client.get(f"/nix/{number}")
        text = client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values['m2v_requests_total{route="/v1/embeddings",status="200"}'] == "1.0"
    assert values['m2v_requests_total{route="/v1/embeddings",status="400"}'] == "1.0"
    assert values['m2v_requests_total{route="other",status="404"}'] == "20.0"
    assert sum(name.startswith("m2v_requests_total{") for name in values) == 3
    assert values["m2v_requests_in_progress"] == "1.0"  # this one
    tokens = sum(map(len, MODEL.tokenize(TEXTS)))
    assert (values["m2v_texts_total"], values["m2v_tokens_total"]) == ("5.0", f"{tokens}.0")
    assert values["m2v_batch_texts_sum"] == "5.0"
    assert values['m2v_request_seconds_count{route="/v1/embeddings"}'] == "2.0"


def test_too_many_requests_at_a_time() -> None:
    app = create_app({"x": MODEL}, ServeConfig(max_requests=1))
    with TestClient(app) as client:
        app.state.serve.in_progress += 1  # one that is being worked on
        response = client.post(EMBEDDINGS, json={"input": "a"})
        refusal(response, 429, "overloaded")
        assert response.headers["retry-after"] == "1"
        assert client.get("/metrics").status_code == client.get("/readyz").status_code == 200
        app.state.serve.in_progress -= 1
        assert client.post(EMBEDDINGS, json={"input": "a"}).status_code == 200


def test_readiness_ends_with_the_signal_to_stop() -> None:
    app = create_app({"x": MODEL})
    with TestClient(app) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        app.state.serve.stopping = True
        assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (503, 200)


# --- the document -------------------------------------------------------------------------------------------------------


def test_the_document_has_all_routes_and_their_fields(client: TestClient) -> None:
    content = client.get("/openapi.json").json()
    routes = {route.path.replace(":path", "") for route in client.app.routes}  # type: ignore[attr-defined]
    assert set(content["paths"]) == routes - {"/docs", "/openapi.json"} == set(OPERATIONS)
    for path, methods in content["paths"].items():
        ((method, operation),) = methods.items()
        answer = client.request(method, path.replace("{name}", "plain"), json={})
        assert answer.status_code == (200 if method == "get" else 400)
        if method == "get":
            assert answer.headers["content-type"].startswith(next(iter(operation["responses"]["200"]["content"])))
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["required"] == [answer.json()["error"]["param"]]
        unknown = client.post(path, json={schema["required"][0]: "a", "~~~": 1}).json()["error"]["message"]
        assert unknown.endswith(f"Known fields: {', '.join(schema['properties'])}.")


def test_the_document_tells_of_the_key() -> None:
    with TestClient(create_app({"x": MODEL}, api_key=KEY)) as client:
        content = client.get("/openapi.json").json()
        assert content["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
        assert content["paths"]["/embed"]["post"]["security"] == [{"key": []}]
        assert content["paths"]["/healthz"]["get"]["security"] == []
        assert "Authorization: Bearer KEY" in client.get("/docs").text


def test_the_page_loads_nothing(client: TestClient) -> None:
    response = client.get("/docs")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert all(part not in response.text for part in ("http://", "https://", "src=", "<script", "@import", "url("))
    assert all(path in response.text for path in OPERATIONS)


# --- making one ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("models", [{}, {"": MODEL}, {" ": MODEL}])
def test_an_app_needs_named_models(models: dict[str, StaticModel]) -> None:
    with pytest.raises(InvalidInputError, match="one or more models, each with a name"):
        create_app(models)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", 65_536),
        ("port", -1),
        ("host", ""),
        ("threads", 0),
        ("max_batch", 0),
        ("body_seconds", float("nan")),
        ("max_texts", 0),
        ("max_body", 1.5),
        ("body_seconds", 0),
        ("stop_seconds", 0),
        ("log_requests", 1),
    ],
)
def test_wrong_options(option: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"^{option} should be "):
        ServeConfig(**{option: value})


def test_the_app_may_be_a_part_of_another() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    whole = Starlette(routes=[Mount("/vectors", app=create_app({"x": MODEL}, api_key=KEY))])
    with TestClient(whole) as client:
        answer = client.post("/vectors/embed", json={"inputs": "good"}, headers={"authorization": f"Bearer {KEY}"})
        np.testing.assert_array_equal(np.float32(answer.json()), MODEL.encode(["good"], normalize=True))
        assert client.get("/vectors/healthz").status_code == 200
        refusal(client.get("/vectors/info"), 401, "invalid_api_key")
