"""The name model2vec: programs and libraries that `import model2vec` get m2v, unchanged.

`enable()` does it, and so do `import m2v_core.compat.auto` and `python -m m2v_core.compat script.py`:

    import m2v_core.compat.auto
    from model2vec import StaticModel  # m2v's
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from m2v_core.compat.finder import NAME, Finder, is_ours
from m2v_core.errors import InvalidInputError

__all__ = ["enable"]


def enable(force: bool = False) -> bool:
    """Answer `import model2vec`, and its modules, with m2v in this process.

    Nothing is imported before it is asked for. An installed model2vec has priority, unless `force` is True.

    Args:
        force: Whether to answer even where model2vec is installed. It must not have been imported yet: a module that
            holds the real one would keep it.

    Returns:
        Whether `import model2vec` gives m2v from now on.

    Raises:
        InvalidInputError: With `force`, model2vec has been imported already.
    """
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return True
    if force and NAME in sys.modules and not is_ours(NAME):
        where = getattr(sys.modules[NAME], "__file__", None)
        raise InvalidInputError(
            f"enable(force=True) should come before the first import of {NAME}; found {where} imported already."
        )
    if not force and _is_installed():
        return False
    sys.meta_path.insert(0, Finder())
    return True


def _is_installed() -> bool:
    """Whether there is a package of the name; a folder without `__init__.py`, of a model for example, is none."""
    spec = find_spec(NAME)
    return spec is not None and spec.origin is not None
