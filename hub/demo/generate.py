"""Build the demo territory: every partner's file, the consents, and the truth beside them.

1. Facts: real lycées and communes, and the territory's calendar and bells.
2. Enrolments are drawn first: people, buses and taps follow from where pupils live.
3. The Région's files, so that the hub knows lycées before it sees trips.
4. Orange, Transdev, then the pilot's and the year's trips, in push order.
5. Outside the pushed files: consents, objections, and the truth to measure recognition with.

Everything is drawn from `seed`: the same seed and scale give the same bytes. Each part has its own
stream of numbers, so that changing one leaves the others as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hub.demo import cohorts, consents, enrolments, facts, gtfs, presence, region_files, taps
from hub.demo.cohorts import Cohort
from hub.demo.diary import Trip
from hub.demo.documents import Writer
from hub.demo.people import surroundings
from hub.demo.school_buses import network
from hub.demo.traces import record
from hub.settings import DEFAULT_TERRITORY, load_territory

Progress = Callable[[str, int, int], None]
"""Called with a label in French, what is done and what there is to do."""

BATCH: Final = 4_000
NOTE: Final = """\
Jeu de démonstration entièrement synthétique.
Les personnes, trajets, cartes, volumes, lignes de car et aires de covoiturage sont inventés ;
seuls les noms, codes et positions des lycées et des communes sont réels.

Synthetic demo data. People, trips, cards, volumes, bus lines and car-pool places are invented;
only names, codes and positions of lycées and communes are real.
"""

TRUTH: Final = pa.schema(
    [
        ("document", pa.string()),
        ("trip", pa.string()),
        ("subject", pa.string()),
        ("file", pa.string()),
        ("home_lycee", pa.bool_()),
        ("direction", pa.string()),
        ("uai", pa.string()),
        ("home", pa.string()),
        ("main_mode", pa.string()),
        ("kind", pa.string()),
    ]
)
"""One row per trip document: `document` is its `_id`, `trip` its `series[0].id`."""


@dataclass(frozen=True, slots=True)
class DemoFile:
    """One file to push. `label` says in French what it is."""

    partner: str
    dataset: str
    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Demo:
    """The files in push order, and what lies beside them."""

    folder: Path
    files: tuple[DemoFile, ...]
    grants: Path
    """CSV `;`: reference, purpose, population, birth_month, given_at, state."""
    objections: Path
    """CSV, one column `reference`: cards whose holders object to the public task."""
    truth: Path
    """Parquet in the schema `TRUTH`. Never pushed."""
    pilots: tuple[str, ...]
    """UAI of the pilot's lycées."""
    participants: Mapping[str, int]
    """People by cohort: `pilot`, `region`."""
    answers: Mapping[str, int]
    """People by answer: given, silent, refused, withdrawn."""
    trips: Mapping[str, int]
    """Trip documents by file name."""
    taps: int
    """Taps in all months, wrong rows included."""
    wrong_taps: int
    """Rows of the taps that are wrong on purpose (`taps.FAULTS`, one of each per month)."""
    objectors: int


def generate(
    folder: Path,
    *,
    seed: int = 2026,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> Demo:
    """Write the demo territory into `folder` (made if absent) and say what is there.

    `scale` multiplies the region's participants and the taps; the pilot stays exactly as it was.
    """
    tell = progress or (lambda _label, _done, _total: None)
    known = facts.load(load_territory(DEFAULT_TERRITORY))
    for partner in ("region", "orange", "transdev", "coachco2"):
        (folder / partner).mkdir(parents=True, exist_ok=True)
    (folder / "LISEZMOI.txt").write_text(NOTE, "utf-8")

    files = _files(folder)
    paths = {file.path.name: file.path for file in files}
    tell("Fichiers de la Région", 0, 4)
    enrolled = enrolments.draw(known, seed)
    lines = network(known, enrolled)
    region_files.lycees(known, paths["lycees.csv"])
    region_files.enrolments(known, enrolled, paths["enrolments.csv"])
    region_files.carpool_places(known, seed, paths["carpool-places.csv"])
    gtfs.write(known, lines, paths["gtfs.zip"])
    tell("Fichiers de la Région", 4, 4)

    tell("Présence (Orange)", 0, 1)
    presence.write(known, seed, paths["presence-2026-03.csv"])
    tell("Présence (Orange)", 1, 1)
    tell("Validations (Transdev)", 0, 1)
    months = [file.path for file in files if file.dataset == "validations"]
    cards, tapped = taps.write(known, lines, enrolled, seed, scale, months)
    tell("Validations (Transdev)", 1, 1)

    around = surroundings(known, seed)
    label = "Trajets (CoachCO2)"
    tell(label, 0, 1)
    pilot = cohorts.pilot(known, around, enrolled, seed)
    year = cohorts.regional_year(known, around, enrolled, seed, scale)
    total = len(pilot.trips) + sum(len(term.trips) for term in year)
    truths, counts, done = [], {}, 0
    trips = [file.path for file in files if file.dataset == "trips"]
    for number, (cohort, path) in enumerate(zip((pilot, *year), trips, strict=True)):
        rng = np.random.default_rng([seed, 12, number])
        rows = _write_trips(cohort, path, rng, rich=number == 0)
        truths.append(rows)
        counts[path.name] = rows.num_rows
        done += rows.num_rows
        tell(label, done, total)

    aside = folder / "beside"
    aside.mkdir(exist_ok=True)
    pq.write_table(pa.concat_tables(truths), aside / "truth.parquet")
    region = [person for term in year for person in term.people]
    answers = consents.grants([*pilot.people, *region], seed, aside / "grants.csv")
    objectors = consents.objections(cards, seed, aside / "objections.csv")
    return Demo(
        folder=folder,
        files=files,
        grants=aside / "grants.csv",
        objections=aside / "objections.csv",
        truth=aside / "truth.parquet",
        pilots=tuple(lycee.uai for lycee in known.lycees if lycee.pilot),
        participants={"pilot": len(pilot.people), "region": len(region)},
        answers=answers,
        trips=counts,
        taps=tapped,
        wrong_taps=len(taps.FAULTS) * len(months),
        objectors=objectors,
    )


def _files(folder: Path) -> tuple[DemoFile, ...]:
    """Every pushed file in push order: lycées and communes must be known before trips."""
    return tuple(
        DemoFile(partner, dataset, folder / partner / name, label)
        for partner, dataset, name, label in (
            ("region", "lycees", "lycees.csv", "Annuaire des lycées"),
            ("region", "enrolments", "enrolments.csv", "Effectifs par commune de résidence"),
            ("region", "carpool-places", "carpool-places.csv", "Lieux de covoiturage"),
            ("region", "gtfs", "gtfs.zip", "Offre de transport scolaire"),
            ("orange", "presence", "presence-2026-03.csv", "Présence, mars 2026"),
            ("transdev", "validations", "validations-2026-01.csv", "Validations, janvier 2026"),
            ("transdev", "validations", "validations-2026-02.csv", "Validations, février 2026"),
            ("transdev", "validations", "validations-2026-03.csv", "Validations, mars 2026"),
            ("coachco2", "trips", "trips-2025-autumn-pilot.json", "Trajets du pilote"),
            ("coachco2", "trips", "trips-2025-2026-term1.ndjson", "Trajets, 1er trimestre"),
            ("coachco2", "trips", "trips-2025-2026-term2.ndjson", "Trajets, 2e trimestre"),
            ("coachco2", "trips", "trips-2025-2026-term3.ndjson", "Trajets, 3e trimestre"),
        )
    )


def _write_trips(
    cohort: Cohort,
    path: Path,
    rng: np.random.Generator,
    *,
    rich: bool,
) -> pa.Table:
    """Write one file of documents (a JSON array, or one document a line); returns its truth.

    In batches: the columns of a whole year at once would weigh more than the file.
    """
    array = path.suffix == ".json"
    truths = []
    with path.open("wb") as file:
        file.write(b"[\n" if array else b"")
        for start in range(0, len(cohort.trips), BATCH):
            trips = cohort.trips[start : start + BATCH]
            traces = record(trips, rng, points=10 if rich else 6)
            writer = Writer(trips, cohort.people, traces, rng, rich=rich)
            for row, document in enumerate(writer.encoded(range(len(trips)))):
                if array and start + row:
                    file.write(b",\n")
                file.write(document if array else document + b"\n")
            truths.append(_truth(cohort, trips, writer, path.name))
        file.write(b"\n]\n" if array else b"")
    return pa.concat_tables(truths) if truths else TRUTH.empty_table()


def _truth(cohort: Cohort, trips: Sequence[Trip], writer: Writer, file: str) -> pa.Table:
    rows = []
    for row, trip in enumerate(trips):
        person, direction = cohort.people[trip.person], trip.direction
        home = {"outward": trip.origin, "return": trip.end}.get(direction)
        rows.append(
            {
                "document": writer.document_id(row),
                "trip": writer.trip_id(row),
                "subject": person.reference,
                "file": file,
                "home_lycee": bool(direction),
                "direction": direction,
                "uai": person.lycee.uai if direction else "",
                "home": home.role if home else "",
                "main_mode": trip.mode,
                "kind": str(person.kind),
            }
        )
    return pa.Table.from_pylist(rows, TRUTH)
