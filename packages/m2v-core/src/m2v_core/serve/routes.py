"""The routes: what each request is answered with."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from m2v_core.__about__ import __version__
from m2v_core.errors import InvalidInputError
from m2v_core.prompts import prepended, resolved
from m2v_core.serve.batcher import Batcher, Task
from m2v_core.serve.body import read_body
from m2v_core.serve.config import ServeConfig
from m2v_core.serve.errors import RequestError, bad_request
from m2v_core.serve.fields import Field, Texts, parsed
from m2v_core.serve.gate import State, json_response
from m2v_core.serve.metrics import MEDIA_TYPE, Metrics
from m2v_core.serve.models import Models, Served
from m2v_core.serve.requests import EMBED, EMBEDDINGS, PREDICT, SEARCH
from m2v_core.serve.tasks import Count, Embed, Predict, Search

if TYPE_CHECKING:
    from m2v_core.search import Index

#: What a head without classes calls its outputs, as transformers does.
_OUTPUT = "LABEL_{}"


class Routes:
    """The routes of a server.

    Args:
        models: The models.
        index: What is searched, if anything.
        config: Limits of requests.
        batcher: Computes what models do.
        searcher: Searches, in a thread of its own: a large index takes longer than any text.
        metrics: Counts texts.
        state: Whether the server stops.
    """

    def __init__(
        self,
        models: Models,
        index: Index | None,
        config: ServeConfig,
        *,
        batcher: Batcher,
        searcher: Batcher,
        metrics: Metrics,
        state: State,
    ) -> None:
        self._models, self._index, self._config = models, index, config
        self._batcher, self._searcher, self._metrics, self._state = batcher, searcher, metrics, state

    def all(self) -> list[Route]:
        """The routes, the most frequent ones first."""
        search = [] if self._index is None else [Route("/search", self.search, methods=["POST"])]
        return [
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
            Route("/embed", self.embed, methods=["POST"]),
            Route("/predict", self.predict, methods=["POST"]),
            *search,
            Route("/v1/models", self.list_models),
            Route("/v1/models/{name:path}", self.one_model),
            Route("/info", self.info),
            Route("/healthz", self.health),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def embeddings(self, request: Request) -> Response:
        """OpenAI's embeddings."""
        fields = await self._fields(request, EMBEDDINGS)
        served = self._models.named(fields["model"])
        vectors, counts = await self._embedded(served, fields["input"].texts, None, fields["dimensions"])
        rows = map(_base64, vectors) if fields["encoding_format"] == "base64" else vectors
        tokens = int(counts.sum())
        data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_response({"object": "list", "data": data, "model": served.name, "usage": usage})

    async def embed(self, request: Request) -> Response:
        """The embeddings of text-embeddings-inference."""
        fields = await self._fields(request, EMBED)
        served = self._models.named(fields["model"])
        texts = fields["inputs"].texts
        if fields["prompt_name"] is not None:
            try:
                prompt = resolved(served.model.prompts, (), prompt_name=fields["prompt_name"])
            except InvalidInputError:
                raise bad_request(
                    f"'prompt_name' should be one of the model's, {list(served.model.prompts)}; found "
                    f"{fields['prompt_name'][:60]!r}.",
                    param="prompt_name",
                ) from None
            texts = prepended(prompt, texts)
        if not fields["truncate"]:
            await self._check_tokens(served, texts)
        vectors, _ = await self._embedded(served, texts, fields["normalize"], fields["dimensions"])
        return json_response(vectors)

    async def predict(self, request: Request) -> Response:
        """The predictions of text-embeddings-inference, of a model with a head."""
        fields = await self._fields(request, PREDICT)
        served, head = self._models.pipeline(fields["model"])
        inputs: Texts = fields["inputs"]
        if not fields["truncate"]:
            await self._check_tokens(served, inputs.texts)
        task = Predict(model=served.model, head=head, raw=fields["raw_scores"], threads=self._config.threads)
        scores, counts = await self._computed(task, inputs.texts)
        self._metrics.texts(len(inputs.texts), int(counts.sum()))
        labels = None if head.classes_ is None else list(map(str, head.classes_.tolist()))
        rows = [_predictions(row, labels) for row in scores]
        return json_response(rows[0] if inputs.single else rows)

    async def search(self, request: Request) -> Response:
        """The hits of the index."""
        assert self._index is not None  # noqa: S101 - else there is no such route
        fields = await self._fields(request, SEARCH)
        queries: Texts = fields["query"]
        wanted = None if fields["filter"] is None else _sorted_json(fields["filter"])
        task = Search(
            index=self._index, k=fields["k"], mode=fields["mode"], filter=wanted, threads=self._config.threads
        )
        (found,) = await self._computed(task, queries.texts, self._searcher)
        self._metrics.texts(len(queries.texts))
        hits = [[hit._asdict() for hit in row] for row in found]
        return json_response({"hits": hits[0] if queries.single else hits})

    async def list_models(self, _: Request) -> Response:
        """OpenAI's list of models."""
        return json_response({"object": "list", "data": list(map(_model_card, self._models.all))})

    async def one_model(self, request: Request) -> Response:
        """One model of that list."""
        return json_response(_model_card(self._models.named(request.path_params["name"])))

    async def info(self, _: Request) -> Response:
        """What text-embeddings-inference tells of its model, for the first one here."""
        served = self._models.all[0]
        # A text has no more tokens than bytes, so there is a limit also where the model has none.
        length = served.model.max_length or 4 * self._config.max_chars
        return json_response(
            {
                "model_id": served.name,
                "model_sha": None,
                "model_dtype": served.model.embedding_dtype,
                "model_type": _model_type(served),
                "max_concurrent_requests": self._config.max_requests,
                "max_input_length": length,
                "max_batch_tokens": length * self._config.max_batch,
                "max_batch_requests": None,
                "max_client_batch_size": self._config.max_texts,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": __version__,
                "sha": None,
                "docker_label": None,
            }
        )

    async def health(self, _: Request) -> Response:
        """Whether the process answers."""
        return json_response({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Whether it should get requests: models are loaded before it listens, so not while it stops."""
        if self._state.stopping:
            return json_response({"status": "stopping"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return json_response({"status": "ready"})

    async def metrics(self, _: Request) -> Response:
        """Counters for Prometheus."""
        return Response(self._metrics.text(), media_type=MEDIA_TYPE)

    async def _fields(self, request: Request, fields: Mapping[str, Field]) -> dict[str, Any]:
        return parsed(await read_body(request, self._config), fields, self._config)

    async def _embedded(
        self, served: Served, texts: list[str], normalize: bool | None, dimensions: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if dimensions is not None and dimensions > served.model.dim:
            raise bad_request(
                f"'dimensions' should be a whole number from 1 to {served.model.dim}; found {dimensions}.",
                param="dimensions",
            )
        task = Embed(model=served.model, normalize=normalize, dimensions=dimensions, threads=self._config.threads)
        vectors, counts = await self._computed(task, texts)
        self._metrics.texts(len(texts), int(counts.sum()))
        return vectors, counts

    async def _check_tokens(self, served: Served, texts: list[str]) -> None:
        limit = served.model.max_length
        if limit is None:
            return
        (counts,) = await self._computed(Count(model=served.model), texts)
        if (counts > limit).any():
            index = int((counts > limit).argmax())
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"With truncate false a text should have at most {limit} tokens; found more in text {index}.",
                param="inputs",
                code="string_above_max_length",
            )

    async def _computed(self, task: Task, texts: list[str], batcher: Batcher | None = None) -> tuple[Any, ...]:
        try:
            return await (batcher or self._batcher)(task, texts)
        except InvalidInputError as error:  # a text that the tokenizer cannot spell, or a mode without words
            raise bad_request(str(error)) from None


def _sorted_json(value: dict[str, Any]) -> bytes:
    """A filter in the form in which equal ones are equal."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # it reads more levels than it writes
        raise bad_request("'filter' should have at most 250 levels; found more.", param="filter") from None


def _base64(row: NDArray[np.float32]) -> str:
    return b64encode(row.astype("<f4", copy=False).tobytes()).decode("ascii")


def _predictions(row: NDArray[Any], labels: list[str] | None) -> list[dict[str, Any]]:
    """The classes with their scores, the best first; or the outputs of a head without classes, in order."""
    if labels is None:
        return [{"score": score, "label": _OUTPUT.format(number)} for number, score in enumerate(row.tolist())]
    order = np.argsort(-row, kind="stable").tolist()
    scores = row.tolist()
    return [{"score": scores[number], "label": labels[number]} for number in order]


def _model_card(served: Served) -> dict[str, Any]:
    return {"id": served.name, "object": "model", "created": served.created, "owned_by": "m2v"}


def _model_type(served: Served) -> dict[str, Any]:
    head = served.head
    if head is None:
        return {"embedding": {"pooling": "mean"}}
    names = [_OUTPUT.format(n) for n in range(head.widths[-1])] if head.classes_ is None else head.classes_.tolist()
    labels = list(map(str, names))
    by_id = {str(number): label for number, label in enumerate(labels)}
    return {"classifier": {"id2label": by_id, "label2id": {label: number for number, label in enumerate(labels)}}}
