"""Many callers at once, compared bit by bit with one alone: `python -P -m concurrency --threads 8 --calls 100000`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from concurrency.calls import in_coroutines, in_processes, in_threads
from concurrency.folders import pullers, two_writers_and_a_reader


def main() -> int:
    """Run all; the exit code is 1 where a result was wrong."""
    parser = argparse.ArgumentParser(prog="concurrency", description=__doc__)
    parser.add_argument("--threads", type=int, default=8, help="threads (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=5_000, help="calls of each thread (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=40, help="jobs of processes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of two writers and a reader (default: %(default)s)")
    parser.add_argument("--pulls", type=int, default=4, help="rounds of two pullers (default: %(default)s)")
    options = parser.parse_args()
    is_free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    print(f"CPython {sys.version.split()[0]}{', free-threaded' if is_free else ''}", flush=True)
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which is what is tried here
    failed = False

    def tried(
        name: str, work: Callable[[], object], right: Callable[[object], bool] = lambda wrong: wrong == 0
    ) -> None:
        nonlocal failed
        started = time.monotonic()
        found = work()
        failed |= not right(found)
        says = dict(found) if isinstance(found, dict) else f"{found} wrong"
        print(f"{name}: {says}, {time.monotonic() - started:.0f} s", flush=True)

    n_calls = options.threads * options.calls
    tried(f"{n_calls:,} calls in {options.threads} threads", lambda: in_threads(options.threads, options.calls))
    tried(f"{n_calls // 20:,} calls in coroutines", lambda: in_coroutines(n_calls // 20))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for method in multiprocessing.get_all_start_methods():
            work = (method, folder / method, options.jobs)
            tried(f"{options.jobs} jobs in processes, {method}", lambda work=work: in_processes(*work))
        for how in ("by exchange", "by files"):
            tried(
                f"two writers and a reader, {how}",
                lambda how=how: two_writers_and_a_reader(folder / how, how, options.seconds),
                lambda seen: set(+seen) == {"one", "two"},  # type: ignore[operator]
            )
        (folder / "pulls").mkdir()
        tried(f"{options.pulls} rounds of two pullers", lambda: pullers(folder / "pulls", options.pulls))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
