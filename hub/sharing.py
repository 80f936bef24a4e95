"""Sharing: published releases as the shares, schemas and tables of the Delta Sharing protocol.

The territory is the one share, a measure a schema, a period a table; the editions of a release are
the versions of its table, each one Parquet file. Only what is published can be named here: this
module knows releases, never the tables of rows.

Each edition is asked of the policy for the one who reads (`Given`): open releases for every
recipient, and with the profile of an approved request what that one gives. An edition under
embargo is not there yet: the newest that may be read is the table's version, and asking for the
other by its number is refused with the policy's reasons. Between editions the whole table changes:
the change feed says that all rows of one were deleted and all rows of the next inserted.

The answers are the protocol's lines of JSON, in its two response formats (`parquet`, `delta`):
https://github.com/delta-io/delta-sharing/blob/main/PROTOCOL.md
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from hub.errors import NotFound, Rejected, Unavailable
from hub.parts import Actor, Parts
from hub.policy.gate import Decision
from hub.records import Release
from hub.release import question, readable

PARQUET: Final = "parquet"
DELTA: Final = "delta"
FORMATS: Final = (PARQUET, DELTA)
"""Response formats, the preferred first: every client reads it."""
Line = Mapping[str, Any]
Linker = Callable[[Release], tuple[str, datetime]]
"""Gives the address of an edition's file for the one who reads, and when it ends."""
_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.bool_(): "boolean",
    pa.int8(): "byte",
    pa.int16(): "short",
    pa.int32(): "integer",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.binary(): "binary",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What the answers say of an edition's file: bytes, rows, schema as Delta's JSON."""

    size: int
    rows: int
    schema: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table for one reader: the editions it may read, oldest first."""

    share: str
    schema: str
    name: str
    editions: Sequence[Release]

    @property
    def id(self) -> str:
        """The same for as long as the table is, and no other's."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.share}/{self.schema}/{self.name}"))

    @property
    def last(self) -> Release:
        """The newest edition."""
        return self.editions[-1]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the change feed as it was asked for; versions, or times in ISO 8601."""

    first: int | None = None
    last: int | None = None
    since: str | None = None
    until: str | None = None


class Given(Protocol):
    """What one reader is given: which editions, and the bytes of each."""

    @property
    def actor(self) -> Actor:
        """Who reads."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the event of a reading says beside who reads and what."""
        ...

    def readable(self, release: Release) -> bool:
        """Whether an edition may be shown; asking is not reading it."""
        ...

    def require(self, release: Release) -> Decision:
        """The yes to handing an edition out. Raises `Denied`, `Unavailable`."""
        ...

    def data(self, release: Release) -> bytes:
        """The Parquet bytes of an edition."""
        ...

    def key(self, release: Release) -> str:
        """What tells these bytes from any other's."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """Releases as published, for a recipient of no request: those the policy lets it read."""

    parts: Parts
    whole: Callable[[Release], bytes]
    actor: Actor
    purpose: str | None

    def facts(self) -> dict[str, Any]:
        """The purpose it was admitted for."""
        return {"purpose": self.purpose or ""}

    def readable(self, release: Release) -> bool:
        """As `release_read` says."""
        return readable(self.parts, release, self.actor, self.purpose)

    def require(self, release: Release) -> Decision:
        """As `release_read` says; a no is recorded."""
        asked = question(self.parts, release, self.purpose)
        return self.parts.require("release_read", self.actor, asked)

    def data(self, release: Release) -> bytes:
        """The whole table."""
        return self.whole(release)

    def key(self, release: Release) -> str:
        """Its digest."""
        return release.digest


class Shares:
    """What is shared with one reader."""

    def __init__(self, parts: Parts, given: Given, known: dict[str, Described]) -> None:
        """`known` is kept by the caller: what was described once, by `Given.key`."""
        self._parts, self._given, self._known = parts, given, known
        self.name: str = parts.territory.id

    def share(self, name: str) -> str:
        """The share of this name. Raises `NotFound`; names do not tell capitals from small."""
        if name.casefold() != self.name.casefold():
            raise _nothing("share")
        return self.name

    def tables(self) -> list[Table]:
        """Every table with something to read, by schema and name."""
        found: dict[tuple[str, str], list[Release]] = {}
        for release in self._parts.books.releases():
            if self._readable(release):
                found.setdefault((release.measure, release.period), []).append(release)
        return [
            Table(self.name, *key, _by_version(editions)) for key, editions in sorted(found.items())
        ]

    def schemas(self) -> list[str]:
        """Every schema with a table."""
        return sorted({table.schema for table in self.tables()})

    def schema(self, name: str) -> str:
        """The schema of this name. Raises `NotFound`."""
        for one in self.schemas():
            if one.casefold() == name.casefold():
                return one
        raise _nothing("schema")

    def table(self, share: str, schema: str, name: str, version: int | None = None) -> Table:
        """One table. Raises `NotFound`, or `Denied` where there is nothing of it to read yet.

        With a version, that edition is asked for itself: a no is recorded and says its reasons.
        """
        self.share(share)
        measure, period = schema.casefold(), name.casefold()
        editions = [
            one
            for one in self._parts.books.releases()
            if (one.measure.casefold(), one.period.casefold()) == (measure, period)
            and PARQUET in one.manifest["digest"]
        ]
        if not editions:
            raise _nothing("table")
        readable = [one for one in editions if self._readable(one)]
        if not readable:
            self.require(editions[-1])
        for one in editions:
            if one.version == version:
                self.require(one)
        return Table(self.name, editions[0].measure, editions[0].period, _by_version(readable))

    def require(self, release: Release) -> Decision:
        """The yes to handing an edition out. Raises `Denied`, `Unavailable`."""
        return self._given.require(release)

    def _readable(self, release: Release) -> bool:
        return PARQUET in release.manifest["digest"] and self._given.readable(release)

    def described(self, release: Release) -> Described:
        """An edition's file. Raises `Unavailable` where it cannot be read or shared."""
        key = self._given.key(release)
        if key not in self._known:
            self._known[key] = describe(self._given.data(release))
        return self._known[key]

    def head(self, table: Table, edition: Release, kind: str) -> Iterator[Line]:
        """The first two lines of every answer: protocol and metadata."""
        if kind == DELTA:
            # Writer version 4 is the first that knows the change feed.
            yield {"protocol": {"deltaProtocol": {"minReaderVersion": 1, "minWriterVersion": 4}}}
        else:
            yield {"protocol": {"minReaderVersion": 1}}
        yield self._metadata(table, edition, kind)

    def snapshot(self, table: Table, edition: Release, kind: str, link: Linker) -> Iterator[Line]:
        """An edition as a table: head and its file."""
        yield from self.head(table, edition, kind)
        made = self.described(edition)
        url, until = link(edition)
        file = {
            "id": edition.digest,
            "version": edition.version,
            "timestamp": _ms(edition.published_at),
            "expirationTimestamp": _ms(until),
        }
        stats = json.dumps({"numRecords": made.rows})
        if kind == DELTA:
            add = _add(edition, made, url) | {"stats": stats}
            yield {"file": file | {"deltaSingleAction": {"add": add}}}
        else:
            said = {"url": url, "partitionValues": {}, "size": made.size, "stats": stats}
            yield {"file": file | said}

    def changes(
        self, table: Table, editions: Sequence[Release], kind: str, link: Linker
    ) -> Iterator[Line]:
        """The change feed over these editions: of each, the one before out and itself in.

        Raises `Rejected` where their columns differ: no client could read the two as one table.
        """
        if len({self.described(one).schema for one in editions}) > 1:
            raise Rejected(
                "columns-changed",
                fr="Les colonnes ont changé entre ces versions : lisez chacune à part.",
                en="The columns changed between these versions: read each by itself.",
                who="person",
            )
        yield from self.head(table, editions[0], kind)
        for edition in editions:
            before = [one for one in table.editions if one.version < edition.version][-1:]
            for one, action in (*((gone, "remove") for gone in before), (edition, "add")):
                yield self._change(edition, one, action, kind, link)

    def _change(
        self, edition: Release, file: Release, action: str, kind: str, link: Linker
    ) -> Line:
        made = self.described(file)
        url, until = link(file)
        said: dict[str, Any] = {
            "id": f"{edition.version}-{file.digest}",
            "version": edition.version,
            "timestamp": _ms(edition.published_at),
            "expirationTimestamp": _ms(until),
        }
        if kind != DELTA:
            return {action: said | {"url": url, "partitionValues": {}, "size": made.size}}
        done = _add(file, made, url)
        if action == "remove":
            gone = {"deletionTimestamp": said["timestamp"], "extendedFileMetadata": True}
            done = {k: v for k, v in done.items() if k != "modificationTime"} | gone
        return {"file": said | {"deltaSingleAction": {action: done}}}

    def _metadata(self, table: Table, edition: Release, kind: str) -> Line:
        made = self.described(edition)
        said = {
            "id": table.id,
            "name": f"{table.schema} {table.name}",
            "description": edition.manifest["title"]["en"],
            "schemaString": made.schema,
            "partitionColumns": [],
        }
        counted = {"version": edition.version, "size": made.size, "numFiles": 1}
        feed = {"delta.enableChangeDataFeed": "true"}
        if kind == DELTA:
            delta = said | {
                "format": {"provider": "parquet", "options": {}},
                "configuration": feed,
                "createdTime": _ms(table.editions[0].published_at),
            }
            return {"metaData": counted | {"deltaMetadata": delta}}
        feed = {"enableChangeDataFeed": "true"}
        return {
            "metaData": said | {"format": {"provider": "parquet"}, "configuration": feed, **counted}
        }


def edition_at(table: Table, version: int | None, timestamp: str | None) -> Release:
    """The edition of a version, or the one that stood at a time; the newest where neither is said.

    Raises `Rejected` where there is none such, or both are said.
    """
    if version is not None and timestamp is not None:
        raise _unreadable("version, timestamp")
    if version is not None:
        found = [one for one in table.editions if one.version == version]
    elif timestamp is not None:
        at = _time("timestamp", timestamp)
        found = [one for one in table.editions if one.published_at <= at]
    else:
        found = list(table.editions)
    if not found:
        raise _no_version()
    return found[-1]


def edition_since(table: Table, timestamp: str | None) -> Release:
    """The first edition published at or after a time; the newest where none is said."""
    if timestamp is None:
        return table.last
    at = _time("startingTimestamp", timestamp)
    found = [one for one in table.editions if one.published_at >= at]
    if not found:
        raise _no_version()
    return found[0]


def editions_in(table: Table, span: Span) -> list[Release]:
    """The editions of a part of the change feed. Raises `Rejected` for a part that is none."""
    if (span.first is None) == (span.since is None):
        raise _unreadable("startingVersion, startingTimestamp")
    if span.last is not None and span.until is not None:
        raise _unreadable("endingVersion, endingTimestamp")
    since = None if span.since is None else _time("startingTimestamp", span.since)
    until = None if span.until is None else _time("endingTimestamp", span.until)
    found = [
        one
        for one in table.editions
        if (span.first is None or one.version >= span.first)
        and (since is None or one.published_at >= since)
        and (span.last is None or one.version <= span.last)
        and (until is None or one.published_at <= until)
    ]
    if not found:
        raise _no_version()
    return found


def response_format(capabilities: str | None) -> str:
    """The response format for a `delta-sharing-capabilities` header. Raises `Rejected`.

    Capabilities are separated by semicolons, values by commas; those we do not know are a
    client's own business, since our tables need no feature of a reader.
    """
    accepted: list[str] = []
    for capability in (capabilities or "").lower().split(";"):
        name, _, values = capability.partition("=")
        if name.strip() == "responseformat":
            accepted = [value.strip() for value in values.split(",")]
    for one in FORMATS:
        if one in (accepted or FORMATS):
            return one
    raise _unreadable("delta-sharing-capabilities")


def describe(data: bytes) -> Described:
    """A Parquet file as the answers describe it. Raises `Unavailable` where it cannot be."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        fields = [
            {"name": one.name, "type": _TYPES[one.type], "nullable": True, "metadata": {}}
            for one in file.schema_arrow
        ]
    except (pa.ArrowException, KeyError) as error:
        raise Unavailable(
            "release-unshareable",
            fr="Le fichier de cette publication ne peut être partagé.",
            en="The file of this release cannot be shared.",
            who="developer",
        ) from error
    schema = json.dumps({"type": "struct", "fields": fields})
    return Described(len(data), file.metadata.num_rows, schema)


def _add(edition: Release, made: Described, url: str) -> dict[str, Any]:
    return {
        "path": url,
        "partitionValues": {},
        "size": made.size,
        "modificationTime": _ms(edition.published_at),
        "dataChange": True,
    }


def _by_version(editions: Sequence[Release]) -> list[Release]:
    return sorted(editions, key=lambda one: one.version)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _time(where: str, text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _unreadable(where) from error


def _unreadable(where: str) -> Rejected:
    return Rejected(
        "sharing-unreadable",
        fr=f"La demande ne peut être lue : {where}.",
        en=f"The request cannot be read: {where}.",
        who="person",
        where=where,
    )


def _no_version() -> Rejected:
    return Rejected(
        "unknown-version",
        fr="Le tableau n’a pas de version à ce numéro ou à cette date.",
        en="The table has no version of that number or at that time.",
        who="person",
    )


def _nothing(what: str) -> NotFound:
    return NotFound(
        f"unknown-{what}",
        fr="Rien de ce nom n’est partagé.",
        en="Nothing of this name is shared.",
        who="person",
    )
