"""Runs tasks of mteb with a model."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from m2v_core.errors import InvalidInputError
from m2v_core.extras import needs
from m2v_core.integrations.mteb.encoder import StaticModelEncoder
from m2v_core.integrations.mteb.tasks import task_type
from m2v_core.model import StaticModel

with needs("m2v-core[mteb]"):
    import mteb


class MTEBResults(list[Any]):
    """mteb's `TaskResult` of each task.

    Attributes:
        task_types: Type of each task, by its name.
    """

    def __init__(self, results: Iterable[Any], task_types: Mapping[str, str]) -> None:
        super().__init__(results)
        self.task_types = dict(task_types)


class CustomMTEB:
    """Tasks that can be run with models, each of which gets the same random samples of the data.

    Args:
        tasks: Tasks of `get_tasks`, or any objects of mteb's `AbsTask`.

    Raises:
        InvalidInputError: There are no tasks, or two of one name.
    """

    def __init__(self, tasks: Iterable[Any]) -> None:
        self.tasks = list(tasks)
        names = [task.metadata.name for task in self.tasks]
        if not names or len(set(names)) < len(names):
            raise InvalidInputError(f"tasks should be one or more, of different names; found {names}.")
        self._random = [copy.deepcopy((task.rng_state, task.np_rng)) for task in self.tasks]

    def run(
        self,
        model: Any,
        *,
        eval_splits: Sequence[str] | None = None,
        output_folder: str | os.PathLike[str] | None = None,
        show_progress_bar: bool = False,
        **options: Any,
    ) -> MTEBResults:
        """Evaluate a model.

        Args:
            model: A static model, its folder or `org/name`; or any model of mteb, such as a `SentenceTransformer`, to
                compare with. Its metadata are its `mteb_model_meta`, or what it knows of itself.
            eval_splits: Splits of the data, such as ["test"]; a task that has none of them is run on its own.
            output_folder: Folder in which mteb stores results. Those that are there for this very model are not
                computed again. Default: none are stored.
            show_progress_bar: Whether to show progress on stderr.
            options: Options of `StaticModel.encode`, such as `truncate_dim`; for static models alone.

        Raises:
            InvalidInputError: An option is out of range.
            M2VError: The model cannot be loaded; see `StaticModel.from_pretrained`.
        """
        if isinstance(model, StaticModel | str | os.PathLike):
            model = StaticModelEncoder(model, **options)
        elif options:
            raise InvalidInputError(f"Expected a static model for the options {sorted(options)}; found {type(model)}.")
        for task, states in zip(self.tasks, self._random, strict=True):
            task.rng_state, task.np_rng = copy.deepcopy(states)
            wanted = [split for split in eval_splits or () if split in task.metadata.eval_splits]
            task.filter_eval_splits(wanted or None)
        cache = None if output_folder is None else mteb.ResultCache(os.fspath(output_folder))
        found = mteb.evaluate(model, self.tasks, co2_tracker=False, cache=cache, show_progress_bar=show_progress_bar)
        return MTEBResults(found.task_results, {task.metadata.name: task_type(task) for task in self.tasks})
