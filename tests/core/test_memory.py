from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import InvalidInputError, StaticModel
from m2v_core.tokenize.pieces import cut, joined, keys
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.tokenize.word_cache import DEFAULT_CACHE_BYTES, MAX_BYTES, UNSAFE, Memory, Recent
from tokenizer_files import byte_bpe, wordpiece

WORDS = st.text("ab日é", min_size=1, max_size=40)


def known(memory: Memory, words: list[str]) -> dict[str, list[int] | None]:
    """What the memory says of each word, learning those that it does not know: word i has i % 4 ids, each i."""
    pieces = cut(joined(words), spaced=False)
    by = keys(pieces, memory.factor, MAX_BYTES)
    found = memory.find(by)
    answers: dict[str, list[int] | None] = {}
    for index, word in enumerate(words):
        start, count = int(found.starts[index]), int(found.counts[index])
        answers[word] = found.store[start : start + count].tolist() if found.known[index] else None
    new = np.flatnonzero(~found.known)
    lengths = new % 4
    starts, store = memory.learn(found, by, new, np.repeat(new, lengths), lengths)
    for index, start, length in zip(new.tolist(), starts.tolist(), lengths.tolist(), strict=True):
        assert store[start : start + length].tolist() == [index] * length
    return answers


@given(words=st.lists(WORDS, min_size=1, max_size=400, unique=True))
@settings(max_examples=50, deadline=None)
def test_what_was_learnt_is_found(words: list[str]) -> None:
    memory = Memory(2**24)
    assert set(known(memory, words).values()) == {None}
    expected = {word: [index] * (index % 4) for index, word in enumerate(words)}
    assert known(memory, words) == expected
    assert known(memory, words[::-1]) == expected


def test_pieces_with_equal_hashes_are_told_apart() -> None:
    """With the factor 1, a word's hash is easy to reach with another of two words."""
    memory = Memory(2**20)
    memory.factor = np.uint64(1)
    first, second = b"abcdefgh", b"ijklmnop"
    # hash(w1, w2) = mix(mix(w1) ^ w2): swap what the two words contribute.
    mixed = [(word ^ word >> 32) for word in (int.from_bytes(first, "little"), int.from_bytes(second, "little"))]
    other = (mixed[0] ^ mixed[1] ^ int.from_bytes(b"qrstuvwx", "little")).to_bytes(8, "little")
    texts = [(first + b"qrstuvwx"), (second + other)]
    if b" " in other or b"\0" in other:
        pytest.skip("the made-up word has a break in it")
    data = b"\0".join(texts) + b"\0" + bytes(8)
    by = keys(cut(data, spaced=False), memory.factor, MAX_BYTES)
    assert by.hashes[0] == by.hashes[1]
    found = memory.find(by)
    memory.learn(found, by, np.array([0]), np.array([7]), np.array([1]))
    again = memory.find(by)
    assert again.known.tolist() == [True, False]
    assert again.store[again.starts[0]] == 7


def test_unsafe_pieces_are_remembered_as_such() -> None:
    memory = Memory(2**20)
    by = keys(cut(joined(["bad"]), spaced=False), memory.factor, MAX_BYTES)
    memory.learn(memory.find(by), by, np.array([0]), np.zeros(0, np.int64), np.array([UNSAFE]))
    assert memory.find(by).counts.tolist() == [UNSAFE]


@pytest.mark.parametrize("max_bytes", [100_000, 1_000_000, 4_000_000])
def test_a_stream_of_different_words_does_not_grow_the_memory(max_bytes: int) -> None:
    memory = Memory(max_bytes)
    largest = 0
    for start in range(0, 200_000, 1000):
        known(memory, [f"word-number-{index}" for index in range(start, start + 1000)])
        largest = max(largest, memory.nbytes)
    assert largest <= max_bytes + 100_000  # a batch more
    known(memory, ["one more"])
    assert known(memory, ["one more"]) == {"one more": []}


def test_the_default_limit_is_under_32_mib() -> None:
    assert DEFAULT_CACHE_BYTES < 32 * 2**20


@pytest.mark.parametrize("tokenizer", [wordpiece, byte_bpe])
def test_a_tokenizer_keeps_to_its_limit(tokenizer) -> None:
    text_tokenizer = TextTokenizer(tokenizer(), cache_bytes=400_000)
    for start in range(0, 100_000, 500):
        text_tokenizer([f"good{index} day" for index in range(start, start + 500)], None)
        text_tokenizer([f"good{start} day"], None)
    assert text_tokenizer._memory.nbytes < 400_000
    assert text_tokenizer._recent._nbytes < 400_000


def test_recent_words_start_again_when_there_is_no_room() -> None:
    recent = Recent(2_000)
    for index in range(1000):
        recent.learn({f"word{index}": b"12345678"})
        assert recent.known[f"word{index}"] == b"12345678"
        assert len(recent.known) < 20
    recent.learn({"x" * 65: b""})
    assert "x" * 65 not in recent.known


def test_threads_share_a_memory_that_is_always_full() -> None:
    memory = Memory(200_000)

    def job(seed: int) -> None:
        for start in range(0, 20_000, 500):
            words = [f"{seed % 2}-{index}" for index in range(start, start + 500)]
            for word, ids in known(memory, words).items():
                place = int(word[2:]) - start
                assert ids is None or ids == [place] * (place % 4)

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(job, range(8)))


@pytest.mark.parametrize("cache_bytes", [-1, 1.5, "1", True, None])
def test_a_limit_is_a_number_of_bytes(cache_bytes) -> None:
    with pytest.raises(InvalidInputError, match="cache_bytes should be"):
        StaticModel(np.ones((4, 2), np.float32), wordpiece(), cache_bytes=cache_bytes)
