"""Fields of requests: each says what it may hold, once, for the check of a request and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from m2v_core.checks import did_you_mean
from m2v_core.serve.config import ServeConfig
from m2v_core.serve.errors import bad_request

_TOKEN_IDS = (
    "should be a text, or a list of texts; found token ids. Clients make them with the tokenizers of OpenAI's models, "
    "whose ids mean other tokens here. Send texts (in LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)."
)
_SHOWN = 60


class Texts(NamedTuple):
    """The texts of a request, and whether they came as one text instead of a list."""

    texts: list[str]
    single: bool


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a request.

    Attributes:
        description: What it means.
        schema: JSON Schema of its values, without the limits of a server.
        check: From name, value and limits to the value that counts; raises `RequestError`.
        default: The value of a field that is left out or null.
        required: Whether it may not be left out.
    """

    description: str
    schema: Mapping[str, Any]
    check: Callable[[str, Any, ServeConfig], Any]
    default: Any = None
    required: bool = False


def parsed(body: bytes, fields: Mapping[str, Field], limits: ServeConfig) -> dict[str, Any]:
    """The values of all fields of a request, checked.

    Args:
        body: JSON in UTF-8. NaN, half surrogate pairs and more than 1024 levels are no JSON.
        fields: The fields that the request may have, by name.
        limits: Most texts and characters.

    Raises:
        RequestError: The body is no JSON object, a field is unknown or missing, or a value is wrong.

    Example:
        >>> fields = {"input": texts_field("texts to embed")}
        >>> parsed(b'{"input": "good day"}', fields, ServeConfig())
        {'input': Texts(texts=['good day'], single=True)}
    """
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The library's message holds a position and no content; the exception itself holds all of it.
        raise bad_request(
            f"The body should be JSON in UTF-8; found other bytes: {error.msg}.", code="bad_json"
        ) from None
    if not isinstance(values, dict):
        raise bad_request(f"The body should be a JSON object; found {kind_of(values)}.", code="bad_json")
    for name in values:
        if name not in fields:
            hint = did_you_mean(name[:_SHOWN], fields) or f" Known fields: {', '.join(fields)}."
            raise bad_request(
                f"There is no field {name[:_SHOWN]!r}.{hint}", param=name[:_SHOWN], code="unknown_parameter"
            )
    found = {}
    for name, field in fields.items():
        value = values.get(name)
        if value is not None:
            found[name] = field.check(name, value, limits)
        elif field.required:
            raise bad_request(
                f"The body should have a field {name!r}: {field.description}.", param=name, code="missing"
            )
        else:
            found[name] = field.default
    return found


def texts_field(description: str, *, nested: bool = False) -> Field:
    """A required field with a text or a list of texts; `nested` also takes a list of lists of one text."""

    def check(name: str, value: Any, limits: ServeConfig) -> Texts:
        single = isinstance(value, str)
        texts = [value] if single else value
        if not isinstance(texts, list) or not texts:
            found = "an empty list" if texts == [] else kind_of(value)
            raise bad_request(f"{name!r} should be a text, or a list of texts; found {found}.", param=name)
        if len(texts) > limits.max_texts:
            raise bad_request(
                f"{name!r} should have at most {limits.max_texts} texts; found {len(texts)}. Send several requests.",
                param=name,
                code="array_above_max_length",
            )
        if nested:
            texts = [text[0] if isinstance(text, list) and len(text) == 1 else text for text in texts]
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise bad_request(_not_a_text(name, index, text), param=name)
            if len(text) > limits.max_chars:
                raise bad_request(
                    f"Each text of {name!r} should have at most {limits.max_chars} characters; found {len(text)} in "
                    f"text {index}. Cut it into passages.",
                    param=name,
                    code="string_above_max_length",
                )
        return Texts(texts, single)

    text: dict[str, Any] = {"type": "string"}
    forms = [text, {"type": "array", "items": text, "minItems": 1}]
    if nested:
        forms.append({"type": "array", "items": {"type": "array", "items": text, "minItems": 1, "maxItems": 1}})
    return Field(description=description, schema={"oneOf": forms}, check=check, required=True)


def text_field(description: str) -> Field:
    """A field with a short text, such as a name."""

    def check(name: str, value: Any, _: ServeConfig) -> str:
        if not isinstance(value, str):
            raise _wrong(name, "a text", value)
        return value

    return Field(description=description, schema={"type": "string"}, check=check)


def object_field(description: str) -> Field:
    """A field with an object of any names and values."""

    def check(name: str, value: Any, _: ServeConfig) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(name, "an object", value)
        return value

    return Field(description=description, schema={"type": "object"}, check=check)


def choice_field(description: str, *choices: str, default: str | None = None) -> Field:
    """A field with one of some names."""

    def check(name: str, value: Any, _: ServeConfig) -> str:
        if value not in choices:
            raise _wrong(name, f"one of {', '.join(choices)}", value)
        return str(value)

    schema = {"type": "string", "enum": list(choices), **({} if default is None else {"default": default})}
    return Field(description=description, schema=schema, check=check, default=default)


def whole_field(description: str, *, most: int | None = None, default: int | None = None) -> Field:
    """A field with a whole number, 1 or more."""

    def check(name: str, value: Any, _: ServeConfig) -> int:
        if type(value) is not int or value < 1 or (most is not None and value > most):
            raise _wrong(
                name, "a whole number, 1 or more" if most is None else f"a whole number from 1 to {most}", value
            )
        return value

    bounds = {"maximum": most, "default": default}
    schema = {"type": "integer", "minimum": 1, **{key: value for key, value in bounds.items() if value is not None}}
    return Field(description=description, schema=schema, check=check, default=default)


def flag_field(description: str, *, default: bool) -> Field:
    """A field with true or false."""

    def check(name: str, value: Any, _: ServeConfig) -> bool:
        if not isinstance(value, bool):
            raise _wrong(name, "true or false", value)
        return value

    return Field(description=description, schema={"type": "boolean", "default": default}, check=check, default=default)


def kind_of(value: Any) -> str:
    """A value of JSON in words, short ones as they are.

    Example:
        >>> kind_of(None), kind_of(True), kind_of(0.5), kind_of([1, 2])
        ('null', 'true', '0.5', 'a list')
    """
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _not_a_text(name: str, index: int, value: Any) -> str:
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, int) and not isinstance(first, bool):
        return f"{name!r} {_TOKEN_IDS}"
    return f"{name!r} should be a text, or a list of texts; found {kind_of(value)} at index {index}."


def _wrong(name: str, expected: str, value: Any) -> Exception:
    return bad_request(f"{name!r} should be {expected}; found {kind_of(value)}.", param=name)
