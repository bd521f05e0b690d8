"""Write `saves/`: a tiny model with the id of its save, and a folder in which another one was not finished.

Run it where m2v-core is installed, from anywhere, and only for a new version of the format:

    python tests/golden/make_saves.py
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from m2v_core import StaticModel

sys.path.insert(0, str(Path(__file__).parents[1]))
from tokenizer_files import wordlevel

HERE = Path(__file__).parent / "saves"


def main() -> None:
    """Write both folders; the second has one file of the new model in its place, and all of them in the save's folder."""
    shutil.rmtree(HERE, ignore_errors=True)
    table = np.array([[0, 0], [1, 2], [3, 4], [5, 6]], np.float32)
    StaticModel(table, wordlevel("good", "day", "bad")).save_pretrained(HERE / "whole")
    shutil.copytree(HERE / "whole", HERE / "interrupted")
    StaticModel(-table, wordlevel("day", "bad", "good")).save_pretrained(HERE / "interrupted/.unfinished-save")
    (HERE / "interrupted/config.json").unlink()
    shutil.copy(HERE / "interrupted/.unfinished-save/tokenizer.json", HERE / "interrupted/tokenizer.json")


if __name__ == "__main__":
    main()
