"""Recipients of shared releases: who holds a profile, until when, and the links it is given.

1. A recipient is a client of its organisation, of one role, with what it was admitted for: the
   scope `read`, its purpose, and its last moment (`Terms`). The operator admits it (`add`), or an
   approved request does for those it names (`admit`): that one ends with the request's epoch. Its
   profile holds a token of its own, or a secret for the token endpoint; either is shown once and
   kept as a digest.
2. A profile's token opens Delta Sharing and nothing else of the hub: its digest is of another
   domain than those of access tokens. A file that people mail around must not be a login.
3. A link to a file is signed for one recipient, one release and a few minutes, and names the epoch
   of the recipient: how often it was revoked. Who presents it is asked again: a link outlives
   neither its recipient, nor a revocation, nor the policy's yes.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from hub.errors import Conflict, Denied, NotFound, Rejected, Unauthenticated
from hub.events import AuditEvent, Kind
from hub.identity import passwords, tokens
from hub.parts import OPERATOR, Actor, Parts
from hub.policy.gate import Decision
from hub.records import Client, DataRequest, Organisation, Role

READ: Final = "read"
ROLES: Final = (Role.COLLECTIVITY, Role.SCHOOL, Role.AUDITOR)
"""Whom releases are shared with; partners and the hub's people have other doors."""
LONGEST_DAYS: Final = 366
LINK: Final = timedelta(minutes=15)
DOMAIN: Final = "delta-sharing profile\n"
AT_ONCE: Final = 20
"""Profiles one organisation may hold under one request."""
_PURPOSE: Final = "purpose:"
_REQUEST: Final = "request:"
_EPOCH: Final = "epoch:"
_UNTIL: Final = "until:"
_SLUG: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a recipient was admitted for, kept as scopes of its client.

    `read` alone is asked for at the token endpoint; the others bind whatever token it has.
    """

    until: datetime
    purpose: str = ""
    request: str = ""
    """The request it was approved under; empty for a recipient of open releases."""
    epoch: int = 0
    """That of the request when the profile was made."""

    def scopes(self) -> tuple[str, ...]:
        """As a client keeps them."""
        purpose = (f"{_PURPOSE}{self.purpose}",) if self.purpose else ()
        request = (f"{_REQUEST}{self.request}", f"{_EPOCH}{self.epoch}") if self.request else ()
        return (READ, *purpose, *request, f"{_UNTIL}{int(self.until.timestamp())}")

    @classmethod
    def of(cls, client: Client) -> Terms | None:
        """Those of a client; None where it is no recipient, or none any more."""
        found = {
            prefix: scope.removeprefix(prefix)
            for scope in client.scopes
            for prefix in (_PURPOSE, _REQUEST, _EPOCH, _UNTIL)
            if scope.startswith(prefix)
        }
        if READ not in client.scopes or _UNTIL not in found:
            return None
        until = datetime.fromtimestamp(int(found[_UNTIL]), UTC)
        request, epoch = found.get(_REQUEST, ""), int(found.get(_EPOCH, "0"))
        return cls(until, found.get(_PURPOSE, ""), request, epoch)


@dataclass(frozen=True, slots=True)
class Reader:
    """A recipient who is asking now, as the policy sees it, and for what."""

    actor: Actor
    terms: Terms


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to share with: an organisation's id and name, its role, a purpose, for how long."""

    organisation: str
    role: Role
    name: str = ""
    purpose: str = ""
    days: int = 90


def add(parts: Parts, asked: Asked, *, oauth: bool = False) -> tuple[Client, dict[str, Any]]:
    """Admit a recipient; returns its client and its profile, which is not kept.

    Raises `Rejected` for a role, name or duration that cannot be, `Denied` by the policy.
    """
    decision = parts.require("admin", OPERATOR, {"action": "share_add"})
    _check(asked)
    now = parts.clock()
    terms = Terms((now + timedelta(days=asked.days)).replace(microsecond=0), asked.purpose)
    recipient = Actor("", str(asked.role), asked.organisation)
    return _made(
        parts,
        recipient,
        terms,
        lambda about, facts: parts.told(
            AuditEvent(Kind.SHARE_ADDED, "hub", about, now, facts), decision
        ),
        name=asked.name,
        oauth=oauth,
    )


def admit(
    parts: Parts, actor: Actor, request: DataRequest, decision: Decision, *, oauth: bool = False
) -> tuple[Client, dict[str, Any]]:
    """Admit a recipient of an approved request, which the caller has checked; as `add`.

    Raises `Conflict` where its organisation holds too many profiles of it.
    """
    if request.expires_at is None:
        raise ValueError("a request that is not approved admits nobody")
    terms = Terms(
        request.expires_at.replace(microsecond=0), request.purpose, request.id, request.epoch
    )
    held = [
        client
        for client in parts.books.clients()
        if client.organisation == actor.organisation
        and (Terms.of(client) or terms).request == request.id
        and f"{_EPOCH}{request.epoch}" in client.scopes
    ]
    if len(held) >= AT_ONCE:
        raise Conflict(
            "too-many-profiles",
            fr=f"Votre organisation a déjà {AT_ONCE} profils pour cette demande : mettez fin aux "
            "liens, puis refaites ceux qui servent.",
            en=f"Your organisation holds {AT_ONCE} profiles of this request: end its links, then "
            "make those in use anew.",
            who="person",
        )
    return _made(
        parts,
        actor,
        terms,
        lambda about, facts: parts.decided(Kind.SHARE_ADDED, actor, about, decision, facts),
        oauth=oauth,
    )


def _made(
    parts: Parts,
    actor: Actor,
    terms: Terms,
    told: Callable[[str, dict[str, Any]], AuditEvent],
    *,
    name: str = "",
    oauth: bool,
) -> tuple[Client, dict[str, Any]]:
    """A client of the actor's organisation and its profile; `told` makes the events."""
    now = parts.clock()
    secret = parts.token(32)
    client = Client(
        id=f"{actor.organisation}-share-{parts.token(6)}",
        organisation=actor.organisation,
        role=Role(actor.role),
        scopes=terms.scopes(),
        secret_hash=passwords.hash(secret) if oauth else None,
        created_at=now,
    )
    facts = {
        "organisation": actor.organisation,
        "role": actor.role,
        "purpose": terms.purpose,
        "request": terms.request or None,
        "until": terms.until.isoformat(),
        "profile": "oauth" if oauth else "bearer",
    }
    with parts.books.together():
        if actor.organisation not in {one.id for one in parts.books.organisations()}:
            made = Organisation(actor.organisation, name or actor.organisation)
            parts.books.add_organisation(made, event=told(made.id, {"name": made.name}))
        parts.books.add_client(client, event=told(client.id, facts))
        if not oauth:
            said = {"scopes": [READ], "method": "profile", "expires_at": facts["until"]}
            parts.books.add_token(
                tokens.digest(DOMAIN + secret),
                client.id,
                (READ,),
                terms.until,
                event=AuditEvent(Kind.TOKEN_ISSUED, actor.organisation, client.id, now, said),
            )
    return client, _profile(parts, client, terms, secret, oauth=oauth)


def headers(client: Client) -> dict[str, str]:
    """Headers a profile is answered with: it is a file to be kept, and no cache keeps it."""
    return {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="{client.id}.share"',
    }


def revoke(parts: Parts, client_id: str) -> None:
    """End a recipient: tokens, secret and links at once. Raises `NotFound` where it is none."""
    decision = parts.require("admin", OPERATOR, {"action": "share_revoke"})
    client = parts.books.client(client_id)
    if client is None or Terms.of(client) is None:
        raise NotFound(
            "unknown-recipient",
            fr="Aucun destinataire en cours ne porte ce nom.",
            en="No present recipient has this name.",
            who="operator",
        )
    parts.books.change_client(
        replace(client, scopes=(), secret_hash=None, public_jwk=None),
        event=parts.told(AuditEvent(Kind.SHARE_REVOKED, "hub", client.id, parts.clock()), decision),
    )


def listed(parts: Parts) -> list[dict[str, Any]]:
    """Present recipients, by id: organisation, role, purpose, until when, how they come in."""
    parts.require("admin", OPERATOR, {"action": "share_list"})
    found = [(client, Terms.of(client)) for client in parts.books.clients()]
    return [
        {
            "id": client.id,
            "organisation": client.organisation,
            "role": str(client.role),
            "purpose": terms.purpose,
            "request": terms.request,
            "until": terms.until.isoformat(),
            "profile": "oauth" if client.secret_hash else "bearer",
        }
        for client, terms in found
        if terms is not None
    ]


def reader(parts: Parts, authorization: str | None) -> Reader:
    """Who holds the token of an `Authorization: Bearer …` header.

    Raises `Unauthenticated` for no token, or one that is unknown, expired or revoked; `Denied` for
    a token that was not given to read shared releases.
    """
    scheme, _, token = (authorization or "").partition(" ")
    now, found = parts.clock(), None
    if scheme.lower() == "bearer":
        token = token.strip()
        found = parts.books.token(tokens.digest(DOMAIN + token), now) or parts.books.token(
            tokens.digest(token), now
        )
    if found is None:
        raise Unauthenticated(
            "token-refused",
            fr="Jeton absent, inconnu, expiré ou révoqué : demandez un nouveau profil au hub.",
            en="Absent, unknown, expired or revoked token: ask the hub for a new profile.",
            who="person",
        )
    client, scopes = found
    terms = Terms.of(client)
    if terms is None or READ not in scopes or terms.until <= now:
        raise Denied(
            "not-a-recipient",
            fr="Ce jeton n’ouvre pas le partage, ou n’y ouvre plus droit.",
            en="This token does not open sharing, or no longer does.",
            who="person",
        )
    return _reader(client, terms)


def link(parts: Parts, client_id: str, release_id: str) -> tuple[str, datetime]:
    """The address of a file for one recipient, and when it ends.

    The signature's name is one by which clients know an address as pre-signed: they then fetch it
    without their token. It is in the query, which is never logged.
    """
    epoch = _epoch(parts, client_id)
    until = (parts.clock() + LINK).replace(microsecond=0)
    said = {
        "recipient": client_id,
        "epoch": str(epoch),
        "expires": str(int(until.timestamp())),
    }
    signature = _sign(parts, release_id, said)
    query = urlencode({**said, "X-Amz-Signature": signature})
    return f"{_endpoint(parts)}/files/{release_id}.parquet?{query}", until


def holder(parts: Parts, release_id: str, query: Mapping[str, str]) -> Reader:
    """Whom a link was signed for. Raises `Denied`, the same whatever does not hold."""
    said = {name: query.get(name, "") for name in ("recipient", "epoch", "expires")}
    good = tokens.same(_sign(parts, release_id, said), query.get("X-Amz-Signature", ""))
    now = parts.clock()
    # Nothing of the query is read before its signature holds.
    client = parts.books.client(said["recipient"]) if good else None
    terms = None if client is None else Terms.of(client)
    if (
        client is not None
        and terms is not None
        and now < terms.until
        and now.timestamp() < int(said["expires"])
        and int(said["epoch"]) == _epoch(parts, client.id)
    ):
        return _reader(client, terms)
    raise Denied(
        "link-refused",
        fr="Ce lien n’est pas valable, ou ne l’est plus : relancez la lecture.",
        en="This link does not hold, or no longer does: start the reading again.",
        who="person",
    )


def _reader(client: Client, terms: Terms) -> Reader:
    actor = Actor(client.id, str(client.role), client.organisation, (READ,))
    return Reader(actor, terms)


def _epoch(parts: Parts, client_id: str) -> int:
    """How often a recipient was revoked: read from the events, which nobody can take back."""
    return len(parts.books.events(kind=Kind.SHARE_REVOKED, about=client_id))


def _sign(parts: Parts, release_id: str, said: Mapping[str, str]) -> str:
    body = "\n".join([DOMAIN.strip(), release_id, *(f"{k}={said[k]}" for k in sorted(said))])
    return hmac.digest(parts.keyring.sharing_key, body.encode("utf-8", "replace"), "sha256").hex()


def _profile(
    parts: Parts, client: Client, terms: Terms, secret: str, *, oauth: bool
) -> dict[str, Any]:
    """The profile file of the Delta Sharing protocol, version 1 or 2."""
    endpoint = _endpoint(parts)
    if oauth:
        return {
            "shareCredentialsVersion": 2,
            "type": "oauth_client_credentials",
            "endpoint": endpoint,
            "tokenEndpoint": f"{parts.settings.public_url}/oauth/token",
            "clientId": client.id,
            "clientSecret": secret,
            "scope": READ,
        }
    return {
        "shareCredentialsVersion": 1,
        "endpoint": endpoint,
        "bearerToken": secret,
        "expirationTime": terms.until.strftime("%Y-%m-%dT%H:%M:%S.0Z"),
    }


def _endpoint(parts: Parts) -> str:
    return f"{parts.settings.public_url}/delta-sharing"


def _check(asked: Asked) -> None:
    wrong = [
        name
        for name, holds in (
            ("organisation", 0 < len(asked.organisation) <= 50 and _slug(asked.organisation)),
            ("purpose", len(asked.purpose) <= 50 and _slug(asked.purpose)),
            ("name", len(asked.name) <= 200 and asked.name.isprintable()),
            ("role", asked.role in ROLES),
            ("days", 1 <= asked.days <= LONGEST_DAYS),
        )
        if not holds
    ]
    if wrong:
        raise Rejected(
            "recipient-unreadable",
            fr=f"Le destinataire ne peut être inscrit : {', '.join(wrong)}.",
            en=f"The recipient cannot be entered: {', '.join(wrong)}.",
            who="operator",
            where=", ".join(wrong),
        )


def _slug(text: str) -> bool:
    return _SLUG.issuperset(text)
