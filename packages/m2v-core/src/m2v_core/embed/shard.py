"""From one file to one shard: the columns that are kept, and the vectors, in a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from m2v_core.embed.arrow import fixed_size_list, pa, parquet, vector_type
from m2v_core.embed.batches import TextEmbedder
from m2v_core.embed.config import EmbedConfig, check_columns
from m2v_core.embed.manifest import Shard
from m2v_core.embed.plan import Task, digest_of
from m2v_core.embed.read import opened, regrouped
from m2v_core.errors import InvalidInputError
from m2v_core.storage.atomic import replaced_file

#: Key of the metadata of a shard's schema, whose value is a JSON object: the version, the model's digest, settings.
METADATA = b"m2v"


def write_shard(
    task: Task,
    folder: Path,
    embedder: TextEmbedder,
    config: EmbedConfig,
    metadata: dict[str, Any],
    progress: Callable[[int], object],
) -> Shard:
    """Embed a file into a shard, which is there as a whole when this returns, or not at all.

    The same file, model and settings give the same bytes.

    Args:
        task: The file and the name of its shard.
        folder: The output folder.
        embedder: Model and settings.
        config: Columns.
        metadata: What the shard's schema says of the vectors.
        progress: Called with the number of texts of each batch.

    Raises:
        InvalidInputError: The file is not of its format, lacks a column, holds no texts in the column of texts, changed
            while it was read, or has a column that Parquet cannot hold.
    """
    path = Path(task.input)
    before = path.stat()
    digest = digest_of(path)
    wanted = None if config.keep is None else list(dict.fromkeys([*config.keep, config.text_column]))
    texts = unknown = 0
    with opened(path, config.text_column, wanted) as table, replaced_file(folder / task.shard, "wb") as file:
        check_columns(task.input, table.schema.names, config)
        _check_texts(task.input, table.schema.field(config.text_column))
        kept = table.schema.names if config.keep is None else list(config.keep)
        schema = _schema(table.schema, kept, config.vector_column, embedder, metadata)
        with shard_writer(task.input, file, schema) as write:
            for rows in regrouped(table.batches, table.schema):
                vectors, n_unknown = embedder(_texts(task.input, texts, rows.column(config.text_column)))
                write([*(rows.column(name) for name in kept), fixed_size_list(vectors)])
                texts, unknown = texts + len(vectors), unknown + n_unknown
                progress(len(vectors))
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InvalidInputError(f"{path}: expected a file that nobody writes to; it changed meanwhile. Run again.")
    size = (folder / task.shard).stat().st_size
    return Shard(
        shard=task.shard,
        input=task.input,
        input_bytes=before.st_size,
        input_sha256=digest,
        texts=texts,
        unknown=unknown,
        bytes=size,
    )


def _check_texts(path: str, field: Any) -> None:
    """Raise unless a column can hold texts: strings of any layout, or nothing but nulls."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_view = getattr(pa.types, "is_string_view", lambda _: False)
    if not any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, is_view, pa.types.is_null)):
        raise InvalidInputError(
            f"{path}: text_column should be one of texts (string); found {field.name!r} of {kind}. Choose another."
        )


def _texts(path: str, before: int, column: Any) -> list[str | None]:
    """The texts of a part of a column; `before` is the number of rows before it."""
    try:
        texts: list[str | None] = column.to_pylist()
    except UnicodeDecodeError:
        for number, value in enumerate(column.cast(pa.large_binary()).to_pylist(), before + 1):
            if value is not None and not _is_utf8(value):
                raise InvalidInputError(
                    f"{path}, row {number}: expected UTF-8 text; found other bytes. Convert the column."
                ) from None
        raise
    return texts


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _schema(given: Any, kept: list[str], vector_column: str, embedder: TextEmbedder, metadata: dict[str, Any]) -> Any:
    """The columns that are kept, and that of the vectors."""
    vectors = pa.field(vector_column, vector_type(embedder.output.width, embedder.output.dtype))
    said = {METADATA: json.dumps(metadata).encode()}
    return pa.schema([*(given.field(name) for name in kept), vectors], metadata=said)


@contextmanager
def shard_writer(path: str, file: Any, schema: Any) -> Iterator[Callable[[list[Any]], None]]:
    """A function that writes columns as a group of rows. Vectors hardly become smaller by a dictionary of values."""
    kept = schema.names[:-1]
    try:
        with parquet.ParquetWriter(
            file, schema, compression="snappy", use_dictionary=kept or False, write_statistics=kept or False
        ) as writer:
            yield lambda columns: writer.write_table(pa.table(columns, schema=schema))
    except pa.ArrowNotImplementedError as error:
        raise InvalidInputError(
            f"{path}: expected columns that Parquet can hold; found another: {error!s:.200}. Leave it out of those "
            f"to keep."
        ) from None
