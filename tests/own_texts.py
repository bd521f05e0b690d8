"""Texts of our own, in the files and the layout of the real ones (see CONTRIBUTING.md), the same at each run.

They are put together from the parts in `own_texts.toml`: enough for what must hold for any text, and too plain to
measure quality with.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from random import Random

PARTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def write_texts(folder: Path) -> Path:
    """Write all files into a folder that is there, and return it."""
    random = Random(0)
    for language, parts in PARTS["sentences"].items():
        _write(folder / f"stsb-{language}-dev.csv", _pairs(parts, 400, random))
    _write(folder / "banking_train.csv", [("text", "category"), *_questions()])
    messages = ["".join(parts) for parts in product(*PARTS["messages"].values())]
    messages += [f"{one} {other}" for one, other in zip(messages, random.sample(messages, len(messages)), strict=True)]
    random.shuffle(messages)
    for name, some in (("te_emoji_train_text", messages[:2500]), ("te_emotion_val_text", messages[2500:2600])):
        (folder / f"{name}.txt").write_text("".join(f"{text}\n" for text in some), encoding="utf-8")
    return folder


def _write(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _pairs(parts: dict, n: int, random: Random) -> Iterator[tuple[str, str, str]]:
    """Two sentences, and from 0 to 5 how many of their parts mean the same, less a little for other words."""
    slots = {slot: [wordings.split("|") for wordings in parts[slot]] for slot in ("who", "does", "where")}
    for _ in range(n):
        total, sides = 0.0, ({}, {})
        for slot, choices in slots.items():
            one = random.choice(choices)
            other = one if random.random() < 0.5 else random.choice(choices)
            for side, wordings in zip(sides, (one, other), strict=True):
                side[slot] = random.choice(wordings)
            total += (one is other) * (1 if sides[0][slot] == sides[1][slot] else 0.9)
        yield (*(parts["pattern"].format(**side) for side in sides), f"{5 / 3 * total:.2f}")


def _questions() -> Iterator[tuple[str, str]]:
    bank = PARTS["bank"]
    for category, questions in bank["questions"].items():
        for greeting, question, closing in product(bank["greetings"], questions, bank["closings"]):
            yield f"{greeting}{question}{closing}", category
