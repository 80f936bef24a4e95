"""`hub partner rotate|revoke` and `hub user password|lock|unlock|totp`: proofs replaced, or ended.

What is new is shown this once. A replaced secret or key holds on for some days (`hub.clients`);
what is revoked or locked ends at once, with every token and session.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hub import clients
from hub.cli import edge
from hub.errors import NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.identity import passwords
from hub.identity.sessions import LOCKED, VOUCHED
from hub.identity.totp import Factors
from hub.parts import OPERATOR, Parts
from hub.records import Account

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(partner: typer.Typer, user: typer.Typer) -> None:
    """Add the commands to `hub partner` and `hub user`."""
    partner.command("rotate")(partner_rotate)
    partner.command("revoke")(partner_revoke)
    user.command("password")(user_password)
    user.command("lock")(user_lock)
    user.command("unlock")(user_unlock)
    user.command("totp")(user_totp)


def partner_rotate(
    client_id: str,
    days: Annotated[
        int, typer.Option(min=0, max=90, help="For how long the present one holds on.")
    ] = clients.DAYS,
    jwk: Annotated[Path | None, typer.Option(help="The new public key; ends a secret.")] = (None),
    as_json: Json = False,
) -> None:
    """Give a client another secret or public key; the present one holds on for some days."""
    key = edge.public_key(jwk) if jwk else None
    with edge.opened() as parts:
        made = clients.rotate(parts, OPERATOR, client_id, jwk=key, days=days)
        shown = {"client_id": client_id, "client_secret": made.secret}
        shown |= {"former_until": made.until.isoformat(timespec="seconds")}
        edge.say(shown, as_json=as_json)


def partner_revoke(client_id: str, as_json: Json = False) -> None:
    """End a client: its tokens, its secrets and its keys, at once."""
    with edge.opened() as parts:
        clients.revoke(parts, OPERATOR, client_id)
        edge.say({"client_id": client_id, "state": "revoked"}, as_json=as_json)


def user_password(login: str, as_json: Json = False) -> None:
    """Give an account a generated password, shown this once; its sessions end."""
    with edge.opened() as parts:
        password = parts.token(12)
        _keep(parts, _local(parts, login), passwords.hash(password), "password")
        edge.say({"login": login, "password": password}, as_json=as_json)


def user_lock(login: str, as_json: Json = False) -> None:
    """Let nobody into an account until it is unlocked; its sessions end."""
    with edge.opened() as parts:
        account = _account(parts, login)
        _keep(parts, account, LOCKED + account.password_hash.removeprefix(LOCKED), "locked")
        edge.say({"login": login, "state": "locked"}, as_json=as_json)


def user_unlock(login: str, as_json: Json = False) -> None:
    """Let its password open an account again."""
    with edge.opened() as parts:
        account = _account(parts, login)
        _keep(parts, account, account.password_hash.removeprefix(LOCKED), "unlocked")
        edge.say({"login": login, "state": "open"}, as_json=as_json)


def user_totp(
    login: str,
    confirm: Annotated[str, typer.Option(help="A code of the app: asked for from now on.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Ask for no code any more.")] = False,
    as_json: Json = False,
) -> None:
    """Begin a second factor: shows, this once, the address an authenticator app reads."""
    if confirm and off:
        raise Rejected(
            "totp-options",
            fr="--confirm et --off s’excluent.",
            en="--confirm and --off exclude each other.",
            who="operator",
        )
    with edge.opened() as parts:
        decision = parts.require("admin", OPERATOR, {"action": "user_add"})
        account = _local(parts, login)
        factors = Factors(
            parts.books,
            parts.keyring.session_key,
            told=lambda event: parts.told(event, decision),
        )
        shown: dict[str, Any] = {"login": login}
        if off:
            factors.drop(account, parts.clock())
            shown["totp"] = "off"
        elif confirm:
            codes = factors.confirm(account, confirm, parts.clock())
            shown |= {"totp": "on", "recovery": codes}
        else:
            shown["address"] = factors.begin(account, parts.territory.name, parts.clock())
        edge.say(shown, as_json=as_json)


def _keep(parts: Parts, account: Account, password_hash: str, change: str) -> None:
    decision = parts.require("admin", OPERATOR, {"action": "user_add"})
    event = AuditEvent(Kind.USER_CHANGED, "hub", account.id, parts.clock(), {"change": change})
    parts.books.change_password(account.id, password_hash, event=parts.told(event, decision))


def _account(parts: Parts, login: str) -> Account:
    found = parts.books.account(login)
    if found is None:
        raise NotFound(
            "unknown-account",
            fr="Aucun compte ne porte ce nom.",
            en="No account has this name.",
            who="operator",
        )
    return found


def _local(parts: Parts, login: str) -> Account:
    """An account with a password of the hub, locked or not."""
    found = _account(parts, login)
    if found.password_hash.removeprefix(LOCKED) == VOUCHED:
        raise Rejected(
            "account-elsewhere",
            fr="Le fournisseur d’identité tient le mot de passe et le second facteur de ce compte.",
            en="The identity provider holds this account's password and second factor.",
            who="operator",
        )
    return found
