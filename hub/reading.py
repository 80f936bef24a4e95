"""What reading a push depends on besides its bytes: the territory, and what the hub holds already.

The person a whole file is about comes with the push, sealed beside it under the same number: kept
before the push is acknowledged and forgotten after it is recorded, so that no file waits without
it. Nothing of it enters the books but a mark in the idempotency key, by which one key can serve two
people's exports.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import duckdb
import pyarrow as pa

from connectors import schools
from connectors.contract import Dataset, Reading
from consent import pseudonyms
from hub.errors import NotFound, Rejected, Unavailable
from hub.parts import Parts
from hub.records import Push

LYCEES: Final = "region/lycees/lycees"
ENROLMENTS: Final = "region/enrolments/enrolments"
PLACED: Final = frozenset({"region/carpool-places"})
"""Datasets whose positions are held against those of their communes."""
RESENT: Final = frozenset({"coachco2/measures"})
"""Datasets whose files send rows again: a push writes the next edition of the whole table."""
LONGEST: Final = 200
_SEAM: Final = b"\0"


def reference_name(push_id: str) -> str:
    """Where the vault keeps whom a push, or an upload of the same number, is about."""
    return f"references/{push_id}-about"


def keep_reference(parts: Parts, push_id: str, reference: str | None) -> None:
    """Seal whom a file is about, once `check_reference` let it pass."""
    if reference is not None:
        data = reference.encode()
        parts.vault.keep(reference_name(push_id), [data], len(data))


def check_reference(dataset: Dataset, reference: str | None) -> None:
    """A reference is one line of text, for a dataset that takes one. Raises `Rejected`."""
    if reference is None:
        return
    if dataset.about_one is None:
        raise Rejected(
            "reference-not-taken",
            fr="Ce jeu de données n’a pas besoin de référence de personne : retirez-la.",
            en="This dataset needs no reference to a person: remove it.",
            who="partner",
        )
    if not reference.strip() or not reference.isprintable() or len(reference) > LONGEST:
        raise Rejected(
            "reference-unreadable",
            fr=f"La référence est vide, dépasse {LONGEST} signes ou n’est pas d’une ligne.",
            en=f"The reference is blank, longer than {LONGEST} signs or not of one line.",
            who="partner",
        )


def bound(parts: Parts, partner: str, key: str | None, reference: str | None) -> str | None:
    """An idempotency key as the books keep it: a key counts within one person's exports.

    The mark is keyed and made of both, so that it joins to no row and to no other push.
    """
    if key is None or reference is None:
        return key
    mark = pseudonyms.digest(parts.keyring.digest_key, f"{partner}\n{key}", reference)
    return f"{key}#{mark.hex()[:16]}"


def of(parts: Parts, push: Push, *, about: str | None = None) -> Reading:
    """What reading a push depends on. `about` is whom it is about, else the vault is asked.

    Raises `Unavailable` where it needs reference data that is not there yet: the push waits.
    """
    dataset = parts.datasets[f"{push.partner}/{push.dataset}"]
    reading = parts.territory.reading(
        dataset.key,
        push.accepted_at,
        reference=about or (_reference(parts, push.id) if dataset.about_one else None),
        communes=communes(parts) if dataset.key in PLACED else None,
    )
    if dataset.key not in RESENT:
        return reading
    known = schools.directory(_lycees(parts))
    return replace(reading, schools=known, earlier=lambda: _earlier(parts, dataset))


def with_reference(data: bytes, reference: str | None) -> bytes:
    """A row set aside, with whom its file is about: it must be readable without the file."""
    return data if reference is None else _SEAM + reference.encode() + b"\n" + data


def without_reference(data: bytes) -> tuple[str | None, bytes]:
    """What `with_reference` put together."""
    if not data.startswith(_SEAM):
        return None, data
    reference, _, rest = data.removeprefix(_SEAM).partition(b"\n")
    return reference.decode(), rest


def communes(parts: Parts) -> dict[str, tuple[float, float]]:
    """A position in each commune the hub knows: as enrolments have it, else that of its lycées."""
    opened = parts.tables.snapshot([LYCEES, ENROLMENTS])
    found: dict[str, tuple[float, float]] = {}
    with duckdb.connect() as connection:
        for name in (LYCEES, ENROLMENTS):  # the better source last
            if files := list(opened.files[name]):
                rows = connection.execute(
                    "SELECT commune, avg(lon), avg(lat) FROM read_parquet($files)"
                    " WHERE commune IS NOT NULL GROUP BY commune",
                    {"files": files},
                ).fetchall()
                found |= {commune: (lon, lat) for commune, lon, lat in rows}
    return found


def missing(name: str) -> Unavailable:
    """The answer where a push needs a table of the region's that is not there yet."""
    return Unavailable(
        "reference-missing",
        fr=f"« {name} » n’a pas encore été déposé ; le dépôt attend la Région.",
        en=f"“{name}” has not been pushed yet; this push waits for the region.",
        who="operator",
        where=name,
    )


def _lycees(parts: Parts) -> list[tuple[str, str]]:
    files = list(parts.tables.snapshot([LYCEES]).files[LYCEES])
    if not files:
        raise missing(LYCEES)
    with duckdb.connect() as connection:
        return connection.execute(
            "SELECT uai, name FROM read_parquet($files)", {"files": files}
        ).fetchall()


def _reference(parts: Parts, push_id: str) -> str | None:
    try:
        with parts.vault.open(reference_name(push_id)) as sealed:
            return sealed.read().decode()
    except NotFound:
        return None


def _earlier(parts: Parts, dataset: Dataset) -> pa.Table | None:
    """The rows of the dataset's table as it stands."""
    (table,) = dataset.tables
    name = f"{dataset.key}/{table}"
    files = list(parts.tables.snapshot([name]).files[name])
    if not files:
        return None
    from pyarrow import dataset as files_of  # loaded by those who need it: it brings pandas

    return files_of.dataset(files, schema=dataset.tables[table]).to_table()
