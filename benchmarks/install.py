"""What `pip install` brings: packages and their size on disk, of each library with all that it requires.

A worker in each environment follows the requirements of a distribution, with its extras, through what is installed, and
adds up the files that each lists. Bytecode is left out: some installers compile it and others do not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from records import Measured, add_json, write

WORKER = Path(__file__).with_name("install_worker.py")
CASE = "installed, without bytecode"

#: The environment of each distribution.
WANTED = (
    ("m2v-core", "m2v"),
    ("m2v-distill", "m2v"),
    ("m2v-train", "m2v"),
    ("model2vec", "model2vec"),
    ("model2vec[distill]", "model2vec"),
    ("model2vec[train]", "model2vec"),
    ("sentence-transformers", "model2vec"),
    ("laghu[rust]", "laghu"),
    ("wordllama", "others"),
    ("gensim", "others"),
)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with the other peers")
    parser.add_argument("--laghu", help="the Python of an environment with laghu[rust]")
    parser.add_argument("--others", help="the Python of an environment with wordllama and gensim")
    add_json(parser)
    args = parser.parse_args()
    pythons = {"m2v": sys.executable, "model2vec": args.peer, "laghu": args.laghu, "others": args.others}
    found: list[Measured] = []
    print("| | packages | MB | the largest |\n|" + " --- |" * 4)
    for name, environment in WANTED:
        python = pythons[environment]
        if python is None:
            continue
        done = subprocess.run([python, str(WORKER), name], check=True, capture_output=True, text=True)
        packages, size, largest = done.stdout.strip().split("\t")
        print(f"| {name} | {packages} | {float(size):.0f} | {largest} |", flush=True)
        found += [Measured(CASE, name, "packages", (int(packages),)), Measured(CASE, name, "MB", (float(size),))]
    write(args.json, "install", found, pythons=pythons)


if __name__ == "__main__":
    main()
