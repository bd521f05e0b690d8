"""Which devices take part."""

from __future__ import annotations

import jax
import numpy as np
from jax.sharding import Mesh

from m2v_core.errors import InvalidInputError


def mesh_of(device: str) -> Mesh:
    """Devices in one axis, each of which takes a share of every batch.

    Args:
        device: "auto" for all of the best kind that JAX finds; a kind ("cpu", "gpu", "cuda", "tpu") for all of that
            kind; with a number ("gpu:1") for one.

    Raises:
        InvalidInputError: There is none such.

    Example:
        >>> mesh_of("cpu:0").size
        1
    """
    kind, _, number = device.partition(":")
    try:
        found = jax.local_devices() if kind == "auto" else jax.local_devices(backend=kind)
        chosen = [found[int(number)]] if number else found
    except (RuntimeError, ValueError, IndexError):
        here = ", ".join(f"{d.platform}:{i}" for i, d in enumerate(jax.local_devices()))
        raise InvalidInputError(f"device should be 'auto', or one that JAX finds ({here}); found {device!r}.") from None
    return Mesh(np.array(chosen), ("data",))
