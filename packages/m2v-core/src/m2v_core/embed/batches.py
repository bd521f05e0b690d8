"""Batches of columns with the vectors of their texts, for engines that send a function to their workers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2v_core import checks
from m2v_core.data.sources import is_missing, plain
from m2v_core.embed.config import EmbedConfig, check_columns
from m2v_core.encode.output import Output
from m2v_core.model import StaticModel
from m2v_core.prompts import resolved
from m2v_core.storage.resolve import resolve

#: Name, size and time of each file of a model's folder, by which a change of it shows.
Files = tuple[tuple[str, int, int], ...]


def files_of(folder: Path) -> Files:
    """The files of a model's folder, as they are now."""
    stats = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@lru_cache(maxsize=4)
def loaded(folder: Path, files: Files) -> StaticModel:  # noqa: ARG001 - other files are another model
    """The model of a folder, loaded once in a process; its table stays in the file, which processes share."""
    return StaticModel.from_pretrained(folder, memory_map=True)


@dataclass(frozen=True)
class TextEmbedder:
    """A model and the settings of a job, with those that were left to the model filled in.

    Attributes:
        model: The model.
        normalize: Whether means of token vectors are scaled to unit length.
        max_length: Tokens of a text that count, `None` for no limit.
        prompt: Text that is put before each text.
        output: The form of the vectors after that.
        threads: Threads for many texts, `None` for one for each CPU.
    """

    model: StaticModel
    normalize: bool
    max_length: int | None
    prompt: str
    output: Output
    threads: int | None

    @classmethod
    def of(cls, model: StaticModel, config: EmbedConfig, threads: int | None = 1) -> TextEmbedder:
        """The embedder of a model for a job.

        Raises:
            InvalidInputError: The model has no such prompt, fewer dimensions than `truncate_dim`, or no ranges for
                vectors of 8 bits.

        Example:
            >>> embedder = TextEmbedder.of(tiny_model(), EmbedConfig(precision="float16"))
            >>> embedder(["good day", None])
            (array([[0.5, 0.5],
                   [0. , 0. ]], dtype=float16), 1)
        """
        limit, unit = model._settings(config.max_length, config.normalize)
        unit, output = model._output(unit, config.truncate_dim, config.precision, None)
        prompt = resolved(model.prompts, (), prompt_name=config.prompt_name, prompt=config.prompt)
        return cls(model, unit, limit, prompt, output, threads)

    def __call__(self, texts: Sequence[str | None]) -> tuple[NDArray[Any], int]:
        """The vectors [n, width] of texts, and the number of texts without a known token, whose vectors are zeros.

        A missing text (`None`, NaN) is one without a token.

        Raises:
            InvalidInputError: An element is something else than a text.
        """
        missing = [number for number, text in enumerate(texts) if type(text) is not str and is_missing(text)]
        given: Any = ["" if is_missing(text) else text for text in texts] if missing else texts
        vectors = self.model.encode_document(
            given, prompt=self.prompt, max_length=self.max_length, normalize=self.normalize, threads=self.threads
        )
        vectors[missing] = 0  # the prompt alone has a vector too
        return self.output(vectors), len(vectors) - int(vectors.any(axis=1).sum())

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the vectors beside the digest of the model, as values of JSON."""
        ranges = self.output.ranges
        return {
            "normalize": self.normalize or self.output.normalize,
            "max_length": self.max_length,
            "prompt": self.prompt,
            "precision": self.output.precision,
            "dimensions": self.output.dim,
            "ranges": None if ranges is None else sha256(ranges.astype("<f4").tobytes()).hexdigest(),
        }


class BatchEmbedder:
    """A function of batches, dicts of columns or tables of pyarrow, that adds the column of vectors.

    Engines pickle it and send it to their workers: Ray Data (`map_batches`), and others that take a Python function.
    The model of a folder is not sent: each process loads it once, at the first batch, and processes on one machine
    share its table. A `StaticModel` is sent as it is.

    Args:
        model: A folder that each worker can read, `org/name`, or a model.
        threads: Threads for a batch; `None` for one for each CPU. The default leaves the CPUs to the engine.
        options: Those of `EmbedConfig`: `text_column`, `vector_column`, `keep`, `normalize`, `max_length`,
            `truncate_dim`, `precision`, `prompt_name` and `prompt`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: There is no such option.

    Example:
        >>> embed = BatchEmbedder(tiny_model(), keep=["id"])
        >>> embed({"id": np.array([7, 8]), "text": np.array(["good day", None])})
        {'id': array([7, 8]), 'vector': array([[0.5, 0.5],
               [0. , 0. ]], dtype=float32)}
    """

    def __init__(self, model: StaticModel | str | os.PathLike[str], *, threads: int | None = 1, **options: Any) -> None:
        checks.whole("threads", threads, 1, or_none=True)
        fits = isinstance(model, StaticModel | str | os.PathLike)
        checks.expect(fits, "model", "a folder, the name of a model on the Hub, or a StaticModel", model)
        self.model = model if isinstance(model, StaticModel) else os.fspath(model)
        self.threads, self.config = threads, EmbedConfig.of("BatchEmbedder", options, "threads")
        self._embedder: TextEmbedder | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_embedder": None}

    @property
    def embedder(self) -> TextEmbedder:
        """The model and the settings, loaded when they are first needed.

        Raises:
            M2VError: The model cannot be loaded, or does not have what the options ask for.
        """
        if self._embedder is None:
            model = self.model
            if not isinstance(model, StaticModel):
                folder = resolve(model)
                model = loaded(folder, files_of(folder))
            self._embedder = TextEmbedder.of(model, self.config, self.threads)
        return self._embedder

    @property
    def dim(self) -> int:
        """Number of columns of the vectors."""
        return self.embedder.output.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the vectors."""
        return self.embedder.output.dtype

    def check(self, place: str, names: Sequence[str]) -> None:
        """Raise unless a table with these columns has those that are needed; the error begins with its `place`.

        Raises:
            InvalidInputError: See `check_columns`.
        """
        check_columns(place, names, self.config)

    def vectors(self, texts: Sequence[str | None]) -> NDArray[Any]:
        """The vectors [n, dim] of texts; zeros for a missing one."""
        return self.embedder(texts)[0]

    def __call__(self, batch: Any) -> Any:
        """The columns that are kept, and the vectors.

        Args:
            batch: A dict of columns, or a table or record batch of pyarrow.

        Returns:
            A dict with an array [n, dim], or a table or record batch with fixed-size lists.

        Raises:
            InvalidInputError: There is no such column, or a value of it is no text.
        """
        config, is_dict = self.config, isinstance(batch, Mapping)
        names = list(batch) if is_dict else batch.schema.names
        self.check("The batch", names)
        kept = names if config.keep is None else list(config.keep)
        vectors = self.vectors(plain(batch[config.text_column]))
        if is_dict:
            return {**{name: batch[name] for name in kept}, config.vector_column: vectors}
        from m2v_core.embed.arrow import fixed_size_list

        columns = [*(batch.column(name) for name in kept), fixed_size_list(vectors)]
        return type(batch).from_arrays(columns, [*kept, config.vector_column])
