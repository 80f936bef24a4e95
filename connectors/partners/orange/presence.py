"""Orange Flux Vision: people present in a zone by half hour (`presence30min`), and visitors.

A zip is a Tourisme delivery (`connectors.partners.orange.visitors`).

Column names and values are attested by public parsers, not by a published specification; the
order of columns is not attested, so they are read by name. A row that is missing means withheld
or nobody, never 0; a volume under 20 should not have been delivered and is set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.archives import ZIP, peeked
from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvrows import read_csv
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
    published,
)
from connectors.partners.orange.visitors import FLOOR, read_visitors
from connectors.partners.orange.visitors import SCHEMA as VISITORS
from connectors.partners.orange.visitors_samples import VISITOR_EXAMPLES

NOT_GIVEN: Final = "-1"

SCHEMA: Final = documented(
    ("zone", pa.string(), "zone d'observation", "zone observed"),
    ("date", pa.date32(), "jour", "day"),
    ("time", pa.string(), "début de la demi-heure, HH:MM", "start of the half hour, HH:MM"),
    ("kind", pa.string(), "type de visiteur", "kind of visitor"),
    ("volume", pa.int64(), "personnes présentes, extrapolé", "people present, extrapolated"),
)


def _finish(columns: Columns) -> Mapping[str, pa.Array]:
    return {**columns, "time": pc.utf8_slice_codeunits(columns["time"], 0, 5)}


LAYOUT: Final = Layout(
    table="presence",
    schema=SCHEMA,
    delimiter=";",
    columns=(
        Column("zone", ("Zone",), blank="missing_value"),
        Column("date", ("Date",), DATE, "missing_value"),
        Column(
            "time",
            ("Heures", "Heure"),
            matching(r"(?:[01]\d|2[0-3]):[03]0(?::00)?", "wrong_time"),
            "missing_value",
        ),
        Column("kind", ("Type",), blank="missing_value"),
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
    # The same delivery split by where people slept or spent the day: summing it counts twice.
    foreign=("ZoneNuitee", "ZoneActivite", "Duree"),
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    head, file = peeked(file)
    return read_visitors(file, reading) if head == ZIP else read_csv(file, LAYOUT, reading)


def _file(*rows: str, header: str = "Zone; Date; Heures; Type; Volume") -> bytes:
    good = (
        "Commune Orléans; 2026-03-02; 07:00:00; Français; 1520",
        "Commune Orléans; 2026-03-02; 07:30:00; Français; 2040",
        "IRIS 452340101; 2026-03-02; 07:30:00; Etrangers; 20",
    )
    return "\n".join([header, *good, *rows, ""]).encode()


def _row(
    zone: str = "Commune Blois",
    date: str = "2026-03-02",
    time: str = "08:00:00",
    kind: str = "Etrangers",
    volume: str = "40",
) -> bytes:
    return _file("; ".join((zone, date, time, kind, volume)))


EXAMPLES: Final = (
    Example("three half hours", _file, valid=3),
    Example("latin-1", lambda: _file().decode().encode("latin-1"), valid=3),
    Example("no blanks", lambda: _file().replace(b"; ", b";"), valid=3),
    Example("windows line ends", lambda: _file().replace(b"\n", b"\r\n"), valid=3),
    Example("byte order mark", lambda: b"\xef\xbb\xbf" + _file(), valid=3),
    Example("other order of columns",
            lambda: b"Volume;Type;Heures;Date;Zone\n50;Etrangers;06:30:00;2026-03-02;Zone A\n", 1),
    Example("header only", lambda: b"Zone;Date;Heures;Type;Volume\n", valid=0),
    Example("no zone", lambda: _row(zone=" "), 3, {"missing_value": 1}),
    Example("zone not given", lambda: _row(zone="-1"), 3, {"missing_value": 1}),
    Example("no volume", lambda: _row(volume=""), 3, {"missing_value": 1}),
    Example("volume not given", lambda: _row(volume="-1"), 3, {"missing_value": 1}),
    Example("under the floor", lambda: _row(volume="19"), 3, {"below_source_floor": 1}),
    Example("zero is under the floor", lambda: _row(volume="0"), 3, {"below_source_floor": 1}),
    Example("half a person", lambda: _row(volume="40.5"), 3, {"not_a_number": 1}),
    Example("French date", lambda: _row(date="02/03/2026"), 3, {"wrong_date": 1}),
    Example("future", lambda: _row(date="2099-03-02"), 3, {"date_in_future": 1}),
    Example("quarter past", lambda: _row(time="08:15:00"), 3, {"wrong_time": 1}),
    Example("no kind", lambda: _row(kind=""), 3, {"missing_value": 1}),
    Example("one cell too many", lambda: _row(zone="Blois;"), 3, {"wrong_column_count": 1}),
    Example("NUL byte", lambda: _row(zone="B\0"), 3, {"nul_byte": 1}),
    Example("cut in the last line", lambda: _file()[:-18], 2, {"wrong_column_count": 1}),
    Example("commas", lambda: _file().replace(b";", b","), malformed="wrong_delimiter"),
    Example("no volumes", lambda: _file().replace(b"Volume", b"Vol"), malformed="missing_column"),
    Example("by night zone", lambda: _file(header="Zone;Date;Heures;Type;ZoneNuitee"),
            malformed="wrong_dataset"),
    Example("two encodings", lambda: _row(zone="Commune é").replace("é".encode(), b"\xe9"),
            malformed="wrong_encoding"),
    Example("UTF-16", lambda: _file().decode().encode("utf-16"), malformed="wrong_encoding"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a zip that ends at once", lambda: b"PK\x03\x04" + b"\0" * 60,
            malformed="truncated"),
)  # fmt: skip

PRESENCE: Final = Dataset(
    partner="orange",
    name="presence",
    title={"fr": "Présence par demi-heure, visiteurs", "en": "Presence by half hour, visitors"},
    source="Orange Flux Vision presence30min et Tourisme",
    tables={"presence": SCHEMA, "visitors": VISITORS},
    read=_read,
    media_types=("text/csv", "application/gzip", "application/zip"),
    examples=(*EXAMPLES, *VISITOR_EXAMPLES),
    published=published(LAYOUT),
    delimiter=";",
)
