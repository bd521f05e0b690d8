"""`model2vec.modelcards`: cards of folders, and the metadata of a card."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m2v_core.storage.atomic import replaced_file
from m2v_hub.card.card import Card, make_card, read_card
from m2v_hub.card.merge import metadata_in
from m2v_hub.card.options import CardOptions
from m2v_hub.names import is_repo_id

__all__ = ["create_model_card", "get_metadata_from_readme"]


def create_model_card(
    folder_path: str | os.PathLike[str],
    base_model_name: str = "unknown",
    license: str | None = None,
    language: Sequence[str] | None = None,
    model_name: str | None = None,
    template_path: str | os.PathLike[str] = "model_card_template.md",
    tags: Sequence[str] | None = None,
    **kwargs: Any,
) -> None:
    """Write the README.md of a model's folder, as `m2v card` does; what people wrote in an existing one stays.

    Args:
        folder_path: A model, with a head or without, or an ONNX export.
        base_model_name: Hub id of the teacher; any other name is left out. Default: the id in the model's config.
        license: Licence. Default: the teacher's, and none if that is unknown (model2vec: mit).
        language: Language codes. Default: the teacher's.
        model_name: Name of the model in the metadata; if it is a repository id, the card's code loads it from there.
        template_path: File with a template of your own for the text. Names of model2vec's templates stand for m2v's,
            which follow from the kind of model.
        tags: More tags.
        **kwargs: More metadata: plain values.

    Raises:
        M2VError: As `m2v_hub.card_for`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tiny_model().save_pretrained(folder)
        ...     create_model_card(folder, language=["en"], model_name="org/tiny")
        ...     get_metadata_from_readme(Path(folder) / "README.md")["language"]
        ['en']
    """
    folder, template = Path(folder_path), Path(template_path)
    options = CardOptions(
        license=license,
        language=None if language is None else tuple(language),
        base_model=base_model_name if is_repo_id(base_model_name) and base_model_name != "unknown" else None,
        template=template if template.is_file() else None,
    )
    card = make_card(folder, options, repo_id=model_name if is_repo_id(model_name or "") else None, subfolder=None)
    own = {
        "model_name": model_name or folder.resolve().name,
        "tags": list(dict.fromkeys([*card.metadata["tags"], *(tags or ())])),
    }
    readme = folder / "README.md"
    existing = read_card(readme) if readme.is_file() else None
    text = Card({**card.metadata, **kwargs, **own}, card.text).merged_into(existing)
    with replaced_file(readme, "wb") as file:
        file.write(text.encode("utf-8"))


def get_metadata_from_readme(readme_path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata of a card; an empty dictionary if there is no card, or none in it.

    Raises:
        InvalidInputError: The metadata cannot be read.
        ModelFormatError: The file is not UTF-8.
    """
    path = Path(readme_path)
    return metadata_in(read_card(path)) if path.is_file() else {}
