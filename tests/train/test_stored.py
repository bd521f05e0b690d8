"""Pairs in files: token ids on disk give what lists in memory give, in other order, a part at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core.errors import InvalidInputError
from m2v_train import FileColumn, StaticModelForPairSimilarity
from m2v_train.data import stored
from m2v_train.data.files import parts_of
from m2v_train.data.pairs import pair_samples
from m2v_train.data.stored import MixedOrder, StoredSamples
from m2v_train.data.token_files import MANIFEST, stored_tokens
from m2v_train.data.tokens import tokenize
from training_texts import FAST, sentences

pa = pytest.importorskip("pyarrow")

N = 500
FIRST, SECOND = sentences(N, seed=1), sentences(N, seed=2)
OTHERS = [SECOND[i : i + i % 3] for i in range(N)]
MODEL = make_model()
OPTIONS = {**FAST, "max_epochs": 2, "n_layers": 0, "batch_size": 32}


def written(path: Path, **columns: Any) -> Path:
    from pyarrow import feather, parquet

    table = pa.table(columns)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=100)
    else:
        feather.write_feather(table, path, chunksize=64)
    return path


@pytest.fixture(params=["pairs.parquet", "pairs.arrow"])
def columns(request: pytest.FixtureRequest, tmp_path: Path) -> list[FileColumn]:
    path = written(tmp_path / request.param, a=FIRST, b=SECOND, n=OTHERS)
    return [FileColumn(path, name) for name in "abn"]


def test_samples_are_those_in_memory(
    columns: list[FileColumn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tokens; the same number where tokens are the same; through chunks of 7 that come and go."""
    monkeypatch.setattr(stored, "_SAMPLES", 7)
    monkeypatch.setattr(stored, "_MIXED", 3)
    found = stored_tokens(tmp_path / "tokens", MODEL, columns, None, show=False)
    samples = StoredSamples(tmp_path / "tokens", found, np.array([0, 1, 13, 14, 100, 499]))
    texts = tokenize(MODEL, FIRST, SECOND, [text for each in OTHERS for text in each], max_length=None)
    expected = pair_samples(texts, np.array([len(each) for each in OTHERS]), width=4)
    kept = expected.take(np.setdiff1d(np.arange(N), samples.held_out))
    assert (len(samples), samples.width) == (len(kept), kept.width)
    assert samples.sizes == pytest.approx(expected.sizes)
    order = samples.order(np.random.default_rng(3))
    whole = np.concatenate([order[i : i + 32] for i in range(0, len(order), 32)])
    assert sorted(whole.tolist()) == list(range(len(samples)))
    for i in range(0, len(order), 32):
        batch = order[i : i + 32]
        one, other = samples.texts_of(batch), kept.texts_of(batch)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.offsets, other.offsets)
        numbers, right = samples.targets_of(batch).ravel(), kept.targets_of(batch).ravel()
        np.testing.assert_array_equal(numbers == -1, right == -1)
        np.testing.assert_array_equal(numbers[:, None] == numbers, right[:, None] == right)
    assert len(samples._chunks) <= 6
    held, rows = samples.held_out_samples(), expected.take(samples.held_out)
    np.testing.assert_array_equal(held.texts_of(np.arange(6)).values, rows.texts_of(np.arange(6)).values)
    np.testing.assert_array_equal(samples.occurring(MODEL.n_tokens), expected.occurring(MODEL.n_tokens))


def test_an_order_mixes() -> None:
    order = MixedOrder(5000, 10, seed=1)
    whole = order[:]
    assert sorted(whole.tolist()) == list(range(5000))
    assert np.array_equal(whole[37:1204], order[37:1204])
    assert len(set((whole[:200] // 10).tolist())) > 50
    assert not np.array_equal(whole, MixedOrder(5000, 10, seed=2)[:])


def test_a_fit_reads_files(tmp_path: Path) -> None:
    """With the same validation data, and as good as a fit of lists; the ids are kept, and read again."""
    held = {"text_a_val": FIRST[:40], "text_b_val": SECOND[:40], "negatives_val": OTHERS[:40]}
    paired = [*FIRST[:200], *[f"{text} day" for text in FIRST[200:]]]
    path = written(tmp_path / "more.parquet", a=paired, b=[f"{text} sun" for text in paired], n=OTHERS)
    files = dict(zip(("text_a", "text_b", "negatives"), (FileColumn([path], name) for name in "abn"), strict=True))
    lists = {"text_a": paired, "text_b": [f"{text} sun" for text in paired], "negatives": OTHERS}
    options = {**OPTIONS, "max_epochs": 3, "tokens_dir": tmp_path / "tokens"}
    losses = []
    for given in (files, lists):
        fitted = StaticModelForPairSimilarity(MODEL, **options).fit(**given, **held)
        losses.append(fitted.history_[-1]["val_loss"])
        assert fitted.validation_indices_ is None
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    before = (tmp_path / "tokens" / MANIFEST).stat().st_mtime_ns
    fitted = StaticModelForPairSimilarity(MODEL, **options).fit(**files)
    assert (tmp_path / "tokens" / MANIFEST).stat().st_mtime_ns == before
    assert len(fitted.validation_indices_) == 50
    assert files["text_a"].take(fitted.validation_indices_) == [paired[i] for i in fitted.validation_indices_]
    again = StaticModelForPairSimilarity(MODEL, **{**options, "tokens_dir": None}).fit(**files)
    np.testing.assert_array_equal(again.to_static_model().embedding, fitted.to_static_model().embedding)
    StaticModelForPairSimilarity(MODEL, **options).fit(files["text_a"], files["text_b"], max_length=2)
    assert (tmp_path / "tokens" / MANIFEST).stat().st_mtime_ns > before


def test_checkpoints_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is done is there again at once; it knows the ids of its files."""
    path = written(tmp_path / "pairs.parquet", a=FIRST, b=SECOND)
    columns = [FileColumn(path, name) for name in "ab"]
    options = {**OPTIONS, "early_stopping_patience": None, "checkpoint_dir": tmp_path / "state"}
    whole = StaticModelForPairSimilarity(MODEL, **options).fit(*columns)
    with monkeypatch.context() as patch:
        patch.setattr("m2v_train.engine.loop.Trainer._take_steps", lambda *_: pytest.fail("The training was done."))
        assert StaticModelForPairSimilarity(MODEL, **options).fit(*columns).history_ == whole.history_


def test_wrong_files(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.parquet", a=["good"] * 3, b=["day", None, "sun"], c=[1, 2, 3])
    other = written(tmp_path / "others.parquet", b=["day"] * 3)
    estimator = StaticModelForPairSimilarity(MODEL, **OPTIONS)
    a = FileColumn(path, "a")
    for second, message in [
        (["day"] * 3, r"text_a and text_b should all be columns of files \(FileColumn\), or all be lists"),
        (FileColumn(other, "b"), "Columns of pairs should be in the same files; found text_a in"),
        (FileColumn(path, "z"), "expected the column 'z'; found 'a', 'b', 'c'. Name one of these"),
        (FileColumn(path, "b"), r"should hold texts \(str\) of valid Unicode; found None in row 2"),
        (FileColumn(path, "c"), r"should hold texts \(str\) of valid Unicode; found 1 in row 1"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            estimator.fit(a, second)
    empty = written(tmp_path / "empty.parquet", a=["☃"] * 3, b=["day"] * 3)
    with pytest.raises(InvalidInputError, match="None of the 3 texts in text_a has a token"):
        estimator.fit(FileColumn(empty, "a"), FileColumn(empty, "b"))


def test_parts_are_rows_in_order(columns: list[FileColumn]) -> None:
    rows = [row for part in parts_of(columns) for row in zip(*part, strict=True)]
    assert rows == list(zip(FIRST, SECOND, OTHERS, strict=True))
