"""Overrides by which model2vec's estimators are extended, and which have no effect here."""

from __future__ import annotations

from m2v_core.errors import InvalidInputError

_POOLING = "A text's vector is the mean of its tokens' vectors. Set normalize, max_length and token_dropout."
_TABLE = "The table is that of the model. Set freeze and freeze_weights, or change the StaticModel to start from."
_SELECTION = (
    "The best state is chosen by accuracy for classifiers, by loss elsewhere, and for pairs by search if fit gets an "
    "evaluator."
)
#: Name of the override -> what to do instead.
_OVERRIDES = {
    "construct_embeddings": _TABLE,
    "construct_weights": _TABLE,
    "_encode": _POOLING,
    "forward": _POOLING,
    "_create_datasets": "Pass validation data to fit, or set test_size.",
    "_to_targets": "Prepare the targets before fit, or override fit and call super().fit.",
    "val_metric": _SELECTION,
    "early_stopping_direction": _SELECTION,
}


def check_overrides(cls: type) -> None:
    """Raise `InvalidInputError` if a class overrides a part of model2vec's PyTorch modules.

    Example:
        >>> check_overrides(int)
    """
    for name, remedy in _OVERRIDES.items():
        if hasattr(cls, name):
            raise InvalidInputError(
                f"{cls.__name__} should not define {name}: it extends model2vec's PyTorch modules, and has no effect "
                f"here. {remedy}"
            )
