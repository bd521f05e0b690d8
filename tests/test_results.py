"""Tables and pictures of the pages are what `tools/results.py` makes of the committed results, and it makes them right."""

from __future__ import annotations

import doctest
import json
import re
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "benchmarks")]

import everything
import install_worker
import pictures
import processes
import records
import results
import results_tables
from records import Measured, Record, ratio

COMMITTED = results.records_in(ROOT / results.RESULTS)
PAGES = results.pages()
MACHINE = {"cpu": "A", "cores": 2, "amx": False, "memory": 8, "system": "Linux", "others": 0.0}


def record(*measured: Measured, **changed: object) -> Record:
    fields = {"benchmark": "b", "date": "2026-01-02", "machine": MACHINE, "versions": {}, "settings": {}}
    return Record(**{**fields, **changed}, measured=measured)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_of_pages_are_those_of_the_results(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert results.rendered(page, COMMITTED) == page, "run python tools/results.py"


@pytest.mark.parametrize("name", ["how-it-works.svg", "quality-and-speed.svg", "quality-and-dimensions.svg"])
def test_pictures_are_those_of_the_results(name: str) -> None:
    written = (ROOT / "docs" / "_static" / name).read_text(encoding="utf-8")
    assert written == pictures.pictures(COMMITTED)[name], "run python tools/results.py"


def test_every_table_has_a_page_and_every_result_a_table() -> None:
    named = {match[1] for path in PAGES for match in results.BLOCK.finditer(path.read_text(encoding="utf-8"))}
    assert named == set(results_tables.TABLES)
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    for name in COMMITTED:
        fewer = {other: each for other, each in COMMITTED.items() if other != name}
        assert f"Not measured yet: `nox -s bench -- all {name}`." in results.rendered(text, fewer)


def test_a_page_changes_between_the_comments_alone() -> None:
    values = [Measured("c", side, "MB", (number,)) for side, number in (("m2v-core", 95.6), ("gensim", 1234.4))]
    counts = [Measured("c", side, "packages", (number,)) for side, number in (("m2v-core", 19), ("gensim", 5))]
    page = "# A\n\n<!-- results: install -->\n| old |\n<!-- results end -->\n\n| by hand |\n"
    made = results.rendered(page, {"install": record(*values, *counts)})
    table = "|  | packages | MB |\n| --- | --- | --- |\n| `pip install m2v-core` | 19 | 96 |\n| `pip install gensim` | 5 | 1,234 |"
    assert made == page.replace("| old |\n", f"\n{table}\n\n")
    assert results.rendered(made, {"install": record(*values, *counts)}) == made
    with pytest.raises(ValueError, match=r"expected one of ablations, .*; found 'none'"):
        results.rendered("<!-- results: none -->\n<!-- results end -->", {})


def test_a_file_holds_what_was_measured(tmp_path: Path) -> None:
    time.sleep(1.0)  # of which another process could use a part
    values = [
        Measured("é | case", "m2v", "wall, s", (1.23456789, 3.0, 2.0)),
        Measured("c", "peer", "MB", (12345678.0,)),
    ]
    records.write(
        tmp_path / "new" / "b.json", "b", values, pythons={"peer": None, "same": sys.executable}, settings={"n": 3}
    )
    found = records.read(tmp_path / "new" / "b.json")
    assert [one.values for one in found.measured] == [(1.2346, 3.0, 2.0), (12346000.0,)]
    assert (found.settings, found.benchmark) == ({"n": 3}, "b")
    assert set(found.versions) == {"m2v", "same"}
    assert found.versions["same"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "m2v-core" in found.versions["m2v"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.date)
    assert found.machine["cores"] >= 1
    assert found.machine["amx"] in (True, False)
    assert found.machine["others"] is None or 0 <= found.machine["others"] <= 1024
    (line, _) = json.loads((tmp_path / "new" / "b.json").read_text(encoding="utf-8"))["measured"]
    assert {name: line[name] for name in ("median", "mean", "lowest", "highest", "runs")} == {
        "median": 2.0,
        "mean": pytest.approx(2.0782, abs=1e-4),
        "lowest": 1.2346,
        "highest": 3.0,
        "runs": 3,
    }
    assert records.loads(records.dumps(found)) == found
    records.write(None, "b", values)


def test_ratios_are_taken_run_by_run() -> None:
    ours, theirs = Measured("c", "m2v", "s", (1.0, 8.0, 3.0)), Measured("c", "peer", "s", (2.0, 4.0, 3.0))
    assert ratio(ours, theirs) == 1
    assert ratio(ours, Measured("c", "peer", "s", (2.0, 4.0))) == 1
    assert doctest.testmod(records).attempted
    assert not doctest.testmod(records).failed


def test_the_report_shows_what_changed() -> None:
    old = record(
        Measured("c", "m2v", "s", (1.0, 2.0, 3.0)),
        Measured("c", "peer", "s", (4.0,)),
        Measured("d", "m2v", "s", (1.0,)),
    )
    new = record(
        Measured("c", "m2v", "s", (4.0, 5.0, 9.0)),
        Measured("c", "peer", "s", (4.0,)),
        Measured("e", "m2v", "s", (1.0,)),
        machine={**MACHINE, "cpu": "B"},
        date="2026-01-03",
    )
    said = results.report({"encode": new, "train": new}, {"encode": old})
    assert "machine cpu differs: A before, B now." in said
    assert "Median of 2 ratios to 2026-01-02: 1.75. No longer measured: 1." in said
    assert "| c | m2v | s | 2 (1 to 3) | 5 (4 to 9) | 2.50 * |" in said
    assert "| c | peer | s | 4 (4 to 4) | 4 (4 to 4) | 1.00 |" in said
    assert "| e | m2v | s |  | 1 (1 to 1) | new |" in said
    assert said.endswith("## train, 2026-01-03\n\nNothing was committed before.")


def test_the_report_of_what_was_committed(capsys: pytest.CaptureFixture[str]) -> None:
    """The files of a checkout beside those of its last commit; an archive without git has none."""
    assert results.main(["report"]) == 0
    out = capsys.readouterr().out
    for name, each in COMMITTED.items():
        assert f"## {name}, {each.date}" in out


def test_means_by_category() -> None:
    """The mean is that of six categories; a category's is that of its tasks; one that misses a task is left empty."""
    found = []
    for number, tasks in enumerate(results_tables.CATEGORIES.values()):
        for place, task in enumerate(tasks):
            found.append(Measured(task, "m2v", "x 100", (10.0 * number + place, 10.0 * number + place)))
            if task != "cranfield":
                found.append(Measured(task, "wordllama", "x 100", (50.0,)))
    speeds = [
        Measured(f"45,000 tweets, {how}", "m2v", "microseconds a text", (20.0, 10.0, 5.0)) for how in ("cold", "warm")
    ]
    table = results_tables.by_category({"quality": record(*found), "encode": record(*speeds)}).splitlines()
    assert table[2] == "| **m2v**, the default | 25.2 | 1.0 | 10.0 | 20.0 | 30.0 | 40.0 | 50.5 | 100,000 |"
    assert table[3] == "| wordllama, its own model |  | 50.0 | 50.0 | 50.0 |  | 50.0 | 50.0 |  |"
    assert len(table) == 4


def test_whole_processes_take_turns(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {
        "one": [sys.executable, "-S", "-c", "pass"],
        "two": [sys.executable, "-S", "-c", "b'x' * 300_000_000"],
    }
    found = {(one.side, one.measure): one for one in processes.compare("nothing", commands, runs=2, warmups=0)}
    assert {len(one.values) for one in found.values()} == {2}
    assert len(found) == 2 * len(processes.MEASURES)
    assert found["two", processes.PEAK].median > 280  # that of "one" is no smaller where this process is large
    assert min(found["one", processes.WALL].values) > 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows] == ["", "---", "one", "two"]
    assert rows[2].count("| 1.00 ") == 3
    with pytest.raises(SystemExit, match="failed:\nTraceback"):
        processes.compare("an error", {"one": [sys.executable, "-c", "import nothing"]}, runs=1, warmups=0)


def test_what_a_requirement_brings() -> None:
    """With an extra, it is more; what is not installed, or not for this system, is left out."""
    plain = install_worker.closure(Requirement("m2v-core"))
    assert {"m2v-core", "numpy", "tokenizers", "safetensors", "tqdm"} <= set(plain)
    assert set(install_worker.closure(Requirement("M2V.core[search]"))) > set(plain)
    assert "bm25s" not in plain
    assert install_worker.closure(Requirement("nothing-of-this-name")) == {}
    assert install_worker.size_of(plain["m2v-core"]) < 10 < install_worker.size_of(plain["numpy"]) < 200


@pytest.mark.parametrize("quick", [False, True])
def test_parts_call_benchmarks_with_options_that_they_have(quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part names a script that has its options and takes `--json`; models and peers are not made here."""
    names = ("peer", "laghu", "others", "tokenizers1")
    args = Namespace(quick=quick, data=Path("d"), models=Path("m"), real=Path("r"), **{name: name for name in names})
    monkeypatch.setattr(everything, "made", lambda args, *names: {name: args.models / name for name in names})
    monkeypatch.setattr(everything, "tasks", lambda args: ["--data", args.data, "--pairs", "words.tsv"])
    monkeypatch.setattr(everything, "small_collection", lambda args: args.models / "few")
    assert set(COMMITTED) <= set(everything.PARTS)
    for name, part in everything.PARTS.items():
        script, *words = map(str, part(args))
        source = Path(script).read_text(encoding="utf-8")
        assert "add_json(" in source, name
        for option in words:
            assert not option.startswith("--") or f'"{option}"' in source, (name, option)
