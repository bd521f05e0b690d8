"""Fine-tuning of static models in JAX: classification, regression, similarity.

Names are imported when they are first used, so that `import m2v_train` and `m2v --help` stay quick.
"""

from typing import TYPE_CHECKING

from m2v_core.lazy import lazy
from m2v_train.__about__ import __version__

if TYPE_CHECKING:
    from m2v_train.classification import StaticModelForClassification
    from m2v_train.config import ClassificationConfig, PairConfig, TrainConfig
    from m2v_train.data.files import FileColumn
    from m2v_train.legacy import convert_legacy_pipeline
    from m2v_train.negatives import mine_hard_negatives
    from m2v_train.pairs import StaticModelForPairSimilarity
    from m2v_train.vectors import StaticModelForRegression, StaticModelForSimilarity

__getattr__, __dir__ = lazy(
    __name__,
    {
        "FileColumn": "m2v_train.data.files",
        "ClassificationConfig": "m2v_train.config",
        "PairConfig": "m2v_train.config",
        "StaticModelForClassification": "m2v_train.classification",
        "StaticModelForPairSimilarity": "m2v_train.pairs",
        "StaticModelForRegression": "m2v_train.vectors",
        "StaticModelForSimilarity": "m2v_train.vectors",
        "TrainConfig": "m2v_train.config",
        "convert_legacy_pipeline": "m2v_train.legacy",
        "mine_hard_negatives": "m2v_train.negatives",
    },
)

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
    # data
    "FileColumn",
    "mine_hard_negatives",
    # old files
    "convert_legacy_pipeline",
    # version
    "__version__",
]
