"""Delivery: what an approved request gives its recipients, asked for again each time.

1. Who asks: an account of a recipient, or a link made by one (`hub.identity.links`).
2. The policy, then the request's own state: an approval that has expired or was revoked gives
   nothing from that moment on, in the middle of a load as well. A link also names the epoch it was
   made in, which rises with every end.
3. The obligations of the decision: territory and level of detail narrow the table (leaving rows
   out of what is published shows nothing more); a release of fewer people than agreed, or protected
   less than agreed then or by the agreements now, is not handed out; a workbook's notice says on
   what terms it is given.
4. The reading is an event about the release and the request, from which use is told.

Delta Sharing is one more way of it: the profile an approved request hands out (`Requested`) opens
the editions of its measure and period, narrowed alike, and ends with the request.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics.measures import MEASURES
from hub import formats, protections, recipients, requests
from hub.errors import Denied, Gone, NotFound, Rejected
from hub.events import Kind
from hub.identity import links
from hub.parts import Actor, Parts
from hub.policy.gate import Decision
from hub.recipients import Reader, Terms
from hub.records import Client, DataRequest, Release, RequestState
from hub.release import RESTRICTED
from hub.requests import ALL
from hub.shelf import MEDIA_TYPES, Shelf

LIFETIME: Final = timedelta(minutes=15)
KEPT: Final = 32


@dataclass(frozen=True, slots=True)
class File:
    """Bytes ready to be handed out, and the decision that lets them."""

    data: bytes
    etag: str
    media_type: str
    name: str
    actor: Actor
    request: DataRequest
    release: Release
    kind: str
    decision: Decision


class Delivery:
    """Files of requests. One per application; narrowed tables are kept, they never change."""

    def __init__(self, parts: Parts, shelf: Shelf) -> None:
        self._parts = parts
        self._shelf = shelf
        self._narrowed: OrderedDict[tuple[str, str, tuple[str, str], str], bytes] = OrderedDict()
        self._lock = Lock()

    def file(self, actor: Actor, request_id: str, kind: str) -> File:
        """A format of what a request gives, for an account of a recipient.

        Raises `NotFound` where the request is not the actor's to know, or has no release yet,
        `Denied` where the actor is no recipient or nothing is approved, `Gone` where it is over,
        `Rejected` for a format there is not.
        """
        request, release, decision = self._given(actor, request_id)
        data = self.data(request, release, kind)
        return File(
            data=data,
            etag=f'"sha256:{hashlib.sha256(data).hexdigest()}"',
            media_type=MEDIA_TYPES[kind],
            name=f"{release.id}.{kind}",
            actor=actor,
            request=request,
            release=release,
            kind=kind,
            decision=decision,
        )

    def link(self, actor: Actor, request_id: str, kind: str) -> tuple[str, datetime]:
        """A link to a format, for whoever the actor gives it to, and when it ends. An event."""
        made = self.file(actor, request_id, kind)
        end = self._parts.clock() + LIFETIME
        link = links.Link(
            request=made.request.id,
            epoch=made.request.epoch,
            format=kind,
            reader=actor.id,
            role=actor.role,
            organisation=actor.organisation,
            exp=int(end.timestamp()),
        )
        facts = {"request": made.request.id, "format": kind, "until": link.exp}
        event = self._parts.decided(
            Kind.REQUEST_LINKED, actor, made.request.id, made.decision, facts
        )
        self._parts.books.record(event=event)
        return links.sign(self._parts.keyring.link_key, link), end

    def linked(self, request_id: str, text: str) -> File:
        """What a link opens. Raises `NotFound` for one the hub did not make, and as `file`."""
        link = links.read(self._parts.keyring.link_key, text)
        if link.request != request_id:
            raise NotFound(
                "unknown-link",
                fr="Ce lien n’ouvre rien.",
                en="This link opens nothing.",
                who="person",
            )
        made = self.file(Actor(link.reader, link.role, link.organisation), request_id, link.format)
        if link.epoch != made.request.epoch or self._parts.clock().timestamp() >= link.exp:
            raise _over()
        return made

    def told(self, made: File, *, part: bool) -> str:
        """Record that a file, or a part of one, is handed out; the id of the decision's receipt."""
        facts: dict[str, Any] = {
            "request": made.request.id,
            "reader": made.actor.id,
            "format": made.kind,
            "purpose": made.request.purpose,
            "partner": list(made.request.partners),
            "part": part,
        }
        event = self._parts.decided(
            Kind.RELEASE_READ, made.actor, made.release.id, made.decision, facts
        )
        self._parts.books.record(event=event)
        return str(event.facts["decision"])

    def profile(
        self, actor: Actor, request_id: str, *, oauth: bool = False
    ) -> tuple[Client, dict[str, Any]]:
        """A Delta Sharing profile for an account of a recipient; shown once. Raises as `file`."""
        request, _, decision = self._given(actor, request_id)
        return recipients.admit(self._parts, actor, request, decision, oauth=oauth)

    def data(self, request: DataRequest, release: Release, kind: str) -> bytes:
        """The bytes of one format of what a request gives. Raises `Rejected` without that one."""
        whole = self._shelf.data(release, kind)
        unchanged = (request.territory, request.granularity) == (ALL, ALL)
        if unchanged and kind != "xlsx":
            return whole
        key = (release.digest, kind, narrowing(request), request.id if kind == "xlsx" else "")
        with self._lock:
            made = self._narrowed.get(key)
        if made is None:
            table = pq.read_table(io.BytesIO(self._shelf.data(release, "parquet")))
            terms = _notice(request, release)
            made = formats.made(kind, narrow(table, request), MEASURES[release.measure], terms)
        with self._lock:
            self._narrowed[key] = made
            self._narrowed.move_to_end(key)
            while len(self._narrowed) > KEPT:
                self._narrowed.popitem(last=False)
        return made

    def _given(self, actor: Actor, request_id: str) -> tuple[DataRequest, Release, Decision]:
        """The request, the newest release it is answered with, and the yes."""
        request = requests.seen(self._parts, actor, request_id)
        release = requests.release_for(self._parts, request)
        decision = requests.delivering(self._parts, actor, request, release)
        _standing(request, self._parts.clock())
        if release is None:
            raise NotFound(
                "no-release-yet",
                fr="Rien n’est encore publié pour cette demande.",
                en="Nothing is published for this request yet.",
                who="steward",
            )
        _as_obliged(request, release, decision)
        return request, release, decision


class Requested:
    """What the profile of an approved request opens. Raises `Denied` where it opens nothing."""

    def __init__(self, parts: Parts, delivery: Delivery, reader: Reader) -> None:
        self._parts, self._delivery, self.actor = parts, delivery, reader.actor
        found = parts.books.request(reader.terms.request)
        if found is None or not self._holds(found, reader.terms):
            raise Denied(
                "request-over",
                fr="La demande de ce profil est terminée : expirée, révoquée ou reprise.",
                en="The request of this profile is over: expired, revoked or taken back.",
                who="person",
            )
        self._request = found

    def _holds(self, found: DataRequest, terms: Terms) -> bool:
        standing = requests.state(found, self._parts.clock())
        return standing is RequestState.APPROVED and found.epoch == terms.epoch

    def facts(self) -> dict[str, Any]:
        """The request, its purpose, and the partners whose data it is."""
        one = self._request
        return {"request": one.id, "purpose": one.purpose, "partner": list(one.partners)}

    def readable(self, release: Release) -> bool:
        """Whether an edition is one of those asked for, and the policy lets it go."""
        if (release.measure, release.period) != (self._request.measure, self._request.period):
            return False
        return requests.may(self._parts, self.actor, "deliver", self._request, release)

    def require(self, release: Release) -> Decision:
        """The policy's yes; a no is recorded. Raises `Denied`."""
        if not self.readable(release):
            # What was not asked for is refused like what may not be given.
            requests.delivering(self._parts, self.actor, self._request, release)
            raise _not_asked_for()
        decision = requests.delivering(self._parts, self.actor, self._request, release)
        _as_obliged(self._request, release, decision)
        return decision

    def data(self, release: Release) -> bytes:
        """The table, narrowed to what the decision allows."""
        return self._delivery.data(self._request, release, "parquet")

    def key(self, release: Release) -> str:
        """The digest, and what was left out."""
        return " ".join((release.digest, *narrowing(self._request)))


def narrowing(request: DataRequest) -> tuple[str, str]:
    """What narrows a table for a request: territory and level of detail."""
    return (request.territory, request.granularity)


def narrow(table: pa.Table, request: DataRequest) -> pa.Table:
    """The rows of a published table that a request asks for; what cannot be told is left out.

    Raises `Rejected` where the table does not say where a row is, or how detailed.
    """
    names = set(table.column_names)
    if request.granularity != ALL:
        if "geography" not in names:
            raise _cannot_narrow("granularity")
        table = table.filter(pc.equal(table["geography"], request.granularity))
    if request.territory == ALL:
        return table
    code = request.territory
    if "department" in names:
        return table.filter(pc.equal(table["department"], code))
    if {"geography", "area"} <= names:
        lycee = pc.equal(table["geography"], "lycee")
        # A lycée's number begins with its department, in three digits.
        inside = pc.and_(lycee, pc.starts_with(table["area"], code.rjust(3, "0")))
        grouped = pc.is_in(table["geography"], value_set=pa.array(["lycees", "department"]))
        return table.filter(pc.or_(inside, pc.and_(grouped, pc.equal(table["area"], code))))
    if "commune" in names:
        return table.filter(pc.starts_with(table["commune"], code))
    raise _cannot_narrow("territory")


def _standing(request: DataRequest, now: datetime) -> None:
    found = requests.state(request, now)
    if found in {RequestState.SUBMITTED, RequestState.REFUSED}:
        raise Denied(
            "request-not-approved",
            fr="Cette demande n’est pas accordée.",
            en="This request is not approved.",
            who="steward",
        )
    if found is not RequestState.APPROVED:
        raise _over()


def _as_obliged(request: DataRequest, release: Release, decision: Decision) -> None:
    """Whether an edition is what was agreed to. Raises `Denied`."""
    if not protections.reached(release.manifest, decision.obligations["protection"]):
        raise Denied(
            "protection-too-weak",
            fr="La publication est moins protégée que la décision ne l’exige.",
            en="The release is protected less than the decision demands.",
            who="steward",
        )
    if release.manifest["plan"]["k"] < request.obligations["k_min"]:
        raise Denied(
            "too-few-people",
            fr="La publication compte moins de personnes par case que la décision ne l’exige.",
            en="The release counts fewer people in a cell than the decision demands.",
            who="steward",
        )


def _notice(request: DataRequest, release: Release) -> list[formats.Note]:
    """On what terms a workbook is given: what the decision obliges its recipients to."""
    licence = str(release.manifest["licence"])
    access = [formats.licensed(licence)] if licence else [RESTRICTED]
    until = f"{request.expires_at:%Y-%m-%d}" if request.expires_at else ""
    source = f"{release.manifest['territory']}, {release.id}: {', '.join(request.partners)}"
    protection = protections.LEVELS[release.manifest["protection"]["lane"]]
    return [
        *access,
        ("Protection", protection["fr"], protection["en"]),
        ("Source", f"À citer : {source}", f"To be named: {source}"),
        ("Demande", request.id, request.id),
        ("Finalité", request.purpose, request.purpose),
        ("Destinataires", ", ".join(request.recipients), ", ".join(request.recipients)),
        ("Jusqu'au", until, until),
    ]


def _not_asked_for() -> Denied:
    return Denied(
        "not-asked-for",
        fr="La demande de ce profil ne porte pas sur cette publication.",
        en="The request of this profile is not about this release.",
        who="person",
    )


def _over() -> Gone:
    return Gone(
        "request-over",
        fr="Cet accès est terminé : expiré, révoqué ou repris.",
        en="This access is over: expired, revoked or taken back.",
        who="person",
    )


def _cannot_narrow(where: str) -> Rejected:
    return Rejected(
        "cannot-narrow",
        fr="Cette table ne permet pas de ne donner que ce qui est demandé.",
        en="This table does not allow giving only what is asked for.",
        who="person",
        where=where,
    )
