"""The self-test of `m2v doctor`: a tiny model embeds, is saved, loaded and predicts, as any model does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from m2v_core.cli.packages import version_of

if TYPE_CHECKING:
    from m2v_core.model import StaticModel
    from m2v_core.pipeline import StaticModelPipeline

_WORDS = ("[UNK]", "good", "bad", "day")
_ROWS = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0))
_TEXTS = ("good day", "bad day", "", "good good bad never-seen")
#: The means of the rows of the texts' known words.
_VECTORS = ((0.5, 0.5), (-0.5, 0.5), (0.0, 0.0), (1 / 3, 0.0))
#: A text in a script that is left to the tokenizers library; its vector is that of its first word.
_FOR_THE_LIBRARY = "good \u0b95"


def self_test() -> Iterator[dict[str, Any]]:
    """The checks, in the order in which they run; one that fails says why, and the others run all the same.

    Example:
        >>> [check["ok"] for check in self_test()]
        [True, True, True]
    """
    yield _check("a tiny model embeds texts", lambda: _expect(_model()))
    yield _check("a trained head predicts", lambda: _expect_labels(_pipeline()))
    yield _check("a model with a head is saved and loaded", _saves)


def _check(name: str, test: Callable[[], str | None]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": test() or ""}
    except Exception as error:  # noqa: BLE001 - whatever is broken is what the user wants to know
        return {"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}"}


def _saves() -> str | None:
    from m2v_core.pipeline import StaticModelPipeline

    try:
        folder = tempfile.TemporaryDirectory(prefix="m2v-doctor-", ignore_cleanup_errors=True)
    except OSError as error:  # as in a read-only image, where nothing is saved
        return f"not tested, as there is no folder for temporary files ({error})"
    with folder as name:
        _pipeline().save_pretrained(name, compiled=True)
        loaded = StaticModelPipeline.from_pretrained(name)
    _expect(loaded.model)
    _expect_labels(loaded)
    return None


def _pipeline() -> StaticModelPipeline:
    import numpy as np

    from m2v_core.head import Layer, MLPHead
    from m2v_core.pipeline import StaticModelPipeline

    layer = Layer(np.array([[1, 0], [-1, 0]], np.float32), np.zeros(2, np.float32))
    return StaticModelPipeline(_model(), MLPHead([layer], "softmax", ["praise", "blame"]))


def _expect_labels(pipeline: StaticModelPipeline) -> None:
    found = pipeline.predict(list(_TEXTS[:2])).tolist()
    if found != ["praise", "blame"]:
        raise AssertionError(f"expected the labels praise, blame; found {found}")


def _model() -> StaticModel:
    import numpy as np

    from m2v_core.model import StaticModel

    words = {
        "type": "WordPiece",
        "unk_token": _WORDS[0],
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {word: row for row, word in enumerate(_WORDS)},
    }
    letters = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    }
    parts = {"normalizer": letters, "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": words}
    tokenizer = json.dumps({"version": "1.0", "added_tokens": [], **parts})
    return StaticModel(np.array(_ROWS, np.float32), tokenizer)


def _expect(model: StaticModel) -> None:
    import numpy as np

    texts, vectors = list(_TEXTS), list(_VECTORS)
    if version_of("tokenizers"):
        texts.append(_FOR_THE_LIBRARY)
        vectors.append((1.0, 0.0))
    found = model.encode(texts)
    if found.shape != (len(texts), 2) or not np.allclose(found, vectors, atol=1e-6):
        raise AssertionError(f"expected the vectors {vectors}; found {found.tolist()}")
