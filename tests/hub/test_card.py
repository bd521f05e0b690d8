"""Whole cards: of each kind of model, with code that runs, and with nothing in them that strangers could use."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import given, settings
from hypothesis import strategies as st

from cards import CASES, CONFIG, MARKDOWN, RESULTS, add_head, blocks, model_of, run_python, set_config, write_case
from conftest import GOLDEN
from m2v_core import Config, InvalidInputError, ModelFormatError, ModelNotFoundError, StaticModel
from m2v_hub import Result, card_for
from m2v_hub.card.info import HeadInfo, ModelInfo, OnnxInfo
from m2v_hub.card.merge import BEGIN, END

SECRET = "hf_" + "Sesame" * 6


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


def card_of(case: str, folder: Path, **more: object) -> str:
    return card_for(folder, **{"repo_id": f"org/{case}", **write_case(case, folder), **more})


def data_of(card: str) -> dict[str, object]:
    """Metadata, as the Hub's own client reads and checks them."""
    return ModelCardData(**ModelCard(card).data.to_dict()).to_dict()


def test_golden_cards(case: str, tmp_path: Path) -> None:
    """Text that people have read: after a change run tests/golden/make_cards.py, and read it again."""
    expected = (GOLDEN / "cards" / f"{case}.md").read_text(encoding="utf-8")
    assert card_of(case, tmp_path / case) == expected


def test_a_card_is_its_own_successor(case: str, tmp_path: Path) -> None:
    card = card_of(case, tmp_path / case)
    assert card_of(case, tmp_path / "again", existing=card) == card


def test_python_blocks_of_m2v_core(case: str, tmp_path: Path, monkeypatch, capsys) -> None:
    """Each runs as it stands where the folder lies under its name; and all blocks are known to some test."""
    card = card_of(case, tmp_path / "org" / case)
    languages = {language for language, _ in blocks(card)}
    assert languages <= {"python", "js", "bibtex", ""}  # an architecture has no language
    codes = [code for language, code in blocks(card) if language == "python"]
    ours = [code for code in codes if "m2v_core" in code]
    assert len(ours) == (not case.startswith("onnx")) + (case == "variants")
    assert all(
        re.search(
            r"^from (m2v_core|model2vec|model2vec\.inference|sentence_transformers) import|^import torch$",
            code,
            re.MULTILINE,
        )
        for code in codes
    )
    monkeypatch.chdir(tmp_path)
    for code in ours:
        variables = run_python(code, tmp_path)
        if "vectors" in variables:
            assert variables["vectors"].shape == (3, StaticModel.from_pretrained(tmp_path / "org" / case).dim)
            assert capsys.readouterr().out.splitlines() == re.findall(r"\)  # (.*)$", code, flags=re.MULTILINE)
        if "smaller" in variables:
            assert variables["smaller"].dim == 4


def test_metadata(tmp_path: Path) -> None:
    data = data_of(card_of("composed", tmp_path / "m"))
    results = data.pop("model-index")
    assert data == {
        "language": ["en", "de"],
        "license": "apache-2.0",
        "library_name": "model2vec",
        "pipeline_tag": "sentence-similarity",
        "tags": ["m2v", "model2vec", "static-embeddings", "embeddings", "sentence-transformers"],
        "base_model": "org/teacher",
        "metrics": ["accuracy", "spearman_cosine"],
    }
    measured = [(r["task"]["type"], r["dataset"]["type"], r["metrics"][0]["value"]) for r in results[0]["results"]]
    assert measured == [
        ("sentence-similarity", "mteb/banking77", 0.9375),
        ("sentence-similarity", "mteb/stsbenchmark-sts", 0.78125),
    ]
    assert results[0]["name"] == "composed"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("clusters", ("model2vec", "feature-extraction", "org/teacher")),
        ("classes", ("model2vec", "text-classification", "org/teacher")),
        ("labels", ("model2vec", "text-classification", "org/teacher")),
        ("numbers", ("model2vec", None, "org/teacher")),
        ("onnx-vectors", ("transformers.js", "feature-extraction", None)),
        ("onnx-probabilities", ("transformers.js", "text-classification", None)),
        ("sentence-transformers", ("sentence-transformers", "sentence-similarity", None)),
        ("style-plain", ("sentence-transformers", "sentence-similarity", "org/teacher")),
        ("style-export", ("sentence-transformers", "sentence-similarity", None)),
    ],
)
def test_what_the_hub_files_it_under(case: str, expected: tuple, tmp_path: Path) -> None:
    data = data_of(card_of(case, tmp_path / "m"))
    assert (data["library_name"], data.get("pipeline_tag"), data.get("base_model")) == expected


def test_the_licence_is_inherited_given_or_left_out(tmp_path: Path) -> None:
    for given_, inherited, expected in (
        (None, None, {}),
        (None, "apache-2.0", {"license": "apache-2.0"}),
        ("MIT", "apache-2.0", {"license": "mit"}),
        ("My Own, 1.0", None, {"license": "other", "license_name": "my-own-1.0"}),
    ):
        model_of(replace(CONFIG, license=inherited)).save_pretrained(tmp_path / "m")
        card = card_for(tmp_path / "m", license=given_)
        assert {key: value for key, value in data_of(card).items() if key.startswith("license")} == expected
        assert ("| licence |" in card) == bool(expected)
        doubt = card.partition("## Licence")[2]
        if given_ and inherited:
            assert "The teacher's is apache-2.0: if they do not agree, ask." in doubt
        elif given_:
            assert "That of the teacher" in doubt
            assert "is not known here" in doubt
        else:
            assert ("as the teacher's" if inherited else "It is not known here.") in doubt


@pytest.mark.parametrize(
    ("name", "revision", "known"),
    [
        ("org/teacher", None, True),
        ("bert-base-uncased", None, False),  # or a folder of that name
        ("bert-base-uncased", "0" * 40, True),
        ("model", None, False),
        ("../up", None, False),
        ("org/teacher](https://evil.example)", None, False),
    ],
)
def test_only_a_model_of_the_hub_is_a_base_model_there(
    name: str, revision: str | None, known: bool, tmp_path: Path
) -> None:
    model_of(replace(CONFIG, base_model=name, base_model_revision=revision)).save_pretrained(tmp_path / "m")
    card = card_for(tmp_path / "m")
    assert (data_of(card).get("base_model") == name) == known
    assert ("](https://huggingface.co/" in card) == known


def test_facts_are_in_the_text(tmp_path: Path) -> None:
    text = card_of("composed", tmp_path / "m").partition("m2v:begin")[2]
    for fact in (
        "8 dimensions", "35 tokens", "float32", "1.1 kB", "512", "en, de", "apache-2.0", "org/teacher",
        CONFIG.base_model_revision, "random groups", "PCA | 8", "0.0001", "rounds | 6", "float32", "jax | 0.9.0",
    ):  # fmt: skip
        assert fact in text, fact


def test_a_folders_name_does_without_a_repository(tmp_path: Path) -> None:
    folder = tmp_path / 'my "model" `x` {{ 7 * 7 }}'
    model_of(CONFIG).save_pretrained(folder)
    code = next(code for _, code in blocks(card_for(folder)))
    run_python(f"import os; os.chdir({str(tmp_path)!r})\n{code}", tmp_path)
    assert "49" not in code


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"repo_id": "a/b/c"}, InvalidInputError, "found 'a/b/c'"),
        ({"license": "two\nlines"}, InvalidInputError, "license should be one line"),
        ({"license": ""}, InvalidInputError, "license should be one line"),
        ({"language": ["en", 3]}, InvalidInputError, "language should be one line of text; found 3"),
        ({"datasets": "a\x1b[2J"}, InvalidInputError, "datasets should be"),
        ({"metrics": {"accuracy": 0.9}}, InvalidInputError, "metric, value, dataset"),
        ({"metrics": [3]}, InvalidInputError, "found 3"),
        ({"metrics": {"metric": "a", "value": float("nan"), "dataset": "d"}}, InvalidInputError, "finite"),
        ({"metrics": {"metric": "a", "value": True, "dataset": "d"}}, InvalidInputError, "found True"),
        ({"metrics": {"metric": "a", "value": "high", "dataset": "d"}}, InvalidInputError, "found 'high'"),
        ({"metrics": {"metric": None, "value": 1, "dataset": "d"}}, InvalidInputError, "metric of a result"),
        ({"template": "none.md"}, InvalidInputError, "no such file"),
    ],
)
def test_arguments(options: dict, error: type[Exception], part: str, tmp_path: Path) -> None:
    model_of(CONFIG).save_pretrained(tmp_path / "m")
    with pytest.raises(error, match=re.escape(part)):
        card_for(tmp_path / "m", **options)


def test_results_come_in_any_number_of_any_kind(tmp_path: Path) -> None:
    model_of(CONFIG).save_pretrained(tmp_path / "m")
    one = Result(metric="accuracy", value=np.float32(0.5), dataset="d")
    assert type(one.value) is float
    for metrics, count in ((None, 0), (one, 1), ([one, RESULTS[0]], 2), (iter([one]), 1)):
        index = data_of(card_for(tmp_path / "m", metrics=metrics)).get("model-index", [{"results": []}])
        assert sum(len(entry["results"]) for entry in index) == count


def test_results_of_the_folder_are_carried_over(tmp_path: Path) -> None:
    """Those that are given come first; those of another model are left out."""
    options = write_case("variants", tmp_path / "m")
    text = card_for(tmp_path / "m", **options)
    assert "| own.csv, validation | mse | 0.25 |" in text
    assert "| mteb/banking77, test | accuracy | 0.9375 |" in text
    assert "accuracy | 0 |" not in text
    assert "123,456 texts a second (own.csv; a processor)." in text
    assert [entry.metric_type for entry in ModelCard(text).data.eval_results or []] == ["accuracy", "mse"]
    model_of(CONFIG, zero_unk=False).save_pretrained(tmp_path / "m")
    text = card_for(tmp_path / "m", **options)
    assert "own.csv" not in text


def test_variants_are_models_in_subfolders(tmp_path: Path) -> None:
    write_case("variants", tmp_path / "m")
    (tmp_path / "m" / "notes").mkdir()
    broken = tmp_path / "m" / "broken"
    shutil.copytree(tmp_path / "m" / "int8", broken)
    (broken / "model.safetensors").write_bytes(b"no tensors")
    text = card_for(tmp_path / "m", repo_id="org/m")
    assert re.findall(r"^\| (\S+) \| \d+ \| (\w+) \|", text, flags=re.MULTILINE) == [
        ("4d", "float32"),
        ("int8", "int8"),
    ]
    assert 'from_pretrained("org/m", subfolder="4d")' in text
    assert 'from_pretrained("org/m", subfolder="small/4d")' in card_for(
        tmp_path / "m", repo_id="org/m", subfolder="small"
    )


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no folder"):
        card_for(tmp_path / "none")
    with pytest.raises(ModelNotFoundError, match="holds no static model"):
        card_for(tmp_path)
    with pytest.raises(ModelNotFoundError, match="no folder"):
        card_for("org/model")  # and nothing is asked of the Hub


def test_no_token_is_published(tmp_path: Path) -> None:
    model_of(CONFIG).save_pretrained(tmp_path / "m")
    template = tmp_path / "own.md"
    template.write_text(f"# {SECRET}")
    for options in (
        {"existing": f"# mine\n{SECRET}"},
        {"existing": f"---\nx: {SECRET}\n---\n"},
        {"template": template},
    ):
        with pytest.raises(InvalidInputError, match="token of the Hub") as caught:
            card_for(tmp_path / "m", **options)
        assert SECRET not in str(caught.value)
    set_config(tmp_path / "m", distillation_settings={"note": SECRET})
    with pytest.raises(InvalidInputError, match="token of the Hub"):
        card_for(tmp_path / "m")


# --- strangers' folders ---------------------------------------------------------------------------------------------

EVIL = st.one_of(
    st.sampled_from([
        "{{ 7 * 7 }}", "{% raw %}", "---", "a\n---\nb: c", "<script>alert(1)</script>", "[a](javascript:x)", "`|`",
        "<!-- m2v:end -->", "| a | b |\n| - | - |", "# head", "```", "&amp;", "\\", "*a* _b_ ~~c~~", "\u202eabc", "\x00",
        "https://evil.example www.evil.example", "$$x$$ \\\\(y\\\\)", "a: b", "!!python/object:x", "*alias", "&anchor",
        "1. a", "- a", "+ a", "a  \nb", "&#60;", "![a](b)", "no", "null", "1e3", "2024-01-01", "\ud800", "  ", "\u2028",
    ]),
    st.text(max_size=40),
)  # fmt: skip


def structure(card: str) -> tuple[list[str], list[str]]:
    """What a card's text is made of, but for the words."""
    tokens = MARKDOWN.parse(ModelCard(card).text)
    words = ("text", "text_special", "softbreak")
    return (
        [token.type for token in tokens],
        [child.type for token in tokens for child in token.children or () if child.type not in words],
    )


@pytest.fixture(scope="module")
def with_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evil") / "m"
    model_of(CONFIG).save_pretrained(folder)
    add_head(folder)
    return folder


@settings(max_examples=60, deadline=None)
@given(evil=EVIL, more=EVIL)
def test_evil_values_are_inert(with_head: Path, evil: str, more: str) -> None:
    """Whatever a config says: the metadata have the same keys, and the text the same structure."""

    def card_saying(one: str, other: str, commit: str) -> str:
        classes = [text.encode("utf-8", "replace").decode() for text in (f"{one}1", f"{other}2", "3")]
        set_config(
            with_head,
            base_model=one,
            base_model_revision=commit,
            pooling=other,
            license=one,
            apply_pca=one,
            language=[one],
            distillation_settings={other: one},
            package_versions={one: [other]},
            head_config={"n_layers": 2, "activation": "softmax", "classes": classes},
        )
        return card_for(with_head)

    card, expected = card_saying(evil, more, evil), card_saying("tame", "tame", "tame")
    assert structure(card) == structure(expected)
    assert {*data_of(card)} - {"license_name"} == {*data_of(expected)}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", card)


@pytest.mark.parametrize(
    ("head", "part"),
    [({"n_layers": 10**9}, "n_layers"), ({"n_layers": 3}, "head.2.weight"), ({"classes": None}, "classes")],
)
def test_a_damaged_head(head: dict, part: str, tmp_path: Path) -> None:
    model_of(CONFIG).save_pretrained(tmp_path / "m")
    add_head(tmp_path / "m")
    raw = json.loads((tmp_path / "m/config.json").read_text())
    set_config(tmp_path / "m", head_config={**raw["head_config"], **head})
    with pytest.raises(ModelFormatError, match=part):
        card_for(tmp_path / "m")


def test_many_classes_are_counted(tmp_path: Path) -> None:
    model_of(Config()).save_pretrained(tmp_path / "m")
    add_head(tmp_path / "m", (8, 150), classes=tuple(f"class {i}" for i in range(150)))
    card = card_for(tmp_path / "m")
    assert "class 99; and 50 more." in card
    assert "class 100" not in card


def test_the_docs_name_every_fact() -> None:
    """Of docs/cards.md, the table of what a template may use; and each is told apart from what it lacks."""
    text = (Path(__file__).parents[2] / "docs/cards.md").read_text(encoding="utf-8")
    table = text.partition("| name | value |")[2].partition("\n\n")[0]
    names = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert names == {field.name for field in fields(ModelInfo)} - {"config"} | {
        field.name for field in fields(Config)
    } - {"extra"} | {"results", "metadata"}
    for kind, record in (("head", HeadInfo), ("onnx", OnnxInfo)):
        assert set(re.findall(rf"`{kind}\.(\w+)`", table)) == {field.name for field in fields(record)}


def test_the_examples_of_the_docs(tmp_path: Path, monkeypatch) -> None:
    code = dict(blocks((Path(__file__).parents[2] / "docs/cards.md").read_text(encoding="utf-8")))
    model_of(CONFIG).save_pretrained(tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    assert "# me/my-model" in run_python(code["python"], tmp_path)["card"]
    (tmp_path / "own.md").write_text(code["jinja"])
    assert "Its teacher was org/teacher." in card_for("my-model", template="own.md")
    assert code["html"].splitlines() == [BEGIN, END]
