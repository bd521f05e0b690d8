"""`verify` with libraries made for the test, in processes of their own as the real ones are.

The real ones: `tests/integration/test_interop_calls.py`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import m2v
from conftest import make_model
from m2v_core import InvalidInputError, MissingPackageError, ModelNotFoundError, verification, verify

#: A library that encodes as we do, and then changes the vectors.
LIBRARY = f"""
import sys
sys.path.append({str(Path(verification.__file__).parents[1])!r})
import m2v_core, numpy as np
print("noise of an import")
class StaticModel:
    def __init__(self, folder, device=None):
        self.model = m2v_core.StaticModel.from_pretrained(folder)
    @classmethod
    def from_pretrained(cls, folder):
        return cls(folder)
    def encode(self, texts):
        vectors = self.model.encode(texts).astype(float)
        CHANGE
        return vectors
SentenceTransformer = StaticModel
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_model("unigram", normalize=True).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


FLOAT16 = {"dtype": "float16"}


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], version: str = "9.8.7") -> None:
    """Put libraries where new processes find them first, and ask no others."""
    for name, change in changes.items():
        module = name.replace("-", "_")
        (tmp_path / f"{module}-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (tmp_path / f"{module}-{version}.dist-info" / "METADATA").write_text(metadata)
        (tmp_path / f"{module}.py").write_text(LIBRARY.replace("CHANGE", change))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(verification, "READERS", {name: verification.READERS[name] for name in changes})


def test_the_same_vectors(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, {"model2vec": "vectors = vectors + 4e-6"})
    loaded = set(sys.modules)
    found = verify(folder)
    assert found.same
    (reading,) = found.readings
    assert (reading.reader, reading.version, reading.same, reading.problem) == ("model2vec", "9.8.7", True, None)
    assert reading.largest == pytest.approx(4e-6, rel=1e-3)
    assert reading.differences == ()
    assert not {name for name in set(sys.modules) - loaded if name.startswith("model2vec")}
    assert not verify(folder, tolerance=1e-6).same
    done = m2v("verify", folder)
    assert done.returncode == 0
    assert done.stdout == (
        "model2vec 9.8.7: the same vectors of 20 texts; largest difference 4.0e-06, tolerance 1.0e-05\n"
    )
    assert m2v("verify", folder, "--tolerance", "1e-6").returncode == 1


def test_other_vectors(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, {"model2vec": "vectors[0, 0] += 0.5; vectors[2] += 0.25; vectors[17] += 0.125"})
    done = m2v("verify", folder, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["texts"], found["tolerance"], found["same"]) == (20, 1e-5, False)
    (reading,) = found["readings"]
    assert reading["largest"] == pytest.approx(0.5)
    assert [(group["texts"], round(group["largest"], 3)) for group in reading["differences"]] == [(3, 0.5)]
    assert reading["differences"][0]["example"] == verification.TEXTS[0]
    assert "please report it" in reading["differences"][0]["reason"]
    shown = m2v("verify", folder).stdout
    assert "model2vec 9.8.7: other vectors of 3 of 20 texts; largest difference 5.0e-01" in shown
    assert "  3 texts, up to 5.0e-01, such as 'A good day begins with a cup of coffee.': m2v knows no reason" in shown


@pytest.mark.parametrize(
    ("reader", "version", "kind", "options", "text", "change", "reason", "expected"),
    [
        ("model2vec", "0.10.0", "wordpiece", FLOAT16, 2, "vectors[TEXT] += 5e-4", "averages a float16 table", True),
        ("model2vec", "0.10.0", "wordpiece", FLOAT16, 2, "vectors[TEXT] += 1e-2", "averages a float16 table", False),
        ("model2vec", "0.10.0", "wordpiece", {}, 2, "vectors[TEXT] += 1e-3", "no reason", False),
        ("model2vec", "0.10.0", "wordpiece", {}, 19, "vectors[TEXT] += 1e-1", "cuts long texts by characters", True),
        ("model2vec", "0.10.0", "wordpiece", {"max_length": None}, 19, "vectors[TEXT] += 1e-3", "no reason", False),
        ("sentence-transformers", "6.2", "bpe", {}, 2, "vectors[TEXT] += 1e-3", "no reason", False),
        ("sentence-transformers", "6.2", "unk", {}, 19, "vectors[TEXT] += 1e-1", "counts the unknown token", True),
        ("sentence-transformers", "6.2", "unk", {}, 4, "vectors[TEXT] += 1e-3", "no reason", False),
        ("sentence-transformers", "6.2", "unk", FLOAT16, 4, "vectors[TEXT] += 5e-4", "computes in float16", True),
        ("sentence-transformers", "6.2", "unk", FLOAT16, 4, "vectors[TEXT] += 1e-2", "computes in float16", False),
        ("sentence-transformers", "6.2", "unk", FLOAT16, 15, "vectors[TEXT] = np.nan", "divides 0 by 0", False),
    ],
)
def test_reasons(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reader: str,
    version: str,
    kind: str,
    options: dict[str, object],
    text: int,
    change: str,
    reason: str,
    expected: bool,
) -> None:
    model = make_model("wordpiece" if kind != "bpe" else "byte_bpe", **{"max_length": 512, **options})  # type: ignore[arg-type]
    if kind == "unk":  # as a student has it, so that sentence-transformers can read it
        table = model.embedding.copy()
        table[model.unk_token_id] = 0
        model = type(model)(table, model.stored.tokenizer_json, normalize=True)
    model.save_pretrained(tmp_path / "m")
    install(tmp_path, monkeypatch, {reader: change.replace("TEXT", str(text))}, version)
    found = verify(tmp_path / "m")
    (reading,) = found.readings
    assert [(group.texts, group.expected) for group in reading.differences] == [(1, expected)]
    assert reason in reading.differences[0].reason
    assert found.expected == reading.expected == expected
    assert not found.same
    done = m2v("verify", tmp_path / "m")
    assert done.returncode == (0 if expected else 1)
    assert (": as expected, " in done.stdout) == expected
    assert (reading.largest is None) == ("nan" in change)


def test_old_versions_ignore_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("wordpiece", weights=np.full(make_model("wordpiece").n_tokens, 2.0, np.float32))
    model.save_pretrained(tmp_path / "m")
    (tmp_path / "m" / "modules.json").write_text("[]")  # m2v writes none
    install(tmp_path, monkeypatch, {"sentence-transformers": "vectors = vectors / 2"}, "5.1.0")
    (reading,) = verify(tmp_path / "m").readings
    assert [group.reason for group in reading.differences] == ["versions before 6.2 ignore weights and mapping"]


def test_a_folder_that_is_not_for_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.ones(make_model().n_tokens, np.float32)
    make_model(weights=weights).save_pretrained(tmp_path / "m")
    install(tmp_path, monkeypatch, {"model2vec": "", "sentence-transformers": ""})
    found = verify(tmp_path / "m")
    assert found.same
    assert found.expected
    theirs, other = found.readings
    assert theirs.same
    assert (other.version, other.same, other.largest) == ("9.8.7", None, None)
    assert "without modules.json, because of weights" in (other.problem or "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("raise KeyError('gone')", "KeyError: 'gone'"),
        ("return vectors[:, :3]", r"vectors of shape \(20, 3\); m2v: \(20, 8\)"),
        ("import os; print('last words', file=sys.stderr, flush=True); os._exit(7)", "ended with 7: last words"),
    ],
)
def test_a_reader_that_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, problem: str
) -> None:
    install(tmp_path, monkeypatch, {"model2vec": change})
    found = verify(folder)
    assert not found.same
    assert not found.expected
    assert re.search(problem, found.readings[0].problem or "")
    assert m2v("verify", folder).returncode == 1


def test_nothing_to_compare_with(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "READERS", {"no-such-library": "", "nor-this-one": ""})
    with pytest.raises(
        MissingPackageError, match=r"Neither no-such-library nor nor-this-one is installed for .*python"
    ):
        verify(folder)
    done = m2v("verify", folder)
    assert done.returncode == 1
    assert "--python=" in done.stderr
    with pytest.raises(InvalidInputError, match=r"python should be a Python to run; found .*missing"):
        verify(folder, python=tmp_path / "missing")
    with pytest.raises(InvalidInputError, match="tolerance should be a number"):
        verify(folder, tolerance=float("nan"))
    with pytest.raises(ModelNotFoundError):
        verify(tmp_path)
