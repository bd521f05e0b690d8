"""The texts that several benchmarks read, from the folder of real text; see CONTRIBUTING.md."""

from __future__ import annotations

import csv
import re
from pathlib import Path


def tweets(data: Path) -> list[str]:
    """45,000 tweets."""
    return (data / "te_emoji_train_text.txt").read_text(encoding="utf-8").split("\n")[:45000]


def sentences(data: Path, language: str) -> list[str]:
    """3,000 sentences of STS-B."""
    with (data / f"stsb-{language}-dev.csv").open(newline="", encoding="utf-8") as file:
        return [sentence for row in csv.reader(file) for sentence in row[:2]]


def corpus(data: Path) -> list[str]:
    """55,000 texts without labels: the tweets, and the sentences of STS-B's training split."""
    with (data / "stsb-en-train.csv").open(newline="", encoding="utf-8") as file:
        return [*tweets(data), *dict.fromkeys(sentence for row in csv.reader(file) for sentence in row[:2])]


def cranfield(data: Path) -> list[str]:
    """Titles with abstracts of 1,400 papers, about 170 words each."""
    content = (data / "cranfield" / "cran.all.1400").read_text(encoding="utf-8")
    papers = []
    for record in re.split(r"^\.I .*\n", content, flags=re.MULTILINE)[1:]:
        parts = re.split(r"^\.([TABW])\n", record, flags=re.MULTILINE)
        fields = dict(zip(parts[1::2], parts[2::2], strict=True))
        papers.append(" ".join(f"{fields['T']} {fields['W']}".split()))
    return papers
