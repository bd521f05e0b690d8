"""Run pytest with the arithmetic of several kinds of x86 processors: what `nox -s kernels` does.

OpenBLAS is told whose kernels to take, and XLA and NumPy which instructions to do without. One thing stays: XLA's
matrix products are a library's, which asks the processor itself. A kind that cannot be had here is left out, and the
reason printed. Arguments are pytest's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kind:
    """Attributes:
    kernels: OpenBLAS's name for it.
    needs: What NumPy calls an instruction set that it has; names changed with NumPy 2.4.
    lacks: What newer ones have, by the first letters of NumPy's names.
    xla: The last instruction set that XLA may use; empty for no limit.
    """

    kernels: str
    needs: tuple[str, ...]
    lacks: tuple[str, ...]
    xla: str


KINDS = (
    Kind("Prescott", ("X86_V2", "SSE3"), ("X86_V3", "X86_V4", "AVX", "F16C", "FMA", "XOP"), "SSE4_2"),
    Kind("Haswell", ("X86_V3", "AVX2"), ("X86_V4", "AVX512"), "AVX2"),
    Kind("SkylakeX", ("X86_V4", "AVX512_SKX"), (), ""),
)

SIMD = {"baseline": [], "found": [], **np.show_config(mode="dicts")["SIMD Extensions"]}

#: Prints what a process of its own multiplies with.
BLAS = "import numpy, threadpoolctl; print(*[one.get('architecture') for one in threadpoolctl.threadpool_info()])"


def environment(kind: Kind) -> dict[str, str]:
    unwanted = [name for name in SIMD["found"] if name.startswith(kind.lacks)]
    return {
        **os.environ,
        "OPENBLAS_CORETYPE": kind.kernels,
        "NPY_DISABLE_CPU_FEATURES": " ".join(unwanted),
        "XLA_FLAGS": f"--xla_cpu_max_isa={kind.xla}" if kind.xla else "",
    }


def missing(kind: Kind) -> str:
    """Why it cannot be had here; empty if it can."""
    if not {*SIMD["baseline"], *SIMD["found"]} & {*kind.needs}:
        return f"this processor has no {' or '.join(kind.needs)}"
    command = [sys.executable, "-c", BLAS]
    found = subprocess.run(command, env=environment(kind), capture_output=True, text=True, check=True).stdout
    if found.strip().replace("Katmai", "Prescott") != kind.kernels:  # it has one name for the oldest
        return f"NumPy's BLAS should be an OpenBLAS that has these kernels; found {found.strip()!r}"
    return ""


def main(arguments: list[str]) -> int:
    results = {}
    for kind in KINDS:
        results[kind.kernels] = missing(kind)
        if not results[kind.kernels]:
            print(f"=== {kind.kernels}", flush=True)
            command = [sys.executable, "-m", "pytest", *arguments]
            code = subprocess.run(command, env=environment(kind), check=False).returncode
            results[kind.kernels] = "passed" if code == 0 else f"FAILED: pytest ended with {code}"
    for name, result in results.items():
        print(f"{name}: {result}")
    return int(any("FAILED" in result for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
