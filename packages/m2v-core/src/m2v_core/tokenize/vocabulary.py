"""Tokens and their ids, read from the text of `tokenizer.json`.

The immutable tokenizer of tokenizers 1.x does not give its vocabulary and settings, so they are read from the file.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core.errors import ModelFormatError
from m2v_core.tokenize.library import library

_MAX_IDS = 1 << 24  # an untrusted file cannot claim much memory by one number


@dataclass(frozen=True)
class Vocabulary:
    """Tokens of a `tokenizer.json`.

    Attributes:
        tokens: Token of each id; an empty string for an unused id.
        unk_id: Id of the unknown token, which stands for what the vocabulary cannot spell; `None` if there is none.
    """

    tokens: tuple[str, ...]
    unk_id: int | None

    @classmethod
    def from_json(cls, tokenizer_json: str, where: str = "tokenizer.json") -> Vocabulary:
        """Read the vocabulary from the text of a `tokenizer.json`; `where` names it in errors.

        Raises:
            ModelFormatError: The text is not a tokenizer, or an id cannot be a row of a table.

        Example:
            >>> import json
            >>> model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "cat": 1}, "unk_token": "[UNK]"}
            >>> Vocabulary.from_json(json.dumps({"added_tokens": [], "model": model}))
            Vocabulary(tokens=('[UNK]', 'cat'), unk_id=0)
        """
        token_of, unk_id = tokens_by_id(parsed(tokenizer_json, where), where)
        return cls(tokens=tuple(token_of.get(index, "") for index in range(n_ids(token_of))), unk_id=unk_id)


def parsed(tokenizer_json: str, where: str) -> dict[str, Any]:
    """The content of a `tokenizer.json`; `where` names it in errors.

    Raises:
        ModelFormatError: The text is not a JSON object.
    """
    collects = gc.isenabled()
    gc.disable()  # it would look at half a million new objects again and again, and find nothing to collect
    try:
        raw = json.loads(tokenizer_json)
        if not isinstance(raw, dict):
            raise TypeError(f"{type(raw).__name__} as the outermost value")
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_a_tokenizer(where, error) from None
    finally:
        if collects:
            gc.enable()
    return raw


def tokens_by_id(raw: dict[str, Any], where: str) -> tuple[dict[int, str], int | None]:
    """The token of each id that is in use, and the id of the unknown token.

    Raises:
        ModelFormatError: The content is not a tokenizer, or an id cannot be a row of a table.
    """
    try:
        model, added = raw["model"], raw.get("added_tokens") or []
        ids: dict[str, int]
        if isinstance(model["vocab"], list):  # Unigram: [[token, score], ...]
            ids = {token: index for index, (token, _) in enumerate(model["vocab"])}
            unk_id = model.get("unk_id")
        else:
            ids = dict(model["vocab"])
            unk_id = None
        ids = with_added(ids, added)
        if unk_id is None and model.get("unk_token") is not None:
            unk_id = ids.get(model["unk_token"])
        token_of = {index: token for token, index in ids.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_a_tokenizer(where, error) from None
    limit = max(_MAX_IDS, len(token_of))
    for index, token in token_of.items():
        if type(index) is not int or not 0 <= index < limit:
            raise ModelFormatError(
                f"{where}: token ids should be whole numbers from 0 to {limit - 1}, the rows of a table; found "
                f"{index!r:.100} for {token!r:.100}."
            )
    if not isinstance(unk_id, int | None):
        raise ModelFormatError(f"{where}: the id of the unknown token should be a whole number; found {unk_id!r:.100}.")
    return token_of, unk_id


@dataclass(frozen=True)
class Numbering:
    """The ids of a tokenizer, without its tokens.

    Attributes:
        n_tokens: Number of ids, including unused ones.
        unused_ids: [n] int64, ids below the largest that no token has.
        unk_id: Id of the unknown token, or `None`.
        shares: Whether two tokens have one id.
    """

    n_tokens: int
    unused_ids: NDArray[np.int64]
    unk_id: int | None
    shares: bool = False


def numbering(raw: dict[str, Any], where: str) -> Numbering:
    """The ids of a parsed `tokenizer.json`, without an object for each of them.

    Raises:
        ModelFormatError: The content is not a tokenizer, or an id cannot be a row of a table.
    """
    try:
        used, unk_id = _used_ids(raw)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        token_of, unk_id = tokens_by_id(raw, where)  # raises the error that says what is wrong, if anything is
        used = np.fromiter(token_of, np.int64, len(token_of))
    n_tokens = int(used.max(initial=-1)) + 1
    is_unused = np.ones(n_tokens, bool)
    is_unused[used] = False
    unused = np.flatnonzero(is_unused)
    return Numbering(n_tokens, unused, unk_id, shares=len(used) + len(unused) > n_tokens)


def _used_ids(raw: dict[str, Any]) -> tuple[NDArray[np.int64], int | None]:
    """The id of each token, in any order, and that of the unknown token; `ValueError` if unsure."""
    model, added = raw["model"], raw.get("added_tokens") or []
    vocab, unk_id = model["vocab"], None
    if isinstance(vocab, list):
        ids = dict(zip([token for token, _ in vocab], range(len(vocab)), strict=True))
        unk_id = model.get("unk_id")
        if len(ids) != len(vocab):
            raise ValueError
    else:
        ids = vocab
    others = added_ids(ids, added)
    used = [*ids.values(), *others.values()]
    if not set(map(type, used)) <= {int}:
        raise ValueError
    if unk_id is None and (unknown := model.get("unk_token")) is not None:
        unk_id = others.get(unknown, ids.get(unknown))
    if not isinstance(unk_id, int | None):
        raise ValueError
    found = np.array(used, np.int64)
    if found.min(initial=0) < 0 or found.max(initial=0) >= _MAX_IDS:
        raise ValueError
    return found, unk_id


def with_added(ids: Mapping[str, int], added: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The ids of a model's tokens and of `added_tokens`, as the tokenizers library assigns them."""
    return {**ids, **added_ids(ids, added)}


def added_ids(ids: Mapping[str, int], added: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The ids of the `added_tokens` that are not among a model's tokens, as the tokenizers library assigns them.

    Such a token gets the next id, whatever the file says; which one that is depends on the installed version.
    """
    by_version = in_all_versions(ids, added)
    first = by_version[Rule.COUNTING]
    if all(assigned == first for assigned in by_version.values()):
        return first  # without importing the library, which few models need
    return by_version[Rule(library().rule())]


class Rule(Enum):
    """How versions of the tokenizers library choose the next id of an added token.

    Attributes:
        LARGEST: After the number of the model's tokens, or the largest id of an added token: to 0.22.1.
        COUNTING: After the number of the model's tokens and of the added ones before: from 0.22.2.
        SORTED: The same, by the ids in the file: 1.x.
    """

    LARGEST = "largest"
    COUNTING = "counting"
    SORTED = "sorted"


def in_all_versions(ids: Mapping[str, int], added: Sequence[Mapping[str, Any]]) -> dict[Rule, dict[str, int]]:
    """What `added_ids` gives by each rule."""
    by_id = sorted(added, key=lambda token: int(token["id"]))
    counting, sorted_ = _assigned(ids, added), _assigned(ids, by_id)
    return {Rule.COUNTING: counting, Rule.SORTED: sorted_, Rule.LARGEST: _assigned(ids, added, after_largest=True)}


def _assigned(
    ids: Mapping[str, int], added: Sequence[Mapping[str, Any]], *, after_largest: bool = False
) -> dict[str, int]:
    others: dict[str, int] = {}
    following = len(ids)
    for token in added:
        content = token["content"]
        if content not in ids:
            following = max(following, others.setdefault(content, following) + 1)
        elif after_largest:
            following = max(following, ids[content] + 1)
    return others


def ordinary_unknown(raw: dict[str, Any]) -> str | None:
    """The unknown token of a Unigram model if it looks like an ordinary piece: not special, and without "unk" in it.

    Some tools remove tokens before the unknown token, and do not update its id.
    """
    model, index = raw["model"], raw["model"].get("unk_id")
    if not isinstance(model["vocab"], list) or index is None or not 0 <= index < len(model["vocab"]):
        return None
    token = str(model["vocab"][index][0])
    added = {other["content"] for other in raw.get("added_tokens") or []}
    return None if token in added or "unk" in token.lower() else token


def n_ids(used: Collection[int]) -> int:
    """The number of ids, from 0 to the largest one in use."""
    return max(used, default=-1) + 1


def _not_a_tokenizer(where: str, error: Exception) -> ModelFormatError:
    reason = f"{type(error).__name__}: {error}"
    return ModelFormatError(f"{where}: expected a tokenizer of the tokenizers library ({reason}).")
