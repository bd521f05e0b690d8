"""Live: bidirectional classes that come with checkpoints, beside transformers' own model under a full mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and transformers: nox -s parity")

import jax.numpy as jnp
import transformers

from golden.families import TOLERANCE
from golden.make_teachers import make_batch, make_model
from m2v_core import InvalidInputError, ModelFormatError
from m2v_distill import Teacher
from m2v_distill.pipeline import distill, distill_from_model
from m2v_distill.teacher.transformers_io import load_tokenizer
from random_teachers import random_teacher

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]  # PyTorch warns of its own parts

TEXTS = ["good day", "Bad, sunny days!", "a b c " * 9]
LENGTHS = ((9, 1, 4), (38, 2, 17, 38))

#: Case, the name by which config.json calls it, and the class.
BOTH_SIDES = [
    ("llama", "llama", "modeling_llama_encoder.LlamaEncoderModel"),
    ("llama-biases", "llama", "LlamaBiModel"),
    ("llama-dynamic", "llama_bidirec", "llama_bidirectional_model.LlamaBidirectionalModel"),
    ("mistral", "mistral", "org/repo--modeling_mistral_encoder.MistralEncoderModel"),
    ("mistral-left", "bidir_mistral", "modeling_nvembed.BidirectionalMistralModel"),
    ("qwen2-yarn", "qwen2", "modeling_qwen.Qwen2Model"),
]

CODE = """
from transformers import {base}
class {name}({base}):
    def forward(self, input_ids, attention_mask, **options):
        options |= dict(output_hidden_states=True, use_cache=False)
        full = attention_mask[:, None, None, :].bool().expand(-1, 1, input_ids.shape[1], -1)
        shift = torch.finfo(torch.float32).min * (~full).float()
        return super().forward(input_ids=input_ids, attention_mask=shift, **options)
import torch
"""


def full_mask(model: Any, ids: Any, mask: Any) -> list[Any]:
    """Every hidden state of a stock model where every position sees all real ones, whatever its class would mask."""
    shift = torch.finfo(torch.float32).min * (~mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)).float()
    with torch.inference_mode():
        return list(
            model(input_ids=ids, attention_mask=shift, output_hidden_states=True, use_cache=False).hidden_states
        )


def rewritten(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize(("case", "model_type", "name"), BOTH_SIDES)
def test_a_full_mask(case: str, model_type: str, name: str, tmp_path: Path, capsys) -> None:
    worst = 0.0
    for seed, lengths in enumerate(LENGTHS):
        model = make_model(case, seed)
        folder = tmp_path / str(seed)
        model.save_pretrained(folder)
        rewritten(folder, model_type=model_type, auto_map={"AutoModel": name})
        if case.startswith("qwen2"):
            rewritten(folder, is_causal=False)
        ids, mask = make_batch(model, lengths, seed)
        module = Teacher.from_pretrained(folder).encoder
        ours = module.hidden_states(jnp.asarray(ids.numpy(), jnp.int32), jnp.asarray(mask.numpy()))
        for mine, theirs in zip(ours, full_mask(model, ids, mask), strict=True):
            worst = max(worst, float(np.abs(np.asarray(mine)[mask.numpy()] - theirs[mask].numpy()).max()))
    with capsys.disabled():
        print(f"\n{name:60} largest error {worst:.1e}", end="")
    assert worst <= TOLERANCE


@pytest.fixture
def remote(tmp_path: Path, monkeypatch) -> Path:
    """A folder for code that comes with teachers."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    return tmp_path


def with_code(folder: Path, base: str, name: str) -> Path:
    (folder / "modeling_own.py").write_text(CODE.format(base=base, name=name))
    return rewritten(folder, auto_map={"AutoModel": f"modeling_own.{name}"})


def test_a_known_class_is_what_its_code_computes(remote: Path) -> None:
    folder = with_code(random_teacher("llama", remote / "m"), "LlamaModel", "LlamaEncoderModel")
    ours = Teacher.from_pretrained(folder).encode(TEXTS)
    theirs = Teacher.from_pretrained(folder, backend="torch", trust_remote_code=True).encode(TEXTS)
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
    assert np.abs(ours - Teacher.from_pretrained(folder, compute_as="llama").encode(TEXTS)).max() > 0.1
    with pytest.raises(ModelFormatError, match="trust_remote_code"):  # it would run as a causal one
        Teacher.from_pretrained(folder, backend="torch")


def test_an_unknown_class_runs_in_pytorch_where_it_is_trusted(remote: Path) -> None:
    folder = with_code(random_teacher("llama", remote / "m"), "LlamaModel", "MysteryModel")
    for backend in ("auto", "flax", "torch"):
        with pytest.raises(ModelFormatError, match=r"config\.json: .*modeling_own\.MysteryModel"):
            Teacher.from_pretrained(folder, backend=backend)
    with pytest.raises(ModelFormatError, match=r"config\.json: .*modeling_own\.MysteryModel"):
        Teacher.from_pretrained(folder, backend="flax", trust_remote_code=True)
    expected = Teacher.from_pretrained(folder, compute_as="bidirectional-llama").encode(TEXTS)
    for backend in ("auto", "torch"):
        found = Teacher.from_pretrained(folder, backend=backend, trust_remote_code=True).encode(TEXTS)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def modified(base: type, name: str) -> type:
    """A class as somebody's program has it: of another module than transformers'."""

    def made(self: Any, config: Any) -> None:
        base.__init__(self, config)
        config.is_causal = False
        for layer in self.layers:
            layer.self_attn.is_causal = False

    return type(name, (base,), {"__init__": made, "__module__": __name__})


def in_memory(case: str, kind: type, folder: Path) -> Any:
    random_teacher(case, folder)
    return kind.from_pretrained(folder).eval()


@pytest.mark.parametrize(
    ("case", "base", "name"),
    [("llama", "LlamaModel", "LlamaBiModel"), ("mistral-all", "MistralModel", "MistralBiModel")],
)
def test_a_known_class_in_memory(case: str, base: str, name: str, tmp_path: Path) -> None:
    model = in_memory(case, modified(getattr(transformers, base), name), tmp_path / "m")
    ours, theirs = (Teacher.from_transformers(model, backend=backend) for backend in ("auto", "torch"))
    assert not ours.encoder.config.causal
    ids = np.array([[5, 9, 30, 4], [7, 8, 2, 3]], np.int32)
    mask = np.ones_like(ids, bool)
    np.testing.assert_allclose(
        ours.encoder(jnp.asarray(ids), jnp.asarray(mask)), theirs.encoder.outputs(ids, mask)[0], atol=1e-4
    )


def test_an_unknown_class_in_memory(tmp_path: Path, caplog) -> None:
    folder = tmp_path / "m"
    model = in_memory("llama", modified(transformers.LlamaModel, "MysteryModel"), folder)
    tokenizer = load_tokenizer(folder)
    with pytest.raises(
        ModelFormatError, match=r"test_parity_classes.MysteryModel.*backend='torch'.*compute_as='llama'"
    ):
        Teacher.from_transformers(model, backend="flax")
    options = {"method": "token", "pca_dims": 8, "quantize_to": "float32", "precision": "float32"}
    itself = distill_from_model(model, tokenizer, **options)
    assert "test_parity_classes.MysteryModel is not of transformers" in caplog.text
    stated = distill(folder, compute_as="bidirectional-llama", **options)
    np.testing.assert_allclose(itself.encode(TEXTS), stated.encode(TEXTS), atol=1e-4)
    again = distill_from_model(model, tokenizer, compute_as="bidirectional-llama", **options)
    np.testing.assert_allclose(again.encode(TEXTS), stated.encode(TEXTS), atol=1e-6)
    stock = distill(folder, **options)
    assert np.abs(stock.encode(TEXTS) - stated.encode(TEXTS)).max() > 0.01


def test_a_part_of_its_own_in_memory(tmp_path: Path) -> None:
    """A known name does not make up for parts that are not known."""
    model = in_memory("llama", modified(transformers.LlamaModel, "LlamaBiModel"), tmp_path / "m")
    model.rotary_emb = type("NoRotary", (type(model.rotary_emb),), {"__module__": "somewhere"})(model.config)
    with pytest.raises(ModelFormatError, match="somewhere"):
        Teacher.from_transformers(model, backend="flax")
    bert = transformers.BertModel(transformers.BertConfig(vocab_size=35, hidden_size=24, num_attention_heads=3))
    bert.encoder.layer[0].attention.self = type("Linear", (torch.nn.Module,), {"__module__": "elsewhere"})()
    with pytest.raises(ModelFormatError, match=r"elsewhere\.Linear"):
        Teacher.from_transformers(bert, backend="flax")


def test_settings_that_pytorch_leaves_out_too(tmp_path: Path) -> None:
    folder = rewritten(random_teacher("bert", tmp_path / "m"), position_embedding_type="relative_key")
    for backend in ("auto", "flax", "torch"):
        with pytest.raises(ModelFormatError, match=r"config\.json: .*position_embedding_type"):
            Teacher.from_pretrained(folder, backend=backend)


def test_devices_of_pytorch(tmp_path: Path) -> None:
    folder = random_teacher("bert", tmp_path / "m")
    expected = Teacher.from_pretrained(folder).encode(TEXTS)
    for device in (torch.device("cpu"), torch.device("cpu", 0), "CPU", "auto"):
        for backend in ("flax", "torch"):
            found = Teacher.from_pretrained(folder, device=device, backend=backend).encode(TEXTS)
            np.testing.assert_allclose(found, expected, atol=1e-5)
    meta = Teacher.from_pretrained(folder, device="meta", backend="torch")  # PyTorch's alone: JAX takes its own
    assert meta.placement.mesh.size >= 1
    with pytest.raises(InvalidInputError, match="JAX has here"):
        Teacher.from_pretrained(folder, device="meta")
    for device in ("warp", "cuda:99", "xpu"):
        with pytest.raises(InvalidInputError, match="PyTorch has"):
            Teacher.from_pretrained(folder, device=device, backend="torch")
