from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_core import InvalidInputError, StaticModel
from m2v_core.cache_budget import DEFAULT_CACHE_BYTES
from m2v_core.tokenize.pieces import encoded, hashed, split
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.tokenize.word_cache import MAX_BYTES, UNSAFE, SmallTextCache, WordCache
from tokenizer_files import byte_bpe, unigram, wordpiece

WORDS = st.text("ab日é", min_size=1, max_size=40)


def known(cache: WordCache, words: list[str]) -> dict[str, list[int] | None]:
    """Ids of each word in the cache, adding those that are missing: word i has i % 4 ids, each i."""
    pieces = split(encoded(words), spaced=False)
    keys = hashed(pieces, cache.factor, MAX_BYTES)
    found = cache.find(keys)
    answers: dict[str, list[int] | None] = {}
    for index, word in enumerate(words):
        start, count = int(found.starts[index]), int(found.counts[index])
        answers[word] = found.store[start : start + count].tolist() if found.known[index] else None
    new = np.flatnonzero(~found.known)
    lengths = new % 4
    starts, store = cache.add(found, keys, new, np.repeat(new, lengths), lengths)
    for index, start, length in zip(new.tolist(), starts.tolist(), lengths.tolist(), strict=True):
        assert store[start : start + length].tolist() == [index] * length
    return answers


@given(words=st.lists(WORDS, min_size=1, max_size=400, unique=True))
@settings(max_examples=50, deadline=None)
def test_what_was_learnt_is_found(words: list[str]) -> None:
    cache = WordCache(2**24)
    assert set(known(cache, words).values()) == {None}
    expected = {word: [index] * (index % 4) for index, word in enumerate(words)}
    assert known(cache, words) == expected
    assert known(cache, words[::-1]) == expected


def test_pieces_with_equal_hashes_are_told_apart() -> None:
    """With the factor 1, a word's hash is easy to reach with another of two words."""
    cache = WordCache(2**20)
    cache.factor = np.uint64(1)
    first, second = b"abcdefgh", b"ijklmnop"
    # hash(w1, w2) = mix(mix(w1) ^ w2): swap what the two words contribute.
    mixed = [(word ^ word >> 32) for word in (int.from_bytes(first, "little"), int.from_bytes(second, "little"))]
    other = (mixed[0] ^ mixed[1] ^ int.from_bytes(b"qrstuvwx", "little")).to_bytes(8, "little")
    texts = [(first + b"qrstuvwx"), (second + other)]
    if b" " in other or b"\0" in other:
        pytest.skip("the made-up word has a break in it")
    data = b"\0".join(texts) + b"\0" + bytes(8)
    keys = hashed(split(data, spaced=False), cache.factor, MAX_BYTES)
    assert keys.hashes[0] == keys.hashes[1]
    found = cache.find(keys)
    cache.add(found, keys, np.array([0]), np.array([7]), np.array([1]))
    again = cache.find(keys)
    assert again.known.tolist() == [True, False]
    assert again.store[again.starts[0]] == 7


def test_unsafe_pieces_are_remembered_as_such() -> None:
    cache = WordCache(2**20)
    keys = hashed(split(encoded(["bad"]), spaced=False), cache.factor, MAX_BYTES)
    cache.add(cache.find(keys), keys, np.array([0]), np.zeros(0, np.int64), np.array([UNSAFE]))
    assert cache.find(keys).counts.tolist() == [UNSAFE]
    assert cache.few(["bad"]) == {"bad": None}


@pytest.mark.parametrize("max_bytes", [100_000, 1_000_000, 4_000_000])
def test_a_stream_of_different_words_does_not_grow_the_cache(max_bytes: int) -> None:
    cache = WordCache(max_bytes)
    largest = 0
    for start in range(0, 200_000, 1000):
        known(cache, [f"word-number-{index}" for index in range(start, start + 1000)])
        largest = max(largest, cache.nbytes)
    assert largest <= max_bytes + 100_000  # a batch more
    known(cache, ["one more"])
    assert known(cache, ["one more"]) == {"one more": []}


def test_the_default_limit_is_under_32_mib() -> None:
    assert DEFAULT_CACHE_BYTES < 32 * 2**20


@pytest.mark.parametrize("tokenizer", [wordpiece, byte_bpe])
def test_a_tokenizer_keeps_to_its_limit(tokenizer) -> None:
    text_tokenizer = TextTokenizer(tokenizer(), cache_bytes=400_000)
    for start in range(0, 100_000, 500):
        text_tokenizer([f"good{index} day" for index in range(start, start + 500)], None)
        text_tokenizer([f"good{start} day"], None)
        assert text_tokenizer._words.nbytes + text_tokenizer._small_texts.nbytes < 400_000


def test_words_of_small_texts_are_forgotten_when_there_is_no_room() -> None:
    cache = SmallTextCache()
    for index in range(1000):
        cache.add({f"word{index}": b"12345678"}, 2_000)
        assert len(cache.known) < 20
        assert cache.nbytes <= 2_000
    cache.add({"x" * 65: b""}, 2_000)
    assert "x" * 65 not in cache.known


@given(words=st.lists(WORDS, min_size=1, max_size=60, unique=True), others=st.lists(WORDS, max_size=9))
@settings(max_examples=50, deadline=None)
def test_a_few_words_are_found_as_many_are(words: list[str], others: list[str]) -> None:
    cache = WordCache(2**24)
    known(cache, words)
    expected = {word: np.full(index % 4, index).tobytes() for index, word in enumerate(words)}
    assert cache.few([*words, *others]) == expected


@given(batches=st.lists(st.lists(WORDS, min_size=1, max_size=60, unique=True), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_what_was_added_is_told_once(batches: list[list[str]]) -> None:
    cache = WordCache(2**24)
    for words in batches:
        new = [word for word, ids in known(cache, words).items() if ids is None]
        assert cache.n_untold == len(new)
        told = cache.tell(1000)
        assert sorted(told) == sorted(new)
        assert cache.few(told) == told
    assert cache.tell(1000) == {}


def test_small_texts_know_what_batches_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TextTokenizer(wordpiece())
    texts = [f"good{index} day" for index in range(300)]
    expected = tokenizer(texts, None)
    monkeypatch.setattr(tokenizer, "_new_small_pieces", None)
    for index, text in enumerate(texts):
        assert np.array_equal(tokenizer.one(text, None), expected[index])


@pytest.mark.parametrize("kind", [wordpiece, byte_bpe, unigram])
@pytest.mark.parametrize("cache_bytes", [0, DEFAULT_CACHE_BYTES])
def test_long_pieces_and_no_cache(kind, cache_bytes: int) -> None:
    tokenizer = TextTokenizer(kind(), cache_bytes=cache_bytes)
    texts = ["good " + "day" * 100 + " good", "x" * 5000, "aé" * 40_000, "", "good day", "日" * 90] * 10
    expected = tokenizer._whole(texts)
    found = tokenizer(texts, None)
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.offsets, expected.offsets)
    for index, text in enumerate(texts[:5]):
        assert np.array_equal(tokenizer.one(text, None), expected[index])


def test_threads_share_a_cache_that_is_always_full() -> None:
    cache = WordCache(200_000)

    def job(seed: int) -> None:
        for start in range(0, 20_000, 500):
            words = [f"{seed % 2}-{index}" for index in range(start, start + 500)]
            for word, ids in known(cache, words).items():
                place = int(word[2:]) - start
                assert ids is None or ids == [place] * (place % 4)

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(job, range(8)))


@pytest.mark.parametrize("cache_bytes", [-1, 1.5, "1", True, None])
def test_a_limit_is_a_number_of_bytes(cache_bytes) -> None:
    with pytest.raises(InvalidInputError, match="cache_bytes should be"):
        StaticModel(np.ones((4, 2), np.float32), wordpiece(), cache_bytes=cache_bytes)
