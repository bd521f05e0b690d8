"""The folder of an index: what is saved is found again, today's folders stay loadable, and damage is an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import GOLDEN, make_model
from m2v_core import InvalidInputError, M2VError, MissingPackageError, ModelFormatError, ModelNotFoundError, StaticModel
from m2v_core.search import Index, files, lexical
from m2v_core.search.files import ENTRY_FILE, INDEX_FILE, LEXICAL_FILE, MODEL_FOLDER, OWNED, VECTOR_FILE
from m2v_core.search.precision import STORED
from m2v_core.storage.files import UNFINISHED

TEXTS = ["good day", "bad day", "sunny days", "", "a good day in the sun", "unable", "日本 good"]
QUERIES = ["good", "sunny day", "", "unable 日"]
EXPECTED = json.loads((GOLDEN / "indexes" / "hits.json").read_text(encoding="utf-8"))


def make_index(**options: Any) -> Index:
    index = Index(make_model(), **options)
    index.add(TEXTS[:4], metadata=[{"page": row} for row in range(4)])
    index.add(TEXTS[4:], ids=["a", -7, "日本"])
    return index


def same(one: Index, other: Index) -> None:
    assert (list(one), len(one), one.dim, one.dtype) == (list(other), len(other), other.dim, other.dtype)
    assert one.search(QUERIES, k=5) == other.search(QUERIES, k=5)
    np.testing.assert_array_equal(one.vectors(), other.vectors())


@pytest.mark.parametrize("name", EXPECTED["hits"])
def test_folders_of_this_version_stay_loadable(name: str) -> None:
    index = Index.load(GOLDEN / "indexes" / name)
    for hits, expected in zip(index.search(EXPECTED["queries"], k=5), EXPECTED["hits"][name], strict=True):
        assert [[hit.id, hit.metadata] for hit in hits] == [[name, about] for name, _, about in expected]
        np.testing.assert_allclose([hit.score for hit in hits], [score for _, score, _ in expected], atol=1e-5)


@pytest.mark.parametrize("name", EXPECTED["hits"])
def test_an_index_is_saved_byte_by_byte(name: str, tmp_path: Path) -> None:
    Index.load(GOLDEN / "indexes" / name).save(tmp_path)
    for file in (INDEX_FILE, VECTOR_FILE, ENTRY_FILE, LEXICAL_FILE):
        path = GOLDEN / "indexes" / name / file
        assert (tmp_path / file).exists() == path.exists()
        if path.exists():
            assert (tmp_path / file).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("memory_map", [True, False])
@pytest.mark.parametrize("options", [*({"dtype": dtype} for dtype in STORED), {"lexical": True}, {"adapt": True}])
def test_what_is_saved_is_found_again(options: dict[str, Any], memory_map: bool, tmp_path: Path) -> None:
    index = make_index(**options)
    index.save(tmp_path / "i")
    assert {path.name for path in (tmp_path / "i").iterdir()} <= OWNED
    loaded = Index.load(tmp_path / "i", memory_map=memory_map)
    same(index, loaded)
    for each in (index, loaded):
        assert each.add(["good good", "day"], metadata=["x", "y"]) == [4, 5]
        each.remove([0, "a", 5])
    same(index, loaded)
    loaded.save(tmp_path / "i")  # in the place of the files that it has mapped
    same(index, Index.load(tmp_path / "i"))
    assert load_file(tmp_path / "i" / VECTOR_FILE)["vectors"].shape == (6, 8)


def test_tensors_are_aligned_and_stay_in_their_file(tmp_path: Path) -> None:
    make_index(dtype="binary", lexical=True).save(tmp_path)
    for file in (VECTOR_FILE, LEXICAL_FILE):
        data = (tmp_path / file).read_bytes()
        length = int.from_bytes(data[:8], "little")
        assert length % 64 == 56
        for entry in json.loads(data[8 : 8 + length]).values():
            assert entry["data_offsets"][0] % (int(entry["dtype"][1:]) // 8) == 0
    index = Index.load(tmp_path)
    assert index._rows.table is not None
    arrays = index._rows.table._parts[0].values()
    assert all(isinstance(array.base, np.memmap) for array in arrays)


def test_an_index_of_nothing(tmp_path: Path) -> None:
    for index in (Index(), Index(make_model()), Index(make_model(), lexical=True, adapt=True, dtype="binary")):
        index.save(tmp_path)
        loaded = Index.load(tmp_path)
        assert (len(loaded), loaded.dim, loaded.dtype) == (0, index.dim, index.dtype)
        if loaded.model is None:
            assert loaded.add(vectors=[[1, 2, 3]]) == [0]
        else:
            assert loaded.add("good") == [0]
            assert loaded.search("good")[0].id == 0


def test_an_index_without_a_model(tmp_path: Path) -> None:
    index = Index(lexical=True)
    vectors = np.random.default_rng(0).normal(size=(7, 8))
    index.add(TEXTS, vectors=vectors)
    index.save(tmp_path)
    loaded = Index.load(tmp_path)
    assert loaded.model is None
    assert loaded.search(vectors=vectors[3], k=1)[0].id == 3  # type: ignore[union-attr]
    assert [hit.id for hit in loaded.search("sunny", mode="lexical")] == [2]
    with pytest.raises(InvalidInputError, match="no model to embed queries"):
        loaded.search("sunny")
    with_model = Index.load(tmp_path, make_model())  # whose vectors fit, says the user
    assert len(with_model.search("sunny")) == 7


def test_the_model_may_be_elsewhere(tmp_path: Path) -> None:
    index = make_index()
    index.save(tmp_path / "i")
    index.save(tmp_path / "i", include_model=False)
    assert not (tmp_path / "i" / MODEL_FOLDER).exists()
    make_model().save_pretrained(tmp_path / "m", compiled=True)
    loaded = Index.load(tmp_path / "i")
    assert loaded.model is None
    assert loaded.search(vectors=index.vectors()[0], k=1)[0].id == 0  # type: ignore[union-attr]
    same(index, Index.load(tmp_path / "i", tmp_path / "m"))
    same(index, Index.load(str(tmp_path / "i"), StaticModel.from_pretrained(tmp_path / "m")))
    other = make_model()
    other.max_length = 3
    with pytest.raises(InvalidInputError, match="the model that it was made with; found another one"):
        Index.load(tmp_path / "i", other)
    compiled = Index(tmp_path / "m")
    compiled.save(tmp_path / "c")
    assert (tmp_path / "c" / MODEL_FOLDER / "vocabulary.safetensors").exists()


def test_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    make_index(lexical=True).save(tmp_path)
    make_index().save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*OWNED, "README.md"} - {LEXICAL_FILE}
    same(Index.load(tmp_path), make_index())


def test_a_failed_save_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make_index()
    index.save(tmp_path / "i")
    monkeypatch.setattr(files, "write_json", lambda *_: 1 / 0)
    bad = make_index(dtype="int8")
    with pytest.raises(ZeroDivisionError):
        bad.save(tmp_path / "i")
    monkeypatch.undo()
    same(Index.load(tmp_path / "i"), index)
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_without_bm25s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_index(lexical=True).save(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for needs in (lambda: Index(lexical=True), lambda: Index.load(tmp_path)):
        with pytest.raises(MissingPackageError, match=r"pip install 'm2v-core\[search\]'"):
            needs()
    assert Index(make_model()).search("good") == []


# --- files of strangers ---------------------------------------------------------------------------------------


def header(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        raw = json.loads((folder / INDEX_FILE).read_text()) | changes
        (folder / INDEX_FILE).write_text(json.dumps({k: v for k, v in raw.items() if v != "gone"}))

    return change


def tensors(file: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        arrays = load_file(folder / file)
        for name, value in changes.items():
            if value is None:
                del arrays[name]
            else:
                arrays[name] = np.ascontiguousarray(value(arrays[name].copy()) if callable(value) else value)
        save_file(arrays, folder / file)

    return change


def entries(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / ENTRY_FILE).write_text(text, encoding="utf-8") and None


def cut(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:-5]) and None


def without(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def put(position: int, value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[position] = value
        return array

    return change


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (header(version=2), 'expected "version" 1; found 2. A newer m2v-core may read it'),
    (header(version="gone"), 'expected "version" 1; found None'),
    (header(count=-1), '"count" should be a whole number'),
    (header(count=True), '"count" should be a whole number'),
    (header(count=8), "vectors should have shape"),
    (header(count=10**30), '"count" should be'),
    (header(dim=None), '"dim" should be'),
    (header(dim=0), '"dim" should be'),
    (header(dim=9), "vectors should have shape"),
    (header(dtype="float64"), '"dtype" should be float32'),
    (header(dtype=[]), '"dtype" should be'),
    (header(dtype="int8"), "scales"),
    (header(next_id=-1), '"next_id" should be'),
    (header(model_digest=3), '"model_digest" should be'),
    (header(model_digest="gone"), '"model_digest" should be'),
    (header(model_digest="0" * 32), "found another one"),
    (header(lexical=1), '"lexical" should be true or false'),
    (header(adapt=None), '"adapt" should be true or false'),
    (lambda folder: (folder / INDEX_FILE).write_text("[]") and None, "expected an object"),
    (without(VECTOR_FILE), "missing"),
    (without(ENTRY_FILE), "missing"),
    (without(LEXICAL_FILE), "missing"),
    (cut(VECTOR_FILE), "Copy or download"),
    (cut(LEXICAL_FILE), "Copy or download"),
    (cut(ENTRY_FILE), "lines that end where line_ends"),
    (tensors(VECTOR_FILE, vectors=None), "expected the tensor vectors"),
    (tensors(VECTOR_FILE, vectors=np.zeros((7, 8), np.float64)), "vectors should be one of float32"),
    (tensors(VECTOR_FILE, zero_rows=np.array([7])), "zero_rows should be rows that ascend"),
    (tensors(VECTOR_FILE, zero_rows=np.array([-1])), "zero_rows"),
    (tensors(VECTOR_FILE, zero_rows=np.array([3, 3])), "zero_rows"),
    (tensors(VECTOR_FILE, zero_rows=np.array([[3]])), "zero_rows"),
    (tensors(VECTOR_FILE, line_ends=put(0, 0)), "line_ends"),
    (tensors(VECTOR_FILE, line_ends=put(3, 1)), "line_ends"),
    (tensors(VECTOR_FILE, line_ends=put(6, 2**60)), "line_ends"),
    (tensors(VECTOR_FILE, line_ends=np.arange(3)), "line_ends"),
    (tensors(VECTOR_FILE, token_weights=put(0, np.nan)), "token_weights"),
    (tensors(VECTOR_FILE, token_weights=put(0, -1)), "token_weights"),
    (tensors(VECTOR_FILE, token_weights=np.ones(3, np.float32)), "expected weights of 35 tokens; found 3"),
    (tensors(LEXICAL_FILE, words=put(0, 10**6)), "words should be below"),
    (tensors(LEXICAL_FILE, words=put(0, -1)), "words should be below"),
    (tensors(LEXICAL_FILE, words=lambda a: a[None]), "words should have one axis"),
    (tensors(LEXICAL_FILE, documents=put(0, 7)), "documents should be below 7"),
    (tensors(LEXICAL_FILE, documents=lambda a: a[1:]), "documents should be as long as scores"),
    (tensors(LEXICAL_FILE, offsets=put(1, 10**6)), "offsets should go from 0"),
    (tensors(LEXICAL_FILE, offsets=put(0, 1)), "offsets should go from 0"),
    (tensors(LEXICAL_FILE, starts=put(-1, 0)), "starts should go from 0"),
    (tensors(LEXICAL_FILE, starts=np.zeros(0, np.int64)), "starts should go from 0"),
    (tensors(LEXICAL_FILE, vocabulary=put(0, 255)), "vocabulary should be different words"),
    (tensors(LEXICAL_FILE, vocabulary=lambda a: np.concatenate((a, a))), "vocabulary should be different words"),
    (tensors(LEXICAL_FILE, vocabulary=lambda a: a[:-1]), "vocabulary should be different words"),
    (lambda folder: (folder / MODEL_FOLDER / "tokenizer.json").unlink(), "tokenizer.json is missing"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[f"{i}-{m[:20]}" for i, (_, m) in enumerate(DAMAGE)])
def test_damage_is_found_at_loading(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    make_index(lexical=True, adapt=True).save(tmp_path / "i")
    damage(tmp_path / "i")
    with pytest.raises((ModelFormatError, ModelNotFoundError, InvalidInputError)) as error:
        Index.load(tmp_path / "i")
    assert message in str(error.value)


LINES = '[0,{"page":0}]\n[1,{"page":1}]\n[2,{"page":2}]\n[3,{"page":3}]\n["a",null]\n[-7,null]\n["日本",null]\n'


@pytest.mark.parametrize(
    "line", ['[0,{"page":0]]', '{"0":"page0"}', '[0,{"page":N]]', "[0,NaN,1,1,1,1]", "[1.5,1,1,1,1]]", "[true,      0]"]
)
def test_a_damaged_line_is_an_error_when_it_is_read(line: str, tmp_path: Path) -> None:
    make_index().save(tmp_path)
    assert (tmp_path / ENTRY_FILE).read_text(encoding="utf-8") == LINES
    (tmp_path / ENTRY_FILE).write_text(LINES.replace('[0,{"page":0}]', f"{line:<14}"[:14]), encoding="utf-8")
    index = Index.load(tmp_path)
    assert index.search("unable", k=1)[0].id == -7
    for reads in (lambda: index.search("good day"), lambda: list(index), lambda: index.add("good", ids=["b"])):
        with pytest.raises(ModelFormatError, match=r"entries.jsonl, line 1: expected a JSON array of an id"):
            reads()


def test_an_id_twice_is_an_error_when_ids_are_needed(tmp_path: Path) -> None:
    make_index().save(tmp_path)
    (tmp_path / ENTRY_FILE).write_text(LINES.replace("[1,", "[0,"), encoding="utf-8")
    index = Index.load(tmp_path)
    assert len(index.search("good", k=9)) == 6
    with pytest.raises(ModelFormatError, match="expected each id once; found 6 ids in 7 lines"):
        index.remove(0)


def test_vectors_that_are_no_numbers_have_no_score(tmp_path: Path) -> None:
    """A reader does not go through all vectors, so NaN and infinities in a file may come to a search."""
    make_index().save(tmp_path)
    tensors(VECTOR_FILE, vectors=put(0, np.nan))(tmp_path)
    tensors(VECTOR_FILE, vectors=put(1, np.inf))(tmp_path)
    index = Index.load(tmp_path)
    hits = index.search(["good", "bad day"], k=9)
    assert {hit.id for each in hits for hit in each if hit.score} == {2, "a", -7, "日本"}
    assert all(np.isfinite(hit.score) for each in hits for hit in each)


def test_what_is_no_index(tmp_path: Path) -> None:
    for folder, found in ((tmp_path, "a folder without it"), (tmp_path / "none", "no such folder")):
        with pytest.raises(ModelNotFoundError, match=f"the folder of an index, .*found {found}"):
            Index.load(folder)
    assert issubclass(ModelNotFoundError, M2VError)


def test_the_vocabulary_is_read_as_it_was_written(tmp_path: Path) -> None:
    index = make_index(lexical=True)
    with pytest.raises(InvalidInputError):
        index.add(["brandnew words"], ids=["a"])
    index.save(tmp_path)
    same(Index.load(tmp_path), index)
    assert lexical.Lexical is type(Index.load(tmp_path)._rows.lexical)


def test_an_interrupted_save_is_read_as_a_whole(tmp_path: Path, model: StaticModel) -> None:
    """Where folders cannot be exchanged: a save that was killed has left the new files in a folder of their own."""
    for name, texts in (("old", ["good"]), ("new", ["good day", "day"])):
        index = Index(model)
        index.add(texts)
        index.save(tmp_path / name)
    (tmp_path / "new").rename(tmp_path / "old" / UNFINISHED)
    (tmp_path / "old" / INDEX_FILE).unlink()
    found = Index.load(tmp_path / "old")
    assert len(found) == 2
    assert found.search("day")[0].id == 1
