"""Live: whole sentence transformers, our `Teacher.encode` against `SentenceTransformer.encode` (nox -s parity)."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch and sentence-transformers: nox -s parity")
pytest.importorskip("sentence_transformers", reason="needs PyTorch and sentence-transformers: nox -s parity")

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    Transformer,
)

from m2v_core import InvalidInputError, ModelFormatError
from m2v_distill import Teacher
from random_teachers import random_teacher

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]  # PyTorch warns of its own parts

WORDS = ["good", "day", "bad", "sunny", "Unable", "DAYS,", "a", "b!", "Day.", "jig", "日本", "é"]
TEXTS = ["", "a", "Good day", " ", "good " * 60] + [
    " ".join(np.random.default_rng(seed).choice(WORDS, size=1 + seed % 17)) for seed in range(60)
]
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
SHAPE = 24  # of the hidden states


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}", end="")


def compare(folder: Path, texts: Sequence[str] = TEXTS, *options: dict[str, str]) -> float:
    """The largest error, of vectors with numbers about 1; with each of these options, if there are any."""
    peer, teacher = SentenceTransformer(str(folder), device="cpu"), Teacher.from_pretrained(folder)
    return max(error_of(peer, teacher, texts, **option) for option in options or [{}])


def error_of(peer: SentenceTransformer, teacher: Teacher, texts: Sequence[str], **options: Any) -> float:
    theirs = peer.encode(list(texts), batch_size=256, **options)  # in one batch: it fails on one of empty texts alone
    ours = teacher.encode(texts, **options)
    assert ours.shape == theirs.shape
    scale = np.linalg.norm(theirs, axis=1)
    assert (scale > 0).mean() > 0.9
    cosines = (ours * theirs).sum(axis=1) / np.maximum(scale * np.linalg.norm(ours, axis=1), 1e-30)
    assert cosines[scale > 0].min() >= 0.99999
    error = float(np.abs(ours - theirs).max())
    assert error <= 1e-4
    return error


def save(folder: Path, encoder: Path, *modules: torch.nn.Module, **options: Any) -> Path:
    torch.manual_seed(0)
    for module in modules:
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    SentenceTransformer(modules=[Transformer(str(encoder)), *modules], device="cpu", **options).save(str(folder))
    return folder


def edit(path: Path, **changes: Any) -> None:
    raw = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**raw, **changes}))


@pytest.fixture(autouse=True)
def one_program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All texts of a tiny teacher in batches of one width: most of the time here goes into compiling one for each width.

    The real teacher has batches of several; tests/distill/test_families.py shows of every family that they change nothing.
    """
    if "minilm" not in request.fixturenames:
        monkeypatch.setattr("m2v_distill.teacher.engine.batching.PROGRAM", 1 << 30)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return random_teacher("bert", tmp_path / "encoder")


@pytest.mark.parametrize(
    ("case", "kind", "side"),
    [("bert", None, "right"), ("llama", "metaspace_bpe", "left"), ("qwen3", "metaspace_bpe", "right")],
)
def test_poolings(case: str, kind: str | None, side: str, tmp_path: Path, capsys) -> None:
    """Each alone, and several; the decoders' tokenizers add no special tokens, so that empty texts have no token."""
    more = {} if kind is None else {"pad_token": "<unk>"}
    teacher = random_teacher(case, tmp_path / "encoder", kind, padding_side=side, **more)
    found = {}
    for modes in [*POOLINGS, POOLINGS, ("lasttoken", "max"), ("mean", "cls")]:
        if kind is not None and {"cls", "max"} & {*([modes] if isinstance(modes, str) else modes)}:
            texts = [text for text in TEXTS if text]  # of no token they make -inf, or take padding
        else:
            texts = TEXTS
        folder = save(tmp_path / str(len(found)), teacher, Pooling(SHAPE, modes))
        found["+".join([modes] if isinstance(modes, str) else modes)] = compare(folder, texts)
    for name, error in found.items():
        report(capsys, f"{case:6} padded {side:5} {name:70} largest error {error:.1e}")


@pytest.mark.parametrize(
    ("case", "kind", "side"), [("bert", None, "right"), ("llama", "metaspace_bpe", "left"), ("qwen3", "llama3", "left")]
)
@pytest.mark.parametrize("counts", [True, False])
def test_prompts(case: str, kind: str | None, side: str, counts: bool, tmp_path: Path, capsys) -> None:
    more = {"pad_token": "<unk>"} if kind == "metaspace_bpe" else {}
    teacher = random_teacher(case, tmp_path / "encoder", kind, padding_side=side, **more)
    prompts = {"query": "good: ", "long": "sunny day, " * 9, "endless": "bad day! " * 30, "none": ""}
    worst = 0.0
    for number, modes in enumerate(["mean", "weightedmean", "lasttoken", "mean_sqrt_len_tokens", "cls", "max"]):
        pooling = Pooling(SHAPE, modes, include_prompt=counts)
        folder = save(tmp_path / f"{number}", teacher, pooling, prompts=prompts)
        texts = [text for text in TEXTS if text]
        options: list[dict[str, str]] = [{"prompt_name": name} for name in prompts]
        options += [{"prompt": "a sunny "}, {"prompt": ""}, {}]
        if modes in ("cls", "max") or not counts:  # nothing is left to pool
            options = [option for option in options if option.get("prompt_name") != "endless"]
        worst = max(worst, compare(folder, texts, *options))
        edit(folder / "config_sentence_transformers.json", default_prompt_name="long")
        worst = max(worst, compare(folder, texts, {}, {"prompt": ""}, {"prompt_name": "query"}))
    report(
        capsys, f"{case:6} padded {side:5} prompts that {'count' if counts else 'do not'}: largest error {worst:.1e}"
    )


def test_prompts_change_vectors(encoder: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", encoder, Pooling(SHAPE, "mean"), prompts={"query": "good: "})
    teacher = Teacher.from_pretrained(folder)
    assert np.abs(teacher.encode(TEXTS, prompt_name="query") - teacher.encode(TEXTS)).max() > 0.1
    with pytest.raises(InvalidInputError, match="found 'passage'"):
        teacher.encode(TEXTS, prompt_name="passage")


@pytest.mark.parametrize("act", ["Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid"])
def test_dense(act: str, encoder: Path, tmp_path: Path, capsys) -> None:
    function = getattr(torch.nn, act)()
    stacks = {
        "biases": [Dense(SHAPE, 16, activation_function=function)],
        "no biases": [Dense(SHAPE, 30, bias=False, activation_function=function)],
        "residual": [Dense(SHAPE, SHAPE, activation_function=function, use_residual=True)],
        "residual, other size": [Dense(SHAPE, 16, activation_function=function, use_residual=True)],
        "two": [
            Dense(SHAPE, 40, activation_function=function),
            Dense(40, 12, bias=False, activation_function=function),
        ],
    }
    for name, stack in stacks.items():
        error = compare(save(tmp_path / name, encoder, Pooling(SHAPE, "mean"), *stack))
        report(capsys, f"Dense {act:8} {name:22} largest error {error:.1e}")


def test_other_modules(encoder: Path, tmp_path: Path, capsys) -> None:
    def dense(inner: int = SHAPE) -> Dense:
        return Dense(inner, 16)

    stacks = {
        "Normalize": [Normalize()],
        "Dense, Normalize": [dense(), Normalize()],
        "Normalize, Dense": [Normalize(), dense()],
        "Normalize, Dense, Normalize": [Normalize(), dense(), Normalize()],
        "LayerNorm": [LayerNorm(SHAPE)],
        "LayerNorm, Dense, LayerNorm, Normalize": [LayerNorm(SHAPE), dense(), LayerNorm(16), Normalize()],
        "Dropout, Dense": [Dropout(0.5), dense()],
    }
    for name, stack in stacks.items():
        error = compare(save(tmp_path / name, encoder, Pooling(SHAPE, "mean"), *stack))
        report(capsys, f"{name:40} largest error {error:.1e}")
    both = save(tmp_path / "both", encoder, Pooling(SHAPE, ("cls", "mean")), dense(2 * SHAPE))
    report(capsys, f"{'two poolings, Dense':40} largest error {compare(both):.1e}")
    cut = save(tmp_path / "cut", encoder, Pooling(SHAPE, "mean"), Normalize(), truncate_dim=10)
    assert Teacher.from_pretrained(cut).encode("a").shape == (10,)
    report(capsys, f"{'truncate_dim':40} largest error {compare(cut):.1e}")


@pytest.mark.parametrize("kind", ["wordpiece_cased", "wordpiece", "unigram", "byte_bpe"])
def test_lower_case(kind: str, tmp_path: Path, capsys) -> None:
    folder = save(tmp_path / "m", random_teacher("bert", tmp_path / "encoder", kind), Pooling(SHAPE, "mean"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 30}))
    plain = Teacher.from_pretrained(folder).encode(TEXTS)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 30, "do_lower_case": True}))
    report(capsys, f"do_lower_case, {kind:15} largest error {compare(folder, [*TEXTS, 'İSTANBUL ΣΑΣ ẞ Ǆ']):.1e}")
    changed = np.abs(plain - Teacher.from_pretrained(folder).encode(TEXTS)).max()
    assert (changed > 0.1) == (kind != "wordpiece")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("case", "kind"), [("bert", None), ("roberta", None), ("llama", "metaspace_bpe")])
def test_long_texts(case: str, kind: str | None, side: str, tmp_path: Path, capsys) -> None:
    """Cut by `max_seq_length`, by the tokenizer's own length, or by the number of positions."""
    more = {} if kind is None else {"pad_token": "<unk>"}
    teacher = random_teacher(case, tmp_path / "encoder", kind, truncation_side=side, model_max_length=36, **more)
    folder = save(tmp_path / "m", teacher, Pooling(SHAPE, "mean"), prompts={"query": "good: "})
    options: list[dict[str, str]] = [{}, {"prompt_name": "query"}]
    worst = compare(folder, TEXTS, *options)
    uncut = Teacher.from_pretrained(folder).encode(TEXTS)
    settings: list[dict[str, Any]] = [{"max_seq_length": length} for length in (2, 3, 7, 30)]
    settings += [{"tokenizer_args": {"model_max_length": 9}}, {"processor_kwargs": {"model_max_length": 9}}]
    for changed in settings:
        (folder / "sentence_bert_config.json").write_text(json.dumps(changed))
        assert np.abs(Teacher.from_pretrained(folder).encode(TEXTS) - uncut).max() > 0.1
        worst = max(worst, compare(folder, TEXTS, *options))
    (folder / "sentence_bert_config.json").unlink()
    edit(folder / "tokenizer_config.json", model_max_length=10**30)
    if case != "roberta":  # sentence-transformers forgets that RoBERTa keeps two positions free, and fails
        worst = max(worst, compare(folder))
    report(capsys, f"{case:8} cut at the {side:5} largest error {worst:.1e}")


@pytest.mark.parametrize(
    "modes", [("pooling_mode_cls_token",), ("pooling_mode_max_tokens", "pooling_mode_mean_tokens")]
)
def test_old_folders(modes: tuple[str, ...], encoder: Path, tmp_path: Path, capsys) -> None:
    """As sentence-transformers 0.4 wrote them: the encoder in a folder of its own, a switch for each pooling."""
    size = SHAPE * len(modes)
    new = save(tmp_path / "new", encoder, Pooling(SHAPE, "mean"), Dense(size, 16) if size == SHAPE else Normalize())
    old = tmp_path / "old"
    shutil.copytree(encoder, old / "0_Transformer")
    (old / "0_Transformer/sentence_roberta_config.json").write_text('{"max_seq_length": 17}')
    shutil.copytree(new / "1_Pooling", old / "1_Pooling")
    switches = {name: name in modes for name in ("pooling_mode_mean_tokens", "pooling_mode_cls_token")}
    switches |= {
        "pooling_mode_max_tokens": "pooling_mode_max_tokens" in modes,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    (old / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": SHAPE, **switches}))
    names = ["Transformer", "Pooling", "Dense" if size == SHAPE else "Normalize"]
    paths = ["0_Transformer", "1_Pooling", f"2_{names[2]}"]
    shutil.copytree(new / paths[2], old / paths[2])
    listing = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}
        for index, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    (old / "modules.json").write_text(json.dumps(listing))
    report(capsys, f"old folder, {'+'.join(modes):50} largest error {compare(old):.1e}")


@pytest.mark.parametrize(
    "case", ["roberta", "distilbert", "mpnet", "albert", "deberta-v3", "t5", "modernbert", "gemma3"]
)
def test_families(case: str, tmp_path: Path, capsys) -> None:
    folder = save(
        tmp_path / "m", random_teacher(case, tmp_path / "encoder", model_max_length=36), Pooling(SHAPE, "mean")
    )
    report(capsys, f"{case:12} largest error {compare(folder):.1e}")


def test_what_sentence_transformers_computes_and_we_do_not(encoder: Path, tmp_path: Path) -> None:
    """Folders that it saved: each is refused by the name of the module, or of the setting."""
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling, WordWeights

    weights = WordWeights(["good", "day"], {"good": 2.0, "day": 1.0})
    layers = WeightedLayerPooling(SHAPE, num_hidden_layers=2)
    for name, module in {"WordWeights": weights, "WeightedLayerPooling": layers}.items():
        folder = save(tmp_path / name, encoder, module, Pooling(SHAPE, "mean"))
        with pytest.raises(ModelFormatError, match=name):
            Teacher.from_pretrained(folder)
        assert Teacher.from_pretrained(folder, pooling="mean").encode("a").shape == (SHAPE,)
    folder = save(tmp_path / "tokens", encoder, Pooling(SHAPE, "mean"), Normalize("token_embeddings"))
    with pytest.raises(ModelFormatError, match="token_embeddings"):
        Teacher.from_pretrained(folder)


def test_the_real_teacher(minilm: Path, data: Path, capsys) -> None:
    with (data / "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        texts = [row[0] for row in csv.reader(file)][:250]
    texts += (data / "te_emoji_train_text.txt").read_text(encoding="utf-8").splitlines()[:240]
    texts += [" ".join(texts[start : start + 40]) for start in range(10)]  # longer than 256 tokens
    assert len(texts) == 500
    report(capsys, f"MiniLM, 500 texts in {data.name}: largest error {compare(minilm, texts):.1e}")
