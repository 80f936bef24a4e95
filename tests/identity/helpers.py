"""Books in memory, as identity sees them: the specification of the real ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from hub.errors import NotFound
from hub.events import AuditEvent
from hub.records import Account, Client, Factor, Role, Session, Vouched
from tests.hashing import QUICK

NOW: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ENDPOINT: Final = "https://hub.test/oauth/token"
"""Hashes that verify in no time; the cost is written in the hash."""


class MemoryBooks:
    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.people: dict[str, Account] = {}
        self.tokens: dict[bytes, tuple[str, tuple[str, ...], datetime]] = {}
        self.begun: dict[bytes, Session] = {}
        self.told: dict[bytes, Vouched] = {}
        self.recovery: dict[str, set[bytes]] = {}
        self.former_jwk: dict[str, tuple[Mapping[str, Any], datetime]] = {}
        self.factors: dict[str, Factor] = {}
        self.former: dict[str, tuple[str, datetime]] = {}
        self.used: set[tuple[str, str]] = set()
        self.recorded: list[AuditEvent] = []
        self.tried: dict[bytes, list[datetime]] = {}

    def tries(self, key: bytes, now: datetime) -> int:
        return sum(until > now for until in self.tried.get(key, ()))

    def add_try(self, key: bytes, expires_at: datetime) -> None:
        self.tried.setdefault(key, []).append(expires_at)

    def forget_tries(self, key: bytes) -> None:
        self.tried.pop(key, None)

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
        self.begun[session_hash] = Session(session_hash, account_id, event.at, expires_at)
        self.recorded.append(event)

    def session(self, session_hash: bytes, now: datetime) -> Account | None:
        session = self.begun.get(session_hash)
        if session is None or now >= session.expires:
            return None
        return next(one for one in self.people.values() if one.id == session.account)

    def sessions(
        self, now: datetime, *, account: str | None = None, sid: bytes | None = None
    ) -> list[Session]:
        return [
            one
            for mark, one in reversed(self.begun.items())
            if now < one.expires
            and account in (None, one.account)
            and (sid is None or (mark in self.told and self.told[mark].sid == sid))
        ]

    def end_session(self, session_hash: bytes, *, event: AuditEvent) -> None:
        if self.begun.pop(session_hash, None) is None:
            raise NotFound("unknown-session", fr="", en="", who="person")
        self.recorded.append(event)

    def end_sessions(
        self, account_id: str, kept: bytes | None = None, *, event: AuditEvent
    ) -> None:
        theirs = [mark for mark, one in self.begun.items() if one.account == account_id]
        for mark in theirs:
            if mark != kept:
                del self.begun[mark]
        self.recorded.append(event)

    def enter(
        self, account: Account, session: Session, vouched: Vouched, *, event: AuditEvent
    ) -> None:
        self.people[account.login] = account
        self.begun[session.mark] = session
        self.told[session.mark] = vouched
        self.recorded.append(event)

    def vouched(self, session_hash: bytes) -> Vouched | None:
        return self.told.get(session_hash) if session_hash in self.begun else None

    def change_password(
        self, account_id: str, password_hash: str, kept: bytes | None, *, event: AuditEvent
    ) -> None:
        [account] = [one for one in self.people.values() if one.id == account_id]
        self.people[account.login] = replace(account, password_hash=password_hash)
        self.end_sessions(account_id, kept, event=event)

    def factor(self, account_id: str) -> Factor | None:
        return self.factors.get(account_id)

    def use_step(self, account_id: str, step: int) -> bool:
        factor = self.factors[account_id]
        if factor.last_step >= step:
            return False
        self.factors[account_id] = replace(factor, last_step=step)
        return True

    def begin_factor(self, account_id: str, sealed: bytes, *, event: AuditEvent) -> None:
        self.factors[account_id] = Factor(account_id, sealed)
        self.recorded.append(event)

    def confirm_factor(
        self,
        account_id: str,
        recovery: Collection[bytes] = (),
        kept: bytes | None = None,
        *,
        event: AuditEvent,
    ) -> None:
        self.factors[account_id] = replace(self.factors[account_id], confirmed=True)
        self.recovery[account_id] = set(recovery)
        self.end_sessions(account_id, kept, event=event)

    def replace_recovery(
        self, account_id: str, recovery: Collection[bytes], *, event: AuditEvent
    ) -> None:
        self.recovery[account_id] = set(recovery)
        self.recorded.append(event)

    def recovery_left(self, account_id: str) -> int:
        return len(self.recovery.get(account_id, ()))

    def use_recovery(self, account_id: str, digest: bytes, *, event: AuditEvent) -> None:
        if digest not in self.recovery.get(account_id, ()):
            raise NotFound("unknown-account", fr="", en="", who="operator")
        self.recovery[account_id].remove(digest)
        self.recorded.append(event)

    def drop_factor(self, account_id: str, *, event: AuditEvent) -> None:
        self.factors.pop(account_id, None)
        self.recovery.pop(account_id, None)
        self.recorded.append(event)

    def former_secret(self, client_id: str, now: datetime) -> str | None:
        secret_hash, until = self.former.get(client_id, ("", now))
        return secret_hash if now < until else None

    def former_key(self, client_id: str, now: datetime) -> Mapping[str, Any] | None:
        jwk, until = self.former_jwk.get(client_id, (None, now))
        return jwk if now < until else None

    def revoke_token(self, token_hash: bytes, client_id: str, *, event: AuditEvent) -> None:
        if self.tokens.get(token_hash, ("",))[0] != client_id:
            raise NotFound("unknown-token", fr="", en="", who="partner")
        del self.tokens[token_hash]
        self.recorded.append(event)

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
