"""The names of model2vec that m2v-distill answers; m2v-core finds the table by the entry-point group `m2v.compat`."""

from __future__ import annotations

from collections.abc import Mapping

_HOME = "m2v_distill.compat.functions"
_TOKENIZER = ("clean_and_create_vocabulary", "turn_tokens_into_ids")

#: Module of model2vec -> public name -> the module of ours with that name.
MODULES: Mapping[str, Mapping[str, str]] = {
    "model2vec.distill": {"distill": _HOME, "distill_from_model": _HOME},
    "model2vec.distill.distillation": {"distill": _HOME, "distill_from_model": _HOME},
    "model2vec.distill.inference": {"PoolingMode": _HOME},
    "model2vec.distill.utils": {"select_optimal_device": _HOME},
    "model2vec.tokenizer": dict.fromkeys(_TOKENIZER, "m2v_distill.compat.tokenizer"),
    "model2vec.tokenizer.tokenizer": dict.fromkeys(_TOKENIZER, "m2v_distill.compat.tokenizer"),
}
