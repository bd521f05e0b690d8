"""`import m2v_core` beside `import model2vec`, as whole processes."""

from __future__ import annotations

import argparse
import sys

from processes import compare


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    print("process start and import")
    ours, theirs = [sys.executable, "-c", "import m2v_core"], [options.peer, "-c", "import model2vec"]
    compare(ours, theirs, runs=options.runs, warmups=2)


if __name__ == "__main__":
    main()
