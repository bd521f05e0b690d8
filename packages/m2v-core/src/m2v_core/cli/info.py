"""`m2v info`: what a model is."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from m2v_core.cli.outputs import json_line, shown_table
from m2v_core.cli.parser import Subcommands, add_json, add_model, set_run

if TYPE_CHECKING:
    from m2v_core.head import MLPHead
    from m2v_core.model import StaticModel


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "info",
        help="show what a model is",
        description="Show what a model is: sizes, settings and origin; `-` stands for what is not known.",
    )
    add_model(parser)
    add_json(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.pipeline import StaticModelPipeline, load

    loaded = load(options.model)
    facts = describe(loaded.model, loaded.head) if isinstance(loaded, StaticModelPipeline) else describe(loaded)
    print(json_line(facts, sys.stdout) if options.json else shown_table(facts))
    return 0


def describe(model: StaticModel, head: MLPHead | None = None) -> dict[str, object]:
    """A model and its head as plain values: sizes in tokens, dimensions and bytes, and the fields of its config.

    Example:
        >>> describe(tiny_model())["tokens"]
        3
    """
    arrays = (model.embedding, model.weights, model.token_mapping)
    unknown = None if model.unk_token_id is None else model.tokens[model.unk_token_id]
    if model.unknown_is_ordinary:
        unknown = f"{unknown} (an ordinary piece, removed from every text)"
    classes = None if head is None or head.classes_ is None else head.classes_.tolist()
    return {
        "tokens": model.n_tokens,
        "dimensions": model.dim,
        "dtype": model.embedding_dtype,
        "table_bytes": sum(array.nbytes for array in arrays if array is not None),
        "clusters": model.vocabulary_quantization,
        "unknown_token": unknown,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in model.config.by_name().items()},
        "head": None if head is None else head.activation.value,
        "head_widths": None if head is None else head.widths,
        "classes": classes,
    }
