"""Results of benchmarks: render tables and pictures of the pages from the JSON files, and report on new files.

    python tools/results.py                 # render the pages from benchmarks/results/*.json
    python tools/results.py report FOLDER   # ratios of new files to the committed ones

A page says where a table goes, and everything between the two comments is replaced:

    <!-- results: distill -->
    <!-- results end -->
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import pictures
from records import Measured, Record, loads, read
from results_tables import SCORES, TABLES, markdown

ROOT = Path(__file__).parents[1]
RESULTS = Path("benchmarks/results")
PAGES = ("README.md", "benchmarks/README.md", "docs/**/*.md")
BLOCK = re.compile(r"^<!-- results: ([\w-]+) -->\n(.*?)^<!-- results end -->$", re.MULTILINE | re.DOTALL)


def records_in(folder: Path) -> dict[str, Record]:
    """The records of a folder, by the names of their files."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def committed(name: str, revision: str = "HEAD") -> Record | None:
    """The record of a file as it was committed; None where it was not."""
    command = ["git", "-C", str(ROOT), "show", f"{revision}:{RESULTS.as_posix()}/{name}.json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return None if done.returncode else loads(done.stdout)


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that have a place for a table."""
    found = sorted({path for pattern in PAGES for path in root.glob(pattern) if "_build" not in path.parts})
    return [path for path in found if BLOCK.search(path.read_text(encoding="utf-8"))]


def rendered(page: str, records: Mapping[str, Record]) -> str:
    """A page with its tables made anew.

    Args:
        page: The text of the page.
        records: Records by the names of their files.

    Returns:
        The page, in which all else is as it was. A table without a record says how to make it.

    Raises:
        ValueError: There is no such table.
    """

    def block(match: re.Match[str]) -> str:
        name = match[1]
        if name not in TABLES:
            raise ValueError(f"results: expected one of {', '.join(sorted(TABLES))}; found {name!r}.")
        try:
            table = TABLES[name](records)
        except KeyError as error:  # there is no file of this part
            table = f"Not measured yet: `nox -s bench -- all {error.args[0]}`."
        return f"<!-- results: {name} -->\n\n{table.strip()}\n\n<!-- results end -->"

    return BLOCK.sub(block, page)


def report(new: Mapping[str, Record], old: Mapping[str, Record]) -> str:
    """Say how new results compare with old ones: the ratio of each measurement, `*` where the ranges do not meet.

    Args:
        new: Records by name.
        old: Records by the same names; those that are missing are said to be new.

    Returns:
        Markdown.
    """
    lines = []
    for name, record in new.items():
        lines.append(f"\n## {name}, {record.date}\n")
        before = old.get(name)
        if before is None:
            lines.append("Nothing was committed before.")
            continue
        lines += [f"{what} differs: {one} before, {other} now.  " for what, one, other in differences(record, before)]
        rows, ratios = [], []
        for one in record.measured:
            other = before.find(one.case, one.side, one.measure)
            if other is None:
                rows.append([one.case, one.side, one.measure, "", _cell(name, one), "new"])
            elif _middle(name, other):
                ratios.append(_middle(name, one) / _middle(name, other))
                apart = min(one.values) > max(other.values) or max(one.values) < min(other.values)
                star = " *" if apart else ""
                cells = [_cell(name, other), _cell(name, one), f"{ratios[-1]:.2f}{star}"]
                rows.append([one.case, one.side, one.measure, *cells])
        gone = sum(record.find(each.case, each.side, each.measure) is None for each in before.measured)
        middle = f"{median(ratios):.2f}" if ratios else "none"
        lines += [f"Median of {len(ratios)} ratios to {before.date}: {middle}. No longer measured: {gone}.\n"]
        lines.append(markdown(["case", "side", "measure", "before", "now", "ratio"], rows))
    return "\n".join(lines).strip()


def differences(new: Record, old: Record) -> list[tuple[str, object, object]]:
    """What differs of machine, settings and versions that both recorded: its name, then the old and the new value."""
    pairs: list[tuple[str, Mapping[str, object], Mapping[str, object]]] = [
        ("machine", old.machine, new.machine),
        ("setting", old.settings, new.settings),
        *((name, old.versions.get(name, {}), each) for name, each in new.versions.items()),
    ]
    return [
        (f"{what} {key}", before[key], now[key])
        for what, before, now in pairs
        for key in before
        if key in now and key != "others" and before[key] != now[key]
    ]


def _middle(name: str, one: Measured) -> float:
    return one.mean if name in SCORES else one.median


def _cell(name: str, one: Measured) -> str:
    return f"{_middle(name, one):.4g} ({min(one.values):.4g} to {max(one.values):.4g})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the pages, or print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("render", "report"), default="render")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / RESULTS, help="JSON files; default: %(default)s")
    args = parser.parse_args(arguments)
    records = records_in(args.folder)
    if args.what == "report":
        print(report(records, {name: old for name in records if (old := committed(name))}))
        return 0
    for path in pages():
        text = path.read_text(encoding="utf-8")
        path.write_text(rendered(text, records), encoding="utf-8")
    for name, content in pictures.pictures(records).items():
        (pictures.STATIC / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
