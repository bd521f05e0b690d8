"""Live: m2v-distill[torch], transformers' own PyTorch models behind the same interface (nox -s parity)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and sentence-transformers: nox -s parity")
pytest.importorskip("sentence_transformers", reason="needs PyTorch and sentence-transformers: nox -s parity")

import transformers
from safetensors.torch import load_file, save_file

from m2v_core import InvalidInputError, ModelFormatError
from m2v_distill import Teacher, distill, distill_from_model
from m2v_distill.teacher.tokenizer import read_tokenizer
from random_teachers import random_teacher, with_tokenizer
from tokenizer_files import wordpiece

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]  # PyTorch warns of its own parts

TEXTS = ["good day", "", "Bad, sunny days!", "a b c " * 9, "good good"]
SIZES = {"vocab_size": 35, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
#: Architectures that we lack.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"vocab_size": 35, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 40}),
    "big_bird": ("BigBird", {**SIZES, "max_position_embeddings": 40, "block_size": 4}),
    "funnel": (
        "Funnel",
        {"vocab_size": 35, "d_model": 24, "n_head": 3, "d_head": 8, "d_inner": 40, "block_sizes": [1, 1]},
    ),
    "xlnet": ("XLNet", {"vocab_size": 35, "d_model": 24, "n_layer": 2, "n_head": 3, "d_inner": 40}),
    "longformer": (
        "Longformer",
        {**SIZES, "max_position_embeddings": 42, "attention_window": [4, 4], "pad_token_id": 1},
    ),
    "bart": (
        "Bart",
        {
            "vocab_size": 35,
            "d_model": 24,
            "max_position_embeddings": 40,
            "pad_token_id": 0,
            **{
                f"{side}_{key}": value
                for side in ("encoder", "decoder")
                for key, value in (("layers", 2), ("attention_heads", 3), ("ffn_dim", 40))
            },
        },
    ),
}


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}", end="")


def other(model_type: str, folder: Path) -> Path:
    name, options = OTHERS[model_type]
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    return with_tokenizer(folder, wordpiece(), model_max_length=30)


@pytest.mark.parametrize(
    "case", ["bert", "roberta", "distilbert", "mpnet", "deberta-v3", "t5", "modernbert", "llama", "gemma3"]
)
def test_both_backends(case: str, tmp_path: Path, capsys) -> None:
    folder = random_teacher(case, tmp_path / "m", model_max_length=36)
    worst = 0.0
    poolings = ["mean", "first", "last", "max", "mean_sqrt_len_tokens", "weightedmean"]
    for pooling in [*poolings, "pooler"] if case in ("bert", "roberta", "mpnet") else poolings:
        one, two = (Teacher.from_pretrained(folder, backend=name, pooling=pooling) for name in ("flax", "torch"))
        assert (one.hidden_size, one.vocab_size, one.has_pooler) == (two.hidden_size, two.vocab_size, two.has_pooler)
        assert two.max_length == (one.max_length or two.max_length)
        expected = one.encode(TEXTS)
        worst = max(worst, float(np.abs(two.encode(TEXTS) - expected).max()))
        narrow = Teacher.from_pretrained(folder, backend="torch", pooling=pooling, precision="bfloat16").encode(TEXTS)
        assert 0 < np.abs(narrow - expected).max() < 0.2 * np.abs(expected).max()
    report(capsys, f"{case:12} Flax and PyTorch: largest error {worst:.1e}")
    assert worst <= 1e-4


@pytest.mark.parametrize("pooling", ["mean", "first", "last", "pooler", None])
def test_both_backends_on_the_real_teacher(pooling: Any, minilm: Path, capsys) -> None:
    one, two = (Teacher.from_pretrained(minilm, backend=name, pooling=pooling) for name in ("flax", "torch"))
    error = float(np.abs(two.encode(TEXTS) - one.encode(TEXTS)).max())
    report(capsys, f"MiniLM, pooling={pooling}: Flax and PyTorch: largest error {error:.1e}")
    assert error <= 1e-5


@pytest.mark.parametrize("model_type", OTHERS)
def test_architectures_that_we_lack(model_type: str, tmp_path: Path, capsys) -> None:
    from sentence_transformers import SentenceTransformer

    folder = other(model_type, tmp_path / "m")
    with pytest.raises(ModelFormatError, match="m2v-distill computes"):
        Teacher.from_pretrained(folder, backend="flax")
    teacher = Teacher.from_pretrained(folder)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    error = float(np.abs(teacher.encode(TEXTS) - expected).max())
    report(capsys, f"{model_type:12} by PyTorch, and sentence-transformers: largest error {error:.1e}")
    assert error <= 1e-4
    assert np.ptp(expected, axis=0).max() > 0.01
    by_path = distill(folder, pca_dims=8, quantize_to="float32", precision="float32")
    model = transformers.AutoModel.from_pretrained(folder).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    in_memory = distill_from_model(
        model, read_tokenizer(folder), pca_dims=8, quantize_to="float32", precision="float32"
    )
    np.testing.assert_allclose(by_path.encode(TEXTS), in_memory.encode(TEXTS), atol=1e-5)
    assert model.training
    assert all((before[name] == tensor).all() for name, tensor in model.state_dict().items())


def test_a_model_with_a_head(tmp_path: Path) -> None:
    other("big_bird", tmp_path / "m")
    headed = transformers.BigBirdForMaskedLM.from_pretrained(tmp_path / "m")
    one, two = (
        distill_from_model(m, read_tokenizer(tmp_path / "m"), quantize_to="float32", pca_dims=8)
        for m in (headed, headed.bert)
    )
    np.testing.assert_allclose(one.encode(TEXTS), two.encode(TEXTS), atol=1e-6)


def test_a_model_in_memory_has_no_tokenizer(tmp_path: Path) -> None:
    config = transformers.BertConfig(**SIZES, max_position_embeddings=40)
    for backend in ("flax", "torch"):
        teacher = Teacher.from_transformers(transformers.BertModel(config), backend=backend)
        with pytest.raises(InvalidInputError, match="without a tokenizer"):
            teacher.encode("good")


def test_longest_sequences(tmp_path: Path) -> None:
    """RoBERTa's kin keep the first positions free."""
    assert Teacher.from_pretrained(other("longformer", tmp_path / "l")).max_length == 40
    assert Teacher.from_pretrained(other("gpt2", tmp_path / "g")).max_length == 40
    assert Teacher.from_pretrained(other("xlnet", tmp_path / "x")).max_length is None
    assert Teacher.from_pretrained(random_teacher("roberta", tmp_path / "r"), backend="torch").max_length == 38


CODE = """
from pathlib import Path
Path(__file__).with_name("was-run").write_text("")
Path({marker!r}).write_text("")
from transformers import BertConfig, BertModel
class OwnConfig(BertConfig):
    model_type = "own"
class OwnModel(BertModel):
    config_class = OwnConfig
"""


@pytest.mark.parametrize("model_type", ["own", "bert"])
def test_code_of_a_folder_is_not_run_unless_asked(model_type: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    folder, marker = random_teacher("bert", tmp_path / "m"), tmp_path / "was-run"
    (folder / "modeling_own.py").write_text(CODE.format(marker=str(marker)))
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": model_type, "auto_map": own}))
    for backend in ("auto", "flax", "torch"):
        with pytest.raises(ModelFormatError, match=r"modeling_own\.OwnModel.*auto_map.*trust_remote_code"):
            Teacher.from_pretrained(folder, backend=backend)
    assert Teacher.from_pretrained(folder, compute_as="bert").encode("good").shape == (24,)
    assert not marker.exists()
    trusted = Teacher.from_pretrained(folder, backend="torch", trust_remote_code=True)
    assert marker.exists()
    monkeypatch.undo()
    (folder / "config.json").write_text(json.dumps(config))
    np.testing.assert_allclose(trusted.encode("good"), Teacher.from_pretrained(folder).encode("good"), atol=1e-5)


def test_pickled_weights(tmp_path: Path) -> None:
    folder = other("gpt2", tmp_path / "m")
    expected = Teacher.from_pretrained(folder).encode(TEXTS)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    for backend in ("auto", "torch"):
        assert np.array_equal(Teacher.from_pretrained(folder, backend=backend).encode(TEXTS), expected)


def test_weights_that_are_missing(tmp_path: Path) -> None:
    """transformers makes them up, with a note."""
    folder = random_teacher("bert", tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    pooler = {name for name in tensors if name.startswith("pooler.")}
    save_file({name: tensors[name] for name in set(tensors) - pooler}, folder / "model.safetensors", {"format": "pt"})
    teacher = Teacher.from_pretrained(folder, backend="torch")
    assert not teacher.has_pooler
    with pytest.raises(InvalidInputError, match="has no pooler"):
        teacher.pooled("pooler")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelFormatError, match=r"not found: encoder\.layer\.1\.output\.dense\.weight\."):
        Teacher.from_pretrained(folder, backend="torch")


def test_a_device_that_pytorch_lacks(tmp_path: Path) -> None:
    model = transformers.BertModel(transformers.BertConfig(**SIZES, max_position_embeddings=40))
    with pytest.raises(InvalidInputError, match="device"):
        Teacher.from_transformers(model, backend="torch", device="warp")
