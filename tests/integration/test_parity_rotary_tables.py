"""Live: rotary tables against those of transformers, for settings as real models have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and transformers: nox -s parity")

from m2v_distill.teacher.nn.rotary import Rotary

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

ROPES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 8.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256},
    "yarn-all": {
        "rope_type": "yarn",
        "factor": 40.0,
        "original_max_position_embeddings": 256,
        "mscale": 1.5,
        "mscale_all_dim": 0.7,
        "beta_fast": 16,
        "beta_slow": 2,
        "truncate": False,
    },
    "yarn-factor": {
        "rope_type": "yarn",
        "factor": 2.0,
        "original_max_position_embeddings": 512,
        "attention_factor": 0.8,
    },
    "yarn-no-factor": {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 256},
    "longrope": {
        "rope_type": "longrope",
        "short_factor": list(np.linspace(1, 2, 32)),
        "long_factor": list(np.linspace(2, 9, 32)),
        "original_max_position_embeddings": 512,
    },
}


@pytest.mark.parametrize("length", [7, 600, 2500])
@pytest.mark.parametrize("name", ROPES)
def test_tables(name: str, length: int) -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    positions = 1024
    rope = {"rope_theta": 500000.0, **ROPES[name]}
    config = LlamaConfig(
        hidden_size=128, num_attention_heads=2, max_position_embeddings=positions, rope_parameters=dict(rope)
    )
    theirs = LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(length)[None])
    ours = Rotary.of(config.to_dict()["rope_parameters"], head_dim=64, positions=positions)(length)
    for mine, reference in zip(ours, theirs, strict=True):
        # An angle at position p has an error of p times that of a frequency, in both.
        np.testing.assert_allclose(mine, reference[0, :, :32].numpy(), atol=3e-7 * max(length, 10))
