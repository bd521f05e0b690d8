"""Model cards: the README.md of a model on the Hub, written from what the model's folder knows.

`info` reads the folder, `metadata` and `render` make the two parts of a card, `merge` puts them into an existing card.
No fact is read back from a README.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from m2v_core.aliases import aliased
from m2v_core.checks import expect, path
from m2v_core.errors import InvalidInputError, ModelFormatError
from m2v_core.options import picked
from m2v_core.redact import has_hub_token
from m2v_core.results import read_results
from m2v_hub.card.info import ModelInfo, read_model_info
from m2v_hub.card.merge import updated
from m2v_hub.card.metadata import metadata_of
from m2v_hub.card.options import CardOptions, Result, Results, as_results, one_line
from m2v_hub.card.render import render
from m2v_hub.names import is_repo_id


@aliased
def card_for(
    folder: str | os.PathLike[str],
    *,
    repo_id: str | None = None,
    subfolder: str | None = None,
    license: str | None = None,
    language: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    metrics: Results | None = None,
    base_model: str | None = None,
    style: str = "m2v",
    template: str | os.PathLike[str] | None = None,
    existing: str | None = None,
) -> str:
    """Write the card of a model: the text of README.md for a folder that `save_pretrained` wrote.

    Args:
        folder: A model, with a head or without, or an ONNX export.
        repo_id: The model's repository on the Hub, from which the card's code loads it. Default: the folder's name.
        subfolder: Path of the model inside the repository. The card then shows only libraries that load from one.
        license: Licence, by its identifier on the Hub. Default: the teacher's; if that is unknown, none is named.
        language: Language code, or several. Default: the teacher's.
        datasets: Hub ids of data sets that the model was fitted to or trained on.
        metrics: Measured results: `Result`, a mapping with its fields, or several of them. Those that `m2v train` and
            `m2v evaluate --save` left in the folder are shown too.
        base_model: Hub id of the teacher. Default: the id in the model's config, if it holds one.
        style: Manner of the card: "m2v", or "sentence-transformers" for a model that SentenceTransformer loads.
        template: File with a jinja2 template for m2v's part of the text. Default: the one for this kind of model.
        existing: The existing card, with its line endings. Text outside of m2v's markers stays, and so does metadata
            that m2v does not set.

    Raises:
        ModelNotFoundError: The folder holds no model.
        ModelFormatError: A file of the model is damaged.
        InvalidInputError: An argument is of the wrong kind; the template is missing or has a mistake; the metadata or
            the markers of `existing` cannot be read; or the card would publish a token.

    Example:
        >>> import tempfile
        >>> from m2v_hub import card_for
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tiny_model().save_pretrained(folder)
        ...     card = card_for(folder, repo_id="org/tiny", license="mit")
        >>> print(card[:16])
        ---
        license: mit
    """
    options = picked(CardOptions, locals())
    return make_card(path("folder", folder), options, repo_id=repo_id, subfolder=subfolder).merged_into(existing)


@dataclass(frozen=True)
class Card:
    """The parts of a card that m2v writes.

    Attributes:
        metadata: Plain values by key.
        text: m2v's section of the text, in Markdown.
    """

    metadata: Mapping[str, Any]
    text: str

    def merged_into(self, existing: str | None) -> str:
        """The whole card, with what people wrote in the existing one.

        Raises:
            InvalidInputError: `existing` cannot be read, or the result holds what looks like a token of the Hub.
        """
        card = updated(existing, self.metadata, self.text)
        if has_hub_token(card):
            raise InvalidInputError(
                "The card would publish what looks like a token of the Hub. Remove it from the model's config.json, "
                "from the README or from the template; if it is a real one, revoke it."
            )
        return card


def read_card(path: Path) -> str:
    """Read the text of a card with its line endings.

    Raises:
        ModelFormatError: The file is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path}: expected UTF-8 text; found other bytes at offset {error.start}.") from None


def make_card(folder: Path, options: CardOptions, *, repo_id: str | None, subfolder: str | None) -> Card:
    """Write m2v's parts of a card; see `card_for`."""
    expect(isinstance(repo_id, str | None), "repo_id", "a repository id like 'org/name', or None", repo_id)
    if repo_id is not None and not is_repo_id(repo_id):
        raise InvalidInputError(f"A repository id looks like 'org/name'; found {repo_id!r}.")
    expect(isinstance(subfolder, str | None), "subfolder", "a path inside the repository, or None", subfolder)
    info = read_model_info(folder, name=repo_id or folder.resolve().name)
    info = _with_options(info, options)
    if subfolder:  # of these libraries, none loads a model from a subfolder
        info = replace(info, subfolder=one_line("subfolder", subfolder), sentence_transformers=False, onnx=None)
    if options.style == "sentence-transformers" and (info.head or not info.sentence_transformers):
        raise InvalidInputError(
            f'style="sentence-transformers" is for models that SentenceTransformer loads; found another in {folder}. '
            f"Write one by m2v export sentence-transformers {folder} OUT, or leave the style out."
        )
    results = _with_stored(as_results(options.metrics), folder)
    metadata = metadata_of(info, results, options.style)
    own = f"{info.kind}.md" if options.style == "m2v" else "sentence_transformers_card.md"
    template = own if options.template is None else Path(options.template).absolute()
    text = render(template, {**info.variables(), "results": results, "metadata": metadata})
    if text.lstrip().startswith("---"):
        raise InvalidInputError(
            f"{template}: a template should hold text only; found metadata (---) at its start. Metadata comes "
            f"from the model and from the options; further keys that you write into the README by hand stay."
        )
    return Card(metadata, text)


def _with_stored(given: tuple[Result, ...], folder: Path) -> tuple[Result, ...]:
    """The results that were given, and after them those that the folder has of other measurements."""
    stored = as_results(read_results(folder)["results"])
    known = {(result.metric, result.dataset, result.split) for result in given}
    return (*given, *(one for one in stored if (one.metric, one.dataset, one.split) not in known))


def _with_options(info: ModelInfo, options: CardOptions) -> ModelInfo:
    """The model as its options describe it, where they are given."""
    config = info.config
    if options.base_model not in (None, config.base_model):
        config = replace(config, base_model=options.base_model, base_model_revision=None)
    if options.license is not None:
        config = replace(config, license=options.license)
    if options.language is not None:
        config = replace(config, language=tuple(options.language))
    return replace(info, config=config, datasets=tuple(options.datasets or ()))
