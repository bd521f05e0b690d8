"""Which devices take part."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from m2v_core.errors import InvalidInputError

if TYPE_CHECKING:
    from jax.sharding import Mesh


def device_name(device: Any) -> str | None:
    """The name of a device: of a string itself, of a device of PyTorch its kind and index; `None` for no choice.

    Raises:
        InvalidInputError: It is something else.

    Example:
        >>> device_name("gpu:1"), device_name(None)
        ('gpu:1', None)
    """
    if device is None or isinstance(device, str):
        return device
    kind, index = getattr(device, "type", None), getattr(device, "index", None)
    if isinstance(kind, str):
        return kind if index is None else f"{kind}:{index}"
    raise InvalidInputError(
        f"device should be a name such as 'auto', 'cpu' or 'gpu:1', or a device of PyTorch; found {device!r} "
        f"({type(device).__name__})."
    )


def mesh_of(device: Any) -> Mesh:
    """Devices in one axis, each of which takes a share of every batch.

    Args:
        device: "auto" or `None` for all of the best kind that JAX finds; a kind ("cpu", "gpu", "cuda", "tpu") for all
            of that kind; with a number ("gpu:1") for one; or a device of PyTorch, for the one of that name.

    Raises:
        InvalidInputError: There is none such.

    Example:
        >>> mesh_of("cpu:0").size
        1
    """
    import jax  # here, so that options can be checked without it
    import numpy as np

    kind, colon, number = (device_name(device) or "auto").partition(":")
    found: list[jax.Device] = []
    for spelling in (kind, kind.lower()):
        with suppress(RuntimeError):
            found = found or (jax.local_devices() if spelling == "auto" else jax.local_devices(backend=spelling))
    if colon:
        found = [found[int(number)]] if number.isdecimal() and int(number) < len(found) else []
    if not found:
        here = ", ".join(f"{d.platform}:{i}" for i, d in enumerate(jax.local_devices()))
        raise InvalidInputError(
            f"device should be 'auto', or one that JAX finds ({here}); found {device!r}. 'auto' takes the best that "
            f"there are. For an NVIDIA GPU install jax[cuda12] or jax[cuda13]; JAX has no 'mps' and no 'xpu'."
        )
    return jax.sharding.Mesh(np.array(found), ("data",))
