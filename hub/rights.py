"""The rights of a person (GDPR art. 12 to 21): what their code shows at once, and the register.

At once, for whoever showed code and secret: their own rows with every column said in words
(access, art. 15), as JSON or CSV (portability, art. 20), and the releases that counted them.
Ending a purpose (erasure, art. 17) and objecting (art. 21) are `hub.participation`'s.

A claim to restriction or rectification holds the person's rows while it is open (art. 18): they
stay, no release opened meanwhile is computed with them, and no new ones come in. What is false is
taken out by `hub.corrections`.

For the rest somebody has to act, and the law sets a clock: one month from the day of the request,
two more where it says so and the person is told why (art. 12(3)). `TRANSITIONS` is the register's
whole life. It holds codes and dates only: free text would name people.

Rows are found from the digest through the keys of the periods that live. No role has a way here:
the policy gives `rows_show` to a person with their code and secret, and to nobody else.
"""

from __future__ import annotations

import calendar
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from connectors.contract import REASONS
from consent import codes, pseudonyms
from consent.errors import ConsentError
from hub import contributors, journal
from hub.errors import Conflict, NotFound, Rejected, Unavailable, Who
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.policy.gate import Decision
from hub.records import Case, Code, Release
from hub.storage.books.rights import case_moved
from hub.storage.rows import BUCKET, DAY, PERIOD, PSEUDONYM

ZONE: Final = ZoneInfo("Europe/Paris")
OPEN: Final = "open"
EXTENDED: Final = "extended"
ANSWERS: Final = ("done", "partly", "refused")
RETRACTED: Final = "retracted"
_END: Final[frozenset[str]] = frozenset()
TRANSITIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        OPEN: frozenset({EXTENDED, RETRACTED, *ANSWERS}),
        EXTENDED: frozenset({RETRACTED, *ANSWERS}),
        "done": _END,
        "partly": _END,
        "refused": _END,
        RETRACTED: _END,
    }
)
"""What may follow what. A refusal or half a yes names its ground; only an open case is extended,
and only the person whose it is takes it back."""

KINDS: Final = (
    "access", "rectification", "erasure", "objection", "restriction", "portability", "lost-code",
)  # fmt: skip
CONCERNS: Final = ("everything", "trips", "taps", "place", "time", "mode", "consent", "release")
"""What a claim is about, from a closed list."""
EXTENSIONS: Final = ("complexity", "number")
"""The only two reasons art. 12(3) knows for taking longer."""
GROUNDS: Final = ("unfounded", "excessive", "not-identified", "legal-duty", "nothing-held")
"""Why a claim is not, or only partly, met: art. 11(2), 12(5), 17(3)."""
MONTHS: Final = 1
MORE_MONTHS: Final = 2

MOST: Final = 100_000
"""Rows in quarantine that are looked at."""
HIDDEN: Final = frozenset({PSEUDONYM, BUCKET})
"""Columns that are about how rows are kept, not about the person."""

COLUMNS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "period": ("La période de la ligne", "The row's period"),
        "date": ("Le jour", "The day"),
        "quarter_hour": (
            "Le quart d’heure de la journée, de 0 (minuit) à 95",
            "The quarter of an hour of the day, from 0 (midnight) to 95",
        ),
        "uai": ("Le lycée, et son numéro officiel", "The lycée, and its official number"),
        "direction": ("Vers le lycée ou au retour", "To school or back"),
        "origin_commune": ("Ta commune, et son code", "Your municipality, and its code"),
        "origin_cell": (
            "Le carré d’un kilomètre où se trouve ton domicile",
            "The one-kilometre square your home is in",
        ),
        "distance_m": ("La distance, en mètres, arrondie à 100", "Distance in metres, to 100"),
        "duration_s": ("La durée, en secondes, arrondie à 60", "Duration in seconds, to 60"),
        "main_mode": ("Le moyen de transport principal", "The main means of transport"),
        "sections": (
            "Les étapes du trajet : moyen, distance, durée",
            "The legs of the trip: means, distance, duration",
        ),
        "app_co2_kg": (
            "Le CO2 calculé par l’application, en kg",
            "The CO2 the app computed, in kg",
        ),
        "fare_action": ("Ce que la carte a fait (montée)", "What the card did (boarding)"),
        "trip_id": ("La course du véhicule", "The vehicle's run"),
        "stop_id": ("L’arrêt, et son code", "The stop, and its code"),
        "rider_category": ("La catégorie de voyageur", "The category of rider"),
        "fare_product": ("Le titre de transport", "The kind of ticket"),
        "population": (
            "Ce que tu as dit être : élève, post-bac ou personnel",
            "What you said you are: pupil, post-bac or staff",
        ),
    }
)
"""Every stored column, in words, fr and en."""


PlaceNames = dict[str, dict[str, str]]
"""By column of codes, what each code is called."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A person's own rows of one table and period, without the columns of keeping."""

    table: str
    period: str
    purpose: str
    rows: pa.Table


@dataclass(frozen=True, slots=True, order=True)
class Aside:
    """Rows of a person that could not be read and are kept sealed: of what, why, until when."""

    dataset: str
    code: str
    until: date


@dataclass(frozen=True, slots=True)
class Used:
    """A release and whether it counted the person: `proved` where its declared tree says so."""

    release: Release
    proved: bool


def own_rows(parts: Parts, actor: Actor, code: Code, how: str) -> list[Rows]:
    """A person's own rows, by table and period; the look is recorded with its format, `how`.

    Raises `Denied`, and `Unavailable` where a table was purged while it was read: ask again.
    """
    decision = parts.require("rights", actor, {"action": "rows_show"})
    facts = {"format": how}
    event = AuditEvent(Kind.ROWS_SHOWN, actor.organisation, code.id, parts.clock(), facts)
    parts.books.record(event=parts.told(event, decision))
    return list(_rows(parts, code))


def set_aside(parts: Parts, code: Code) -> Counter[Aside]:
    """A person's rows in quarantine, counted: what is in them only a worker can unseal."""
    found: Counter[Aside] = Counter()
    datasets: dict[str, str] = {}
    for link in parts.books.links_of(code.participant):
        theirs = parts.books.set_aside(partner=link.partner, subject=link.subject, limit=MOST)
        for row in theirs if link.ended_at is None else ():
            if row.push not in datasets:
                push = parts.books.push(row.push)
                datasets[row.push] = f"{push.partner}/{push.dataset}" if push else ""
            found[Aside(datasets[row.push], row.code, row.until or date.max)] += 1
    return found


def as_json(
    rows: Sequence[Rows],
    aside: Mapping[Aside, int] | None = None,
    places: PlaceNames | None = None,
) -> bytes:
    """Rows with the meaning of their columns, as JSON (portability: structured, open).

    `aside`: what there is besides, in quarantine. `places`: what places in them are called.
    """
    return json.dumps(
        {
            "columns": {
                name: {"fr": COLUMNS[name][0], "en": COLUMNS[name][1]}
                for name in sorted({n for one in rows for n in one.rows.column_names})
            },
            "places": places or {},
            "tables": [
                {
                    "table": one.table,
                    "period": one.period,
                    "purpose": one.purpose,
                    "rows": one.rows.to_pylist(),
                }
                for one in rows
            ],
            "set_aside": [
                {
                    "dataset": one.dataset,
                    "rows": count,
                    "reason": dict(REASONS[one.code].words),
                    "until": one.until,
                }
                for one, count in sorted((aside or {}).items())
            ],
        },
        ensure_ascii=False,
        default=_plain,
        indent=1,
    ).encode()


def as_csv(rows: Sequence[Rows]) -> bytes:
    """Rows of every table as one CSV; a column another table has is empty where it has none."""
    names = sorted({name for one in rows for name in one.rows.column_names} - {PERIOD})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["table", "purpose", PERIOD, *names])
    for one in rows:
        for row in one.rows.to_pylist():
            cells = (row.get(name) for name in names)
            writer.writerow([one.table, one.purpose, one.period, *map(cell, cells)])
    return text.getvalue().encode()


def used_in(parts: Parts, code: Code) -> list[Used]:
    """Releases that counted a person, newest first.

    Proved from the tree of contributors a release declared, by the secret of a grant that stands.
    A release without a tree rests on a public task: it is listed where it opened a table that
    holds rows of the person now, and said not to be proved.
    """
    tables = {one.table for one in _rows(parts, code)}
    counted = {
        release.id
        for link in parts.books.links_of(code.participant)
        for grant in parts.books.grants_of(link.subject)
        if grant.partner == link.partner
        for release in contributors.releases_using(parts, grant)
    }
    found = []
    for release in reversed(parts.books.releases()):
        if release.id in counted:
            found.append(Used(release, proved=True))
        elif contributors.FACT not in release.manifest and tables & {
            str(one["table"]) for one in release.manifest.get("inputs", ())
        }:
            found.append(Used(release, proved=False))
    return found


def open_for(parts: Parts, actor: Actor, kind: str, concerns: str, typed: str = "") -> Case:
    """Open a case for whoever told an officer their code, or has none. Raises as `open_case`.

    `NotFound` where nobody has the code; only whoever may open cases is told that.
    """
    parts.require("rights", actor, {"action": "case_open"})
    return open_case(parts, actor, kind, concerns, holder_of(parts, typed) if typed else None)


def holder_of(parts: Parts, typed: str) -> Code:
    """The code as typed. Raises `NotFound`; ask first whether the caller may know."""
    try:
        found = parts.books.code(codes.digest(parts.keyring.code_key, codes.read_code(typed)))
    except ConsentError:
        found = None
    if found is None:
        raise unknown_code()
    return found


def unknown_code() -> NotFound:
    """The same for a code that is mistyped and one that nobody has."""
    return NotFound(
        "unknown-code",
        fr="Personne n’a ce code de participation.",
        en="Nobody has this participation code.",
        who="person",
    )


def days(parts: Parts, code: Code) -> dict[str, list[date]]:
    """The days a person has rows of, by dataset, the latest first."""
    found: dict[str, set[date]] = {}
    for one in _rows(parts, code):
        dataset = one.table.rpartition("/")[0]
        found.setdefault(dataset, set()).update(one.rows.column(DAY).unique().to_pylist())
    return {dataset: sorted(theirs, reverse=True) for dataset, theirs in found.items()}


def open_case(
    parts: Parts,
    actor: Actor,
    kind: str,
    concerns: str = "everything",
    code: Code | None = None,
    correction: str = "",
) -> Case:
    """Open a case: its clock starts today. Raises `Rejected` for what is not in the lists.

    `correction`: what is to be done for it at once, under the case's id.
    """
    decision = parts.require("rights", actor, {"action": "case_open"})
    _listed(kind, KINDS, "kind")
    _listed(concerns, CONCERNS, "concerns")
    now = parts.clock()
    case = Case(
        id=parts.new_id(now),
        kind=kind,
        concerns=concerns,
        participant=None if code is None else code.participant,
        state=OPEN,
        opened_at=now,
        due_at=due(now, MONTHS),
    )
    event = AuditEvent(
        Kind.CASE_OPENED,
        actor.organisation,
        case.id,
        now,
        {"case": kind, "concerns": concerns, "holds": case.holds},
    )
    event = parts.told(event, decision)
    if not correction:
        return parts.books.open_case(case, event=event)
    journal.note_correction(parts, case, correction)
    return parts.books.open_case(case, f"{case.id}.{correction}", event=event)


def extend(parts: Parts, actor: Actor, case_id: str, reason: str) -> Case:
    """Take two more months, from a closed list of reasons. Only within the first month.

    Raises `Denied`, `NotFound`, `Conflict` (not open any more) and `Rejected` (too late, or no
    such reason).
    """
    case, decision = _taken(parts, actor, case_id)
    now = parts.clock()
    _listed(reason, EXTENSIONS, "reason")
    if now > case.due_at:
        raise Rejected(
            "extension-too-late",
            fr="Le délai est passé : il fallait prolonger dans le premier mois (RGPD, 12(3)).",
            en="The time is over: an extension is made within the first month (GDPR 12(3)).",
            who="operator",
        )
    longer = due(case.opened_at, MONTHS + MORE_MONTHS)
    moved = replace(case, state=EXTENDED, due_at=longer, extended_for=reason)
    event = AuditEvent(Kind.CASE_EXTENDED, actor.organisation, case.id, now, {"reason": reason})
    return _moved(parts, case, moved, parts.told(event, decision))


def close(parts: Parts, actor: Actor, case_id: str, answer: str, ground: str = "") -> Case:
    """Answer a case: done, partly or refused; the last two with their ground.

    Raises `Denied`, `NotFound`, `Conflict` (answered already), `Rejected` (not in the lists).
    """
    case, decision = _taken(parts, actor, case_id)
    now = parts.clock()
    _listed(answer, ANSWERS, "answer")
    if (answer == "done") != (ground == ""):
        _listed("", GROUNDS, "ground")
    if ground:
        _listed(ground, GROUNDS, "ground")
    moved = replace(case, state=answer, closed_at=now, ground=ground)
    facts = {"answer": answer, "ground": ground, "late": now > case.due_at}
    event = AuditEvent(Kind.CASE_CLOSED, actor.organisation, case.id, now, facts)
    return _moved(parts, case, moved, parts.told(event, decision))


def retract(parts: Parts, actor: Actor, code: Code, case_id: str) -> Case:
    """Take a case back that one opened oneself: whoever may open one may. Its hold ends with it.

    Raises `Denied`, `NotFound` (also for somebody else's), `Conflict` where it is answered, or a
    correction it asks for is already promised.
    """
    decision = parts.require("rights", actor, {"action": "case_open"})
    case = parts.books.case(case_id)
    if case is None or case.participant != code.participant:
        raise _unknown_case("person")
    if parts.books.correcting(case_id):
        raise Conflict(
            "correction-under-way",
            fr="Ces jours sont en train d’être enlevés ; la demande s’achève d’elle-même.",
            en="These days are being taken out; the request ends by itself.",
            who="person",
        )
    now = parts.clock()
    moved = replace(case, state=RETRACTED, closed_at=now)
    facts = {"answer": RETRACTED, "ground": "", "late": now > case.due_at}
    event = AuditEvent(Kind.CASE_CLOSED, actor.organisation, case.id, now, facts)
    return _moved(parts, case, moved, parts.told(event, decision))


def register(parts: Parts, actor: Actor) -> list[Case]:
    """The register, the most urgent first. Raises `Denied`."""
    parts.require("rights", actor, {"action": "case_list"})
    return parts.books.cases()


def shown(case: Case, now: datetime) -> dict[str, Any]:
    """A case as JSON; names nobody."""
    return {
        "id": case.id,
        "kind": case.kind,
        "concerns": case.concerns,
        "opened_by": "person" if case.participant else "dpo",
        "holds": case.holds,
        "state": case.state,
        "opened_at": case.opened_at.isoformat(),
        "due_at": case.due_at.isoformat(),
        "late": case.closed_at is None and now > case.due_at,
        "extended_for": case.extended_for,
        "closed_at": case.closed_at.isoformat() if case.closed_at else None,
        "ground": case.ground,
    }


def due(opened_at: datetime, months: int) -> datetime:
    """The last moment of the day that many months later, in the region's own time.

    The same day of the month, or its last day where there is none (Regulation 1182/71, art. 3). A
    last day that falls on a Sunday is not moved on: that would be in the hub's favour.
    """
    day = opened_at.astimezone(ZONE).date()
    years, month = divmod(day.month - 1 + months, 12)
    last = calendar.monthrange(day.year + years, month + 1)[1]
    end = date(day.year + years, month + 1, min(day.day, last))
    return datetime.combine(end, time(23, 59, 59), ZONE).astimezone(UTC)


def _rows(parts: Parts, code: Code) -> Iterable[Rows]:
    about_people = {dataset.key: dataset for dataset in parts.personal()}
    for link in parts.books.links_of(code.participant):
        if link.ended_at is not None:
            continue
        for agreement in parts.books.concluded():  # rows outlive an agreement's end
            dataset = about_people.get(f"{agreement.partner}/{agreement.dataset}")
            if agreement.partner != link.partner or dataset is None:
                continue
            names = [f"{dataset.key}/{table}" for table in dataset.tables]
            opened = parts.tables.snapshot(names)
            for period in parts.keyring.periods(agreement.purpose):
                key = parts.keyring.period_key(agreement.purpose, period)
                theirs = pseudonyms.pseudonym(key, link.subject)
                for name in names:
                    found = _read(opened.files[name], period, theirs)
                    if found is not None and found.num_rows:
                        kept = [n for n in found.column_names if n not in HIDDEN]
                        yield Rows(name, period, agreement.purpose, found.select(kept))


def _read(files: Sequence[str], period: str, pseudonym: bytes) -> pa.Table | None:
    """Rows of one pseudonym in one period; the bucket narrows it to few files."""
    if not files:
        return None
    bucket = str(pseudonyms.buckets(pa.array([pseudonym], pa.binary()))[0])
    connection = duckdb.connect()
    try:
        return connection.sql(
            "SELECT * FROM read_parquet(?, hive_partitioning = true, hive_types_autocast = false) "
            "WHERE period = ? AND bucket = ? AND pseudonym = ? ORDER BY ALL",
            params=[list(files), period, bucket, pseudonym],
        ).to_arrow_table()
    except duckdb.IOException as error:
        raise rows_moved() from error
    finally:
        connection.close()


def rows_moved() -> Unavailable:
    """The answer where a table was purged while it was read."""
    return Unavailable(
        "rows-moved",
        fr="Ces lignes viennent d’être réécrites ; recommencez dans un instant.",
        en="These rows have just been rewritten; try again in a moment.",
        who="person",
    )


def _taken(parts: Parts, actor: Actor, case_id: str) -> tuple[Case, Decision]:
    decision = parts.require("rights", actor, {"action": "case_move"})
    case = parts.books.case(case_id)
    if case is None:
        raise _unknown_case("operator")
    return case, decision


def _unknown_case(who: Who) -> NotFound:
    return NotFound(
        "unknown-case",
        fr="Aucun dossier ne porte ce numéro.",
        en="No case has this number.",
        who=who,
    )


def _moved(parts: Parts, case: Case, moved: Case, event: AuditEvent) -> Case:
    if moved.state not in TRANSITIONS[case.state]:
        raise case_moved()
    return parts.books.move_case(moved, was=case.state, event=event)


def _listed(said: str, known: Sequence[str], where: str) -> None:
    if said not in known:
        raise Rejected(
            "not-in-the-list",
            fr=f"« {where} » : choisissez dans la liste ({', '.join(known)}).",
            en=f"“{where}”: choose from the list ({', '.join(known)}).",
            who="person",
            where=where,
        )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def cell(value: object) -> str:
    """A cell no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    text = _plain(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in {"=", "+", "-", "@"} else text
