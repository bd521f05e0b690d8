"""Names of devices, as the packages that compute with them take them."""

from __future__ import annotations

from m2v_core.errors import InvalidInputError


def device_name(device: object) -> str | None:
    """The name of a device in lower case, as `kind` or `kind:number`; `None` stands for none in particular.

    Args:
        device: A name, `None`, or what has a `type` and an `index`, as `torch.device` has: PyTorch is not imported.

    Raises:
        InvalidInputError: It is something else, or no such name.

    Example:
        >>> device_name("CUDA:1"), device_name(None)
        ('cuda:1', None)
    """
    if device is None:
        return None
    kind, index = getattr(device, "type", None), getattr(device, "index", None)
    if not isinstance(device, str) and isinstance(kind, str) and isinstance(index, int | None):
        device = kind if index is None else f"{kind}:{index}"
    name = device.strip().lower() if isinstance(device, str) else ""
    number = name.partition(":")[2]
    if not name.partition(":")[0] or (":" in name and not (number.isascii() and number.isdigit())):
        raise InvalidInputError(
            f"device should be a name such as 'cpu', 'gpu' or 'cuda:1' (the second one), a torch.device, or None; "
            f"found {device!r}."
        )
    return name
