"""Pushes, and the rows they set aside."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, update

from hub.errors import Conflict, NotFound
from hub.events import AuditEvent
from hub.records import TRANSITIONS, Push, PushState, SetAside
from hub.storage.books.desk import Desk
from hub.storage.books.jobs import PUSH, fulfil, promise
from hub.storage.books.schema import (
    NONCE,
    WRITTEN,
    event_places,
    progress,
    pushes,
    quarantine,
    rejections,
    uploads,
)


class Load(NamedTuple):
    """How busy the door is: pushes not processed yet, of one partner and of all, and bytes."""

    waiting: int
    waiting_all: int
    recent_bytes: int


class Pushes(Desk):
    """Files partners sent, from acknowledgement to receipt."""

    def accept_push(self, push: Push, *, event: AuditEvent) -> tuple[Push, bool]:
        """Record a push and the job to process it: the promise that nothing of it is lost.

        Returns the push and True; or, where its idempotency key brought the same bytes before,
        the first push and False, and nothing is written. Other bytes under that key: `Conflict`.
        """
        with self._change() as connection:
            earlier = _earlier(connection, push)
            if earlier is not None:
                if earlier.file_sha256 != push.file_sha256:
                    raise _key_reused()
                return earlier, False
            accepted = replace(push, state=PushState.ACCEPTED, finished_at=None, log_index=None)
            with self._logging(connection, event):
                values = _values(accepted)
                connection.execute(insert(pushes).values(id=push.id, event=None, **values))
                promise(connection, PUSH, push.id)
        return accepted, True

    def push(self, push_id: str) -> Push | None:
        """One push; `log_index` is the place of the event that finished it."""
        with self._read() as connection:
            return _find(connection, push_id)

    def pushes(self, partner: str | None = None, limit: int = 100) -> list[Push]:
        """Pushes, newest first."""
        query = _query().order_by(pushes.c.accepted_at.desc(), pushes.c.id.desc()).limit(limit)
        if partner is not None:
            query = query.where(pushes.c.partner == partner)
        with self._read() as connection:
            return [_push(row) for row in connection.execute(query)]

    def newest_pushes(self) -> list[Push]:
        """The newest stored push of each dataset."""
        newest = (
            select(func.max(pushes.c.id))
            .where(pushes.c.state == str(PushState.STORED))
            .group_by(pushes.c.partner, pushes.c.dataset)
        )
        with self._read() as connection:
            rows = connection.execute(_query().where(pushes.c.id.in_(newest)))
            return [_push(row) for row in rows]

    def pending_pushes(self) -> list[Push]:
        """Pushes that are acknowledged and not processed, oldest first."""
        query = _query().where(pushes.c.state == str(PushState.ACCEPTED))
        with self._read() as connection:
            rows = connection.execute(query.order_by(pushes.c.accepted_at, pushes.c.id))
            return [_push(row) for row in rows]

    def finish_push(self, push: Push, set_aside: Sequence[SetAside], *, event: AuditEvent) -> Push:
        """Record what became of a push, its rows set aside, and strike its job off.

        `NotFound` where there is no such push, `Conflict` where it is finished already: a second
        worker that was too slow changes nothing.
        """
        with self._write(event) as (connection, sequence):
            before = _find(connection, push.id)
            if before is None:
                raise _unknown_push()
            if push.state not in TRANSITIONS[before.state]:
                raise _finished()
            connection.execute(
                update(pushes)
                .where(pushes.c.id == push.id, pushes.c.state == str(before.state))
                .values(
                    # What was acknowledged stays as it was, whatever the caller hands in.
                    **_values(
                        replace(
                            push,
                            partner=before.partner,
                            dataset=before.dataset,
                            accepted_at=before.accepted_at,
                            file_sha256=before.file_sha256,
                            file_bytes=before.file_bytes,
                            idempotency_key=before.idempotency_key,
                            finished_at=push.finished_at or event.at,
                        )
                    ),
                    event=sequence,
                )
            )
            if set_aside:
                _write_set_aside(connection, push.id, set_aside)
                connection.execute(insert(rejections).values(**_listing(push.id, set_aside)))
            connection.execute(delete(progress).where(progress.c.push == push.id))
            fulfil(connection, PUSH, push.id)
            after = _find(connection, push.id)
        assert after is not None
        return after

    def load(self, partner: str, since: datetime) -> Load:
        """How much waits, and how many bytes this partner has sent since a time.

        Files still coming in pieces count with their whole length.
        """
        waiting = func.count().filter(pushes.c.state == str(PushState.ACCEPTED))
        mine = pushes.c.partner == partner
        with self._read() as connection:
            ours, everyone = connection.execute(select(waiting.filter(mine), waiting)).one()
            sent = connection.execute(
                select(func.coalesce(func.sum(pushes.c.file_bytes), 0)).where(
                    mine, pushes.c.accepted_at >= since
                )
            ).scalar_one()
            coming, length = connection.execute(
                select(func.count(), func.coalesce(func.sum(uploads.c.length), 0)).where(
                    uploads.c.partner == partner,
                    uploads.c.push.is_(None),
                    uploads.c.problem.is_(None),
                )
            ).one()
        return Load(ours + coming, everyone, int(sent) + int(length))

    def advance(self, push_id: str, stage: str, percentage: int) -> None:
        """Say how far a push is; the caller keeps this to once a second or so."""
        with self._change() as connection:
            values = {"stage": stage, "percentage": percentage}
            done = connection.execute(
                update(progress).where(progress.c.push == push_id).values(**values)
            )
            if done.rowcount == 0:
                connection.execute(insert(progress).values(push=push_id, **values))

    def progress(self, push_id: str) -> tuple[str, int] | None:
        """Stage and percentage of a push that is being processed, None where none is told."""
        query = select(progress.c.stage, progress.c.percentage).where(progress.c.push == push_id)
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.stage, row.percentage)

    def rejections(self, push_id: str) -> list[tuple[int, str, str]]:
        """Position, code and column of every row a push had refused, as its partner may see it.

        Unlike `set_aside` this does not change when a person withdraws or rows are replayed:
        a row that goes missing would tell the partner who.
        """
        query = select(rejections.c.listing).where(rejections.c.push == push_id)
        with self._read() as connection:
            packed = connection.execute(query).scalar_one_or_none()
        if packed is None:
            return []
        return msgspec.json.decode(zlib.decompress(packed), type=list[tuple[int, str, str]])

    def forget_rejections(self, before: date) -> int:
        """Destroy the lists whose time is over."""
        with self._change() as connection:
            return connection.execute(
                delete(rejections).where(rejections.c.until < before)
            ).rowcount

    def set_aside(
        self,
        push: str | None = None,
        partner: str | None = None,
        limit: int = 100,
        *,
        subject: bytes | None = None,
    ) -> list[SetAside]:
        """Rows in quarantine, in the order they were set aside; of one person by their digest."""
        query = select(quarantine).order_by(quarantine.c.number).limit(limit)
        if push is not None:
            query = query.where(quarantine.c.push == push)
        if partner is not None:
            query = query.join(pushes).where(pushes.c.partner == partner)
        if subject is not None:
            query = query.where(quarantine.c.digest == subject)
        with self._read() as connection:
            return [_set_aside(row) for row in connection.execute(query)]

    def drop_set_aside(
        self,
        push: str | None = None,
        subjects: Sequence[bytes] | None = None,
        before: date | None = None,
        *,
        event: AuditEvent,
    ) -> int:
        """Destroy rows in quarantine: of one push, of people, kept until before a day.

        Several conditions narrow each other; at least one is needed. Returns the number of rows,
        which the event carries as fact `rows`; where there is none, nothing happened: no event.
        """
        wanted = []
        if push is not None:
            wanted.append(quarantine.c.push == push)
        if subjects is not None:
            wanted.append(quarantine.c.digest.in_(subjects))
        if before is not None:
            day = before.date() if isinstance(before, datetime) else before
            wanted.append(quarantine.c.until < day)
        if not wanted:
            raise TypeError("drop_set_aside needs a push, a person or a day")
        return self._drop(wanted, event)

    def take_up(self, numbers: Sequence[int], replay: int) -> None:
        """Mark rows in quarantine as those a replay appends, before it does."""
        with self._change() as connection:
            for start in range(0, len(numbers), 1000):
                connection.execute(
                    update(quarantine)
                    .where(quarantine.c.number.in_(numbers[start : start + 1000]))
                    .values(replay=replay)
                )

    def taken_up(self, push_id: str) -> int | None:
        """The replay of a push that was begun and not finished."""
        query = select(func.max(quarantine.c.replay)).where(quarantine.c.push == push_id)
        with self._read() as connection:
            begun: int | None = connection.execute(query).scalar_one()
        return begun

    def put_back(self, push_id: str) -> None:
        """Unmark the rows of a replay that appended nothing."""
        with self._change() as connection:
            connection.execute(
                update(quarantine).where(quarantine.c.push == push_id).values(replay=None)
            )

    def drop_replayed(self, push_id: str, replay: int, *, event: AuditEvent) -> int:
        """Destroy the rows a replay has appended; the event gets their number as `rows`."""
        return self._drop([quarantine.c.push == push_id, quarantine.c.replay == replay], event)

    def _drop(self, wanted: Sequence[ColumnElement[bool]], event: AuditEvent) -> int:
        with self._change() as connection:
            rows = connection.execute(delete(quarantine).where(*wanted)).rowcount
            if rows:
                counted = replace(event, facts={**event.facts, "rows": rows})
                with self._logging(connection, counted):
                    pass
        return rows


def _query() -> Select[Any]:
    return select(pushes, event_places.c.log_index).outerjoin(
        event_places, event_places.c.event == pushes.c.event
    )


def _find(connection: Connection, push_id: str) -> Push | None:
    row = connection.execute(_query().where(pushes.c.id == push_id)).first()
    return None if row is None else _push(row)


def _earlier(connection: Connection, push: Push) -> Push | None:
    if push.idempotency_key is None:
        return None
    row = connection.execute(
        _query().where(
            pushes.c.partner == push.partner,
            pushes.c.dataset == push.dataset,
            pushes.c.idempotency_key == push.idempotency_key,
        )
    ).first()
    return None if row is None else _push(row)


_ROWS = 500
"""Rows written at a time: more of them would only fill the memory."""
_BOOKKEEPING = {"id", "event", WRITTEN, NONCE}
_SET_ASIDE = ("push", "position", "code", "column", "digest", "sealed", "until")
_COLUMNS = tuple(c.name for c in pushes.columns if c.name not in _BOOKKEEPING)


def _values(push: Push) -> dict[str, Any]:
    values = {name: getattr(push, name) for name in _COLUMNS}
    values["state"] = str(push.state)
    for name in ("reasons", "warnings", "tables"):
        values[name] = dict(values[name])
    values["problem"] = None if push.problem is None else dict(push.problem)
    values["findings"] = None if push.findings is None else [dict(each) for each in push.findings]
    return values


def _push(row: Row[Any]) -> Push:
    values = {name: getattr(row, name) for name in _COLUMNS}
    values["state"] = PushState(row.state)
    return Push(id=row.id, log_index=row.log_index, **values)


def _write_set_aside(connection: Connection, push_id: str, rows: Sequence[SetAside]) -> None:
    """Hand the rows to the driver ready: what SQLAlchemy does to each takes as long as writing it.

    Nothing is to be done to them but to the day, which SQLite keeps as a text.
    """
    dialect = connection.dialect
    statement = insert(quarantine).compile(dialect=dialect, column_keys=_SET_ASIDE)
    day = cache(quarantine.c.until.type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is)
    for start in range(0, len(rows), _ROWS):
        ready = [
            (push_id, row.position, row.code, row.column, row.digest, row.sealed, day(row.until))
            for row in rows[start : start + _ROWS]
        ]
        if statement.positional:
            connection.exec_driver_sql(statement.string, ready)
        else:
            named = [dict(zip(_SET_ASIDE, row, strict=True)) for row in ready]
            connection.exec_driver_sql(statement.string, named)


def _as_it_is(value: date | None) -> date | None:
    return value


def _set_aside(row: Row[Any]) -> SetAside:
    return SetAside(
        row.push, row.position, row.code, row.column, row.digest, row.sealed, row.until, row.number
    )


def _listing(push_id: str, rows: Sequence[SetAside]) -> dict[str, Any]:
    listed = msgspec.json.encode([(row.position, row.code, row.column) for row in rows])
    return {"push": push_id, "listing": zlib.compress(listed), "until": rows[0].until}


def _unknown_push() -> NotFound:
    return NotFound(
        "unknown-push",
        fr="Aucun dépôt ne porte ce numéro.",
        en="No push has this number.",
        who="partner",
    )


def _key_reused() -> Conflict:
    return Conflict(
        "idempotency-key-reused",
        fr="Cette clé d’idempotence a déjà servi pour un autre fichier ; prenez-en une nouvelle.",
        en="This idempotency key was used for another file; take a new one.",
        who="partner",
    )


def _finished() -> Conflict:
    return Conflict(
        "push-finished",
        fr="Ce dépôt est déjà traité ; rien n’a été changé.",
        en="This push is processed already; nothing was changed.",
        who="operator",
    )
