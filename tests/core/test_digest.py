"""The digest of a model: equal where the vectors are, and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import GOLDEN, make_model
from m2v_core import StaticModel, quantize_model
from m2v_core.storage.digest import model_digest


def digest(model: StaticModel) -> str:
    return model_digest(model.stored)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("memory_map", [False, True])
def test_it_stays_when_a_model_is_saved(
    any_model: StaticModel, compiled: bool, memory_map: bool, tmp_path: Path
) -> None:
    before = digest(any_model)
    for path in (tmp_path / "one", tmp_path / "two"):
        any_model.save_pretrained(path, compiled=compiled)
        any_model = StaticModel.from_pretrained(path, memory_map=memory_map)
        assert digest(any_model) == before


def test_it_stays_for_folders_of_others(tmp_path: Path) -> None:
    """Their `tokenizer.json` has other settings of truncation and padding, which a save replaces."""
    folders = [path for path in sorted((GOLDEN / "students").iterdir()) if path.is_dir()]
    models = [StaticModel.from_pretrained(folder) for folder in folders]
    assert len({digest(model) for model in models}) > 3
    for number, model in enumerate(models):
        model.save_pretrained(tmp_path / str(number))
        assert digest(StaticModel.from_pretrained(tmp_path / str(number))) == digest(model)


def test_a_mapping_of_each_token_to_its_row_is_none() -> None:
    model = make_model()
    rows = np.arange(model.n_tokens, dtype=np.int32)
    assert digest(StaticModel.from_stored(replace(model.stored, mapping=rows))) == digest(model)


def test_it_differs_with_what_decides_vectors() -> None:
    model = make_model()
    stored = model.stored
    table = stored.embeddings.copy()
    table[-1, -1] += 1
    others = [
        replace(stored, embeddings=table),
        replace(stored, weights=np.ones(model.n_tokens, np.float32)),
        replace(stored, mapping=np.roll(np.arange(model.n_tokens), 1)),
        replace(stored, tokenizer=stored.tokenizer_json.replace('"day"', '"dax"')),
        replace(stored, config=replace(stored.config, max_length=3)),
        replace(stored, config=replace(stored.config, normalize=True)),
        replace(stored, config=replace(stored.config, prompts={"query": "q "})),
        quantize_model(model, quantize_to="float16").stored,
        quantize_model(model, dimensionality=4).stored,
    ]
    found = {model_digest(other) for other in [stored, *others]}
    assert len(found) == 1 + len(others)
    named = replace(stored.config, base_model="org/name", language=("en",), similarity_fn_name="dot")
    assert model_digest(replace(stored, config=named)) == model_digest(stored)
