"""The fields of each kind of request."""

from __future__ import annotations

from collections.abc import Mapping

from m2v_core.serve.fields import Field, choice_field, flag_field, object_field, text_field, texts_field, whole_field

_MODEL = text_field("name of the model, one of GET /v1/models; the first one if it is left out")
_TRUNCATE = flag_field(
    "whether a text of more tokens than the model takes is truncated; false makes it an error", default=True
)
_DIRECTION = choice_field(
    "the end at which a text is truncated; a static model truncates on the right", "Right", default="Right"
)
_DIMENSIONS = whole_field("number of dimensions to keep, the first ones")

#: `POST /v1/embeddings`, as OpenAI has it.
EMBEDDINGS: Mapping[str, Field] = {
    "input": texts_field("a text, or a list of texts"),
    "model": _MODEL,
    "encoding_format": choice_field(
        "float for lists of numbers, base64 for the bytes of little-endian float32",
        "float",
        "base64",
        default="float",
    ),
    "dimensions": _DIMENSIONS,
    "user": text_field("ignored"),
}

#: `POST /embed`, as text-embeddings-inference has it; `model` is ours.
EMBED: Mapping[str, Field] = {
    "inputs": texts_field("a text, or a list of texts"),
    "normalize": flag_field("whether vectors are scaled to unit length", default=True),
    "truncate": _TRUNCATE,
    "truncation_direction": _DIRECTION,
    "prompt_name": text_field("name of a prompt of the model, which is put before each text"),
    "dimensions": _DIMENSIONS,
    "model": _MODEL,
}

#: `POST /predict`, as text-embeddings-inference has it; lists of texts and `model` are ours.
PREDICT: Mapping[str, Field] = {
    "inputs": texts_field("a text, a list of texts, or a list of lists of one text each", nested=True),
    "raw_scores": flag_field("whether scores are the outputs of the last layer, and no probabilities", default=False),
    "truncate": _TRUNCATE,
    "truncation_direction": _DIRECTION,
    "model": text_field("name of a model with a trained head; the first such if it is left out"),
}

#: `POST /search`, which is ours.
SEARCH: Mapping[str, Field] = {
    "query": texts_field("a query, or a list of queries"),
    "k": whole_field("number of hits for each query", most=1000, default=10),
    "mode": choice_field(
        "what decides the order: vectors, words, or both; the default is hybrid for an index with words",
        "dense",
        "lexical",
        "hybrid",
    ),
    "filter": object_field("hits have these values, or one of a list of values, for these keys of their metadata"),
}
