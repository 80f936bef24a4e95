"""Each row of a push bears the pseudonym of its own person and period, however rows are mixed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Reading
from connectors.registry import DATASETS
from consent import gate
from consent.pseudonyms import digest, pseudonym
from hub import push, stages
from hub.parts import Parts
from tests.flows import world

KEY = bytes(32)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = st.dates(date(2025, 12, 1), date(2026, 3, 31))
TAPS = st.lists(st.tuples(st.integers(0, 9), DAYS), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    made = world.hub_in(tmp_path_factory.mktemp("home") / "var")
    yield made
    made.books.close()


def key_of(period: str) -> bytes:
    return hashlib.sha256(period.encode()).digest()


def card(number: int) -> bytes:
    return digest(KEY, "transdev", f"card-{number}")


def file_of(taps: list[tuple[int, date]]) -> bytes:
    rows = [
        f"{at},{on},{on}T07:20:00,0,EUR,Enter,T1,{at},"
        f"Smart card or ticket,Student,pass,false,card-{number}"
        for at, (number, on) in enumerate(taps)
    ]
    return "\n".join([world.TIDES, *rows, ""]).encode()


def named(parts: Parts, file: bytes, objected: frozenset[int]) -> pa.Table:
    """What a table gets of this file where these cards have objected."""
    standing = gate.Standing(
        pa.array([], pa.binary()),
        pa.array([], pa.string()),
        pa.array([card(number) for number in sorted(objected)], pa.binary()),
    )
    agreement = parts.agreement_for("transdev", "school-mobility")
    assert agreement is not None
    people = stages.People(agreement, standing, KEY, key_of)
    tally = stages.Tally()
    nowhere = push.places(parts, needed=False)
    dataset = DATASETS["transdev/validations"]
    parsed = stages.parse(dataset, io.BytesIO(file), Reading(now=NOW), tally)
    coarse = stages.recognise_rows(parsed, nowhere, parts.rules, tally)
    made = [stages.pseudonymise(stages.admit(chunk, people), people) for chunk in coarse]
    assert not tally.rejected
    return pa.concat_tables([chunk.rows for chunk in made])


def test_a_row_bears_the_name_of_its_person_and_month(parts: Parts) -> None:
    @given(TAPS, st.frozensets(st.integers(0, 9), max_size=3))
    def check(taps: list[tuple[int, date]], objected: frozenset[int]) -> None:
        rows = named(parts, file_of(taps), objected).to_pylist()
        admitted = [at for at, (number, _) in enumerate(taps) if number not in objected]
        assert sorted(int(row["stop_id"]) for row in rows) == admitted
        for row in rows:
            number, on = taps[int(row["stop_id"])]
            assert (row["date"], row["period"]) == (on, f"{on:%Y-%m}")
            assert row["pseudonym"] == pseudonym(key_of(row["period"]), card(number))
            assert row["bucket"] == row["pseudonym"][0] >> 4
        order = [(row["period"], row["bucket"], int(row["stop_id"])) for row in rows]
        assert order == sorted(order), "in the order rows are stored in, and else as they came"

    check()
