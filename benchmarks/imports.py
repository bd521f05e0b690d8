"""Imports of what loads a model, `from m2v_core import StaticModel` beside those of the peers, as whole processes."""

from __future__ import annotations

import argparse
import sys

from processes import compare
from records import add_json, write

IMPORTS = {
    "laghu": "from laghu import load",
    "wordllama": "from wordllama import WordLlama",
    "fastText (gensim)": "from gensim.models import FastText",
    "sentence-transformers": "from sentence_transformers import SentenceTransformer",
}


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with the other peers")
    parser.add_argument("--laghu", help="the Python of an environment with laghu")
    parser.add_argument("--others", help="the Python of an environment with wordllama and gensim")
    parser.add_argument("--runs", type=int, default=15)
    add_json(parser)
    options = parser.parse_args()
    pythons = {
        "laghu": options.laghu,
        "wordllama": options.others,
        "fastText (gensim)": options.others,
        "sentence-transformers": options.peer,
    }
    sides = {
        "m2v": [sys.executable, "-c", "from m2v_core import StaticModel"],
        "model2vec": [options.peer, "-c", "from model2vec import StaticModel"],
    }
    sides |= {name: [python, "-c", IMPORTS[name]] for name, python in pythons.items() if python}
    found = compare("process start and import", sides, runs=options.runs)
    environments = {"model2vec": options.peer, "laghu": options.laghu, "others": options.others}
    write(options.json, "imports", found, pythons=environments, settings={"runs": options.runs})


if __name__ == "__main__":
    main()
