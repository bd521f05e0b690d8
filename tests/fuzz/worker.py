"""A process that runs cases of one kind, and tells of each on a pipe, so that an abort or a hang is a finding.

python -P -m fuzz.worker KIND START STOP FOLDER OUT
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from fuzz.kinds import KINDS, Kind, seeds
from fuzz.mutations import change_folder, copied
from m2v_core import M2VError

#: A case may take so many seconds of a CPU, and so many bytes.
SECONDS, BYTES = 2.0, 500 << 20

#: Kinds whose seconds are mostly those of a compiler: their time counts apart from that.
COMPILES = {"teacher": 20.0, "checkpoint": 20.0}


def case(kind: Kind, name: str, number: int, folders: list[Path], work: Path) -> dict[str, Any]:
    """Run a case, and tell what came of it."""
    rng = random.Random(f"{name}-{number}")
    seed = rng.choice(folders)
    folder = work / "folder"
    copied(seed, folder)
    change = change_folder(folder, rng, kind.names)
    if kind.reseal is not None:
        kind.reseal(folder, rng)
    _start_of_memory()
    before, started = _memory("VmRSS"), time.process_time()
    outcome, detail = "used", ""
    try:
        kind.use(folder, rng)
    except (M2VError, OSError) as error:
        outcome = type(error).__name__
        try:
            str(error).encode()
        except UnicodeEncodeError:
            outcome, detail = "failure: an error that cannot be printed", repr(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # panics of libraries are no `Exception`
        outcome = f"failure: {type(error).__name__}"
        detail = "".join(traceback.format_exception(error, limit=-6))[-2_500:]
    seconds, grown = time.process_time() - started, _memory("VmHWM") - before
    if seconds > COMPILES.get(name, SECONDS):
        outcome, detail = "failure: too slow", f"{seconds:.1f} s; {outcome}; {detail}"
    elif grown > BYTES:
        outcome, detail = "failure: too large", f"{grown >> 20} MB; {outcome}; {detail}"
    return {
        "number": number,
        "outcome": outcome,
        "seed": seed.name,
        "change": change,
        "detail": detail,
        "seconds": seconds,
        "bytes": grown,
    }


def _start_of_memory() -> None:
    """From here on the peak of this process counts anew."""
    Path("/proc/self/clear_refs").write_text("5")


def _memory(what: str) -> int:
    found = re.search(rf"{what}:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else 0


def main() -> None:
    """Run the cases from START to STOP."""
    name, start, stop, root, work = (
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        Path(sys.argv[4]),
        Path(sys.argv[5]),
    )
    out = os.fdopen(os.dup(1), "w")
    kind = KINDS[name]
    folders = seeds(name, root)
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)
    # numpy warns of the sum of a single text, which is then computed in another way; see `m2v_core.encode.pool`.
    warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)
    # And of infinities in the file that cancel each other; what is made of finite numbers is looked at by itself.
    warnings.filterwarnings("ignore", "invalid value encountered in reduce", RuntimeWarning)
    work.mkdir(parents=True, exist_ok=True)
    copied(folders[0], work / "folder")
    kind.use(work / "folder", random.Random(0))  # imports, before memory is limited
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    used = _memory("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30), used + (4 << 30)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(start, stop):
        print(json.dumps({"started": number}), file=out, flush=True)
        try:
            done = case(kind, name, number, folders, work)
        except Exception:  # of the mutation itself
            done = {"number": number, "outcome": "failure: no case", "detail": traceback.format_exc()}
        print(json.dumps(done), file=out, flush=True)


if __name__ == "__main__":
    main()
