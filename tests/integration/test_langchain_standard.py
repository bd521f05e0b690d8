"""The standard tests that langchain-tests has for embeddings, on our adapter (nox -s integrations)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="needs langchain-tests: nox -s integrations")

from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from conftest import make_model
from m2v_core.integrations.langchain import StaticModelEmbeddings

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("default")]


class Embeddings:
    @property
    def embeddings_class(self) -> type[StaticModelEmbeddings]:
        return StaticModelEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": make_model(), "batch_size": 16}


class TestUnit(Embeddings, EmbeddingsUnitTests):
    pass


class TestIntegration(Embeddings, EmbeddingsIntegrationTests):
    pass


def test_the_same_vectors(ran: Callable[[str, str, float], None]) -> None:
    """Of the texts of the standard tests; this line stands for them in the table."""
    found = np.array(StaticModelEmbeddings(make_model()).embed_documents(["foo", "bar", "baz"]), np.float32)
    difference = float(np.abs(found - make_model().encode(["foo", "bar", "baz"])).max())
    assert difference == 0
    ran("langchain-tests", "EmbeddingsUnitTests, EmbeddingsIntegrationTests", difference)
