"""Live: Nomic BERT and GTE under their own names, as transformers reads them, and their poolers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and transformers: nox -s parity")

import jax.numpy as jnp
from safetensors.numpy import load_file, save_file

from golden.families import TOLERANCE
from golden.make_teachers import make_batch, run
from m2v_distill import Teacher

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]  # PyTorch warns of its own parts

SIZES = {"vocab_size": 60, "type_vocab_size": 2, "max_position_embeddings": 40, "pad_token_id": 0}
BERT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 256}
GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 250, "n_positions": 40}
OWN: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # model_type: the prefix in its own checkpoints, config.json for transformers, and its own.
    "nomic_bert": (
        "bert.",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}, "layer_norm_eps": 1e-3},
        {**GPT2, "rotary_emb_base": 50, "layer_norm_epsilon": 1e-3, "activation_function": "swiglu"},
    ),
    "gte": (
        "new.",
        {"rope_theta": 50, "rope_scaling": None, "hidden_act": "gelu_new"},
        {**BERT, "rope_theta": 50, "rope_scaling": None, "hidden_act": "gelu_new", "model_type": "new"},
    ),
}


@pytest.mark.parametrize("model_type", OWN)
@pytest.mark.parametrize("pooler", [False, True])
def test_own_naming(model_type: str, pooler: bool, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel

    prefix, theirs, own = OWN[model_type]
    config = {"model_type": model_type, **SIZES, **BERT, **theirs}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.from_pretrained(tmp_path), add_pooling_layer=pooler).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert any(name.startswith(("encoder.layers.0.attn.Wqkv", "encoder.layer.0.attention.qkv")) for name in tensors)

    ids, mask = make_batch(model, (9, 1, 38))
    states, pooled = run(AutoModel.from_pretrained(tmp_path, add_pooling_layer=pooler).eval(), ids, mask)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **SIZES, **own}))
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    teacher = Teacher.from_pretrained(tmp_path)
    ours = teacher.encoder.hidden_states(jnp.asarray(ids.numpy(), jnp.int32), jnp.asarray(mask.numpy()))
    for mine, reference in zip(ours, states, strict=True):
        np.testing.assert_allclose(np.asarray(mine)[mask.numpy()], reference.numpy()[mask.numpy()], atol=TOLERANCE)
    assert teacher.has_pooler == pooler
    if pooled is not None:
        np.testing.assert_allclose(teacher.encoder.pool(ours[-1]), pooled.numpy(), atol=TOLERANCE)
