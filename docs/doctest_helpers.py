"""What the examples in docstrings start from: a model of three tokens, and a tiny teacher."""

import atexit
import json
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from m2v_core import StaticModel

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))


def tiny_model() -> StaticModel:
    """Two dimensions; "good" is the first, "day" the second."""
    from tokenizer_files import wordlevel

    table = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    return StaticModel(table, wordlevel("good", "day"))


@cache
def teacher_folder() -> str:
    """A BERT of random weights, 24 wide, with a tokenizer, in a folder that goes when the examples are done."""
    from tokenizer_files import wordpiece

    home = tempfile.mkdtemp(prefix="m2v-docs-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    folder = Path(home) / "tiny-bert"
    shutil.copytree(TESTS / "golden" / "teachers" / "bert", folder)
    (folder / "tokenizer.json").write_text(wordpiece(), encoding="utf-8")
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    return str(folder)
