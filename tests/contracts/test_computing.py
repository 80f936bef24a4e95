"""The contract of `Engine`: measures over files are those over the same rows in memory."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from analytics.measures import MEASURES
from analytics.model import Cells
from analytics.plan import Plan
from hub import formats, release
from hub.computing import DuckDBEngine, Engine, SparkEngine
from hub.errors import Rejected, Unavailable
from tests.analytics import stored
from tests.faulty import Faulty
from tests.flows import world
from tests.services import needed
from tests.thorough import EVERYTHING

PLAN: Final = Plan(replicates=60)
PARTITIONED: Final = ("period", "bucket")
MODES: Final = ("CAR", "BUS", "WALKING", "BICYCLING", "CARPOOL", "SPACESHIP")


# pyspark and py4j leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    """On the cluster `deploy/services` has started, with the packages it has installed."""
    told = needed("spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(told["HUB_TEST_SPARK_PACKAGES"])
        patch.setenv("SPARK_CONF_DIR", told["HUB_TEST_SPARK_CONF"])
        made = on_spark(tmp_path_factory.mktemp("spark"))
        # One session for all: each takes seconds to come up.
        with made._session() as session:
            patch.setattr(made, "_session", lambda: nullcontext(session))
            yield made
    gc.collect()  # what pyspark leaves open, before another test is blamed for it


def on_spark(scratch: Path, **changed: Any) -> SparkEngine:
    told = needed("spark")
    asked = {"url": told["HUB_TEST_SPARK_URL"], "secret": told["HUB_TEST_SPARK_SECRET"]} | changed
    return SparkEngine(scratch=scratch, **asked)


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "spark":
        made: Engine = request.getfixturevalue("spark")
        return made
    return DuckDBEngine()


def some_trips() -> pa.Table:
    """Trips of people of each kind: two lycées, boarders, modes nobody knows, no distance."""
    dice = random.Random(5)
    rows = []
    for person in range(90):
        population = ("pupil", "staff")[person % 2]
        for day in range(4):
            for quarter in (30, 30, 68):
                mode = dice.choice(MODES)
                legs = [(mode, dice.uniform(1, 300_000)), ("WALKING", 333.3)]
                rows.append(
                    stored.trip(
                        f"p{person}", dice.choice(stored.UAIS[person % 3 : person % 3 + 2]), mode,
                        day=day, quarter=quarter, metres=dice.uniform(1, 200_000),
                        population=population, sections=dice.choice([legs, []]),
                        period=dice.choice(["2024-2025", "2025-2026"]),
                    )
                    | {"bucket": person % 4}
                )  # fmt: skip
    rows[0]["distance_m"] = None
    rows[1]["sections"] = None
    return pa.Table.from_pylist(rows, schema=stored.SCHEMA)


def some_presence() -> pa.Table:
    """Volumes of two zones over a week, one half hour with a day under the floor."""
    rows = [
        {"zone": zone, "date": date(2026, 3, 2 + day), "time": time, "kind": "Français",
         "volume": 100 + 7 * day + len(zone)}
        for zone in ("Zone 0450062J", "IRIS 370330101")
        for day in range(7)
        for time in ("04:00", "07:30")
        if day or time == "07:30"
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


IN_MEMORY: Final[Mapping[str, pa.Table]] = {
    "coachco2/trips/trips": some_trips(),
    "orange/presence/presence": some_presence(),
} | stored.places()


def files_in(folder: Path) -> dict[str, list[str]]:
    """The same rows as files, those about people in their folders of period and bucket."""
    for name, table in IN_MEMORY.items():
        by = [column for column in PARTITIONED if column in table.column_names]
        kinds = pa.schema([table.schema.field(column) for column in by])
        ds.write_dataset(
            table,
            folder / name,
            format="parquet",
            partitioning=ds.partitioning(kinds, flavor="hive"),
        )
    return {
        name: sorted(str(path) for path in (folder / name).rglob("*.parquet")) for name in IN_MEMORY
    }


def computed(tables: Mapping[str, Any], name: str) -> Cells:
    inputs = {each: tables[each] for each in MEASURES[name].inputs}
    return MEASURES[name].compute(inputs, PLAN, np.random.default_rng(7))


def same(found: Cells, expected: Cells) -> None:
    """The same cells, to the last bit."""
    for what in ("labels", "uais", "names", "departments", "open_table", "volumes"):
        assert getattr(found, what) == getattr(expected, what), what
    assert found.truncated == expected.truncated
    assert len(found.strata) == len(expected.strata)
    for one, other in zip(found.strata, expected.strata, strict=True):
        assert (one.school_year, one.population) == (other.school_year, other.population)
        np.testing.assert_array_equal(one.people, other.people)
        for what in ("totals", "largest", "weights", "replicates"):
            np.testing.assert_array_equal(getattr(one, what), getattr(other, what))


def test_measures_over_files_are_those_over_rows_in_memory(engine: Engine, tmp_path: Path) -> None:
    memory = {name: ibis.memtable(table) for name, table in IN_MEMORY.items()}
    with engine.tables(files_in(tmp_path)) as tables:
        trips = tables["coachco2/trips/trips"]
        assert trips.count().to_pyarrow().as_py() == 90 * 12
        # Partition columns are text, as the names of people are asked for by period.
        assert trips.schema()["period"].is_string()
        for name, measure in MEASURES.items():
            found, expected = computed(tables, name), computed(memory, name)
            same(found, expected)
            published = measure.protect(found, PLAN).table
            assert published.num_rows
            assert formats.digest(published) == formats.digest(
                measure.protect(expected, PLAN).table
            )


def test_it_says_what_it_is(engine: Engine) -> None:
    assert engine.check().split()[0] in {"DuckDB", "Spark"}


def test_a_release_is_the_same_digit_for_digit(spark: SparkEngine, tmp_path: Path) -> None:
    """A table equal to the last one is not published twice: that it is not new says it is equal."""
    people = [f"account-{n}" for n in range(60)]
    parts = world.hub_with_places(tmp_path)
    world.agree(parts, *people)
    modes = ("CAR", "BUS", "WALKING", "BICYCLING")
    world.pushed(parts, "coachco2/trips", world.trips(people, days=2, modes=modes))
    made, _ = release.build(parts, "modal-split")
    assert release.build(replace(parts, engine=spark), "modal-split") == (made, False)
    parts.books.close()


def test_a_cluster_that_is_away_is_named(spark: SparkEngine, tmp_path: Path) -> None:
    del spark  # its packages are found
    with Faulty("127.0.0.1:9") as way:
        nobody = on_spark(tmp_path, url=f"spark://{way.address}")
    with pytest.raises(Unavailable) as refusal, nobody.tables({}):
        pytest.fail("nothing is computed")
    assert (refusal.value.code, refusal.value.who) == ("spark-unavailable", "operator")


def test_files_that_its_workers_do_not_see_are_named(spark: SparkEngine, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), file)

    def summed() -> None:
        with spark.tables({"a": [str(file)]}) as tables:
            file.unlink()
            tables["a"].a.sum().to_pyarrow()

    with pytest.raises(Unavailable) as refusal:
        summed()
    assert refusal.value.code == "spark-unavailable"


@pytest.mark.skipif(not EVERYTHING, reason="Spark itself takes a minute to give up")
@pytest.mark.parametrize(
    ("changed", "code"),
    [({"secret": "wrong"}, "spark-unavailable"), ({"patience": 0.0}, "spark-no-worker")],
)
def test_a_cluster_that_is_closed_or_full_is_named(
    changed: dict[str, Any], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = needed("spark")
    monkeypatch.syspath_prepend(told["HUB_TEST_SPARK_PACKAGES"])
    monkeypatch.setenv("SPARK_CONF_DIR", told["HUB_TEST_SPARK_CONF"])
    with pytest.raises(Unavailable) as refusal, on_spark(tmp_path, **changed).tables({}):
        pytest.fail("nothing is computed")
    assert (refusal.value.code, refusal.value.who) == (code, "operator")


def test_without_its_packages_the_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with (
        pytest.raises(Unavailable) as refusal,
        SparkEngine("spark://127.0.0.1:9", "secret", tmp_path).tables({}),
    ):
        pytest.fail("nothing is computed")
    assert refusal.value.code == "spark-missing"


@pytest.mark.parametrize(
    ("url", "secret"),
    [("http://a:1", "s"), ("spark://a", "s"), ("spark://:7077", "s"), ("spark://a:7077", "")],
)
def test_a_setting_that_cannot_be_used_is_named(url: str, secret: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as refusal:
        SparkEngine(url, secret, tmp_path)
    assert refusal.value.code == "computing-address"
