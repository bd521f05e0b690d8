"""Made-up large vocabularies, the same from every run: words of real texts, and parts of these put together anew.

Lengths, kinds of script and scores follow those of a real multilingual vocabulary, the 276,326 pieces of the PyPI
package tokenlearn-static-model.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from m2v_core import StaticModel

ROWS, DIM = 10_000, 64
#: Of the real pieces: how many have 1, 2, ... characters, in thousands; and the share of those that begin a word.
LENGTHS = (15, 29, 39, 41, 39, 33, 26, 20, 14, 9, 5, 3, 1.4, 0.7, 0.3, 0.2)
BEGIN = 0.65
#: Of the real pieces: how many are of letters of 1, 2 and 3 bytes in UTF-8, and the first code point of the next kind.
SCRIPTS = (0.5, 0.25, 0.25)
SCRIPT_ENDS = (0x250, 0x800)
#: Quantiles of the real scores, from the highest to the lowest, in equal steps.
SCORES = (-3.5, -11.7, -12.3, -12.6, -12.9, -13.1, -13.2, -13.4, -13.5, -13.6, -13.7)
SCORES += (-13.9, -14.0, -14.1, -14.2, -14.3, -14.5, -14.7, -18.5, -20.3, -20.4)

Piece = tuple[bool, str]  # whether it begins a word, and its characters


def unigram(lines: Iterable[str], charsmap: Any, n_tokens: int, seed: int = 0) -> dict[str, Any]:
    """A tokenizer of potion-multilingual-128M's shape: sentencepiece's normal form, Metaspace, Unigram."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    found = pieces(lines, n_tokens - len(special) - 1, seed)
    tokens = ["▁", *("▁" + text if begins else text for begins, text in found)]
    scores = np.interp(np.linspace(0, 1, len(tokens)), np.linspace(0, 1, len(SCORES)), SCORES).round(6).tolist()
    vocabulary = [(token, 0.0) for token in special] + list(zip(tokens, scores, strict=True))
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return tokenizer(
        {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": False},
        {"type": "Precompiled", "precompiled_charsmap": charsmap},
        metaspace,
        special,
    )


def wordpiece(lines: Iterable[str], n_tokens: int, seed: int = 0) -> dict[str, Any]:
    """A tokenizer of LaBSE's shape: BERT's normalizer without lower case, WordPiece."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    found = pieces(lines, n_tokens - len(special), seed)
    tokens = special + [text if begins else "##" + text for begins, text in found]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
    return tokenizer(
        model | {"max_input_chars_per_word": 100, "vocab": {token: i for i, token in enumerate(tokens)}},
        normalizer | {"strip_accents": None, "lowercase": False},
        {"type": "BertPreTokenizer"},
        special,
    )


def tokenizer(model: Any, normalizer: Any, pre_tokenizer: Any, special: list[str]) -> dict[str, Any]:
    """The content of a `tokenizer.json`, whose special tokens are the first of the vocabulary."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": token, **flags} for i, token in enumerate(special)],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": None,
        "model": model,
    }


def save(content: dict[str, Any], folder: Path, seed: int = 0) -> None:
    """Save a model of a tokenizer with a small random table: int8, each row that of many tokens."""
    random_numbers = np.random.default_rng(seed)
    n_tokens = len(content["model"]["vocab"])
    StaticModel(
        random_numbers.integers(-127, 128, size=(ROWS, DIM), dtype=np.int8),
        json.dumps(content, ensure_ascii=False),
        weights=random_numbers.uniform(0.1, 1, size=n_tokens).astype(np.float32),
        token_mapping=random_numbers.integers(0, ROWS, size=n_tokens),
        normalize=True,
    ).save_pretrained(folder)


def pieces(lines: Iterable[str], count: int, seed: int) -> list[Piece]:
    """So many different pieces: all characters and words of the texts, the most frequent first, then new ones."""
    words, characters = Counter[str](), Counter[str]()
    for line in lines:
        words.update(re.findall(r"\w+", line))
        characters.update(line)
    found: dict[Piece, None] = {}
    for text, _ in words.most_common():
        if len(text) <= len(LENGTHS):
            found[True, text] = None
    for text, _ in characters.most_common():
        if not text.isspace():
            found[True, text] = found[False, text] = None
    for piece in new_pieces(sorted(words), random.Random(seed)):  # noqa: S311
        if len(found) >= count:
            break
        found[piece] = None
    return list(found)[:count]


def new_pieces(words: list[str], choice: random.Random) -> Iterator[Piece]:
    """The beginning of one word and one or two last characters of another of the same script, without end.

    Nearly as many pieces share a beginning as in the real vocabulary, on which the memory of a trie depends.
    """
    kinds: tuple[list[str], ...] = ([], [], [])
    for word in words:
        kinds[sum(max(map(ord, word)) >= end for end in SCRIPT_ENDS)].append(word)
    lengths = range(1, len(LENGTHS) + 1)
    while True:
        drawn = zip(choice.choices(kinds, SCRIPTS, k=10_000), choice.choices(lengths, LENGTHS, k=10_000), strict=True)
        for of_kind, length in drawn:
            ending = min(choice.randint(1, 2), length)
            text = choice.choice(of_kind)[: length - ending] + choice.choice(of_kind)[-ending:]
            yield choice.random() < BEGIN, text
