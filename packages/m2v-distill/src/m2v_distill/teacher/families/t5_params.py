"""Weight table of T5's encoder: transformers' names on the left, ours on the right."""

from __future__ import annotations

from m2v_distill.teacher.checkpoint import WeightTable, embed, linear, norm

_BLOCK = "encoder.block.{i}."

T5_TABLE = WeightTable(
    rules=(
        *norm("encoder.final_layer_norm", "norm"),
        # One table under two names, of which a checkpoint may have either.
        *embed("encoder.embed_tokens", "words"),
        *embed("shared", "words"),
        *embed(_BLOCK + "layer.0.SelfAttention.relative_attention_bias", "relative.{i}"),
        *norm(_BLOCK + "layer.0.layer_norm", "blocks.{i}.attention_norm"),
        *linear(_BLOCK + "layer.0.SelfAttention.q", "blocks.{i}.query"),
        *linear(_BLOCK + "layer.0.SelfAttention.k", "blocks.{i}.key"),
        *linear(_BLOCK + "layer.0.SelfAttention.v", "blocks.{i}.value"),
        *linear(_BLOCK + "layer.0.SelfAttention.o", "blocks.{i}.out"),
        *norm(_BLOCK + "layer.1.layer_norm", "blocks.{i}.feed_norm"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wi", "blocks.{i}.up"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wi_0", "blocks.{i}.gate"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wi_1", "blocks.{i}.up"),
        *linear(_BLOCK + "layer.1.DenseReluDense.wo", "blocks.{i}.down"),
    ),
    prefixes=("", "transformer.", "model.", "0.auto_model."),
    ignored=(r"(decoder|lm_head|classifier|classification_head|qa_outputs)\..*",),
)
