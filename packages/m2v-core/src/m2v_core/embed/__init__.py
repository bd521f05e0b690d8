"""Vectors of a corpus: files of any size into shards of Parquet, and the same embedder inside other engines.

The names here are imported when they are first used. Files need pyarrow: `pip install 'm2v-core[embed]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2v_core.lazy import lazy

if TYPE_CHECKING:
    from m2v_core.embed.batches import BatchEmbedder
    from m2v_core.embed.config import EmbedConfig
    from m2v_core.embed.run import Embedded, embed_files

__all__ = ["BatchEmbedder", "EmbedConfig", "Embedded", "embed_files"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "BatchEmbedder": "m2v_core.embed.batches",
        "EmbedConfig": "m2v_core.embed.config",
        "Embedded": "m2v_core.embed.run",
        "embed_files": "m2v_core.embed.run",
    },
)
