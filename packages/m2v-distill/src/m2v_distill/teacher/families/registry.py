"""The family that computes each `model_type`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from m2v_core.errors import ModelFormatError
from m2v_distill.teacher.checkpoint import WeightTable
from m2v_distill.teacher.families.bert import ALBERT, BERT, DISTILBERT, MPNET, Bert, BertConfig
from m2v_distill.teacher.families.deberta import DEBERTA, Deberta, DebertaConfig
from m2v_distill.teacher.families.decoder import DECODER, GEMMA, Decoder, DecoderConfig
from m2v_distill.teacher.families.modernbert import MODERNBERT, ModernBert, ModernBertConfig
from m2v_distill.teacher.families.rotary_bert import GTE, NOMIC, RotaryBert, RotaryBertConfig
from m2v_distill.teacher.families.t5 import T5, T5_WEIGHTS, T5Config
from m2v_distill.teacher.nn.encoder import FlaxEncoder


@dataclass(frozen=True)
class Family:
    """How to compute the encoders of a `model_type`.

    Attributes:
        module: Makes the encoder from its config.
        config: Makes that config from transformers' (a dictionary) and from whether the checkpoint has a pooler.
        table: Names of the weights.
        pooler: Name of the pooler's tensor, whose presence says that there is a pooler; `None` if the family has none.
        raw: Whether `config` takes `config.json` as it is, because some versions of transformers do not know the
            `model_type`.
    """

    module: Callable[..., FlaxEncoder]
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
    "llama": Family(Decoder, DecoderConfig.llama, DECODER, pooler=None),
    "mistral": Family(Decoder, DecoderConfig.mistral, DECODER, pooler=None),
    "qwen2": Family(Decoder, DecoderConfig.qwen2, DECODER, pooler=None),
    "qwen3": Family(Decoder, DecoderConfig.qwen3, DECODER, pooler=None),
    "gemma3_text": Family(Decoder, DecoderConfig.gemma3, GEMMA, pooler=None),
    "electra": Family(Bert, BertConfig.electra, BERT, pooler=None),
    "albert": Family(Bert, BertConfig.albert, ALBERT, pooler="pooler.weight"),
    "deberta-v2": Family(Deberta, DebertaConfig.v2, DEBERTA, pooler=None),
    "t5": Family(T5, T5Config.t5, T5_WEIGHTS, pooler=None),
    "mt5": Family(T5, T5Config.t5, T5_WEIGHTS, pooler=None),
    "umt5": Family(T5, T5Config.umt5, T5_WEIGHTS, pooler=None),
    "modernbert": Family(ModernBert, ModernBertConfig.modernbert, MODERNBERT, pooler=None),
    "nomic_bert": Family(RotaryBert, RotaryBertConfig.nomic, NOMIC, raw=True),
    "gte": Family(RotaryBert, RotaryBertConfig.gte, GTE, raw=True),
    "new": Family(RotaryBert, RotaryBertConfig.gte, GTE, raw=True),
}


def family_of(model_type: object, where: str) -> Family:
    """The family of a teacher's `model_type`.

    Args:
        model_type: As in the teacher's config.
        where: Name of the config in errors.

    Raises:
        ModelFormatError: No family computes it.
    """
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ModelFormatError(
            f'{where}: expected "model_type" to be one that m2v-distill computes ({", ".join(sorted(FAMILIES))}); '
            f"found {model_type!r}. If it equals one of them, name that one with compute_as=. Or run it in PyTorch: "
            f'pip install m2v-distill[torch], and backend="auto" or "torch".'
        )
    return FAMILIES[model_type]
