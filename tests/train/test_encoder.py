from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import make_model
from m2v_core import StaticModel, quantize_model
from m2v_train import Parameters, mean_embeddings, parameters_of, to_static_model
from tokenizer_files import wordlevel

TEXTS = ["good day", "", "bad, sunny days!", "✪", "unable good"]


def flat(model: StaticModel, texts: list[str]) -> tuple[jnp.ndarray, jnp.ndarray]:
    ids = model.tokenize(texts)
    owners = np.repeat(np.arange(len(texts)), [len(row) for row in ids])
    return jnp.array([index for row in ids for index in row], jnp.int32), jnp.array(owners, jnp.int32)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_it_computes_what_encode_computes(normalize: bool, dtype: str) -> None:
    model = quantize_model(make_model(normalize=normalize), quantize_to=dtype)
    vectors = mean_embeddings(parameters_of(model), *flat(model, TEXTS), len(TEXTS), normalize=normalize)
    np.testing.assert_allclose(vectors, model.encode(TEXTS), atol=1e-6)


def test_clusters_get_rows_again() -> None:
    table, mapping = np.eye(2, dtype=np.float32), np.array([0, 1, 1, 0])
    model = StaticModel(table, wordlevel(), weights=np.array([1, 2, 3, 4.0]), token_mapping=mapping)
    again = to_static_model(parameters_of(model), model)
    assert again.embedding.shape == (4, 2)
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize("normalize", [True, False])
def test_gradients_by_finite_differences(normalize: bool) -> None:
    model = make_model("wordlevel", dim=3)
    parameters, batch = parameters_of(model), flat(model, ["good day day", "", "bad"])
    goal = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3)), jnp.float32)

    def loss(p: Parameters) -> jax.Array:
        return jnp.sum(mean_embeddings(p, *batch, 3, normalize=normalize) * goal)

    gradient = jax.grad(loss)(parameters)
    for leaf, slope in zip(parameters, gradient, strict=True):
        assert np.isfinite(slope).all()
        for place in np.ndindex(leaf.shape):
            step = jnp.zeros_like(leaf).at[place].set(1e-2)
            more, less = (Parameters(*(x + sign * step if x is leaf else x for x in parameters)) for sign in (1, -1))
            np.testing.assert_allclose((loss(more) - loss(less)) / 2e-2, slope[place], atol=2e-3)


def test_settings_are_kept() -> None:
    model = make_model(normalize=True, base_model_name="org/teacher", language=["en"], max_length=7)
    again = to_static_model(parameters_of(model), model)
    assert again.config == model.config
    assert np.array_equal(again.encode(TEXTS), model.encode(TEXTS))
