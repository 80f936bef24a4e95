"""Orange Flux Vision Tourisme: nights, days, stays and places of visitors, a zip of CSV families.

The family (`Nuitee`, `Diurne`, `SejourDuree`, `LieuActivite`, `LieuNuitee` and what they are split
by) stands in the name of each file and nowhere inside, which is why they are read out of their zip
only. Layout inferred from a production reader of 2019–2025, not from a published specification;
columns are found by name, and words are compared without case and accents, which vary by year.
Volumes are extrapolated people; a row that is missing means withheld or nobody, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.archives import unpacked
from connectors.contract import Batch, Malformed, Reading
from connectors.csvrows import read_csv
from connectors.documented import documented
from connectors.layouts import (
    BOOLEAN,
    DATE,
    INTEGER,
    Column,
    Columns,
    Kind,
    Layout,
    Rule,
    at_least,
    dated,
    in_school_year,
    one_of,
)

FLOOR: Final = 20
"""Orange: nothing about fewer than twenty people."""
FAMILIES: Final = (
    "Nuitee", "Diurne", "SejourDuree", "LieuActivite_Soir", "LieuActivite_Veille",
    "LieuNuitee_Soir", "LieuNuitee_Veille",
)  # fmt: skip
SPLITS: Final = ("Departement", "Pays", "Age", "Geolife")
MEMBER: Final = re.compile(
    rf"(?P<family>{'|'.join(FAMILIES)})(?:_(?P<split>{'|'.join(SPLITS)}))?(?:_[\w .-]+)?\.csv",
    re.IGNORECASE | re.ASCII,
)
SCHEMA: Final = documented(
    ("family", pa.string(), "famille du fichier", "family of the file"),
    ("date", pa.date32(), "jour", "day"),
    ("observed", pa.string(), "zone d'observation", "zone observed"),
    ("zone", pa.string(), "zone", "zone"),
    ("provenance", pa.string(), "LOCAL, NONLOCAL ou ETRANGER", "where visitors come from"),
    ("category", pa.string(), "catégorie de visiteur", "category of visitor"),
    ("department", pa.string(), "département d'origine", "département they come from"),
    ("country", pa.string(), "pays d'origine", "country they come from"),
    ("age", pa.string(), "tranche d'âge", "age band"),
    ("segment", pa.string(), "segment Geolife", "Geolife segment"),
    ("stay", pa.string(), "durée de séjour", "length of stay"),
    ("other_zone", pa.string(), "zone du soir ou de la veille", "zone of the evening or before"),
    ("other_commune", pa.string(), "commune du soir ou de la veille", "its commune (INSEE)"),
    ("holidays_b", pa.bool_(), "vacances scolaires, zone B", "school holidays, zone B"),
    ("bank_holiday", pa.bool_(), "jour férié", "bank holiday"),
    ("volume", pa.int64(), "personnes, extrapolé", "people, extrapolated"),
    optional=(
        "observed", "provenance", "category", "department", "country", "age", "segment", "stay",
        "other_zone", "other_commune", "holidays_b", "bank_holiday",
    ),
)  # fmt: skip


def _bare(texts: pa.Array) -> pa.Array:
    """Words as they are compared: capitals without accents."""
    return pc.utf8_upper(pc.replace_substring_regex(pc.utf8_normalize(texts, "NFKD"), r"\pM", ""))


def _listed(*words: str) -> Kind:
    return replace(one_of(*words), prepare=_bare)


CATEGORY: Final = _listed(
    "RESIDENT", "TOURISTE", "EXCURSIONNISTE", "EXCURSIONNISTE RECURRENT",
    "HABITUELLEMENT PRESENT", "TRANSIT", "TRANSIT NOCTURNE", "[A-Z ]+ EN TRANSIT",
)  # fmt: skip
OTHERS: Final = ("DiurneSoir", "NuiteeSoir", "DiurneVeille", "NuiteeVeille")

LAYOUT: Final = Layout(
    table="visitors",
    schema=SCHEMA,
    delimiter=";",
    columns=(
        Column("date", ("Date",), DATE, "missing_value"),
        Column("observed", ("ZoneObservation",), required=False),
        Column("zone", ("Zone",), blank="missing_value"),
        Column(
            "provenance", ("Provenance",), _listed("LOCAL", "NONLOCAL", "ETRANGER"), required=False
        ),
        Column("category", ("CategorieVisiteur",), CATEGORY, required=False),
        Column("department", ("NomDepartement",), required=False),
        Column("country", ("Pays",), required=False),
        Column("age", ("Age",), required=False),
        Column("segment", ("Geolife",), required=False),
        Column("stay", ("DureeSejour",), required=False),
        Column("other_zone", tuple(f"Zone{when}" for when in OTHERS), required=False),
        Column("other_commune", tuple(f"CodeInsee{when}" for when in OTHERS), required=False),
        Column("holidays_b", ("VacancesB",), BOOLEAN, required=False),
        Column("bank_holiday", ("Ferie",), BOOLEAN, required=False),
        Column("volume", ("Volume",), INTEGER, "missing_value"),
    ),
    rules=(
        *dated("date"),
        in_school_year("date"),
        Rule("missing_value", "volume", lambda columns, _: pc.equal(columns["volume"], -1)),
        at_least("volume", FLOOR, "below_source_floor"),
    ),
    finish=lambda columns: columns,
    fallback="latin-1",
)


def read_visitors(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    """Read every family of a delivery. Positions are lines of the family the column names."""
    with unpacked(file, reading, MEMBER) as folder:
        members = sorted(folder.iterdir())
        if not members:
            raise Malformed("missing_table", "Nuitee, Diurne…")
        for path in members:
            yield from _family(path, reading)


def _family(path: Path, reading: Reading) -> Iterator[Batch]:
    named = MEMBER.fullmatch(path.name)
    given = next(f for f in FAMILIES if named and f.casefold() == named["family"].casefold())
    split = named["split"] if named else None
    family = f"{given}_{split.capitalize()}" if split else given

    def finish(columns: Columns) -> Mapping[str, pa.Array]:
        rows = len(columns["volume"])
        return {**columns, "family": pa.repeat(pa.scalar(family), rows)}

    def place(column: str) -> str:
        return f"{family} {column}".strip()

    try:
        with path.open("rb") as member:
            for batch in read_csv(member, replace(LAYOUT, finish=finish), reading):
                rejected = tuple(replace(r, column=place(r.column)) for r in batch.rejected)
                warned = tuple(replace(w, column=place(w.column)) for w in batch.warned)
                yield replace(batch, rejected=rejected, warned=warned)
    except Malformed as error:
        raise Malformed(error.code, place(error.where)) from None
