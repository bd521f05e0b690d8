from __future__ import annotations

from types import SimpleNamespace

import pytest

from m2v_core import InvalidInputError
from m2v_core.devices import device_name


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (None, None),
        ("cpu", "cpu"),
        (" CUDA:1 ", "cuda:1"),
        (SimpleNamespace(type="cuda", index=1), "cuda:1"),  # as torch.device
        (SimpleNamespace(type="mps", index=None), "mps"),
    ],
)
def test_names(device: object, name: str | None) -> None:
    assert device_name(device) == name


@pytest.mark.parametrize("device", ["", " ", ":0", "cpu:", "cpu:x", "cpu:-1", "cpu:0:1", 0, b"cpu", ["cpu"]])
def test_what_is_no_name(device: object) -> None:
    with pytest.raises(InvalidInputError, match=r"device should be a name .*; found"):
        device_name(device)
