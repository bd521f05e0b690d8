"""Tensors and devices of PyTorch, and Hugging Face datasets in its format (nox -s interop)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

for name in ("datasets", "model2vec", "torch"):
    pytest.importorskip(name, reason="needs model2vec[train]: nox -s interop")

import datasets
import model2vec
import torch
from model2vec.train import StaticModelForClassification as TheirClassifier
from torch import nn

from conftest import make_model
from m2v_core import InvalidInputError, StaticModelPipeline
from m2v_core.data.sources import as_array
from m2v_train import StaticModelForClassification, StaticModelForRegression, StaticModelForSimilarity
from training_texts import FAST, LABELS, TEXTS

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]  # the peer warns of its own parts

OPTIONS = {**FAST, "max_epochs": 2}
NAMES = sorted(set(LABELS))
NUMBERS = [NAMES.index(label) for label in LABELS]
TAGS = [[number, 7] if number else [] for number in NUMBERS]
VECTORS = [[float(number), 1.0] for number in NUMBERS]
COLUMNS = datasets.Dataset.from_dict({"text": TEXTS, "label": NUMBERS, "tags": TAGS, "vector": VECTORS})
FORMATS = ("torch", "numpy", "jax", "arrow", "pandas", None)

LABEL_HOLDERS: dict[str, Any] = {
    "tensor": torch.tensor(NUMBERS),
    "uint8": torch.tensor(NUMBERS, dtype=torch.uint8),
    "tensors": [torch.tensor(number) for number in NUMBERS],
    **{f"column as {kind}": COLUMNS.with_format(kind)["label"] for kind in FORMATS},
    **{f"rows as {kind}": COLUMNS.with_format(kind)["label"][:] for kind in FORMATS},
}
TAG_HOLDERS: dict[str, Any] = {
    "tensors": [torch.tensor(tags) for tags in TAGS],
    "lists of tensors": [[torch.tensor(tag) for tag in tags] for tags in TAGS],
    **{f"column as {kind}": COLUMNS.with_format(kind)["tags"] for kind in FORMATS},
    **{f"rows as {kind}": COLUMNS.with_format(kind)["tags"][:] for kind in FORMATS},
}
VECTOR_HOLDERS: dict[str, Any] = {
    "tensor": torch.tensor(VECTORS),
    "with gradients": torch.tensor(VECTORS, requires_grad=True),
    "bfloat16": torch.tensor(VECTORS).bfloat16(),
    "half": torch.tensor(VECTORS).half(),
    "tensors": [torch.tensor(vector) for vector in VECTORS],
    "tensors of bfloat16": list(torch.tensor(VECTORS).bfloat16()),
    **{f"column as {kind}": COLUMNS.with_format(kind)["vector"] for kind in FORMATS},
    **{f"rows as {kind}": COLUMNS.with_format(kind)["vector"][:] for kind in FORMATS},
}


@pytest.fixture(scope="module")
def by_number() -> StaticModelForClassification:
    return StaticModelForClassification(make_model(), **OPTIONS).fit(TEXTS, NUMBERS)


@pytest.fixture(scope="module")
def by_tags() -> StaticModelForClassification:
    return StaticModelForClassification(make_model(), **OPTIONS).fit(TEXTS, TAGS)


def same_classifier(fitted: StaticModelForClassification, y: Any, expected: Any) -> None:
    """`y` trains the same model, and is evaluated and scored as a list of the same labels is."""
    again = StaticModelForClassification(make_model(), **OPTIONS).fit(TEXTS, y, X_val=TEXTS, y_val=y)
    given = StaticModelForClassification(make_model(), **OPTIONS).fit(TEXTS, expected, X_val=TEXTS, y_val=expected)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), given.predict_proba(TEXTS))
    pipeline: StaticModelPipeline = fitted.to_pipeline()
    assert fitted.evaluate(TEXTS, y) == pipeline.evaluate(TEXTS, y) == pipeline.evaluate(TEXTS, expected)
    assert fitted.score(TEXTS, y) == fitted.score(TEXTS, expected)


@pytest.mark.parametrize("holder", LABEL_HOLDERS)
def test_labels(by_number: StaticModelForClassification, holder: str) -> None:
    same_classifier(by_number, LABEL_HOLDERS[holder], NUMBERS)


@pytest.mark.parametrize("holder", TAG_HOLDERS)
def test_lists_of_labels(by_tags: StaticModelForClassification, holder: str) -> None:
    same_classifier(by_tags, TAG_HOLDERS[holder], TAGS)


@pytest.mark.parametrize("holder", VECTOR_HOLDERS)
@pytest.mark.parametrize("cls", [StaticModelForRegression, StaticModelForSimilarity])
def test_vectors(holder: str, cls: Any) -> None:
    y = VECTOR_HOLDERS[holder]
    found, expected = (cls(make_model(), **OPTIONS).fit(TEXTS, it, X_val=TEXTS, y_val=it) for it in (y, VECTORS))
    np.testing.assert_array_equal(found.predict(TEXTS), expected.predict(TEXTS))
    if cls is StaticModelForRegression:
        assert found.score(TEXTS, y) == expected.score(TEXTS, VECTORS)


@pytest.mark.parametrize("kind", FORMATS)
def test_texts(by_number: StaticModelForClassification, kind: str | None) -> None:
    column = COLUMNS.with_format(kind)["text"]
    for texts in (column, column[:]):
        assert by_number.predict(texts).tolist() == by_number.predict(TEXTS).tolist()
        np.testing.assert_array_equal(make_model().encode(texts), make_model().encode(TEXTS))


def test_a_matrix_of_zeros_and_ones(by_tags: StaticModelForClassification) -> None:
    """model2vec takes its numbers for classes, in silence; the remedy of our error works on a tensor."""
    matrix = torch.tensor([[int(tag in tags) for tag in (1, 2, 7)] for tags in TAGS])
    for call in (by_tags.evaluate, by_tags.to_pipeline().evaluate, by_tags.fit):
        with pytest.raises(
            InvalidInputError, match=r"shape \(300, 3\).*\[np.flatnonzero\(row\).tolist\(\) for row in y\]"
        ):
            call(TEXTS, matrix)
    assert [np.array([1, 2, 7])[np.flatnonzero(row).tolist()].tolist() for row in matrix] == TAGS


def test_what_numpy_cannot_read() -> None:
    numbers = torch.tensor([[1.5, 2.0]])
    for tensor in (numbers.clone().requires_grad_(), numbers.bfloat16()):
        assert as_array(tensor).tolist() == as_array(list(tensor)).tolist() == numbers.tolist()


@pytest.mark.parametrize("device", ["cpu", "cpu:0", "mps", "xpu", "meta"])
def test_devices(device: str) -> None:
    estimator = StaticModelForClassification(make_model(), device=torch.device(device), **OPTIONS)
    if device.startswith("cpu"):
        assert estimator.fit(TEXTS, NUMBERS).history_
        assert estimator.fit(TEXTS, NUMBERS, device=torch.device(device)).history_
    else:
        with pytest.raises(InvalidInputError, match=rf"that JAX finds \(.*; found device\(type='{device[:3]}"):
            estimator.fit(TEXTS, NUMBERS)


def test_a_head_of_their_own(tmp_path: Any) -> None:
    """In model2vec its LayerNorm is lost on the way to a pipeline, in silence; here a PyTorch module is an error."""
    make_model().save_pretrained(tmp_path)

    class Theirs(TheirClassifier):
        def construct_head(self) -> Any:
            return nn.Sequential(nn.LayerNorm(self.embed_dim), *super().construct_head())

    theirs = Theirs.from_static_model(model=model2vec.StaticModel.from_pretrained(tmp_path))
    theirs.fit(TEXTS, LABELS, max_epochs=3, learning_rate=0.02, device="cpu")
    trained, saved = theirs.predict_proba(TEXTS), theirs.to_pipeline().predict_proba(TEXTS)
    assert np.abs(trained - saved).max() > 0.01
    ours = type("Ours", (StaticModelForClassification,), {"construct_head": Theirs.construct_head})
    with pytest.raises(
        InvalidInputError, match=r"take \(self, dim, out_dim, config, rngs\).*model2vec's takes self alone"
    ):
        ours(make_model()).fit(TEXTS, LABELS)
    ours.construct_head = lambda self, dim, out_dim, config, rngs: nn.Linear(dim, out_dim)
    with pytest.raises(InvalidInputError, match=r"found torch.nn.modules.linear.Linear. Heads are trained by JAX here"):
        ours(make_model()).fit(TEXTS, LABELS)
