"""Random teachers with tokenizers, as folders of transformers."""

from __future__ import annotations

import json
from pathlib import Path

from m2v_core.tokenize.vocabulary import Vocabulary
from tokenizer_files import SPACES

#: The kind of tokenizer of a family, unless it is WordPiece.
TOKENIZERS = {"roberta": "byte_bpe", "xlm-roberta": "unigram", "camembert": "unigram"}

SPECIAL = {
    "unk_token": "[UNK] <unk>",
    "pad_token": "[PAD] <pad>",
    "cls_token": "[CLS] <s>",
    "sep_token": "[SEP] </s>",
}


def random_teacher(case: str, folder: Path, kind: str | None = None, **settings: object) -> Path:
    """A tiny model of a family with as many rows as its tokenizer has tokens; `settings` are the tokenizer's.

    Needs PyTorch.
    """
    from golden.make_teachers import make_model

    tokenizer = SPACES[kind or TOKENIZERS.get(case, "wordpiece")]()
    make_model(case, vocab_size=len(Vocabulary.from_json(tokenizer).tokens)).save_pretrained(folder)
    return with_tokenizer(folder, tokenizer, **settings)


def with_tokenizer(folder: Path, tokenizer_json: str, **settings: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    tokens = Vocabulary.from_json(tokenizer_json).tokens
    special = {name: token for name, known in SPECIAL.items() for token in known.split() if token in tokens}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
