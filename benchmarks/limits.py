"""How large it may get: time and memory of large vocabularies, vectors, texts and streams, a process for each.

Private memory is RssAnon, the peak is VmHWM, files that are mapped included (Linux). The models are made first, in a
folder that is removed at the end; they take 6 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from m2v_core import StaticModel
from m2v_core.storage.compile import compile_vocabulary
from m2v_core.storage.tensor_pieces import Tensor, write_tensors

MILLION = 1_000_000


def wordpiece(n_tokens: int) -> str:
    """A tokenizer whose tokens are words and letters."""
    letters = [mark + letter for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    tokens = ["[UNK]", *letters, *(f"w{number}" for number in range(n_tokens - 1 - len(letters)))]
    splitter = {"type": "BertPreTokenizer"}
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {token: index for index, token in enumerate(tokens)},
    }
    nothing = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    return json.dumps({"version": "1.0", "added_tokens": [], **nothing, "pre_tokenizer": splitter, "model": model})


def make(folder: Path, n_tokens: int, dim: int) -> None:
    """A model with a random table of float32, which is written in pieces."""
    StaticModel(np.zeros((n_tokens, 1), np.float32), wordpiece(n_tokens)).save_pretrained(folder)
    draw = np.random.default_rng(0)
    step = max(1, (1 << 26) // (4 * dim))
    sizes = (min(step, n_tokens - start) for start in range(0, n_tokens, step))
    pieces = (draw.random((size, dim), np.float32) - np.float32(0.5) for size in sizes)
    write_tensors(folder / "model.safetensors", {"embeddings": Tensor("float32", (n_tokens, dim), pieces)})


def words(n_tokens: int, seed: int = 0) -> Iterator[str]:
    """Words of the vocabulary, rare and common ones, without end."""
    draw = np.random.default_rng(seed)
    while True:
        yield from (f"w{number}" for number in np.minimum(draw.zipf(1.2, 1 << 16), n_tokens - 100).tolist())


def texts(n_texts: int, n_words: int, n_tokens: int) -> Iterator[str]:
    """Texts of so many words."""
    stream = words(n_tokens)
    return (" ".join(islice(stream, n_words)) for _ in range(n_texts))


# --- what is measured: each prints lines of a label and seconds -----------------------------------------------------


def timed(label: str, work: Callable[[], object]) -> object:
    """Print how long some work takes, and the memory after it."""
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    private, peak = (int(status[name].split()[0]) / 1e3 for name in ("RssAnon", "VmHWM"))
    print(f"| {label} | {seconds:.2f} | {cpu:.2f} | {private:,.0f} | {peak:,.0f} |", flush=True)
    return result


def large_vocabulary(folder: Path) -> None:
    """A vocabulary of a million tokens."""
    model = timed("a million tokens of 64 dimensions: load, first vector", lambda: _loaded(folder / "million"))
    some = list(texts(100_000, 20, MILLION))
    timed("100,000 texts of 20 words", lambda: model.encode(some))


def compiled_vocabulary(folder: Path) -> None:
    """The same, compiled."""
    timed("the same, compiled: load, first vector", lambda: _loaded(folder / "compiled", memory_map=True))


def wide(folder: Path) -> None:
    """Vectors of 4,096 dimensions."""
    model = timed("30,000 tokens of 4,096 dimensions: load, first vector", lambda: _loaded(folder / "wide"))
    some = list(texts(10_000, 20, 30_000))
    timed("10,000 texts of 20 words", lambda: model.encode(some))


def long_text(folder: Path) -> None:
    """A text of ten million tokens."""
    model = _loaded(folder / "small")
    text = " ".join(islice(words(30_000), 10 * MILLION))
    size = len(text) / 1e6
    timed(f"a text of 10 million tokens, {size:.0f} MB: alone", lambda: model.encode(text, max_length=None))
    timed("the same in a list with two others", lambda: model.encode(["good", text, "day"], max_length=None))


def stream(folder: Path) -> None:
    """Ten million texts, as they come."""
    model = _loaded(folder / "small")

    def all_of_them() -> None:
        pattern = list(texts(50_000, 20, 30_000))
        many = (f"{text} w{number}" for number in range(200) for text in pattern)
        n_texts = sum(len(vectors) for vectors in model.encode_stream(many))
        if n_texts != 10 * MILLION:
            raise SystemExit(f"{n_texts} texts")

    timed("10 million texts of 21 words streamed, 128 dimensions", all_of_them)


def empty(folder: Path) -> None:
    """A million empty texts."""
    model = _loaded(folder / "small")
    timed("a million empty texts, 128 dimensions", lambda: _zeros(model.encode([""] * MILLION)))
    timed("the same streamed", lambda: all(map(_zeros, model.encode_stream([""] * MILLION))))


def _zeros(vectors: np.ndarray) -> bool:
    if vectors.any():
        raise SystemExit("an empty text with a vector")
    return True


def mapped(folder: Path) -> None:
    """A table of 4 GB that stays in its file."""
    size = (folder / "mapped/model.safetensors").stat().st_size / 1e9
    label = f"a table of {size:.1f} GB mapped: load, first vector"
    model = timed(label, lambda: _loaded(folder / "mapped", memory_map=True))
    some = list(texts(100_000, 20, MILLION))
    timed("100,000 texts of 20 words", lambda: model.encode(some))


def _loaded(folder: Path, *, memory_map: bool = False) -> StaticModel:
    model = StaticModel.from_pretrained(folder, memory_map=memory_map)
    if not model.encode("w1 w2").any():
        raise SystemExit(f"{folder}: a vector of zeros")
    return model


LIMITS = {
    "million": (large_vocabulary, lambda folder: make(folder / "million", MILLION, 64)),
    "compiled": (compiled_vocabulary, lambda folder: _compiled(folder / "compiled")),
    "wide": (wide, lambda folder: make(folder / "wide", 30_000, 4096)),
    "long": (long_text, lambda folder: make(folder / "small", 30_000, 128)),
    "stream": (stream, lambda folder: make(folder / "small", 30_000, 128)),
    "empty": (empty, lambda folder: make(folder / "small", 30_000, 128)),
    "mapped": (mapped, lambda folder: _compiled(folder / "mapped", 1024)),
}


def _compiled(folder: Path, dim: int = 64) -> None:
    make(folder, MILLION, dim)
    compile_vocabulary(folder)


def main() -> None:
    """Make the models, and measure each limit in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("limits", nargs="*", metavar="LIMIT", help=f"of {', '.join(LIMITS)} (default: all)")
    parser.add_argument("--folder", type=Path, help="where models are made (default: the system's temporary folder)")
    parser.add_argument("--run", metavar="LIMIT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        LIMITS[options.run][0](options.folder)
        return
    print("| what | seconds | CPU seconds | private MB | peak MB |\n| --- | --- | --- | --- | --- |", flush=True)
    for name in options.limits or LIMITS:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            LIMITS[name][1](Path(folder))
            subprocess.run([sys.executable, __file__, "--run", name, "--folder", folder], check=True)


if __name__ == "__main__":
    main()
