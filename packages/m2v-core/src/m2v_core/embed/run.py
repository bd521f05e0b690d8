"""`embed_files`: from files of texts to a folder with their vectors, a shard for each file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from m2v_core import checks
from m2v_core.embed.batches import Files, TextEmbedder, files_of
from m2v_core.embed.config import EmbedConfig, check_columns
from m2v_core.embed.manifest import Job, Shard, check_folder, opened_manifest
from m2v_core.embed.plan import Paths, Task, input_files, planned
from m2v_core.embed.read import columns_of
from m2v_core.embed.shard import write_shard
from m2v_core.embed.workers import results
from m2v_core.errors import InvalidInputError
from m2v_core.model import StaticModel
from m2v_core.progress import progress_bar
from m2v_core.storage.atomic import check_output
from m2v_core.storage.digest import model_digest
from m2v_core.storage.resolve import resolve
from m2v_core.threads import available_cpus

#: Bytes of inputs for which it pays to start another process.
_WORTH_A_PROCESS = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What a run of `embed_files` leaves.

    Attributes:
        folder: The output folder.
        shards: The shards of the inputs, in their order.
        n_kept: Number of these that were finished before.
        n_embedded: Number of texts that this run embedded.
        dim: Columns of the vectors.
        dtype: dtype of the vectors.
    """

    folder: Path
    shards: tuple[Shard, ...]
    n_kept: int
    n_embedded: int
    dim: int
    dtype: str

    @property
    def paths(self) -> list[Path]:
        """The files of the shards."""
        return [self.folder / shard.shard for shard in self.shards]

    @property
    def n_texts(self) -> int:
        """Number of texts of all shards."""
        return sum(shard.texts for shard in self.shards)

    @property
    def n_unknown(self) -> int:
        """Number of texts without a known token, whose vectors are zeros."""
        return sum(shard.unknown for shard in self.shards)

    @property
    def n_bytes(self) -> int:
        """Bytes of the shards."""
        return sum(shard.bytes for shard in self.shards)


def embed_files(
    model: StaticModel | str | os.PathLike[str],
    inputs: Paths,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    show_progress_bar: bool | None = False,
    **options: Any,
) -> Embedded:
    r"""Embed the texts of files, and write a Parquet file with their vectors for each of them.

    Files are read as streams. The ending of a name is its format: `.parquet`; `.arrow` and `.feather` (Arrow's file or
    stream format); `.jsonl`, `.ndjson`; `.csv`, `.tsv`; `.txt` or none, one text a line. All but the first three may be
    compressed (`.gz`, `.zst`). A missing text, as one without a known token, has a vector of zeros.

    A shard has the name of its input, and a number where several inputs have that name. It is written as a whole or not
    at all, and `_manifest.jsonl` lists those that are finished with the digests of their inputs. So the same call
    continues an interrupted run, and with more inputs it adds theirs; inputs that changed are embedded again. Shards of
    inputs that are not named stay. The same inputs and model give the same bytes, however often a run was interrupted
    and whatever the number of workers.

    Args:
        model: A folder, `org/name`, or a model. Processes share the table of a folder, and load it in no time.
        inputs: A path or several. One that is no file may have wildcards: `"lake/**/*.parquet"`.
        out: The folder to write: a new or empty one, or one of an earlier run of the same job.
        workers: Number of processes, each of which works on a file. Default: one for each CPU that this process may
            use, but not more than files, nor than the inputs have times 16 MB: it takes a second to start some. A
            script needs `if __name__ == "__main__":` around the call, as always where Python starts processes.
        show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.
        options: Those of `EmbedConfig`: `text_column`, `vector_column`, `keep`, `normalize`, `max_length`,
            `truncate_dim`, `precision`, `prompt_name` and `prompt`.

    Raises:
        InvalidInputError: At once: there is no such file or column, an option is out of range, or the folder holds
            something else, or vectors of another model or other settings. While reading: a file is damaged; the shards
            that are finished stay.
        M2VError: The model cannot be loaded, or a worker process was ended.
        TypeError: There is no such option.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("days.csv").write_text("id,text\n1,good day\n2,day\n")
        >>> done = embed_files(tiny_model(), "days.csv", "vectors", keep=["id"])
        >>> done.n_texts, done.n_kept, [path.name for path in done.paths]
        (2, 0, ['days.parquet'])
        >>> from pyarrow import parquet
        >>> parquet.read_table(done.paths[0]).to_pylist()[0]
        {'id': '1', 'vector': [0.5, 0.5]}
    """
    config, folder = EmbedConfig.of("embed_files", options, "workers", "show_progress_bar"), checks.path("out", out)
    checks.whole("workers", workers, 1, or_none=True)
    checks.truth("show_progress_bar", show_progress_bar)
    check_output(folder, folder=True)
    check_folder(folder)
    paths = input_files(inputs, folder)
    n_rows = {path: _checked(path, config) for path in paths}
    source = model if isinstance(model, StaticModel) else resolve(model)
    files = () if isinstance(source, StaticModel) else files_of(source)
    embedder = TextEmbedder.of(_model(source), config, None)
    job = Job(
        model=model_digest(embedder.model.stored),
        settings=embedder.settings,
        text_column=config.text_column,
        vector_column=config.vector_column,
        keep=config.keep,
    )
    cpus = available_cpus()
    with opened_manifest(folder, job) as manifest:
        shards, tasks = planned(paths, manifest, cpus)
        n_kept, n_embedded = len(shards), 0
        size = sum(Path(task.input).stat().st_size for task in tasks)
        count = max(1, min(workers or min(cpus, size // _WORTH_A_PROCESS), len(tasks)))
        work = _Work(source, config, folder, job, files, threads=max(1, cpus // count))
        prepare = work if count > 1 else partial(work.with_embedder, embedder)
        known = [n_rows[task.input] for task in tasks]
        total = None if None in known else sum(filter(None, known))
        with progress_bar("Embedding", unit="texts", total=total, show=show_progress_bar) as bar:
            for path, shard in results(tasks, prepare, count, bar.update):
                manifest.add(shard)
                shards[path] = shard
                n_embedded += shard.texts
        manifest.close(job)
    output = embedder.output
    found = tuple(shards[path] for path in paths)
    return Embedded(
        folder=folder,
        shards=found,
        n_kept=n_kept,
        n_embedded=n_embedded,
        dim=output.width,
        dtype=output.dtype.name,
    )


@dataclass(frozen=True)
class _Work:
    """What a process needs to write shards; it is sent to each, which loads the model of a folder itself."""

    source: StaticModel | Path
    config: EmbedConfig
    folder: Path
    job: Job
    files: Files
    threads: int

    def __call__(self) -> Callable[[Task, Callable[[int], object]], tuple[str, Shard]]:
        """The function that writes a shard.

        Raises:
            InvalidInputError: The model in the folder is not that with which the job began.
        """
        model = _model(self.source)
        if not isinstance(self.source, StaticModel) and files_of(self.source) != self.files:
            raise InvalidInputError(
                f"{self.source}: expected the model with which the run began; its files changed meanwhile. Run again."
            )
        return self.with_embedder(TextEmbedder.of(model, self.config, self.threads))

    def with_embedder(self, embedder: TextEmbedder) -> Callable[[Task, Callable[[int], object]], tuple[str, Shard]]:
        """The same with a model that is already there."""

        def write(task: Task, progress: Callable[[int], object]) -> tuple[str, Shard]:
            return task.input, write_shard(task, self.folder, embedder, self.config, self.job.metadata, progress)

        return write


def _model(source: StaticModel | Path) -> StaticModel:
    return source if isinstance(source, StaticModel) else StaticModel.from_pretrained(source, memory_map=True)


def _checked(path: str, config: EmbedConfig) -> int | None:
    """The number of rows of an input, if its head says it; raises unless it has the columns of the job."""
    names, rows = columns_of(Path(path), config.text_column)
    if names is not None:
        check_columns(path, names, config)
    return rows
