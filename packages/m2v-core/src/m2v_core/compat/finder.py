"""A finder of modules that answers `import model2vec` and its modules, each made of names that are imported on use."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec as spec_of
from types import ModuleType
from typing import Any

from m2v_core.compat.names import MODULES

NAME = "model2vec"

#: Entry-point group of tables like `MODULES`, by which other packages add modules, or names to ours.
GROUP = "m2v.compat"

#: What answers these modules, for the error.
_PACKAGES = {"distill": "m2v-distill", "modelcards": "m2v-hub", "tokenizer": "m2v-distill", "train": "m2v-train"}


class Finder(MetaPathFinder):
    """Finds `model2vec` and its modules, in place of an installed package."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        """The spec of a module of model2vec; `None` for any other.

        Raises:
            ModuleNotFoundError: m2v has no such module, or it is in a package that is not installed.
        """
        top, _, rest = fullname.partition(".")
        if top != NAME or (rest and not is_ours(NAME)):
            return None
        if not _has(fullname):
            package = _PACKAGES.get(rest.partition(".")[0])
            if package and spec_of(package.replace("-", "_")):
                package = None  # it is there, and has no such module
            remedy = f"It needs another package: pip install {package}" if package else "See docs/integrations.md."
            raise ModuleNotFoundError(
                f"m2v, which answers for {NAME}, has no module {fullname}. {remedy}", name=fullname
            )
        return ModuleSpec(fullname, _Loader(), origin=__name__, is_package=True)


class _Loader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        """Give a new module its names."""
        name = module.__name__
        own = MODULES.get(name, {})

        def attribute(wanted: str) -> Any:
            home = own.get(wanted) or (None if wanted.startswith("__") else _added(name).get(wanted))
            if home is None:
                raise AttributeError(f"module {name!r} of m2v has no attribute {wanted!r}")
            return getattr(import_module(home), wanted)

        module.__dict__.update(
            __doc__=f"{name}, answered by m2v.",
            __getattr__=attribute,
            __dir__=lambda: sorted({*own, *_added(name)}),
            __all__=list(own or _added(name)),
        )


def is_ours(module: str) -> bool:
    """Whether an imported module is one that this finder made."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return isinstance(getattr(spec, "loader", None), _Loader)


def _has(module: str) -> bool:
    return module in MODULES or any(module in table for table in _tables())


def _added(module: str) -> dict[str, str]:
    """The names that other packages add to a module, and their homes."""
    return {name: home for table in _tables() for name, home in table.get(module, {}).items()}


@cache
def _tables() -> Iterable[Mapping[str, Mapping[str, str]]]:
    from importlib.metadata import entry_points  # slow to import, and few need it

    return [point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)]
