"""Names of devices; `tests/integration/test_interop_tensors.py` has devices of PyTorch itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import pytest

from m2v_core import InvalidInputError
from m2v_core.devices import device_name
from m2v_train.config import TrainConfig
from m2v_train.engine.devices import mesh_of

pytestmark = pytest.mark.skipif(
    jax.default_backend() != "cpu" or len(jax.devices()) > 1, reason="JAX has other devices here than one CPU"
)


@pytest.mark.parametrize(
    "device",
    [
        "auto",
        "AUTO",
        None,
        "cpu",
        "CPU",
        "cpu:0",
        SimpleNamespace(type="cpu", index=None),
        SimpleNamespace(type="cpu", index=0),
    ],
)
def test_devices_that_are_here(device: Any) -> None:
    assert mesh_of(device).devices.tolist() == jax.local_devices()[:1]
    assert TrainConfig(device=device).device is device


@pytest.mark.parametrize(
    "device",
    [
        *("mps", "xpu", "cuda", "cuda:0", "gpu", "tpu:3", "meta", "cpu:1"),
        *(SimpleNamespace(type="mps", index=None), SimpleNamespace(type="cuda", index=1)),
    ],
)
def test_devices_that_are_not_here(device: Any) -> None:
    with pytest.raises(
        InvalidInputError, match=r"device should be 'auto', or one that JAX finds \(cpu:0\); found .*mps"
    ):
        mesh_of(device)


@pytest.mark.parametrize("device", [0, True, object(), ["cpu"], b"cpu", "", "cpu:-1", "cpu:", "cpu:x", "cpu:0:0"])
def test_what_names_no_device(device: Any) -> None:
    for call in (device_name, mesh_of, lambda device: TrainConfig(device=device)):
        with pytest.raises(InvalidInputError, match=r"device should be a name such as 'cpu', .* or None; found"):
            call(device)
