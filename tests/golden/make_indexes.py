"""Make the folders of indexes in `indexes/`: small, random, and of each kind. Needs `m2v-core[search]`.

They are made once for each version of the format. `tests/core/test_search_files.py` keeps them loadable.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from conftest import make_model
from m2v_core.search import Index

TEXTS = ["good day", "bad day", "sunny days", "", "a good day in the sun", "unable", "日本 good"]
QUERIES = ["good", "sunny day", "", "unable 日"]
CASES = {
    "float32-hybrid": {"lexical": True, "adapt": True},
    "float16": {"dtype": "float16"},
    "int8": {"dtype": "int8"},
    "binary": {"dtype": "binary"},
}

if __name__ == "__main__":
    found = {}
    for name, options in CASES.items():
        folder = HERE / "indexes" / name
        shutil.rmtree(folder, ignore_errors=True)
        index = Index(make_model(), **options)
        index.add(TEXTS[:4], metadata=[{"page": row} for row in range(4)])
        index.add(TEXTS[4:], ids=["a", -7, "日本"])
        index.remove(1)
        index.save(folder)
        found[name] = [[[hit.id, hit.score, hit.metadata] for hit in hits] for hits in index.search(QUERIES, k=5)]
    text = json.dumps({"queries": QUERIES, "hits": found}, indent=1, ensure_ascii=False)
    (HERE / "indexes" / "hits.json").write_text(text + "\n", encoding="utf-8")
