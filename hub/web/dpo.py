"""The page of the data-protection officer: what the hub did, and where it stands, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from connectors.contract import REASONS
from hub.errors import Rejected
from hub.records import Account
from hub.web.desk import Desk, Lines
from hub.web.render import Renderer

FIELDS: Final = (
    "kind",
    "outcome",
    "organisation",
    "dataset",
    "purpose",
    "about",
    "since",
    "until",
)
STATES: Final = ("given", "refused", "objected", "withdrawn")
LONGEST: Final = 200
SHORT: Final = 5
"""Withdrawals under way, those complete, and pushes in sight; the others are folded away."""
_NUMBER: Final = 15


def add(routes: APIRouter, desk: Desk, renderer: Renderer) -> None:
    """Add `/dpo`. Nobody signed in is shown the door; whoever may not look gets the 403 page."""

    @routes.api_route("/dpo", methods=["GET", "HEAD"])
    def dpo(request: Request) -> Response:
        def shown(account: Account) -> Response:
            overview = desk.overview(account)
            query = request.query_params
            given = ((name, query.get(name, "").strip()[:LONGEST]) for name in FIELDS)
            asked = {name: text for name, text in given if text}
            found: Lines | None = None
            error, status = "", 200
            if "search" in query:
                try:
                    found = desk.search(account, asked, _after(query))
                except Rejected as problem:
                    error, status = problem.words[renderer.language(request)], problem.status
            return renderer.page(
                request,
                "dpo.html",
                status=status,
                account=account,
                overview=overview,
                asked=asked,
                found=found,
                error=error,
                kinds=desk.kinds(),
                states=STATES,
                short=SHORT,
                reasons=REASONS,
                csv="/v1/audit/events?" + urlencode({**asked, "format": "csv"}),
            )

        return renderer.signed_in(request, shown)


def _after(query: Mapping[str, str]) -> int:
    """Where a page begins: from the beginning where the address was tampered with."""
    text = query.get("after", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _NUMBER else 0
