"""The options of a fit to a collection: listed once, checked once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from m2v_core.checks import number, whole
from m2v_core.options import defaults_of, option
from m2v_core.prompts import check_one
from m2v_core.quantize import checked_dtype
from m2v_core.storage.format import EMBEDDING_DTYPES


@dataclass(frozen=True, kw_only=True)
class CollectionConfig:
    """Options of a fit to a collection, checked.

    Attributes:
        prompt: Text that is put before each document. Default: the teacher's prompt for documents, or its default one.
        prompt_name: Name of a prompt of the teacher for the documents.
        query_prompt: Text that is put before each sentence, which stands for a query. Default: the teacher's prompt for
            queries, or its default one.
        sentences: Whether the student is fitted to the sentences of the documents too, which the teacher has to embed.
        sample: Number of passages that the student is fitted to, with those of rare tokens first. Default: all.
        seed: Seed of the sample.
        strength: Strength of the prior: the ridge penalty, where a row of the design is a mean of tokens.
        quantize_to: Dtype of the student's table: float16, float32, float64 or int8.
        checkpoint_dir: Folder for the finished parts of the forward pass, from which an interrupted run is resumed.
        resume: Whether to use what is in `checkpoint_dir`; if not, new parts replace it.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.

    Raises:
        InvalidInputError: An option is out of range.

    Example:
        >>> CollectionConfig(sample=20_000).strength
        0.003
    """

    prompt: str | None = None
    prompt_name: str | None = None
    query_prompt: str | None = option(
        None,
        "text to put before each sentence, which stands for a query (default: the teacher's prompt for queries)",
        metavar="TEXT",
    )
    sentences: bool = option(default=True, help="fit the student to whole passages alone", flag="--no-sentences")
    sample: int | None = option(
        None, "passages that the student is fitted to, those of rare words first (default: all)", metavar="N", parse=int
    )
    seed: int = option(0, "seed of the sample", metavar="N", parse=int)
    strength: float = option(3e-3, "strength of the prior, a ridge penalty", metavar="A", parse=float)
    quantize_to: str = option("float16", "dtype of the student's table", choices=tuple(EMBEDDING_DTYPES.values()))
    checkpoint_dir: str | os.PathLike[str] | None = None
    resume: bool = option(
        default=True, help="continue from what an interrupted run left beside FOLDER, in FOLDER.chunks", flag="--resume"
    )
    show_progress_bar: bool | None = None

    @property
    def recorded_settings(self) -> dict[str, Any]:
        """The settings that `Config.distillation_settings` records."""
        defaults = defaults_of(CollectionConfig)
        names = ("prompt", "prompt_name", "query_prompt", "sentences", "sample", "seed")
        chosen = {name: value for name in names if (value := getattr(self, name)) != defaults[name]}
        return {"space": "teacher", "strength": self.strength, **chosen}

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantize_to", checked_dtype(self.quantize_to))
        whole("sample", self.sample, 1, or_none=True)
        whole("seed", self.seed)
        number("strength", self.strength, above=0)
        check_one(self.prompt_name, self.prompt)
