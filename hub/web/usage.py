"""`/usage`: the monthly statement, for partners and those who read, and for who watches over both.

The ground for an economic model: what was made of each partner's data, and by whom it was used.
Told from the events, like the CSV beside it; nothing is counted for the page.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from hub import metering
from hub.errors import Rejected
from hub.parts import Actor, Parts
from hub.records import Account
from hub.web.names import names
from hub.web.render import Renderer

PAGE: Final = "/usage"


def add(routes: APIRouter, parts: Parts, renderer: Renderer) -> None:
    """Add the page. Nobody signed in is shown the door; the policy decides about the rest."""

    @routes.api_route(PAGE, methods=["GET", "HEAD"])
    def statement(request: Request, month: str = "", of: str = "") -> Response:
        def shown(account: Account) -> Response:
            actor = Actor.of(account)
            asked, error = month or metering.this_month(parts.clock()), ""
            try:
                known = metering.statement(parts, actor, asked)
            except Rejected as wrong:
                known, error = [], wrong.words[renderer.language(request)]
            uses = metering.only(known, of[:50])
            return renderer.page(
                request,
                "usage.html",
                status=422 if error else 200,
                account=account,
                error=error,
                month=asked[:10],
                of=of[:50],
                named=names(parts),
                uses=uses,
                partners=metering.totals(uses, lambda use: use.partners),
                organisations=metering.totals(uses, lambda use: (use.organisation,)),
            )

        return renderer.signed_in(request, shown)
