"""Try a file without pushing it: which columns it has, how many rows are good, what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from connectors.archives import looked_at
from connectors.contract import REASONS, Dataset, Malformed, Reading, Rejected, Warned
from connectors.csvblocks import names_of, normal
from connectors.report import Finding, report

HEADER: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Found:
    """A published column in a file: `source` is its header there, or how it is made.

    `absent` are the headers a column map names for it that the file does not have; `mapped` is
    whether a column map, where there is one, says anything of it.
    """

    name: str
    source: str
    needed: bool
    present: bool
    absent: tuple[str, ...] = ()
    mapped: bool = True


@dataclass(frozen=True, slots=True)
class Checked:
    """What would come of a file. `refused` is the code and place the whole of it is refused with.

    Where it is, the counts are of the rows read before. `skipped` rows are no part of the dataset
    and in no other count. `columns` is empty where the dataset is
    no table of one layout; `unread` counts columns that are in no published layout.
    """

    received: int
    valid: int
    findings: tuple[Finding, ...]
    columns: tuple[Found, ...] = ()
    unread: int = 0
    refused: tuple[str, str] | None = None
    skipped: int = 0

    @property
    def to_map(self) -> tuple[str, ...]:
        """Needed columns that neither the file nor the territory's column map has: to be added."""
        return tuple(c.name for c in self.columns if c.needed and not c.present and not c.mapped)

    @property
    def to_correct(self) -> tuple[str, ...]:
        """Headers the column map names and the file does not have."""
        return tuple(dict.fromkeys(header for c in self.columns for header in c.absent))

    @property
    def ok(self) -> bool:
        """Whether every row would be accepted."""
        return self.refused is None and self.received == self.valid

    def as_json(self) -> dict[str, Any]:
        """Everything, without content of the file."""
        code, where = self.refused or ("", "")
        return {
            "ok": self.ok,
            "received": self.received,
            "valid": self.valid,
            "rejected": self.received - self.valid,
            "left_aside": self.skipped,
            "refused": code,
            "where": where,
            "words": dict(REASONS[code].words) if code else {},
            "findings": [one.as_json() for one in self.findings],
            "columns": [
                {"name": c.name, "source": c.source, "needed": c.needed, "present": c.present}
                for c in self.columns
            ],
            "unread_columns": self.unread,
            "to_map": list(self.to_map),
            "to_correct": list(self.to_correct),
        }


def check(dataset: Dataset, opened: Callable[[], BinaryIO], reading: Reading) -> Checked:
    """Read a file to its end as a push would, storing nothing. `opened` opens it anew."""
    columns: tuple[Found, ...] = ()
    unread = 0
    if dataset.published:
        with opened() as file:
            columns, unread = _columns(dataset, file, reading)
    tally = _Tally()
    with opened() as file:
        findings = report(tally.rows(dataset, file, reading))
    return Checked(
        tally.received, tally.valid, findings, columns, unread, tally.refused, tally.skipped
    )


@dataclass(slots=True)
class _Tally:
    received: int = 0
    valid: int = 0
    skipped: int = 0
    refused: tuple[str, str] | None = None

    def rows(
        self, dataset: Dataset, file: BinaryIO, reading: Reading
    ) -> Iterator[Rejected | Warned]:
        try:
            for batch in dataset.read(file, reading):
                self.received += batch.received
                self.valid += batch.received - len(batch.rejected)
                self.skipped += batch.skipped
                yield from batch.rejected
                yield from batch.warned
        except Malformed as error:
            self.refused = error.code, error.where


def _columns(dataset: Dataset, file: BinaryIO, reading: Reading) -> tuple[tuple[Found, ...], int]:
    """Published columns against the header; none where there is no header to be read."""
    given = reading.column_map
    try:
        head = looked_at(file, reading, HEADER)[0].split(b"\n")[0].removeprefix(b"\xef\xbb\xbf")
        separator = given.separator if given else dataset.delimiter
        names = names_of(head.decode("latin-1").strip("\r"), separator)
        read_as_text = names_of(head.decode("utf-8", "replace").strip("\r"), separator)
    except Malformed:
        return (), 0
    present = {*names, *read_as_text}
    found, used = [], set()
    for column in dataset.published:
        theirs = given.columns.get(column.name, ()) if given else ()
        wanted = theirs or (column.name, *column.also)
        matched = [normal(name) for name in wanted if normal(name) in present]
        constant = bool(given and column.name in given.constants)
        used.update(matched)
        found.append(
            Found(
                name=column.name,
                source="(constante)" if constant else " + ".join(theirs) or column.name,
                needed=column.required,
                # Several headers of a map are all needed; several published names are one column.
                present=constant or len(matched) == len(wanted) or bool(matched and not theirs),
                absent=tuple(name for name in theirs if normal(name) not in present),
                mapped=given is None or constant or bool(theirs),
            )
        )
    return tuple(found), len(set(read_as_text) - used)
