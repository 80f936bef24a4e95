"""`/requests`: asking for data, following what was asked, and deciding, for people with accounts.

One page and one form each, without scripts: whoever asks sees their requests and asks anew; a
steward finds what waits; the partner whose data it is may veto, the officer gives an opinion. What
is offered is what the policy allows at that moment, and it is asked again when a form comes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import ValidationError

from analytics.measures import MEASURES
from hub import protections, recipients, requests
from hub.delivery import Delivery
from hub.errors import HubError, Rejected
from hub.events import Kind
from hub.parts import Actor, Parts
from hub.records import Account, DataRequest
from hub.requests import ALL, Asked
from hub.storage.books import Search
from hub.web.forms import Forms
from hub.web.names import names
from hub.web.render import Renderer
from hub.web.words import N_, say

PAGE: Final = "/requests"
SHOWN: Final = 100
"""Requests on the page, the newest; the interface has the rest."""
YEAR: Final = timedelta(days=365)
ASKERS: Final = frozenset({"collectivity", "operator", "school"})
"""Who is shown the form. Whether they may ask is the policy's to say."""
KINDS: Final = tuple(sorted(str(kind) for kind in Kind if kind.startswith("request.")))
PURPOSES: Final = {
    "climate-plan": N_("Plan climat"),
    "evaluation": N_("Évaluation d’une action"),
    "mobility-planning": N_("Plan de mobilité"),
    "school-transport": N_("Transport scolaire"),
}
GRANULARITIES: Final = {
    ALL: N_("Toutes les mailles publiées"),
    "lycee": N_("Lycée"),
    "lycees": N_("Lycées d’un département réunis"),
    "department": N_("Département"),
    "region": N_("Région"),
    "zone": N_("Zone d’observation"),
}
STATES: Final = {
    "submitted": N_("En attente de décision"),
    "approved": N_("Accordée"),
    "refused": N_("Refusée"),
    "vetoed": N_("Arrêtée par le partenaire dont viennent les données"),
    "withdrawn": N_("Reprise par qui l’avait faite"),
    "expired": N_("Arrivée à son terme"),
    "revoked": N_("Révoquée"),
    "renewed": N_("Remplacée par une plus récente"),
}
GROUNDS: Final = {
    "purpose": N_("La finalité ne convient pas"),
    "not-necessary": N_("Ces données ne sont pas nécessaires à la finalité"),
    "too-fine": N_("La maille demandée est trop fine"),
    "business-secret": N_("Secret des affaires"),
    "agreement": N_("La convention du partenaire ne le permet pas"),
    "opinion": N_("L’avis du délégué à la protection des données"),
    "misuse": N_("Les données n’ont pas servi à ce qui était dit"),
}
OPINIONS: Final = {
    "favourable": N_("Favorable"),
    "reserved": N_("Réservé"),
    "unfavourable": N_("Défavorable"),
}
ACTS: Final = {
    "approve": N_("Accorder"),
    "refuse": N_("Refuser"),
    "veto": N_("Opposer son veto"),
    "revoke": N_("Révoquer"),
    "withdraw": N_("Reprendre la demande"),
    "opinion": N_("Rendre l’avis"),
    "renew": N_("Demander à nouveau"),
    "unlink": N_("Mettre fin aux liens et aux profils"),
}
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "purpose": PURPOSES,
    "granularity": GRANULARITIES,
    "state": STATES,
    "ground": GROUNDS,
    "opinion": OPINIONS,
    "act": ACTS,
}


def add(routes: APIRouter, parts: Parts, renderer: Renderer, forms: Forms) -> None:
    """Add the page. Nobody signed in is shown the door; the policy decides about the rest."""
    read = Depends(forms.read)

    @routes.api_route(PAGE, methods=["GET", "HEAD"])
    def listed(request: Request) -> Response:
        def shown(account: Account) -> Response:
            response = _page(request, parts, renderer, forms, account)
            now = parts.clock().isoformat()
            forms.keep(response, _cookie(forms), now, max_age=int(YEAR.total_seconds()))
            return response

        return renderer.signed_in(request, shown)

    @routes.post(PAGE)
    def act(request: Request, form: dict[str, str] = read) -> Response:
        def done(account: Account) -> Response:
            try:
                if form.get("act") == "profile":
                    delivery: Delivery = request.app.state.delivery
                    client, made = delivery.profile(Actor.of(account), form.get("request", ""))
                    return JSONResponse(made, headers=recipients.headers(client))
                _act(parts, Actor.of(account), form)
            except HubError as error:
                words = error.words[renderer.language(request)]
                return _page(request, parts, renderer, forms, account, words, error.status)
            return RedirectResponse(PAGE, 303, {"cache-control": "no-store"})

        return renderer.signed_in(request, done)


def _act(parts: Parts, actor: Actor, form: Mapping[str, str]) -> DataRequest:
    name, ground = form.get("request", ""), form.get("ground", "")
    acts: dict[str, Callable[[], DataRequest]] = {
        "submit": lambda: requests.submit(parts, actor, _asked(form)),
        "approve": lambda: requests.decide(parts, actor, name, approved=True),
        "refuse": lambda: requests.decide(parts, actor, name, approved=False, ground=ground),
        "veto": lambda: requests.move(parts, actor, name, "veto", ground),
        "revoke": lambda: requests.move(parts, actor, name, "revoke", ground),
        "withdraw": lambda: requests.move(parts, actor, name, "withdraw"),
        "opinion": lambda: requests.advise(parts, actor, name, form.get("opinion", "")),
        "renew": lambda: requests.renew(parts, actor, name, _days(form)),
        "unlink": lambda: requests.unlink(parts, actor, name),
    }
    wanted = acts.get(form.get("act", ""))
    if wanted is None:
        raise _unreadable("act")
    return wanted()


def _asked(form: Mapping[str, str]) -> Asked:
    try:
        return Asked(
            measure=form.get("measure", ""),
            purpose=form.get("purpose", ""),
            territory=form.get("territory", ALL),
            granularity=form.get("granularity", ALL),
            recipients=re.findall(r"[^\s,;]+", form.get("recipients", "")),
            days=_days(form),
        )
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise _unreadable(where) from error


def _days(form: Mapping[str, str]) -> int:
    text = form.get("days", "")
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text) or int(text) > requests.LONGEST:
        raise _unreadable("days")
    return int(text)


def _page(
    request: Request,
    parts: Parts,
    renderer: Renderer,
    forms: Forms,
    account: Account,
    error: str = "",
    status: int = 200,
) -> Response:
    language, actor = renderer.language(request), Actor.of(account)
    found = requests.listed(parts, actor)[:SHOWN]
    since = _since(request.cookies.get(_cookie(forms), ""))
    changed = _changed(parts, since) if since is not None else frozenset()
    now = parts.clock()
    return renderer.page(
        request,
        "requests.html",
        status=status,
        account=account,
        error=error,
        asks=str(account.role) in ASKERS,
        groups=[
            (name, [_shown(parts, actor, one, now) for one in ones])
            for name, ones in (
                ("waiting", [one for one in found if one.state == "submitted"]),
                ("others", [one for one in found if one.state != "submitted"]),
            )
        ],
        changed=changed,
        news=sum(one.id in changed for one in found),
        measures={name: made.title[language] for name, made in MEASURES.items()},
        restricted=_restricted(parts),
        named=names(parts),
        chosen=request.query_params.get("measure", ""),
        words=WORDS,
        instant=datetime.fromisoformat,
        word=lambda kind, code: say(language, WORDS[kind][code]) if code else "",
    )


def _shown(parts: Parts, actor: Actor, one: DataRequest, now: datetime) -> dict[str, object]:
    """A request with what its reader may do with it at this moment."""
    offered = [name for name in ACTS if _offered(parts, actor, one, name, now)]
    given = one.state == "approved" and requests.may(parts, actor, "deliver", one)
    release = requests.release_for(parts, one) if given else None
    formats = sorted(release.manifest["digest"]) if release is not None else []
    table = f"{parts.territory.id}.{one.measure}.{one.period}"
    python = f'import delta_sharing\ndelta_sharing.load_as_pandas("profil.share#{table}")'
    level = protections.LEVELS.get(one.obligations.get("protection", ""))
    return requests.shown(one, now) | {
        "acts": offered, "formats": formats, "python": python, "protection": level,
    }  # fmt: skip


def _offered(parts: Parts, actor: Actor, one: DataRequest, act: str, now: datetime) -> bool:
    standing = str(requests.state(one, now))
    if act == "unlink":
        return standing == "approved" and requests.may(parts, actor, "deliver", one)
    if act == "opinion" and standing not in {"submitted", "approved"}:
        return False
    if act == "renew":
        ended = standing in {"approved", "expired"}
        return ended and actor.organisation == one.organisation and actor.role in ASKERS
    return requests.may(parts, actor, act, one)


def _restricted(parts: Parts) -> frozenset[str]:
    """Measures whose newest release takes a decision."""
    newest = (parts.books.latest_release(name) for name in MEASURES)
    return frozenset(one.measure for one in newest if one and not one.manifest.get("open", True))


def _changed(parts: Parts, since: datetime) -> frozenset[str]:
    """Requests that something happened to since a moment."""
    events = parts.books.search(Search(kinds=KINDS, since=since), limit=1000)
    return frozenset(msgspec.json.decode(one.body)["about"] for one in events if one.body)


def _since(text: str) -> datetime | None:
    """When the page was seen last; None the first time, and for a cookie somebody else wrote."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _cookie(forms: Forms) -> str:
    return "__Host-hub-requests" if forms.secure else "hub-requests"


def _unreadable(where: str) -> Rejected:
    return Rejected(
        "request-unreadable",
        fr=f"La demande est incomplète ou incorrecte à « {where} ».",
        en=f"The request is incomplete or wrong at “{where}”.",
        who="person",
        where=where,
    )
