"""Distil a sentence transformer into a static embedding model, in Flax/JAX, without PyTorch.

`distill("org/name-or-folder")` returns a `m2v_core.StaticModel`. JAX is imported on first use, so that importing this
package (and `m2v --help`) stays quick.
"""

from typing import TYPE_CHECKING

from m2v_core.lazy import lazy
from m2v_distill.__about__ import __version__

if TYPE_CHECKING:
    from m2v_distill.collection.config import CollectionConfig
    from m2v_distill.collection.documents import DocumentPassage
    from m2v_distill.collection.pipeline import FittedCollection, add_documents, fit_collection
    from m2v_distill.config import DistillConfig
    from m2v_distill.corpus.featurize import featurize
    from m2v_distill.corpus.store import FeatureStore
    from m2v_distill.pipeline import distill, distill_from_model
    from m2v_distill.teacher.teacher import Teacher
    from m2v_distill.vocabulary.weights import token_counts

__all__ = [
    # distillation
    "DistillConfig",
    "distill",
    "distill_from_model",
    "token_counts",
    # collections: documents by the teacher, queries by a student
    "CollectionConfig",
    "DocumentPassage",
    "FittedCollection",
    "add_documents",
    "fit_collection",
    # teachers, and their vectors of a corpus
    "FeatureStore",
    "Teacher",
    "featurize",
    # version
    "__version__",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "CollectionConfig": "m2v_distill.collection.config",
        "DistillConfig": "m2v_distill.config",
        "DocumentPassage": "m2v_distill.collection.documents",
        "FeatureStore": "m2v_distill.corpus.store",
        "FittedCollection": "m2v_distill.collection.pipeline",
        "Teacher": "m2v_distill.teacher.teacher",
        "add_documents": "m2v_distill.collection.pipeline",
        "distill": "m2v_distill.pipeline",
        "distill_from_model": "m2v_distill.pipeline",
        "fit_collection": "m2v_distill.collection.pipeline",
        "featurize": "m2v_distill.corpus.featurize",
        "token_counts": "m2v_distill.vocabulary.weights",
    },
)
