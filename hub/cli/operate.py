"""`hub partner`, `hub user`, `hub keys`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hub import clients
from hub.cli import edge, identity, partners
from hub.errors import NotFound
from hub.events import AuditEvent, Kind
from hub.identity import passwords
from hub.parts import OPERATOR, Parts
from hub.records import Account, Agreement, Basis, Client, Organisation, Role

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
partner = typer.Typer(no_args_is_help=True)
user = typer.Typer(no_args_is_help=True)
keys = typer.Typer(no_args_is_help=True)
partners.add_to(partner)
identity.add_to(partner, user)
SCOPES: Final = ("push", "consent")


def add_partner(
    parts: Parts, partner_id: str, jwk: Mapping[str, Any] | None = None
) -> tuple[Client, str]:
    """Add a partner of the territory file with its agreements; returns its client and secret.

    The secret is shown once and kept as a hash. With a public key (RFC 7517) there is none: the
    client then signs its token requests (`private_key_jwt`). Raises `Rejected` for a private key,
    and `Denied`.
    """
    if jwk is not None:
        clients.public_key(jwk)
    terms = next((p for p in parts.territory.partners if p.id == partner_id), None)
    if terms is None:
        raise NotFound(
            "unknown-partner",
            fr="Le fichier de territoire ne nomme pas ce partenaire.",
            en="The territory file names no such partner.",
            who="operator",
            facts={"known": [p.id for p in parts.territory.partners]},
        )
    decision = parts.require("admin", OPERATOR, {"action": "partner_add"})
    now = parts.clock()
    secret = parts.token(32)
    client = Client(
        id=f"{partner_id}-{parts.token(4)}",
        organisation=partner_id,
        role=Role.PARTNER,
        scopes=SCOPES,
        secret_hash=None if jwk else passwords.hash(secret),
        public_jwk=jwk,
        created_at=now,
    )

    def told(kind: Kind, about: str, facts: Mapping[str, Any]) -> AuditEvent:
        return parts.told(AuditEvent(kind, "hub", about, now, facts), decision)

    parts.books.add_organisation(
        Organisation(partner_id, terms.name),
        event=told(Kind.PARTNER_ADDED, partner_id, {"name": terms.name}),
    )
    parts.books.add_client(
        client, event=told(Kind.PARTNER_ADDED, client.id, {"partner": partner_id})
    )
    for entry in parts.territory.agreements:
        if entry.partner != partner_id:
            continue
        parts.books.add_agreement(
            Agreement(
                partner=partner_id,
                dataset=entry.dataset,
                purpose=entry.purpose,
                basis=Basis(entry.basis),
                terms=entry.terms(),
            ),
            event=told(
                Kind.AGREEMENT_RECORDED,
                f"{partner_id}/{entry.dataset}",
                {"purpose": entry.purpose, "basis": entry.basis},
            ),
        )
    return client, "" if jwk else secret


@partner.command("add")
def partner_add(
    partner_id: str,
    jwk: Annotated[Path | None, typer.Option(help="Its public key (JWK); no secret then.")] = None,
    as_json: Json = False,
) -> None:
    """Add a partner named in the territory file; its secret is shown this once."""
    key = edge.public_key(jwk) if jwk else None
    with edge.opened() as parts:
        client, secret = add_partner(parts, partner_id, key)
        shown = {"partner": partner_id, "client_id": client.id, "client_secret": secret}
        edge.say(shown, as_json=as_json)


@partner.command("list")
def partner_list(as_json: Json = False) -> None:
    """Partners and their agreements."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "partner_list"})
        rows: list[Any] = [
            {
                "partner": a.partner,
                "dataset": a.dataset,
                "purpose": a.purpose,
                "basis": str(a.basis),
            }
            for a in parts.books.agreements()
        ]
        edge.table(rows, ("partner", "dataset", "purpose", "basis"), as_json=as_json)


def add_user(parts: Parts, login: str, role: Role, organisation: str, password: str) -> Account:
    """Add a local account; the password is kept as an argon2 hash. Raises `Denied`."""
    decision = parts.require("admin", OPERATOR, {"action": "user_add"})
    now = parts.clock()
    account = Account(
        id=f"user-{parts.token(6)}",
        login=login,
        organisation=organisation,
        role=role,
        password_hash=passwords.hash(password),
    )
    event = AuditEvent(Kind.USER_ADDED, "hub", account.id, now, {"role": str(role)})
    parts.books.add_account(account, event=parts.told(event, decision))
    return account


@user.command("add")
def user_add(
    login: str,
    role: Annotated[Role, typer.Option()],
    organisation: Annotated[str, typer.Option()] = "hub",
    as_json: Json = False,
) -> None:
    """Add an account with a generated password, shown this once."""
    with edge.opened() as parts:
        password = parts.token(12)
        account = add_user(parts, login, role, organisation, password)
        shown = {"login": account.login, "role": str(role), "password": password}
        edge.say(shown, as_json=as_json)


@user.command("list")
def user_list(as_json: Json = False) -> None:
    """Accounts and their roles."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "user_list"})
        rows: list[Any] = [
            {"id": a.id, "login": a.login, "role": str(a.role), "organisation": a.organisation}
            for a in parts.books.accounts()
        ]
        edge.table(rows, ("id", "login", "role", "organisation"), as_json=as_json)


@keys.command("show")
def keys_show(as_json: Json = False) -> None:
    """The public halves: whom to seal for, and how to verify receipts and the log."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "keys_show"})
        shown = {"recipient": parts.keyring.recipient, "log": str(parts.log.signer.verifier)}
        edge.say(shown, as_json=as_json)


@keys.command("rotate")
def keys_rotate(as_json: Json = False) -> None:
    """Let a new key sign the log and receipts; what the former one signed goes on to hold."""
    with edge.opened() as parts:
        parts.rotate_log_key()
        present, *former = parts.log.keys
        shown = {
            "log": str(present),
            "former": [{"key": str(key), "until": key.until} for key in former],
        }
        edge.say(shown, as_json=as_json)
