"""Which family computes which `model_type`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flax import nnx

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.bert import Bert, BertConfig
from m2v_distill.teacher.bert_params import BERT, DISTILBERT, MPNET
from m2v_distill.teacher.modernbert import ModernBert, ModernBertConfig
from m2v_distill.teacher.modernbert_params import MODERNBERT
from m2v_distill.teacher.rotary_bert import RotaryBert, RotaryBertConfig
from m2v_distill.teacher.rotary_bert_params import GTE, NOMIC
from m2v_distill.teacher.weights import WeightTable


@dataclass(frozen=True)
class Family:
    """Attributes:
    module: Made of a config.
    config: Makes that config of transformers' one (a dictionary) and of whether the checkpoint has a pooler.
    table: The names of its weights.
    pooler: The pooler's tensor, by which a checkpoint shows that it has one; `None` if the family has none.
    raw: Whether `config` takes `config.json` as it stands, because transformers, or some version of it,
        does not know the `model_type`.
    """

    module: Callable[..., nnx.Module]
    config: Callable[..., Any]
    table: WeightTable
    pooler: str | None = "pooler.dense.weight"
    raw: bool = False


FAMILIES: dict[str, Family] = {
    "bert": Family(Bert, BertConfig.bert, BERT),
    "roberta": Family(Bert, BertConfig.roberta, BERT),
    "xlm-roberta": Family(Bert, BertConfig.roberta, BERT),
    "camembert": Family(Bert, BertConfig.roberta, BERT),
    "mpnet": Family(Bert, BertConfig.mpnet, MPNET),
    "distilbert": Family(Bert, BertConfig.distilbert, DISTILBERT, pooler=None),
    "modernbert": Family(ModernBert, ModernBertConfig.modernbert, MODERNBERT, pooler=None),
    "nomic_bert": Family(RotaryBert, RotaryBertConfig.nomic, NOMIC, raw=True),
    "gte": Family(RotaryBert, RotaryBertConfig.gte, GTE, raw=True),
    "new": Family(RotaryBert, RotaryBertConfig.gte, GTE, raw=True),
}


def family_of(model_type: object, where: str) -> Family:
    """The family of a teacher's `model_type`; `where` names its config in errors.

    Raises:
        ModelFormatError: There is none.
    """
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ModelFormatError(
            f'{where}: expected "model_type" to be one that m2v-distill computes ({", ".join(sorted(FAMILIES))}); '
            f"found {model_type!r}. Choose a teacher of one of these architectures."
        )
    return FAMILIES[model_type]
