"""Model cards: the README.md of a model on the Hub, made of what its folder knows.

The text is a template's (`m2v_hub/templates`, or a user's own), rendered by `render`; the metadata is
`metadata`'s; what people wrote by hand stays, by `merge`. Nothing is read back out of a README.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from m2v_core.errors import InvalidInputError
from m2v_core.redact import has_hub_token
from m2v_hub.card.facts import read_facts
from m2v_hub.card.merge import updated
from m2v_hub.card.metadata import Result, Results, as_results, metadata_of, named, names
from m2v_hub.card.render import render

__all__ = ["Result", "card_for"]


def card_for(
    folder: str | os.PathLike[str],
    *,
    repo_id: str | None = None,
    subfolder: str | None = None,
    license: str | None = None,
    language: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    metrics: Results | None = None,
    template: str | os.PathLike[str] | None = None,
    existing: str | None = None,
) -> str:
    """The card of a model: the text of README.md for a folder that `save_pretrained` wrote.

    Args:
        folder: A model, with a head or without, or an export to ONNX.
        repo_id: Where it will lie on the Hub; the card's code loads it from there. Default: the folder's name.
        subfolder: Its place in the repository, if it is not the repository itself. The card then names those libraries
            alone that load from one.
        license: Its licence. Default: the teacher's, as the config has it; with neither, the card names none.
        language: Language codes. Default: the teacher's, likewise.
        datasets: Data sets that it was fitted to or trained on, by their ids on the Hub.
        metrics: Measured results; see `Result`.
        template: A jinja2 template of your own for m2v's part of the text. Default: the one for this kind of model.
        existing: The card that there is, line endings as they are: text outside of m2v's markers stays, and so do
            metadata that m2v does not set.

    Raises:
        ModelNotFoundError: There is no model in `folder`, or no template.
        ModelFormatError: A file of the model is damaged.
        InvalidInputError: An argument is of the wrong kind; the template has a mistake; the metadata or the markers of
            `existing` cannot be read; or the card would publish a token.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tiny_model().save_pretrained(folder)
        ...     card = card_for(folder, repo_id="org/tiny", license="mit")
        >>> print(card[:16])
        ---
        license: mit
    """
    path = Path(folder)
    if repo_id is not None:
        try:
            validate_repo_id(repo_id)
        except HFValidationError:
            raise InvalidInputError(f"A repository id looks like 'org/name'; found {repo_id!r}.") from None
    facts = read_facts(path, name=repo_id or path.resolve().name)
    facts = replace(
        facts,
        license=facts.license if license is None else named("license", license),
        language=facts.language if language is None else names("language", language),
        datasets=names("datasets", datasets),
    )
    if subfolder:
        facts = replace(facts, subfolder=named("subfolder", subfolder), sentence_transformers=False, onnx=None)
    results = as_results(metrics)
    metadata = metadata_of(facts, results)
    context = {**vars(facts), "results": results, "metadata": metadata}
    section = render(f"{facts.kind}.md" if template is None else Path(template).absolute(), context)
    if section.lstrip().startswith("---"):
        raise InvalidInputError(
            f"{template}: a template should hold the text alone; found metadata (---) at its start. Metadata comes "
            f"from the model and from arguments; write further keys into the README by hand, they stay."
        )
    card = updated(existing, metadata, section)
    if has_hub_token(card):
        raise InvalidInputError(
            "The card would publish what looks like a token of the Hub. Remove it from the model's config.json, from "
            "the README or from the template; if it is a real one, revoke it."
        )
    return card
