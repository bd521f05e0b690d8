"""The weight table of ModernBERT: transformers' names on the left, ours on the right."""

from __future__ import annotations

from m2v_distill.teacher.checkpoint import WeightTable, embed, linear, norm

MODERNBERT = WeightTable(
    rules=(
        *embed("embeddings.tok_embeddings", "words"),
        *norm("embeddings.norm", "norm"),
        *norm("layers.{i}.attn_norm", "blocks.{i}.attention_norm"),
        *linear("layers.{i}.attn.Wqkv", "blocks.{i}.attention.query", (0, 3)),
        *linear("layers.{i}.attn.Wqkv", "blocks.{i}.attention.key", (1, 3)),
        *linear("layers.{i}.attn.Wqkv", "blocks.{i}.attention.value", (2, 3)),
        *linear("layers.{i}.attn.Wo", "blocks.{i}.attention.out"),
        *norm("layers.{i}.mlp_norm", "blocks.{i}.output_norm"),
        *linear("layers.{i}.mlp.Wi", "blocks.{i}.mlp.gate", (0, 2)),
        *linear("layers.{i}.mlp.Wi", "blocks.{i}.mlp.up", (1, 2)),
        *linear("layers.{i}.mlp.Wo", "blocks.{i}.mlp.down"),
        *norm("final_norm", "final_norm"),
    ),
    prefixes=("", "model.", "0.auto_model."),
    ignored=(r"(head|decoder|classifier)\..*", r"(.*\.)?rotary_emb\..*"),
)
