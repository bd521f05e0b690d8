"""Weight table of DeBERTa, versions 2 and 3: transformers' names on the left, ours on the right."""

from __future__ import annotations

from m2v_distill.teacher.checkpoint import Rule, WeightTable, embed, linear, norm

_BLOCK = "encoder.layer.{i}."

DEBERTA = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "words"),
        # Checkpoints may keep what was only needed while they were trained.
        Rule("embeddings.position_embeddings.weight", "places.embedding", optional=True),
        *embed("embeddings.token_type_embeddings", "types"),
        *linear("embeddings.embed_proj", "project"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear(_BLOCK + "attention.self.query_proj", "blocks.{i}.query"),
        *linear(_BLOCK + "attention.self.key_proj", "blocks.{i}.key"),
        *linear(_BLOCK + "attention.self.value_proj", "blocks.{i}.value"),
        *linear(_BLOCK + "attention.self.pos_key_proj", "blocks.{i}.place_key"),
        *linear(_BLOCK + "attention.self.pos_query_proj", "blocks.{i}.place_query"),
        *linear(_BLOCK + "attention.output.dense", "blocks.{i}.out"),
        *norm(_BLOCK + "attention.output.LayerNorm", "blocks.{i}.attention_norm"),
        *linear(_BLOCK + "intermediate.dense", "blocks.{i}.up"),
        *linear(_BLOCK + "output.dense", "blocks.{i}.down"),
        *norm(_BLOCK + "output.LayerNorm", "blocks.{i}.output_norm"),
        *embed("encoder.rel_embeddings", "relative"),
        *norm("encoder.LayerNorm", "relative_norm"),
        # Transposed, [out, in / groups, width] is [width, in / groups, out].
        *linear("encoder.conv.conv", "convolution"),
        *norm("encoder.conv.LayerNorm", "convolution.norm"),
    ),
    prefixes=("", "deberta.", "model.", "0.auto_model."),
    ignored=(
        r"embeddings\.position_ids",
        r"(cls|lm_head|lm_predictions|mask_predictions|pooler|classifier|qa_outputs)\..*",
    ),
)
