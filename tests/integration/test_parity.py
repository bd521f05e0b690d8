"""Live: our Flax teachers against PyTorch's, every hidden state, with padding in the batch (nox -s parity)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and transformers: nox -s parity")

import jax.numpy as jnp

from golden.families import CASES, TOLERANCE
from golden.make_teachers import make_batch, make_model, run
from m2v_distill import Teacher
from m2v_distill.forward import embed_sequences
from m2v_distill.hf import load_tokenizer
from m2v_distill.teacher.bert import relative_buckets

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]  # PyTorch warns of its own parts

LENGTHS = ((9, 1, 4), (38, 2, 17, 38), (5,))


def report(capsys: pytest.CaptureFixture[str], *columns: object) -> None:
    with capsys.disabled():
        print("\n" + "  ".join(f"{column:<18}" for column in columns), end="")


@pytest.mark.parametrize("case", CASES)
def test_every_hidden_state(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worst, scale = 0.0, 0.0
    for seed, lengths in enumerate(LENGTHS):
        model = make_model(case, seed)
        model.save_pretrained(tmp_path / f"{case}-{seed}")
        ids, mask = make_batch(model, lengths, seed, CASES[case].padding)
        real = mask.numpy()
        states, pooled = run(model, ids, mask)
        by_file = Teacher.from_pretrained(tmp_path / f"{case}-{seed}")
        ours = by_file.module.hidden_states(jnp.asarray(ids.numpy(), jnp.int32), jnp.asarray(mask.numpy()))
        assert len(ours) == len(states)
        for mine, theirs in zip(ours, states, strict=True):
            worst = max(worst, float(np.abs(np.asarray(mine) - theirs.numpy())[real].max()))
            scale = max(scale, float(theirs.abs().numpy()[real].max()))
        if pooled is not None:
            worst = max(worst, float(np.abs(np.asarray(by_file.module.pool(ours[-1])) - pooled.numpy()).max()))
        in_memory = Teacher.from_transformers(model)
        sequences = [row[keep].tolist() for row, keep in zip(ids, mask, strict=True)]
        one, other = (embed_sequences(teacher, sequences) for teacher in (by_file, in_memory))
        assert np.array_equal(one, other)
    report(capsys, case, f"largest error {worst:.1e}", f"largest value {scale:.1f}")
    assert worst <= TOLERANCE
    assert scale > 1


def test_relative_buckets_are_transformers() -> None:
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    places = np.arange(600)
    distance = places[None, :] - places[:, None]
    theirs = MPNetEncoder.relative_position_bucket(torch.from_numpy(distance), num_buckets=32)
    assert np.array_equal(relative_buckets(distance), theirs.numpy())


def test_the_real_teacher(minilm: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModel

    texts = (data / "te_emotion_val_text.txt").read_text(encoding="utf-8").splitlines()[:64]
    tokenizer = load_tokenizer(minilm)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    model = AutoModel.from_pretrained(minilm).eval()
    states, _ = run(model, batch["input_ids"], batch["attention_mask"].bool())
    teacher = Teacher.from_pretrained(minilm)
    ids, mask = (jnp.asarray(batch[name].numpy(), jnp.int32) for name in ("input_ids", "attention_mask"))
    ours = teacher.module.hidden_states(ids, mask.astype(bool))
    worst = max(float(np.abs(np.asarray(a) - b.numpy()).max()) for a, b in zip(ours, states, strict=True))
    report(capsys, "all-MiniLM-L6-v2", f"largest error {worst:.1e}")
    assert worst <= TOLERANCE
