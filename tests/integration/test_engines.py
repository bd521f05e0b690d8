"""The engines for which there are adapters, each run for real on this machine: its vectors are those of `encode`.

`nox -s engines` installs them; what is missing is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_model
from m2v_core import InvalidInputError, StaticModel
from m2v_core.embed import BatchEmbedder, embed_files

pytestmark = pytest.mark.engines

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset, parquet

N = 4000
TEXTS = [None if n % 97 == 5 else f"good {'day ' * (n % 7)}{'bad' if n % 3 else 'sunny!'}" for n in range(N)]
TABLE = pa.table({"n": range(N), "text": TEXTS})

Ran = Callable[..., None]


#: Engines tell nobody that they are used; Ray listens to this machine alone; Daft runs without Ray where both are there.
SETTINGS = {
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_RUNNER": "native",
    "DO_NOT_TRACK": "true",
    "PYSPARK_PYTHON": sys.executable,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model's folder, in the working directory of a reader, with a lake; engines find both from where they start."""
    place = tmp_path_factory.mktemp("engines")
    make_model(dim=16, normalize=True).calibrate(["good day", "bad", "sunny"]).save_pretrained(place / "my-model")
    parquet.write_table(TABLE.rename_columns(["id", "text"]), place / "lake.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield place / "my-model"


def expected(folder: Path, **options: Any) -> np.ndarray:
    """The vectors of one machine."""
    return StaticModel.from_pretrained(folder).encode([text or "" for text in TEXTS], **options)


def same(found: Any, folder: Path, **options: Any) -> float:
    """The largest difference, which has to be none; texts without a vector of their own are zeros."""
    wanted = expected(folder, **options)
    assert np.array_equal(found, wanted)
    return float(np.abs(np.asarray(found, np.float64) - wanted).max())


def as_array(column: Any) -> np.ndarray:
    """A column of lists of pyarrow as an array [n, D]."""
    lists = column.combine_chunks()
    lists = getattr(lists, "storage", lists)
    return lists.flatten().to_numpy().reshape(len(lists), -1)


def dying(folder: Path, marker: Path, after: int = 3) -> StaticModel:
    """A model that kills the process in which it embeds its third batch; only the first time, of which a file tells.

    The class is sent to the workers as it is here, since they cannot import this module.
    """

    class Dying(StaticModel):
        calls = 0

        def encode_document(self, *arguments: Any, **options: Any) -> Any:
            type(self).calls += 1
            if type(self).calls == after and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode_document(*arguments, **options)

    return Dying.from_pretrained(folder)


def test_polars(folder: Path, ran: Ran) -> None:
    pl = pytest.importorskip("polars")
    from m2v_core.embed.engines.polars import embedded

    table = pl.from_arrow(TABLE)
    for options in ({}, {"precision": "float16"}, {"precision": "int8"}, {"truncate_dim": 5, "vector_column": "v"}):
        found = table.with_columns(embedded("text", folder, **options))[options.get("vector_column", "vector")]
        wanted = {name: value for name, value in options.items() if name != "vector_column"}
        same(found.to_numpy(), folder, **wanted)
    lazy = table.lazy().filter(pl.col("n") % 2 == 0).with_columns(embedded(pl.col("text").str.strip_chars(), folder))
    assert np.array_equal(lazy.collect()["vector"].to_numpy(), expected(folder)[::2])
    ran("polars", "expression", same(table.select(embedded("text", folder)).to_series().to_numpy(), folder))


def test_duckdb(folder: Path, ran: Ran) -> None:
    duckdb = pytest.importorskip("duckdb")
    from m2v_core.embed.engines.duckdb import create_function

    connection = duckdb.connect()
    connection.register("texts", TABLE)
    for number, options in enumerate(({}, {"precision": "int8"}, {"precision": "ubinary"}, {"truncate_dim": 5})):
        create_function(connection, folder, f"embed_{number}", **options)
        query = f"SELECT n, embed_{number}(text) AS v FROM texts ORDER BY n"  # noqa: S608 - a name of our own
        found = connection.sql(query).to_arrow_table()
        difference = same(as_array(found["v"]), folder, **options)
    with pytest.raises(InvalidInputError, match="precision should be one that DuckDB has a type for; found 'float16'"):
        create_function(connection, folder, precision="float16")
    with pytest.raises(InvalidInputError, match="truncate_dim"):
        create_function(connection, folder, truncate_dim=17)
    ran("duckdb", "function", difference)


def test_shards_are_read_by_engines(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:
    """The folder of `embed_files` as a whole, and the manifest in it disturbs none."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        parquet.write_table(TABLE.slice(number * N // 2, N // 2), f"{number}.parquet")
    embed_files(folder, "*.parquet", "out")
    same(as_array(dataset.dataset("out").to_table().sort_by("n")["vector"]), folder)
    pl = pytest.importorskip("polars")
    same(pl.scan_parquet("out/*.parquet").sort("n").collect()["vector"].to_numpy(), folder)
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.connect().sql("SELECT vector::FLOAT[16] AS v FROM 'out/*.parquet' ORDER BY n").to_arrow_table()
    ran("duckdb", "reads shards", same(as_array(found["v"]), folder))


@pytest.fixture(scope="module")
def ray(folder: Path) -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
            _temp_dir="/tmp/ray",  # noqa: S108 - Ray's own default; nox's TMPDIR is in an environment, which Ray refuses
        )
        import ray.data

        yield ray
        ray.shutdown()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch_format", ["numpy", "pyarrow", "killed"])
def test_ray(folder: Path, tmp_path: Path, ray: Any, ran: Ran, batch_format: str) -> None:
    """Two actors with half a CPU each; the third time one of them is killed in the middle."""
    is_killed, marker = batch_format == "killed", tmp_path / "killed"
    model = dying(folder, marker) if is_killed else str(folder)
    data = (
        ray.data.from_arrow(TABLE)
        .repartition(16)
        .map_batches(
            BatchEmbedder,
            fn_constructor_args=[model],
            fn_constructor_kwargs={"keep": ["n"]},
            batch_size=200,
            batch_format="pyarrow" if is_killed else batch_format,
            num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
    )
    found = data.to_pandas().sort_values("n")
    assert found["n"].tolist() == list(range(N))
    assert marker.exists() == is_killed
    difference = same(np.stack(found["vector"].tolist()), folder)
    ran("ray", {"killed": "an actor killed"}.get(batch_format, f"map_batches, {batch_format}"), difference)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("use_process", [None, True])
def test_daft(folder: Path, ran: Ran, use_process: bool | None) -> None:
    daft = pytest.importorskip("daft")
    from m2v_core.embed.engines.daft import embed_udf

    frame = daft.from_arrow(TABLE)
    for options in ({}, {"precision": "float16"}, {"precision": "int8"}, {"truncate_dim": 5}):
        embed = embed_udf(folder, use_process=use_process, max_concurrency=2, batch_size=500, **options)
        found = frame.select("n", embed(frame["text"]).alias("v")).sort("n").to_arrow()
        difference = same(as_array(found["v"]), folder, **options)
    ran("daft", "class UDF" + (", processes" if use_process else ""), difference)


@pytest.mark.filterwarnings("ignore")
def test_daft_with_a_process_killed(folder: Path, tmp_path: Path, ran: Ran) -> None:
    """Daft's own runner does not try again: it fails, and says so; the same query gives everything after that."""
    daft = pytest.importorskip("daft")
    from m2v_core.embed.engines.daft import embed_udf

    frame = daft.from_arrow(TABLE)
    embed = embed_udf(dying(folder, tmp_path / "killed"), use_process=True, max_concurrency=2, batch_size=200)
    query = frame.select("n", embed(frame["text"]).alias("v")).sort("n")
    with pytest.raises(Exception, match="closed the connection"):
        query.to_arrow()
    assert (tmp_path / "killed").exists()
    ran("daft", "again after a process was killed", same(as_array(query.to_arrow()["v"]), folder))


@pytest.fixture(scope="module")
def spark(folder: Path) -> Iterator[Any]:
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs a Java (Debian: apt-get install openjdk-17-jre-headless)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyspark.sql import SparkSession

        settings = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.memory": "1g",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "200",
        }
        builder = SparkSession.builder.master("local[2, 4]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()


@pytest.mark.filterwarnings("ignore")
def test_spark(folder: Path, tmp_path: Path, spark: Any, ran: Ran) -> None:
    from m2v_core.embed.engines.spark import embed_udf, with_vectors

    frame = spark.createDataFrame(TABLE.to_pandas()).repartition(4)
    found = with_vectors(frame, folder, keep=["n"]).orderBy("n").toArrow()
    assert found.column_names == ["n", "vector"]
    ran("pyspark", "mapInArrow", same(as_array(found["vector"]), folder))
    found = with_vectors(frame, folder, precision="int8", vector_column="v").orderBy("n").toArrow()
    assert found.column_names == ["n", "text", "v"]
    same(as_array(found["v"]), folder, precision="int8")
    frame.createOrReplaceTempView("texts")
    spark.udf.register("embed", embed_udf(folder, truncate_dim=5))
    found = spark.sql("SELECT n, embed(text) AS v FROM texts ORDER BY n").toArrow()
    ran("pyspark", "pandas_udf", same(as_array(found["v"]), folder, truncate_dim=5))
    model = dying(folder, tmp_path / "killed")
    found = with_vectors(frame, model).orderBy("n").toArrow()
    assert (tmp_path / "killed").exists()
    ran("pyspark", "a worker killed", same(as_array(found["vector"]), folder))
    with pytest.raises(InvalidInputError, match="The data frame: keep should be one of its columns, 'n', 'text'"):
        with_vectors(frame, folder, keep=["id"])
    with pytest.raises(InvalidInputError, match="precision should be one that Spark has numbers for; found 'float16'"):
        embed_udf(folder, precision="float16")


PAGE = (Path(__file__).parents[2] / "docs" / "embedding-a-corpus.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^<!-- not run: nox -s engines runs it -->\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: re.split(r"\W", code)[1])
def test_page(folder: Path, request: pytest.FixtureRequest, ran: Ran, code: str) -> None:
    """The code of the page on engines, where a reader has a model and a lake."""
    engine = re.split(r"\W", code)[1]
    pytest.importorskip(engine)
    fixture = {"pyspark": "spark", "ray": "ray"}.get(engine)
    if fixture:  # runs already, with settings for tests
        request.getfixturevalue(fixture)
    exec(compile(code, "embedding-a-corpus.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    (written,) = folder.parent.glob(f"{fixture or engine}-vectors*")
    found = dataset.dataset(written, format="parquet").to_table().sort_by("id")
    assert found.column_names == ["id", "vector"]
    ran(engine, "the page's code", same(as_array(found["vector"]), folder))
