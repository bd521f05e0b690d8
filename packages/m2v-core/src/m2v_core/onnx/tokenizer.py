"""The tokenizer of an export: m2v's ids by programs that add special tokens and pad, as most do.

m2v averages the ids of a text without special tokens and without the unknown token, at most `max_length` of them. Other
programs obey the files: their post-processor adds special tokens, and texts of a batch are padded. So an exported
tokenizer adds one token to the end of each text, the *filler*, and pads with it. The graph leaves it out. It makes an
empty text a text of one token, which transformers.js needs: it divides by the number of tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from m2v_core.errors import InvalidInputError
from m2v_core.storage.format import tokenizer_for_other_readers
from m2v_core.tokenize.vocabulary import n_ids, tokens_by_id

#: Content of the filler in a vocabulary without a special unknown token.
FILLER = "<|m2v:filler|>"

#: The graph truncates at `max_length` ids that are not unknown. A tokenizer counts unknown ones too, and truncates, to
#: limit the memory of a batch, at so many times `max_length`.
UNKNOWN_MARGIN = 4

#: `model_max_length` of a model that has no limit; fastembed needs a number of 63 bits.
NO_LIMIT = 10**9


@dataclass(frozen=True)
class ExportedTokenizer:
    """A tokenizer for other programs.

    Attributes:
        raw: Content of its `tokenizer.json`.
        filler: The added token that each text ends with, and that texts are padded with, as `added_tokens` holds it.
        max_length: Number of ids at which it truncates, the filler included.
        unknown: The unknown token, or `None`.
    """

    raw: dict[str, Any]
    filler: dict[str, Any]
    max_length: int
    unknown: str | None

    @property
    def json(self) -> str:
        """Text of `tokenizer.json`."""
        return json.dumps(self.raw, ensure_ascii=False, separators=(",", ":"))

    @property
    def config(self) -> dict[str, Any]:
        """Content of `tokenizer_config.json`."""
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.max_length,
            "model_input_names": ["input_ids", "attention_mask"],
            "pad_token": self.filler["content"],
            **({} if self.unknown is None else {"unk_token": self.unknown}),
            "padding_side": "right",
            "truncation_side": "right",
            "clean_up_tokenization_spaces": False,
        }

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """Content of `special_tokens_map.json`."""
        return {"pad_token": {key: value for key, value in self.filler.items() if key != "id"}}


def exported_tokenizer(
    tokenizer_json: str, max_length: int | None, *, shared: bool = False, special_tokens: bool = False
) -> ExportedTokenizer:
    """The tokenizer of a model for other programs.

    The filler is the unknown token if that is a special token, which no text then contains as a known one; else a new
    token, with an id after all others.

    Args:
        tokenizer_json: Text of the model's `tokenizer.json`.
        max_length: Most ids of a text, the unknown token not counted; `None` for no limit.
        shared: Whether the file stays that of a model: truncation and padding stay the model's, and the filler is one
            of its tokens, a special one if there is no special unknown token.
        special_tokens: Whether to keep the post-processor, so that its special tokens count; without a filler.

    Raises:
        InvalidInputError: A shared tokenizer has no special token; or it has a form that only tokenizers 1.x reads.

    Example:
        >>> words = {"type": "WordLevel", "vocab": {"[UNK]": 0, "good": 1}, "unk_token": "[UNK]"}
        >>> exported = exported_tokenizer(json.dumps({"model": words}), 512)
        >>> exported.filler["id"], exported.max_length
        (2, 2049)
    """
    raw = json.loads(tokenizer_for_other_readers(tokenizer_json, max_length))
    token_of, unk_id = tokens_by_id(raw, "tokenizer.json")
    raw["added_tokens"] = added = list(raw.get("added_tokens") or [])
    special = [token for token in added if token.get("special")]
    unknown = None if unk_id is None else token_of.get(unk_id)
    filler = next((token for token in special if token["content"] == unknown), None)
    if filler is None:
        filler = _existing(special) if shared else _new(raw, n_ids(token_of))
    index = next((index for index, token in token_of.items() if token == filler["content"]), filler["id"])
    filler = {**filler, "id": index}
    margin = 1 if unk_id is None else UNKNOWN_MARGIN
    limit = NO_LIMIT if max_length is None else max_length * margin + 1
    if not special_tokens:
        raw["post_processor"] = _adds(filler["content"], index)
    if not shared:
        raw["padding"] = {
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": index,
            "pad_type_id": 0,
            "pad_token": filler["content"],
        }
        if raw["truncation"]:
            raw["truncation"]["max_length"] = limit
    return ExportedTokenizer(raw, filler, limit, unknown)


def _existing(special: list[dict[str, Any]]) -> dict[str, Any]:
    """A special token of the vocabulary, that for padding if there is one."""
    if not special:
        raise InvalidInputError(
            "Expected a vocabulary with a special token, which pads texts; found none. Export the model to a folder of "
            "its own, whose tokenizer gets one: m2v export onnx MODEL OUT."
        )
    return next((token for token in special if "pad" in token["content"].lower()), special[0])


def _new(raw: dict[str, Any], index: int) -> dict[str, Any]:
    """A token that is added to a tokenizer, with this id."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    filler = {"id": index, "content": FILLER, **flags}
    raw["added_tokens"].append(filler)
    if isinstance(raw["model"]["vocab"], dict):  # else the library gives it the id after the last one by itself
        raw["model"]["vocab"][FILLER] = index
    return filler


def _adds(token: str, index: int) -> dict[str, Any]:
    """A post-processor that puts a token after each text."""

    def part(kind: str, name: str) -> dict[str, Any]:
        return {kind: {"id": name, "type_id": 0}}

    single = [part("Sequence", "A"), part("SpecialToken", token)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, part("Sequence", "B"), part("SpecialToken", token)],
        "special_tokens": {token: {"id": token, "ids": [index], "tokens": [token]}},
    }
