"""Memory as a stream goes on: a million tweets, then ten million different words: `encode_memory.py MODEL DATA`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from texts import tweets

from m2v_core import StaticModel


def resident() -> float:
    """Resident memory now, in MB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4.096e-3


def different_words(count: int) -> Iterator[str]:
    """Texts of ten words, no word twice."""
    for start in range(0, count, 10):
        yield " ".join(f"w{number:x}q" for number in range(start, start + 10))


def main() -> None:
    """Print memory before, and the highest in each tenth of a stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a folder")
    parser.add_argument("data", type=Path, help="the folder of real text; see CONTRIBUTING.md")
    args = parser.parse_args()
    for name, n_texts, texts in (
        ("1,000,000 tweets", 1_000_000, islice(cycle(tweets(args.data)), 1_000_000)),
        ("10,000,000 different words", 1_000_000, different_words(10_000_000)),
    ):
        model = StaticModel.from_pretrained(args.model)
        model.encode("a fine day")
        before, done, peaks = resident(), 0, [0.0] * 10
        for vectors in model.encode_stream(texts):
            tenth = done * 10 // n_texts
            peaks[tenth] = max(peaks[tenth], resident())
            done += len(vectors)
        print(
            f"{name} ({done:,} texts): {before:.0f} MB before; highest in each tenth:", *map(round, peaks), flush=True
        )


if __name__ == "__main__":
    main()
