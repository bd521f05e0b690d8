"""Old pipelines, as scikit-learn and skops wrote them; scikit-learn's own predictions are the oracle."""

from __future__ import annotations

import json
import sys
import warnings
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from conftest import make_model
from m2v_core import MissingPackageError, ModelFormatError, ModelNotFoundError, StaticModel, StaticModelPipeline
from m2v_train.legacy import convert_legacy_pipeline, head_of

skops_io = pytest.importorskip("skops.io")

TEXTS = ["good day", "bad", "sunny days!", "", "unable good", "day, day", "bad days"] * 3
VECTORS = make_model().encode(TEXTS)
RNG = np.random.default_rng(0)


def fitted(estimator: Any, y: Any, X: Any = VECTORS) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def legacy(folder: Path, estimator: Any) -> Path:
    make_model().save_pretrained(folder)
    skops_io.dump(estimator, folder / "pipeline.skops")
    return folder


def as_model2vec_did(classes: list[Any], *, multilabel: bool, n_layers: int = 1) -> Pipeline:
    """Fit on noise, put the trained weights in, and set what scikit-learn would have as several outputs."""
    pipeline = fitted(
        make_pipeline(MLPClassifier((5,) * n_layers, max_iter=2)), classes, RNG.normal(size=(len(classes), 8))
    )
    mlp = pipeline[-1]
    widths = [8, *[5] * n_layers, len(classes)]
    mlp.coefs_ = [RNG.normal(size=shape).astype("float32") for shape in pairwise(widths)]
    mlp.intercepts_ = [RNG.normal(size=width).astype("float32") for width in widths[1:]]
    mlp.n_outputs_ = len(classes)
    mlp.out_activation_ = "logistic" if multilabel else "softmax"
    return pipeline


MANY = np.array(["a", "b", "c"])[RNG.integers(0, 3, len(TEXTS))]
TWO = np.array(["no", "yes"])[np.arange(len(TEXTS)) % 2]
CLASSIFIERS = {
    "three": lambda: fitted(make_pipeline(MLPClassifier((6, 5), max_iter=9)), MANY),
    "numbers": lambda: fitted(make_pipeline(MLPClassifier((6,), max_iter=9)), RNG.integers(-1, 3, len(TEXTS))),
    "two": lambda: fitted(make_pipeline(MLPClassifier((6,), max_iter=9, solver="sgd")), TWO),
    "two, linear": lambda: fitted(make_pipeline(MLPClassifier((), max_iter=9, solver="lbfgs", activation="tanh")), TWO),
    "booleans": lambda: fitted(make_pipeline(MLPClassifier((6,), max_iter=9)), TWO == "no"),
    "bare": lambda: fitted(
        MLPClassifier((6,), max_iter=9, early_stopping=True, random_state=np.random.RandomState(1)), TWO
    ),
    "model2vec's": lambda: as_model2vec_did(["a", "b", "c"], multilabel=False),
    "model2vec's two": lambda: as_model2vec_did(["a", "b"], multilabel=False),
    "model2vec's, linear": lambda: as_model2vec_did([1, 2, 3], multilabel=False, n_layers=0),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes(name: str, tmp_path: Path) -> None:
    theirs = CLASSIFIERS[name]()
    ours = convert_legacy_pipeline(legacy(tmp_path / "old", theirs))
    ours.save_pretrained(tmp_path / "new")
    for pipeline in (ours, StaticModelPipeline.from_pretrained(tmp_path / "new")):
        assert pipeline.predict(TEXTS).tolist() == theirs.predict(VECTORS).tolist()
        np.testing.assert_allclose(pipeline.predict_proba(TEXTS), theirs.predict_proba(VECTORS), atol=1e-6)
        assert pipeline.classes_ is not None
        assert pipeline.classes_.tolist() == theirs.classes_.tolist()


@pytest.mark.parametrize("name", ["indicator", "model2vec's", "model2vec's two"])
def test_several_labels(name: str, tmp_path: Path) -> None:
    if name == "indicator":
        theirs = fitted(make_pipeline(MLPClassifier((6,), max_iter=9)), RNG.integers(0, 2, (len(TEXTS), 3)))
    else:
        theirs = as_model2vec_did(["a", "b"] if name.endswith("two") else ["a", "b", "c"], multilabel=True)
    ours = convert_legacy_pipeline(legacy(tmp_path, theirs))
    expected = theirs.predict_proba(VECTORS)
    np.testing.assert_allclose(ours.predict_proba(TEXTS), expected, atol=1e-6)
    labels = [theirs.classes_[row > 0.5].tolist() for row in expected]
    assert [found.tolist() for found in ours.predict(TEXTS)] == labels


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_numbers(outputs: tuple[int, ...], tmp_path: Path) -> None:
    theirs = fitted(
        make_pipeline(MLPRegressor(hidden_layer_sizes=(6,), max_iter=9)), RNG.normal(size=(len(TEXTS), *outputs))
    )
    ours = convert_legacy_pipeline(legacy(tmp_path, theirs))
    assert ours.classes_ is None
    np.testing.assert_allclose(ours.predict(TEXTS), theirs.predict(VECTORS).reshape(len(TEXTS), -1), atol=1e-6)


def test_a_table_with_nan(tmp_path: Path) -> None:
    folder = legacy(tmp_path, CLASSIFIERS["two"]())
    model = make_model()
    table = model.embedding.copy()
    table[3] = np.nan
    StaticModel(table, model.stored.tokenizer_json).save_pretrained(folder)
    assert not convert_legacy_pipeline(folder).model.embedding[3].any()
    assert StaticModel.from_pretrained(folder).encode("good").shape == (8,)


def test_an_older_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version in the file makes scikit-learn warn, though nothing but arrays is used."""
    with monkeypatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.5.2")
        folder = legacy(tmp_path, CLASSIFIERS["two"]())
    assert b"1.5.2" in (folder / "pipeline.skops").read_bytes()
    assert convert_legacy_pipeline(folder).predict(["good"]).shape == (1,)


def rewritten(folder: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> Path:
    """A pipeline whose files are changed, by a function of their contents by name."""
    folder = legacy(folder, CLASSIFIERS["two"]())
    with zipfile.ZipFile(folder / "pipeline.skops") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(folder / "pipeline.skops", "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return folder


def an_array(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith(".npy"))


CHANGES: dict[str, Any] = {
    "a header of an array that is none": lambda files: files.update(
        {an_array(files): b"\x93NUMPY\x01\0\x20\0{'descr': '<f4', 'shape': (3(3".ljust(42) + b"\n"}
    ),
    "an array of a terabyte": lambda files: files.update(
        {
            an_array(files): b"\x93NUMPY\x01\0\x50\0"
            + repr({"descr": "<f4", "fortran_order": False, "shape": (2**40,)}).encode().ljust(79)
            + b"\n"
        }
    ),
    "an array that is missing": lambda files: files.pop(an_array(files)),
    "no schema": lambda files: files.pop("schema.json"),
    "a schema of a list": lambda files: files.update({"schema.json": b"[]"}),
    "a deep schema": lambda files: files.update({"schema.json": b"[" * 100_000}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_file(name: str, tmp_path: Path) -> None:
    folder = rewritten(tmp_path, CHANGES[name])
    with pytest.raises(ModelFormatError, match=r"pipeline\.skops: (expected a file of skops|skops cannot read it)"):
        convert_legacy_pipeline(folder)


def test_damaged_bytes(tmp_path: Path) -> None:
    """Errors of zipfile, zlib and numpy's parser of headers are ours."""
    folder = rewritten(tmp_path, lambda files: None, zipfile.ZIP_DEFLATED)
    path = folder / "pipeline.skops"
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 150):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            convert_legacy_pipeline(folder)
        except ModelFormatError as error:
            assert "pipeline.skops" in str(error)  # noqa: PT017


def test_a_small_file_of_large_arrays(tmp_path: Path) -> None:
    """Neither compressed zeros nor one array that is mentioned a thousand times is read."""
    folder = rewritten(
        tmp_path / "zeros", lambda files: files.update({"more.npy": bytes(60 << 20)}), zipfile.ZIP_DEFLATED
    )
    assert (folder / "pipeline.skops").stat().st_size < 100_000
    with pytest.raises(ModelFormatError, match=r"at most \d+ bytes are expected; \d+ would be read"):
        convert_legacy_pipeline(folder)

    def mentioned(files: dict[str, bytes]) -> None:
        schema = json.loads(files["schema.json"])
        schema["more"] = [{"file": "more.npy"}] * 1_000
        files["schema.json"], files["more.npy"] = json.dumps(schema).encode(), bytes(100_000)

    with pytest.raises(ModelFormatError, match=r"would be read"):
        convert_legacy_pipeline(rewritten(tmp_path / "mentioned", mentioned))


def test_an_estimator_without_layers() -> None:
    estimator = CLASSIFIERS["two"]()[-1]
    estimator.coefs_ = estimator.intercepts_ = []
    with pytest.raises(ValueError, match="expected one layer or more"):
        head_of(estimator)


class Malicious:
    """Loading it would be seen."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise AssertionError("it was loaded")

    def __getstate__(self) -> dict[str, Any]:
        return {"a": 1}


def scaled() -> Any:
    return fitted(make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=2)), TWO)


def with_an_attribute(value: Any) -> Any:
    pipeline = CLASSIFIERS["two"]()
    pipeline[-1].extra_ = value
    return pipeline


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (Malicious, r"found .*\.Malicious\. It is not loaded"),
        (lambda: with_an_attribute(Malicious()), r"found .*\.Malicious\. It is not loaded"),
        (lambda: with_an_attribute(len), "It is not loaded"),
        (lambda: with_an_attribute(np.sum), "It is not loaded"),
        (lambda: with_an_attribute(StandardScaler()), "StandardScaler. It is not loaded"),
        (scaled, "StandardScaler. It is not loaded"),
        (lambda: make_pipeline(FunctionTransformer(np.log), MLPClassifier()), "FunctionTransformer"),
        (lambda: fitted(LogisticRegression(), TWO), "LogisticRegression"),
        (lambda: fitted(make_pipeline(MLPClassifier((6,), max_iter=2, activation="tanh")), TWO), "relu; found tanh"),
        (lambda: fitted(MLPRegressor(loss="poisson", max_iter=2), np.arange(len(TEXTS))), "identity; found exp"),
        (lambda: make_pipeline(MLPClassifier()), "coefs_"),
        (
            lambda: make_pipeline(MLPClassifier(), MLPClassifier()),
            "nothing before it; found MLPClassifier, MLPClassifier",
        ),
        (lambda: [1, 2], "found list"),
        (lambda: fitted(MLPClassifier(max_iter=2), TWO, VECTORS[:, :5]), "takes vectors of 5 dimensions"),
    ],
)
def test_what_is_no_mlp(make: Any, found: str, tmp_path: Path) -> None:
    folder = legacy(tmp_path, make())
    with pytest.raises(ModelFormatError, match=rf"pipeline\.skops: .*{found}"):
        convert_legacy_pipeline(folder)


def test_a_schema_that_hides_a_function(tmp_path: Path) -> None:
    folder = legacy(tmp_path, CLASSIFIERS["two"]())
    with zipfile.ZipFile(folder / "pipeline.skops") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files["schema.json"])
    ran = tmp_path / "ran"
    hidden = {"__class__": "dict", "__module__": "builtins", "__id__": 1}
    call = {"content": {"module_path": "os", "function": "system"}, "args": f"touch {ran}", "__id__": 2}
    for node in ({**hidden, "__loader__": "FunctionNode", **call}, {**hidden, "__loader__": "ReduceNode", **call}):
        schema["content"]["content"]["more"] = node
        with zipfile.ZipFile(folder / "pipeline.skops", "w") as archive:
            for name, data in (files | {"schema.json": json.dumps(schema).encode()}).items():
                archive.writestr(name, data)
        with pytest.raises(ModelFormatError, match=r"and nothing else; found builtins\.dict"):
            convert_legacy_pipeline(folder)
    assert not ran.exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and so on", "half", "no schema", "bad schema"])
def test_damage(damage: bytes | str, tmp_path: Path) -> None:
    file = legacy(tmp_path, CLASSIFIERS["two"]()) / "pipeline.skops"
    if damage in ("no schema", "bad schema"):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("schema.json" if damage == "bad schema" else "a.npy", "[")
    else:
        file.write_bytes(damage if isinstance(damage, bytes) else file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(
        ModelFormatError, match=r"pipeline\.skops: expected a file of skops; found another or a damaged"
    ):
        convert_legacy_pipeline(tmp_path)


def test_a_missing_array(tmp_path: Path) -> None:
    file = legacy(tmp_path, CLASSIFIERS["two"]()) / "pipeline.skops"
    with zipfile.ZipFile(file) as archive:
        schema = archive.read("schema.json")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", schema)
    with pytest.raises(ModelFormatError, match=r"pipeline\.skops: skops cannot read it"):
        convert_legacy_pipeline(tmp_path)


def test_no_pipeline(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"expected pipeline\.skops; found .*model\.safetensors"):
        convert_legacy_pipeline(tmp_path)


def test_without_skops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = legacy(tmp_path, CLASSIFIERS["two"]())
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(MissingPackageError, match=r"pip install m2v-train\[skops\]"):
        convert_legacy_pipeline(folder)
