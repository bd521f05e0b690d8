"""Prompts: texts that a model wants before a query or a document.

Names are resolved as in sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from m2v_core import checks
from m2v_core.errors import InvalidInputError

#: Names of the prompt of a query, and of a document; the first one that a model has counts.
QUERY = ("query",)
DOCUMENT = ("document", "passage", "corpus")


def resolved(
    prompts: Mapping[str, str], names: Sequence[str], *, prompt_name: str | None = None, prompt: str | None = None
) -> str:
    """The prompt of a call: the one it gives or names, else the first one of `names` that the model has, else "".

    Raises:
        InvalidInputError: The model has no prompt of this name, or both keywords are given.

    Example:
        >>> resolved({"passage": "passage: "}, DOCUMENT)
        'passage: '
        >>> resolved({"passage": "passage: "}, QUERY)
        ''
    """
    check_one(prompt_name, prompt)
    if prompt is not None:
        checks.expect(isinstance(prompt, str), "prompt", "a text (str), or None", prompt)
        return prompt
    if prompt_name is None:
        return next((prompts[name] for name in names if name in prompts), "")
    if prompt_name not in list(prompts):
        hint = checks.did_you_mean(prompt_name, prompts)
        raise InvalidInputError(
            f"prompt_name should be one of the model's, {list(prompts)}; found {checks.shown(prompt_name)}.{hint} "
            f'A text is given by prompt=, and the model\'s own are set by model.prompts = {{"query": "..."}}.'
        )
    return prompts[prompt_name]


def check_one(prompt_name: object, prompt: object) -> None:
    """Raise `InvalidInputError` where a prompt is given both by its name and as a text.

    Example:
        >>> check_one("query", "query: ")
        Traceback (most recent call last):
        ...
        m2v_core.errors.InvalidInputError: Expected prompt or prompt_name; found both. Leave one out.
    """
    if prompt is not None and prompt_name is not None:
        raise InvalidInputError("Expected prompt or prompt_name; found both. Leave one out.")


def prepended(prompt: str, texts: Sequence[Any]) -> list[Any]:
    """Texts with a prompt before each. Elements that are no texts stay, for `encode` to refuse.

    Example:
        >>> prepended("query: ", ["good day"])
        ['query: good day']
    """
    return [prompt + text if isinstance(text, str) else text for text in texts]
