"""What an ONNX file says of itself, and exports in transformers.js: with node and its package, or skipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cards import blocks, write_case
from conftest import GOLDEN
from m2v_core import ModelFormatError
from m2v_hub import card_for
from m2v_hub.onnx_file import Value, read_signature

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


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where npm put transformers.js: `npm install --ignore-scripts @huggingface/transformers` in M2V_NODE's folder."""
    modules = Path(os.environ.get("M2V_NODE", "none")) / "node_modules"
    if shutil.which("node") is None or not (modules / "@huggingface/transformers").is_dir():
        pytest.skip("needs node, and M2V_NODE, a folder where npm has installed @huggingface/transformers")
    return modules.resolve()


@pytest.mark.parametrize("case", ["onnx-vectors", "onnx-probabilities", "with-onnx"])
def test_the_block_of_transformers_js(case: str, tmp_path: Path, node_modules: Path) -> None:
    """As it stands, but for where models come from, and other texts."""
    write_case(case, tmp_path / "models/org/m")
    ((_, code),) = [block for block in blocks(card_for(tmp_path / "models/org/m", repo_id="org/m")) if block[0] == "js"]
    golden = "vectors" if case == "with-onnx" else case.removeprefix("onnx-")
    expected = json.loads((GOLDEN / "onnx" / golden / "expected.json").read_text())
    local = (
        'import { env } from "@huggingface/transformers";\n'
        f"env.localModelPath = {json.dumps(str(tmp_path / 'models'))};\nenv.allowRemoteModels = false;\n"
    )
    assert '["A fine day.", "It rains."]' in code
    code = code.replace('["A fine day.", "It rains."]', json.dumps(expected["texts"]))
    code = code.replace("console.log(", "console.log(JSON.stringify(").replace(".tolist());", ".tolist()));")
    (tmp_path / "block.mjs").write_text(local + code, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(node_modules)
    done = subprocess.run(["node", "block.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected["outputs"], atol=1e-5)
