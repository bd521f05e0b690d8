"""What the Hub and its servers look for in a repository, rule by rule, with the page or file that states it.

The rules were read on the pages named here; a rule that changes there changes here too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from cards import CASES, write_case
from m2v_hub import card_for, push_to_hub

#: https://github.com/huggingface/huggingface.js/blob/main/packages/tasks/src/model-libraries.ts: keys that the Hub shows a
#: library for, and whether it is a filter of the search (`filter`).
LIBRARIES = {"model2vec": False, "sentence-transformers": True, "transformers.js": True}

#: https://github.com/huggingface/huggingface.js/blob/main/packages/tasks/src/library-to-tasks.ts: tasks for which a
#: library has a widget; model2vec and transformers.js are not in this file.
WIDGETS = {"sentence-transformers": ("feature-extraction", "sentence-similarity")}

#: https://github.com/huggingface/huggingface.js/blob/main/packages/tasks/src/pipelines.ts: tasks by which models are filtered.
TASKS = {"feature-extraction", "sentence-similarity", "text-classification"}

#: https://github.com/huggingface/text-embeddings-inference/blob/main/backends/candle/src/lib.rs: `model_type` of config.json.
#: Static models are asked for in https://github.com/huggingface/text-embeddings-inference/issues/731, which is open.
SERVED = {"bert", "camembert", "distilbert", "gte", "mistral", "mpnet", "nomic_bert", "qwen2", "roberta", "xlm-roberta"}


def published(case: str, tmp_path: Path) -> tuple[dict[str, object], Path]:
    """Metadata of a card, and its folder."""
    folder = tmp_path / case
    card = card_for(folder, repo_id=f"org/{case}", **write_case(case, folder))
    return ModelCard(card).data.to_dict(), folder


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_library_is_one_that_the_hub_knows(case: str, tmp_path: Path) -> None:
    """`library_name` comes first, then a tag with the name of a library; https://huggingface.co/docs/hub/model-cards."""
    data, _ = published(case, tmp_path)
    assert data["library_name"] in LIBRARIES
    assert data["library_name"] in data["tags"]


@pytest.mark.parametrize("case", [case for case in CASES if case != "with-onnx"])
def test_the_search_finds_what_sentence_transformers_loads(case: str, tmp_path: Path) -> None:
    """A tag puts a repository under the filter of a library; model2vec has none.

    (`with-onnx` is a save of model2vec, which writes `modules.json` for any model.)
    """
    data, folder = published(case, tmp_path)
    loads = any((folder / name).is_file() for name in ("modules.json", "config_sentence_transformers.json"))
    onnx = (folder / "onnx").is_dir() or (folder / "model.onnx").is_file()
    assert ("sentence-transformers" in data["tags"]) == loads
    assert ("transformers.js" in data["tags"]) == onnx
    assert any(LIBRARIES.get(tag) for tag in data["tags"]) == (loads or onnx)


def test_the_task_is_one_that_the_hub_knows(case: str, tmp_path: Path) -> None:
    """It chooses the widget; https://huggingface.co/docs/hub/models-widgets."""
    data, _ = published(case, tmp_path)
    assert data.get("pipeline_tag") in {*TASKS, None}
    if data["library_name"] in WIDGETS:
        assert data["pipeline_tag"] in WIDGETS[data["library_name"]]


def test_downloads_are_counted(case: str, tmp_path: Path) -> None:
    """By requests of `config.json`; https://huggingface.co/docs/hub/models-download-stats. Not in an export."""
    _, folder = published(case, tmp_path)
    assert (folder / "config.json").is_file() == (
        case not in ("sentence-transformers", "style-export", "style-compact")
    )


def test_no_server_is_promised(case: str, tmp_path: Path) -> None:
    """text-embeddings-inference reads `model_type`, and knows no static model."""
    data, folder = published(case, tmp_path)
    if (folder / "config.json").is_file():
        assert json.loads((folder / "config.json").read_text()).get("model_type") not in SERVED
    assert not {"text-embeddings-inference", "endpoints_compatible", "transformers"} & set(data["tags"])


def test_a_push_of_an_export(tmp_path: Path) -> None:
    """All of its files are published, in the subfolder where sentence-transformers looks for them."""
    _, folder = published("style-export", tmp_path)
    push = push_to_hub(folder, "org/name", style="sentence-transformers", dry_run=True)
    inner = {"0_StaticEmbedding/model.safetensors", "0_StaticEmbedding/tokenizer.json"}
    assert set(push.files) == inner | {"config_sentence_transformers.json", "modules.json", "README.md"}
    assert "library_name: sentence-transformers" in push.card
