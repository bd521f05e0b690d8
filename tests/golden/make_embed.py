"""Write `embed/`: a tiny model, two inputs of one base name, and the folder that `embed_files` makes of them.

Run it where m2v-core[embed] is installed, from anywhere, and only for a new version of the manifest:

    python tests/golden/make_embed.py
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from m2v_core import StaticModel
from m2v_core.embed import embed_files

sys.path.insert(0, str(Path(__file__).parents[1]))
from tokenizer_files import wordpiece

HERE = Path(__file__).parent / "embed"


def main() -> None:
    """Write all files; paths in the manifest are relative to the folder."""
    shutil.rmtree(HERE, ignore_errors=True)
    for name in ("a", "b"):
        (HERE / name).mkdir(parents=True)
    os.chdir(HERE)
    tokenizer = wordpiece()
    shape = (Tokenizer.from_str(tokenizer).get_vocab_size(), 4)
    table = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    StaticModel(table, tokenizer, normalize=True).save_pretrained("model")
    Path("a/texts.csv").write_text("id,text\n1,good day\n2,\n3,a bad sunny day\n", encoding="utf-8")
    rows = [{"id": 4, "text": "sunny"}, {"id": 5, "text": "good good day!"}]
    Path("b/texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    embed_files("model", ["a/texts.csv", "b/texts.jsonl"], "vectors", keep=["id"], precision="float16")


if __name__ == "__main__":
    main()
