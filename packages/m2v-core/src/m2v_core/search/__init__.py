"""Search in memory, by vectors, by words, or by both; how good it is; near-duplicates; passages of texts.

Lexical and hybrid search need `m2v-core[search]`.
"""

from typing import TYPE_CHECKING

from m2v_core.lazy import lazy

if TYPE_CHECKING:
    from m2v_core.search.chunks import Passage, passages
    from m2v_core.search.evaluator import RetrievalEvaluator
    from m2v_core.search.index import Hit, Hits, Index
    from m2v_core.search.near_duplicates import Duplicates, duplicates

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Duplicates": "m2v_core.search.near_duplicates",
        "Hit": "m2v_core.search.index",
        "Hits": "m2v_core.search.index",
        "Index": "m2v_core.search.index",
        "RetrievalEvaluator": "m2v_core.search.evaluator",
        "Passage": "m2v_core.search.chunks",
        "duplicates": "m2v_core.search.near_duplicates",
        "passages": "m2v_core.search.chunks",
    },
)

__all__ = ["Index", "Hit", "Hits", "duplicates", "Duplicates", "passages", "Passage", "RetrievalEvaluator"]
