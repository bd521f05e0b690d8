"""Settings of a teacher's config that do not fit each other: an error that names the file, before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import GOLDEN
from m2v_core import ModelFormatError
from m2v_distill import Teacher

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "bert": [
        {"num_attention_heads": 0},
        {"num_attention_heads": 5},
        {"num_attention_heads": -4},
        {"hidden_size": -24},
        {"hidden_size": 2**40},
        {"hidden_act": "x"},
        {"num_hidden_layers": -1},
        {"num_hidden_layers": 10**9},
    ],
    "modernbert": [{"num_attention_heads": 0}, {"num_attention_heads": 7}],
    "t5": [{"d_kv": 0}, {"relative_attention_num_buckets": 0}, {"relative_attention_max_distance": -1}],
    "qwen3-left": [{"num_key_value_heads": 3}, {"num_key_value_heads": 0}, {"head_dim": 0}],
}


@pytest.mark.parametrize(("case", "changes"), [(case, each) for case, all_of in SETTINGS.items() for each in all_of])
def test_settings_that_do_not_fit(case: str, changes: dict[str, Any], tmp_path: Path) -> None:
    from teacher_files import write_tokenizer
    from tokenizer_files import wordpiece

    folder = tmp_path / "teacher"
    shutil.copytree(GOLDEN / "teachers" / case, folder)
    write_tokenizer(folder, wordpiece(), "bert")
    config = json.loads((folder / "config.json").read_text())
    assert next(iter(changes)) in config, sorted(config)
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ModelFormatError, match=r"(config\.json|model\.safetensors)"):
        Teacher.from_pretrained(folder)
