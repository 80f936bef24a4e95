"""`/my-consent/receipt`: what a receipt says, for whoever holds one. No account and no code.

The holder chooses the file, or pastes it. The page says in words whether it holds and what it
proves; the receipt of a consent is looked up in every release, and can be taken home completed
with those answers. Nothing presented is kept, shown again or put in an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from hub import contributors, usage
from hub.audit import contributions, receipts
from hub.errors import HubError, Rejected
from hub.parts import Parts
from hub.web.forms import Forms
from hub.web.render import Renderer
from hub.web.words import N_, say

PAGE: Final = "/my-consent/receipt"
KINDS: Final = {
    "consent": N_("Un accord"),
    "withdrawal": N_("Un arrêt"),
    "contribution": N_("Où sont allées les données d’un accord"),
    "push": N_("Un dépôt de fichier"),
    "release": N_("Une publication"),
    "decision": N_("Une décision d’accès"),
}


@dataclass(frozen=True, slots=True)
class Read:
    """A receipt that holds: what it says, where it is in the log, which releases it is about."""

    kind: str
    facts: Mapping[str, Any]
    size: int | None
    """Of the log its proof stands under; None where it is signed only."""
    purposes: tuple[str, ...]
    used: tuple[str, ...] = ()
    not_used: tuple[str, ...] = ()
    asked: bool = False
    titles: Mapping[str, str] = field(default_factory=dict)


def add(routes: APIRouter, parts: Parts, renderer: Renderer, forms: Forms) -> None:
    """Add the page."""
    read = Depends(forms.read_file)

    def page(request: Request, status: int = 200, **context: Any) -> Response:
        known = {"error": "", "found": None, "kinds": {}} | context
        return renderer.page(request, "my-receipt.html", status=status, form=True, **known)

    @routes.api_route(PAGE, methods=["GET", "HEAD"])
    def receipt(request: Request) -> Response:
        return page(request)

    @routes.post(PAGE)
    async def present(request: Request, form: dict[str, str] = read) -> Response:
        presented = _as_issued(form.get("file", "") or form.get("text", ""))
        language = renderer.language(request)
        try:
            if form.get("act") == "complete":
                made = await run_in_threadpool(_completed, parts, presented)
                return _download(made)
            found = await run_in_threadpool(_read, parts, presented, language)
        except HubError as error:
            return page(request, error.status, error=error.words[language])
        kinds = {name: say(language, words) for name, words in KINDS.items()}
        return page(request, found=found, kinds=kinds)


def _as_issued(text: str) -> bytes:
    """The bytes of a receipt out of a form, which writes its line ends in its own way."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return f"{lines}\n".encode()


def _read(parts: Parts, presented: bytes, language: str) -> Read:
    """Verify a receipt and look up what it can be asked. Raises `Rejected` in plain words."""
    try:
        receipt = receipts.verified(presented, parts.log.keys)
    except Rejected as error:
        raise _does_not_hold() from error
    facts, kind = receipt.facts, str(receipt.facts["kind"])
    asked = kind == contributions.KIND
    if kind == "consent" and contributors.FACT in facts:
        whole = usage.complete(parts, presented)
        facts = {**receipts.verify(whole, parts.log.keys), **facts}
        asked = True
    told = contributions.check(facts, parts.log.keys) if asked else {}
    size = receipt.checkpoint.size if receipt.checkpoint else None
    return Read(
        kind,
        facts,
        size,
        (str(facts["purpose"]),) if kind == "consent" else tuple(facts.get("purposes", ())),
        tuple(told.get("used_in", ())),
        tuple(told.get("not_used_in", ())),
        asked,
        _titles(parts, language) if asked else {},
    )


def _completed(parts: Parts, presented: bytes) -> bytes:
    try:
        return usage.complete(parts, presented)
    except Rejected as error:
        if error.code == "receipt-without-secret":
            raise
        raise _does_not_hold() from error


def _titles(parts: Parts, language: str) -> dict[str, str]:
    return {
        made.id: f"{made.manifest.get('title', {}).get(language, made.measure)} · {made.period}"
        for made in parts.books.releases()
    }


def _download(made: bytes) -> Response:
    return Response(
        made,
        media_type="text/plain; charset=utf-8",
        headers={
            "content-disposition": 'attachment; filename="recu-complet.txt"',
            "cache-control": "no-store",
        },
    )


def _does_not_hold() -> Rejected:
    return Rejected(
        "receipt-does-not-hold",
        fr="Ce fichier n’est pas un reçu de ce hub, ou il y manque quelque chose. Cela ne change "
        "rien pour toi : reprends le fichier tel que tu l’as reçu, sans l’ouvrir ni le modifier.",
        en="This file is no receipt of this hub, or a part of it is missing. That changes nothing "
        "for you: take the file as you were given it, without opening or editing it.",
        who="person",
    )
