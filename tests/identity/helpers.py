"""Books in memory, as identity sees them: the specification of the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from argon2 import PasswordHasher

from hub.events import AuditEvent
from hub.records import Account, Client, Role

NOW: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ENDPOINT: Final = "https://hub.test/oauth/token"
QUICK: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes that verify in no time; the cost is written in the hash."""


class MemoryBooks:
    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.people: dict[str, Account] = {}
        self.tokens: dict[bytes, tuple[str, tuple[str, ...], datetime]] = {}
        self.sessions: dict[bytes, tuple[str, datetime]] = {}
        self.used: set[tuple[str, str]] = set()
        self.recorded: list[AuditEvent] = []

    def client(self, client_id: str) -> Client | None:
        return self.clients.get(client_id)

    def add_token(
        self,
        token_hash: bytes,
        client_id: str,
        scopes: Sequence[str],
        expires_at: datetime,
        *,
        event: AuditEvent,
    ) -> None:
        self.tokens[token_hash] = (client_id, tuple(scopes), expires_at)
        self.recorded.append(event)

    def use_assertion(self, jti: str, client_id: str, expires_at: datetime) -> bool:
        if (client_id, jti) in self.used:
            return False
        self.used.add((client_id, jti))
        return True

    def token(self, token_hash: bytes, now: datetime) -> tuple[Client, tuple[str, ...]] | None:
        client, scopes, expires_at = self.tokens.get(token_hash, ("", (), now))
        return (self.clients[client], scopes) if now < expires_at else None

    def account(self, login: str) -> Account | None:
        return self.people.get(login)

    def add_session(
        self, session_hash: bytes, account_id: str, expires_at: datetime, *, event: AuditEvent
    ) -> None:
        self.sessions[session_hash] = (account_id, expires_at)
        self.recorded.append(event)

    def session(self, session_hash: bytes, now: datetime) -> Account | None:
        account_id, expires_at = self.sessions.get(session_hash, ("", now))
        found = [one for one in self.people.values() if one.id == account_id]
        return found[0] if found and now < expires_at else None

    def end_session(self, session_hash: bytes) -> None:
        self.sessions.pop(session_hash, None)

    def record(self, *, event: AuditEvent) -> None:
        self.recorded.append(event)


def client(**changes: object) -> Client:
    facts: dict[str, object] = {
        "id": "transdev-1",
        "organisation": "transdev",
        "role": Role.PARTNER,
        "scopes": ("push:write", "push:read"),
        "secret_hash": QUICK.hash("s3cret"),
    }
    return Client(**(facts | changes))  # type: ignore[arg-type]
