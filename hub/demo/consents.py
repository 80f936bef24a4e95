"""What the demo's people said: consents to import, and cards that object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from hub.demo.csvs import write_rows
from hub.demo.dice import Dice
from hub.demo.people import ATTENDS, Kind, Person
from hub.demo.traces import PARIS

PURPOSE: Final = "school-mobility"
ANSWERS: Final = {"given": 0.915, "silent": 0.05, "refused": 0.025, "withdrawn": 0.01}
OBJECTING_SHARE: Final = 0.015


def grants(people: Sequence[Person], seed: int, path: Path) -> dict[str, int]:
    """Write one line per person who answered; returns how many gave which answer.

    Neighbours of a lycée are not among those it asks, so they are silent. Ages are such that
    nobody needs a parent's consent on the day: joint consent is not this file's business.
    """
    dice = Dice(seed, 9)
    counts = dict.fromkeys(ANSWERS, 0)
    rows = []
    for person in people:
        answer = dice.weighted(ANSWERS) if person.kind in ATTENDS else "silent"
        counts[answer] += 1
        if answer == "silent":
            continue
        asked = date(2025, 9, 1) + timedelta(days=dice.whole(0, 3))
        given = datetime.combine(asked, time(dice.whole(8, 19), dice.whole(0, 59)), PARIS)
        population = "pupil" if person.kind is Kind.BOARDER else str(person.kind)
        rows.append(
            (person.reference, PURPOSE, population, _birth_month(person.kind, dice),
             given.isoformat(), answer)
        )  # fmt: skip
    header = ("reference", "purpose", "population", "birth_month", "given_at", "state")
    write_rows(path, header, rows, ";")
    return counts


def objections(cards: Sequence[str], seed: int, path: Path) -> int:
    """Write the cards whose holders object; returns how many."""
    dice = Dice(seed, 11)
    objecting = [card for card in cards if dice.chance(OBJECTING_SHARE)] or [cards[0]]
    write_rows(path, ("reference",), [(card,) for card in objecting], ";")
    return len(objecting)


def _birth_month(kind: Kind, dice: Dice) -> str:
    """Month of birth of a pupil over 15 in September 2025; adults' months are not kept."""
    if kind is Kind.POST_BAC or kind is Kind.STAFF:
        return ""
    months = dice.whole(15 * 12 + 1, 18 * 12 - 1)
    number = 2025 * 12 + 8 - months
    return f"{number // 12}-{number % 12 + 1:02d}"
