"""RFC 9457: every error of every route as a problem document, in the reader's language."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hub.errors import HubError, Language, NotFound, Rejected, Unauthenticated, fault

log = logging.getLogger("hub.api")
PROBLEM: Final = "application/problem+json"
OAUTH: Final = "/oauth/"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457, with who can act, and a code that stays the same.",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
    },
}
ErrorPage = Callable[[Request, HubError], Response]


def language_of(request: Request) -> Language:
    """English where the reader prefers it, French otherwise."""
    accepted = request.headers.get("accept-language", "").lower()
    for part in accepted.split(","):
        tag = part.split(";")[0].strip()[:2]
        if tag == "en":
            return "en"
        if tag == "fr":
            return "fr"
    return "fr"


def render(request: Request, error: HubError) -> Response:
    """One problem document."""
    headers: dict[str, str] = {"content-language": language_of(request)}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="hub"'
    return Response(
        json.dumps(error.problem(language_of(request), request.url.path), ensure_ascii=False),
        status_code=error.status,
        media_type=PROBLEM,
        headers=headers,
    )


def install(app: FastAPI, page: ErrorPage, wants_page: Callable[[Request], bool]) -> None:
    """Render errors: a page for a person's browser, a problem document for machines."""

    def answer(request: Request, error: HubError) -> Response:
        response = page(request, error) if wants_page(request) else render(request, error)
        if error.status in {429, 503}:
            response.headers["retry-after"] = str(error.facts.get("retry_after", 5))
        return response

    def on_hub_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HubError)
        return answer(request, error)

    def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known = _from_http(error)
        response = answer(request, known)
        response.status_code = error.status_code
        return response

    def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # Where, never what: the input that failed may name a person.
        where = ", ".join(".".join(str(p) for p in e["loc"]) for e in error.errors())
        return answer(
            request,
            Rejected(
                "invalid-request",
                fr=f"La requête est incorrecte à : {where}.",
                en=f"The request is wrong at: {where}.",
                who="partner",
                where=where,
            ),
        )

    def on_fault(request: Request, error: Exception) -> Response:
        # The route, not the address: somebody may have put into it what does not belong there.
        route = getattr(request.scope.get("route"), "path", "no route")
        log.error("fault at %s: %s", route, fault(error))
        return answer(
            request,
            HubError(
                "fault",
                fr="Un défaut du hub a interrompu la requête ; il est consigné.",
                en="A fault of the hub interrupted the request; it is on record.",
                who="developer",
            ),
        )

    app.add_exception_handler(HubError, on_hub_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_fault)


def describe(app: FastAPI) -> None:
    """Say in the application's own description how every operation refuses.

    FastAPI's own 422 goes: no answer of the hub looks like it.
    """
    made = app.openapi

    def described() -> dict[str, Any]:
        document = made()
        schemas = document["components"]["schemas"]
        if "Problem" in schemas:
            return document
        schemas["Problem"] = SCHEMA
        document["components"]["securitySchemes"]["session"]["name"] = app.state.session_cookie
        for gone in ("HTTPValidationError", "ValidationError"):
            schemas.pop(gone, None)
        refusal = {
            "description": "A problem document.",
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for path, operations in document["paths"].items():
            for operation in operations.values():
                answers = operation["responses"]
                answers.pop("422", None)
                if not path.startswith(OAUTH):  # RFC 6749 §5.2 has its own
                    answers.setdefault("4XX", refusal)
                answers["5XX"] = refusal
        return document

    app.openapi = described  # type: ignore[method-assign]


def _from_http(error: HTTPException) -> HubError:
    if error.status_code == 404:
        return NotFound(
            "no-such-address",
            fr="Il n’y a rien à cette adresse.",
            en="There is nothing at this address.",
            who="person",
        )
    return Rejected(
        "http-error",
        fr=f"Le serveur refuse la requête (HTTP {error.status_code}).",
        en=f"The server refuses the request (HTTP {error.status_code}).",
        who="partner",
    )
