"""Write `ids.json`: what tokenizers 0.2x makes of awkward texts, for the tests to hold 1.x (and later 0.2x) against.

python tests/golden/make_ids.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tokenizer_files import KINDS

TEXTS = [
    "good day",
    " good day",
    "  good  ",
    "good[CLS]day [UNK] [SEP]good",
    "day</s>day</s> day<s>",
    "<unk> good <pad>",
    "",
    "\tday\ngood\r\nday",
    "good\u00a0day\u3000good\u2028day\u200bgood",
    "\x00 good\x00day \x07\x7f\ufffd",
    "ΟΔΥΣΣΕΥΣ Σ İstanbul ıI",
    "e\u0301 é Å \u212b ﬁ ½",
    "日本語 good日本day",
    "👩‍👩‍👧 🇩🇪 good👍🏽day",
    "\u202egood\u202c مرحبا שלום",
    "go" * 120 + " day",
    "sunny,unable!!! d.a.y",
    "ёжик ё",
    "GOOD Day",
    "\u0627\u0644\u0633\u0644\u0627\u0645",
]


def main() -> None:
    """Write the file."""
    ids = {}
    for kind, make in KINDS.items():
        tokenizer = Tokenizer.from_str(make())
        ids[kind] = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    lines = (f'  "{kind}": {json.dumps(rows)}' for kind, rows in ids.items())
    text = f'{{\n  "texts": {json.dumps(TEXTS)},\n' + ",\n".join(lines) + "\n}\n"
    (Path(__file__).parent / "ids.json").write_text(text)


if __name__ == "__main__":
    main()
