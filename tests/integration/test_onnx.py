"""Live: exports to ONNX in fastembed and in transformers.js (nox -s integrations; the latter with M2V_NODE)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("default")]  # the libraries warn of their own parts

if find_spec("onnx") is None:
    pytest.skip("needs onnx: nox -s integrations", allow_module_level=True)

from conftest import DATA, make_model
from m2v_core import StaticModel
from m2v_core.onnx import export_onnx
from m2v_core.onnx.tokenizer import FILLER
from node import run_node
from onnx_exports import pipeline, texts_of, variant
from tokenizer_files import KINDS

Ran = Callable[..., None]

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def student(minilm_student: Path) -> StaticModel:
    return StaticModel.from_pretrained(minilm_student, quantize_to="float32")


@pytest.fixture(scope="module")
def texts(own_data: Path) -> list[str]:
    """Real texts where there are any."""
    return texts_of(DATA if DATA.is_dir() else own_data)


@pytest.fixture
def transformers_js(node_modules: Path) -> str:
    """Its version, or the test is skipped."""
    return str(json.loads((node_modules / "@huggingface/transformers/package.json").read_text())["version"])


@pytest.mark.parametrize("pooling", ["MEAN", "DISABLED"])
@pytest.mark.parametrize("name", ["float32", "int8"])
def test_fastembed(name: str, pooling: str, student: StaticModel, texts: list[str], tmp_path: Path, ran: Ran) -> None:
    """A custom model: the mean of its first output, or the output that is named."""
    fastembed = pytest.importorskip("fastembed", reason="needs fastembed: nox -s integrations")
    from fastembed.common.model_description import ModelSource, PoolingType

    student = variant(student, name)
    export_onnx(student, tmp_path)
    known = f"test/{name}-{pooling}".lower()
    fastembed.TextEmbedding.add_custom_model(
        model=known,
        pooling=PoolingType[pooling],
        normalization=False,
        sources=ModelSource(hf=known),
        dim=student.dim,
        model_file="onnx/model.onnx",
        **({} if pooling == "MEAN" else {"output_name": "sentence_embedding"}),
    )
    found = np.stack(
        list(fastembed.TextEmbedding(known, specific_model_path=str(tmp_path)).embed(texts, batch_size=32))
    )
    difference = float(np.abs(found - student.encode(texts)).max())
    assert difference < TOLERANCE
    if name == "float32":
        ran("fastembed", f"add_custom_model, PoolingType.{pooling}", difference)


EXTRACT = """
import { AutoModel, AutoTokenizer, pipeline } from "@huggingface/transformers";
import fs from "fs";
const texts = JSON.parse(fs.readFileSync("texts.json"));
const extract = await pipeline("feature-extraction", "m");
const tokenizer = await AutoTokenizer.from_pretrained("m");
const model = await AutoModel.from_pretrained("m");
const pooled = [], given = [];
for (let i = 0; i < texts.length; i += 32) {
  const some = texts.slice(i, i + 32);
  pooled.push(...(await extract(some, { pooling: "mean" })).tolist());
  const inputs = tokenizer(some, { padding: true, truncation: true });
  given.push(...(await model(inputs)).sentence_embedding.tolist());
}
const single = (await extract("", { pooling: "mean" })).tolist();
console.log(JSON.stringify({ pooled, given, single }));
"""


@pytest.mark.parametrize("name", ["float32", "float16", "int8"])
def test_feature_extraction(
    name: str,
    student: StaticModel,
    texts: list[str],
    tmp_path: Path,
    node_modules: Path,
    transformers_js: str,
    ran: Ran,
) -> None:
    model = variant(student, name)
    export_onnx(model, tmp_path / "models/m")
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    found = json.loads(run_node(EXTRACT, tmp_path, node_modules))
    expected = model.encode(texts)
    differences = [float(np.abs(np.array(found[way]) - expected).max()) for way in ("pooled", "given")]
    assert max(differences) < TOLERANCE
    assert not np.any(found["single"])
    if name == "float32":
        ran("transformers.js", 'pipeline("feature-extraction")', max(differences), transformers_js)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_tokenizers_in_javascript(
    kind: str, own_data: Path, tmp_path: Path, node_modules: Path, transformers_js: str
) -> None:
    """Each kind of tokenizer, truncated at few tokens."""
    model = make_model(kind, max_length=20)
    export_onnx(model, tmp_path / "models/m")
    texts = [text for text in texts_of(own_data, 60) if text != FILLER]
    if kind == "wordlevel":  # transformers.js splits at white space and punctuation by ASCII alone
        texts = [text for text in texts if text.isascii()]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    found = json.loads(run_node(EXTRACT, tmp_path, node_modules))
    np.testing.assert_allclose(found["given"], model.encode(texts), atol=TOLERANCE)


CLASSIFY = """
import { pipeline } from "@huggingface/transformers";
import fs from "fs";
const classify = await pipeline("text-classification", "m");
console.log(JSON.stringify(await classify(JSON.parse(fs.readFileSync("texts.json")), { top_k: 3 })));
"""


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_text_classification(
    activation: str, tmp_path: Path, node_modules: Path, transformers_js: str, ran: Ran
) -> None:
    model = pipeline(activation)
    export_onnx(model, tmp_path / "models/m")
    texts = ["good day!", "", "bad 🙂 days"]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    found: list[Any] = json.loads(run_node(CLASSIFY, tmp_path, node_modules))
    difference = 0.0
    for row, expected in zip(found, model.predict_proba(texts), strict=True):
        scores = {guess["label"]: guess["score"] for guess in row}
        difference = max(difference, float(np.abs([scores[label] for label in "abc"] - expected).max()))
    assert difference < TOLERANCE
    if activation == "softmax":
        ran("transformers.js", 'pipeline("text-classification")', difference, transformers_js)


#: As published for the peer's older exports; texts and the model's name are ours, and the inputs have their names.
OFFSETS = """
import { AutoModel, AutoTokenizer, Tensor } from "@huggingface/transformers";
import fs from "fs";
const modelName = "m";
const model = await AutoModel.from_pretrained(modelName, { config: { model_type: "model2vec" }, dtype: "fp32" });
const tokenizer = await AutoTokenizer.from_pretrained(modelName);
const texts = JSON.parse(fs.readFileSync("texts.json"));
const { input_ids } = await tokenizer(texts, { add_special_tokens: false, return_tensor: false });
const cumsum = (arr) => arr.reduce((acc, num, i) => [...acc, num + (acc[i - 1] || 0)], []);
const offsets = [0, ...cumsum(input_ids.slice(0, -1).map((x) => x.length))];
const flattened_input_ids = input_ids.flat();
const { embeddings } = await model({
  input_ids: new Tensor("int64", flattened_input_ids, [flattened_input_ids.length]),
  offsets: new Tensor("int64", offsets, [offsets.length]),
});
console.log(JSON.stringify(embeddings.tolist()));
"""


def test_offsets(
    student: StaticModel, texts: list[str], tmp_path: Path, node_modules: Path, transformers_js: str, ran: Ran
) -> None:
    export_onnx(student, tmp_path / "models/m", form="offsets")
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    found = json.loads(run_node(OFFSETS, tmp_path, node_modules))
    difference = float(np.abs(np.array(found) - student.encode(texts)).max())
    assert difference < TOLERANCE
    ran("transformers.js", "AutoModel with input_ids and offsets", difference, transformers_js)


def test_the_page(tmp_path: Path, node_modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of docs/exporting.md that needs fastembed, or node."""
    pytest.importorskip("fastembed", reason="needs fastembed: nox -s integrations")
    text = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text(encoding="utf-8")
    (python,) = re.findall(r"```python\n(from fastembed .*?)```", text, re.DOTALL)
    (javascript,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    model = make_model(normalize=True)
    export_onnx(model, "exported")
    expected = model.encode(["A fine day.", "It rains.", ""])
    names: dict[str, Any] = {"model": model}
    exec(python, names)  # noqa: S102
    np.testing.assert_allclose(np.stack(names["vectors"]), expected, atol=TOLERANCE)
    shown = run_node(javascript.replace("vectors.tolist()", "JSON.stringify(vectors.tolist())"), tmp_path, node_modules)
    np.testing.assert_allclose(json.loads(shown), expected, atol=TOLERANCE)
