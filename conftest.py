"""Check jaxtyping's shapes and dtypes while tests run: before anything imports the modules that state them.

Public functions check their arguments themselves, with better errors, so the modules that hold only those are left out.
"""

from importlib.util import find_spec

import pytest

if find_spec("jaxtyping") and find_spec("beartype"):
    from jaxtyping import install_import_hook

    CHECKED = (
        "m2v_distill.corpus.shards",
        "m2v_distill.corpus.store",
        "m2v_distill.fit",
        "m2v_distill.table",
        "m2v_distill.teacher",
        "m2v_train.data",
        "m2v_train.engine",
    )
    install_import_hook(CHECKED, "beartype.beartype")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often `tests/core/test_embed_kills.py` kills a run; `nox -s engines` does it 50 times."""
    parser.addoption("--kills", type=int, default=4, help="kills of m2v embed (default: %(default)s)")
