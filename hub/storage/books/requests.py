"""Requests for data: who asked for what, where each stands, and until when it holds."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from hub.errors import Conflict
from hub.events import AuditEvent
from hub.records import DataRequest, RequestState
from hub.storage.books.desk import Desk
from hub.storage.books.schema import requests


class Requests(Desk):
    """Requests. What may follow what is `hub.requests.MOVES`; here one changes or does not."""

    def add_request(self, request: DataRequest, *, event: AuditEvent) -> DataRequest:
        """Record a request. A `Conflict` where the id is taken."""
        with self._write(event) as (connection, sequence):
            connection.execute(insert(requests).values(**_values(request), event=sequence))
        return request

    def change_request(self, request: DataRequest, *, event: AuditEvent) -> DataRequest:
        """Keep a request as it is given. A `Conflict` where it changed since it was read."""
        changed = replace(request, version=request.version + 1)
        with self._write(event) as (connection, sequence):
            done = connection.execute(
                update(requests)
                .where(requests.c.id == request.id, requests.c.version == request.version)
                .values(**_values(changed), event=sequence)
            )
            if done.rowcount != 1:
                raise request_moved()
        return changed

    def request(self, request_id: str) -> DataRequest | None:
        """One request."""
        with self._read() as connection:
            row = connection.execute(select(requests).where(requests.c.id == request_id)).first()
        return None if row is None else _request(row)

    def requests(self, organisation: str | None = None, limit: int = 1000) -> list[DataRequest]:
        """Requests, newest first; those of an organisation if named."""
        query = select(requests).order_by(requests.c.submitted_at.desc(), requests.c.id.desc())
        if organisation is not None:
            query = query.where(requests.c.organisation == organisation)
        with self._read() as connection:
            return [_request(row) for row in connection.execute(query.limit(limit))]

    def ended_requests(self, now: datetime) -> list[DataRequest]:
        """Requests that are approved and whose time is over."""
        query = select(requests).where(
            requests.c.state == str(RequestState.APPROVED), requests.c.expires_at <= now
        )
        with self._read() as connection:
            return [_request(row) for row in connection.execute(query)]


def request_moved() -> Conflict:
    """What is said where a request is not, or no longer, where something was asked of it."""
    return Conflict(
        "request-moved",
        fr="Cette demande n’en est pas, ou plus, à cette étape : rechargez-la.",
        en="This request is not, or no longer, at that step: reload it.",
        who="person",
    )


def _values(request: DataRequest) -> dict[str, Any]:
    return {f.name: _plain(getattr(request, f.name)) for f in fields(request)}


def _plain(value: Any) -> Any:
    if isinstance(value, RequestState):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _request(row: Row[Any]) -> DataRequest:
    kept = {f.name: getattr(row, f.name) for f in fields(DataRequest)}
    lists = {name: tuple(kept[name]) for name in ("recipients", "partners")}
    return DataRequest(**kept | lists | {"state": RequestState(kept["state"])})
