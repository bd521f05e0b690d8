"""`tools/release.py`: what must be right before a package is published, and the workflows that publish it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TODAY = date(2030, 5, 17)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = load(ROOT / "tools" / "release.py")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The four packages, without their modules, as they are released."""
    for package in release.PACKAGES:
        source, copy = ROOT / "packages" / package, tmp_path / "packages" / package
        about = Path("src") / package.replace("-", "_") / "__about__.py"
        (copy / about).parent.mkdir(parents=True)
        (copy / about).write_text('__version__ = "0.3.0"\n')
        project = (source / "pyproject.toml").read_text(encoding="utf-8")
        (copy / "pyproject.toml").write_text(re.sub(r"m2v-core>=[0-9.]+,<[0-9.]+", "m2v-core>=0.3,<0.4", project))
        (copy / "CHANGELOG.md").write_text(f"# Changelog of {package}\n\n## 0.3.0 — {TODAY}\n\n- New.\n", "utf-8")
    return tmp_path


def problems(tree: Path, package: str = "m2v-core") -> list[str]:
    return list(release.source_problems(package, tree, today=TODAY))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_tree_that_is_ready(tree: Path) -> None:
    assert [problems(tree, package) for package in release.PACKAGES] == [[]] * 4


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("2030-05-17", "unreleased", "should have the date of the release, such as 2030-05-17; found 'unreleased'"),
        ("2030-05-17", "2030-05-18", "after today"),
        ("## 0.3.0", "## 0.2.0", "expected '## 0.3.0 — DATE' as the first section of CHANGELOG.md; found 0.2.0"),
        ("## 0.3.0 —", "### 0.3.0 —", "found none"),
    ],
)
def test_a_changelog_that_is_not(tree: Path, old: str, new: str, part: str) -> None:
    change(tree / "packages/m2v-hub/CHANGELOG.md", old, new)
    assert problems(tree) == []
    assert part in "; ".join(problems(tree, "m2v-hub"))


@pytest.mark.parametrize("version", ["0.3", "v0.3.0", "0.3.0.dev1"])
def test_a_wrong_version(tree: Path, version: str) -> None:
    change(tree / "packages/m2v-train/src/m2v_train/__about__.py", "0.3.0", version)
    assert "expected a version such as" in "; ".join(problems(tree, "m2v-train"))


@pytest.mark.parametrize("wanted", ["m2v-core>=0.2,<0.3", "m2v-core>=0.3", "m2v-core>=0.3,<0.5"])
def test_siblings_that_do_not_fit(tree: Path, wanted: str) -> None:
    change(tree / "packages/m2v-train/pyproject.toml", "m2v-core>=0.3,<0.4", wanted)
    assert problems(tree, "m2v-core") == [
        f"m2v-train: expected the requirement m2v-core>=0.3,<0.4, as m2v-core is 0.3.0; found {wanted}"
    ]


def test_the_ranges_of_this_tree() -> None:
    assert list(release._range_problems(ROOT)) == []


def test_git(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is missing")

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "one")
    git("tag", "m2v-hub-v0.1.0")
    assert list(release.tag_problems("m2v-hub", "0.1.0", tmp_path)) == []
    git("commit", "--allow-empty", "-m", "two")
    (tmp_path / "new").write_text("")
    found = list(release.tag_problems("m2v-hub", "0.1.0", tmp_path))
    assert len(found) == 2
    assert "not committed" in found[0]
    assert "the tag m2v-hub-v0.1.0 is at another commit" in found[1]
    assert len(list(release.tag_problems("m2v-hub", "0.1.1", tmp_path))) == 1


def test_archives(tmp_path: Path) -> None:
    assert list(release.archive_problems("m2v-hub", "1.0.0", tmp_path)) == ["m2v_hub-1.0.0-py3-none-any.whl is missing"]
    about = "m2v_hub-1.0.0.dist-info"
    names = ["m2v_hub/__init__.py", f"{about}/METADATA", f"{about}/licenses/LICENSE", "tests/test_x.py"]
    with zipfile.ZipFile(tmp_path / "m2v_hub-1.0.0-py3-none-any.whl", "w") as wheel:
        for name in names:
            wheel.writestr(name, "")
    with tarfile.open(tmp_path / "m2v_hub-1.0.0.tar.gz", "w:gz") as sdist:
        for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "PKG-INFO", "src/m2v_hub/__init__.py"):
            sdist.addfile(tarfile.TarInfo(f"m2v_hub-1.0.0/{name}"))
    assert list(release.archive_problems("m2v-hub", "1.0.0", tmp_path)) == [
        "m2v_hub-1.0.0-py3-none-any.whl: m2v_hub/py.typed is missing",
        "m2v_hub-1.0.0-py3-none-any.whl: tests/test_x.py does not belong there",
        "m2v_hub-1.0.0.tar.gz: LICENSE is missing",
    ]


def workflow(name: str) -> dict[Any, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
    return found


def test_the_workflows_know_all_packages_and_pythons() -> None:
    """The tags that publish are those of `tag_of`, and the matrix has the versions of Python that nox has."""
    tags = workflow("release.yml")[True]["push"]["tags"]  # YAML's `on` is True
    assert tags == [f"{package}-v*" for package in release.PACKAGES]
    matrix = workflow("ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    pythons = re.search(r"^PYTHONS = (\(.*\))$", (ROOT / "noxfile.py").read_text("utf-8"), flags=re.MULTILINE)
    assert pythons
    assert tuple(matrix["python"]) == tuple(re.findall(r'"(.*?)"', pythons[1]))
    for package in release.PACKAGES:
        project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text("utf-8"))["project"]
        classifiers = [name.rpartition(" ")[2] for name in project["classifiers"] if "Python :: 3." in name]
        assert classifiers == matrix["python"]


def test_the_citation_is_of_the_version_that_there_is() -> None:
    citation = pytest.importorskip("yaml").safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == release.version_of("m2v-core")
    assert citation["license"] == "MIT"
