"""Ages, from the month of birth only.

The month of the birthday itself still counts as the younger age: joint consent asked a few days
too long harms nobody, a parent left out does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Self

from consent.errors import ConsentError


class Age(StrEnum):
    """The only three ages the hub knows."""

    UNDER_15 = "under_15"
    FROM_15 = "15_17"
    ADULT = "18_plus"


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month, the finest a birth is known."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `YYYY-MM`. Raises `ConsentError` month-unreadable."""
        found = re.fullmatch(r"([12][0-9]{3})-(0[1-9]|1[0-2])", text)
        if found is None:
            raise ConsentError("month-unreadable")
        return cls(int(found[1]), int(found[2]))

    def birthday(self, years: int) -> Month:
        """The month in which someone born this month reaches that age."""
        return Month(self.year + years, self.month)

    def over(self) -> datetime:
        """The first instant (UTC) after this month."""
        return datetime(self.year + self.month // 12, self.month % 12 + 1, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def age_on(birth: Month, day: date) -> Age:
    """Age on a day, by month of birth; the birthday's own month counts as the younger age."""
    this = Month(day.year, day.month)
    if this <= birth.birthday(15):
        return Age.UNDER_15
    return Age.FROM_15 if this <= birth.birthday(18) else Age.ADULT
