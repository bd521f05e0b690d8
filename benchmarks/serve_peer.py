"""What people write first: model2vec behind FastAPI, with floats as JSON. Run by `benchmarks/serve.py`, by uvicorn.

The model's folder is in the variable MODEL. FastAPI calls `def` in a thread, and `async def` in the event loop.
"""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI
from model2vec import StaticModel
from pydantic import BaseModel

app = FastAPI()
model = StaticModel.from_pretrained(os.environ["MODEL"])


class Embeddings(BaseModel):
    """The body of OpenAI's request."""

    input: str | list[str]
    model: str = "model"
    encoding_format: str = "float"


def _answer(request: Embeddings) -> dict[str, Any]:
    texts = [request.input] if isinstance(request.input, str) else request.input
    vectors = model.encode(texts).tolist()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": request.model, "usage": {"prompt_tokens": 0, "total_tokens": 0}}


@app.post("/v1/embeddings")
def threaded(request: Embeddings) -> dict[str, Any]:
    """In one of a pool of threads."""
    return _answer(request)


@app.post("/async/v1/embeddings")
async def direct(request: Embeddings) -> dict[str, Any]:
    """In the event loop."""
    return _answer(request)
