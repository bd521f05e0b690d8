"""The tasks of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from m2v_core import checks
from m2v_core.errors import InvalidInputError
from m2v_core.extras import needs
from m2v_core.integrations.mteb.pairs import PHRASES, WORDS, pair_task

with needs("m2v-core[mteb]"):
    import mteb

#: What is evaluated where nothing is named: 56 tasks in English.
BENCHMARK = "MTEB(eng, v1)"


def get_tasks(
    task_types: Sequence[str] | None = None,
    *,
    tasks: Sequence[str] | None = None,
    benchmark: str = BENCHMARK,
    word_similarity: Iterable[str | os.PathLike[str]] = (),
    phrases: Iterable[str | os.PathLike[str]] = (),
) -> list[Any]:
    """Tasks of mteb, and of files of yours.

    mteb downloads the data of its tasks from the Hub when they run. Word similarity and PEARL, which the package
    `evaluation` of model2vec's authors has, are files that you have.

    Args:
        task_types: Types to keep, such as "STS", "Classification", "WordSim" and "PEARL". Default: all.
        tasks: Names of mteb's tasks, in place of those of `benchmark`; with `[]` only files are evaluated.
        benchmark: Name of one of mteb's benchmarks.
        word_similarity: Files of pairs of words with scores: two texts and a number in each row, as `.csv` or `.tsv`.
        phrases: Files of pairs of phrases with scores.

    Raises:
        InvalidInputError: There is no such task, type or benchmark, or a file is not one of pairs; or nothing is left.
        MissingPackageError: mteb is not installed.

    Example:
        >>> [task.metadata.name for task in get_tasks(tasks=["STS12", "Banking77Classification"])]
        ['STS12', 'Banking77Classification']
    """
    try:
        found = list(mteb.get_benchmark(benchmark).tasks if tasks is None else map(mteb.get_task, tasks))
    except (KeyError, ValueError) as error:
        raise InvalidInputError(f"{'benchmark' if tasks is None else 'tasks'}: {error.args[0]}") from None
    found += [pair_task(path, WORDS) for path in word_similarity]
    found += [pair_task(path, PHRASES) for path in phrases]
    types = {task_type(task) for task in found}
    for name in task_types or ():
        checks.one_of("task_types", name, sorted(types))
    found = [task for task in found if task_types is None or task_type(task) in task_types]
    if not found:
        raise InvalidInputError("Expected tasks, or files of word_similarity= or phrases=; found none.")
    return found


def task_type(task: Any) -> str:
    """The type of a task: "WordSim" or "PEARL" for files, else mteb's."""
    return str(getattr(task, "m2v_type", task.metadata.type))
