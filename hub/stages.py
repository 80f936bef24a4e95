"""Stages: types that carry the proof that a gate was passed.

    Parsed, Recognised, Admitted, Pseudonymous, Stored … Opened, Measured, Protected, Approved

Each stage is a type that exactly one function can make, and the next accepts only that, so that a
pipeline which skips a gate does not type-check: constructors take `Never`, and `_mint` is called
by the one maker `MAKERS` names (a test reads the tree to see that it is so).

The stages of a push hold one Arrow table, a chunk of one of the dataset's tables. Work is done on
*distinct* identifiers, never row by row in Python. Raw identifiers exist up to `Admitted`;
places and times are coarse from `Recognised` on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final, Never, Self, TypeVar, final

import pyarrow as pa
import pyarrow.compute as pc

from analytics import recognise
from connectors.contract import Batch, Dataset, Malformed, Reading, Rejected, Warned
from consent import gate, pseudonyms
from consent.remembered import Numbered, Remembered
from hub.records import Agreement

MAKERS: Final[Mapping[str, str]] = {
    "Parsed": "hub.stages.parse",
    "Recognised": "hub.stages.recognise_rows",
    "Admitted": "hub.stages.admit",
    "Pseudonymous": "hub.stages.pseudonymise",
    "Stored": "hub.storage.tables.append",
    "Opened": "hub.storage.tables.snapshot",
    "Measured": "hub.release.measure",
    "Protected": "hub.release.guard",
    "Approved": "hub.release.approve",
}


GROUP: Final = 262_144
"""Rows of people that go on together: what is asked once a group is asked seldom enough."""
_STEP: Final = 1 << 20
_AHEAD: Final = 4

Chunk = TypeVar("Chunk")


class _Stage:
    """Base of the stages: no public constructor."""

    def __init__(self, *_: Never) -> None:
        raise TypeError(f"{type(self).__name__} is made only by {MAKERS[type(self).__name__]}")


class _Chunk(_Stage):
    """A stage of a push: rows of one table of one dataset.

    `refused` are periods and buckets where the gate let rows not in: no more than how many files
    they would have been, so that storing the others can take as long.
    """

    dataset: Dataset
    table: str
    rows: pa.Table
    refused: frozenset[tuple[str, int]]

    @classmethod
    def _mint(
        cls,
        dataset: Dataset,
        table: str,
        rows: pa.Table,
        refused: frozenset[tuple[str, int]] = frozenset(),
    ) -> Self:
        stage = object.__new__(cls)
        stage.dataset, stage.table, stage.rows, stage.refused = dataset, table, rows, refused
        return stage


@final
class Parsed(_Chunk):
    """Typed rows out of a connector; whoever they concern is still named as the partner does."""


@final
class Recognised(_Chunk):
    """School trips kept, the rest dropped; places and times coarse from here on."""


@final
class Admitted(_Chunk):
    """Rows that have a lawful basis for their purpose, with each person's digest."""


@final
class Pseudonymous(_Chunk):
    """Rows that may be stored: no raw identifier; period, bucket and pseudonym instead."""


@final
class Stored(_Stage):
    """Rows committed to a table, once: `version` is the Delta version that holds them."""

    table: str
    version: int
    rows: int

    @classmethod
    def _mint(cls, table: str, version: int, rows: int) -> Self:
        stage = object.__new__(cls)
        stage.table, stage.version, stage.rows = table, version, rows
        return stage


@final
class Opened(_Stage):
    """Tables pinned at a version, as lists of Parquet files to be read with hive partitioning.

    `versions` maps a table's name to its Delta version, `files` to its live files. A table that
    holds nothing is present with an empty list.
    """

    versions: Mapping[str, int]
    files: Mapping[str, tuple[str, ...]]

    @classmethod
    def _mint(cls, versions: Mapping[str, int], files: Mapping[str, tuple[str, ...]]) -> Self:
        stage = object.__new__(cls)
        stage.versions, stage.files = dict(versions), dict(files)
        return stage


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How bad a file may be before all of it is refused instead of its rows set aside.

    A file of at least `rows` rows of which more than `share` are bad, or with more than `most`
    bad rows. At most `raw_bytes` of bad rows are held; further ones are set aside without content.
    """

    rows: int = 1_000
    share: float = 0.5
    most: int = 250_000
    raw_bytes: int = 64 * 1024 * 1024


@dataclass(slots=True)
class Tally:
    """What a push counts on its way; `received = valid + rejected`.

    `skipped` rows are no part of the dataset; `dropped` ones are, and are not what the hub is for.
    """

    received: int = 0
    valid: int = 0
    skipped: int = 0
    dropped: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    warned: list[Warned] = field(default_factory=list)
    tolerance: Tolerance = Tolerance()
    raw_bytes: int = 0

    def take(self, batch: Batch) -> None:
        """Count a batch in. Raises `Malformed` where too much of the file is bad already."""
        self.received += batch.received
        self.valid += batch.received - len(batch.rejected)
        self.skipped += batch.skipped
        self.warned.extend(batch.warned)
        for row in batch.rejected:
            self.raw_bytes += len(row.raw or b"")
            room = self.raw_bytes <= self.tolerance.raw_bytes
            self.rejected.append(row if room else replace(row, raw=None))
        if len(self.rejected) > self.tolerance.most:
            raise Malformed("mostly_rejected")

    def close(self) -> None:
        """Judge the whole. Raises `Malformed` where most of the file is bad."""
        bad = len(self.rejected)
        if self.received >= self.tolerance.rows and bad > self.tolerance.share * self.received:
            raise Malformed("mostly_rejected")


@dataclass(frozen=True, slots=True)
class Treatment:
    """How a personal dataset is made coarse, and whether that needs the whole file at once."""

    coarsen: Callable[[pa.Table, recognise.Places, recognise.Rules], pa.Table]
    whole_file: bool


TREATMENTS: Final[Mapping[str, Treatment]] = {
    # Recurrence over a person's trips is what tells a home: the whole file is needed.
    "coachco2/trips": Treatment(recognise.recognise, whole_file=True),
    "transdev/validations": Treatment(recognise.coarsen_taps, whole_file=False),
}
"""Every dataset with a subject has an entry, unless its rows are acts."""

ACTS: Final = frozenset({"transdev/objections"})
"""Datasets whose rows are no rows to keep but something people do: they reach no table."""


def parse(dataset: Dataset, file: BinaryIO, reading: Reading, tally: Tally) -> Iterator[Parsed]:
    """Read a partner's file in chunks, counting into `tally`, and to its very end.

    Raises `Malformed`, for a file that is mostly bad only after its last good chunk, and what
    reading `file` raises: that a sealed file is whole is known at its end. Nothing may be
    committed, and no file refused, before this has ended.
    """
    try:
        for batch in dataset.read(file, reading):
            tally.take(batch)
            if batch.records.num_rows:
                yield Parsed._mint(dataset, batch.table, pa.Table.from_batches([batch.records]))
        tally.close()
    except Malformed:
        _to_the_end(file)
        raise
    _to_the_end(file)


def _to_the_end(file: BinaryIO) -> None:
    while file.read(_STEP):
        pass


def recognise_rows(
    chunks: Iterable[Parsed], places: recognise.Places, rules: recognise.Rules, tally: Tally
) -> Iterator[Recognised]:
    """Keep what the hub exists for, coarse in place and time; count the rest as dropped."""
    waiting: list[Parsed] = []
    for chunk in chunks:
        if chunk.dataset.subject is None:
            yield Recognised._mint(chunk.dataset, chunk.table, chunk.rows)
            continue
        waiting.append(chunk)
        if TREATMENTS[chunk.dataset.key].whole_file:
            continue
        if sum(one.rows.num_rows for one in waiting) >= GROUP:
            rows = _coarse(waiting, places, rules, tally)
            waiting = []
            yield Recognised._mint(chunk.dataset, chunk.table, rows)
    if waiting:
        rows = _coarse(waiting, places, rules, tally)
        yield Recognised._mint(waiting[0].dataset, waiting[0].table, rows)


def _coarse(
    chunks: list[Parsed], places: recognise.Places, rules: recognise.Rules, tally: Tally
) -> pa.Table:
    together = pa.concat_tables([chunk.rows for chunk in chunks])
    rows = TREATMENTS[chunks[0].dataset.key].coarsen(together, places, rules)
    tally.dropped += together.num_rows - rows.num_rows
    return rows


@contextmanager
def ahead(chunks: Iterator[Chunk]) -> Iterator[Iterator[Chunk]]:
    """The same chunks, read on a thread of their own, a few before they are asked for.

    Reading begins at once, and has stopped when the context ends. What it raises is raised where
    the chunk would have come.
    """
    with ThreadPoolExecutor(1, "reading") as pool:
        waiting = deque(pool.submit(next, chunks, None) for _ in range(_AHEAD))

        def taken() -> Iterator[Chunk]:
            while (chunk := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, chunks, None))
                yield chunk

        try:
            yield taken()
        finally:
            pool.shutdown(cancel_futures=True)


class People:
    """Whom a push is about: the gate's answer and the pseudonyms, asked for once for each person.

    `standing` is that of the moment the writer lease was held; `key_of` maps a period
    ("2025-2026", "2026-03") to the key of the agreement's purpose and that period.
    """

    def __init__(
        self,
        agreement: Agreement,
        standing: gate.Standing,
        digest_key: bytes,
        key_of: Callable[[str], bytes],
    ) -> None:
        self.agreement = agreement
        self._standing, self._digest_key, self._key_of = standing, digest_key, key_of
        self._asked = Remembered(self._ask)
        self._named: dict[str, Numbered] = {}

    def answers(self, references: pa.Array) -> tuple[pa.Array, pa.RecordBatch, int]:
        """About each raw reference: its row in the batch, with `digest`, `admitted`, `population`.

        The row and the last of the three together number a person, within the push.
        """
        places = self._asked.places(references)
        assert self._asked.made is not None
        return places, self._asked.made, self._asked.forgotten

    def names(self, period: str, persons: pa.Array, digests: pa.Array) -> pa.RecordBatch:
        """`pseudonym` and `bucket` in a period of each of these persons, given their digests."""
        if period not in self._named:
            key = self._key_of(period)
            self._named[period] = Numbered(lambda unseen: _named(key, unseen))
        places = self._named[period].places(persons, digests)
        made = self._named[period].made
        assert made is not None
        return made.take(places)

    def _ask(self, references: pa.Array) -> pa.RecordBatch:
        digests = pseudonyms.digests(self._digest_key, self.agreement.partner, references)
        verdict = gate.admit(digests, str(self.agreement.basis), self._standing)
        return pa.record_batch(
            [digests, verdict.admitted, pc.dictionary_encode(verdict.population)],
            names=["digest", "admitted", "population"],
        )


def _named(key: bytes, digests: pa.Array) -> pa.RecordBatch:
    names = pseudonyms.pseudonyms(key, digests.cast(pa.binary()))
    # Of one width they are taken four times as quickly.
    fixed = names.cast(pa.binary(pseudonyms.PSEUDONYM_BYTES))
    return pa.record_batch([fixed, pseudonyms.buckets(names)], names=["pseudonym", "bucket"])


NO_NAMES: Final = pa.record_batch(
    [pa.nulls(0, pa.binary()), pa.nulls(0, pa.int16())], names=["pseudonym", "bucket"]
)


def admit(chunk: Recognised, people: People) -> Admitted:
    """Pass the consent gate: rows without a lawful basis end here.

    Adds columns `digest` (keyed, 32 bytes), `population` and `person` (a number within the push),
    removes the raw reference. Silence refuses where the basis is consent; an objection refuses
    where it is a public task.
    """
    rows = chunk.rows
    if chunk.dataset.subject is None:
        if people.agreement.basis != "not_personal":
            raise TypeError(f"{chunk.dataset.key} is about nobody but its basis is a person's")
        return Admitted._mint(chunk.dataset, chunk.table, rows)
    places, answers, before = people.answers(rows.column("subject").combine_chunks())
    admitted = answers.column("admitted").take(places)
    # Also where all are admitted: work saved in each chunk that one person is not refused in would
    # add up to a time that tells of them.
    out = pc.invert(admitted)
    refused = _refused(
        rows.column("period").filter(out), answers.column("digest").take(places.filter(out))
    )
    rows, places = rows.drop_columns(["subject"]).filter(admitted), places.filter(admitted)
    digests = pa.DictionaryArray.from_arrays(places, answers.column("digest"))
    rows = rows.append_column("digest", digests)
    rows = rows.append_column("population", answers.column("population").take(places))
    rows = rows.append_column("person", pc.add(places, before))
    return Admitted._mint(chunk.dataset, chunk.table, rows, refused)


def _refused(periods: pa.ChunkedArray, digests: pa.Array) -> frozenset[tuple[str, int]]:
    """Periods, and buckets by the leading bits of the digest, that rows would have been in.

    Of the digest, since who is refused gets no pseudonym; so the same each time, as a bucket is.
    """
    leading = pc.binary_slice(digests.cast(pa.binary()), 0, pseudonyms.PSEUDONYM_BYTES)
    buckets = pseudonyms.buckets(leading)
    return frozenset(
        (period, bucket)
        for period in pc.unique(periods).to_pylist()
        for bucket in pc.unique(buckets.filter(pc.equal(periods, period))).to_pylist()
    )


def pseudonymise(chunk: Admitted, people: People) -> Pseudonymous:
    """Replace each person's digest by the pseudonym of the row's period, and give its bucket."""
    rows = chunk.rows
    if chunk.dataset.subject is None:
        return Pseudonymous._mint(chunk.dataset, chunk.table, rows)
    parts: list[pa.Table] = []
    # Without a row, one part all the same: it has the table's columns.
    periods = sorted(pc.unique(rows.column("period")).to_pylist()) or [""]
    for period in periods:
        # A chunk of a file in order of time is of one period, and need not be copied.
        part = rows if len(periods) == 1 else rows.filter(pc.equal(rows.column("period"), period))
        persons, digests = (part.column(name).combine_chunks() for name in ("person", "digest"))
        names = people.names(period, persons, digests) if period else NO_NAMES
        part = part.drop_columns(["digest", "person"])
        part = part.append_column("pseudonym", names.column("pseudonym").cast(pa.binary()))
        part = part.append_column("bucket", names.column("bucket"))
        parts.append(part)
    return Pseudonymous._mint(chunk.dataset, chunk.table, pa.concat_tables(parts), chunk.refused)
