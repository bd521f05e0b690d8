"""Devices that take part in training."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from m2v_core.devices import device_name
from m2v_core.errors import InvalidInputError

if TYPE_CHECKING:
    from jax.sharding import Mesh


def mesh_of(device: Any) -> Mesh:
    """A one-dimensional mesh of devices, which share each batch.

    Args:
        device: "auto" or `None` for all of the best kind that JAX finds; a kind ("cpu", "gpu", "cuda", "tpu") for all
            of that kind; with a number ("gpu:1") for one; or a device of PyTorch, for the one of that name.

    Raises:
        InvalidInputError: JAX finds no such device.

    Example:
        >>> mesh_of("cpu:0").size
        1
    """
    import jax  # here, so that options can be checked without it
    import numpy as np

    kind, colon, number = (device_name(device) or "auto").partition(":")
    found: list[jax.Device] = []
    with suppress(RuntimeError):
        found = jax.local_devices() if kind == "auto" else jax.local_devices(backend=kind)
    if colon:
        found = found[int(number) : int(number) + 1]
    if not found:
        here = ", ".join(f"{d.platform}:{i}" for i, d in enumerate(jax.local_devices()))
        raise InvalidInputError(
            f"device should be 'auto', or one that JAX finds ({here}); found {device!r}. 'auto' takes the best "
            f"kind. For an NVIDIA GPU install jax[cuda12] or jax[cuda13]; JAX has no 'mps' and no 'xpu'."
        )
    return jax.sharding.Mesh(np.array(found), ("data",))
