"""Token ids of pairs in files, which are written once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from m2v_core import StaticModel
from m2v_core.progress import progress_bar
from m2v_core.storage.atomic import replaced_folder
from m2v_train.data.files import FileColumn, parts_of, row_texts

MANIFEST = "tokens.json"

#: Arrays by file: token ids of all texts; where each text begins; a hash of each text's ids; and the number of the
#: first text of each sample.
DTYPES = {"ids.bin": np.int32, "offsets.bin": np.int64, "hashes.bin": np.uint64, "samples.bin": np.int64}

#: Which tokens occur, a byte for each of the vocabulary.
OCCURS = "occurs.bin"


@dataclass(frozen=True)
class Stored:
    """What `tokens.json` holds of the files beside it.

    Attributes:
        key: Digest of the files of texts, by size and time, of columns, tokenizer and maximum length.
        digest: Digest of all token ids.
        n: Number of samples.
        width: Largest number of texts of a sample.
        n_tokens: Number of tokens of first texts, of second texts, and of hard negatives.
        n_empty: Number of texts without a token, likewise.
        mean: Mean number of tokens of a sample; texts that are missing have none.
        std: Its standard deviation.
        most: Largest number of tokens of a sample.
    """

    key: str
    digest: str
    n: int
    width: int
    n_tokens: tuple[int, ...]
    n_empty: tuple[int, ...]
    mean: float
    std: float
    most: int


def stored_tokens(
    folder: Path, model: StaticModel, columns: Sequence[FileColumn], max_length: Any, *, show: bool | None
) -> Stored:
    """Tokenise columns of pairs into files of a folder, unless these are there already.

    Args:
        folder: The folder; it is made.
        model: Model with the tokenizer.
        columns: First texts, second texts, and hard negatives if there are any.
        max_length: Maximum number of tokens per text; see `m2v_train.data.tokens.tokenize`.
        show: Whether to show a progress bar; see `m2v_core.progress.progress_bar`.

    Raises:
        InvalidInputError: A file lacks a column, or a value is no text.
        OSError: The folder cannot be written.
    """
    key = _key(model, columns, max_length)
    kept = _read_manifest(folder)
    if kept is not None and kept.key == key:
        return kept
    with replaced_folder(folder, owned={*DTYPES, OCCURS, MANIFEST}, last=MANIFEST) as staging:
        return _write(staging, key, model, columns, max_length, show)


def _key(model: StaticModel, columns: Sequence[FileColumn], max_length: Any) -> str:
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in columns[0].files]
    tokenizer = hashlib.sha256(model.stored.tokenizer_json.encode()).hexdigest()
    length = max_length if max_length is None or isinstance(max_length, int) else model.max_length
    content = [files, [column.name for column in columns], tokenizer, length]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read_manifest(folder: Path) -> Stored | None:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        fields: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in found.items()}
        return Stored(**fields)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write(
    folder: Path, key: str, model: StaticModel, columns: Sequence[FileColumn], max_length: Any, show: bool | None
) -> Stored:
    digest, occurs = hashlib.sha256(), np.zeros(model.n_tokens, bool)
    n_texts = n_ids = n = width = most = 0
    totals, squares, n_tokens, n_empty = 0, 0.0, np.zeros(3, np.int64), np.zeros(3, np.int64)
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in DTYPES}

        def append(name: str, values: Any) -> None:
            files[name].write(np.ascontiguousarray(values, DTYPES[name]).data)

        append("offsets.bin", [0])
        append("samples.bin", [0])
        bar = stack.enter_context(progress_bar("Tokenizing", unit="pairs", show=show))
        for values in parts_of(columns):
            pairs = [row_texts(row, n + number) for number, row in enumerate(zip(*values, strict=True))]
            counts = np.array([len(pair) for pair in pairs])
            ids, offsets = model.token_ids([text for pair in pairs for text in pair], max_length=max_length)
            ids, lengths = ids.astype(np.int32), np.diff(offsets)
            first = np.concatenate(([0], np.cumsum(counts)))
            kinds = np.minimum(np.arange(len(lengths)) - np.repeat(first[:-1], counts), 2)
            per_sample = np.add.reduceat(lengths, first[:-1])
            append("ids.bin", ids)
            append("offsets.bin", offsets[1:] + n_ids)
            append("samples.bin", first[1:] + n_texts)
            append("hashes.bin", _hashes(ids, offsets))
            for array in (ids, lengths, counts):
                digest.update(np.ascontiguousarray(array).data)
            occurs[ids] = True
            n_tokens += np.bincount(kinds, lengths, minlength=3).astype(np.int64)
            n_empty += np.bincount(kinds, lengths == 0, minlength=3).astype(np.int64)
            n, n_texts, n_ids = n + len(pairs), n_texts + len(lengths), n_ids + len(ids)
            width, most = max(width, int(counts.max())), max(most, int(per_sample.max()))
            totals, squares = totals + int(per_sample.sum()), squares + float((per_sample.astype(float) ** 2).sum())
            bar.update(len(pairs))
    (folder / OCCURS).write_bytes(occurs.tobytes())
    mean = totals / max(n, 1)
    std = max(squares / max(n, 1) - mean**2, 0) ** 0.5
    stored = Stored(
        key=key,
        digest=digest.hexdigest(),
        n=n,
        width=width,
        n_tokens=tuple(n_tokens.tolist()),
        n_empty=tuple(n_empty.tolist()),
        mean=mean,
        std=std,
        most=most,
    )
    (folder / MANIFEST).write_text(json.dumps(asdict(stored)) + "\n", encoding="utf-8")
    return stored


def _hashes(ids: Int32[np.ndarray, " m"], offsets: Int64[np.ndarray, " bounds"]) -> Any:
    """A hash of 64 bits of each text's ids; texts with the same ids have the same."""
    memory, bounds = memoryview(ids.tobytes()), (offsets * ids.itemsize).tolist()
    hashed = b"".join(hashlib.blake2b(memory[start:stop], digest_size=8).digest() for start, stop in pairwise(bounds))
    return np.frombuffer(hashed, np.uint64)
