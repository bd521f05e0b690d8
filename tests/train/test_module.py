from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from flax import nnx

from conftest import make_model
from m2v_train.data.inputs import TokenTexts
from m2v_train.engine.batches import Samples, Shape, Tables, make_block
from m2v_train.engine.module import Head, Tokens, head_dims, text_vectors

TEXTS = ["good day", "", "bad, sunny days!", "✪", "unable good", "day day day"]


def block_of(model, texts: list[str], devices: int, *, weights: bool = False):
    token_texts = TokenTexts.of(model, texts)
    samples = Samples(token_texts, np.arange(len(texts))[:, None], lambda batch: np.zeros(len(batch), np.int32))
    shape = Shape(1, -(-len(texts) // devices) * devices, devices)
    return make_block(samples, [np.arange(len(texts))], shape, Tables(None, None, None, weights))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("devices", [1, 2, 3])
def test_it_computes_what_encode_computes(normalize: bool, weighted: bool, devices: int) -> None:
    model = make_model(normalize=normalize)
    factors = np.linspace(0.5, 2, model.n_tokens).astype(np.float32)
    if weighted:
        model = type(model)(model.embedding, model.stored.tokenizer_json, normalize=normalize, weights=factors)
    block = block_of(model, TEXTS, devices, weights=weighted)
    rows = np.take(model.embedding, block.table.rows[0], axis=0, mode="clip")
    weights = jnp.asarray(np.take(factors, block.weights.rows[0], mode="clip")) if weighted else None
    tokens = Tokens(*(None if part is None else part[0] for part in block.tokens))
    vectors = text_vectors(jnp.asarray(rows), weights, tokens, len(TEXTS) // devices, normalize=normalize)
    np.testing.assert_allclose(np.asarray(vectors).reshape(len(TEXTS), -1), model.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_gradients_by_finite_differences(normalize: bool) -> None:
    model = make_model("wordlevel", dim=3)
    block = block_of(model, TEXTS, 1)
    tokens = Tokens(*(None if part is None else part[0] for part in block.tokens))
    rows = jnp.asarray(np.take(model.embedding, block.table.rows[0], axis=0, mode="clip"))
    target = jnp.asarray(np.random.default_rng(1).normal(size=(1, len(TEXTS), 3)).astype(np.float32))

    def loss(rows):
        return ((text_vectors(jnp.asarray(rows), None, tokens, len(TEXTS), normalize=normalize) - target) ** 2).sum()

    jax.test_util.check_grads(loss, (rows,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)
    assert np.isfinite(jax.grad(loss)(rows)).all()  # two of the texts have no tokens


def test_the_first_weights() -> None:
    """As PyTorch's kaiming_uniform_ (ReLU) and xavier_uniform_ have them: bounds of sqrt(6 / in) and sqrt(6 / (in + out))."""
    head = Head([64, 256, 256, 10], nnx.Rngs(0))
    bounds = [(6 / 64) ** 0.5, (6 / 256) ** 0.5, (6 / 266) ** 0.5]
    for layer, bound in zip(head.layers, bounds, strict=True):
        kernel = np.asarray(layer.kernel[...])
        assert 0.97 * bound < np.abs(kernel).max() <= bound
        assert abs(kernel.std() - bound / 3**0.5) < 0.03 * bound
        assert not np.asarray(layer.bias[...]).any()


def test_a_head_is_linear_layers_with_relus_between() -> None:
    head = Head(head_dims(4, 3, n_layers=2, hidden_dim=5, may_be_empty=False), nnx.Rngs(1))
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    expected = x
    for i, layer in enumerate(head.layers):
        expected = np.maximum(expected, 0) if i else expected
        expected = expected @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
    np.testing.assert_allclose(head(jnp.asarray(x)), expected, atol=1e-6)


def test_heads_without_layers() -> None:
    assert head_dims(4, 4, n_layers=0, hidden_dim=5, may_be_empty=True) == [4]
    assert head_dims(4, 4, n_layers=0, hidden_dim=5, may_be_empty=False) == [4, 4]
    x = jnp.ones((2, 4))
    np.testing.assert_array_equal(Head([4], nnx.Rngs(0))(x), x)
