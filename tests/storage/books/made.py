"""Records for the tests of the books, made from a few words."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.events import AuditEvent, Kind
from hub.records import (
    Account,
    Agreement,
    Basis,
    Case,
    Client,
    Code,
    DataRequest,
    Grant,
    Link,
    Organisation,
    Push,
    PushState,
    Release,
    Role,
    SetAside,
    Withdrawal,
)
from hub.storage.books import Books

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
PURPOSE = "school-mobility"


def event(kind: Kind = Kind.PUSH_ACCEPTED, about: str = "x", **facts: Any) -> AuditEvent:
    return AuditEvent(kind, "coachco2", about, NOW, facts)


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def organisation(name: str = "coachco2") -> Organisation:
    return Organisation(name, name.capitalize())


def agreement(
    dataset: str = "trips",
    basis: Basis = Basis.CONSENT,
    purpose: str = PURPOSE,
    partner: str = "coachco2",
) -> Agreement:
    return Agreement(partner, dataset, purpose, basis, {"demo": True})


def client(name: str = "coachco2-1") -> Client:
    return Client(name, "coachco2", Role.PARTNER, ("push", "consent"), "argon2…", None, NOW)


def account(login: str = "dpo@region.example") -> Account:
    return Account(f"user-{login}", login, "hub", Role.DPO, "argon2…")


def push(name: str = "p1", content: str = "a file", **changes: Any) -> Push:
    facts: dict[str, Any] = {
        "id": name,
        "partner": "coachco2",
        "dataset": "trips",
        "state": PushState.ACCEPTED,
        "accepted_at": NOW,
        "file_sha256": hashlib.sha256(content.encode()).hexdigest(),
        "file_bytes": len(content),
    }
    return Push(**facts | changes)


def stored(name: str = "p1", **changes: Any) -> Push:
    facts: dict[str, Any] = {
        "state": PushState.STORED,
        "received": 10,
        "valid": 8,
        "rejected": 2,
        "dropped": 5,
        "kept": 3,
        "reasons": {"future-date": 2},
        "warnings": {"swapped": 1},
        "tables": {"coachco2/trips/trips": 4},
        "finished_at": NOW + HOUR,
    }
    return push(name, **facts | changes)


def row(position: int, who: str | None = None, **changes: Any) -> SetAside:
    facts: dict[str, Any] = {
        "push": "p1",
        "position": position,
        "code": "future-date",
        "column": "start",
        "digest": digest(who) if who else None,
        "sealed": b"age" if who else None,
        "until": NOW.date(),
    }
    return SetAside(**facts | changes)


def grant(name: str, who: str, at: datetime = NOW, **changes: Any) -> Grant:
    facts: dict[str, Any] = {
        "id": name,
        "partner": "coachco2",
        "purpose": PURPOSE,
        "subject": digest(who),
        "state": "given",
        "population": "pupil",
        "given_at": at,
        "expires_at": at + timedelta(days=365),
        "notice_version": "1",
        "evidence": {"method": "app"},
    }
    return Grant(**facts | changes)


def withdrawal(name: str, who: str, at: datetime = NOW, **changes: Any) -> Withdrawal:
    facts: dict[str, Any] = {
        "id": name,
        "partner": "coachco2",
        "subject": digest(who),
        "purposes": (PURPOSE,),
        "requested_at": at,
    }
    return Withdrawal(**facts | changes)


def code(name: str, **changes: Any) -> Code:
    facts: dict[str, Any] = {
        "id": name,
        "participant": f"p-{name}",
        "digest": digest(name),
        "secret": "argon2…",
        "holder": "person",
        "given_at": NOW,
    }
    return Code(**facts | changes)


def link(who: str, code: str = "c1", **changes: Any) -> Link:
    facts: dict[str, Any] = {
        "partner": "coachco2",
        "subject": digest(who),
        "code": digest(code),
        "linked_at": NOW,
    }
    return Link(**facts | changes)


def case(name: str = "r1", **changes: Any) -> Case:
    facts: dict[str, Any] = {
        "id": name,
        "kind": "rectification",
        "concerns": "mode",
        "participant": None,
        "state": "open",
        "opened_at": NOW,
        "due_at": NOW + timedelta(days=31),
    }
    return Case(**facts | changes)


def request(name: str = "d1", **changes: Any) -> DataRequest:
    facts: dict[str, Any] = {
        "id": name,
        "measure": "modal-split",
        "period": "2025-2026",
        "purpose": "evaluation",
        "territory": "all",
        "granularity": "all",
        "recipients": ("orleans",),
        "days": 30,
        "organisation": "orleans",
        "role": "collectivity",
        "asked_by": "user-1",
        "partners": ("coachco2",),
        "submitted_at": NOW,
    }
    return DataRequest(**facts | changes)


def release(version: int = 1, **changes: Any) -> Release:
    facts: dict[str, Any] = {
        "id": f"modal-split-2025-2026-{version}",
        "measure": "modal-split",
        "period": "2025-2026",
        "version": version,
        "digest": f"digest-{version}",
        "manifest": {"k": 11, "inputs": []},
        "published_at": NOW + version * HOUR,
    }
    return Release(**facts | changes)


def with_partner(books: Books) -> Books:
    books.add_organisation(organisation(), event=event(Kind.PARTNER_ADDED))
    return books
