"""Weight tables of decoders: transformers' names on the left, ours on the right."""

from __future__ import annotations

from m2v_distill.teacher.checkpoint import Rule, WeightTable, embed, linear


def _scale(source: str, target: str) -> Rule:
    return Rule(f"{source}.weight", f"{target}.scale")


_RULES = (
    *embed("embed_tokens", "words"),
    _scale("norm", "norm"),
    *linear("layers.{i}.self_attn.q_proj", "blocks.{i}.query"),
    *linear("layers.{i}.self_attn.k_proj", "blocks.{i}.key"),
    *linear("layers.{i}.self_attn.v_proj", "blocks.{i}.value"),
    *linear("layers.{i}.self_attn.o_proj", "blocks.{i}.out"),
    _scale("layers.{i}.self_attn.q_norm", "blocks.{i}.query_norm"),
    _scale("layers.{i}.self_attn.k_norm", "blocks.{i}.key_norm"),
    *linear("layers.{i}.mlp.gate_proj", "blocks.{i}.gate"),
    *linear("layers.{i}.mlp.up_proj", "blocks.{i}.up"),
    *linear("layers.{i}.mlp.down_proj", "blocks.{i}.down"),
    _scale("layers.{i}.input_layernorm", "blocks.{i}.before_attention"),
)

_PREFIXES = ("", "model.", "0.auto_model.", "0.auto_model.model.")

#: Heads, and the buffers of rotary positions that older checkpoints hold.
_IGNORED = (
    r"(0\.auto_model\.)?(lm_head|score)\.(weight|bias)",
    r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",
)

DECODER = WeightTable(
    rules=(*_RULES, _scale("layers.{i}.post_attention_layernorm", "blocks.{i}.before_mlp")),
    prefixes=_PREFIXES,
    ignored=_IGNORED,
)

GEMMA = WeightTable(
    rules=(
        *_RULES,
        _scale("layers.{i}.post_attention_layernorm", "blocks.{i}.after_attention"),
        _scale("layers.{i}.pre_feedforward_layernorm", "blocks.{i}.before_mlp"),
        _scale("layers.{i}.post_feedforward_layernorm", "blocks.{i}.after_mlp"),
    ),
    prefixes=_PREFIXES,
    ignored=_IGNORED,
)
