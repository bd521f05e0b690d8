"""BERTopic: `StaticModelBackend`, its embedding model (bertopic)."""

from __future__ import annotations

from m2v_core.extras import needs
from m2v_core.integrations.backends import Backend

with needs("bertopic"):
    from bertopic.backend import BaseEmbedder


class StaticModelBackend(Backend, BaseEmbedder):
    """A static model as BERTopic's `BaseEmbedder`: `BERTopic(embedding_model=StaticModelBackend("my-model"))`.

    Args:
        model: A model, or a folder or `org/name` that is loaded.
        options: Options of `StaticModel.encode`, such as `truncate_dim`.

    Raises:
        InvalidInputError: An option is out of range.
        M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.

    Example:
        >>> StaticModelBackend(tiny_model()).embed(["good day"])
        array([[0.5, 0.5]], dtype=float32)
    """
