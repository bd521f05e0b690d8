"""Weight tables of Nomic BERT and GTE: on the left transformers' names and those of the models' own code."""

from __future__ import annotations

from m2v_distill.teacher.checkpoint import WeightTable, embed, linear, norm

_IGNORED = (r"(cls|lm_head|classifier|dropout)\..*", r"embeddings\.(position|token_type)_ids", r"(.*\.)?rotary_emb\..*")

#: What transformers' names of both models, and older names, have in common.
_SHARED = (
    *embed("embeddings.word_embeddings", "words"),
    *embed("embeddings.position_embeddings", "places"),
    *embed("embeddings.token_type_embeddings", "types"),
    *norm("embeddings.LayerNorm", "norm"),
    *linear("pooler.dense", "pooler"),
    *linear("layers.{i}.self_attn.q_proj", "blocks.{i}.attention.query"),
    *linear("layers.{i}.self_attn.k_proj", "blocks.{i}.attention.key"),
    *linear("layers.{i}.self_attn.v_proj", "blocks.{i}.attention.value"),
    *linear("layers.{i}.self_attn.o_proj", "blocks.{i}.attention.out"),
    *norm("layers.{i}.post_attention_layernorm", "blocks.{i}.attention_norm"),
    *linear("layers.{i}.mlp.gate_proj", "blocks.{i}.mlp.gate"),
    *linear("layers.{i}.mlp.up_proj", "blocks.{i}.mlp.up"),
    *linear("layers.{i}.mlp.down_proj", "blocks.{i}.mlp.down"),
    *norm("layers.{i}.post_mlp_layernorm", "blocks.{i}.output_norm"),
)

NOMIC = WeightTable(
    rules=(
        *_SHARED,
        *norm("emb_ln", "norm"),
        *linear("encoder.layers.{i}.attn.Wqkv", "blocks.{i}.attention.query", (0, 3)),
        *linear("encoder.layers.{i}.attn.Wqkv", "blocks.{i}.attention.key", (1, 3)),
        *linear("encoder.layers.{i}.attn.Wqkv", "blocks.{i}.attention.value", (2, 3)),
        *linear("encoder.layers.{i}.attn.out_proj", "blocks.{i}.attention.out"),
        *norm("encoder.layers.{i}.norm1", "blocks.{i}.attention_norm"),
        *linear("encoder.layers.{i}.mlp.fc12", "blocks.{i}.mlp.gate"),
        *linear("encoder.layers.{i}.mlp.fc11", "blocks.{i}.mlp.up"),
        *linear("encoder.layers.{i}.mlp.fc1", "blocks.{i}.mlp.up"),
        *linear("encoder.layers.{i}.mlp.fc2", "blocks.{i}.mlp.down"),
        *norm("encoder.layers.{i}.norm2", "blocks.{i}.output_norm"),
    ),
    prefixes=("", "bert.", "nomic_bert.", "model.", "0.auto_model."),
    ignored=_IGNORED,
)

GTE = WeightTable(
    rules=(
        *_SHARED,
        *linear("encoder.layer.{i}.attention.qkv_proj", "blocks.{i}.attention.query", (0, 3)),
        *linear("encoder.layer.{i}.attention.qkv_proj", "blocks.{i}.attention.key", (1, 3)),
        *linear("encoder.layer.{i}.attention.qkv_proj", "blocks.{i}.attention.value", (2, 3)),
        *linear("encoder.layer.{i}.attention.q_proj", "blocks.{i}.attention.query"),
        *linear("encoder.layer.{i}.attention.k_proj", "blocks.{i}.attention.key"),
        *linear("encoder.layer.{i}.attention.v_proj", "blocks.{i}.attention.value"),
        *linear("encoder.layer.{i}.attention.o_proj", "blocks.{i}.attention.out"),
        *norm("encoder.layer.{i}.attn_ln", "blocks.{i}.attention_norm"),
        *linear("encoder.layer.{i}.mlp.up_gate_proj", "blocks.{i}.mlp.up", (0, 2)),
        *linear("encoder.layer.{i}.mlp.up_gate_proj", "blocks.{i}.mlp.gate", (1, 2)),
        *linear("encoder.layer.{i}.mlp.down_proj", "blocks.{i}.mlp.down"),
        *norm("encoder.layer.{i}.mlp_ln", "blocks.{i}.output_norm"),
    ),
    prefixes=("", "new.", "gte.", "model.", "0.auto_model."),
    ignored=_IGNORED,
)
