"""Conversion of pipelines that model2vec saved before version 0.10, with a head of scikit-learn's.

`pipeline.skops` is a zip of arrays and of `schema.json`, which names the classes to build. Nothing is built unless all
of these are parts of a scikit-learn MLP. Needs skops, the extra `m2v-train[skops]`.
"""

from __future__ import annotations

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from m2v_core import StaticModel, StaticModelPipeline
from m2v_core.errors import MissingPackageError, ModelFormatError, ModelNotFoundError
from m2v_core.head import Activation, Layer, MLPHead
from m2v_core.storage.format import LEGACY_HEAD_FILE
from m2v_core.storage.resolve import resolve
from m2v_core.storage.tensor_file import opened

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

#: Classes in a pipeline of an MLP; any other is refused.
_CLASSES = re.compile(
    r"builtins\.(dict|list|tuple|str|int|float|bool|NoneType)"
    r"|numpy\.(ndarray|dtype|u?int\d+|float\d+|str_|bool_?)"
    r"|numpy\.random\.(mtrand\.)?RandomState"
    r"|sklearn\.pipeline\.Pipeline"
    r"|sklearn\.neural_network\._multilayer_perceptron\.MLP(Classifier|Regressor)"
    r"|sklearn\.neural_network\._stochastic_optimizers\.(Adam|SGD)Optimizer"
    r"|sklearn\.preprocessing\._label\.LabelBinarizer"
)
_LOADERS = {
    *("DictNode", "ListNode", "TupleNode", "JsonNode", "TypeNode", "NdArrayNode", "DTypeNode", "RandomStateNode"),
    *("ObjectNode", "CachedNode"),
}


#: Bytes of what is read, for each byte of a file, whose arrays skops does not compress; and for small files.
_MOST_TIMES, _LEAST_LIMIT = 20, 1 << 20


def convert_legacy_pipeline(path: str | os.PathLike[str], *, token: str | None = None) -> StaticModelPipeline:
    """Read a pipeline that model2vec saved as `pipeline.skops`; `save_pretrained` then writes it as safetensors.

    Args:
        path: Folder of the pipeline, or `org/name` on the Hugging Face Hub (with m2v-hub installed).
        token: A Hub token, for private repositories.

    Raises:
        ModelNotFoundError: The folder has no such pipeline.
        ModelFormatError: The file is damaged, contains anything but one `MLPClassifier` or `MLPRegressor` of
            scikit-learn, or one that cannot be converted to a head.
        MissingPackageError: skops is not installed.

    Example:
        `convert_legacy_pipeline("old-classifier").save_pretrained("new-classifier")`
    """
    folder = resolve(path, token=token)
    file = folder / LEGACY_HEAD_FILE
    if not file.is_file():
        found = ", ".join(sorted(child.name for child in folder.iterdir())[:20])
        raise ModelNotFoundError(
            f"{folder} holds no legacy pipeline: expected {LEGACY_HEAD_FILE}; found {found or 'nothing'}."
        )
    model = StaticModel.from_pretrained(folder)
    table = model.embedding
    if table.dtype.kind == "f" and not np.isfinite(table).all():  # as model2vec does for pipelines
        model = StaticModel.from_stored(replace(model.stored, embeddings=np.nan_to_num(table)))
    estimator = _read(file)
    try:
        return StaticModelPipeline(model, head_of(estimator))
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{file}: {error}") from None


def head_of(estimator: MLPClassifier | MLPRegressor) -> MLPHead:
    """Convert a fitted MLP of scikit-learn to a head that gives the same probabilities or numbers.

    scikit-learn's classifier of two classes has one output z and the probabilities (1 - s(z), s(z)), s being the
    logistic function. These are the softmax of (0, z), so the head has an output of zeros for the first class.

    Raises:
        ValueError: There are no layers, the activation of hidden ones is not ReLU, or that of outputs is not softmax,
            logistic or identity.

    Example:
        >>> from sklearn.neural_network import MLPRegressor
        >>> head_of(MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0]))
        MLPHead(widths=[2, 100, 1], activation='identity')
    """
    layers = [Layer(weight.T, bias) for weight, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True)]
    if not layers:
        raise ValueError("expected one layer or more; found none.")
    if len(layers) > 1 and estimator.activation != "relu":
        raise ValueError(f"expected hidden layers with relu; found {estimator.activation}. Only relu is supported.")
    kind, classes, last = estimator.out_activation_, getattr(estimator, "classes_", None), layers[-1]
    if classes is None and kind == "identity":
        return MLPHead(layers, Activation.IDENTITY)
    if classes is not None and kind in ("softmax", "logistic"):
        names, activation = (
            np.asarray(classes).tolist(),
            Activation.SOFTMAX if kind == "softmax" else Activation.SIGMOID,
        )
        if kind == "logistic" and len(names) == 2 and len(last.bias) == 1:
            layers[-1] = Layer(np.pad(last.weight, ((1, 0), (0, 0))), np.pad(last.bias, (1, 0)))
            activation = Activation.SOFTMAX
        return MLPHead(layers, activation, names)
    raise ValueError(f"expected outputs with softmax, logistic or identity; found {kind}, which no head has.")


def _read(file: Path) -> Any:
    """Read the one MLP in a file."""
    try:
        import skops.io
        from sklearn.exceptions import InconsistentVersionWarning
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.pipeline import Pipeline
    except ModuleNotFoundError:
        raise MissingPackageError(
            f"{file}: reading {LEGACY_HEAD_FILE} needs skops, which is not installed: pip install m2v-train[skops]"
        ) from None
    with opened(file) as opened_file:
        content = opened_file.read()
    try:
        schema = _schema(content)
        found = set(_named(schema))
    except Exception as error:  # noqa: BLE001 - zipfile lets those of zlib and others through
        raise ModelFormatError(
            f"{file}: expected a file of skops; found another or a damaged one ({_shown(error)})."
        ) from None
    if foreign := sorted(name for name, loader in found if not _CLASSES.fullmatch(name) or loader not in _LOADERS):
        raise ModelFormatError(
            f"{file}: expected an MLP of scikit-learn, and nothing else; found {', '.join(foreign[:10])}. It is not "
            f"loaded, since such a file can run any code. Train the head again, or get a file from its author."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)  # only arrays and names of it are used
            loaded = skops.io.loads(content, trusted=[name for name, _ in found if name.endswith("Optimizer")])
        steps = [step for _, step in loaded.steps] if isinstance(loaded, Pipeline) else [loaded]
    except Exception as error:  # noqa: BLE001 - skops, numpy and scikit-learn let any through
        raise ModelFormatError(f"{file}: skops cannot read it ({_shown(error)}).") from None
    if len(steps) != 1 or not isinstance(steps[0], MLPClassifier | MLPRegressor):
        raise ModelFormatError(
            f"{file}: expected one MLPClassifier or MLPRegressor and nothing before it; found "
            f"{', '.join(type(step).__name__ for step in steps) or 'nothing'}."
        )
    return steps[0]


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error!s:.200}"


def _schema(content: bytes) -> Any:
    """The schema of a file, whose arrays may take only so much memory.

    Raises:
        ValueError: They would take more than a whole file could.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        most = max(_LEAST_LIMIT, _MOST_TIMES * len(content))
        schema = json.loads(archive.read("schema.json")) if sizes.get("schema.json", 0) <= most else None
    # Each mention of an array reads it again.
    needed = sum(sizes.values()) + sum(sizes.get(name, 0) for name in _files(schema))
    if needed > most:
        raise ValueError(f"at most {most} bytes are expected; {needed} would be read")
    return schema


def _files(node: Any) -> Iterator[str]:
    """The names of all files that a schema mentions, once for each mention."""
    if isinstance(node, dict):
        if isinstance(name := node.get("file"), str):
            yield name
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _files(child)


def _named(node: Any) -> Iterator[tuple[str, str]]:
    """All classes that a schema names, each with its loader."""
    if isinstance(node, dict):
        if "__class__" in node or "__loader__" in node:
            yield f"{node.get('__module__')}.{node.get('__class__')}", str(node.get("__loader__"))
        for child in node.values():
            yield from _named(child)
    elif isinstance(node, list):
        for child in node:
            yield from _named(child)
