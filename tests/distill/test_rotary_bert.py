"""Nomic BERT and GTE as their own code names them: the same vectors as in transformers' naming, or a clear error.

What they compute is tested in test_families.py; golden weights are saved by transformers under the models' own names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN
from m2v_core import ModelFormatError
from m2v_distill import distill
from m2v_distill.teacher.families.rotary_bert import RotaryBertConfig
from m2v_distill.teacher.teacher import Teacher

SEQUENCES = [[2, 5, 3], [2, 9, 10, 3, 17, 40, 12]]

Tensors = dict[str, np.ndarray]

#: The golden "nomic_bert", as config.json of nomic-ai's checkpoints puts it.
NOMIC = {
    "model_type": "nomic_bert",
    "auto_map": {"AutoConfig": "nomic-ai/nomic-bert-2048--configuration_hf_nomic_bert.NomicBertConfig"},
    "activation_function": "swiglu",
    "causal": False,
    "layer_norm_epsilon": 1e-12,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "n_embd": 24,
    "n_head": 3,
    "n_inner": 40,
    "n_layer": 2,
    "n_positions": 8192,
    "pad_vocab_size_multiple": 64,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "type_vocab_size": 2,
    "use_rms_norm": False,
    "vocab_size": 60,
}

#: The golden "gte", as config.json of Alibaba-NLP's checkpoints puts it.
NEW = {
    "model_type": "new",
    "auto_map": {"AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig"},
    "hidden_act": "gelu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_norm_eps": 0.01,
    "layer_norm_type": "layer_norm",
    "logn_attention_clip1": False,
    "logn_attention_scale": False,
    "max_position_embeddings": 8192,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "pack_qkv": True,
    "position_embedding_type": "rope",
    "rope_scaling": None,
    "rope_theta": 160000,
    "type_vocab_size": 0,
    "unpad_inputs": "true",
    "use_memory_efficient_attention": "true",
    "vocab_size": 60,
}


def vectors(folder: Path, sequences: list[list[int]] = SEQUENCES, pooling: str = "mean") -> np.ndarray:
    return Teacher.from_pretrained(folder, pooling=pooling).encode_ids(sequences)


def expected(case: str, pooling: str = "mean") -> np.ndarray:
    return vectors(GOLDEN / "teachers" / case, pooling=pooling)


def tensors_of(case: str) -> Tensors:
    return load_file(GOLDEN / "teachers" / case / "model.safetensors")


def write(folder: Path, config: dict[str, Any], tensors: Tensors) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


def renamed(tensors: Tensors, *pairs: tuple[str, str]) -> Tensors:
    def name_of(name: str) -> str:
        for old, new in pairs:
            name = name.replace(old, new)
        return name

    return {name_of(name): tensor for name, tensor in tensors.items()}


def split(tensors: Tensors, source: str, targets: tuple[str, ...]) -> Tensors:
    """Cut every tensor whose name holds `source` into equal parts."""
    out: Tensors = {}
    for name, tensor in tensors.items():
        if source in name:
            parts = np.split(tensor, len(targets))
            out |= {name.replace(source, target): part for target, part in zip(targets, parts, strict=True)}
        else:
            out[name] = tensor
    return out


def widened(tensors: Tensors, *, rows: int, inner: int) -> Tensors:
    """Zeros for more words and more units, as the model's own code rounds both up; they change nothing."""

    def wider(name: str, tensor: np.ndarray) -> np.ndarray:
        if name.endswith("word_embeddings.weight"):
            return np.pad(tensor, ((0, rows - len(tensor)), (0, 0)))
        if ".mlp.fc1" in name:
            return np.pad(tensor, ((0, inner - len(tensor)), (0, 0)))
        return np.pad(tensor, ((0, 0), (0, inner - tensor.shape[1]))) if ".mlp.fc2" in name else tensor

    return {name: wider(name, tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize("prefix", ["", "bert.", "0.auto_model."])
def test_nomics_own_naming(tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + name: tensor for name, tensor in widened(tensors_of("nomic_bert"), rows=64, inner=256).items()}
    tensors["cls.predictions.decoder.weight"] = np.ones((64, 24), np.float32)
    folder = write(tmp_path / "own", NOMIC, tensors)
    np.testing.assert_allclose(vectors(folder), expected("nomic_bert"), atol=1e-5)
    teacher = Teacher.from_pretrained(folder)
    assert (teacher.vocab_size, teacher.hidden_size, teacher.max_length) == (64, 24, None)


def test_both_namings_in_one_file(tmp_path: Path) -> None:
    theirs = json.loads((GOLDEN / "teachers/nomic_bert/config.json").read_text())
    both = {**NOMIC, **theirs, "pad_vocab_size_multiple": 4}
    assert np.array_equal(vectors(write(tmp_path, both, tensors_of("nomic_bert"))), expected("nomic_bert"))


@pytest.mark.parametrize("prefix", ["", "nomic_bert.", "model."])
def test_transformers_names_of_nomic_bert(tmp_path: Path, prefix: str) -> None:
    qkv = tuple(f"self_attn.{part}_proj" for part in "qkv")
    tensors = renamed(
        split(tensors_of("nomic_bert"), "attn.Wqkv", qkv),
        ("encoder.layers", f"{prefix}layers"),
        ("emb_ln", f"{prefix}embeddings.LayerNorm"),
        ("embeddings.word", f"{prefix}embeddings.word"),
        ("embeddings.token", f"{prefix}embeddings.token"),
        ("attn.out_proj", "self_attn.o_proj"),
        ("fc11", "up_proj"),
        ("fc12", "gate_proj"),
        ("fc2", "down_proj"),
        ("norm1", "post_attention_layernorm"),
        ("norm2", "post_mlp_layernorm"),
    )
    config = json.loads((GOLDEN / "teachers/nomic_bert/config.json").read_text())
    assert np.array_equal(vectors(write(tmp_path, config, tensors)), expected("nomic_bert"))


def test_nomic_bert_without_rotation_and_gate_is_bert(tmp_path: Path) -> None:
    tensors = tensors_of("bert")
    for i in range(2):
        layer = f"encoder.layer.{i}."
        for kind in ("weight", "bias"):
            parts = [tensors.pop(f"{layer}attention.self.{name}.{kind}") for name in ("query", "key", "value")]
            tensors[f"{layer}attn.Wqkv.{kind}"] = np.concatenate(parts)
    tensors = renamed(
        tensors,
        ("encoder.layer.", "encoder.layers."),
        ("attention.output.dense", "attn.out_proj"),
        ("attention.output.LayerNorm", "norm1"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
        ("output.LayerNorm", "norm2"),
        ("embeddings.LayerNorm", "emb_ln"),
    )
    biases = {"qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True}
    config = {**NOMIC, **biases, "activation_function": "gelu", "rotary_emb_fraction": 0.0, "n_positions": 40}
    folder = write(tmp_path, {**config, "pad_vocab_size_multiple": 1}, tensors)
    for pooling in ("mean", "pooler"):
        np.testing.assert_allclose(vectors(folder, pooling=pooling), expected("bert", pooling), atol=1e-5)
    assert Teacher.from_pretrained(folder).max_length == 40


def test_nomics_rotary_settings() -> None:
    stretched = RotaryBertConfig.nomic({**NOMIC, "rotary_scaling_factor": 2}, pooler=False).rotary
    rope = {"rope_type": "dynamic", "rope_theta": 1000.0, "factor": 2.0}
    sizes = {"max_position_embeddings": 2048, "rope_parameters": rope}
    assert stretched == RotaryBertConfig.nomic({**NOMIC, **sizes}, pooler=False).rotary
    theirs = {"rope_theta": 50, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    linear = RotaryBertConfig.nomic({**NOMIC, **theirs}, pooler=False).rotary
    assert linear is not None
    assert (linear.kind, linear.theta, linear.factor) == ("linear", 50.0, 2.0)
    partial = RotaryBertConfig.nomic({**NOMIC, "rotary_emb_fraction": 0.5}, pooler=False).rotary
    assert partial is not None
    assert partial.dim == 4


@pytest.mark.parametrize("prefix", ["", "new.", "0.auto_model."])
@pytest.mark.parametrize("packed", [True, False])
def test_the_new_encoder(tmp_path: Path, prefix: str, packed: bool) -> None:
    tensors = tensors_of("gte")
    if not packed:
        tensors = split(tensors, "attention.qkv_proj", tuple(f"attention.{part}_proj" for part in "qkv"))
    tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    tensors["lm_head.norm.weight"] = np.ones(24, np.float32)
    folder = write(tmp_path, {**NEW, "pack_qkv": packed}, tensors)
    assert np.array_equal(vectors(folder), expected("gte"))


@pytest.mark.parametrize("prefix", ["", "gte."])
def test_transformers_names_of_gte(tmp_path: Path, prefix: str) -> None:
    tensors = split(tensors_of("gte"), "attention.qkv_proj", tuple(f"self_attn.{part}_proj" for part in "qkv"))
    tensors = renamed(
        split(tensors, "up_gate_proj", ("up_proj", "gate_proj")),
        ("encoder.layer", "layers"),
        ("attention.o_proj", "self_attn.o_proj"),
        ("attn_ln", "post_attention_layernorm"),
        ("mlp_ln", "post_mlp_layernorm"),
    )
    config = json.loads((GOLDEN / "teachers/gte/config.json").read_text())
    folder = write(tmp_path, config, {prefix + name: tensor for name, tensor in tensors.items()})
    assert np.array_equal(vectors(folder), expected("gte"))


@pytest.mark.parametrize("length", [5, 9000])
def test_ntk_scaling_is_equation_6(length: int) -> None:
    scaled = {**NEW, "rope_theta": 20000, "rope_scaling": {"type": "ntk", "factor": 8.0}}
    rotary = RotaryBertConfig.gte(scaled, pooler=False).rotary
    assert rotary is not None
    cos, sin = rotary(length)
    inverse = (20000 * 8.0) ** -(np.arange(0, 8, 2) / 8) / 8.0 ** (2 / 8)
    angle = (length - 1) * inverse
    np.testing.assert_allclose(cos[-1], np.cos(angle), atol=2e-3)  # float32 angles of some thousands
    np.testing.assert_allclose(sin[-1], np.sin(angle), atol=2e-3)


def test_embedded_positions_of_the_new_encoder(tmp_path: Path) -> None:
    tensors = tensors_of("gte")
    words = tensors["embeddings.word_embeddings.weight"]
    places = np.random.default_rng(0).normal(size=(16, 24)).astype(np.float32)
    absolute = {**NEW, "position_embedding_type": "absolute", "max_position_embeddings": 16}
    tensors["embeddings.position_embeddings.weight"] = places
    ours = vectors(write(tmp_path / "placed", absolute, tensors))

    # Without rotation, a word at a place is a word of its own.
    sequence = SEQUENCES[1]
    tensors["embeddings.word_embeddings.weight"] = words.copy()
    tensors["embeddings.word_embeddings.weight"][: len(sequence)] = words[sequence] + places[: len(sequence)]
    del tensors["embeddings.position_embeddings.weight"]
    still = {**NEW, "rope_scaling": {"rope_type": "linear", "factor": 1e30}}
    reference = vectors(write(tmp_path / "still", still, tensors), [list(range(len(sequence)))])
    np.testing.assert_allclose(ours[1:], reference, atol=1e-5)
    assert Teacher.from_pretrained(tmp_path / "placed").max_length == 16


@pytest.mark.parametrize(
    ("make", "config", "setting", "value"),
    [
        *((RotaryBertConfig.nomic, NOMIC, name, True) for name in ("prenorm", "parallel_block", "use_rms_norm")),
        *((RotaryBertConfig.nomic, NOMIC, name, True) for name in ("rotary_emb_interleaved", "causal")),
        (RotaryBertConfig.nomic, NOMIC, "rotary_emb_scale_base", 512),
        (RotaryBertConfig.nomic, NOMIC, "moe_every_n_layers", 2),
        (RotaryBertConfig.nomic, NOMIC, "activation_function", "glu"),
        (RotaryBertConfig.nomic, NOMIC, "n_embd", None),
        (RotaryBertConfig.gte, NEW, "logn_attention_scale", True),
        (RotaryBertConfig.gte, NEW, "layer_norm_type", "rms_norm"),
        (RotaryBertConfig.gte, NEW, "position_embedding_type", "alibi"),
        (RotaryBertConfig.gte, NEW, "rope_scaling", {"type": "ntk", "factor": 8.0, "mixed_b": 0.75}),
        (RotaryBertConfig.gte, NEW, "rope_scaling", {"type": "ntk"}),
        (RotaryBertConfig.gte, NEW, "hidden_size", None),
    ],
)
def test_what_is_not_computed_is_refused(make: Callable[..., Any], config: dict, setting: str, value: object) -> None:
    make(config, pooler=False)
    word = {"rope_scaling": "mixed_b|factor"}.get(setting, setting)
    with pytest.raises(ModelFormatError, match=word):
        make({**config, setting: value}, pooler=False)


@pytest.mark.parametrize(
    ("case", "config"), [("gte", NEW), ("nomic_bert", {**NOMIC, "intermediate_size": 40, "pad_vocab_size_multiple": 4})]
)
def test_distil_without_the_remote_code(make_teacher: Callable[..., Path], case: str, config: dict) -> None:
    folder = make_teacher(case)
    usual = distill(folder, pca_dims=8)
    (folder / "config.json").write_text(json.dumps(config))
    assert np.array_equal(distill(folder, pca_dims=8).embedding, usual.embedding)
