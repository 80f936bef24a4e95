"""Examples of MOBSCO files, good and bad, in CSV and in Parquet."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.contract import Example
from connectors.partners.region.gtfs_samples import packed

HEADER: Final = "COMMUNE;ARM;DCETUF;DCETUE;AGEREV10;ILETUD;IPONDI;SEXE"
BLOIS: Final = "41018;ZZZZZ;41018;ZZZZZ;15;1;2.500000000000000;1"


def _file(*rows: str, header: str = HEADER) -> bytes:
    good = (
        "45234;ZZZZZ;45234;ZZZZZ;15;1;4.75;2",
        "45234;ZZZZZ;45234;ZZZZZ;15;1;5.25;1",
        "75056;75112;75105;ZZZZZ;18;2;3.00;1",
        "37261;ZZZZZ;ZZZZZ;BE006;18;7;1.00;2",
    )
    return "\n".join([header, *good, *rows, ""]).encode()


def _with(before: str, after: str) -> Callable[[], bytes]:
    return lambda: _file(BLOIS.replace(before, after, 1))


def parquet(content: bytes, **types: Any) -> bytes:
    """The same rows as INSEE ships them since 2021; `types` override a column's."""
    header, *lines = content.decode().splitlines()
    names = header.split(";")
    cells = dict(zip(names, zip(*(line.split(";") for line in lines), strict=True), strict=True))
    weights = [float(text) if text.strip() else None for text in cells["IPONDI"]]
    table = {name: pa.array(values, pa.string()) for name, values in cells.items()}
    table["IPONDI"] = pa.array(weights, pa.float64())
    for name, kind in types.items():
        table[name] = table[name].cast(kind)
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    return sink.getvalue()


def _zipped(**more: bytes) -> bytes:
    """As INSEE ships it: the persons beside the dictionary of values."""
    members = {"FD_MOBSCO_2020.csv": _file(), "Varmod_MOBSCO_2020.csv": b"COD_VAR;LIB_VAR\n"}
    return packed(members | {name.replace("__", "."): data for name, data in more.items()})


def _renamed() -> bytes:
    return parquet(_file().replace(b"DCETUF", b"dcetuf"))


_THREE: Final = {"commutes": 3}
_FOUR: Final = {"commutes": 4}

EXAMPLES: Final = (
    Example("four people, three cells", _file, valid=4, rows=_THREE),
    Example("parquet", lambda: parquet(_file()), valid=4, rows=_THREE),
    Example("parquet, ages as numbers", lambda: parquet(_file(), AGEREV10=pa.int8()), 4,
            rows=_THREE),
    Example("parquet, names in lower case", _renamed, valid=4, rows=_THREE),
    Example("parquet, gzip around it", lambda: gzip.compress(parquet(_file()), mtime=0), 4,
            rows=_THREE),
    Example("zip", _zipped, valid=4, rows=_THREE),
    Example("zip of parquet", lambda: packed({"RP2022_mobsco.parquet": parquet(_file())}), 4,
            rows=_THREE),
    Example("byte order mark", lambda: b"\xef\xbb\xbf" + _file(BLOIS), valid=5, rows=_FOUR),
    Example("windows line ends", lambda: _file(BLOIS).replace(b"\n", b"\r\n"), 5, rows=_FOUR),
    Example("no ARM", lambda: _file(header=HEADER.replace("ARM", "X")), 4, rows=_THREE),
    Example("Corsica", _with("41018", "2A004"), valid=5, rows=_FOUR),
    Example("header only", lambda: HEADER.encode() + b"\n", valid=0, rows={}),
    Example("no weight", _with("2.500000000000000", ""), 4, {"missing_value": 1}, rows=_THREE),
    Example("parquet without weight", lambda: parquet(_file(BLOIS.replace("2.500000000000000",
            ""))), 4, {"missing_value": 1}, rows=_THREE),
    Example("weight of zero", _with("2.500000000000000", "0"), 4, {"impossible_value": 1},
            rows=_THREE),
    Example("negative weight", _with("2.500000000000000", "-2"), 4, {"impossible_value": 1},
            rows=_THREE),
    Example("endless weight", _with("2.500000000000000", "1e999"), 4, {"not_a_number": 1},
            rows=_THREE),
    Example("decimal comma", _with("2.500000000000000", "2,5"), 4, {"not_a_number": 1},
            rows=_THREE),
    Example("residence filled", _with("41018;", "ZZZZZ;"), 4, {"wrong_code": 1}, rows=_THREE),
    Example("no commune of study", _with(";41018;", ";;"), 4, {"missing_value": 1}, rows=_THREE),
    Example("study in words", _with(";41018;", ";Blois;"), 4, {"wrong_code": 1}, rows=_THREE),
    Example("age in years", _with(";15;", ";16;"), 4, {"unknown_value": 1}, rows=_THREE),
    Example("no age", _with(";15;", ";;"), 4, {"missing_value": 1}, rows=_THREE),
    Example("cut in the last line", lambda: _file(BLOIS)[:-20], 4, {"wrong_column_count": 1},
            rows=_THREE),
    Example("NUL byte", _with("41018", "41\0"), 4, {"nul_byte": 1}, rows=_THREE),
    Example("commas", lambda: _file().replace(b";", b","), malformed="wrong_delimiter"),
    Example("commutes to work", lambda: _file(header=HEADER.replace("ILETUD", "TRANS")),
            malformed="wrong_dataset"),
    Example("no weights", lambda: _file().replace(b"IPONDI", b"POIDS"),
            malformed="missing_column"),
    Example("parquet without weights", lambda: parquet(_file().replace(b"AGEREV10", b"AGE")),
            malformed="missing_column"),
    Example("cut parquet", lambda: parquet(_file())[:-30], malformed="corrupt_archive"),
    Example("parquet in name only", lambda: b"PAR1" + b"\xff" * 60 + b"PAR1",
            malformed="corrupt_archive"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a zip that ends at once", lambda: b"PK\x03\x04" + b"\0" * 60,
            malformed="truncated"),
    Example("zip of two editions", lambda: _zipped(FD_MOBSCO_2019__csv=_file()),
            malformed="duplicate_table"),
    Example("zip of the dictionary alone", lambda: packed({"Varmod_MOBSCO_2020.csv": b"x"}),
            malformed="missing_table"),
    Example("zip in a zip", lambda: packed({"FD_MOBSCO_2020.csv": _zipped()}),
            malformed="wrong_format"),
    Example("zip that climbs", lambda: packed({"../FD_MOBSCO_2020.csv": _file()}),
            malformed="unsafe_archive"),
    Example("zip bomb", lambda: packed({"FD_MOBSCO_2020.csv": _file() + b"\n" * 60_000_000}),
            malformed="expands_too_much"),
)  # fmt: skip
