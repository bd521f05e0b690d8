"""The number of threads: CPUs that may be used, and limits of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from m2v_core import InvalidInputError, StaticModel
from m2v_core.threads import available_cpus, thread_count


def system(folder: Path, groups: str, files: dict[str, str]) -> Path:
    """A folder with `/proc/self/cgroup` and files under `/sys/fs/cgroup`."""
    for name, content in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{n}": c for n, c in files.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def eight_cpus(monkeypatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    else:
        monkeypatch.setattr(os, "cpu_count", lambda: 8)


V1 = {"cpu,cpuacct/cpu.cfs_quota_us": "150000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 8),
        ("0::/outer/inner\n", {"outer/cpu.max": "300000 100000\n", "outer/inner/cpu.max": "max 100000\n"}, 3),
        ("0::/outer/inner\n", {"outer/cpu.max": "max 100000\n", "outer/inner/cpu.max": "400000 100000\n"}, 4),
        ("0::/of/the/host\n", {"cpu.max": "250000 100000\n"}, 3),
        ("4:cpu,cpuacct:/\n3:memory:/\n0::/\n", V1, 2),
        ("4:cpu,cpuacct:/of/the/host\n", V1, 2),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("4:cpuset:/\n", V1, 8),
        ("0::/\n", {"cpu.max": "no numbers\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 0\n"}, 8),
        ("nothing of the kind\n", {}, 8),
    ],
)
def test_a_limit_of_a_control_group_counts(tmp_path, groups, files, cpus) -> None:
    assert available_cpus(system(tmp_path, groups, files)) == cpus


@pytest.mark.usefixtures("eight_cpus")
def test_a_system_without_control_groups_has_its_cpus(tmp_path) -> None:
    assert available_cpus(tmp_path) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_cpus_that_this_process_may_not_use_do_not_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert thread_count(None) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_number_of_threads_is_taken_as_it_is() -> None:
    assert thread_count(64) == 64


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_threads_is_an_error(wrong, model: StaticModel) -> None:
    for call in (
        thread_count,
        lambda threads: model.encode(["a"], threads=threads),
        lambda threads: list(model.encode_stream(["a"], threads=threads)),
        lambda threads: model.encode_as_sequence(["a"], threads=threads),
    ):
        with pytest.raises(InvalidInputError, match="threads should be a whole number, 1 or more, or None"):
            call(wrong)


def test_vectors_do_not_depend_on_threads(model: StaticModel) -> None:
    texts = [f"good day {number}" for number in range(12_000)]
    one = model.encode(texts, threads=1)
    assert all((model.encode(texts, threads=threads) == one).all() for threads in (None, 2, 7))
