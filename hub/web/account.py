"""`/account`: what a person does with their own account: password, second factor, sessions.

One page and one form each, without scripts. What is shown once (the address of a second factor,
recovery codes) is the answer to its form, kept nowhere, and not to be had by loading it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import segno
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from hub.errors import HubError, Rejected
from hub.identity import tokens
from hub.identity.own import SHORTEST, Own
from hub.identity.people import People, name_of
from hub.records import Account
from hub.web.forms import Forms
from hub.web.render import Renderer
from hub.web.words import N_, say

PAGE: Final = "/account"
DONE: Final = {
    "password": N_("Mot de passe changé. Vos autres sessions sont terminées."),
    "drop": N_("Le second facteur n’est plus demandé."),
    "end": N_("Session terminée."),
    "others": N_("Vos autres sessions sont terminées."),
}
"""Acts after which the page is loaded anew, and what it says then."""


def add(
    routes: APIRouter, people: People, own: Own, renderer: Renderer, forms: Forms, provider: str
) -> None:
    """Add the page. Nobody signed in is shown the door. `provider` is what people call it."""
    pages = _Account(people, own, renderer, forms, provider)
    read = Depends(forms.read)

    @routes.api_route(PAGE, methods=["GET", "HEAD"])
    def page(request: Request) -> Response:
        done = DONE.get(request.query_params.get("done", ""), "")
        return renderer.signed_in(request, lambda own: pages.page(request, own, done=done))

    @routes.post(PAGE)
    def act(request: Request, form: dict[str, str] = read) -> Response:
        return renderer.signed_in(request, lambda own: pages.act(request, own, form))


class _Account:
    """The page over one's own account."""

    def __init__(
        self, people: People, own: Own, renderer: Renderer, forms: Forms, provider: str
    ) -> None:
        self.people, self.own, self.renderer, self.forms = people, own, renderer, forms
        self.provider = provider

    def act(self, request: Request, account: Account, form: Mapping[str, str]) -> Response:
        """Do what a form asks, and show what comes of it."""
        token, own = self.forms.session(request), self.own
        password, code = form.get("password", ""), form.get("code", "")
        name = form.get("act", "")
        shown: dict[str, Callable[[], dict[str, Any]]] = {
            "begin": lambda: {"factor": _factor(own.begin_factor(token, password))},
            "confirm": lambda: {"recovery": own.confirm_factor(token, code)},
            "recovery": lambda: {"recovery": own.renew_recovery(token, password, code)},
        }
        silent: dict[str, Callable[[], None]] = {
            "password": lambda: own.change_password(token, password, form.get("chosen", "")),
            "drop": lambda: own.drop_factor(token, password, code),
            "end": lambda: self.people.end(token, form.get("session", "")),
            "others": lambda: self.people.end_others(token),
        }
        try:
            if name in shown:
                return self.page(request, account, **shown[name]())
            if name not in silent:
                raise _unreadable()
            silent[name]()
        except HubError as error:
            return self.page(request, account, error=error, status=error.status)
        return RedirectResponse(f"{PAGE}?done={name}", 303, {"cache-control": "no-store"})

    def page(
        self,
        request: Request,
        account: Account,
        *,
        error: HubError | None = None,
        done: str = "",
        status: int = 200,
        factor: Mapping[str, Any] | None = None,
        recovery: Sequence[str] = (),
    ) -> Response:
        """The page; `factor` and `recovery` are shown this once."""
        token, language = self.forms.session(request), self.renderer.language(request)
        return self.renderer.page(
            request,
            "account.html",
            status=status,
            account=account,
            error=error.words[language] if error else "",
            done=say(language, done) if done else "",
            standing=self.own.standing(token),
            sessions=self.people.sessions(token),
            present=tokens.digest(token),
            name_of=name_of,
            shortest=SHORTEST,
            factor=factor,
            recovery=recovery,
            provider=self.provider,
        )


def _factor(address: str) -> dict[str, Any]:
    """A second factor as a square to photograph, and as letters to type."""
    [secret] = parse_qs(urlsplit(address).query)["secret"]
    drawn = segno.make(address, error="m").svg_inline(scale=5, dark="#000", light="#fff")
    return {
        "square": Markup(drawn),  # noqa: S704 - drawn by segno: paths, and nothing that was typed
        "letters": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "address": address,
    }


def _unreadable() -> Rejected:
    return Rejected(
        "act-unknown",
        fr="Ce formulaire ne demande rien que la page sache faire. Rechargez la page.",
        en="This form asks nothing the page can do. Reload the page.",
        who="person",
    )
