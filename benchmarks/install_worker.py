"""Count the packages that a requirement needs here, and their MB: `install_worker.py NAME[EXTRA]`, for `install.py`."""

from __future__ import annotations

import json
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

try:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
except ImportError:  # an environment by `python -m venv` has pip's own copy
    from pip._vendor.packaging.requirements import Requirement
    from pip._vendor.packaging.utils import canonicalize_name


def closure(wanted: Requirement) -> dict[str, Distribution]:
    """The distributions that a requirement needs, itself among them, by name; those not installed are left out."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    ahead = [(wanted, "")]
    while ahead:
        requirement, extra = ahead.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            one = distribution(requirement.name)
        except PackageNotFoundError:
            continue
        name = canonicalize_name(requirement.name)
        found[name] = one
        for asked in ("", *requirement.extras):
            if (name, asked) not in seen:
                seen.add((name, asked))
                ahead += [(Requirement(line), asked) for line in one.requires or ()]
    return found


def size_of(one: Distribution) -> float:
    """MB of the files of a distribution, without bytecode; of the source, where it is an editable checkout."""
    files = [Path(str(one.locate_file(file))) for file in one.files or ()]
    link = json.loads(one.read_text("direct_url.json") or "{}")
    if link.get("dir_info", {}).get("editable"):
        files += [path for path in (Path(unquote(urlsplit(link["url"]).path)) / "src").rglob("*") if path.is_file()]
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.is_file()) / 1e6


if __name__ == "__main__":
    sizes = {name: size_of(one) for name, one in closure(Requirement(sys.argv[1])).items()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    print(len(sizes), sum(sizes.values()), ", ".join(f"{name} {sizes[name]:.0f}" for name in largest), sep="\t")
