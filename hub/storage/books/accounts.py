"""Clients and accounts, their tokens and sessions. Secrets arrive hashed and are kept so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.errors import Conflict, NotFound
from hub.events import AuditEvent
from hub.records import Account, Client, Factor, Role
from hub.storage.books.desk import Desk
from hub.storage.books.schema import (
    accounts,
    assertions,
    clients,
    former_secrets,
    second_factors,
    sessions,
    tokens,
)


class Accounts(Desk):
    """Who may speak to the hub, machine or person, and with what in hand."""

    def add_client(self, client: Client, *, event: AuditEvent) -> None:
        """Add an OAuth 2 client. A `Conflict` where its id is taken."""
        with self._write(event) as (connection, sequence):
            connection.execute(
                insert(clients).values(
                    id=client.id,
                    organisation=client.organisation,
                    role=str(client.role),
                    scopes=list(client.scopes),
                    secret_hash=client.secret_hash,
                    public_jwk=None if client.public_jwk is None else dict(client.public_jwk),
                    created_at=client.created_at or event.at,
                    event=sequence,
                )
            )

    def client(self, client_id: str) -> Client | None:
        """One client by its id."""
        with self._read() as connection:
            row = connection.execute(select(clients).where(clients.c.id == client_id)).first()
        return None if row is None else _client(row)

    def clients(self) -> list[Client]:
        """All clients, by id."""
        with self._read() as connection:
            rows = connection.execute(select(clients).order_by(clients.c.id))
            return [_client(row) for row in rows]

    def change_client(self, client: Client, *, event: AuditEvent) -> None:
        """Keep a client's scopes and proof as given, and end its tokens. `NotFound` without it."""
        with self._write(event) as (connection, sequence):
            done = connection.execute(
                update(clients)
                .where(clients.c.id == client.id)
                .values(
                    scopes=list(client.scopes),
                    secret_hash=client.secret_hash,
                    public_jwk=None if client.public_jwk is None else dict(client.public_jwk),
                    event=sequence,
                )
            )
            if done.rowcount != 1:
                raise _no_client()
            connection.execute(delete(tokens).where(tokens.c.client == client.id))
            connection.execute(delete(former_secrets).where(former_secrets.c.client == client.id))

    def replace_client_secret(
        self, client_id: str, secret_hash: str, until: datetime, *, event: AuditEvent
    ) -> None:
        """Give a client another secret; the one before holds until then, and no longer.

        Those before that one end at once, tokens go on. `NotFound` for a client without a secret.
        """
        with self._write(event) as (connection, sequence):
            mine = clients.c.id == client_id
            former = connection.execute(select(clients.c.secret_hash).where(mine)).scalar()
            if former is None:
                raise _no_client()
            connection.execute(delete(former_secrets).where(former_secrets.c.client == client_id))
            connection.execute(
                insert(former_secrets).values(
                    client=client_id, secret_hash=former, expires_at=until, event=sequence
                )
            )
            changed = update(clients).where(mine)
            connection.execute(changed.values(secret_hash=secret_hash, event=sequence))

    def former_secret(self, client_id: str, now: datetime) -> str | None:
        """The hash of a client's secret that was replaced and still holds, if there is one."""
        query = select(former_secrets.c.secret_hash).where(
            former_secrets.c.client == client_id, former_secrets.c.expires_at > now
        )
        with self._read() as connection:
            return connection.execute(query).scalar()

    def revoke_token(self, token_hash: bytes, client_id: str, *, event: AuditEvent) -> None:
        """End a client's own token. `NotFound` where it has no such token."""
        with self._write(event) as (connection, _):
            own = (tokens.c.token_hash == token_hash) & (tokens.c.client == client_id)
            if connection.execute(delete(tokens).where(own)).rowcount != 1:
                raise NotFound(
                    "unknown-token",
                    fr="Ce client n’a pas ce jeton.",
                    en="This client has no such token.",
                    who="partner",
                )

    def add_account(self, account: Account, *, event: AuditEvent) -> None:
        """Add a local account. A `Conflict` where its id or login is taken."""
        with self._write(event) as (connection, sequence):
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
            theirs = sessions.c.account == account_id
            if kept is not None:
                theirs &= sessions.c.session_hash != kept
            connection.execute(delete(sessions).where(theirs))

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

    def confirm_factor(self, account_id: str, *, event: AuditEvent) -> None:
        """From now on it is asked for. `NotFound` where none waits to be confirmed."""
        with self._write(event) as (connection, sequence):
            open_ = (second_factors.c.account == account_id) & second_factors.c.confirmed_at.is_(
                None
            )
            done = connection.execute(
                update(second_factors).where(open_).values(confirmed_at=event.at, event=sequence)
            )
            if done.rowcount != 1:
                raise _no_account()

    def drop_factor(self, account_id: str, *, event: AuditEvent) -> None:
        """Ask for it no longer; harmless where there is none."""
        with self._write(event) as (connection, _):
            theirs = second_factors.c.account == account_id
            connection.execute(delete(second_factors).where(theirs))

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

    def add_token(
        self,
        token_hash: bytes,
        client_id: str,
        scopes: Sequence[str],
        expires_at: datetime,
        *,
        event: AuditEvent,
    ) -> None:
        """Keep the hash of an access token."""
        with self._write(event) as (connection, sequence):
            connection.execute(
                insert(tokens).values(
                    token_hash=token_hash,
                    client=client_id,
                    scopes=list(scopes),
                    expires_at=expires_at,
                    event=sequence,
                )
            )

    def token(self, token_hash: bytes, now: datetime) -> tuple[Client, tuple[str, ...]] | None:
        """The client a token was given to and its scopes; None where unknown or expired."""
        query = (
            select(clients, tokens.c.scopes.label("granted"))
            .join(tokens, tokens.c.client == clients.c.id)
            .where(tokens.c.token_hash == token_hash, tokens.c.expires_at > now)
        )
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else (_client(row), tuple(row.granted))

    def use_assertion(self, jti: str, client_id: str, expires_at: datetime) -> bool:
        """Use up a client assertion's id; False where this client has used it before."""
        try:
            with self._change() as connection:
                connection.execute(
                    insert(assertions).values(client=client_id, jti=jti, expires_at=expires_at)
                )
        except Conflict:
            return False
        return True

    def add_session(
        self, session_hash: bytes, account_id: str, expires_at: datetime, *, event: AuditEvent
    ) -> None:
        """Keep the hash of a person's session."""
        with self._write(event) as (connection, sequence):
            connection.execute(
                insert(sessions).values(
                    session_hash=session_hash,
                    account=account_id,
                    expires_at=expires_at,
                    event=sequence,
                )
            )

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

    def end_session(self, session_hash: bytes) -> None:
        """End a session; nothing where there is none."""
        with self._change() as connection:
            connection.execute(delete(sessions).where(sessions.c.session_hash == session_hash))

    def forget_expired(self, now: datetime) -> int:
        """Delete what no longer admits anyone: tokens, sessions, assertions, secrets; how many."""
        with self._change() as connection:
            return sum(
                connection.execute(delete(table).where(table.c.expires_at <= now)).rowcount
                for table in (tokens, sessions, assertions, former_secrets)
            )


def _no_client() -> NotFound:
    return NotFound(
        "unknown-client",
        fr="Aucun client ne porte ce nom.",
        en="No client has this name.",
        who="operator",
    )


def _no_account() -> NotFound:
    return NotFound(
        "unknown-account",
        fr="Aucun compte ne porte ce nom, ou il n’y a rien à confirmer.",
        en="No account has this name, or there is nothing to confirm.",
        who="operator",
    )


def _client(row: Row[Any]) -> Client:
    return Client(
        id=row.id,
        organisation=row.organisation,
        role=Role(row.role),
        scopes=tuple(row.scopes),
        secret_hash=row.secret_hash,
        public_jwk=row.public_jwk,
        created_at=row.created_at,
    )


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.login, row.organisation, Role(row.role), row.password_hash)
