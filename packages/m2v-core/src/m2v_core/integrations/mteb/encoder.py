"""A static model as a model of mteb, and what it knows of itself."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from m2v_core.extras import needs
from m2v_core.integrations import Embedder
from m2v_core.model import StaticModel
from m2v_core.storage.digest import model_digest

with needs("m2v-core[mteb]"):
    from mteb.languages import iso_mappings
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction
    from mteb.types import PromptType

#: Options of `encode` that mteb may pass; its `batch_size` is meant for a network.
_PASSED = ("precision", "show_progress_bar")


class StaticModelEncoder(AbsEncoder):
    """A static model as mteb's `AbsEncoder`: queries and documents get the model's prompts.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        name: Name in results. Default: that of the model's `mteb_model_meta`, the folder, or `org/name`.
        options: Options of `StaticModel.encode`, such as `truncate_dim`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> encoder = StaticModelEncoder(tiny_model(), name="tiny")
        >>> encoder.mteb_model_meta.name, encoder.mteb_model_meta.embed_dim
        ('local/tiny', 2)
        >>> encoder.encode([{"text": ["good day"]}])
        array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, model: StaticModel | str | os.PathLike[str], *, name: str | None = None, **options: Any) -> None:
        self._embedder = Embedder.of(model, options)
        self.model = self._embedder.model
        own = getattr(self.model, "mteb_model_meta", None)
        if name is None and isinstance(model, str | os.PathLike):
            name = os.fspath(model)
        self.mteb_model_meta = own if isinstance(own, ModelMeta) else model_meta(self.model, name, **options)

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any = None,  # noqa: ARG002 - mteb's signature
        hf_split: str = "",  # noqa: ARG002
        hf_subset: str = "",  # noqa: ARG002
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> NDArray[Any]:
        """The vectors [n, D] of the texts of batches, each a dictionary with a list under "text"."""
        texts = [text for batch in inputs for text in batch["text"]]
        options = {name: kwargs[name] for name in _PASSED if kwargs.get(name) is not None}
        calls = {PromptType.query: self._embedder.queries, PromptType.document: self._embedder.documents}
        call = self._embedder.encode if prompt_type is None else calls[prompt_type]
        return call(texts, **options)


def model_meta(model: StaticModel, name: str | None = None, **options: Any) -> ModelMeta:
    """The metadata of a model for mteb, from what the model knows of itself.

    The revision is a digest of its table, vocabulary and settings, so that mteb's cache never gives the results of
    another model of the same name.

    Args:
        model: The model.
        name: `org/name`; a folder or another name gets "local/" before its last part. Default: the base model's name.
        options: Options of `encode`: dimensions that are cut are in the metadata, all are in `experiment_kwargs`.

    Example:
        >>> meta = model_meta(tiny_model(), "tiny")
        >>> meta.name, meta.n_parameters, meta.framework, meta.similarity_fn_name.value
        ('local/tiny', 6, ['NumPy'], 'cosine')
    """
    stored, config = model.stored, model.config
    arrays = [array for array in (stored.embeddings, stored.weights, stored.mapping) if array is not None]
    measure = model.similarity_fn_name if model.similarity_fn_name in ("cosine", "dot") else None  # AbsEncoder's own
    convert = getattr(iso_mappings, "_hf_langs_to_iso_lang_scripts", lambda _: None)
    return ModelMeta.create_empty(
        {
            "name": _qualified(name or model.base_model_name or "static-model"),
            "revision": model_digest(stored),
            "languages": convert(model.language),
            "license": config.license.lower() if config.license else None,
            "n_parameters": sum(array.size for array in arrays[:2] if array.dtype.kind == "f" or array.ndim == 2),
            "n_embedding_parameters": stored.embeddings.size,
            "memory_usage_mb": sum(array.nbytes for array in arrays) / 2**20,
            "max_tokens": math.inf if model.max_length is None else model.max_length,
            "embed_dim": options.get("truncate_dim") or model.dim,
            "framework": ["NumPy"],
            "similarity_fn_name": ScoringFunction(measure) if measure else None,
            "use_instructions": bool(model.prompts),
            "adapted_from": model.base_model_name,
            "experiment_kwargs": options or None,
        }
    )


def _qualified(name: str) -> str:
    """A name as mteb wants it, `org/name`.

    Example:
        >>> _qualified("org/name"), _qualified("models/of/mine"), _qualified("tiny")
        ('org/name', 'local/mine', 'local/tiny')
    """
    if name.count("/") == 1 and not name.startswith((".", "/")) and not Path(name).exists():
        return name
    return f"local/{Path(name).resolve().name}"
