"""Orange Flux Vision: presence by where people slept or spent the day, and the zones' dictionary.

Zone slept in by zone observed is in effect an origin–destination matrix. Deliveries attested by
public parsers: `presence30min-nuitee-…`, `presencejournee-activitenuitee-…` and
`Dictionnaire_Label_Zones_…`, told apart by their header. A zone of -1 was not given; a row that is
missing means withheld or nobody, never 0. Volumes are extrapolated people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.archives import looked_at
from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvblocks import normal
from connectors.csvrows import read_source
from connectors.documented import documented
from connectors.layouts import (
    DATE,
    INTEGER,
    Column,
    Columns,
    Layout,
    Rule,
    at_least,
    dated,
    in_school_year,
    matching,
    one_of,
    published,
)
from connectors.partners.orange.presence import NOT_GIVEN
from connectors.partners.orange.visitors import FLOOR

FLOWS_SCHEMA: Final = documented(
    ("zone", pa.string(), "zone d'observation", "zone observed"),
    ("night_zone", pa.string(), "zone de nuitée (vide : non donnée)", "zone slept in, if given"),
    ("day_zone", pa.string(), "zone d'activité (vide : non donnée)", "zone of the day, if given"),
    ("date", pa.date32(), "jour", "day"),
    ("time", pa.string(), "début de la demi-heure, HH:MM", "start of the half hour, HH:MM"),
    ("kind", pa.string(), "type de visiteur", "kind of visitor"),
    ("stay", pa.string(), "durée de présence", "length of stay"),
    ("volume", pa.int64(), "personnes, extrapolé", "people, extrapolated"),
    optional=("night_zone", "day_zone", "time", "stay"),
)
ZONES_SCHEMA: Final = documented(
    ("id", pa.string(), "identifiant de zone", "identifier of the zone"),
    ("label", pa.string(), "libellé", "label"),
)
ZONE: Final = matching(r"-1|\d{1,18}")


def _given(zones: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(zones, NOT_GIVEN), pa.scalar(None, pa.string()), zones)


def _finish(columns: Columns) -> Mapping[str, pa.Array]:
    return {
        **columns,
        "night_zone": _given(columns["night_zone"]),
        "day_zone": _given(columns["day_zone"]),
        "time": pc.utf8_slice_codeunits(columns["time"], 0, 5),
    }


LAYOUT: Final = Layout(
    table="flows",
    schema=FLOWS_SCHEMA,
    delimiter=";",
    columns=(
        Column("zone", ("Zone",), blank="missing_value"),
        Column("night_zone", ("ZoneNuitee",), ZONE, required=False),
        Column("day_zone", ("ZoneActivite",), ZONE, required=False),
        Column("date", ("Date",), DATE, "missing_value"),
        Column(
            "time",
            ("Heures", "Heure"),
            matching(r"(?:[01]\d|2[0-3]):[03]0(?::00)?", "wrong_time"),
            required=False,
        ),
        Column("kind", ("Type",), blank="missing_value"),
        Column("stay", ("Duree",), one_of("Inf30min", "30min3h", "Sup3h"), required=False),
        Column("volume", ("Volume",), INTEGER, "missing_value"),
    ),
    rules=(
        *dated("date"),
        in_school_year("date"),
        Rule("missing_value", "zone", lambda columns, _: pc.equal(columns["zone"], NOT_GIVEN)),
        Rule("missing_value", "volume", lambda columns, _: pc.equal(columns["volume"], -1)),
        at_least("volume", FLOOR, "below_source_floor"),
    ),
    finish=_finish,
    fallback="latin-1",
    # Without any of them the delivery is presence by half hour: it has a dataset of its own.
    either=("night_zone", "day_zone", "stay"),
)

DICTIONARY: Final = Layout(
    table="zones",
    schema=ZONES_SCHEMA,
    delimiter=";",
    columns=(
        Column(
            "id",
            ("ID_Commune_groupement", "ID_BassinDeVie", "ID_Iris_groupement"),
            matching(r"\d{1,18}"),
            "missing_value",
        ),
        Column("label", ("Label",), blank="missing_value"),
    ),
    finish=lambda columns: columns,
    unique="id",
    fallback="latin-1",
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    head, source = looked_at(file, reading)
    names = {normal(n.strip('" ')) for n in head.split(b"\n")[0].decode("latin-1").split(";")}
    of_zones = "label" in names and "volume" not in names
    return read_source(source, DICTIONARY if of_zones else LAYOUT, reading)


HEADER: Final = "Zone; Date; Heures; Type; ZoneNuitee; Volume"


def _file(*rows: str, header: str = HEADER) -> bytes:
    good = (
        "Commune Orléans; 2026-03-02; 07:30:00; Français; 450234; 340",
        "Commune Orléans; 2026-03-02; 07:30:00; Français; -1; 120",
    )
    return "\n".join([header, *good, *rows, ""]).encode()


def _row(
    zone: str = "Commune Blois",
    date: str = "2026-03-02",
    time: str = "08:00:00",
    kind: str = "Etrangers",
    night: str = "410018",
    volume: str = "40",
) -> bytes:
    return _file("; ".join((zone, date, time, kind, night, volume)))


def _days() -> bytes:
    return (
        "Zone;Date;Type;Duree;ZoneActivite;ZoneNuitee;Volume\n"
        "Commune Blois;2026-03-02;Français;Sup3h;410018;-1;60\n"
        "Commune Blois;2026-03-02;Français;30min3h;-1;410018;20\n"
    ).encode()


def _zones(*rows: str, header: str = "ID_Commune_groupement;Label") -> bytes:
    return "\n".join([header, "450234;Orléans", "410018;Blois", *rows, ""]).encode("latin-1")


EXAMPLES: Final = (
    Example("by zone slept in", _file, valid=2, rows={"flows": 2}),
    Example("days by both zones", _days, valid=2, rows={"flows": 2}),
    Example("latin-1", lambda: _file().decode().encode("latin-1"), valid=2),
    Example("windows line ends", lambda: _file().replace(b"\n", b"\r\n"), valid=2),
    Example("header only", lambda: HEADER.encode() + b"\n", valid=0),
    Example("dictionary of zones", _zones, valid=2, rows={"zones": 2}),
    Example("dictionary of bassins", lambda: _zones(header="ID_BassinDeVie;Label"), valid=2),
    Example("zone without label", lambda: _zones("280085;"), 2, {"missing_value": 1}),
    Example("label twice", lambda: _zones("450234;Autre"), 2, {"duplicate_row": 1}),
    Example("zone in words", lambda: _zones("Chartres;Chartres"), 2, {"wrong_code": 1}),
    Example("no zone", lambda: _row(zone=""), 2, {"missing_value": 1}),
    Example("observed zone not given", lambda: _row(zone="-1"), 2, {"missing_value": 1}),
    Example("night zone in words", lambda: _row(night="Blois"), 2, {"wrong_code": 1}),
    Example("volume not given", lambda: _row(volume="-1"), 2, {"missing_value": 1}),
    Example("under the floor", lambda: _row(volume="19"), 2, {"below_source_floor": 1}),
    Example("zero is under the floor", lambda: _row(volume="0"), 2, {"below_source_floor": 1}),
    Example("half a person", lambda: _row(volume="40.5"), 2, {"not_a_number": 1}),
    Example("French date", lambda: _row(date="02/03/2026"), 2, {"wrong_date": 1}),
    Example("future", lambda: _row(date="2099-03-02"), 2, {"date_in_future": 1}),
    Example("clock at zero", lambda: _row(date="1970-01-01"), 2, {"date_too_old": 1}),
    Example("quarter past", lambda: _row(time="08:15:00"), 2, {"wrong_time": 1}),
    Example("no kind", lambda: _row(kind=""), 2, {"missing_value": 1}),
    Example("stay in words", lambda: _days().replace(b"Sup3h", b"long"), 1, {"unknown_value": 1}),
    Example("one cell too many", lambda: _row(zone="Blois;"), 2, {"wrong_column_count": 1}),
    Example("NUL byte", lambda: _row(zone="B\0"), 2, {"nul_byte": 1}),
    Example("formula", lambda: _row(kind="@SUM(A1)"), 3, {}, {"formula_cell": 1}),
    Example("presence", lambda: _file(header="Zone;Date;Heures;Type;Autre;Volume"),
            malformed="missing_column"),
    Example("commas", lambda: _file().replace(b";", b","), malformed="wrong_delimiter"),
    Example("two encodings", lambda: _file() + b"Commune \xe9;", malformed="wrong_encoding"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a zip", lambda: b"PK\x03\x04" + b"\0" * 60, malformed="wrong_format"),
)  # fmt: skip

FLOWS: Final = Dataset(
    partner="orange",
    name="flows",
    title={"fr": "Flux par zone de nuitée et d'activité", "en": "Flows by zone of night and day"},
    source="Orange Flux Vision, presence30min-nuitee et presencejournee-activitenuitee",
    tables={"flows": FLOWS_SCHEMA, "zones": ZONES_SCHEMA},
    read=_read,
    examples=EXAMPLES,
    published=published(LAYOUT),
    delimiter=";",
)
