"""Exports to ONNX, run by onnxruntime with the exported tokenizer, against Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs onnx and onnxruntime: nox -s tests")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime: nox -s tests")

from commands import m2v
from conftest import GOLDEN, make_model
from m2v_core import (
    InvalidInputError,
    Layer,
    MissingPackageError,
    MLPHead,
    StaticModel,
    StaticModelPipeline,
    quantize_model,
)
from m2v_core.compat.onnx import export_model_to_onnx
from m2v_core.onnx import FORMS, add_onnx, export_onnx, onnx_model
from m2v_core.onnx import graph as graph_module
from m2v_core.onnx.tokenizer import FILLER
from m2v_core.tokenize.vocabulary import Vocabulary
from onnx_exports import AWKWARD, VARIANTS, padded, pipeline, run, texts_of, variant
from tokenizer_files import SPACES, wordpiece

TOLERANCE = 1e-5


def session_of(model: StaticModel | StaticModelPipeline, form: str = "tokens") -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        onnx_model(model, form=form).SerializeToString(), providers=["CPUExecutionProvider"]
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


@pytest.mark.parametrize("normalize", [False, True], ids=["mean", "unit"])
@pytest.mark.parametrize("name", VARIANTS)
def test_vectors_are_those_of_python(name: str, normalize: bool, tmp_path: Path, data: Path) -> None:
    """Both outputs: the text's vector, and the mean of its tokens' over the mask."""
    model = variant(make_model(normalize=normalize), name)
    export_onnx(model, tmp_path / "m")
    texts = texts_of(data)
    found, expected = run(tmp_path / "m", texts), model.encode(texts)
    assert found["sentence_embedding"].dtype == np.float32
    np.testing.assert_allclose(found["sentence_embedding"], expected, atol=TOLERANCE)
    np.testing.assert_allclose(found["token_embeddings"], expected, atol=TOLERANCE)
    assert not found["sentence_embedding"][: AWKWARD.index("🙂") + 1].any()


@pytest.mark.parametrize("max_length", [7, 512])
@pytest.mark.parametrize("kind", sorted(SPACES))
def test_every_tokenizer(kind: str, max_length: int, tmp_path: Path, own_data: Path) -> None:
    """Only a text with few known tokens among the first `4 * max_length` may have another vector."""
    tokenizer = SPACES[kind]()
    table = np.random.default_rng(0).normal(size=(len(Vocabulary.from_json(tokenizer).tokens), 4)).astype("float32")
    model = StaticModel(table, tokenizer, max_length=max_length)
    export_onnx(model, tmp_path / "m")
    texts = [text for text in texts_of(own_data, 90) if text != FILLER]
    found = run(tmp_path / "m", texts)["sentence_embedding"]
    same = np.ones(len(texts), bool)
    for text, ids in enumerate(model._tokenizer.with_unknown(texts)):
        known = ids != model.unk_token_id
        same[text] = known[: 4 * max_length].sum() >= min(known.sum(), max_length)
    np.testing.assert_allclose(found[same], model.encode(texts)[same], atol=TOLERANCE)
    assert same.all() or max_length == 7


def test_settings_for_other_programs(tmp_path: Path) -> None:
    """A vocabulary with a special unknown token keeps its tokens; another gets one more."""
    for kind, filler, index in (("wordpiece", "[UNK]", 1), ("wordlevel", FILLER, 4)):
        model = make_model(kind, normalize=True, base_model_name="org/teacher")
        export_onnx(model, tmp_path / kind)
        config = json.loads((tmp_path / kind / "config.json").read_text())
        expected = {"pad_token_id": index, "normalize": True, "max_length": 512, "base_model": "org/teacher"}
        assert config.items() >= expected.items()
        assert config["transformers.js_config"] == {"dtype": "fp32"}
        settings = json.loads((tmp_path / kind / "tokenizer_config.json").read_text())
        assert (settings["pad_token"], settings["model_max_length"]) == (filler, 2049)
        (token,) = json.loads((tmp_path / kind / "special_tokens_map.json").read_text()).values()
        assert token["content"] == filler
        assert padded(tmp_path / kind, [""])["input_ids"].tolist() == [[index]]
        assert model.tokenize("good day") == padded(tmp_path / kind, ["good day"])["input_ids"][0, :-1].tolist()


@pytest.mark.parametrize("normalize", [False, True])
def test_token_vectors(normalize: bool) -> None:
    """Of tokens that do not count it is the text's; padding has zeros, and ids there may be any."""
    model = make_model(max_length=3, normalize=normalize)
    ids = np.array([[4, 1, 5, 6, 7, 10_000]])
    mask = np.array([[1, 1, 1, 1, 1, 0]])
    tokens, text = session_of(model).run(None, {"input_ids": ids, "attention_mask": mask})
    rows = model.embedding[[4, 5, 6]]
    rows = rows / np.linalg.norm(rows.mean(axis=0)) if normalize else rows
    np.testing.assert_allclose(text[0], rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(tokens[0, [0, 2, 3]], rows, atol=1e-6)
    np.testing.assert_array_equal(tokens[0, [1, 4]], text[[0, 0]])
    assert not tokens[0, 5].any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_nothing_at_all(shape: tuple[int, int]) -> None:
    inputs = dict.fromkeys(("input_ids", "attention_mask"), np.zeros(shape, np.int64))
    tokens, texts = session_of(make_model(normalize=True)).run(None, inputs)
    assert tokens.shape == (*shape, 8)
    np.testing.assert_array_equal(texts, np.zeros((shape[0], 8)))


def test_rows_that_are_not_finite_do_not_spoil_texts_without_them() -> None:
    model = make_model(normalize=True)
    table = model.embedding.copy()
    table[0], table[model.unk_token_id] = np.nan, np.inf
    model = StaticModel(table, model.stored.tokenizer_json, normalize=True)
    ids, mask = np.array([[4, 1, 0, 0]]), np.array([[1, 1, 0, 0]])
    tokens, texts = session_of(model).run(None, {"input_ids": ids, "attention_mask": mask})
    assert np.isfinite(tokens).all()
    np.testing.assert_allclose(texts[0], unit(table[4]), atol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
def test_offsets(normalize: bool, own_data: Path) -> None:
    """Flat ids, as older exports of model2vec take them; texts of no tokens, and no texts."""
    model = make_model(normalize=normalize, max_length=20)
    texts = texts_of(own_data)
    ids = model._tokenizer.with_unknown(texts)
    session = session_of(model, "offsets")
    (found,) = session.run(["embeddings"], {"input_ids": ids.values, "offsets": ids.offsets[:-1]})
    np.testing.assert_allclose(found, model.encode(texts), atol=TOLERANCE)
    none = np.zeros(0, np.int64)
    assert session.run(None, {"input_ids": none, "offsets": none})[0].shape == (0, 8)
    assert not session.run(None, {"input_ids": none, "offsets": np.zeros(2, np.int64)})[0].any()


HEADS = {
    "softmax": {},
    "sigmoid": {"activation": "sigmoid", "classes": (1, 2, 3)},
    "identity": {"activation": "identity", "classes": None},
    "two hidden layers": {"widths": (8, 6, 5, 2), "classes": (False, True)},
    "no layers": {"widths": (8,), "activation": "identity", "classes": None},
}


def test_without_a_limit(tmp_path: Path) -> None:
    model, text = make_model(max_length=None), "unable ✨ " * 3000 + "good"
    export_onnx(model, tmp_path / "m")
    np.testing.assert_allclose(run(tmp_path / "m", [text])["sentence_embedding"], model.encode([text]), atol=TOLERANCE)


@pytest.mark.parametrize("head", HEADS)
def test_heads(head: str, tmp_path: Path, own_data: Path) -> None:
    model = pipeline(**HEADS[head])
    export_onnx(model, tmp_path / "m")
    texts = texts_of(own_data, 100)
    found, vectors = run(tmp_path / "m", texts), model.model.encode(texts)
    np.testing.assert_allclose(found["logits"], model.head.logits(vectors), atol=TOLERANCE)
    config = json.loads((tmp_path / "m/config.json").read_text())
    if model.classes_ is None:
        assert "probabilities" not in found
        assert "id2label" not in config
        return
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(texts), atol=TOLERANCE)
    labels = [str(label) for label in model.classes_.tolist()]
    assert config["id2label"] == {str(index): label for index, label in enumerate(labels)}
    several = model.head.activation == "sigmoid"
    assert config["problem_type"] == ("multi" if several else "single") + "_label_classification"


def test_heads_in_other_forms() -> None:
    offsets = {"input_ids": np.array([4, 5, 6]), "offsets": np.array([0, 2])}
    padded_ids = {"input_ids": np.array([[4, 5], [6, 0]]), "attention_mask": np.array([[1, 1], [1, 0]])}
    for name, output in (("softmax", "probabilities"), ("sigmoid", "probabilities"), ("identity", "predictions")):
        model = pipeline(**HEADS[name])
        vectors = np.stack([unit(model.model.embedding[row].sum(axis=0)) for row in ([4, 5], [6])])
        expected = model.head.probabilities(model.head.logits(vectors))
        session = session_of(model, "model2vec")
        assert [found.name for found in session.get_outputs()] == [output]
        np.testing.assert_allclose(session.run(None, padded_ids)[0], expected, atol=TOLERANCE)
        flat = session_of(model, "offsets")
        names = [found.name for found in flat.get_outputs()]
        assert names == ["embeddings", "logits", "probabilities"][: 2 + (output == "probabilities")]
        np.testing.assert_allclose(flat.run(None, offsets)[-1], expected, atol=TOLERANCE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("head", [False, True])
def test_the_file(form: str, head: bool) -> None:
    """Valid with all shapes, the same at each export, and without the machine's traces."""
    model = pipeline() if head else make_model(max_length=None)
    exported = onnx_model(model, form=form)
    onnx.checker.check_model(exported, full_check=True)
    assert (exported.ir_version, exported.opset_import[0].version) == (7, 13)
    assert exported.SerializeToString() == onnx_model(model, form=form).SerializeToString()
    assert exported.producer_name == "m2v-core"
    notes = {note.key: json.loads(note.value) for note in exported.metadata_props}
    classes = {"classes": ["a", "b", "c"]} if head else {}
    assert notes == {"normalize": head, "max_length": 512 if head else None, **classes}
    assert str(Path.home()).encode() not in exported.SerializeToString()
    types = {value.type.tensor_type.elem_type for value in exported.graph.output}
    assert types == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_tables_keep_their_bytes(dtype: str) -> None:
    model = quantize_model(make_model(), quantize_to=dtype)
    (table,) = [array for array in onnx_model(model).graph.initializer if array.name == "model.embeddings"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(table), model.embedding)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_real_student(normalize: bool, tmp_path: Path, minilm_student: Path, data: Path) -> None:
    model = StaticModel.from_pretrained(minilm_student, normalize=normalize)
    export_onnx(model, tmp_path / "m")
    texts = texts_of(data)
    found, expected = run(tmp_path / "m", texts), model.encode(texts)
    np.testing.assert_allclose(found["sentence_embedding"], expected, atol=TOLERANCE)
    np.testing.assert_allclose(found["token_embeddings"], expected, atol=TOLERANCE)


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    with pytest.raises(InvalidInputError, match="form should be one of tokens, offsets, model2vec; found 'token'"):
        onnx_model(model, form="token")
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(InvalidInputError, match="found a model in"):
        export_onnx(model, tmp_path / "model")
    monkeypatch.setattr(graph_module, "MAX_BYTES", 1000)
    with pytest.raises(InvalidInputError, match=r"at most 1,000 bytes; the model has [\d,]+ or more.*int8"):
        onnx_model(model)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'm2v-core\[onnx\]'"):
        onnx_model(model)


def test_an_export_replaces_an_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one step, and also where folders cannot be exchanged: in the working directory."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m/README.md").write_text("mine")
    export_onnx(pipeline(), tmp_path / "m")
    export_onnx(make_model("wordlevel"), tmp_path / "m")
    monkeypatch.chdir(tmp_path / "m")
    export_onnx(make_model("unigram"), ".")
    assert (tmp_path / "m/README.md").read_text() == "mine"
    model = make_model("unigram")
    np.testing.assert_allclose(run(tmp_path / "m", ["good"])["sentence_embedding"], model.encode(["good"]), atol=1e-6)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"])
def test_beside_a_model(kind: str, tmp_path: Path, own_data: Path) -> None:
    """The folder stays a model with the same vectors."""
    model = make_model(kind, normalize=True)
    model.save_pretrained(tmp_path / "m", compiled=True)
    add_onnx(tmp_path / "m")
    texts = texts_of(own_data, 100)
    again = StaticModel.from_pretrained(tmp_path / "m")
    assert not isinstance(again.stored.tokenizer, str)  # the compiled vocabulary is of the new file
    np.testing.assert_array_equal(again.encode(texts), model.encode(texts))
    assert (again.config.normalize, again.max_length) == (True, 512)
    assert json.loads((tmp_path / "m/tokenizer.json").read_text())["truncation"]["max_length"] == 512
    texts = [text for text in texts if "<pad>" not in text]  # which byte_bpe pads with
    np.testing.assert_allclose(run(tmp_path / "m", texts)["sentence_embedding"], model.encode(texts), atol=TOLERANCE)


def test_beside_a_model_without_special_tokens(tmp_path: Path) -> None:
    make_model("wordlevel").save_pretrained(tmp_path / "m")
    with pytest.raises(InvalidInputError, match=r"special token.*m2v export onnx"):
        add_onnx(tmp_path / "m")


def test_the_command(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "model")
    done = m2v("export", "onnx", tmp_path / "model", tmp_path / "out", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert Path(result["file"]).stat().st_size == result["bytes"]
    assert set(run(tmp_path / "out", ["good"])) == {"token_embeddings", "sentence_embedding", "logits", "probabilities"}
    done = m2v("export", "onnx", tmp_path / "model", tmp_path / "out", "--form", "offsets")
    assert (done.returncode, done.stdout) == (0, "")
    assert "model.onnx: " in done.stderr
    done = m2v("export", "onnx", tmp_path / "model", tmp_path / "model")
    assert done.returncode == 1
    assert "found a model" in done.stderr


@pytest.mark.parametrize("case", ["vectors", "probabilities"])
def test_as_model2vec_exports_it(case: str, tmp_path: Path) -> None:
    """The names, shapes and outputs of what model2vec 0.10 wrote for the same model."""
    golden = GOLDEN / "onnx" / case
    random, tokenizer = np.random.default_rng(0), wordpiece()
    table = random.normal(size=(len(Vocabulary.from_json(tokenizer).tokens), 6)).astype(np.float32)
    model: StaticModel | StaticModelPipeline = StaticModel(table, tokenizer, normalize=True)
    if case == "probabilities":
        layer = Layer(random.normal(size=(3, 6)).astype(np.float32), random.normal(size=3).astype(np.float32))
        model = StaticModelPipeline(model, MLPHead([layer], "softmax", ["a", "b", "c"]))
    export_model_to_onnx(model, tmp_path, source_model_name="org/model")
    ours, theirs = (onnx.load(folder / "model.onnx").graph for folder in (tmp_path, golden))
    for side in ("input", "output"):
        one, other = ([_signature(value) for value in getattr(graph, side)] for graph in (ours, theirs))
        assert one == other
    expected = json.loads((golden / "expected.json").read_text())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for inputs in (padded(tmp_path, expected["texts"]), padded(golden, expected["texts"])):
        np.testing.assert_allclose(session.run(None, inputs)[0], expected["outputs"], atol=TOLERANCE)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, int, list[int | None]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [axis.dim_value or None for axis in tensor.shape.dim]


def test_the_original_special_tokens_on_request(tmp_path: Path) -> None:
    model = make_model()
    export_model_to_onnx(model, tmp_path, False)
    ids = padded(tmp_path, ["good day"])["input_ids"]
    assert ids.tolist() == [[2, *model.tokenize("good day"), 3]]
