"""The progress bar of all packages."""

from __future__ import annotations

import sys
from typing import Any, Self


def progress_bar(
    description: str, *, unit: str, total: int | None = None, show: bool | None = None, initial: int = 0
) -> Any:
    """A progress bar on stderr, as a context manager whose `update(n)` counts.

    Args:
        description: Name of the work, such as "Encoding".
        unit: Unit of the count, such as "texts".
        total: Total number, which gives the time left; `None` if it is not known.
        show: True shows the bar, False does not, `None` shows it if stderr is a terminal.
        initial: Number that was done before.

    Example:
        >>> with progress_bar("Encoding", unit="texts", total=2, show=False) as bar:
        ...     _ = bar.update(2)
    """
    try:
        from tqdm import tqdm  # costs as much as the rest of `import m2v_core`
    except ModuleNotFoundError:
        return _NoBar(total, initial)
    wanted = (sys.stderr is not None and sys.stderr.isatty()) if show is None else show
    return tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=f" {unit}",
        file=sys.stderr,
        disable=not wanted,
        dynamic_ncols=True,
    )


class _NoBar:
    """Counts, and shows nothing: m2v-core may be installed without tqdm."""

    def __init__(self, total: int | None, n: int) -> None:
        self.total, self.n = total, n

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int = 1) -> None:
        """Count."""
        self.n += n
