"""A small world for flow tests: one lycée, a few people, and their partners' files."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hub import consents, push, worker
from hub.cli.operate import add_partner
from hub.events import AuditEvent, Kind
from hub.identity import tokens
from hub.main import compose
from hub.parts import OPERATOR, Parts
from hub.records import Account, Push, Role
from hub.settings import DEFAULT_TERRITORY, Settings
from tests import scratch, sizes

PARIS = ZoneInfo("Europe/Paris")
UAI = "0450062J"
LYCEE = (1.9250, 47.9100)
FIRST_DAY = date(2025, 11, 17)


def make_first() -> None:
    """Make what hubs are copies of, if it is not there."""
    _with_places()


def founded(home: Path, **settings: object) -> Parts:
    """A hub with nothing in it yet.

    A new one is a copy of the first of this process, keys and all, unless it keeps its records or
    files elsewhere than in its home. So it is with those below.
    """
    return _hub(home, settings, _founded)


def hub_in(home: Path, **settings: object) -> Parts:
    """A hub with every partner of the territory file."""
    parts = _hub(home, settings, _joined)
    _join(parts)
    return parts


def hub_with_places(home: Path, **settings: object) -> Parts:
    """The same, with what a push of trips waits for."""
    parts = _hub(home, settings, _with_places)
    _join(parts)
    if not parts.books.pushes():
        reference_data(parts)
    return parts


def _hub(home: Path, asked: dict[str, object], first: Callable[[], Path]) -> Parts:
    settings = Settings(home=home, lease_seconds=2, **asked)  # type: ignore[arg-type]
    elsewhere = settings.database_url or settings.storage_url
    new = not home.exists() or not any(home.iterdir())
    if new and not elsewhere and settings.territory == DEFAULT_TERRITORY:
        shutil.copytree(first(), home, dirs_exist_ok=True)
    parts = compose(settings, opens=True)
    if sizes.contributor_leaves is None:
        return parts
    few = {"contributor_leaves": sizes.contributor_leaves}
    return replace(parts, territory=parts.territory.model_copy(update=few))


def _join(parts: Parts) -> None:
    """Every partner, where there is none."""
    if not parts.books.agreements():
        for terms in parts.territory.partners:
            add_partner(parts, terms.id)


@functools.cache
def _founded() -> Path:
    return _closed(compose(Settings(home=_kept("founded")), opens=True))


@functools.cache
def _joined() -> Path:
    parts = founded(_kept("joined"))
    _join(parts)
    return _closed(parts)


@functools.cache
def _with_places() -> Path:
    parts = hub_in(_kept("places"))
    reference_data(parts)
    return _closed(parts)


def _closed(parts: Parts) -> Path:
    parts.books.close()
    return parts.settings.home


def _kept(name: str) -> Path:
    """A folder for as long as this process."""
    home = Path(tempfile.mkdtemp(prefix=f"hub-{name}-", dir=os.environ.get(scratch.ROOT)))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


People = dict[str, dict[str, str]]
"""What each sends with a request to be taken for who they are, by name."""


def signed_in(parts: Parts, accounts: Mapping[str, tuple[Role, str]]) -> People:
    """A session of each: by name, a role and an organisation."""
    now, found = parts.clock(), {}
    for name, (role, organisation) in accounts.items():
        account = Account(f"user-{name}", f"{name}@people.example", organisation, role, "none")
        event = AuditEvent(Kind.USER_ADDED, "hub", account.id, now)
        parts.books.add_account(account, event=event)
        session = tokens.digest(name)
        parts.books.add_session(session, account.id, now + timedelta(days=400), event=event)
        found[name] = {"cookie": f"hub-session={name}"}
    return found


def lycees() -> bytes:
    """A directory of one lycée, in the 2026 header's names."""
    header = (
        "Identifiant_de_l_etablissement;Nom_etablissement;Type_etablissement;Statut_public_prive;"
        "Code_commune;Nom_commune;Code_departement;latitude;longitude;etat;code_nature;"
        "libelle_nature"
    )
    row = (
        f"{UAI};Lycée d'essai;Lycée;Public;45234;Orléans;045;{LYCEE[1]};{LYCEE[0]};OUVERT;302;LYCEE"
    )
    return f"\ufeff{header}\n{row}\n".encode()


def enrolments() -> bytes:
    """Two residence communes."""
    return (
        "annee_scolaire;uai;code_commune;nom_commune;longitude;latitude;effectif\n"
        f"2025-2026;{UAI};45234;Orléans;1.9047;47.9025;700\n"
        f"2025-2026;{UAI};45147;Fleury-les-Aubrais;1.9167;47.9333;300\n"
    ).encode()


def home_of(number: int) -> tuple[float, float]:
    """A home 2 to 5 km from the lycée, its own for each person."""
    return LYCEE[0] + 0.03 + 0.0007 * number, LYCEE[1] + 0.02 + 0.0003 * number


def trip(
    account: str, number: int, start: datetime, here: tuple[float, float],
    there: tuple[float, float], mode: str,
) -> dict[str, object]:  # fmt: skip
    """One `io.cozy.timeseries.geojson` document."""
    end = start + timedelta(minutes=20)

    def place(kind: str, at: tuple[float, float]) -> dict[str, object]:
        return {
            "type": "Feature",
            "id": f"{kind}-{number}",
            "geometry": {"type": "Point", "coordinates": list(at)},
            "properties": {"feature_type": kind, "display_name": "x"},
        }

    times: dict[str, object] = {
        "start_fmt_time": start.isoformat(),
        "end_fmt_time": end.isoformat(),
    }
    section: dict[str, object] = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": f"section-{number}",
                "geometry": {"type": "LineString", "coordinates": [list(here), list(there)]},
                "properties": {
                    "feature_type": "section",
                    "sensed_mode": f"PredictedModeTypes.{mode}",
                    **times,
                    "duration": 1200.0,
                    "distance": 4000.0,
                    "distances": [0, 4000.0],
                    "speeds": [0, 3.3],
                    "times": [0, 1200],
                    "timestamps": [int(start.timestamp() * 1000), int(end.timestamp() * 1000)],
                },
            }
        ],
    }
    return {
        "_id": f"{account}-{number}",
        "startDate": start.isoformat(),
        "endDate": end.isoformat(),
        "source": "agremob.com",
        "captureDevice": "synthetic",
        "cozyMetadata": {"sourceAccount": account},
        "series": [
            {
                "type": "FeatureCollection",
                "id": f"{account}-{number}",
                "properties": times
                | {
                    "start_ts": start.timestamp(),
                    "end_ts": end.timestamp(),
                    "duration": 1200.0,
                    "distance": 4000.0,
                    "start_loc": {"type": "Point", "coordinates": list(here)},
                    "end_loc": {"type": "Point", "coordinates": list(there)},
                    "start_place": {"$oid": f"start_place-{number}"},
                    "end_place": {"$oid": f"end_place-{number}"},
                    "confidence_threshold": 0.5,
                    "source": "x",
                },
                "features": [place("start_place", here), place("end_place", there), section],
            }
        ],
        "aggregation": {"totalCO2": 0.4},
    }


def trips(
    accounts: Iterable[str],
    days: int = 10,
    modes: tuple[str, ...] = ("CAR",),
    first: date = FIRST_DAY,
) -> bytes:
    """NDJSON: everyone goes to the lycée and back on each school day, and swims on Saturday."""
    documents = []
    for number, account in enumerate(accounts):
        home, mode = home_of(number), modes[number % len(modes)]
        for day in range(days):
            on = first + timedelta(days=day)
            if on.weekday() == 5:
                at = datetime(on.year, on.month, on.day, 14, tzinfo=PARIS)
                pool = (LYCEE[0] - 0.05, LYCEE[1] - 0.03)
                documents.append(trip(account, day * 3 + 2, at, home, pool, mode))
            if on.weekday() >= 5:
                continue
            morning = datetime(on.year, on.month, on.day, 7, 30, tzinfo=PARIS)
            evening = morning + timedelta(hours=9)
            documents.append(trip(account, day * 3, morning, home, LYCEE, mode))
            documents.append(trip(account, day * 3 + 1, evening, LYCEE, home, mode))
    return b"\n".join(json.dumps(d).encode() for d in documents) + b"\n"


TIDES = (
    "transaction_id,service_date,event_timestamp,amount,currency_type,fare_action,"
    "trip_id_performed,stop_id,fare_media_id,rider_category,fare_product,fare_capped,token_id"
)


def taps(cards: Iterable[str], days: int = 5) -> bytes:
    """TIDES `fare_transactions`: every card boards once a day in January 2026."""
    rows = [TIDES]
    for card in cards:
        for day in range(days):
            on = date(2026, 1, 12) + timedelta(days=day)
            rows.append(
                f"{card}-{day},{on},{on}T07:20:{day:02d},0,EUR,Enter,T1,S{day},"
                f"Smart card or ticket,Student,school-pass,false,{card}"
            )
    return "\n".join([*rows, ""]).encode()


def agree(parts: Parts, *accounts: str, purpose: str = "school-mobility") -> None:
    """Consent of people of 16."""
    for account in accounts:
        consents.give(
            parts,
            OPERATOR,
            "coachco2",
            consents.Asked(
                reference=account,
                purpose=purpose,
                population="pupil",
                given_at=datetime(2025, 9, 10, 8, tzinfo=UTC),
                birth="2009-01",
            ),
        )


def pushed(parts: Parts, name: str, data: bytes, key: str | None = None) -> Push:
    """Push a file as the operator and work until it is finished."""
    partner, dataset = name.split("/")
    made, _ = push.accept(parts, OPERATOR, partner, dataset, [data], key)
    worker.drain(parts)
    found = parts.books.push(made.id)
    assert found is not None
    return found


def reference_data(parts: Parts) -> None:
    """What a push of trips waits for."""
    pushed(parts, "region/lycees", lycees())
    pushed(parts, "region/enrolments", enrolments())


def map_data(parts: Parts) -> None:
    """All that the map's layers are made of, from the connectors' own examples."""
    pushed(parts, "region/lycees", lycees())
    for name in ("region/gtfs", "region/carpool-places"):
        pushed(parts, name, parts.datasets[name].examples[0].content())
