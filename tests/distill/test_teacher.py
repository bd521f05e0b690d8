from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from conftest import GOLDEN
from m2v_core import InvalidInputError, ModelFormatError, ModelNotFoundError, StaticModel, TransferError
from m2v_distill import Teacher, distill, distill_from_model
from m2v_distill.teacher.families.fields import activation_of
from m2v_distill.teacher.families.registry import FAMILIES
from m2v_distill.teacher.nn.layers import activation
from m2v_distill.teacher.source import find_teacher


def set_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_what_it_is(teacher_folder: Path) -> None:
    teacher = Teacher.from_pretrained(str(teacher_folder))
    assert (teacher.name, teacher.hidden_size, teacher.max_length, teacher.has_pooler) == ("bert", 24, 40, True)


def test_defaults_of_transformers_fill_the_config(teacher_folder: Path) -> None:
    config = json.loads((teacher_folder / "config.json").read_text())
    for key in ("hidden_act", "layer_norm_eps", "type_vocab_size"):
        del config[key]
    (teacher_folder / "config.json").write_text(json.dumps(config))
    assert Teacher.from_pretrained(teacher_folder).encoder.config.act == "gelu"


@pytest.mark.parametrize("model_type", ["gpt2", "no-such-model", None, 3])
def test_an_unknown_architecture(teacher_folder: Path, model_type: object) -> None:
    set_config(teacher_folder, model_type=model_type)
    with pytest.raises(ModelFormatError, match=", ".join(sorted(FAMILIES))) as caught:
        Teacher.from_pretrained(teacher_folder)
    assert str(teacher_folder / "config.json") in str(caught.value)
    assert repr(model_type) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"hidden_act": "mystery"}, "\"hidden_act\" to be one of gelu, .*found 'mystery'.*backend='torch'"),
        ({"is_decoder": True}, "\"is_decoder\" to be false; found True.*backend='torch'"),
        ({"position_embedding_type": "alibi"}, "\"position_embedding_type\".*found 'alibi'.*Choose another teacher.$"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config.*'awq'.*that it was made of"),
        ({"hidden_size": 23}, "weights do not fit"),
    ],
)
def test_a_config_that_we_cannot_compute(teacher_folder: Path, changes: dict, part: str) -> None:
    set_config(teacher_folder, **changes)
    with pytest.raises(ModelFormatError, match=rf"(?s)config\.json.*{part}|{part}"):
        Teacher.from_pretrained(teacher_folder)


@pytest.mark.parametrize("case", ["llama", "mistral-left", "qwen2", "qwen3-left"])
def test_both_sides_by_a_setting_that_is_not_read(make_teacher, case: str) -> None:
    folder = make_teacher(case)
    set_config(folder, use_bidirectional_attention=True)
    with pytest.raises(
        ModelFormatError, match=r"config\.json: .*use_bidirectional_attention.*compute_as='bidirectional-"
    ):
        Teacher.from_pretrained(folder)


def test_a_classifier_is_told_of(teacher_folder: Path, caplog) -> None:
    Teacher.from_pretrained(teacher_folder)
    assert not caplog.text
    set_config(teacher_folder, architectures=["BertForSequenceClassification"])
    Teacher.from_pretrained(teacher_folder)
    assert "BertForSequenceClassification, a classifier or a cross-encoder" in caplog.text


def test_a_config_that_is_not_json(teacher_folder: Path) -> None:
    (teacher_folder / "config.json").write_text("{")
    with pytest.raises(ModelFormatError, match=r"config\.json"):
        Teacher.from_pretrained(teacher_folder)


def test_an_adapter(teacher_folder: Path) -> None:
    (teacher_folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelFormatError, match="merge_and_unload"):
        Teacher.from_pretrained(teacher_folder)


def test_a_missing_teacher(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ModelNotFoundError, match="neither a folder here"):
        Teacher.from_pretrained(tmp_path / "none")
    with pytest.raises(ModelNotFoundError, match=r"config\.json is missing"):
        Teacher.from_pretrained(tmp_path)


def test_what_is_no_model() -> None:
    with pytest.raises(InvalidInputError, match="found int"):
        Teacher.from_transformers(3)


@pytest.mark.parametrize(
    ("card", "language", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# x", ("en",), "apache-2.0"),
        ("---\nlanguage:\n- de\n- fr\n---\n", ("de", "fr"), None),
        ('---\nlanguage: ["\\ud800", en]\nlicense: "\\ud800"\n---\n', ("en",), None),
        ("---\nlanguage: [en, 3]\nlicense: [mit]\n---\n", ("en",), None),
        ("---\nlanguage: {a: b}\n---\n", None, None),
        ("---\n: : :\n - [\n---\n", None, None),
        ("no metadata", None, None),
        ("---\n!!python/object/apply:os.system ['true']\n---\n", None, None),
    ],
)
def test_the_card_tells_language_and_licence(tmp_path: Path, card: str, language: object, licence: object) -> None:
    (tmp_path / "README.md").write_text(card)
    source = find_teacher(tmp_path)
    assert (source.language, source.license) == (language, licence)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (LocalEntryNotFoundError, ModelNotFoundError),
        (HfHubHTTPError.__mro__[1], TransferError),  # of the HTTP library: a connection that breaks
        (OSError, TransferError),  # a full disk
        (RuntimeError, TransferError),  # hf_xet
    ],
)
def test_a_failed_download_is_one_error_that_tells_no_token(failure: type, kind: type, monkeypatch) -> None:
    """Neither it nor what it is chained to, for a token that was passed, and one in the text of the failure."""
    given, stored = "secret-of-another-form", "hf_" + "Sesame" * 6

    def failing(*arguments: object, **options: object) -> str:
        raise failure(f"{given} and {stored} at https://host/a?Signature={stored} failed\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", failing)
    with pytest.raises(
        kind, match=rf"{failure.__name__}: \*\*\* and \*\*\* at https://host/a\?\*\*\* failed"
    ) as caught:
        find_teacher("org/none", token=given)
    assert caught.value.__context__ is None
    assert not any(token in str(caught.value) for token in (given, stored))


def test_a_teacher_of_the_hub_has_a_commit(teacher_folder: Path, tmp_path: Path, monkeypatch) -> None:
    """As huggingface_hub keeps it: a ref that names a commit, and the files under it."""
    commit, home = "0123456789abcdef0123456789abcdef01234567", tmp_path / "cache" / "models--org--teacher"
    shutil.copytree(teacher_folder, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = distill("org/teacher", method="token", pca_dims=4).config
    assert (config.base_model, config.base_model_revision) == ("org/teacher", commit)
    assert distill(teacher_folder, method="token", pca_dims=4).config.base_model_revision is None


def test_activations() -> None:
    assert float(activation("relu")(-1.0)) == 0
    for raw in ({"act": "selu"}, {"act": ["relu"]}):
        with pytest.raises(ModelFormatError, match=r'"act" to be one of .*gelu_new'):
            activation_of(raw, "act")
    assert activation_of({}, "act", "relu") == "relu"


def test_only_an_id_of_the_hub_is_a_base_model(teacher_folder: Path, tmp_path: Path) -> None:
    """A folder's name is none, and its config names the model that it was fine-tuned from; the Hub's cache tells."""
    options = {"method": "token", "pca_dims": 4}
    set_config(teacher_folder, _name_or_path="org/before-fine-tuning")
    assert distill(teacher_folder, **options).config.base_model is None
    assert distill(teacher_folder, base_model="org/name", **options).config.base_model == "org/name"
    cached = tmp_path / "models--org--cached" / "snapshots" / "0123"
    shutil.copytree(teacher_folder, cached)
    config = distill(cached, **options).config
    assert (config.base_model, config.base_model_revision) == ("org/cached", "0123")
    assert find_teacher(teacher_folder).name == teacher_folder.name


def test_a_static_model_is_no_teacher(tmp_path: Path, model: StaticModel) -> None:
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelFormatError, match=r"found a static model.*StaticModel\.from_pretrained"):
        Teacher.from_pretrained(tmp_path)


class InMemory:
    """What is used of a PyTorch model of transformers, with the weights of a folder."""

    name_or_path = "org/teacher"

    def __init__(self, folder: Path) -> None:
        raw = json.loads((folder / "config.json").read_text())
        tensors = load_file(folder / "model.safetensors")
        self.config = SimpleNamespace(to_dict=lambda: raw)
        self.state_dict = lambda: {name: InMemoryTensor(array) for name, array in tensors.items()}
        self.modules = list


class InMemoryTensor:
    def __init__(self, array: np.ndarray) -> None:
        self.numpy = lambda: array
        self.detach = self.cpu = self.float = lambda: self


def test_a_model_by_its_name_on_the_hub_with_a_tokenizer_and_a_corpus(teacher_folder: Path) -> None:
    """Its folder is not known, so that the tokenizer which is passed serves the texts too."""
    options = {"corpus": ["good day", "bad day", "good", "sunny days"], "rounds": 1, "pca_dims": 4}
    options |= {"compute_as": "bert", "precision": "float32"}
    tokenizer = Tokenizer.from_file(str(teacher_folder / "tokenizer.json"))
    student = distill_from_model(InMemory(teacher_folder), tokenizer, **options)
    assert np.array_equal(student.embedding, distill(teacher_folder, **options).embedding)
    assert student.config.base_model == "org/teacher"
    with pytest.raises(InvalidInputError, match="without a tokenizer"):
        Teacher.from_transformers(InMemory(teacher_folder), compute_as="bert").encode("good")


def test_the_tokenizer_is_loaded_once(teacher_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import m2v_distill.teacher.teacher as module

    read, calls = module.read_tokenizer, []
    monkeypatch.setattr(module, "read_tokenizer", lambda *args, **options: calls.append(args) or read(*args, **options))
    teacher = Teacher.from_pretrained(teacher_folder)
    assert not calls
    teacher.pooled("max").encode("good")
    distill_from_model(teacher, teacher.tokenizer, corpus=["good day", "bad"], rounds=1, pca_dims=4, pooling="first")
    assert len(calls) == 1


@pytest.mark.parametrize("token", ["open sesame", "open\nsesame", "\n", "ópen-sesame"])
def test_a_malformed_token_is_not_shown(token: str) -> None:
    """And not sent: an HTTP client that refuses it may show it."""
    for load in (distill, Teacher.from_pretrained):
        with pytest.raises(InvalidInputError, match="A Hub token is one word") as caught:
            load("org/name", token=token)
        assert "sesame" not in str(caught.value)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("number", [10**6, 10**9, 2**63])
@pytest.mark.parametrize(
    ("case", "name"), [("bert", "num_hidden_layers"), ("t5", "num_layers"), ("mistral-left", "num_hidden_layers")]
)
def test_more_layers_than_weights_are_not_built(tmp_path: Path, case: str, name: str, number: int) -> None:
    shutil.copytree(GOLDEN / "teachers" / case, tmp_path / "t")
    path = tmp_path / "t/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: number}))
    with pytest.raises(ModelFormatError, match=rf'"{name}" of \d+ at the most, the number of tensors.*found {number}'):
        Teacher.from_pretrained(tmp_path / "t")
