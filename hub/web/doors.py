"""Signing in and out: with a password of the hub, or through a provider of identities.

Coming back from the provider is a visit from another site: the cookie of that login is `Lax`, and
the answer is a page that goes on by itself, since a redirect would arrive without the session's
cookie, which is `Strict`. Going there from a form is one, too: the policy of our pages would stop
a redirect, so signing out there is a page as well.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from hub.errors import Denied, HubError, NotFound
from hub.identity.openid import CALLBACK, PATIENCE, Openid
from hub.identity.people import People, RequestFacts
from hub.web.forms import Forms, place
from hub.web.render import Renderer

BEGIN: Final = "/login/openid"
ENDED: Final = "/login/ended"
ANSWERS: Final = ("code", "state", "iss", "error")
LONGEST: Final = 4096
SECONDS: Final = {"entered": 0, "left": 1}
"""How long a page that goes on by itself is shown."""
NO_STORE: Final = {"cache-control": "no-store"}


def add(
    routes: APIRouter,
    people: People,
    renderer: Renderer,
    forms: Forms,
    openid: Openid | None,
    *,
    passwords: bool = True,
) -> None:
    """Add `/login`, `/logout` and what is under them."""
    doors = _Doors(people, renderer, forms, openid, passwords)
    read = Depends(forms.read)

    @routes.api_route("/login", methods=["GET", "HEAD"])
    def login_page(request: Request) -> Response:
        return RedirectResponse("/", 303) if renderer.account(request) else doors.page(request)

    @routes.post("/login")
    def sign_in(request: Request, form: dict[str, str] = read) -> Response:
        return doors.enter(request, form)

    @routes.post("/logout", dependencies=[read])
    def sign_out(request: Request) -> Response:
        return doors.leave(request)

    @routes.get(BEGIN)
    def begin() -> Response:
        return doors.begin()

    @routes.get(CALLBACK)
    def callback(request: Request) -> Response:
        return doors.back(request)

    @routes.post(ENDED)
    async def ended(request: Request) -> Response:
        fields = await forms.fields(request)
        return doors.ended(fields.get("logout_token", ""))


class _Doors:
    """The doors over people and, where there is one, a provider."""

    def __init__(
        self,
        people: People,
        renderer: Renderer,
        forms: Forms,
        openid: Openid | None,
        passwords: bool,
    ) -> None:
        self.people, self.renderer, self.forms = people, renderer, forms
        self.openid, self.passwords = openid, passwords
        self.cookie = "__Host-hub-login" if forms.secure else "hub-login"

    def page(self, request: Request, login: str = "", error: HubError | None = None) -> Response:
        """The ways in; `error` says why the last one led nowhere."""
        return self.renderer.page(
            request,
            "login.html",
            status=error.status if error else 200,
            form=True,
            login=login,
            error=error.words[self.renderer.language(request)] if error else "",
            provider=self.openid.name if self.openid else "",
            begin=BEGIN,
            passwords=self.passwords,
        )

    def enter(self, request: Request, form: dict[str, str]) -> Response:
        """In by a password of the hub."""
        login, password = form.get("login", "")[:200], form.get("password", "")
        facts = RequestFacts(place(request))
        try:
            cookie = self.people.login(login, password, facts, form.get("code", ""))
        except HubError as error:
            return self.page(request, login, error)
        return self._entered(RedirectResponse(self.forms.wanted(request), 303, NO_STORE), cookie)

    def begin(self) -> Response:
        """To the provider."""
        begun = self._openid().begin()
        response = RedirectResponse(begun.address, 303, NO_STORE)
        self.forms.keep(
            response, self.cookie, begun.cookie, int(PATIENCE.total_seconds()), samesite="lax"
        )
        return response

    def back(self, request: Request) -> Response:
        """Back from the provider, with its answer in the address."""
        openid = self._openid()
        asked = request.query_params
        answer = {name: asked[name][:LONGEST] for name in ANSWERS if name in asked}
        try:
            token = openid.finish(request.cookies.get(self.cookie, "")[:LONGEST], answer)
        except Denied as error:  # Unauthenticated is one
            response = self.page(request, error=error)
        else:
            address = self.forms.wanted(request)
            response = self._entered(self._going(request, "entered", address), token)
        self.forms.drop(response, self.cookie)
        return response

    def leave(self, request: Request) -> Response:
        """Out of here, and through the provider's door where one came in by that."""
        token = self.forms.session(request)
        address = self.openid.leaving(token) if self.openid else ""
        self.people.logout(token)
        response = (
            self._going(request, "left", address)
            if address
            else RedirectResponse("/", 303, NO_STORE)
        )
        self.forms.drop(response, self.forms.session_cookie)
        return response

    def ended(self, token: str) -> Response:
        """The provider says that a session ended there (Back-Channel Logout §2.8)."""
        try:
            self._openid().ended(token)
        except Denied:
            body = {"error": "invalid_request", "error_description": "No logout token of ours."}
            return JSONResponse(body, 400, NO_STORE)
        return Response(headers=NO_STORE)

    def _going(self, request: Request, how: str, address: str) -> Response:
        """A page that goes on to an address by itself, or by its link."""
        name = self.openid.name if self.openid else ""
        return self.renderer.page(
            request,
            "going.html",
            form=True,
            how=how,
            address=address,
            refresh=f"{SECONDS[how]};url={address}",
            provider=name,
        )

    def _entered(self, response: Response, token: str) -> Response:
        self.forms.keep(response, self.forms.session_cookie, token)
        self.forms.drop(response, self.forms.form_cookie)
        self.forms.forget(response)
        return response

    def _openid(self) -> Openid:
        if self.openid is None:
            raise NotFound(
                "no-provider",
                fr="Ce hub n’a pas de fournisseur d’identité.",
                en="This hub has no identity provider.",
                who="person",
            )
        return self.openid
