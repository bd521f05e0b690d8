"""The home page and the sidebar have the same pages, in the same order and by the same names; its figures are up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "tools"))

import pictures
import results
from results_tables import score_of

HOME = (DOCS / "index.md").read_text(encoding="utf-8")
TREE = re.compile(r"^```\{toctree\}\n:hidden:\n:caption: ([^\n]+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def title_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def test_the_home_page_has_the_order_and_the_names_of_the_sidebar() -> None:
    sidebar = [(caption, pages.split()) for caption, pages in TREE.findall(HOME)]
    shown = []
    for section in re.split(r"^### ", HOME.partition("```{toctree}")[0], flags=re.MULTILINE)[1:]:
        caption, _, items = section.partition("\n")
        shown.append((caption, re.findall(r"^- \[([^\]]+)\]\(([^)]+)\.md\): ", items, re.MULTILINE)))
    assert [(caption, [(title_of(page), page) for page in pages]) for caption, pages in sidebar] == shown


def test_every_page_is_in_the_sidebar() -> None:
    listed = {page for _, pages in TREE.findall(HOME) for page in pages.split()}
    inner = set(re.findall(r"^api-\w+$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE))
    found = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    assert listed | inner | {"index"} == found


def test_figures_of_the_home_page_are_those_of_the_tables() -> None:
    """The README's first paragraph and its table of others repeat figures of other pages."""
    points = {point.label: point for point in pictures.points(results.records_in(ROOT / results.RESULTS))}
    labels = (pictures.SHOWN[name] for name in ("the teacher", "model2vec 0.10", "m2v", "m2v with a corpus"))
    teacher, peer, default, corpus = (points[label] for label in labels)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"embeds {round(default.first, -3):,.0f} new texts a second" in readme
    assert f"{round(default.first / teacher.first, -1):.0f} times as many as all-MiniLM-L6-v2" in readme
    assert f"m2v scores {default.quality} and the transformer {teacher.quality}" in readme
    assert f"scores {default.quality} in the chart above, model2vec's distillation {peer.quality}" in readme
    assert f"encodes {default.first / peer.first:.1f} times as many new texts" in readme
    assert f"{1e6 / default.first:.0f} µs, or {1e6 / default.again:.0f} µs if this process" in readme
    speed = " ".join((DOCS / "speed.md").read_text(encoding="utf-8").split())
    ours, theirs = ([f"{1e6 / rate:.1f}" for rate in (point.first, point.again)] for point in (default, peer))
    assert f"{ours[0]} µs a text in the first pass and {ours[1]} µs in a second one" in speed
    assert f"model2vec takes {theirs[0]} and {theirs[1]} µs" in speed
    assert f"the teacher [{1e3 / teacher.first:.1f} ms]" in speed
    assert f"at {round(default.first / teacher.first, -1):.0f} times the time per text" in readme
    assert corpus.quality > teacher.quality
    choose, quality = (
        (DOCS / "choose.md").read_text(encoding="utf-8"),
        results.records_in(ROOT / results.RESULTS)["quality"],
    )
    for row, task in (
        ("STS-B of a student of all-MiniLM-L6-v2", "STS-B en"),
        ("mean of [seven tasks](quality.md)", "mean"),
    ):
        columns = [score_of(quality, task, name) for name in ("m2v, token by token", "m2v", "m2v with a corpus")]
        assert f"| {row} | {' | '.join(f'{value:.1f}' for value in columns)} |" in choose
    faq = " ".join((DOCS / "faq.md").read_text(encoding="utf-8").split())
    sts = [score_of(quality, "STS-B en", name) for name in ("m2v", "m2v with a corpus", "the teacher")]
    assert f"{default.quality} of {teacher.quality} points on seven tasks, and {sts[0]:.1f} of {sts[2]:.1f}" in faq
    assert (
        f"the transformer has {sts[2]:.1f}, m2v {sts[0]:.1f}, or {sts[1]:.1f} after a fit to such sentences" in readme
    )


def test_times_of_a_distillation_are_the_same_on_both_pages() -> None:
    rows = [
        re.findall(r"^\| a processor .*$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in (ROOT / "README.md", DOCS / "distilling.md")
    ]
    assert rows[0] == rows[1] != []


def test_messages_of_the_page_of_questions_are_those_of_the_code() -> None:
    """What stands there between names is in the source, whose strings are joined over lines first."""
    page = (DOCS / "faq.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+ [^`]+)` \|", page, re.MULTILINE)
    assert len(messages) >= 5
    files = (ROOT / "packages").glob("*/src/**/*.py")
    source = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text(encoding="utf-8") for path in files))
    for message in messages:
        for part in re.split(r"'[^']+'|\.\.\.|pytorch_model\.bin|\btokenizers\b", message):
            assert part.strip() in source, part
