"""Ages from the month of birth: cautious in the birthday's month, at every boundary."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.model import Age, ConsentError, Month, age_on

BIRTH = Month(2011, 9)
MONTHS = st.builds(Month, st.integers(1950, 2030), st.integers(1, 12))


@pytest.mark.parametrize(
    ("day", "age"),
    [
        (date(2026, 8, 31), Age.UNDER_15),
        (date(2026, 9, 1), Age.UNDER_15),
        (date(2026, 9, 30), Age.UNDER_15),
        (date(2026, 10, 1), Age.FROM_15),
        (date(2029, 9, 30), Age.FROM_15),
        (date(2029, 10, 1), Age.ADULT),
    ],
)
def test_the_month_of_the_birthday_counts_as_the_younger_age(day: date, age: Age) -> None:
    assert age_on(BIRTH, day) is age


@given(MONTHS, st.integers(1, 31), st.dates(date(1950, 1, 1), date(2060, 12, 31)))
def test_nobody_is_taken_for_older_than_they_are(birth: Month, day: int, on: date) -> None:
    day = min(day, calendar.monthrange(birth.year, birth.month)[1])
    years = on.year - birth.year - ((on.month, on.day) < (birth.month, day))
    age = age_on(birth, on)
    if years < 15:
        assert age is Age.UNDER_15
    elif years < 18:
        assert age is not Age.ADULT


@given(MONTHS)
def test_a_month_is_over_just_when_the_next_begins(month: Month) -> None:
    over = month.over()
    before = over - timedelta(microseconds=1)
    assert (over.day, over.hour, over.tzinfo) == (1, 0, UTC)
    assert Month(before.year, before.month) == month
    assert Month.parse(str(month)) == month


def test_december_is_over_in_january() -> None:
    assert Month(2026, 12).over() == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "2011", "2011-9", "2011-13", "2011-00", "2011-09-03", "09/2011", "2011-09\n", "٢٠١١-٠٩"],
)
def test_anything_but_a_month_is_refused(text: str) -> None:
    with pytest.raises(ConsentError) as refused:
        Month.parse(text)
    assert refused.value.code == "month-unreadable"
