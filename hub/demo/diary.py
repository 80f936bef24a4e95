"""A person's days, trip by trip. The truth is read off the places: nothing else decides it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

from hub.demo import geo, modes
from hub.demo.dice import Dice
from hub.demo.facts import Facts
from hub.demo.people import ATTENDS, DETOUR, Kind, Person, Spot

HOUR: Final = 3600.0
START: Final = {0.0: 0.70, 1.0: 0.22, 2.0: 0.08}
"""Hours after the first bell at which lessons begin."""
END: Final = {-2.4: 0.10, -1.4: 0.25, -0.4: 0.47, 0.6: 0.18}
"""Hours after the last bell at which lessons end."""
END_WEDNESDAY: Final = {-0.4: 0.75, 0.6: 0.10, 3.6: 0.10, 4.6: 0.05}


class Trip(NamedTuple):
    """One trip as it happened: local seconds past midnight, seconds, road metres, true mode."""

    person: int
    day: date
    start: float
    duration: float
    origin: Spot
    end: Spot
    metres: float
    mode: str

    @property
    def direction(self) -> str:
        """`outward` home → lycée, `return` lycée → home, or empty: not a home–lycée trip."""
        if self.end.role == "lycee" and self.origin.role.startswith("h"):
            return "outward"
        if self.origin.role == "lycee" and self.end.role.startswith("h"):
            return "return"
        return ""


class Diary:
    """Fills in trips of one person, day after day, from where they woke up."""

    def __init__(
        self, number: int, person: Person, facts: Facts, dice: Dice, outings: float
    ) -> None:
        """`outings` is how often somebody goes out on a day without lessons, on average."""
        self.number, self.person, self.facts, self.dice = number, person, facts, dice
        self.outings = outings
        self.trips: list[Trip] = []
        self.at: Spot = person.homes[0]
        self.clock = 0.0
        self.day = date.min

    def live(self, days: Sequence[date]) -> list[Trip]:
        """Every trip of the given days, which follow each other."""
        self.day = days[0]
        self.at = self._home()
        for day in days:
            self.day, self.clock = day, 0.0
            lessons = self.facts.is_school_day(day)
            person = self.person
            if person.kind is Kind.BOARDER:
                self._boarder(lessons=lessons)
            elif not lessons or self.dice.chance(0.06):
                self._free()
            elif person.kind in {Kind.STAFF, Kind.RESIDENT, Kind.WORKER}:
                self._work()
            else:
                self._lessons()
        return self.trips

    # --- kinds of days ------------------------------------------------------------------------

    def _lessons(self) -> None:
        dice, person = self.dice, self.person
        if self.at.role == "" and not dice.chance(0.5):
            self._go(self._home(), leave=6.2 * HOUR)  # woke up at a friend's, drops by home first
        self._to_school()
        if geo.metres_between(*self.at[:2], *self._home()[:2]) < 1_300 and dice.chance(0.4):
            self._go(self._home(), leave=12.1 * HOUR)
            self._go(person.place, leave=self._later(13.3))
        elif dice.chance(0.10):
            self._there_and_back(person.bakery, 12.1, 0.3)
        if dice.chance(0.06):
            self._there_and_back(person.ground, 10.1, 1.5)
        self._after_lessons()
        if self.at.role.startswith("h") and dice.chance(0.14):
            self._outing(self._later(18.6))

    def _work(self) -> None:
        dice, person = self.dice, self.person
        begin = dice.between(8.6, 9.2) if person.kind is Kind.WORKER else dice.between(7.6, 9.4)
        self._go(person.place, arrive=begin * HOUR)
        if dice.chance(0.18):
            self._there_and_back(person.bakery, 12.2, 0.6)
        end = dice.between(17.3, 18.2) if person.kind is Kind.WORKER else dice.between(15.2, 18.4)
        if dice.chance(0.15):
            self._go(person.haunts[0], leave=self._later(end))
            self._go(person.homes[0], leave=self._later(end + 0.7))
        else:
            self._go(person.homes[0], leave=self._later(end))
        if dice.chance(0.15):
            self._outing(self._later(19.2))

    def _boarder(self, *, lessons: bool) -> None:
        dice, person, day = self.dice, self.person, self.day
        tomorrow = self.facts.is_school_day(day + timedelta(days=1))
        if not lessons:
            self._free()
            if person.sunday and tomorrow and self.at.role.startswith("h"):
                self._go(person.place, leave=self._later(dice.between(17.5, 19.5)))
            return
        if self.at.role != "lycee":
            self._to_school()
        if dice.chance(0.35):
            self._there_and_back(dice.one_of((person.bakery, *person.haunts[2:4])), 17.6, 0.8)
        if not tomorrow:
            self._go(person.homes[0], leave=self._later(dice.between(15.2, 18.2)))

    def _free(self) -> None:
        dice, person = self.dice, self.person
        if self.at.role in {"", "lycee"} and person.kind is not Kind.BOARDER:
            self._go(self._home(), leave=dice.between(9, 12) * HOUR)
        elif self.at.role == "lycee":  # the boarding house is closed: the first free day, go home
            self._go(person.homes[0], leave=dice.between(8.5, 11) * HOUR)
        elif self.at != self._home():  # from one parent's to the other's
            self._go(self._home(), leave=dice.between(10, 18) * HOUR)
        hour = dice.between(9.0, 12.0)
        while dice.chance(self.outings / (1 + self.outings)) and hour < 21:
            self._outing(self._later(hour))
            hour = self.clock / HOUR + dice.between(0.5, 4.0)
        if person.kind is Kind.POST_BAC and self.at.role.startswith("h"):
            self._change_home()

    def _change_home(self) -> None:
        """A student goes back to the room in town on Sunday evening, now and then."""
        tomorrow = self.facts.is_school_day(self.day + timedelta(days=1))
        if tomorrow and self.at == self.person.homes[1] and self.dice.chance(0.6):
            self._go(self.person.homes[0], leave=self._later(18.0))

    # --- parts of days ------------------------------------------------------------------------

    def _to_school(self) -> None:
        dice, person = self.dice, self.person
        bell = self.facts.bell(person.lycee.uai, "first") + HOUR * dice.weighted(START)
        arrive = bell - dice.between(2, 18) * 60
        if dice.chance(0.05):
            arrive += 12 * 60  # late
        if dice.chance(0.05):
            self._go(person.bakery, arrive=arrive - 8 * 60)
            self._go(person.place, leave=self.clock + dice.between(180, 420))
        else:
            self._go(person.place, arrive=arrive)

    def _after_lessons(self) -> None:
        dice, person = self.dice, self.person
        if self.day.weekday() == 2:
            end = self.facts.bell(person.lycee.uai, "wednesday_last")
            end += int(HOUR * dice.weighted(END_WEDNESDAY))
        else:
            end = self.facts.bell(person.lycee.uai, "last") + int(HOUR * dice.weighted(END))
        leave = self._later((end + dice.between(2, 16) * 60) / HOUR)
        what = dice.weighted(
            {"home": 0.75, "club": 0.07, "friend": 0.06, "bakery": 0.06, "ground": 0.06}
        )
        if what == "home":
            self._go(self._next_home(), leave=leave)
            return
        stop = {
            "club": person.haunts[3],
            "friend": dice.one_of((person.haunts[1], person.haunts[2])),
            "bakery": person.bakery,
            "ground": person.ground,
        }[what]
        self._go(stop, leave=leave)
        if what == "friend" and dice.chance(0.3):
            return  # sleeps there
        pause = 0.15 if what == "bakery" else dice.between(0.8, 2.2)
        self._go(self._next_home(), leave=self.clock + pause * HOUR)

    def _outing(self, leave: float) -> None:
        dice, person = self.dice, self.person
        home = self.at
        stop = person.ground if person.member and dice.chance(0.4) else dice.one_of(person.haunts)
        self._go(stop, leave=leave)
        if dice.chance(0.18):
            self._go(dice.one_of(person.haunts), leave=self.clock + dice.between(0.3, 2) * HOUR)
        self._go(home, leave=self.clock + dice.between(0.3, 2.6) * HOUR)

    def _there_and_back(self, stop: Spot, hour: float, hours: float) -> None:
        back = self.at
        self._go(stop, leave=self._later(hour + self.dice.between(0, 0.3)))
        self._go(back, leave=self.clock + hours * HOUR * self.dice.between(0.7, 1.3))

    # --- where and how ------------------------------------------------------------------------

    def _home(self) -> Spot:
        """The home to sleep in tonight: separated parents take turns, from Friday to Thursday."""
        person = self.person
        if person.kind is Kind.POST_BAC:
            return self.at if self.at.role.startswith("h") else person.homes[0]
        week = (self.day + timedelta(days=3)).isocalendar().week
        return person.homes[week % len(person.homes)]

    def _next_home(self) -> Spot:
        """Where one goes after lessons: students leave for the family's home at the week-end."""
        leaving = not self.facts.is_school_day(self.day + timedelta(days=1))
        if self.person.kind is Kind.POST_BAC and leaving and self.dice.chance(0.5):
            return self.person.homes[1]
        return self._home()

    def _later(self, hour: float) -> float:
        """The given hour, or shortly after now if that has passed."""
        return max(hour * HOUR, self.clock + 240)

    def _go(self, end: Spot, *, leave: float | None = None, arrive: float | None = None) -> None:
        """Travel to `end`, leaving at or arriving by a local time in seconds past midnight."""
        dice, origin = self.dice, self.at
        crow = geo.metres_between(*origin[:2], *end[:2])
        if crow < 25 or self.clock > 23.2 * HOUR:
            self.at = end
            return
        metres = crow * DETOUR * dice.between(0.96, 1.06)
        mode = self._mode(origin, end, metres)
        duration = modes.seconds(dice, mode, metres)
        start = leave if leave is not None else (arrive or 0.0) - duration
        start = max(start, self.clock + 60, 300)
        self.trips.append(Trip(self.number, self.day, start, duration, origin, end, metres, mode))
        self.at, self.clock = end, start + duration

    def _mode(self, origin: Spot, end: Spot, metres: float) -> str:
        dice, person = self.dice, self.person
        ends = {origin, end}
        if person.place in ends and self.dice.chance(0.9):
            for home, usual in zip(person.homes, person.usual, strict=True):
                if home in ends:
                    return usual
        if person.place in ends and person.kind in ATTENDS and metres > 1_500:
            return dice.weighted({"CAR": 0.75, "BUS": 0.15, "CARPOOL": 0.10})
        return modes.leisure(dice, metres, moped=person.moped)
