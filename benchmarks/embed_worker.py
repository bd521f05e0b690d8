"""Embeds shards of Parquet with one engine: `embed_worker.py ENGINE MODEL INPUTS OUT CORES`.

`benchmarks/embed.py` calls it. Prints seconds until the engine can start, and those of the shards.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Engines tell nobody that they are used, and Ray listens to this machine alone.
SETTINGS = {
    "DAFT_ANALYTICS_ENABLED": "0",
    "DO_NOT_TRACK": "true",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}

Job = Callable[[str, Path], None]


def pyarrow(model: str, cores: int) -> Job:
    """The loop that everybody writes first: read a file, embed, write."""
    import pyarrow as pa
    from pyarrow import parquet

    from m2v_core import StaticModel

    loaded = StaticModel.from_pretrained(model, memory_map=True)

    def job(inputs: str, out: Path) -> None:
        out.mkdir()
        for path in files(inputs):
            table = parquet.read_table(path)
            vectors = loaded.encode(table.column("text").to_pylist(), threads=cores)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
            parquet.write_table(table.append_column("vector", lists), out / path.name)

    return job


def m2v(model: str, cores: int) -> Job:
    """`m2v embed`, with a process for each core."""
    from m2v_core.embed import embed_files

    def job(inputs: str, out: Path) -> None:
        embed_files(model, inputs, out, workers=cores)

    return job


def polars(model: str, cores: int) -> Job:
    """An expression, streamed."""
    os.environ["POLARS_MAX_THREADS"] = str(cores)
    import polars as pl

    from m2v_core.embed.engines.polars import embedded

    def job(inputs: str, out: Path) -> None:
        out.mkdir()
        for path in files(inputs):
            frame = pl.scan_parquet(path).with_columns(embedded("text", model, threads=cores))
            frame.sink_parquet(out / path.name)

    return job


def duckdb(model: str, cores: int) -> Job:
    """A function of SQL."""
    import duckdb as db

    from m2v_core.embed.engines.duckdb import create_function

    connection = db.connect(config={"threads": cores})
    create_function(connection, model)

    def job(inputs: str, out: Path) -> None:
        out.mkdir()
        query = f"SELECT *, embed(text) AS vector FROM '{inputs}'"  # noqa: S608
        connection.sql(f"COPY ({query}) TO '{out}/all.parquet'")

    return job


def daft(model: str, cores: int) -> Job:
    """A class UDF, in processes of their own."""
    import daft as engine

    from m2v_core.embed.engines.daft import embed_udf

    embed = embed_udf(model, max_concurrency=cores, use_process=True)

    def job(inputs: str, out: Path) -> None:
        frame = engine.read_parquet(inputs)
        frame.with_column("vector", embed(frame["text"])).write_parquet(str(out))

    return job


def ray(model: str, cores: int) -> Job:
    """`map_batches`, with an actor for each core that asks for half of it; the rest is for reading and writing."""
    import ray as engine

    from m2v_core.embed import BatchEmbedder

    engine.init(
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=2**30,
        _temp_dir="/tmp/ray",  # noqa: S108 - Ray's own default; nox's TMPDIR is in an environment, which Ray refuses
    )
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False

    def job(inputs: str, out: Path) -> None:
        data = ray.data.read_parquet([str(path) for path in files(inputs)])
        embedded = data.map_batches(
            BatchEmbedder,
            fn_constructor_args=[model],
            batch_size=16_384,
            batch_format="pyarrow",
            num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=cores),
        )
        embedded.write_parquet(str(out))

    return job


def spark(model: str, cores: int) -> Job:
    """`mapInArrow`."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    from m2v_core.embed.engines.spark import with_vectors

    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .getOrCreate()
    )

    def job(inputs: str, out: Path) -> None:
        with_vectors(session.read.parquet(inputs), model).write.parquet(str(out))

    return job


ENGINES: dict[str, Callable[[str, int], Job]] = {
    "pyarrow": pyarrow,
    "m2v embed": m2v,
    "polars": polars,
    "duckdb": duckdb,
    "daft": daft,
    "ray": ray,
    "spark": spark,
}


def files(pattern: str) -> list[Path]:
    """The files of a pattern."""
    return sorted(Path(pattern).parent.glob(Path(pattern).name))


def main() -> None:
    """Print one line of JSON."""
    os.environ.update(SETTINGS)
    started = time.perf_counter()
    engine, model, inputs, out, cores = sys.argv[1:]
    job = ENGINES[engine](model, int(cores))
    ready = time.perf_counter()
    Path(f"{out}.ready").touch()
    job(inputs, Path(out))
    print(json.dumps({"start": ready - started, "seconds": time.perf_counter() - ready}), flush=True)
    os._exit(0)  # some engines take long to say goodbye


if __name__ == "__main__":
    main()
