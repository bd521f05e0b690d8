"""Fine-tune static models in JAX: classifiers, regressions, similarity.

JAX is imported when it is first needed, so that importing this package (and `m2v --help`) stays quick.
"""

from typing import TYPE_CHECKING, Any

from m2v_train.__about__ import __version__

if TYPE_CHECKING:
    from m2v_train.classification import StaticModelForClassification
    from m2v_train.config import ClassificationConfig, PairConfig, TrainConfig
    from m2v_train.legacy import convert_legacy_pipeline
    from m2v_train.vectors import StaticModelForPairSimilarity, StaticModelForRegression, StaticModelForSimilarity

_HOMES = {
    "ClassificationConfig": "m2v_train.config",
    "PairConfig": "m2v_train.config",
    "StaticModelForClassification": "m2v_train.classification",
    "StaticModelForPairSimilarity": "m2v_train.vectors",
    "StaticModelForRegression": "m2v_train.vectors",
    "StaticModelForSimilarity": "m2v_train.vectors",
    "TrainConfig": "m2v_train.config",
    "convert_legacy_pipeline": "m2v_train.legacy",
}

__all__ = [
    # estimators
    "StaticModelForClassification",
    "StaticModelForPairSimilarity",
    "StaticModelForRegression",
    "StaticModelForSimilarity",
    # their options
    "ClassificationConfig",
    "PairConfig",
    "TrainConfig",
    # old files
    "convert_legacy_pipeline",
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
