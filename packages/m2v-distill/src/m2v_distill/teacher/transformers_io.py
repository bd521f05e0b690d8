"""What m2v-distill uses of transformers: configs and tokenizers, never its PyTorch models."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from m2v_core.errors import MissingPackageError, ModelFormatError
from m2v_distill.logs import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


#: Beginnings of the names of files that transformers makes a tokenizer of, besides SentencePiece models.
TOKENIZER_FILES = ("tokenizer.json", "vocab", "tekken", "tokenization_", "bpe.codes", "merges")


def load_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """A teacher's `config.json` with transformers' defaults for missing settings.

    Raises:
        ModelFormatError: transformers does not accept it.
    """
    AutoConfig = _transformers().AutoConfig
    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(folder).to_dict()
    except Exception as error:  # each version raises its own classes for a bad config
        raise _refused("config", folder, error) from error
    return config


def config_of(raw: Mapping[str, Any], model_type: str, where: str) -> dict[str, Any]:
    """A config read as one of another `model_type`, with transformers' defaults for missing settings.

    Args:
        raw: The config.
        model_type: The model type that replaces its own.
        where: Name of the config in errors.

    Raises:
        ModelFormatError: transformers does not accept it.
    """
    plain = {name: value for name, value in raw.items() if name not in ("auto_map", "model_type")}
    try:
        config: dict[str, Any] = _transformers().CONFIG_MAPPING[model_type].from_dict(plain).to_dict()
    except Exception as error:
        raise _refused("config", where, error) from error
    return config


def load_tokenizer(folder: str | os.PathLike[str], *, trust_remote_code: bool = False) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a teacher's folder.

    Args:
        folder: A folder with `tokenizer.json`, or with files that transformers makes a tokenizer of.
        trust_remote_code: Whether Python code of the folder may be run.

    Raises:
        ModelFormatError: There is no tokenizer, or transformers cannot load it.
        MissingPackageError: There is a SentencePiece model, and the packages that read it are not installed.
    """
    _check_files(Path(folder))
    AutoTokenizer = _transformers().AutoTokenizer
    try:
        # It reads config.json too, and warns about the setting names of a model's own code.
        with warnings.catch_warnings(), quiet("transformers.configuration_utils"):
            warnings.simplefilter("ignore", FutureWarning)
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers raises bare Exception for a damaged tokenizer.json
        raise _refused("tokenizer", folder, error) from error
    return cast("PreTrainedTokenizerFast", tokenizer)


def _check_files(folder: Path) -> None:
    """Check that there are files of a tokenizer; transformers' own error may advise on another format."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    models = [name for name in found if name.endswith(".model")]
    if not models and not any(name.startswith(TOKENIZER_FILES) for name in found):
        raise ModelFormatError(
            f"{folder}: expected a tokenizer: tokenizer.json, or a vocabulary (vocab.txt, vocab.json, *.model) that "
            f"transformers makes one of; found {', '.join(found[:20]) or 'nothing'}. Save the teacher with its "
            f"tokenizer."
        )
    missing = [name for name in ("sentencepiece", "google.protobuf") if not _is_installed(name)]
    is_sentencepiece = [name for name in models if (folder / name).read_bytes()[:1] == b"\n"]  # protobuf
    if is_sentencepiece and missing and "tokenizer.json" not in found:
        raise MissingPackageError(
            f"{folder}: expected tokenizer.json; found only a SentencePiece model ({is_sentencepiece[0]}), and the "
            f"packages that read it are not installed: pip install m2v-distill[sentencepiece]. Or save a "
            f"tokenizer.json once, where they are: AutoTokenizer.from_pretrained(...).save_pretrained(...)."
        )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):  # its parent package is missing, or hidden
        return False


def _refused(part: str, folder: str | os.PathLike[str], error: Exception) -> ModelFormatError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ModelFormatError(f"{os.fspath(folder)}: transformers cannot load a {part} from it ({reason}).")


def _transformers() -> Any:
    """The package, imported without its advice to install PyTorch."""

    def is_news(record: logging.LogRecord) -> bool:
        return "PyTorch was not found" not in record.getMessage()

    logger = logging.getLogger("transformers")
    logger.addFilter(is_news)
    try:
        import transformers
    finally:
        logger.removeFilter(is_news)
    return transformers
