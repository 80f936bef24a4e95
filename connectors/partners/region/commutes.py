"""School commutes of the census: INSEE MOBSCO, persons in, cells out.

The file holds one line per person surveyed, without name or place beyond the commune; what leaves
here is residence × commune of study × age band. Weights are summed and never counted; the number
of records behind each cell stays beside them, since thresholds count people asked, not people
estimated. Neither a mode nor a school is in it. CSV until 2020, Parquet since, either alone or in
INSEE's zip, beside the dictionary of its values.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from connectors.archives import CHUNK, ZIP, Source, looked_at, peeked, unpacked
from connectors.contract import Batch, Dataset, Malformed, Reading
from connectors.csvblocks import normal
from connectors.csvrows import read_source
from connectors.documented import documented
from connectors.layouts import NUMBER, Column, Columns, Layout, Rule, matching, one_of, published
from connectors.partners.region.commutes_samples import EXAMPLES

PARQUET: Final = b"PAR1"
AGES: Final = ("02", "03", "04", "05", "06", "11", "15", "18", "25", "30")
"""First year of each band: 15 is 15–17, the nearest to lycée pupils the census has."""
ROWS: Final = 200_000
MERGE: Final = 1_000_000
MAX_ROWS: Final = 40_000_000
"""Lines in the largest edition are some millions; a run of one value packs without limit."""
_PERSON: Final = pa.schema(
    [
        pa.field("residence", pa.string(), nullable=False),
        pa.field("study", pa.string()),
        pa.field("age", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)
SCHEMA: Final = documented(
    ("residence", pa.string(), "commune de résidence", "commune of residence"),
    ("study", pa.string(), "commune d'études (vide : étranger)", "commune of study, if in France"),
    ("age", pa.string(), "début de la tranche d'âge (15 : 15-17 ans)", "first age of the band"),
    ("pupils", pa.float64(), "personnes, poids sommés", "people, weights summed"),
    ("records", pa.int64(), "personnes enquêtées, sans poids", "records, unweighted"),
    optional=("study",),
)


def _commune(blank: bool) -> str:
    """A commune, or where it may be missing INSEE's filler of Z."""
    return r"(?:\d{2}|2[AB])\d{3}" + ("|Z+" if blank else "")


def _filled(codes: pa.Array) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(codes, "^Z+$"), pa.scalar(None, pa.string()), codes)


def _finish(columns: Columns) -> Mapping[str, pa.Array]:
    # Communes of study are arrondissements in Paris, Lyon and Marseille: so are residences here.
    residence = pc.coalesce(_filled(columns["district"]), columns["commune"])
    return {**columns, "residence": residence, "study": _filled(columns["study"])}


def _no_weight(columns: Columns, _: Reading) -> pa.Array:
    return pc.or_(pc.less_equal(columns["weight"], 0.0), pc.greater(columns["weight"], 1000.0))


LAYOUT: Final = Layout(
    table="commutes",
    schema=_PERSON,
    delimiter=";",
    columns=(
        Column("commune", ("COMMUNE",), matching(_commune(blank=False)), "missing_value"),
        Column("district", ("ARM",), matching(_commune(blank=True)), required=False),
        Column("study", ("DCETUF",), matching(_commune(blank=True)), "missing_value"),
        Column("age", ("AGEREV10",), one_of(*AGES), "missing_value"),
        Column("weight", ("IPONDI",), NUMBER, "missing_value"),
    ),
    rules=(Rule("impossible_value", "weight", _no_weight),),
    finish=_finish,
    fast=True,
    # The census of commutes to work has the same look.
    foreign=("DCLT", "DCFLT", "TRANS"),
)


# INSEE's archive: FD_MOBSCO_2020.csv beside Varmod_MOBSCO_2020.csv; RP2022_mobsco.parquet.
MEMBER: Final = re.compile(
    r"(?:FD_)?(?:RP\d{4}_)?mobsco(?:_\d{4})?\.(?:csv|txt|parquet)", re.IGNORECASE
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    head, file = peeked(file)
    if head != ZIP:
        yield from _one(file, reading)
        return
    with unpacked(file, reading, MEMBER) as folder:
        members = sorted(folder.iterdir())
        if len(members) != 1:
            raise Malformed("duplicate_table" if members else "missing_table", "FD_MOBSCO")
        with members[0].open("rb") as member:
            yield from _one(member, reading)


def _one(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    head, source = looked_at(file, reading)
    if not head.startswith(PARQUET):
        yield from _summed(read_source(source, LAYOUT, reading))
        return
    with tempfile.TemporaryFile(prefix="hub-parquet-") as spool:
        _spool(source, spool, reading)
        yield from _summed(read_source(_Rows(spool, reading), LAYOUT, reading))


def _summed(batches: Iterator[Batch]) -> Iterator[Batch]:
    """What was counted of each block as it comes, and the cells of the whole file last."""
    parts: list[pa.Table] = []
    held = 0
    for batch in batches:
        nothing = SCHEMA.empty_table().to_batches()
        empty = nothing[0] if nothing else pa.RecordBatch.from_pylist([], schema=SCHEMA)
        yield Batch("commutes", empty, batch.received, batch.rejected, batch.warned, batch.skipped)
        ones = pa.repeat(pa.scalar(1, pa.int64()), batch.records.num_rows)
        parts.append(_cells(pa.table([*batch.records.columns, ones], names=_NAMES)))
        held += parts[-1].num_rows
        if held > MERGE:
            parts = [_cells(pa.concat_tables(parts))]
            held = parts[0].num_rows
    if parts:
        cells = _cells(pa.concat_tables(parts)).cast(SCHEMA)
        for part in cells.to_batches(max_chunksize=ROWS):
            yield Batch("commutes", part, 0)


_NAMES: Final = ["residence", "study", "age", "pupils", "records"]
_KEYS: Final = ["residence", "study", "age"]


def _cells(rows: pa.Table) -> pa.Table:
    summed = rows.group_by(_KEYS, use_threads=False).aggregate(
        [("pupils", "sum"), ("records", "sum")]
    )
    return summed.select([*_KEYS, "pupils_sum", "records_sum"]).rename_columns(_NAMES)


def _spool(source: Source, spool: IO[bytes], reading: Reading) -> None:
    size = 0
    while chunk := source.read(CHUNK):
        size += spool.write(chunk)
        if size > reading.max_expanded_bytes:
            raise Malformed("expands_too_much")
    spool.seek(0)


class _Rows:
    """A Parquet file as the CSV its columns would be, so that both are read by the same rules.

    Positions are then lines of that CSV: record n stands at n + 1.
    """

    def __init__(self, spool: IO[bytes], reading: Reading) -> None:
        try:
            self._file = pq.ParquetFile(spool)
            self._names = self._find()
            meta = self._file.metadata
            size = sum(meta.row_group(n).total_byte_size for n in range(meta.num_row_groups))
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise Malformed("corrupt_archive") from None  # their words may quote the file
        if size > reading.max_expanded_bytes or meta.num_rows > MAX_ROWS:
            raise Malformed("expands_too_much")
        self._parts = self._texts()
        self._left = b""

    def _find(self) -> dict[str, str]:
        wanted = {normal(h): h for column in LAYOUT.columns for h in column.header}
        found: dict[str, str] = {}
        for name in self._file.schema_arrow.names:
            if (published := wanted.get(normal(name))) is not None:
                if published in found.values():
                    raise Malformed("duplicate_column", published)
                found[name] = published
        return found

    def _texts(self) -> Iterator[bytes]:
        yield (";".join(self._names.values()) or "-").encode() + b"\n"
        if not self._names:
            return
        try:
            for batch in self._file.iter_batches(ROWS, columns=list(self._names)):
                texts = [pc.cast(column, pa.string()) for column in batch.columns]
                sink = pa.BufferOutputStream()
                options = csv.WriteOptions(include_header=False, delimiter=";")
                csv.write_csv(pa.table(texts, names=batch.schema.names), sink, options)
                yield sink.getvalue().to_pybytes()
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise Malformed("corrupt_archive") from None

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes of CSV, full but for the last."""
        while len(self._left) < size and (part := next(self._parts, b"")):
            self._left += part
        out, self._left = self._left[:size], self._left[size:]
        return out


COMMUTES: Final = Dataset(
    partner="region",
    name="commutes",
    title={"fr": "Déplacements domicile-études", "en": "Home-to-study commutes"},
    source="INSEE MOBSCO, CSV et Parquet",
    tables={"commutes": SCHEMA},
    read=_read,
    media_types=(
        "text/csv",
        "application/vnd.apache.parquet",
        "application/gzip",
        "application/zip",
    ),
    examples=EXAMPLES,
    published=published(LAYOUT),
    delimiter=";",
)
