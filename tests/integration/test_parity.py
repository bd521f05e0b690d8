"""Live: our Flax teachers against PyTorch's, every hidden state, with padding in the batch (nox -s parity)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and transformers: nox -s parity")

import jax
import jax.numpy as jnp
from flax import nnx

from golden.families import CASES, TOLERANCE
from golden.make_teachers import make_batch, make_model, run
from m2v_distill import Teacher
from m2v_distill.teacher.nn.relative import relative_buckets, signed_log_buckets
from m2v_distill.teacher.transformers_io import load_tokenizer

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
        ours = by_file.encoder.hidden_states(jnp.asarray(ids.numpy(), jnp.int32), jnp.asarray(mask.numpy()))
        assert len(ours) == len(states)
        for mine, theirs in zip(ours, states, strict=True):
            worst = max(worst, float(np.abs(np.asarray(mine) - theirs.numpy())[real].max()))
            scale = max(scale, float(theirs.abs().numpy()[real].max()))
        if pooled is not None:
            worst = max(worst, float(np.abs(np.asarray(by_file.encoder.pool(ours[-1])) - pooled.numpy()).max()))
        weights = [nnx.state(teacher.encoder) for teacher in (by_file, Teacher.from_transformers(model))]
        assert jax.tree.all(jax.tree.map(np.array_equal, *weights))
    report(capsys, case, f"largest error {worst:.1e}", f"largest value {scale:.1f}")
    assert worst <= TOLERANCE
    assert scale > 1


def test_t5_beside_its_decoder(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(**CASES["t5"].options)).eval()
    model.save_pretrained(tmp_path)
    ids, mask = make_batch(model, LENGTHS[1])
    states, _ = run(model.encoder, ids, mask)
    for teacher in (Teacher.from_pretrained(tmp_path), Teacher.from_transformers(model)):
        ours = teacher.encoder.hidden_states(jnp.asarray(ids.numpy(), jnp.int32), jnp.asarray(mask.numpy()))
        for mine, theirs in zip(ours, states, strict=True):
            np.testing.assert_allclose(np.asarray(mine)[mask.numpy()], theirs[mask].numpy(), atol=TOLERANCE)


PLACES = np.arange(600)
DISTANCE = PLACES[None, :] - PLACES[:, None]


@pytest.mark.parametrize("shape", [(32, 128), (12, 20), (32, 512), (64, 100), (256, 2048)])
def test_relative_buckets_are_transformers(shape: tuple[int, int]) -> None:
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder
    from transformers.models.t5.modeling_t5 import T5Attention

    buckets, max_distance = shape
    ours = relative_buckets(DISTANCE, buckets=buckets, max_distance=max_distance)
    for bucket_of in (MPNetEncoder.relative_position_bucket, T5Attention._relative_position_bucket):
        theirs = bucket_of(torch.from_numpy(DISTANCE), num_buckets=buckets, max_distance=max_distance)
        assert np.array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("shape", [(256, 512), (8, 30), (7, 40), (64, 128), (2, 9), (512, 2048)])
def test_signed_log_buckets_are_transformers(shape: tuple[int, int]) -> None:
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    theirs = make_log_bucket_position(torch.from_numpy(DISTANCE), *shape)
    ours = signed_log_buckets(DISTANCE, buckets=shape[0], max_distance=shape[1])
    assert np.array_equal(ours, theirs.numpy().astype(np.int64))


def test_the_real_teacher(minilm: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModel

    texts = (data / "te_emotion_val_text.txt").read_text(encoding="utf-8").splitlines()[:64]
    tokenizer = load_tokenizer(minilm)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    model = AutoModel.from_pretrained(minilm).eval()
    states, _ = run(model, batch["input_ids"], batch["attention_mask"].bool())
    teacher = Teacher.from_pretrained(minilm)
    ids, mask = (jnp.asarray(batch[name].numpy(), jnp.int32) for name in ("input_ids", "attention_mask"))
    ours = teacher.encoder.hidden_states(ids, mask.astype(bool))
    worst = max(float(np.abs(np.asarray(a) - b.numpy()).max()) for a, b in zip(ours, states, strict=True))
    report(capsys, "all-MiniLM-L6-v2", f"texts in {data.name}: largest error {worst:.1e}")
    assert worst <= TOLERANCE
