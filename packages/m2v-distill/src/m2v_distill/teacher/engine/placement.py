"""The devices of a teacher's weights, and the precision of its matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from m2v_core.checks import one_of, whole
from m2v_core.devices import device_name
from m2v_core.errors import InvalidInputError
from m2v_distill.teacher.interface import Device, Precision

DATA, MODEL = "data", "model"

#: Last parts of the names of dense layers that take the split output of the layer before them.
SPLIT_BY_INPUT = ("out", "down")


@dataclass(frozen=True)
class Placement:
    """Devices and precision of a teacher.

    Attributes:
        mesh: Devices [data, model]: batches are split along the first axis, weights along the second.
        precision: Precision of the inputs of matrix products; sums and everything else are float32.

    Example:
        >>> placement = Placement.of(device="cpu", precision="float32")
        >>> placement.mesh.shape["data"], placement.precision
        (1, 'float32')
    """

    mesh: Mesh
    precision: Literal["float32", "bfloat16"]

    @classmethod
    def of(
        cls,
        *,
        device: Device = None,
        precision: Precision = "float32",
        model_parallel: int = 1,
        beside_torch: bool = False,
    ) -> Placement:
        """The placement for names of a device and a precision.

        Args:
            device: Devices by name, as in `devices_of`.
            precision: Name of a precision; "auto" is bfloat16 where the hardware multiplies it fast.
            model_parallel: Number of devices that share one copy of the weights.
            beside_torch: Whether the encoder may run in PyTorch: if only PyTorch has the device, JAX uses its default.

        Raises:
            InvalidInputError: There is no such device or precision, or the devices cannot be grouped so.
        """
        one_of("precision", precision, get_args(Precision))
        whole("model_parallel", model_parallel, 1)
        try:
            devices = np.array(devices_of(device))
        except InvalidInputError:
            if not beside_torch:
                raise
            devices = np.array(jax.devices())
        if len(devices) % model_parallel:
            raise InvalidInputError(
                f"model_parallel should divide the number of devices, {len(devices)}; found {model_parallel}."
            )
        narrow = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(devices[0]))
        return cls(Mesh(devices.reshape(-1, model_parallel), (DATA, MODEL)), "bfloat16" if narrow else "float32")

    @property
    def copies(self) -> int:
        """The number of copies of the weights; each computes an equal part of every batch."""
        return int(self.mesh.shape[DATA])

    @property
    def batch_tokens(self) -> int:
        """The positions that one copy computes at once: as many as fit into a CPU's cache, or fill an accelerator."""
        return 2048 if self.mesh.devices.flat[0].platform == "cpu" else 32768

    def weight(self, path: str, array: NDArray[Any] | jax.Array) -> jax.Array:
        """A weight on its devices, in its dtype: kernels in `precision`, embeddings as they are, all else float32.

        Embeddings in float16 become float32 where XLA cannot read float16.

        Args:
            path: Path in the module, such as "blocks.0.query.kernel".
            array: The values.
        """
        layer, _, kind = path.rpartition(".")
        if kind == "kernel":
            array = array.astype(jnp.dtype(self.precision))
        elif kind != "embedding" or not self._reads(array.dtype):
            array = array.astype(np.float32)
        axis = {"kernel": int(layer.rpartition(".")[2] not in SPLIT_BY_INPUT), "embedding": 1}.get(kind)
        parts = self.mesh.shape[MODEL]
        split = axis is not None and parts > 1 and array.shape[axis] % parts == 0
        spec = PartitionSpec(*(MODEL if split and index == axis else None for index in range(array.ndim)))
        return self._put(array, spec)

    def batch(self, array: NDArray[Any]) -> jax.Array:
        """A batch on the devices, its rows divided among the copies; every host passes all of it."""
        return self._put(array, PartitionSpec(DATA))

    def gathered(self, array: jax.Array) -> jax.Array:
        """An array, inside a compiled function, replicated on every host."""
        if self.mesh.size == 1:
            return array
        whole: jax.Array = jax.lax.with_sharding_constraint(array, NamedSharding(self.mesh, PartitionSpec()))
        return whole

    def fetched(self, array: jax.Array | NDArray[Any]) -> NDArray[Any]:
        """The whole array as a NumPy array, on every host."""
        if isinstance(array, jax.Array) and not (array.is_fully_addressable or array.is_fully_replicated):
            array = jax.jit(self.gathered)(array)
        return np.asarray(array)

    @property
    def columns(self) -> Mesh:
        """This host's devices, for work that every host does alone and that is divided by columns of a table."""
        devices = [device for device in self.mesh.devices.flat if device.process_index == jax.process_index()]
        return Mesh(np.array(devices), ("columns",))

    def _reads(self, dtype: np.dtype[Any]) -> bool:
        """Whether the devices can read embeddings of this dtype."""
        return dtype.itemsize <= 4 and (dtype != np.float16 or widens_float16(self.mesh.devices.flat[0].platform))

    def _put(self, array: Any, spec: PartitionSpec) -> jax.Array:
        sharding = NamedSharding(self.mesh, spec)
        if isinstance(array, jax.Array) and array.is_fully_addressable and not sharding.is_fully_addressable:
            array = np.asarray(array)
        if isinstance(array, jax.Array) or sharding.is_fully_addressable:
            return jax.device_put(array, sharding)
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)


def has_fast_bfloat16(device: jax.Device) -> bool:
    """Whether a device multiplies bfloat16 much faster than float32: TPUs, GPUs since Ampere, CPUs with AMX."""
    if device.platform == "cpu":
        try:
            return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
        except OSError:  # not Linux: Apple's CPUs lack the instructions, and other systems do not tell
            return False
    # AMD has names in place of numbers, and all current devices have fast bfloat16.
    capability = str(getattr(device, "compute_capability", "8.0"))
    return not capability.replace(".", "").isdigit() or float(capability) >= 8


@cache
def widens_float16(platform: str) -> bool:
    """Whether XLA converts float16 to float32 on a platform; CPUs without F16C (2012) cannot."""
    number = jax.device_put(np.float16(1), jax.local_devices(backend=platform)[0])
    try:
        return bool(jax.jit(lambda x: x.astype(jnp.float32))(number) == 1)
    except jax.errors.JaxRuntimeError:
        return False


def devices_of(device: Device) -> list[jax.Device]:
    """The JAX devices for a name or a `torch.device`.

    Args:
        device: `None` or "auto" for all of the best kind, on every host; a kind ("cpu", "gpu" or "cuda", "tpu") for all
            of that kind; with a number ("gpu:1") for one of this host.

    Raises:
        InvalidInputError: JAX has no such device here.
    """
    name = device_name(device) or "auto"
    kind, numbered, number = name.partition(":")
    try:
        if kind == "auto":
            return jax.devices()
        platform = {"cuda": "gpu"}.get(kind, kind)
        return [jax.local_devices(backend=platform)[int(number)]] if numbered else jax.devices(platform)
    except (RuntimeError, IndexError):
        found = ", ".join(f"{device.platform}:{i}" for i, device in enumerate(jax.local_devices()))
        raise InvalidInputError(
            f"device should name one that JAX has here ({found}), or be left out; found {name!r}. {_remedy(kind)}"
        ) from None


def _remedy(kind: str) -> str:
    if kind in ("gpu", "cuda"):
        return "For an NVIDIA GPU install jax[cuda12] or jax[cuda13]."
    if kind == "tpu":
        return "For a TPU install jax[tpu]."
    if kind in ("mps", "xpu"):
        return f"JAX has no {kind!r}: write 'cpu', or run the teacher in PyTorch there, by backend='torch'."
    return "Others, once their plug-in for JAX is installed: 'gpu' (or 'cuda') and 'tpu', with ':1' for the second one."
