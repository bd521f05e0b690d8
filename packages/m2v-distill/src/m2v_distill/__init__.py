"""Turn a sentence transformer into a static embedding model, in Flax/JAX, without PyTorch.

`distill("org/name-or-folder")` returns a `m2v_core.StaticModel`. JAX is imported when it is first needed, so that
importing this package (and `m2v --help`) stays quick.
"""

from typing import TYPE_CHECKING, Any

from m2v_distill.__about__ import __version__

if TYPE_CHECKING:
    from m2v_distill.config import DistillConfig
    from m2v_distill.corpus.featurize import FeatureStore, featurize
    from m2v_distill.pipeline import distill, distill_from_model
    from m2v_distill.teacher import Teacher
    from m2v_distill.vocabulary.frequencies import token_counts

_HOMES = {
    "DistillConfig": "m2v_distill.config",
    "FeatureStore": "m2v_distill.corpus.featurize",
    "Teacher": "m2v_distill.teacher",
    "distill": "m2v_distill.pipeline",
    "distill_from_model": "m2v_distill.pipeline",
    "featurize": "m2v_distill.corpus.featurize",
    "token_counts": "m2v_distill.vocabulary.frequencies",
}

__all__ = [
    # distillation
    "DistillConfig",
    "distill",
    "distill_from_model",
    "token_counts",
    # teachers, and what they make of a corpus
    "FeatureStore",
    "Teacher",
    "featurize",
    # version
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
