"""The names of model2vec that m2v-train answers; m2v-core finds the table by the entry-point group `m2v.compat`."""

from __future__ import annotations

from collections.abc import Mapping

_HOME = "m2v_train.compat.estimators"

_ESTIMATORS = (
    "StaticModelForClassification",
    "StaticModelForPairSimilarity",
    "StaticModelForRegression",
    "StaticModelForSimilarity",
)

#: Module of model2vec -> public name -> the module of ours with that name.
MODULES: Mapping[str, Mapping[str, str]] = {
    "model2vec.train": dict.fromkeys(_ESTIMATORS, _HOME),
    "model2vec.train.base": {"BaseFinetuneable": _HOME},
    "model2vec.train.classifier": {"StaticModelForClassification": _HOME},
    "model2vec.train.pairs": {"StaticModelForPairSimilarity": _HOME},
    "model2vec.train.regression": {"StaticModelForRegression": _HOME},
    "model2vec.train.similarity": {"StaticModelForSimilarity": _HOME},
    "model2vec.inference": {"convert_legacy_pipeline": _HOME},
    "model2vec.inference.model": {"convert_legacy_pipeline": _HOME},
}
