"""Fine-tune static models in JAX: classifiers, regressions, similarity."""

from m2v_train.__about__ import __version__
from m2v_train.classification import StaticModelForClassification
from m2v_train.config import ClassificationConfig, PairConfig, TrainConfig
from m2v_train.vectors import StaticModelForPairSimilarity, StaticModelForRegression, StaticModelForSimilarity

__all__ = [
    "ClassificationConfig",
    "PairConfig",
    "StaticModelForClassification",
    "StaticModelForPairSimilarity",
    "StaticModelForRegression",
    "StaticModelForSimilarity",
    "TrainConfig",
    "__version__",
]
