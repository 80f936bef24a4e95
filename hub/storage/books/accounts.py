"""Accounts of people, their second factors and sessions. Secrets arrive hashed and stay so."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from hub.errors import NotFound
from hub.events import AuditEvent
from hub.records import Account, Factor, Role, Session, Vouched
from hub.storage.books.desk import Desk
from hub.storage.books.schema import (
    accounts,
    assertions,
    events,
    former_keys,
    former_secrets,
    recovery_codes,
    second_factors,
    sessions,
    tokens,
    tries,
    visits,
    vouched_sessions,
)

_EXPIRING: Final = (tokens, sessions, visits, assertions, former_secrets, former_keys, tries)


class Accounts(Desk):
    """Which people may speak to the hub, and with what in hand."""

    def add_account(self, account: Account, *, event: AuditEvent) -> None:
        """Add a local account. A `Conflict` where its id or login is taken."""
        with self._write(event) as (connection, sequence):
            _add(connection, account, sequence)

    def account(self, login: str) -> Account | None:
        """One account by its login."""
        with self._read() as connection:
            row = connection.execute(select(accounts).where(accounts.c.login == login)).first()
        return None if row is None else _account(row)

    def change_password(
        self, account_id: str, password_hash: str, kept: bytes | None = None, *, event: AuditEvent
    ) -> None:
        """Keep another hash, and end every session but the one of the digest `kept`."""
        with self._write(event) as (connection, sequence):
            changed = update(accounts).where(accounts.c.id == account_id)
            done = connection.execute(changed.values(password_hash=password_hash, event=sequence))
            if done.rowcount != 1:
                raise _no_account()
            _end_others(connection, account_id, kept)

    def factor(self, account_id: str) -> Factor | None:
        """A person's second factor, confirmed or not."""
        query = select(second_factors).where(second_factors.c.account == account_id)
        with self._read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Factor(row.account, row.sealed, row.confirmed_at is not None, row.last_step)

    def begin_factor(self, account_id: str, sealed: bytes, *, event: AuditEvent) -> None:
        """Keep a second factor that is to be confirmed. A `Conflict` where one is confirmed."""
        with self._write(event) as (connection, sequence):
            theirs = second_factors.c.account == account_id
            open_ = theirs & second_factors.c.confirmed_at.is_(None)
            connection.execute(delete(second_factors).where(open_))
            connection.execute(
                insert(second_factors).values(
                    account=account_id, sealed=sealed, last_step=0, event=sequence
                )
            )

    def confirm_factor(
        self,
        account_id: str,
        recovery: Collection[bytes] = (),
        kept: bytes | None = None,
        *,
        event: AuditEvent,
    ) -> None:
        """From now on it is asked for, or one of the digests `recovery`, each of them once.

        Sessions begun without it end, but the one of the digest `kept`. `NotFound` where none
        waits to be confirmed.
        """
        with self._write(event) as (connection, sequence):
            open_ = (second_factors.c.account == account_id) & second_factors.c.confirmed_at.is_(
                None
            )
            done = connection.execute(
                update(second_factors).where(open_).values(confirmed_at=event.at, event=sequence)
            )
            if done.rowcount != 1:
                raise _no_account()
            _keep_recovery(connection, account_id, recovery)
            _end_others(connection, account_id, kept)

    def drop_factor(self, account_id: str, *, event: AuditEvent) -> None:
        """Ask for it no longer; harmless where there is none."""
        with self._write(event) as (connection, _):
            theirs = second_factors.c.account == account_id
            connection.execute(delete(second_factors).where(theirs))
            _keep_recovery(connection, account_id, ())

    def replace_recovery(
        self, account_id: str, recovery: Collection[bytes], *, event: AuditEvent
    ) -> None:
        """Other digests of codes that stand in for the second factor; those before end."""
        with self._write(event) as (connection, _):
            _keep_recovery(connection, account_id, recovery)

    def recovery_left(self, account_id: str) -> int:
        """How many codes can still stand in for the second factor."""
        query = select(func.count()).where(recovery_codes.c.account == account_id)
        with self._read() as connection:
            return connection.execute(query).scalar_one()

    def use_recovery(self, account_id: str, digest: bytes, *, event: AuditEvent) -> None:
        """Use such a code up. `NotFound` where there is none."""
        with self._write(event) as (connection, _):
            one = (recovery_codes.c.account == account_id) & (recovery_codes.c.digest == digest)
            if connection.execute(delete(recovery_codes).where(one)).rowcount != 1:
                raise _no_account()

    def use_step(self, account_id: str, step: int) -> bool:
        """Use up a code, and those before it; False where it was used up already."""
        with self._change() as connection:
            later = (second_factors.c.account == account_id) & (second_factors.c.last_step < step)
            changed = update(second_factors).where(later).values(last_step=step)
            return connection.execute(changed).rowcount == 1

    def accounts(self) -> list[Account]:
        """All accounts, by login."""
        with self._read() as connection:
            rows = connection.execute(select(accounts).order_by(accounts.c.login))
            return [_account(row) for row in rows]

    def add_session(
        self, session_hash: bytes, account_id: str, expires_at: datetime, *, event: AuditEvent
    ) -> None:
        """Keep the hash of a person's session."""
        with self._write(event) as (connection, sequence):
            _begin(connection, session_hash, account_id, expires_at, sequence)

    def enter(
        self, account: Account, session: Session, vouched: Vouched, *, event: AuditEvent
    ) -> None:
        """Begin the session of somebody a provider vouches for, as it does at this moment.

        The account is made, or takes over role and organisation; all its sessions follow.
        """
        with self._write(event) as (connection, sequence):
            said = {"role": str(account.role), "organisation": account.organisation}
            known = update(accounts).where(accounts.c.id == account.id)
            if connection.execute(known.values(**said, event=sequence)).rowcount == 0:
                _add(connection, account, sequence)
            _begin(connection, session.mark, account.id, session.expires, sequence)
            connection.execute(
                insert(vouched_sessions).values(
                    session_hash=session.mark, sid=vouched.sid, hint=vouched.hint
                )
            )

    def vouched(self, session_hash: bytes) -> Vouched | None:
        """What the provider said of a session; None where no provider vouched for it."""
        query = select(vouched_sessions).where(vouched_sessions.c.session_hash == session_hash)
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else Vouched(row.sid, row.hint)

    def session(self, session_hash: bytes, now: datetime) -> Account | None:
        """Whose session it is; None where unknown, ended or expired."""
        query = (
            select(accounts)
            .join(sessions, sessions.c.account == accounts.c.id)
            .where(sessions.c.session_hash == session_hash, sessions.c.expires_at > now)
        )
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _account(row)

    def sessions(
        self, now: datetime, *, account: str | None = None, sid: bytes | None = None
    ) -> list[Session]:
        """Live sessions of an account, or of a session at the provider; the newest first."""
        query = (
            select(sessions, events.c.at)
            .join(events, events.c.sequence == sessions.c.event)
            .where(sessions.c.expires_at > now)
            .order_by(sessions.c.event.desc())
        )
        if account is not None:
            query = query.where(sessions.c.account == account)
        if sid is not None:
            query = query.join(vouched_sessions).where(vouched_sessions.c.sid == sid)
        with self._read() as connection:
            return [
                Session(row.session_hash, row.account, row.at, row.expires_at)
                for row in connection.execute(query)
            ]

    def end_session(self, session_hash: bytes, *, event: AuditEvent) -> None:
        """End a session. `NotFound` where there is none: then nothing happened."""
        with self._write(event) as (connection, _):
            mine = sessions.c.session_hash == session_hash
            if connection.execute(delete(sessions).where(mine)).rowcount != 1:
                raise NotFound(
                    "unknown-session",
                    fr="Cette session est déjà terminée.",
                    en="This session has ended already.",
                    who="person",
                )

    def end_sessions(
        self, account_id: str, kept: bytes | None = None, *, event: AuditEvent
    ) -> None:
        """End every session of an account but the one of the digest `kept`."""
        with self._write(event) as (connection, _):
            _end_others(connection, account_id, kept)

    def tries(self, key: bytes, now: datetime) -> int:
        """How many tries are kept under a key that have not expired."""
        query = select(func.count()).select_from(tries)
        with self._read() as connection:
            return int(
                connection.scalar(query.where(tries.c.key == key, tries.c.expires_at > now)) or 0
            )

    def add_try(self, key: bytes, expires_at: datetime) -> None:
        """Keep a try at a secret until then."""
        with self._change() as connection:
            connection.execute(insert(tries).values(key=key, expires_at=expires_at))

    def forget_tries(self, key: bytes) -> None:
        """Keep no try under a key."""
        with self._change() as connection:
            connection.execute(delete(tries).where(tries.c.key == key))

    def forget_expired(self, now: datetime) -> int:
        """Delete what no longer admits anyone, or keeps anyone out; how many rows."""
        with self._change() as connection:
            return sum(
                connection.execute(delete(table).where(table.c.expires_at <= now)).rowcount
                for table in _EXPIRING
            )


def _add(connection: Connection, account: Account, sequence: int) -> None:
    connection.execute(
        insert(accounts).values(
            id=account.id,
            login=account.login,
            organisation=account.organisation,
            role=str(account.role),
            password_hash=account.password_hash,
            event=sequence,
        )
    )


def _keep_recovery(connection: Connection, account_id: str, recovery: Collection[bytes]) -> None:
    connection.execute(delete(recovery_codes).where(recovery_codes.c.account == account_id))
    if recovery:
        connection.execute(
            insert(recovery_codes), [{"account": account_id, "digest": one} for one in recovery]
        )


def _begin(
    connection: Connection, mark: bytes, account_id: str, expires_at: datetime, sequence: int
) -> None:
    connection.execute(
        insert(sessions).values(
            session_hash=mark, account=account_id, expires_at=expires_at, event=sequence
        )
    )


def _end_others(connection: Connection, account_id: str, kept: bytes | None) -> None:
    theirs = sessions.c.account == account_id
    if kept is not None:
        theirs &= sessions.c.session_hash != kept
    connection.execute(delete(sessions).where(theirs))


def _no_account() -> NotFound:
    return NotFound(
        "unknown-account",
        fr="Aucun compte ne porte ce nom, ou il n’y a rien à confirmer.",
        en="No account has this name, or there is nothing to confirm.",
        who="operator",
    )


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.login, row.organisation, Role(row.role), row.password_hash)
