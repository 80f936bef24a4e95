from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import recognise
from analytics.recognise import TAPS, TRIPS, Rules
from tests.analytics import village
from tests.analytics.village import FIRST_MONDAY, LYCEE, Diary, point, school_days

HOME = point(4_000, 2_500)
SHOP = point(1_500, -900)


def kept(diary: Diary, rules: Rules | None = None) -> set[tuple[str, str, int, str]]:
    """(subject, date, quarter hour, direction) of what is recognised."""
    table = recognise.recognise(diary.table(), village.places(), rules or village.rules())
    assert table.schema == TRIPS
    return {
        (r["subject"], str(r["date"]), r["quarter_hour"], r["direction"]) for r in table.to_pylist()
    }


def wanted(diary: Diary) -> set[tuple[str, str, int, str]]:
    """The same of what the simulator meant."""
    found = set()
    for row in diary.rows:
        if row["trip"] in diary.wanted:
            local = row["start"].astimezone(village.PARIS)  # type: ignore[attr-defined]
            outward = local.hour < 12 or local.weekday() == 6
            found.add(
                (
                    str(row["subject"]),
                    str(local.date()),
                    local.hour * 4 + local.minute // 15,
                    "outward" if outward else "return",
                )
            )
    return found


def score(diary: Diary) -> tuple[float, float]:
    got, want = kept(diary), wanted(diary)
    return len(got & want) / max(len(got), 1), len(got & want) / max(len(want), 1)


def test_ordinary_weeks_are_recognised_whole_and_nothing_else() -> None:
    diary = Diary()
    for day in school_days(3):
        diary.school_day("a", day, HOME)
        diary.move("a", day, 18.5, HOME, SHOP)
        diary.move("a", day, 19.3, SHOP, HOME)
    assert kept(diary) == wanted(diary)


def test_labels_play_no_part() -> None:
    diary = Diary()
    for day in school_days(2):
        diary.school_day("a", day, HOME)
    table = diary.table()
    relabelled = table.set_column(
        table.column_names.index("purpose"), "purpose", pa.nulls(table.num_rows, pa.string())
    )
    one = recognise.recognise(table, village.places(), village.rules())
    two = recognise.recognise(relabelled, village.places(), village.rules())
    assert one.equals(two)


def test_rows_are_coarse_and_name_the_home_not_the_point() -> None:
    diary = Diary(cold_start_m=300)
    for day in school_days(3):
        diary.school_day("a", day, HOME)
    table = recognise.recognise(diary.table(), village.places(), village.rules())
    rows = table.to_pylist()
    assert {row["origin_cell"] for row in rows} == {rows[0]["origin_cell"]}
    assert rows[0]["origin_cell"].startswith("CRS3035RES1000mN")
    assert {row["origin_commune"] for row in rows} == {"45147"}
    assert {row["period"] for row in rows} == {"2025-2026"}
    assert {row["uai"] for row in rows} == {"0450000A"}
    for row in rows:
        assert row["distance_m"] % 100 == 0
        assert row["duration_s"] % 60 == 0
        assert row["app_co2_kg"] == 0.12
        assert [s["mode"] for s in row["sections"]] == ["WALKING", "BUS"]
        assert row["sections"][0] == {"mode": "WALKING", "distance_m": 100.0, "duration_s": 120.0}


def test_two_homes_both_count() -> None:
    diary, other = Diary(), point(-6_000, 1_000)
    for week in range(6):
        home = (HOME, other)[week % 2]
        for day in school_days(1, FIRST_MONDAY + timedelta(days=7 * week)):
            diary.school_day("a", day, home)
        diary.move("a", day + timedelta(days=1), 10, home, (HOME, other)[(week + 1) % 2])
    assert kept(diary) == wanted(diary)


def test_a_friends_home_is_no_home() -> None:
    diary, friend = Diary(), point(-1_800, 400)
    for index, day in enumerate(school_days(5)):
        if day.weekday() == 2:  # an afternoon at a friend's, most Wednesdays
            diary.move("a", day, 7.4, HOME, LYCEE, wanted=True)
            diary.move("a", day, 12.2, LYCEE, friend)
            diary.move("a", day, 18.0, friend, HOME)
        elif index == 9:  # one sleep-over, to school from there
            diary.move("a", day, 7.4, HOME, LYCEE, wanted=True)
            diary.move("a", day, 17.1, LYCEE, friend)
        elif index == 10:
            diary.move("a", day, 7.6, friend, LYCEE)
            diary.move("a", day, 17.1, LYCEE, HOME, wanted=True)
        else:
            diary.school_day("a", day, HOME)
    assert kept(diary) == wanted(diary)


@pytest.mark.parametrize("sunday", [False, True])
def test_a_boarder_goes_home_weekly_and_the_boarding_house_is_no_home(sunday: bool) -> None:
    diary, house, home = Diary(), point(350, 200), point(38_000, 5_000)
    for week in range(6):
        monday = FIRST_MONDAY + timedelta(days=7 * week)
        if sunday:
            diary.move("b", monday - timedelta(days=1), 18.0, home, LYCEE, wanted=True)
        else:
            diary.move("b", monday, 7.0, home, LYCEE, wanted=True)
        for extra in range(4):
            day = monday + timedelta(days=extra)
            diary.move("b", day, 18.0, LYCEE, house)
            diary.move("b", day + timedelta(days=1), 7.6, house, LYCEE)
        friday = monday + timedelta(days=4)
        diary.move("b", friday, 16.5, LYCEE, home, wanted=True)
        diary.move("b", friday + timedelta(days=1), 14.0, home, point(38_900, 5_000))
        diary.move("b", friday + timedelta(days=1), 17.0, point(38_900, 5_000), home)
    assert kept(diary) == wanted(diary)


def test_a_home_in_the_lycees_own_cell() -> None:
    diary, home = Diary(), point(320, 180)
    for day in school_days(4):
        diary.school_day("a", day, home)
        if day.weekday() in (1, 3):
            diary.move("a", day, 18.5, home, SHOP)
            diary.move("a", day, 19.3, SHOP, home)
    precision, recall = score(diary)
    assert precision >= 0.95
    assert recall >= 0.9


def test_cold_starts_and_missed_trips() -> None:
    diary = Diary(cold_start_m=300, missed=0.15)
    for index in range(30):
        home = point(1_500 + 300 * index, 900 - 80 * index)
        for day in school_days(4):
            diary.school_day(f"p{index}", day, home)
            if day.weekday() == 2:
                diary.move(f"p{index}", day, 18.5, home, SHOP)
                diary.move(f"p{index}", day, 19.3, SHOP, home)
    precision, recall = score(diary)
    assert precision >= 0.95
    assert recall >= 0.9


def test_a_chained_journey_is_not_kept() -> None:
    diary, bakery = Diary(), point(2_400, 1_300)
    for day in school_days(4):
        if day.weekday() == 0:
            diary.move("a", day, 7.2, HOME, bakery)
            diary.move("a", day, 7.6, bakery, LYCEE)
            diary.move("a", day, 17.1, LYCEE, HOME, wanted=True)
        else:
            diary.school_day("a", day, HOME)
    assert kept(diary) == wanted(diary)


def test_a_stop_on_the_way_is_not_taken_for_a_late_start() -> None:
    diary, bakery = Diary(), point(3_740, 2_340)  # 300 m from home, towards the lycée
    for day in school_days(4):
        if day.weekday() == 0:
            diary.move("a", day, 7.2, HOME, bakery)
            diary.move("a", day, 7.5, bakery, LYCEE)
            diary.move("a", day, 17.1, LYCEE, HOME, wanted=True)
        else:
            diary.school_day("a", day, HOME)
    assert kept(diary) == wanted(diary)


def test_who_sleeps_by_the_lycee_before_days_off_does_not_attend_it() -> None:
    diary, flat, friend = Diary(), point(60, 40), point(4_000, 900)
    for week in range(5):
        for day in school_days(1, FIRST_MONDAY + timedelta(days=7 * week)):
            diary.move("a", day, 8.2, friend, flat)
            if day.weekday() < 4:
                diary.move("a", day, 18.0, flat, friend)
        saturday = day + timedelta(days=1)
        diary.move("a", saturday, 9.5, flat, SHOP)
        diary.move("a", saturday, 18.0, SHOP, flat)
        diary.move("a", saturday + timedelta(days=1), 19.0, flat, friend)
    assert kept(diary) == set()


def test_week_ends_and_holidays_are_no_school_days() -> None:
    diary = Diary()
    for day in school_days(2):
        diary.school_day("a", day, HOME)
    saturday, holiday, armistice = date(2025, 9, 13), date(2025, 10, 22), date(2025, 11, 11)
    for day in (saturday, holiday, armistice):
        diary.move("a", day, 7.4, HOME, LYCEE)
        diary.move("a", day, 17.1, LYCEE, HOME)
    assert kept(diary) == wanted(diary)


def test_someone_without_a_lycee_keeps_nothing() -> None:
    diary, office, home_by_lycee = Diary(), point(9_000, 300), point(150, 120)
    for day in school_days(5):
        diary.move("worker", day, 8.2, HOME, office)
        diary.move("worker", day, 17.5, office, HOME)
        diary.move("parent", day, 7.7, HOME, LYCEE)  # drops a child, goes on
        diary.move("parent", day, 8.1, LYCEE, office)
        diary.move("parent", day, 17.4, office, HOME)
        diary.move("neighbour", day, 8.1, home_by_lycee, office)
        diary.move("neighbour", day, 12.3, office, home_by_lycee)
        diary.move("neighbour", day, 13.5, home_by_lycee, office)
        diary.move("neighbour", day, 17.9, office, home_by_lycee)
    for week in range(5):
        saturday = FIRST_MONDAY + timedelta(days=7 * week + 5)
        diary.move("neighbour", saturday, 10, home_by_lycee, SHOP)
        diary.move("neighbour", saturday, 12, SHOP, home_by_lycee)
    assert kept(diary) == set()


def test_lunch_at_home_makes_four_trips() -> None:
    diary = Diary()
    for day in school_days(2):
        diary.move("a", day, 7.4, HOME, LYCEE, wanted=True)
        diary.move("a", day, 12.1, LYCEE, HOME)
        diary.move("a", day, 13.2, HOME, LYCEE)
        diary.move("a", day, 17.1, LYCEE, HOME, wanted=True)
    found = kept(diary)
    assert len(found) == 40
    assert {d for _, _, q, d in found if q == 48} == {"return"}


def test_a_trip_sent_twice_counts_once() -> None:
    diary = Diary()
    for day in school_days(2):
        diary.school_day("a", day, HOME)
    table = diary.table()
    twice = recognise.recognise(pa.concat_tables([table, table]), village.places(), village.rules())
    assert twice.num_rows == len(wanted(diary))


def test_nothing_in_nothing_out() -> None:
    empty = village.SCHEMA.empty_table()
    assert recognise.recognise(empty, village.places(), village.rules()).schema == TRIPS
    diary = Diary()
    for day in school_days(2):
        diary.school_day("a", day, HOME)
    nowhere = recognise.Places(village.places().lycees.slice(0, 0), village.places().communes)
    assert recognise.recognise(diary.table(), nowhere, village.rules()).num_rows == 0


@pytest.mark.parametrize(
    "entry", [{"colour": 1}, {"home_radius_m": 0}, {"home_radius_m": "far"}, {"stay_min": True}]
)
def test_a_wrong_rule_is_named(entry: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(entry))):
        Rules.from_mapping(entry, school_year="2025-2026", holidays=[], public_holidays=[])


def test_a_holiday_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="2025-11-02"):
        Rules.from_mapping(
            {},
            school_year="2025-2026",
            holidays=[("2025-11-02", "2025-10-18")],
            public_holidays=[],
        )


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.integers(0, 60 * 24 * 400),
            st.integers(-10, 600),
            st.floats(-180, 180),
            st.floats(-90, 90),
            st.sampled_from([(0.0, 0.0), LYCEE, (float("nan"), 3.0)]),
        ),
        max_size=25,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_trips_give_rows_of_the_schema(
    rows: list[tuple[str, int, int, float, float, village.Point]],
) -> None:
    base = 1_750_000_000_000_000
    table = pa.table(
        {
            "subject": [r[0] for r in rows],
            "trip": [str(i) for i in range(len(rows))],
            "start": pa.array([base + r[1] * 60_000_000 for r in rows], pa.int64()),
            "end": pa.array([base + (r[1] + r[2]) * 60_000_000 for r in rows], pa.int64()),
            "start_lon": [r[3] for r in rows],
            "start_lat": [r[4] for r in rows],
            "end_lon": [r[5][0] for r in rows],
            "end_lat": [r[5][1] for r in rows],
            "distance_m": [1.0] * len(rows),
            "duration_s": [1.0] * len(rows),
            "main_mode": ["CAR"] * len(rows),
            "sections": [None] * len(rows),
            "app_co2_kg": [None] * len(rows),
            "purpose": [None] * len(rows),
        }
    )
    columns = [
        pc.cast(table.column(one.name), one.type)
        if one.name not in ("start", "end")
        else table.column(one.name).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
        for one in village.SCHEMA
    ]
    found = recognise.recognise(
        pa.table(columns, schema=village.SCHEMA), village.places(), village.rules()
    )
    assert found.schema == TRIPS
    assert found.num_rows <= len(rows)


def test_taps_are_coarse_to_the_quarter_hour_and_month() -> None:
    taps = pa.table(
        {
            "subject": ["card"],
            "transaction": ["T1"],
            "service_date": pa.array([date(2026, 3, 31)], pa.date32()),
            "event_timestamp": pa.array([1_774_943_999_000_000]).cast(pa.timestamp("us")),
            "fare_action": ["Enter"],
            "trip_id": ["t"],
            "stop_id": ["s"],
            "rider_category": ["Student"],
            "fare_product": ["pass"],
        }
    )
    table = recognise.coarsen_taps(taps, village.places(), village.rules())
    assert table.schema == TAPS
    row = table.to_pylist()[0]
    assert row["period"] == "2026-03"
    assert row["quarter_hour"] == (1_774_943_999 % 86_400) // 900
    assert "transaction" not in table.column_names


def test_stored_schemas_name_no_subject() -> None:
    for schema in (TRIPS, TAPS):
        names = recognise.stored(schema).names
        assert "subject" not in names
        assert names[-3:] == ["population", "pseudonym", "bucket"]
