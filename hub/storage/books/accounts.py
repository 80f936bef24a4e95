"""Clients and accounts, their tokens and sessions. Secrets arrive hashed and are kept so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.errors import Conflict, NotFound
from hub.events import AuditEvent
from hub.records import Account, Client, Role
from hub.storage.books.desk import Desk
from hub.storage.books.schema import accounts, assertions, clients, sessions, tokens


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
                raise NotFound(
                    "unknown-client",
                    fr="Aucun client ne porte ce nom.",
                    en="No client has this name.",
                    who="operator",
                )
            connection.execute(delete(tokens).where(tokens.c.client == client.id))

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
        """Delete tokens, sessions and used assertions that no longer admit anyone; how many."""
        with self._change() as connection:
            return sum(
                connection.execute(delete(table).where(table.c.expires_at <= now)).rowcount
                for table in (tokens, sessions, assertions)
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
