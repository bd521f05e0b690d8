"""What an ONNX file says of itself, and exports in transformers.js: with node and its package, or skipped."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cards import blocks, write_case
from conftest import GOLDEN
from m2v_core import ModelFormatError, load
from m2v_hub import card_for
from m2v_hub.onnx_file import Value, read_signature
from node import run_node

EXPORT = GOLDEN / "onnx/vectors/model.onnx"


@pytest.mark.parametrize(
    ("case", "output", "width"), [("vectors", "embeddings", 6), ("probabilities", "probabilities", 3)]
)
def test_inputs_and_outputs(case: str, output: str, width: int) -> None:
    inputs, outputs = read_signature(GOLDEN / "onnx" / case / "model.onnx")
    assert inputs == (Value("input_ids", (None, None)), Value("attention_mask", (None, None)))
    assert outputs == (Value(output, (None, width)),)


def test_what_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no protocol buffer")
    with pytest.raises(ModelFormatError, match=r"model\.onnx: expected an ONNX model"):
        read_signature(tmp_path / "model.onnx")


@given(data=st.data())
def test_damage_is_an_error(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cut anywhere, with any byte changed, or anything else: it is read, or an error of ours."""
    content, file = EXPORT.read_bytes(), tmp_path_factory.getbasetemp() / "damaged.onnx"
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = data.draw(st.sampled_from([
        content[:place],
        content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :],
        data.draw(st.binary(max_size=30)),
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + content[:100],
    ]))  # fmt: skip
    file.write_bytes(damaged)
    with suppress(ModelFormatError):
        read_signature(file)


def test_an_export_with_other_inputs_has_no_code(tmp_path: Path) -> None:
    """Old exports took ids and offsets, which transformers.js does not make; and without tokenizer files it cannot."""
    write_case("with-onnx", tmp_path / "m")
    assert "js" in dict(blocks(card_for(tmp_path / "m")))
    file = tmp_path / "m/onnx/model.onnx"
    file.write_bytes(file.read_bytes().replace(b"attention_mask", b"attention_task"))
    assert "js" not in dict(blocks(card_for(tmp_path / "m")))
    shutil.copy(EXPORT, file)
    (tmp_path / "m/tokenizer_config.json").unlink()
    card = card_for(tmp_path / "m")
    assert "js" not in dict(blocks(card))
    assert "onnx" not in card


@pytest.mark.parametrize("case", ["onnx-vectors", "onnx-probabilities", "with-onnx"])
def test_the_block_of_transformers_js(case: str, tmp_path: Path, node_modules: Path) -> None:
    """As it stands, but for where models come from, and other texts."""
    write_case(case, tmp_path / "models/org/m")
    golden = "vectors" if case == "with-onnx" else case.removeprefix("onnx-")
    expected = json.loads((GOLDEN / "onnx" / golden / "expected.json").read_text())
    found = run_block(tmp_path, node_modules, expected["texts"])
    np.testing.assert_allclose(found, expected["outputs"], atol=1e-5)


OUTPUTS = {"vectors": "sentence_embedding", "classes": "probabilities", "numbers": "logits"}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])
def test_our_exports(output: str, beside: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Alone in a folder, whose card knows what the model knows; and beside the model. Their code runs, with node."""
    pytest.importorskip("onnx", reason="needs onnx: nox -s tests")
    from m2v_core.onnx import add_onnx, export_onnx

    folder, texts = tmp_path / "models/org/m", ["good day, sunny!", "", "a bad 🙂 day"]
    write_case("composed" if output == "vectors" else output, tmp_path / "model")
    model = load(tmp_path / "model")
    if beside:
        shutil.copytree(tmp_path / "model", folder)
        add_onnx(folder)
    else:
        export_onnx(model, folder)
    card = card_for(folder, repo_id="org/m")
    assert "base_model: org/teacher" in card
    assert "| tokens of a text that count | 512 |" in card
    assert f"const {{ {OUTPUTS[output]} }} = await model(inputs);" in card
    assert ("library_name: transformers.js" in card) != beside
    if output == "vectors":
        expected = model.encode(texts)
    else:
        expected = model.predict_proba(texts) if output == "classes" else model.predict(texts)
    found = run_block(tmp_path, request.getfixturevalue("node_modules"), texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def run_block(tmp_path: Path, node_modules: Path, texts: list[str]) -> list[list[float]]:
    """What the code in the card of `models/org/m` prints, with models from there, and for these texts."""
    ((_, code),) = [block for block in blocks(card_for(tmp_path / "models/org/m", repo_id="org/m")) if block[0] == "js"]
    assert '["A fine day.", "It rains."]' in code
    code = code.replace('["A fine day.", "It rains."]', json.dumps(texts))
    code = code.replace("console.log(", "console.log(JSON.stringify(").replace(".tolist());", ".tolist()));")
    found: list[list[float]] = json.loads(run_node(code, tmp_path, node_modules))
    return found
