"""OAuth 2 clients, what they prove themselves with, and their tokens. Secrets are kept hashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, delete, insert, select, union_all, update

from hub.errors import Conflict, NotFound
from hub.events import AuditEvent
from hub.records import Client, Role
from hub.storage.books.desk import Desk
from hub.storage.books.schema import assertions, clients, former_keys, former_secrets, tokens


class Clients(Desk):
    """Which machines may speak to the hub, and with what in hand."""

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
            for former in (former_secrets, former_keys):
                connection.execute(delete(former).where(former.c.client == client.id))

    def replace_client_secret(
        self, client_id: str, secret_hash: str, until: datetime, *, event: AuditEvent
    ) -> None:
        """Give a client another secret; the one before holds until then, and no longer.

        Those before that one end at once, tokens go on. `NotFound` for a client without a secret.
        """
        self._replace("secret_hash", former_secrets, client_id, secret_hash, until, event)

    def former_secret(self, client_id: str, now: datetime) -> str | None:
        """The hash of a client's secret that was replaced and still holds, if there is one."""
        query = select(former_secrets.c.secret_hash).where(
            former_secrets.c.client == client_id, former_secrets.c.expires_at > now
        )
        with self._read() as connection:
            return connection.execute(query).scalar()

    def replace_client_key(
        self, client_id: str, jwk: Mapping[str, Any], until: datetime, *, event: AuditEvent
    ) -> None:
        """Give a client another public key; the one before holds until then, and no longer.

        The one before that ends at once, tokens go on. `NotFound` for a client without a key.
        """
        self._replace("public_jwk", former_keys, client_id, dict(jwk), until, event)

    def _replace(
        self, proof: str, formers: Table, client_id: str, new: Any, until: datetime,
        event: AuditEvent,
    ) -> None:  # fmt: skip
        """Another proof of the kind a client has; what it had goes among the former ones."""
        with self._write(event) as (connection, sequence):
            mine = clients.c.id == client_id
            former = connection.execute(select(clients.c[proof]).where(mine)).scalar()
            if former is None:
                raise _no_client()
            connection.execute(delete(formers).where(formers.c.client == client_id))
            kept = {"client": client_id, proof: former, "expires_at": until, "event": sequence}
            connection.execute(insert(formers).values(kept))
            changed = update(clients).where(mine)
            connection.execute(changed.values({proof: new, "event": sequence}))

    def former_key(self, client_id: str, now: datetime) -> Mapping[str, Any] | None:
        """A client's public key that was replaced and still holds, if there is one."""
        query = select(former_keys.c.public_jwk).where(
            former_keys.c.client == client_id, former_keys.c.expires_at > now
        )
        with self._read() as connection:
            return connection.execute(query).scalar()

    def formers(self, now: datetime) -> dict[str, datetime]:
        """Until when the replaced proof of each client holds, where there is one."""
        held = union_all(
            *(
                select(table.c.client, table.c.expires_at).where(table.c.expires_at > now)
                for table in (former_secrets, former_keys)
            )
        )
        with self._read() as connection:
            return {row.client: row.expires_at for row in connection.execute(held)}

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


def _no_client() -> NotFound:
    return NotFound(
        "unknown-client",
        fr="Aucun client ne porte ce nom.",
        en="No client has this name.",
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
