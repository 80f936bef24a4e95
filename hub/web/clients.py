"""`/account/clients`: a partner's own people look after the clients of their machines.

What is shown once (a new secret) is the answer to its form. The policy is asked for each act.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from hub import clients
from hub.errors import HubError, Rejected
from hub.parts import Actor, Parts
from hub.records import Account
from hub.web.forms import Forms
from hub.web.render import Renderer
from hub.web.words import N_, say

PAGE: Final = "/account/clients"
REVOKED: Final = N_("Client révoqué.")


def add(routes: APIRouter, parts: Parts, renderer: Renderer, forms: Forms) -> None:
    """Add the page. Nobody signed in is shown the door; the policy decides about the rest."""
    read = Depends(forms.read)

    @routes.api_route(PAGE, methods=["GET", "HEAD"])
    def listed(request: Request) -> Response:
        return renderer.signed_in(request, lambda own: _page(request, parts, renderer, own))

    @routes.post(PAGE)
    def act(request: Request, form: dict[str, str] = read) -> Response:
        def done(account: Account) -> Response:
            try:
                made = _act(parts, Actor.of(account, person=True), form)
            except HubError as error:
                if error.status in {401, 403}:
                    raise
                return _page(request, parts, renderer, account, error=error)
            return _page(request, parts, renderer, account, made=made)

        return renderer.signed_in(request, done)


def _act(parts: Parts, actor: Actor, form: dict[str, str]) -> clients.Renewed | None:
    """What came of it; None for a client that was revoked."""
    name, act = form.get("client", ""), form.get("act", "")
    if act == "revoke":
        clients.revoke(parts, actor, name)
        return None
    if act != "rotate":
        raise _unreadable("act")
    days = form.get("days", str(clients.DAYS))
    if not re.fullmatch(r"[0-9]{1,2}", days):
        raise _unreadable("days")
    return clients.rotate(parts, actor, name, jwk=_key(form.get("jwk", "")), days=int(days))


def _key(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _unreadable("jwk") from error


def _page(
    request: Request,
    parts: Parts,
    renderer: Renderer,
    account: Account,
    *,
    made: clients.Renewed | None = None,
    error: HubError | None = None,
) -> Response:
    language = renderer.language(request)
    found = clients.listed(parts, Actor.of(account, person=True))
    revoked = request.method == "POST" and made is None and error is None
    return renderer.page(
        request,
        "clients.html",
        status=error.status if error else 200,
        account=account,
        error=error.words[language] if error else "",
        made=made,
        done=say(language, REVOKED) if revoked else "",
        found=found,
        formers=parts.books.formers(parts.clock()),
        days=clients.DAYS,
        longest=clients.LONGEST_DAYS,
    )


def _unreadable(where: str) -> Rejected:
    return Rejected(
        "form-unreadable",
        fr=f"Le formulaire est incomplet ou incorrect à « {where} ».",
        en=f"The form is incomplete or wrong at “{where}”.",
        who="person",
        where=where,
    )
