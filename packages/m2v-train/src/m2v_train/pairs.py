"""Similarity of pairs of texts, such as questions and their answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from jaxtyping import Int64

from m2v_core import StaticModel
from m2v_core.aliases import aliased
from m2v_core.errors import InvalidInputError
from m2v_core.search import RetrievalEvaluator
from m2v_train.config import MaxLength, PairConfig, TrainConfig, check_prefixes
from m2v_train.data.files import FileColumn, checked_columns
from m2v_train.data.inputs import as_text_lists, as_texts, both_given, check_aligned
from m2v_train.data.pairs import pair_samples
from m2v_train.data.samples import Samples
from m2v_train.data.stored import AnySamples, StoredSamples
from m2v_train.data.token_files import stored_tokens
from m2v_train.data.tokens import check_has_tokens, log_empty
from m2v_train.engine.fitting import Evaluation, Problem
from m2v_train.engine.losses import Objective
from m2v_train.estimator import limit_of
from m2v_train.vectors import NO_CLASSES, Outputs

#: Parameters of `fit` that hold texts.
_NAMES = ("text_a", "text_b", "negatives")

logger = logging.getLogger("m2v_train")


class StaticModelForPairSimilarity(Outputs):
    """A static model trained to give similar vectors to texts that belong together, and dissimilar ones to others.

    The loss is InfoNCE: of all second texts of a batch, the one of its own pair should have the highest cosine with a
    first text. `Estimator` describes what all estimators share, and `m2v_train.config.PairConfig` the options.

    Example:
        >>> questions, answers = ["good", "day"] * 10, ["good good", "day day"] * 10
        >>> model = StaticModelForPairSimilarity(tiny_model(), n_layers=0, max_epochs=2)
        >>> model.fit(questions, answers).predict(["day"]).shape
        (1, 2)
    """

    config_class: ClassVar[type[TrainConfig]] = PairConfig

    @aliased
    def __init__(
        self,
        model: StaticModel | None = None,
        *,
        n_layers: int = 1,
        hidden_dim: int = 512,
        freeze: bool = False,
        normalize: bool = True,
        freeze_weights: bool | None = None,
        max_length: MaxLength = "model",
        learning_rate: float = 1e-3,
        batch_size: int | None = None,
        min_epochs: int | None = None,
        max_epochs: int | None = -1,
        early_stopping_patience: int | None = 5,
        test_size: float | int = 0.1,
        validation_steps: int | None = None,
        random_seed: int = 42,
        token_dropout: float = 0.0,
        device: Any = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        show_progress_bar: bool | None = None,
        out_dim: int | None = None,
        temperature: float = 0.05,
        matryoshka_dims: Sequence[int] | None = None,
        initial_share: float = 0.0,
        tokens_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._store(locals())

    def fit(
        self,
        text_a: Any,
        text_b: Any,
        *,
        negatives: Any = None,
        text_a_val: Any = None,
        text_b_val: Any = None,
        negatives_val: Any = None,
        evaluator: RetrievalEvaluator | None = None,
        **options: Any,
    ) -> Self:
        """Train on pairs of texts.

        Args:
            text_a: First texts of n pairs: a list, an array, a pandas or pyarrow column, a column of a Hugging Face
                dataset; or an `m2v_train.FileColumn`, with others of the same files, for more texts than fit into
                memory.
            text_b: Second texts.
            negatives: Hard negatives: for each pair a text that is similar to the second one but does not belong to it,
                or a list of any number of such texts (see `m2v_train.mine_hard_negatives`).
            text_a_val: First texts for validation. Default: a fraction of the pairs (`test_size`).
            text_b_val: Second texts for validation.
            negatives_val: Hard negatives for validation, if `negatives` are given.
            evaluator: Search that measures the model at each validation: its nDCG, in place of the validation loss,
                decides which state is the best and when training stops.
            **options: Options of the class, for this call only.

        Raises:
            InvalidInputError: Lengths differ, there are fewer than two pairs on either side of the split, or an
                option is out of range.
            TypeError: An option is unknown.
        """
        config = self._config(options)
        out_dim = config.out_dim or self.model.dim
        check_prefixes(config.matryoshka_dims, out_dim)
        if config.initial_share and (config.n_layers or out_dim != self.model.dim):
            raise InvalidInputError(
                f"initial_share should be 0 for a model with a head, which knows the trained table alone; found "
                f"{config.initial_share}. Set n_layers=0, and leave out out_dim."
            )
        if evaluator is not None and not isinstance(evaluator, RetrievalEvaluator):
            raise InvalidInputError(
                f"evaluator should be an m2v_core.search.RetrievalEvaluator, or None; found {type(evaluator).__name__}."
            )
        with ExitStack() as stack:
            if any(isinstance(column, FileColumn) for column in (text_a, text_b, negatives)):
                columns = {"text_a": text_a, "text_b": text_b} | ({} if negatives is None else {"negatives": negatives})
                samples: AnySamples = self._stored(config, checked_columns(**columns), stack)
            else:
                samples = self._pairs(config, _Columns.of(text_a=text_a, text_b=text_b, negatives=negatives))
            if both_given(text_a_val, text_b_val, names=("text_a_val", "text_b_val")):
                if (negatives is None) != (negatives_val is None):
                    raise InvalidInputError("negatives and negatives_val belong together; found one without the other.")
                held_out = _Columns.of(text_a_val=text_a_val, text_b_val=text_b_val, negatives_val=negatives_val)
                validation = self._pairs(config, held_out)
                width = max(samples.width, validation.width)
                samples, validation = samples.widened(width), validation.widened(width)
            elif isinstance(samples, StoredSamples):
                samples = samples.split(config.test_size, config.random_seed)
                validation = samples.held_out_samples()
            else:
                samples, validation = self._split(samples, config)
            return self._fit(config, samples, validation, evaluator, out_dim)

    def _fit(
        self,
        config: Any,
        samples: AnySamples,
        validation: Samples,
        evaluator: RetrievalEvaluator | None,
        out_dim: int,
    ) -> Self:
        for purpose, part in (("train on", samples), ("validate with", validation)):
            if len(part) < 2:
                raise InvalidInputError(
                    f"Expected two pairs or more to {purpose}; found {len(part)}. Add pairs, or change test_size."
                )
        prefixes = tuple(sorted(config.matryoshka_dims or (), reverse=True))
        if prefixes and out_dim not in prefixes:
            logger.warning(
                "matryoshka_dims should include all %d dimensions of the trained vectors, or those after the first %d "
                "are not trained; found %s",
                *(out_dim, prefixes[0], ", ".join(map(str, prefixes))),
            )
        objective = Objective("pairs", temperature=float(config.temperature), prefixes=prefixes)
        evaluation = None
        if evaluator is not None:
            evaluation = Evaluation(lambda trained: evaluator(self._pipeline(trained)), evaluator.digest())
        problem = Problem(samples, validation, objective, out_dim, NO_CLASSES, evaluation, config.initial_share)
        return self._train(problem, config)

    def _pairs(self, config: TrainConfig, columns: _Columns) -> Samples:
        return pair_samples(self._tokenized(config, **columns.texts), columns.counts, width=columns.width)

    def _stored(self, config: Any, columns: list[FileColumn], stack: ExitStack) -> StoredSamples:
        """Samples of columns of files, with their token ids on disk."""
        if config.tokens_dir is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="m2v-train-"))) / "tokens"
        else:
            folder = Path(config.tokens_dir)
        stored = stored_tokens(folder, self.model, columns, limit_of(config), show=config.show_progress_bar)
        for name, n_tokens, n_empty in zip(_NAMES[: len(columns)], stored.n_tokens, stored.n_empty, strict=False):
            check_has_tokens(np.broadcast_to(n_tokens, (stored.n,)), f"texts in {name}")
            log_empty(n_empty, stored.n, name)
        return StoredSamples(folder, stored, np.zeros(0, np.int64))


class _Columns(NamedTuple):
    """Columns of pairs, checked.

    Attributes:
        texts: All texts by the name of their column.
        counts: Number of hard negatives of each pair.
    """

    texts: dict[str, Sequence[str]]
    counts: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, **columns: Any) -> _Columns:
        """The columns that are given: first texts, second texts, and hard negatives or `None`."""
        (name_a, first), (name_b, second), (name, negatives) = columns.items()
        texts = {name_a: as_texts(first, name_a), name_b: as_texts(second, name_b)}
        if negatives is None:
            check_aligned(**texts)
            return cls(texts, np.zeros(len(texts[name_a]), np.int64))
        flat, counts = as_text_lists(negatives, name)
        check_aligned(**texts, **{name: counts})
        return cls(texts | {name: flat}, counts)

    @property
    def width(self) -> int:
        """Largest number of texts of a pair."""
        return 2 + int(self.counts.max())
