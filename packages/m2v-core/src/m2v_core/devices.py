"""Names of devices, as m2v-distill and m2v-train accept them."""

from __future__ import annotations

from m2v_core import checks
from m2v_core.errors import InvalidInputError


def device_name(device: object) -> str | None:
    """The name of a device in lower case, as `kind` or `kind:number`; `None` stands for the default device.

    Args:
        device: A name, `None`, or an object with a `type` and an `index`, such as a `torch.device`. PyTorch is not
            imported.

    Raises:
        InvalidInputError: The argument is none of these, or not the name of a device.

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
            f"found {checks.shown(device)}."
        )
    return name
