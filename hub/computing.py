"""Where measures are computed: Ibis expressions on DuckDB, or the same ones on Apache Spark.

An engine opens the pinned list of Parquet files of each table (hive partitioning, partition columns
as text) and hands out Ibis tables; what is asked of them runs where the files were opened. Results
are the same to the last bit: what measures add up is whole numbers.

Spark is a cluster of others: what it keeps on its disks and sends between its machines is
encrypted, and it must know the hub's secret. Its workers read the files themselves, so `HUB_HOME`
(or the folder of HUB_STORAGE_URL) must be there for them under the same path.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from hub.errors import Unavailable, bad_setting

CONNECT_SECONDS: Final = 5.0
PATIENCE: Final = 45.0
"""Seconds in which Spark must have given us a worker."""
_one_at_a_time = threading.Lock()
"""A process has one Spark context."""


class Engine(Protocol):
    """What a measure's expressions run on."""

    def tables(
        self, files: Mapping[str, Sequence[str]]
    ) -> AbstractContextManager[Mapping[str, Any]]:
        """Ibis tables over these files, by name, for as long as the context lasts.

        Raises `Unavailable`, also where the engine fails inside the context.
        """
        ...

    def check(self) -> str:
        """What it is, in a few words. Raises `Unavailable`."""
        ...


class DuckDBEngine:
    """See `Engine`: in this process."""

    @contextmanager
    def tables(self, files: Mapping[str, Sequence[str]]) -> Iterator[Mapping[str, Any]]:
        """See `Engine.tables`."""
        connection = _duckdb()
        try:
            yield {
                name: connection.read_parquet(
                    list(paths),
                    table_name=_identifier(name),
                    hive_partitioning=True,
                    hive_types_autocast=False,
                )
                for name, paths in files.items()
            }
        finally:
            connection.disconnect()

    def check(self) -> str:
        """See `Engine.check`."""
        connection = _duckdb()
        try:
            return f"DuckDB {connection.version}"
        finally:
            connection.disconnect()


def _duckdb() -> Any:
    import ibis  # with what it brings a third of a second: whoever computes nothing does without

    return ibis.duckdb.connect()


class SparkEngine:
    """See `Engine`: on a standalone cluster, `spark://host:port`.

    `scratch` is a folder of ours that workers see too. Raises `Rejected` for an address or a
    secret that cannot be one.
    """

    def __init__(self, url: str, secret: str, scratch: Path, *, patience: float = PATIENCE) -> None:
        place = urlsplit(url)
        if place.scheme != "spark" or not place.hostname or not place.port:
            raise bad_setting("computing-address", "HUB_SPARK_URL", "spark://host:port")
        if not secret:
            raise bad_setting("computing-address", "HUB_SPARK_SECRET", "spark.authenticate.secret")
        self._url, self._secret, self._scratch = url, secret, scratch.absolute()
        self._master, self._patience = (place.hostname, place.port), patience

    @contextmanager
    def tables(self, files: Mapping[str, Sequence[str]]) -> Iterator[Mapping[str, Any]]:
        """See `Engine.tables`."""
        with _spark_errors(), self._session() as session:
            import ibis

            connection = ibis.pyspark.connect(session)
            for name, paths in files.items():
                reader = session.read.option("basePath", _above_partitions(paths[0]))
                reader.parquet(*paths).createOrReplaceTempView(_identifier(name))
            yield {name: connection.table(_identifier(name)) for name in files}

    def check(self) -> str:
        """See `Engine.check`: one of its workers reads a file of ours."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="doctor-", dir=self._scratch) as folder:
            file = Path(folder) / "a.parquet"
            pq.write_table(pa.table({"a": [1, 2]}), file)
            with self.tables({"doctor": [str(file)]}) as tables:
                if tables["doctor"].a.sum().to_pyarrow().as_py() != 3:
                    raise _unavailable("spark-unavailable")
        import pyspark

        return f"Spark {pyspark.__version__}"

    @contextmanager
    def _session(self) -> Iterator[Any]:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        ours = self._reached()
        with _one_at_a_time:
            context = SparkContext(conf=self._conf(ours), gateway=_gateway())
            try:
                session = SparkSession(context)
                self._await_worker(session)
                yield session
            finally:
                context.stop()

    def _reached(self) -> str:
        """The address by which the master, and then its workers, find us."""
        try:
            with socket.create_connection(self._master, CONNECT_SECONDS) as probe:
                return str(probe.getsockname()[0])
        except OSError as error:
            raise _unavailable("spark-unavailable") from error

    def _conf(self, ours: str) -> Any:
        from pyspark import SparkConf

        self._scratch.mkdir(parents=True, exist_ok=True)
        return SparkConf(_jvm=_gateway().jvm).setAll(
            {
                "spark.master": self._url,
                "spark.app.name": "hub",
                "spark.driver.host": ours,
                "spark.driver.bindAddress": ours,
                "spark.local.dir": str(self._scratch),
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
                # Nobody without the secret joins in, reads along, or finds rows on a disk.
                "spark.authenticate": "true",
                "spark.authenticate.secret": self._secret,
                "spark.network.crypto.enabled": "true",
                "spark.io.encryption.enabled": "true",
                # What DuckDB does too: periods and buckets are text, times are in UTC.
                "spark.sql.session.timeZone": "UTC",
                "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
                "spark.sql.execution.arrow.pyspark.enabled": "true",
            }.items()
        )

    def _await_worker(self, session: Any) -> None:
        """Spark itself would wait for ever."""
        with ThreadPoolExecutor(1, "spark") as pool:
            first = pool.submit(session.range(1).count)
            try:
                first.result(self._patience)
            except TimeoutError as error:
                session.sparkContext.cancelAllJobs()
                first.exception()
                raise _unavailable("spark-no-worker") from error


@contextmanager
def _spark_errors() -> Iterator[None]:
    """Translate what Spark raises, and drop what it warns of: its words may quote a cell."""
    if importlib.util.find_spec("pyspark") is None:
        raise _unavailable("spark-missing")
    # Only where it is asked for: it is large, and not among the hub's own dependencies.
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (PySparkException, Py4JError) as error:
        raise _unavailable("spark-unavailable") from error


@cache
def _gateway() -> Any:
    """The Java process that speaks for us, one for this process and gone with it.

    Started without settings, which would show in its command line. Its words may quote a cell.
    """
    from pyspark.java_gateway import launch_gateway

    try:
        return launch_gateway(popen_kwargs={"stderr": subprocess.DEVNULL})
    except (RuntimeError, OSError) as error:
        raise _unavailable("spark-missing") from error


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def _above_partitions(path: str) -> str:
    """The folder under which the `column=value` folders begin."""
    folder = Path(path).parent
    while "=" in folder.name:
        folder = folder.parent
    return str(folder)


_WORDS: Final = {
    "spark-missing": (
        "HUB_SPARK_URL demande pyspark 4.0 et Java 17 sur cette machine ; l’opérateur doit les "
        "installer (deploy/spark).",
        "HUB_SPARK_URL needs pyspark 4.0 and Java 17 on this machine; the operator must install "
        "them (deploy/spark).",
    ),
    "spark-no-worker": (
        "Spark ne donne aucun exécuteur à ce hub : l’opérateur doit vérifier qu’un « worker » est "
        "libre.",
        "Spark gives this hub no executor: the operator must check that a worker is free.",
    ),
    "spark-unavailable": (
        "Spark ne répond pas, ne reconnaît pas HUB_SPARK_SECRET ou ne voit pas les fichiers du "
        "hub ; l’opérateur doit le vérifier.",
        "Spark does not answer, does not know HUB_SPARK_SECRET, or does not see the hub's files; "
        "the operator must check it.",
    ),
}


def _unavailable(code: str) -> Unavailable:
    fr, en = _WORDS[code]
    return Unavailable(code, fr=fr, en=en, who="operator")
