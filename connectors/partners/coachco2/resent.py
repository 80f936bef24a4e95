"""Month-to-date posts: of each sender, measure, group and month only the last day's stand.

1. Rows are gathered and, where many are held, reduced: those of an earlier day than the last seen
   of their group and month are let go, each with a warning at its position.
2. At the end the table's earlier rows come in: where this file has a day as late or later they go
   (the later push replaces what it sends again), where it has only earlier days its own rows go.
3. What stands comes out, earlier rows too: the file is the next edition of the whole table. A file
   that adds nothing puts out nothing, and the edition before stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Batch, Reading, Warned

GROUP: Final = (
    "created_by", "measure", "mode", "modes", "school", "user_type", "direction", "is_main_mode",
    "main_mode",
)  # fmt: skip
DAY: Final = "start_date"
POSITION: Final = "position"
HELD: Final = 200_000
ROWS: Final = 50_000
CODE: Final = "sent_again"
_BLANK: Final = "\x1e"
_BETWEEN: Final = "\x1f"


def latest(batches: Iterator[Batch], schema: pa.Schema, reading: Reading) -> Iterator[Batch]:
    """What was counted of each batch as it comes, and the rows that stand last.

    `batches` have the schema and a column of positions; what comes out has the schema.
    """
    nothing = pa.RecordBatch.from_pylist([], schema=schema)
    held: pa.Table | None = None
    for batch in batches:
        part = pa.Table.from_batches([batch.records])
        held = part if held is None else pa.concat_tables([held, part])
        gone: tuple[Warned, ...] = ()
        if held.num_rows > HELD:
            held, gone = _reduced(held)
        yield Batch(batch.table, nothing, batch.received, batch.rejected, batch.warned + gone)
    if held is None:
        return
    held, gone = _reduced(held)
    before = reading.earlier()
    if before is not None and before.num_rows:
        held, again = _merged(held, before.select(schema.names).cast(schema))
        gone += again
    if gone:
        yield Batch(TABLE, nothing, 0, warned=gone)
    for rows in held.select(schema.names).combine_chunks().to_batches(max_chunksize=ROWS):
        yield Batch(TABLE, rows, 0)


TABLE: Final = "measures"


def _reduced(rows: pa.Table) -> tuple[pa.Table, tuple[Warned, ...]]:
    """Rows of the last day of their group and month, and warnings of the others."""
    (places,), days = _places(rows), _days(rows)
    stand = days == _last(places, days)[places]
    return rows.filter(pa.array(stand)), _told(rows, stand)


def _merged(new: pa.Table, before: pa.Table) -> tuple[pa.Table, tuple[Warned, ...]]:
    """Both as one edition; each is reduced already."""
    ours, theirs = _places(new, before)
    size = 1 + max(ours.max(initial=-1), theirs.max(initial=-1))
    present = _last(ours, _days(new), size)
    past = _last(theirs, _days(before), size)
    stand = present[ours] >= past[ours]
    if not stand.any():
        return new.slice(0, 0), _told(new, stand)
    kept = before.filter(pa.array(past[theirs] > present[theirs]))
    together = pa.concat_tables([kept, new.select(before.column_names).filter(pa.array(stand))])
    return together, _told(new, stand)


def _told(rows: pa.Table, stand: np.ndarray) -> tuple[Warned, ...]:
    positions = np.asarray(rows.column(POSITION))[~stand]
    return tuple(Warned(int(at), CODE, "startDate") for at in np.sort(positions))


def _days(rows: pa.Table) -> np.ndarray:
    return np.asarray(rows.column(DAY).cast(pa.int32()))


def _last(places: np.ndarray, days: np.ndarray, size: int | None = None) -> np.ndarray:
    """The last day of each group and month; long ago where there is no row of it."""
    found = np.full(1 + places.max(initial=-1) if size is None else size, np.iinfo(np.int32).min)
    np.maximum.at(found, places, days)
    return found


def _places(*tables: pa.Table) -> list[np.ndarray]:
    """A number for the group and month of each row, the same number in every table."""
    keys = []
    for rows in tables:
        parts = [pc.fill_null(rows.column(name).cast(pa.string()), _BLANK) for name in GROUP]
        month = pc.strftime(rows.column(DAY), "%Y-%m")
        keys.append(pc.binary_join_element_wise(*parts, month, _BETWEEN))
    whole = pa.chunked_array([chunk for key in keys for chunk in key.chunks], pa.string())
    numbers = np.asarray(whole.combine_chunks().dictionary_encode().indices)
    ends = np.cumsum([len(key) for key in keys])[:-1]
    return np.split(numbers, ends)
