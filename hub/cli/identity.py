"""`hub partner rotate|revoke` and `hub user password|lock|unlock|totp`: proofs replaced, or ended.

What is new is shown this once. A replaced secret holds on for some days, so that a partner's
machines may change over; what is revoked or locked ends at once, with every token and session.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import typer

from hub.cli import edge
from hub.errors import NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.identity import passwords
from hub.identity.sessions import LOCKED
from hub.identity.totp import Factors
from hub.parts import OPERATOR, Parts
from hub.records import Account, Client

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
        int, typer.Option(min=0, max=90, help="For how long the present secret holds on.")
    ] = 7,
    as_json: Json = False,
) -> None:
    """Give a client another secret; the present one holds on for some days."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "partner_add"})
        secret = parts.token(32)
        until = parts.clock() + timedelta(days=days)
        parts.books.replace_client_secret(
            client_id,
            passwords.hash(secret),
            until,
            event=AuditEvent(
                Kind.CLIENT_CHANGED,
                "hub",
                client_id,
                parts.clock(),
                {"change": "secret_replaced", "former_until": until.isoformat()},
            ),
        )
        shown = {
            "client_id": client_id,
            "client_secret": secret,
            "former_until": until.isoformat(timespec="seconds"),
        }
        edge.say(shown, as_json=as_json)


def partner_revoke(client_id: str, as_json: Json = False) -> None:
    """End a client: its tokens, its secrets and its key, at once."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "partner_add"})
        parts.books.change_client(
            replace(_client(parts, client_id), secret_hash=None, public_jwk=None),
            event=AuditEvent(
                Kind.CLIENT_CHANGED, "hub", client_id, parts.clock(), {"change": "revoked"}
            ),
        )
        edge.say({"client_id": client_id, "state": "revoked"}, as_json=as_json)


def user_password(login: str, as_json: Json = False) -> None:
    """Give an account a generated password, shown this once; its sessions end."""
    with edge.opened() as parts:
        password = parts.token(12)
        _keep(parts, _account(parts, login), passwords.hash(password), "password")
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
        parts.require("admin", OPERATOR, {"action": "user_add"})
        account = _account(parts, login)
        factors = Factors(parts.books, parts.keyring.session_key)
        shown = {"login": login}
        if off:
            factors.drop(account, parts.clock())
            shown["totp"] = "off"
        elif confirm:
            factors.confirm(account, confirm, parts.clock())
            shown["totp"] = "on"
        else:
            shown["address"] = factors.begin(account, parts.territory.name, parts.clock())
        edge.say(shown, as_json=as_json)


def _keep(parts: Parts, account: Account, password_hash: str, change: str) -> None:
    parts.require("admin", OPERATOR, {"action": "user_add"})
    event = AuditEvent(Kind.USER_CHANGED, "hub", account.id, parts.clock(), {"change": change})
    parts.books.change_password(account.id, password_hash, event=event)


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


def _client(parts: Parts, client_id: str) -> Client:
    found = parts.books.client(client_id)
    if found is None:
        raise NotFound(
            "unknown-client",
            fr="Aucun client ne porte ce nom.",
            en="No client has this name.",
            who="operator",
        )
    return found
