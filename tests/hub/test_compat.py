"""Cards under the name model2vec.modelcards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from conftest import make_model
from m2v_core import InvalidInputError
from m2v_hub import card_for
from m2v_hub.compat.cards import create_model_card, get_metadata_from_readme


def test_names_through_the_finder(tmp_path: Path) -> None:
    code = """
import m2v_core.compat.auto, sys, model2vec.modelcards
print(sorted({"huggingface_hub", "jinja2", "yaml"} & sys.modules.keys()))
from model2vec.modelcards import *
print(create_model_card.__name__, get_metadata_from_readme("no such file"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "create_model_card {}"]


def test_a_card(tmp_path: Path) -> None:
    """The text of `card_for`, and metadata that the Hub's own client reads as we do."""
    make_model().save_pretrained(tmp_path)
    readme = tmp_path / "README.md"
    create_model_card(tmp_path, "org/teacher", "mit", ["en"], "org/mine", tags=["extra", "m2v"], pipeline="none")
    expected = card_for(tmp_path, repo_id="org/mine", license="mit", language=["en"], base_model="org/teacher")
    assert readme.read_text(encoding="utf-8").partition("\n# ")[2] == expected.partition("\n# ")[2]
    metadata = get_metadata_from_readme(readme)
    assert metadata == ModelCard.load(readme).data.to_dict()
    assert metadata["base_model"] == "org/teacher"
    assert (metadata["license"], metadata["model_name"], metadata["pipeline"]) == ("mit", "org/mine", "none")
    assert metadata["tags"].count("m2v") == metadata["tags"].count("extra") == 1
    readme.write_text(readme.read_text(encoding="utf-8") + "\nmine\n", encoding="utf-8")
    create_model_card(tmp_path, license="apache-2.0")
    assert readme.read_text(encoding="utf-8").endswith("\nmine\n")
    assert get_metadata_from_readme(readme) == metadata | {"license": "apache-2.0", "model_name": tmp_path.name}


def test_templates(tmp_path: Path) -> None:
    """Those of model2vec by name, which are m2v's here, and a file."""
    make_model().save_pretrained(tmp_path / "model")
    create_model_card(tmp_path / "model", template_path="classifier_template.md")
    assert "m2v-core" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "own.md").write_text("# {{ name }} is mine", encoding="utf-8")
    create_model_card(tmp_path / "model", template_path=tmp_path / "own.md")
    assert "# model is mine" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "expected"), [("---\nkey: value\n---\n", {"key": "value"}), ("b", {}), ("", {})])
def test_metadata(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert get_metadata_from_readme(tmp_path / "README.md") == expected
    assert get_metadata_from_readme(str(tmp_path / "none.md")) == {}


def test_metadata_of_strangers(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\na: &a [1]\nb: *a\n---\n", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="without aliases"):
        get_metadata_from_readme(tmp_path / "README.md")
