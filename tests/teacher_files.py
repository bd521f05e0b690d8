"""A tokenizer for the folder of a teacher."""

from __future__ import annotations

import json
from pathlib import Path

SPECIAL = {
    "bert": {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
    "roberta": {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"},
}


def write_tokenizer(folder: Path, tokenizer_json: str, style: str) -> None:
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 40, **SPECIAL[style]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
