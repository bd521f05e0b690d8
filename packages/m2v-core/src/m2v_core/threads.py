"""How many threads a computation may use: one rule for `encode`, search and the server."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from m2v_core import checks

_V1_FOLDERS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def thread_count(threads: int | None) -> int:
    """The number of threads that an option `threads` stands for.

    Args:
        threads: A number of threads, or `None` for all CPUs that this process may use.

    Raises:
        InvalidInputError: `threads` is not a whole number of at least 1.

    Example:
        >>> thread_count(3), thread_count(None) == available_cpus()
        (3, True)
    """
    checks.whole("threads", threads, 1, or_none=True)
    return available_cpus() if threads is None else threads


def available_cpus(root: Path = Path("/")) -> int:
    """The number of CPUs that this process may use, at least 1.

    These are the CPUs that it may be scheduled on, or fewer where a control group limits its CPU time, as that of a
    container does: a quota of 1.5 CPUs counts as 2.

    Args:
        root: The folder in which `proc` and `sys` are looked for.

    Example:
        >>> available_cpus() >= 1
        True
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([cpus, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """The limits in CPUs of this process's control groups (Linux, versions 1 and 2), and of the groups around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # another system
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath("/") / path
        if controllers == "":
            folders = [mounts]
        elif "cpu" in controllers.split(","):
            folders = [mounts / name for name in _V1_FOLDERS]
        else:
            continue
        # In a container the path may be that of the host; its own group is then the mounted folder itself.
        for folder in folders:
            for around in (group, *group.parents):
                yield from _limit(folder / around.relative_to("/"))


def _limit(folder: Path) -> Iterator[float]:
    """The limit of one group, if it has one: `cpu.max` of version 2, `cpu.cfs_*_us` of version 1."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{part}_us").read_text(encoding="ascii") for part in ("quota", "period")
            )
        if float(quota) > 0 and float(period) > 0:
            yield float(quota) / float(period)
    except (OSError, ValueError):  # no such group, or "max"
        return
