"""Adds the compiled vocabulary to the folder of a model."""

from __future__ import annotations

from pathlib import Path

from m2v_core.errors import InvalidInputError
from m2v_core.storage.atomic import replaced_file
from m2v_core.storage.files import check_is_finished, read_json, read_text
from m2v_core.storage.format import CONFIG_FILE, MODEL_TYPE, TOKENIZER_FILE, VOCABULARY_FILE
from m2v_core.storage.vocabulary_format import compiled_from


def compile_vocabulary(folder: Path) -> Path:
    """Write the compiled vocabulary of the model in a folder beside its `tokenizer.json`; returns its path.

    Raises:
        ModelNotFoundError: The folder holds no model.
        ModelFormatError: The `tokenizer.json` is damaged, or a save into the folder was interrupted.
        InvalidInputError: The model is in another layout, or our own word models do not know its tokenizer.
    """
    check_is_finished(folder)
    if read_json(folder / CONFIG_FILE).get("model_type", MODEL_TYPE) != MODEL_TYPE:
        raise InvalidInputError(
            f"{folder} holds a model in another layout. Load it, and save it by save_pretrained(OUT, compiled=True)."
        )
    tokenizer = folder / TOKENIZER_FILE
    read_text(tokenizer)  # raises the error that says what is missing
    content = compiled_from(tokenizer.read_bytes(), str(tokenizer))
    with replaced_file(folder / VOCABULARY_FILE, "wb") as file:
        file.write(content)
    return folder / VOCABULARY_FILE
