"""A server for models: the interfaces of OpenAI and text-embeddings-inference. Needs `m2v-core[serve]`."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from m2v_core.errors import MissingPackageError
from m2v_core.lazy import lazy

if TYPE_CHECKING:
    from m2v_core.serve.app import create_app
    from m2v_core.serve.config import ServeConfig

#: What the extra brings.
NEEDED = ("starlette", "uvicorn", "orjson", "prometheus_client")

_attribute, __dir__ = lazy(__name__, {"create_app": "m2v_core.serve.app", "ServeConfig": "m2v_core.serve.config"})

__all__ = ["create_app", "ServeConfig", "check_installed"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        check_installed()
    return _attribute(name)


def check_installed() -> None:
    """Raise `MissingPackageError` unless all packages of the extra are installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"The server needs {', '.join(missing)}, which {'are' if missing[1:] else 'is'} not installed: "
            f"pip install 'm2v-core[serve]'"
        )
