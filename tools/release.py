"""Whether a package can be released: its version, changelog, tag and the ranges of its siblings, and what is built.

`nox -s release -- PACKAGE` runs it before and after the build:

    python tools/release.py m2v-core                 version, changelog, tag, ranges
    python tools/release.py m2v-core --dist FOLDER   the archives in the folder too
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("m2v-core", "m2v-distill", "m2v-train", "m2v-hub")

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(?:a|b|rc)\d+)?")
_SECTION = re.compile(r"^## (\S+) — (.+)$", flags=re.MULTILINE)
_RANGE = re.compile(r"m2v-core>=(\d+)\.(\d+)(?:\.\d+)?,<(\d+)\.(\d+)")


def version_of(package: str, root: Path = ROOT) -> str:
    """The version in a package's `__about__.py`."""
    text = (root / "packages" / package / "src" / package.replace("-", "_") / "__about__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
    return found[1] if found else ""


def tag_of(package: str, version: str) -> str:
    """The tag of a release, by which the workflow publishes it."""
    return f"{package}-v{version}"


def source_problems(package: str, root: Path = ROOT, *, today: date | None = None) -> Iterator[str]:
    """What the source of a package lacks for a release: its version, its changelog and the ranges of its siblings."""
    version = version_of(package, root)
    if not _VERSION.fullmatch(version):
        yield f"{package}: expected a version such as 0.2.1 or 0.3.0rc1 in __about__.py; found {version!r}"
        return
    changes = (root / "packages" / package / "CHANGELOG.md").read_text("utf-8")
    section = _SECTION.search(changes)
    if section is None or section[1] != version:
        found = "none" if section is None else section[1]
        yield f"{package}: expected '## {version} — DATE' as the first section of CHANGELOG.md; found {found}"
    elif problem := _date_problem(section[2], today or date.today()):
        yield f"{package}: the section {version} of CHANGELOG.md {problem}"
    yield from _range_problems(root)


def _date_problem(text: str, today: date) -> str | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return f"should have the date of the release, such as {today}; found {text!r}"
    return f"is dated {day}, after today" if day > today else None


def _range_problems(root: Path) -> Iterator[str]:
    """Siblings are pinned to a minor version of core, and core's is in it."""
    major, minor = map(int, version_of("m2v-core", root).split(".")[:2])
    for package in PACKAGES[1:]:
        project = tomllib.loads((root / "packages" / package / "pyproject.toml").read_text("utf-8"))["project"]
        text = next((need for need in project["dependencies"] if need.startswith("m2v-core")), "none")
        found = _RANGE.fullmatch(text.replace(" ", ""))
        if found is None or tuple(map(int, found.groups())) != (major, minor, major, minor + 1):
            yield (
                f"{package}: expected the requirement m2v-core>={major}.{minor},<{major}.{minor + 1}, as m2v-core is "
                f"{version_of('m2v-core', root)}; found {text}"
            )


def tag_problems(package: str, version: str, root: Path = ROOT) -> Iterator[str]:
    """What git has against a release: changes that are not committed, or the tag at another commit."""
    tag = tag_of(package, version)
    if _git(root, "status", "--porcelain"):
        yield "git: there are changes that are not committed"
    at = _git(root, "rev-list", "-n", "1", tag, "--") if _git(root, "tag", "--list", tag) else None
    if at and at != _git(root, "rev-parse", "HEAD"):
        yield f"git: the tag {tag} is at another commit, {at[:12]}: raise the version"


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def archive_problems(package: str, version: str, dist: Path) -> Iterator[str]:
    """What the archives of a package lack, or hold besides: files of its module and its licence, and nothing else."""
    module = package.replace("-", "_")
    wheel, sdist = dist / f"{module}-{version}-py3-none-any.whl", dist / f"{module}-{version}.tar.gz"
    for archive in (wheel, sdist):
        if not archive.is_file():
            yield f"{archive.name} is missing"
            return
    with zipfile.ZipFile(wheel) as opened:
        files = set(opened.namelist())
    about = f"{module}-{version}.dist-info"
    needed = {f"{module}/__init__.py", f"{module}/py.typed", f"{about}/METADATA", f"{about}/licenses/LICENSE"}
    yield from (f"{wheel.name}: {name} is missing" for name in sorted(needed - files))
    yield from (f"{wheel.name}: {name} does not belong there" for name in sorted(files) if _is_foreign(name, module))
    with tarfile.open(sdist) as opened_sdist:
        names = {name.partition("/")[2] for name in opened_sdist.getnames()}
    needed = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", f"src/{module}/__init__.py", "PKG-INFO"}
    yield from (f"{sdist.name}: {name} is missing" for name in sorted(needed - names))


def _is_foreign(name: str, module: str) -> bool:
    return not name.startswith((f"{module}/", f"{module}-")) or "__pycache__" in name or name.endswith((".pyc", ".so"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the problems of a release; the exit code is 1 if there are any, and it is no rehearsal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--dist", type=Path, metavar="FOLDER", help="check the archives in a folder too")
    parser.add_argument("--rehearsal", action="store_true", help="say what is wrong with the source, and exit with 0")
    options = parser.parse_args(arguments)
    version = version_of(options.package)
    problems = [*source_problems(options.package), *tag_problems(options.package, version)]
    wrong = list(archive_problems(options.package, version, options.dist)) if options.dist else []
    for problem in [*problems, *wrong]:
        print(f"problem: {problem}")
    print(f"{options.package} {version}, tag {tag_of(options.package, version)}: {len(problems + wrong)} problems")
    if options.rehearsal and problems:
        print("a rehearsal: goes on in spite of the source's problems")
    return 1 if wrong or (problems and not options.rehearsal) else 0


if __name__ == "__main__":
    sys.exit(main())
