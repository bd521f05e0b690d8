"""A few of the damaged files of `nox -s fuzz`, with fixed numbers, and in the tests' own process."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from fuzz.kinds import KINDS, seeds
from fuzz.worker import case

#: Kinds that need no JAX, and whose seeds are made quickly; the others are left to the session.
QUICK = [name for name in KINDS if name not in ("teacher", "store", "chunks", "checkpoint", "card", "legacy")]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the counters of Linux")
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore:overflow encountered", "ignore:invalid value encountered in reduce"
)
@pytest.mark.parametrize("name", QUICK)
def test_damaged_files_of_strangers(name: str, tmp_path: Path) -> None:
    """Each ends in a right value or a documented error, in time and in memory."""
    folders, outcomes = seeds(name, tmp_path / "seeds"), Counter[str]()
    for number in range(40):
        done = case(KINDS[name], name, number, folders, tmp_path)
        assert not done["outcome"].startswith("failure"), done
        outcomes[done["outcome"]] += 1
    assert outcomes["used"]
    assert outcomes.total() > outcomes["used"]
