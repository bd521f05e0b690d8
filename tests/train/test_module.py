from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from flax import nnx

from conftest import make_model
from m2v_train.data.samples import Samples
from m2v_train.data.tokens import tokenize
from m2v_train.engine.batches import BatchLoader
from m2v_train.engine.module import MLP, TokenBatch, layer_sizes, text_vectors

TEXTS = ["good day", "", "bad, sunny days!", "✪", "unable good", "day day day"]


def tokens_of(model, texts: list[str], devices: int) -> TokenBatch:
    samples = Samples.of_texts(tokenize(model, texts), np.zeros(len(texts), np.int32))
    (block,) = BatchLoader(samples, batch_size=len(texts), n_devices=devices).blocks(np.arange(len(texts)))
    return TokenBatch(*(part[0] for part in block.tokens))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("devices", [1, 2, 3])
def test_it_computes_what_encode_computes(normalize: bool, weighted: bool, devices: int) -> None:
    model = make_model(normalize=normalize)
    factors = np.linspace(0.5, 2, model.n_tokens).astype(np.float32)
    if weighted:
        model = type(model)(model.embedding, model.stored.tokenizer_json, normalize=normalize, weights=factors)
    tokens = tokens_of(model, TEXTS, devices)
    rows = model.embedding[tokens.ids] * (factors[tokens.ids][:, None] if weighted else 1)
    vectors = text_vectors(jnp.asarray(rows), tokens, len(TEXTS) // devices, normalize=normalize)
    np.testing.assert_allclose(np.asarray(vectors).reshape(len(TEXTS), -1), model.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_gradients_by_finite_differences(normalize: bool) -> None:
    model = make_model("wordlevel", dim=3)
    tokens = tokens_of(model, TEXTS, 1)
    rows = jnp.asarray(model.embedding[tokens.ids])
    target = jnp.asarray(np.random.default_rng(1).normal(size=(1, len(TEXTS), 3)).astype(np.float32))

    def loss(rows):
        return ((text_vectors(jnp.asarray(rows), tokens, len(TEXTS), normalize=normalize) - target) ** 2).sum()

    jax.test_util.check_grads(loss, (rows,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)
    assert np.isfinite(jax.grad(loss)(rows)).all()  # two of the texts have no tokens


def test_the_first_weights() -> None:
    """As PyTorch's kaiming_uniform_ (ReLU) and xavier_uniform_ have them: bounds of sqrt(6 / in) and sqrt(6 / (in + out))."""
    head = MLP([64, 256, 256, 10], nnx.Rngs(0))
    bounds = [(6 / 64) ** 0.5, (6 / 256) ** 0.5, (6 / 266) ** 0.5]
    for layer, bound in zip(head.layers, bounds, strict=True):
        kernel = np.asarray(layer.kernel[...])
        assert 0.97 * bound < np.abs(kernel).max() <= bound
        assert abs(kernel.std() - bound / 3**0.5) < 0.03 * bound
        assert not np.asarray(layer.bias[...]).any()


def test_a_head_is_linear_layers_with_relus_between() -> None:
    head = MLP(layer_sizes(4, 3, n_layers=2, hidden_dim=5, may_be_empty=False), nnx.Rngs(1))
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    expected = x
    for i, layer in enumerate(head.layers):
        expected = np.maximum(expected, 0) if i else expected
        expected = expected @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
    np.testing.assert_allclose(head(jnp.asarray(x)), expected, atol=1e-6)


def test_heads_without_layers() -> None:
    assert layer_sizes(4, 4, n_layers=0, hidden_dim=5, may_be_empty=True) == [4]
    assert layer_sizes(4, 4, n_layers=0, hidden_dim=5, may_be_empty=False) == [4, 4]
    x = jnp.ones((2, 4))
    np.testing.assert_array_equal(MLP([4], nnx.Rngs(0))(x), x)
