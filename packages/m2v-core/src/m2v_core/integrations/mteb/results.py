"""Results of mteb as scores, means and a leaderboard. mteb itself is needed for the types of its tasks alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from m2v_core.errors import InvalidInputError

ALL, MTEB, COUNT = "Avg (All)", "Avg (MTEB)", "Tasks"

#: Types of tasks, in the order of a leaderboard -> their column. Others follow by their name.
COLUMNS: Mapping[str, str] = {
    "Classification": "Class",
    "Clustering": "Clust",
    "PairClassification": "PairClass",
    "Reranking": "Rank",
    "Retrieval": "Ret",
    "STS": "STS",
    "Summarization": "Sum",
    "PEARL": "PEARL",
    "WordSim": "WordSim",
}

#: Types that are not mteb's.
_OTHERS = ("PEARL", "WordSim")


@dataclass(frozen=True)
class TaskScore:
    """A model's score in a task.

    Attributes:
        type: Type of the task.
        score: Its main score, from 0 to 100 (-100 for a correlation); the mean of its splits and languages.
    """

    type: str
    score: float


def parse_mteb_results(
    mteb_results: Iterable[Any], model_name: str, *, task_types: Mapping[str, str] | None = None
) -> dict[str, dict[str, TaskScore]]:
    """The scores of a model. Those of several models together: `{**parsed, **parsed_of_another}`.

    Args:
        mteb_results: The results of `CustomMTEB.run`, or mteb's `TaskResult` objects.
        model_name: Name of the model in the leaderboard.
        task_types: Types of tasks by name, for tasks that are not mteb's. Default: as `CustomMTEB.run` stored them.

    Returns:
        The score of each task, by the name of the model and that of the task.

    Raises:
        InvalidInputError: The type of a task is not known.
    """
    types = {**getattr(mteb_results, "task_types", {}), **(task_types or {})}
    scores = {}
    for result in mteb_results:
        name = result.task_name
        if name not in types:
            try:
                types[name] = result.task_type
            except KeyError:
                raise InvalidInputError(
                    f"task_types should have the type of each task that is not mteb's; found none for {name!r}."
                ) from None
        scores[name] = TaskScore(types[name], 100 * float(result.get_score()))
    return {model_name: scores}


def summarize_results(results: Mapping[str, Mapping[str, TaskScore]]) -> dict[str, dict[str, float]]:
    """Means of the scores of each model: of all tasks, of mteb's, and of each type.

    Args:
        results: What `parse_mteb_results` returns.

    Returns:
        For each model: "Avg (All)" and "Avg (MTEB)", means over tasks (NaN of none); a mean for each type; and
        "Tasks", the number of tasks.

    Example:
        >>> scores = {"a": TaskScore("STS", 70.0), "b": TaskScore("STS", 80.0), "c": TaskScore("WordSim", 45.0)}
        >>> summarize_results({"mine": scores})
        {'mine': {'Avg (All)': 65.0, 'Avg (MTEB)': 75.0, 'STS': 75.0, 'WordSim': 45.0, 'Tasks': 3}}
    """
    summary = {}
    for model, scores in results.items():
        types = {score.type for score in scores.values()}
        known = [*(name for name in COLUMNS if name in types), *sorted(types - set(COLUMNS))]
        means = {ALL: _mean(scores), MTEB: _mean(scores, types - set(_OTHERS))}
        summary[model] = {**means, **{name: _mean(scores, {name}) for name in known}, COUNT: len(scores)}
    return summary


def _mean(scores: Mapping[str, TaskScore], types: set[str] | None = None) -> float:
    kept = [score.score for score in scores.values() if types is None or score.type in types]
    return sum(kept) / len(kept) if kept else math.nan


def make_leaderboard(task_scores: Mapping[str, Mapping[str, float]]) -> str:
    """A table in Markdown: a row for each model, the best one first, and a column for each mean.

    Models with different numbers of tasks should not be compared: the last column shows them.

    Args:
        task_scores: What `summarize_results` returns.

    Example:
        >>> scores = {"a": {"x": TaskScore("STS", 70.0)}, "b": {"x": TaskScore("STS", 80.0)}}
        >>> print(make_leaderboard(summarize_results(scores)))
        | Model | Avg (All) | Avg (MTEB) |   STS | Tasks |
        | :---- | --------: | ---------: | ----: | ----: |
        | b     |     80.00 |      80.00 | 80.00 |     1 |
        | a     |     70.00 |      70.00 | 70.00 |     1 |
    """
    found = {name for summary in task_scores.values() for name in summary} - {ALL, MTEB, COUNT}
    types = [*(name for name in COLUMNS if name in found), *sorted(found - set(COLUMNS))]
    columns = [ALL, MTEB, *types, COUNT]
    ordered = sorted(task_scores.items(), key=lambda item: (math.isnan(item[1][ALL]), -item[1][ALL]))
    rows = [["Model", *(COLUMNS.get(name, name) for name in columns)]]
    rows += [
        [model.replace("|", "\\|"), *(_shown(summary.get(name)) for name in columns)] for model, summary in ordered
    ]
    widths = [max(4, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [rows[0], rule, *rows[1:]]
    shown = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in shown)


def _shown(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
