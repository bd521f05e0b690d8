"""Weight tables of BERT and its kin: transformers' names on the left, ours on the right."""

from __future__ import annotations

from m2v_distill.teacher.checkpoint import WeightTable, embed, linear, norm

#: Buffers and heads that an encoder has no use for.
_HEADS = (
    r"embeddings\.(position|token_type)_ids",
    r"(cls|lm_head|classifier|qa_outputs|dropout|pre_classifier)\..*",
    r"(discriminator_predictions|generator_predictions|generator_lm_head|predictions|sop_classifier)\..*",
    r"vocab_(transform|layer_norm|projector)\..*",
    r"(roberta|bert|camembert|mpnet|distilbert|electra|albert)\.embeddings\.position_ids",
)

_POOLER = linear("pooler.dense", "pooler")

BERT = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "words"),
        *embed("embeddings.position_embeddings", "places"),
        *embed("embeddings.token_type_embeddings", "types"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("embeddings_project", "project"),
        *linear("encoder.layer.{i}.attention.self.query", "blocks.{i}.query"),
        *linear("encoder.layer.{i}.attention.self.key", "blocks.{i}.key"),
        *linear("encoder.layer.{i}.attention.self.value", "blocks.{i}.value"),
        *linear("encoder.layer.{i}.attention.output.dense", "blocks.{i}.out"),
        *norm("encoder.layer.{i}.attention.output.LayerNorm", "blocks.{i}.attention_norm"),
        *linear("encoder.layer.{i}.intermediate.dense", "blocks.{i}.up"),
        *linear("encoder.layer.{i}.output.dense", "blocks.{i}.down"),
        *norm("encoder.layer.{i}.output.LayerNorm", "blocks.{i}.output_norm"),
        *_POOLER,
    ),
    prefixes=("", "bert.", "roberta.", "electra.", "model.", "0.auto_model."),
    ignored=_HEADS,
)

MPNET = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "words"),
        *embed("embeddings.position_embeddings", "places"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("encoder.layer.{i}.attention.attn.q", "blocks.{i}.query"),
        *linear("encoder.layer.{i}.attention.attn.k", "blocks.{i}.key"),
        *linear("encoder.layer.{i}.attention.attn.v", "blocks.{i}.value"),
        *linear("encoder.layer.{i}.attention.attn.o", "blocks.{i}.out"),
        *norm("encoder.layer.{i}.attention.LayerNorm", "blocks.{i}.attention_norm"),
        *linear("encoder.layer.{i}.intermediate.dense", "blocks.{i}.up"),
        *linear("encoder.layer.{i}.output.dense", "blocks.{i}.down"),
        *norm("encoder.layer.{i}.output.LayerNorm", "blocks.{i}.output_norm"),
        *embed("encoder.relative_attention_bias", "relative"),
        *_POOLER,
    ),
    prefixes=("", "mpnet.", "model.", "0.auto_model."),
    ignored=_HEADS,
)

_ALBERT_BLOCK = "encoder.albert_layer_groups.{i}.albert_layers.{i}."

ALBERT = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "words"),
        *embed("embeddings.position_embeddings", "places"),
        *embed("embeddings.token_type_embeddings", "types"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("encoder.embedding_hidden_mapping_in", "project"),
        *linear(_ALBERT_BLOCK + "attention.query", "groups.{i}.{i}.query"),
        *linear(_ALBERT_BLOCK + "attention.key", "groups.{i}.{i}.key"),
        *linear(_ALBERT_BLOCK + "attention.value", "groups.{i}.{i}.value"),
        *linear(_ALBERT_BLOCK + "attention.dense", "groups.{i}.{i}.out"),
        *norm(_ALBERT_BLOCK + "attention.LayerNorm", "groups.{i}.{i}.attention_norm"),
        *linear(_ALBERT_BLOCK + "ffn", "groups.{i}.{i}.up"),
        *linear(_ALBERT_BLOCK + "ffn_output", "groups.{i}.{i}.down"),
        *norm(_ALBERT_BLOCK + "full_layer_layer_norm", "groups.{i}.{i}.output_norm"),
        *linear("pooler", "pooler"),
    ),
    prefixes=("", "albert.", "model.", "0.auto_model."),
    ignored=_HEADS,
)

DISTILBERT = WeightTable(
    rules=(
        *embed("embeddings.word_embeddings", "words"),
        *embed("embeddings.position_embeddings", "places"),
        *norm("embeddings.LayerNorm", "norm"),
        *linear("transformer.layer.{i}.attention.q_lin", "blocks.{i}.query"),
        *linear("transformer.layer.{i}.attention.k_lin", "blocks.{i}.key"),
        *linear("transformer.layer.{i}.attention.v_lin", "blocks.{i}.value"),
        *linear("transformer.layer.{i}.attention.out_lin", "blocks.{i}.out"),
        *norm("transformer.layer.{i}.sa_layer_norm", "blocks.{i}.attention_norm"),
        *linear("transformer.layer.{i}.ffn.lin1", "blocks.{i}.up"),
        *linear("transformer.layer.{i}.ffn.lin2", "blocks.{i}.down"),
        *norm("transformer.layer.{i}.output_layer_norm", "blocks.{i}.output_norm"),
    ),
    prefixes=("", "distilbert.", "model.", "0.auto_model."),
    ignored=_HEADS,
)
