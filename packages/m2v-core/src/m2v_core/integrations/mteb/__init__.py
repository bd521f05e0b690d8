"""mteb: the evaluation of models, as the package `evaluation` of model2vec's authors does it (`m2v-core[mteb]`)."""

from typing import TYPE_CHECKING

from m2v_core.lazy import lazy

if TYPE_CHECKING:
    from m2v_core.integrations.mteb.encoder import StaticModelEncoder, model_meta
    from m2v_core.integrations.mteb.results import (
        TaskScore,
        make_leaderboard,
        parse_mteb_results,
        summarize_results,
    )
    from m2v_core.integrations.mteb.run import CustomMTEB
    from m2v_core.integrations.mteb.tasks import get_tasks

__getattr__, __dir__ = lazy(
    __name__,
    {
        "CustomMTEB": "m2v_core.integrations.mteb.run",
        "StaticModelEncoder": "m2v_core.integrations.mteb.encoder",
        "TaskScore": "m2v_core.integrations.mteb.results",
        "get_tasks": "m2v_core.integrations.mteb.tasks",
        "make_leaderboard": "m2v_core.integrations.mteb.results",
        "model_meta": "m2v_core.integrations.mteb.encoder",
        "parse_mteb_results": "m2v_core.integrations.mteb.results",
        "summarize_results": "m2v_core.integrations.mteb.results",
    },
)

__all__ = [
    # models
    "StaticModelEncoder",
    "model_meta",
    # tasks, and running them
    "CustomMTEB",
    "get_tasks",
    # results
    "TaskScore",
    "make_leaderboard",
    "parse_mteb_results",
    "summarize_results",
]
