"""A partner's OAuth 2 clients: what proves them is replaced with an overlap, or ended at once.

A replaced secret or key holds on until the day that was said, so that the partner's machines may
change over one after the other; tokens go on. What is revoked ends at once, tokens included. A new
secret is shown once. The policy says who may: never the client itself (`policies/client.rego`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import import_key

from hub.errors import NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.identity import passwords
from hub.identity.proofs import KEY_TYPES
from hub.parts import OPERATOR, Actor, Parts
from hub.policy.gate import Decision
from hub.records import Client

DAYS: Final = 7
LONGEST_DAYS: Final = 90
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Renewed:
    """What came of a rotation; `secret` is shown once, '' for a key."""

    client: Client
    until: datetime
    secret: str = field(default="", repr=False)


def listed(parts: Parts, actor: Actor) -> list[Client]:
    """The clients of an actor's own organisation; everybody's for the operator. May be denied."""
    _may(parts, actor, "list", actor.organisation)
    everyones = actor.role == OPERATOR.role
    return [
        one for one in parts.books.clients() if everyones or one.organisation == actor.organisation
    ]


def rotate(
    parts: Parts,
    actor: Actor,
    client_id: str,
    *,
    jwk: Mapping[str, Any] | None = None,
    days: int = DAYS,
) -> Renewed:
    """Another secret for a client that has one, or the given public key.

    A client with a secret that is given a key stays who it is; its secret and tokens end at once,
    for whoever moves to a key wants no secret to be good any more. Raises `Denied`, `NotFound`,
    and `Rejected` for what is no public key, a client with a key that is given none, or days out
    of bounds.
    """
    client, decision = _of(parts, actor, "rotate", client_id)
    if not 0 <= days <= LONGEST_DAYS:
        raise Rejected(
            "days-out-of-bounds",
            fr=f"L’ancien secret ou l’ancienne clé vaut encore de 0 à {LONGEST_DAYS} jours.",
            en=f"The former secret or key holds on for 0 to {LONGEST_DAYS} days.",
            who="partner",
        )
    until = parts.clock() + timedelta(days=days)
    if jwk is not None:
        public_key(jwk)
    if client.public_jwk is None and client.secret_hash is None:
        raise _no_client()
    if client.public_jwk is not None and jwk is None:
        raise Rejected(
            "other-proof",
            fr="Ce client se prouve par une clé publique : donnez la nouvelle.",
            en="This client proves itself by a public key: give the new one.",
            who="partner",
        )
    if client.public_jwk is None and jwk is not None:
        moved = replace(client, secret_hash=None, public_jwk=jwk)
        event = _event(parts, actor, client_id, "moved_to_key", decision)
        parts.books.change_client(moved, event=event)
        return Renewed(moved, parts.clock())
    change = "secret_replaced" if jwk is None else "key_replaced"
    event = _event(parts, actor, client_id, change, decision, {"former_until": until.isoformat()})
    if jwk is not None:
        parts.books.replace_client_key(client_id, jwk, until, event=event)
        return Renewed(client, until)
    secret = parts.token(SECRET_BYTES)
    parts.books.replace_client_secret(client_id, passwords.hash(secret), until, event=event)
    return Renewed(client, until, secret)


def revoke(parts: Parts, actor: Actor, client_id: str) -> None:
    """End a client: its tokens, its secrets and its keys, at once."""
    client, decision = _of(parts, actor, "revoke", client_id)
    parts.books.change_client(
        replace(client, secret_hash=None, public_jwk=None),
        event=_event(parts, actor, client_id, "revoked", decision),
    )


def public_key(jwk: Mapping[str, Any]) -> None:
    """Raise `Rejected` unless this is the public half of a key (RFC 7517), and that alone."""
    try:
        key = import_key(dict(jwk)) if jwk.get("kty") in KEY_TYPES else None
        usable = key is not None and not key.is_private
    except (JoseError, ValueError, TypeError, KeyError):
        usable = False
    if not usable:
        raise Rejected(
            "jwk-not-public",
            fr="Il faut la moitié publique de la clé (JWK), et elle seule.",
            en="The public half of the key (JWK) is needed, and nothing else.",
            who="partner",
        )


def _may(parts: Parts, actor: Actor, action: str, organisation: str) -> Decision:
    asked = {"action": action, "organisation": organisation, "person": actor.person}
    return parts.require("client", actor, asked)


def _of(parts: Parts, actor: Actor, action: str, client_id: str) -> tuple[Client, Decision]:
    """The client, and what the policy allowed. Somebody else's is as good as none."""
    found = parts.books.client(client_id)
    if found is None:
        _may(parts, actor, "list", actor.organisation)
        raise _no_client()
    return found, _may(parts, actor, action, found.organisation)


def _event(
    parts: Parts,
    actor: Actor,
    client_id: str,
    change: str,
    decision: Decision,
    facts: Mapping[str, Any] | None = None,
) -> AuditEvent:
    said = {"change": change, "by": actor.id, **(facts or {})}
    event = AuditEvent(Kind.CLIENT_CHANGED, actor.organisation, client_id, parts.clock(), said)
    return parts.told(event, decision)


def _no_client() -> NotFound:
    return NotFound(
        "unknown-client",
        fr="Aucun client ne porte ce nom, ou il est révoqué.",
        en="No client has this name, or it is revoked.",
        who="operator",
    )
