"""`/dpo/rights`: the register of rights, with the clock the law sets, for the officer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from hub import consent_proofs, rights
from hub.errors import HubError
from hub.parts import Actor, Parts
from hub.records import Account, Case
from hub.web.forms import Forms
from hub.web.mine import CASE_STATES, CONCERNS, GROUNDS, KINDS, OPENINGS, WORDS
from hub.web.render import Renderer
from hub.web.words import say

PAGE: Final = "/dpo/rights"


def add(routes: APIRouter, parts: Parts, renderer: Renderer, forms: Forms) -> None:
    """Add the page. Nobody signed in is shown the door; the policy decides about the rest."""
    read = Depends(forms.read)

    @routes.api_route(PAGE, methods=["GET", "HEAD"])
    def register(request: Request) -> Response:
        return renderer.signed_in(request, lambda own: _page(request, parts, renderer, own))

    @routes.post(PAGE)
    def move(request: Request, form: dict[str, str] = read) -> Response:
        def done(account: Account) -> Response:
            actor = Actor.of(account)
            case, answer = form.get("case", ""), form.get("answer", "")
            acts: dict[str, Callable[[], Case]] = {
                "open": lambda: rights.open_for(
                    parts,
                    actor,
                    form.get("kind", ""),
                    form.get("concerns", ""),
                    form.get("code", ""),
                ),
                "extend": lambda: rights.extend(parts, actor, case, form.get("reason", "")),
                "close": lambda: rights.close(parts, actor, case, answer, form.get("ground", "")),
            }
            try:
                acts.get(form.get("act", ""), acts["close"])()
            except HubError as error:
                words = error.words[renderer.language(request)]
                return _page(request, parts, renderer, account, words, error.status)
            return RedirectResponse(PAGE, 303, {"cache-control": "no-store"})

        return renderer.signed_in(request, done)

    @routes.post(f"{PAGE}/proof")
    def proof(request: Request, form: dict[str, str] = read) -> Response:
        def done(account: Account) -> Response:
            number = form.get("consent", "").strip()
            try:
                made = consent_proofs.hand_out(
                    parts, Actor.of(account), number, form.get("ground", "")
                )
            except HubError as error:
                words = error.words[renderer.language(request)]
                return _page(request, parts, renderer, account, words, error.status)
            return Response(
                made,
                media_type="application/octet-stream",
                headers={
                    "content-disposition": f'attachment; filename="preuve-{number}.age"',
                    "cache-control": "no-store",
                },
            )

        return renderer.signed_in(request, done)


def _page(
    request: Request,
    parts: Parts,
    renderer: Renderer,
    account: Account,
    error: str = "",
    status: int = 200,
) -> Response:
    language = renderer.language(request)
    return renderer.page(
        request,
        "dpo-rights.html",
        status=status,
        account=account,
        error=error,
        cases=rights.register(parts, Actor.of(account)),
        now=parts.clock(),
        kinds=KINDS,
        concerns=CONCERNS,
        answers=[(name, CASE_STATES[name]) for name in rights.ANSWERS],
        grounds=[(name, GROUNDS[name]) for name in rights.GROUNDS],
        proof_grounds=[(name, OPENINGS[name]) for name in consent_proofs.GROUNDS],
        reasons=[(name, GROUNDS[name]) for name in rights.EXTENSIONS],
        say=lambda text: say(language, text),
        word=lambda kind, code: say(language, WORDS[kind][code]) if code else "",
    )
