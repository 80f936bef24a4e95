"""`/my-consent`: a person's own page, by code, without an account.

The code alone stops. With the secret a visit begins: what was agreed, the person's own rows in
words, receipts, claims. Nothing typed is shown again, put in an address or kept; every answer is
`no-store`, and what a code alone gets is the same whoever has it (`hub.participation`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from connectors.contract import REASONS
from consent.model import ANSWER_WITHIN
from consent.purposes import PURPOSES
from hub import consent_proofs, consents, corrections, participation, placenames, rights, withdraw
from hub.errors import HubError, Unauthenticated
from hub.participation import EVERY_PURPOSE, PERSON, Door
from hub.records import Code, Grant, Withdrawal
from hub.web import own
from hub.web.forms import Forms, place
from hub.web.render import Renderer
from hub.web.words import N_, say

PAGE: Final = "/my-consent"
EXAMPLE: Final = "ACDEF-HJKMN-PRTWX-Y2345"
"""What a code looks like; its check symbol does not hold, so it is nobody's."""
STATES: Final = {
    "given": N_("Tu as dit oui"),
    "asked_again": N_("Tu as eu 15 ans : on te repose la question"),
    "refused": N_("Tu as dit non"),
    "withdrawn": N_("Tu as arrêté"),
    "expired": N_("C’est terminé, le délai est passé"),
    "objected": N_("Tu t’y es opposé"),
    "public_task": N_("Compté pour le service public, sauf si tu t’y opposes"),
    "none": N_("On ne te l’a pas demandé"),
}
KINDS: Final = {
    "access": N_("Savoir ce que le hub sait de moi"),
    "rectification": N_("Corriger quelque chose de faux"),
    "erasure": N_("Effacer"),
    "objection": N_("M’opposer"),
    "restriction": N_("Bloquer l’usage le temps d’une vérification"),
    "portability": N_("Emporter mes données"),
    "lost-code": N_("Code perdu"),
}
CONCERNS: Final = {
    "everything": N_("Tout"),
    "trips": N_("Mes trajets"),
    "taps": N_("Les validations de ma carte"),
    "place": N_("Un lieu"),
    "time": N_("Une date ou une heure"),
    "mode": N_("Un moyen de transport"),
    "consent": N_("Mon accord"),
    "release": N_("Un chiffre publié"),
}
CASE_STATES: Final = {
    "open": N_("Reçue, réponse attendue"),
    "extended": N_("Délai prolongé"),
    "done": N_("Faite"),
    "partly": N_("Faite en partie"),
    "refused": N_("Refusée"),
    "retracted": N_("Reprise par la personne"),
}
GROUNDS: Final = {
    "": "",
    "unfounded": N_("La demande n’est pas fondée"),
    "excessive": N_("La demande est excessive"),
    "not-identified": N_("La personne n’a pas pu être reconnue"),
    "legal-duty": N_("Une obligation légale s’y oppose"),
    "nothing-held": N_("Le hub ne détient rien"),
    "complexity": N_("La demande est complexe"),
    "number": N_("Les demandes sont nombreuses"),
}
OPENINGS: Final = {
    "person": N_("La personne l’a demandé"),
    "complaint": N_("Une réclamation"),
    "authority": N_("La CNIL l’a demandé"),
    "court": N_("Un tribunal l’a demandé"),
}
"""Why the officer opened the sealed proof of a consent."""
WORDS: Final = {
    "opening": OPENINGS,
    "state": STATES, "kind": KINDS, "concerns": CONCERNS, "case": CASE_STATES, "ground": GROUNDS,
}  # fmt: skip


def add(routes: APIRouter, door: Door, renderer: Renderer, forms: Forms) -> None:
    """Add `/my-consent` and what is under it."""
    site = _Mine(door, renderer, forms)
    read = Depends(forms.read)

    @routes.api_route(PAGE, methods=["GET", "HEAD"])
    def home(request: Request) -> Response:
        return site.home(request)

    @routes.post(f"{PAGE}/stop")
    def stop(request: Request, form: dict[str, str] = read) -> Response:
        return site.stop(request, form)

    @routes.post(f"{PAGE}/look")
    def look(request: Request, form: dict[str, str] = read) -> Response:
        return site.look(request, form)

    @routes.post(f"{PAGE}/object")
    def object_(request: Request, form: dict[str, str] = read) -> Response:
        return site.tried(
            request,
            lambda: door.object(form.get("card", "")[:200], place(request)),
            at="object",
            done="objected",
        )

    @routes.post(f"{PAGE}/leave", dependencies=[read])
    def leave(request: Request) -> Response:
        return site.leave(request)

    @routes.post(f"{PAGE}/end")
    def end(request: Request, form: dict[str, str] = read) -> Response:
        participation.end(door.parts, site.visitor(request), form.get("purpose", ""))
        return _back("agreed")

    @routes.post(f"{PAGE}/agree")
    def agree(request: Request, form: dict[str, str] = read) -> Response:
        participation.agree_again(
            door.parts, site.visitor(request), form.get("purpose", ""), renderer.language(request)
        )
        return _back("agreed")

    @routes.post(f"{PAGE}/claims")
    def claim(request: Request, form: dict[str, str] = read) -> Response:
        rights.open_case(
            door.parts, PERSON, form.get("kind", ""), form.get("concerns", "everything"),
            site.visitor(request),
        )  # fmt: skip
        return _back("cases")

    @routes.post(f"{PAGE}/claims/retract")
    def retract(request: Request, form: dict[str, str] = read) -> Response:
        rights.retract(door.parts, PERSON, site.visitor(request), form.get("case", ""))
        return _back("cases")

    @routes.post(f"{PAGE}/correct")
    def correct(request: Request, form: dict[str, str] = read) -> Response:
        dataset, first, last = (form.get(name, "") for name in ("dataset", "first", "last"))
        corrections.ask(door.parts, PERSON, site.visitor(request), dataset, first, last)
        return _back("cases")

    @routes.post(f"{PAGE}/secret", dependencies=[read])
    def secret(request: Request) -> Response:
        return site.own(request, site.visitor(request), fresh=True)

    @routes.api_route(f"{PAGE}/rows", methods=["GET", "HEAD"])
    def rows(request: Request) -> Response:
        return site.rows(request)

    @routes.get(f"{PAGE}/rows.json")
    def rows_json(request: Request) -> Response:
        def write(rows: Any) -> bytes:
            aside = rights.set_aside(door.parts, site.visitor(request))
            return rights.as_json(rows, aside, placenames.names(door.parts, rows))

        return site.download(request, "json", "application/json", write)

    @routes.get(f"{PAGE}/rows.csv")
    def rows_csv(request: Request) -> Response:
        return site.download(request, "csv", "text/csv; charset=utf-8", rights.as_csv)

    @routes.get(PAGE + "/receipts/{record}")
    def receipt(request: Request, record: str) -> Response:
        return site.receipt(request, record)


class _Mine:
    """The pages over a door."""

    def __init__(self, door: Door, renderer: Renderer, forms: Forms) -> None:
        self.door = door
        self.renderer = renderer
        self.forms = forms
        self.cookie = "__Host-hub-visit" if forms.secure else "hub-visit"

    def home(self, request: Request) -> Response:
        """What a visitor sees: their own page, or the ways in."""
        code = self.door.who(request.cookies.get(self.cookie, ""))
        return self.ways_in(request) if code is None else self.own(request, code)

    def ways_in(
        self,
        request: Request,
        *,
        error: str = "",
        at: str = "",
        done: str = "",
        status: int = 200,
    ) -> Response:
        """Three forms; `done` says what was asked, never whether it found anybody.

        `at` is the form an error stands in, which then has the focus.
        """
        return self.renderer.page(
            request,
            "my-consent.html",
            status=status,
            form=True,
            error=error,
            at=at,
            done=done,
            every=EVERY_PURPOSE,
            example=EXAMPLE,
            purposes=PURPOSES.values(),
        )

    def tried(
        self, request: Request, act: Callable[[], object], *, at: str, done: str = ""
    ) -> Response:
        """Do what the form `at` asks and say that it was asked, or in words why it cannot be."""
        try:
            act()
        except HubError as error:
            words = error.words[self.renderer.language(request)]
            response = self.ways_in(request, error=words, at=at, status=error.status)
            if error.status == 429:
                response.headers["retry-after"] = str(error.facts.get("retry_after", 900))
            return response
        return self.ways_in(request, done=done)

    def stop(self, request: Request, form: dict[str, str]) -> Response:
        """The answer first; whose code it was is looked up after it has gone."""
        noted: list[str] = []

        def ask() -> None:
            purpose = form.get("purpose", EVERY_PURPOSE)
            noted.append(self.door.stop(form.get("code", ""), purpose, place(request)))

        response = self.tried(request, ask, at="stop", done="stopped")
        if noted:
            response.background = BackgroundTask(self.door.settle, noted[0])
        return response

    def look(self, request: Request, form: dict[str, str]) -> Response:
        """Begin a visit, or say that the two open nothing."""
        token: list[str] = []

        def enter() -> None:
            code, secret = form.get("code", ""), form.get("secret", "")
            token.append(self.door.enter(code, secret, place(request)))

        response = self.tried(request, enter, at="look")
        if not token:
            return response
        back = _back()
        self.forms.keep(back, self.cookie, token[0], int(participation.VISIT.total_seconds()))
        return back

    def leave(self, request: Request) -> Response:
        """End the visit."""
        self.door.leave(request.cookies.get(self.cookie, ""))
        back = _back()
        self.forms.drop(back, self.cookie)
        return back

    def visitor(self, request: Request) -> Code:
        """Whose visit it is. Raises `Unauthenticated` where it is over."""
        code = self.door.who(request.cookies.get(self.cookie, ""))
        if code is None:
            raise Unauthenticated(
                "visit-over",
                fr="Ta visite est terminée : reviens à « Mon accord » avec ton code et ton mot "
                "secret.",
                en="Your visit is over: go back to “My consent” with your code and your secret.",
                who="person",
            )
        return code

    def own(self, request: Request, code: Code, *, fresh: bool = False) -> Response:
        """What was agreed, what has ended, what was claimed. `fresh`: with a new secret."""
        parts = self.door.parts
        return self._page(
            request,
            "my-own.html",
            code=code,
            agreed=participation.agreed(parts, code.participant),
            endings=self._endings(code),
            cases=parts.books.cases(code.participant),
            purposes=PURPOSES,
            every=EVERY_PURPOSE,
            openings=lambda grant: consent_proofs.openings(parts, grant.id),
            answer_by=lambda grant: grant.expires_at + ANSWER_WITHIN,
            kinds=[kind for kind in KINDS if kind != "lost-code"],
            concerns=CONCERNS,
            secret=self.door.new_secret(code) if fresh else "",
            partners={one.id: one.name for one in parts.books.organisations()},
        )

    def rows(self, request: Request) -> Response:
        """A visitor's own rows, column by column in words, and the releases that counted them."""
        code, language = self.visitor(request), self.renderer.language(request)
        parts = self.door.parts
        tables = rights.own_rows(parts, PERSON, code, "page")
        return self._page(
            request,
            "my-rows.html",
            tables=tables,
            aside=sorted(rights.set_aside(parts, code).items()),
            reasons=REASONS,
            days=rights.days(parts, code),
            columns=rights.COLUMNS,
            concern=corrections.CONCERNS.__getitem__,
            partners={one.id: one.name for one in parts.books.organisations()},
            heading=partial(own.heading, language),
            cell=partial(own.cell, language, placenames.names(parts, tables)),
            used=rights.used_in(parts, code),
        )

    def download(
        self, request: Request, name: str, media: str, write: Callable[[Any], bytes]
    ) -> Response:
        """A visitor's own rows as a file."""
        rows = rights.own_rows(self.door.parts, PERSON, self.visitor(request), name)
        return Response(write(rows), media_type=media, headers=_file(f"mes-donnees.{name}"))

    def receipt(self, request: Request, record: str) -> Response:
        """The signed receipt of a visitor's own consent or withdrawal; of nothing else."""
        code, parts = self.visitor(request), self.door.parts
        grants: list[Grant | None] = [
            one.grant for one in participation.agreed(parts, code.participant)
        ]
        for grant in grants:
            if grant is not None and grant.id == record:
                note = consents.receipt(parts, grant)
                break
        else:
            made = next((one for one in self._endings(code) if one.id == record), None)
            if made is None:
                raise withdraw.unknown_withdrawal()
            note = withdraw.receipt(parts, made)
        return Response(
            note, media_type="text/plain; charset=utf-8", headers=_file(f"recu-{record}.txt")
        )

    def _endings(self, code: Code) -> list[Withdrawal]:
        parts = self.door.parts
        return [
            made
            for link in parts.books.links_of(code.participant)
            for made in parts.books.withdrawals_of(participation.subjects(parts, link))
            if made.partner == link.partner
        ]

    def _page(self, request: Request, template: str, **context: Any) -> Response:
        language = self.renderer.language(request)
        return self.renderer.page(
            request,
            template,
            form=True,
            word=lambda kind, code: say(language, WORDS[kind][code]) if code else "",
            **context,
        )


def _back(to: str = "") -> Response:
    """One's own page, at the part `to` where what was just asked for is told."""
    return RedirectResponse(f"{PAGE}#{to}" if to else PAGE, 303, {"cache-control": "no-store"})


def _file(name: str) -> dict[str, str]:
    return {
        "content-disposition": f'attachment; filename="{name}"',
        "cache-control": "no-store",
    }
