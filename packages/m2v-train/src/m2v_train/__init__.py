"""Fine-tune static embedding models in JAX.

So far: the model itself as a differentiable JAX function, from a `m2v_core.StaticModel` and back. Estimators
(classifiers and other heads) come on top of it.
"""

from m2v_train.__about__ import __version__
from m2v_train.encoder import Parameters, mean_embeddings, parameters_of, to_static_model

__all__ = ["Parameters", "__version__", "mean_embeddings", "parameters_of", "to_static_model"]
