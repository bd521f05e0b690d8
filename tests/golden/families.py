"""Tiny teachers of random weights: the cases of the parity tests, by name.

Kept apart from the script that makes the golden files, so that the tests which read them need no PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A tiny random model: transformers' class of it and of its config, the config's keywords, where padding goes.

    `std` is that of its matrices. Scores that T5 does not scale grow with its square; where they are large, a softmax
    makes much of rounding errors, PyTorch's and ours.
    """

    model: str
    config: str
    options: dict[str, Any]
    padding: str = "right"
    std: float = 0.3


SMALL = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "initializer_range": 0.5,
}
DISTIL = {
    "vocab_size": 60,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 40,
    "max_position_embeddings": 40,
    "initializer_range": 0.5,
}

#: Keywords of RoBERTa and its kin.
FAIRSEQ = {**SMALL, "pad_token_id": 1, "type_vocab_size": 1}

#: Keywords of decoders: three heads of queries, one of keys, each of 8 numbers; windows shorter than the batches.
DECODER = {**SMALL, "num_key_value_heads": 1, "rms_norm_eps": 1e-4, "pad_token_id": 0}
WINDOWED = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "num_hidden_layers": 3}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 12}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 500.0,
    "short_factor": [1.0, 1.1, 1.3, 1.6],
    "long_factor": [1.5, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 16,
}
#: Gemma 3: both types of layers, with rotary settings of their own.
GEMMA = {
    **DECODER,
    "num_hidden_layers": 3,
    "head_dim": 10,
    "query_pre_attn_scalar": 7,
    "sliding_window": 6,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}

#: Three layers that use two groups of two blocks.
SHARED = {
    **SMALL,
    "embedding_size": 10,
    "num_hidden_layers": 3,
    "num_hidden_groups": 2,
    "inner_group_num": 2,
    "intermediate_size": 16,
}

#: As in version 3 of DeBERTa: log buckets, one projection for content and positions, no position embeddings.
DEBERTA3 = {
    **SMALL,
    "layer_norm_eps": 1e-5,
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_buckets": 8,
    "max_relative_positions": 30,
}
#: As in version 2: a convolution too.
DEBERTA2 = {**DEBERTA3, "conv_kernel_size": 3, "conv_act": "gelu"}
#: Relative positions beyond the table, and projections of their own.
DEBERTA_OWN = {
    **DEBERTA3,
    "share_att_key": False,
    "norm_rel_ebd": "none",
    "position_buckets": -1,
    "max_relative_positions": 12,
}

T5 = {
    "vocab_size": 60,
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 40,
    "num_layers": 3,
    "num_heads": 5,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 20,
}
#: ModernBERT with a window of 3 to either side; of its layers the first and the last are global.
MODERN = {
    **SMALL,
    "num_hidden_layers": 4,
    "intermediate_size": 32,
    "global_attn_every_n_layers": 3,
    "local_attention": 6,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}

#: ModernBERT with every bias, another pattern, a window of odd width, and rotary settings for each layer type.
MODERN_BIASED = {
    **MODERN,
    "num_hidden_layers": 3,
    "global_attn_every_n_layers": 2,
    "local_attention": 11,
    "norm_bias": True,
    "attention_bias": True,
    "mlp_bias": True,
    "norm_eps": 1e-2,
    "hidden_activation": "silu",
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
    },
}

#: Nomic BERT and GTE.
ROTARY = {**SMALL, "pad_token_id": 0, "type_vocab_size": 2}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 300.0, "factor": 2.0}

CASES: dict[str, Case] = {
    "bert": Case("BertModel", "BertConfig", SMALL),
    "bert-tanh-gelu": Case("BertModel", "BertConfig", {**SMALL, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5}),
    "bert-quick-gelu": Case("BertModel", "BertConfig", {**SMALL, "hidden_act": "quick_gelu"}),
    "bert-fast-gelu": Case("BertModel", "BertConfig", {**SMALL, "hidden_act": "gelu_fast"}),
    "bert-with-head": Case("BertForMaskedLM", "BertConfig", SMALL),
    "roberta": Case("RobertaModel", "RobertaConfig", FAIRSEQ),
    "xlm-roberta": Case("XLMRobertaModel", "XLMRobertaConfig", FAIRSEQ),
    "camembert": Case("CamembertModel", "CamembertConfig", FAIRSEQ),
    "distilbert": Case("DistilBertModel", "DistilBertConfig", DISTIL),
    "distilbert-relu": Case("DistilBertModel", "DistilBertConfig", {**DISTIL, "activation": "relu"}),
    "mpnet": Case("MPNetModel", "MPNetConfig", {**SMALL, "pad_token_id": 1}),
    "llama": Case("LlamaModel", "LlamaConfig", {**DECODER, "head_dim": 10, "rope_parameters": LLAMA3}),
    "llama-left": Case("LlamaModel", "LlamaConfig", {**DECODER, "rope_parameters": LLAMA3}, padding="left"),
    "llama-biases": Case("LlamaModel", "LlamaConfig", {**DECODER, "attention_bias": True, "mlp_bias": True}),
    "llama-with-head": Case("LlamaForCausalLM", "LlamaConfig", {**DECODER, "num_key_value_heads": 3}),
    "llama-tied-head": Case("LlamaForCausalLM", "LlamaConfig", {**DECODER, "tie_word_embeddings": True}),
    "llama-linear": Case(
        "LlamaModel", "LlamaConfig", {**DECODER, "rope_parameters": {"rope_type": "linear", "factor": 3.0}}
    ),
    "llama-dynamic": Case(
        "LlamaModel",
        "LlamaConfig",
        {**DECODER, "max_position_embeddings": 16, "rope_parameters": {"rope_type": "dynamic", "factor": 3.0}},
    ),
    "llama-longrope": Case("LlamaModel", "LlamaConfig", {**DECODER, "rope_parameters": LONGROPE}, padding="left"),
    "llama-both-sides": Case("LlamaModel", "LlamaConfig", {**DECODER, "is_causal": False}),
    "mistral": Case("MistralModel", "MistralConfig", {**DECODER, "sliding_window": 6}),
    "mistral-left": Case("MistralModel", "MistralConfig", {**DECODER, "sliding_window": 6}, padding="left"),
    "mistral-all": Case(
        "MistralModel",
        "MistralConfig",
        {**DECODER, "sliding_window": None, "head_dim": 6, "num_attention_heads": 5, "num_key_value_heads": 5},
    ),
    "mistral-both-sides": Case("MistralModel", "MistralConfig", {**DECODER, "sliding_window": 6, "is_causal": False}),
    "qwen2": Case("Qwen2Model", "Qwen2Config", {**DECODER, **WINDOWED}),
    "qwen2-left": Case("Qwen2Model", "Qwen2Config", {**DECODER, **WINDOWED}, padding="left"),
    "qwen2-no-window": Case("Qwen2Model", "Qwen2Config", {**DECODER, **WINDOWED, "use_sliding_window": False}),
    "qwen2-yarn": Case(
        "Qwen2Model",
        "Qwen2Config",
        {**DECODER, "num_attention_heads": 6, "num_key_value_heads": 3, "rope_parameters": YARN},
    ),
    "qwen3": Case(
        "Qwen3Model",
        "Qwen3Config",
        {**DECODER, "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 10, "hidden_act": "gelu"},
    ),
    "qwen3-left": Case(
        "Qwen3Model", "Qwen3Config", {**DECODER, **WINDOWED, "head_dim": 6, "attention_bias": True}, padding="left"
    ),
    "qwen3-layer-types": Case(
        "Qwen3ForCausalLM",
        "Qwen3Config",
        {
            **DECODER,
            **WINDOWED,
            "head_dim": 6,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {**YARN, "mscale": 1.2, "mscale_all_dim": 0.6, "truncate": False},
        },
    ),
    "gemma3": Case("Gemma3TextModel", "Gemma3TextConfig", {**GEMMA, "use_bidirectional_attention": True}),
    "gemma3-left": Case(
        "Gemma3TextModel",
        "Gemma3TextConfig",
        {**GEMMA, "use_bidirectional_attention": True, "sliding_window": 7},
        padding="left",
    ),
    "gemma3-causal": Case("Gemma3ForCausalLM", "Gemma3TextConfig", {**GEMMA, "attention_bias": True}),
    "gemma3-ropes": Case(
        "Gemma3TextModel",
        "Gemma3TextConfig",
        {
            **GEMMA,
            "num_key_value_heads": 3,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 700.0, "factor": 2.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
            },
        },
        padding="left",
    ),
    "electra": Case("ElectraModel", "ElectraConfig", {**SMALL, "embedding_size": 10}),
    "electra-wide": Case("ElectraModel", "ElectraConfig", {**SMALL, "embedding_size": 24, "layer_norm_eps": 1e-5}),
    "electra-with-head": Case("ElectraForPreTraining", "ElectraConfig", {**SMALL, "embedding_size": 10}),
    "albert": Case("AlbertModel", "AlbertConfig", SHARED),
    "albert-one-group": Case(
        "AlbertModel", "AlbertConfig", {**SMALL, "embedding_size": 24, "num_hidden_layers": 4, "hidden_act": "gelu"}
    ),
    "albert-with-head": Case("AlbertForMaskedLM", "AlbertConfig", {**SHARED, "num_hidden_layers": 5}),
    "deberta-v2": Case("DebertaV2Model", "DebertaV2Config", DEBERTA2),
    "deberta-v2-left": Case("DebertaV2Model", "DebertaV2Config", {**DEBERTA2, "conv_kernel_size": 5}, padding="left"),
    "deberta-v2-groups": Case(
        "DebertaV2Model", "DebertaV2Config", {**SMALL, "conv_kernel_size": 3, "conv_groups": 4, "type_vocab_size": 2}
    ),
    "deberta-v3": Case("DebertaV2Model", "DebertaV2Config", DEBERTA3),
    "deberta-v3-with-head": Case("DebertaV2ForSequenceClassification", "DebertaV2Config", DEBERTA3),
    "deberta-own-projections": Case("DebertaV2Model", "DebertaV2Config", DEBERTA_OWN),
    "deberta-c2p": Case(
        "DebertaV2Model",
        "DebertaV2Config",
        {**DEBERTA_OWN, "pos_att_type": "c2p", "position_buckets": 6, "position_biased_input": True},
    ),
    "deberta-p2c": Case(
        "DebertaV2Model",
        "DebertaV2Config",
        {**DEBERTA_OWN, "pos_att_type": "p2c", "max_relative_positions": -1, "embedding_size": 10},
    ),
    "deberta-content-alone": Case("DebertaV2Model", "DebertaV2Config", {**DEBERTA3, "pos_att_type": None}),
    "deberta-absolute": Case(
        "DebertaV2Model",
        "DebertaV2Config",
        {**DEBERTA3, "relative_attention": False, "position_biased_input": True, "embedding_size": 10},
    ),
    "t5": Case("T5EncoderModel", "T5Config", T5, std=0.25),
    "t5-gated": Case(
        "T5EncoderModel",
        "T5Config",
        {**T5, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-3, "relative_attention_num_buckets": 32},
        padding="left",
        std=0.25,
    ),
    "t5-gated-silu": Case(
        "T5EncoderModel", "T5Config", {**T5, "d_kv": 16, "feed_forward_proj": "gated-silu"}, std=0.25
    ),
    "mt5": Case("MT5EncoderModel", "MT5Config", T5, std=0.25),
    "umt5": Case("UMT5EncoderModel", "UMT5Config", T5, std=0.25),
    "umt5-relu": Case("UMT5EncoderModel", "UMT5Config", {**T5, "feed_forward_proj": "relu"}, padding="left", std=0.25),
    "modernbert": Case("ModernBertModel", "ModernBertConfig", MODERN),
    "modernbert-biased": Case("ModernBertModel", "ModernBertConfig", MODERN_BIASED),
    "modernbert-left": Case("ModernBertForMaskedLM", "ModernBertConfig", MODERN, padding="left"),
    "nomic_bert": Case("NomicBertModel", "NomicBertConfig", ROTARY),
    "nomic_bert-dynamic": Case(
        "NomicBertModel",
        "NomicBertConfig",
        {**ROTARY, "max_position_embeddings": 16, "rope_parameters": DYNAMIC, "head_dim": 10, "hidden_act": "gelu"},
    ),
    "nomic_bert-with-head": Case(
        "NomicBertForMaskedLM", "NomicBertConfig", {**ROTARY, "layer_norm_eps": 1e-2, "type_vocab_size": 1}
    ),
    "gte": Case("GteModel", "GteConfig", {**ROTARY, "type_vocab_size": 0, "layer_norm_eps": 1e-2}),
    "gte-linear": Case(
        "GteModel",
        "GteConfig",
        {**ROTARY, "hidden_act": "relu", "rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 4.0}},
    ),
    "gte-with-pooler": Case("GteForSequenceClassification", "GteConfig", {**ROTARY, "type_vocab_size": 1}, "left"),
}

#: Cases whose weights and expected outputs are stored; the others are live only.
GOLDEN_CASES = (
    *("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet", "electra", "albert"),
    *("deberta-v2", "deberta-v3", "deberta-c2p", "t5", "t5-gated", "umt5"),
    *("modernbert", "nomic_bert", "gte"),
    *("llama", "mistral-left", "qwen2", "qwen3-left", "gemma3"),
)

TOLERANCE = 2e-4
