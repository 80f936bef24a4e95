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

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analytics import recognise
from connectors.contract import Batch, Dataset, Malformed, Reading, Rejected, Warned
from consent import gate, pseudonyms
from consent.lookup import Places
from consent.names import NOBODY, Named, Names
from consent.remembered import Remembered
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
_AHEAD: Final = 7
"""Groups read before they are asked for: as many as are read while the gate is prepared and the
first group's people are named."""

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


@dataclass(frozen=True, slots=True)
class About:
    """Whom each row of a chunk is about, and what the gate said of them.

    A person is a row of `asked` (`digest`, `admitted`, `population`); that row and `before`
    together are a number no other person has within the push.
    """

    persons: Places
    asked: pa.RecordBatch
    before: int


@final
class Admitted(_Chunk):
    """Rows of which it is decided who has a lawful basis for their purpose, and who has not.

    `about` says it, None where rows are about nobody. Rows of those refused stand between the
    others, with no reference and no name, until rows are copied: that is once, in the order they
    are stored in, and without them.
    """

    about: About | None = None


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
        self._named: dict[str, Names] = {}

    def answers(self, references: pa.Array) -> About:
        """Whom each row is about, given its raw reference, and what was asked about them."""
        persons = self._asked.places(references)
        assert self._asked.made is not None
        return About(persons, self._asked.made, self._asked.forgotten)

    def names(self, period: str) -> Names:
        """The pseudonyms of a period."""
        if period not in self._named:
            self._named[period] = Names(self._key_of(period))
        return self._named[period]

    def _ask(self, references: pa.Array) -> pa.RecordBatch:
        digests = pseudonyms.digests(self._digest_key, self.agreement.partner, references)
        verdict = gate.admit(digests, str(self.agreement.basis), self._standing)
        return pa.record_batch(
            [digests, verdict.admitted, pc.dictionary_encode(verdict.population)],
            names=["digest", "admitted", "population"],
        )


def admit(chunk: Recognised, people: People) -> Admitted:
    """Pass the consent gate: it is decided of each person whether their rows go on.

    Removes the raw reference. Silence refuses where the basis is consent; an objection refuses
    where it is a public task.
    """
    if chunk.dataset.subject is None:
        if people.agreement.basis != "not_personal":
            raise TypeError(f"{chunk.dataset.key} is about nobody but its basis is a person's")
        return Admitted._mint(chunk.dataset, chunk.table, chunk.rows)
    stage = Admitted._mint(chunk.dataset, chunk.table, chunk.rows.drop_columns(["subject"]))
    stage.about = people.answers(chunk.rows.column("subject").combine_chunks())
    return stage


def pseudonymise(chunk: Admitted, people: People) -> Pseudonymous:
    """Give each person the pseudonym of the row's period, and put rows in order of their buckets.

    Rows of those the gate refused end here: they have no place in that order. Adds `pseudonym`,
    `bucket` and `population`. Rows are copied here whomever it refused: work saved in each chunk
    that one person is not refused in would add up to a time that tells of them.
    """
    if chunk.dataset.subject is None:
        return Pseudonymous._mint(chunk.dataset, chunk.table, chunk.rows)
    assert chunk.about is not None
    about, refused = chunk.about, set[tuple[str, int]]()
    whole = chunk.rows.combine_chunks()
    named = []
    for period, which in _by_period(whole.column("period")):
        persons = about.persons[which]
        names = people.names(period).of(persons, about.before, about.asked)
        order = names.order if isinstance(which, slice) else which.take(names.order)
        rows = whole.take(pa.array(order))
        named.append(_with_names(rows, persons.take(names.order), about, names))
        refused |= {(period, bucket) for bucket in names.refused}
    if not named:
        named.append(_with_names(whole, about.persons, about, NOBODY))
    rows = pa.concat_tables(named)
    return Pseudonymous._mint(chunk.dataset, chunk.table, rows, frozenset(refused))


def _with_names(rows: pa.Table, persons: Places, about: About, names: Named) -> pa.Table:
    """Rows in the order they are stored in, with what they are stored by."""
    told = about.asked.column("population").take(pa.array(persons))
    rows = rows.append_column("population", told)
    rows = rows.append_column("pseudonym", pa.chunked_array(names.pseudonyms, pa.binary()))
    return rows.append_column("bucket", pa.array(names.buckets))


def _by_period(periods: pa.ChunkedArray) -> Iterator[tuple[str, slice | npt.NDArray[np.intp]]]:
    """The rows of each period, in order of periods."""
    # Of a dictionary's values there may be no row, but there are few to look at.
    few = periods if pa.types.is_dictionary(periods.type) else periods.dictionary_encode()
    told = {period for chunk in few.chunks for period in chunk.dictionary.to_pylist()}
    if len(told) == 1 and len(periods):  # as in a chunk of a file in order of time
        yield from ((period, slice(None)) for period in told)
        return
    for period in sorted(told):
        which = np.flatnonzero(pc.equal(periods, period).to_numpy())
        if len(which):
            yield period, which
