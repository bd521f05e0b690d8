"""What the examples in docstrings start from: a model of three tokens, and a tiny teacher."""

import json
import shutil
import sys
import tempfile
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


def teacher_folder() -> str:
    """A BERT of random weights, 24 wide, with a tokenizer."""
    from tokenizer_files import wordpiece

    folder = Path(tempfile.gettempdir()) / "m2v-doctest-teacher"
    shutil.copytree(TESTS / "golden" / "teachers" / "bert", folder, dirs_exist_ok=True)
    (folder / "tokenizer.json").write_text(wordpiece(), encoding="utf-8")
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
    return str(folder)
