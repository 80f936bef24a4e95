"""Delivery: what an approved request gives its recipients, asked for again each time.

1. Who asks: an account of a recipient, or a link made by one (`hub.identity.links`).
2. The policy, then the request's own state: an approval that has expired or was revoked gives
   nothing from that moment on, in the middle of a load as well. A link also names the epoch it was
   made in, which rises with every end.
3. The obligations of the decision: territory and level of detail narrow the table (leaving rows
   out of what is published shows nothing more), and a release of fewer people than agreed is
   not handed out.
4. The reading is an event about the release and the request, from which use is told.
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
from hub import formats, requests
from hub.errors import Denied, Gone, NotFound, Rejected
from hub.events import Kind
from hub.identity import links
from hub.parts import Actor, Parts
from hub.policy.gate import Decision
from hub.records import DataRequest, Release, RequestState
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
        self._narrowed: OrderedDict[tuple[str, str, str], dict[str, bytes]] = OrderedDict()
        self._lock = Lock()

    def file(self, actor: Actor, request_id: str, kind: str) -> File:
        """A format of what a request gives, for an account of a recipient.

        Raises `NotFound` where the request is not the actor's to know, or has no release yet,
        `Denied` where the actor is no recipient or nothing is approved, `Gone` where it is over,
        `Rejected` for a format there is not.
        """
        request = requests.seen(self._parts, actor, request_id)
        decision = requests.delivering(self._parts, actor, request)
        _standing(request, self._parts.clock())
        release = requests.release_for(self._parts, request)
        if release is None:
            raise NotFound(
                "no-release-yet",
                fr="Rien n’est encore publié pour cette demande.",
                en="Nothing is published for this request yet.",
                who="steward",
            )
        _enough_people(request, release)
        data = self._data(request, release, kind)
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

    def _data(self, request: DataRequest, release: Release, kind: str) -> bytes:
        whole = self._shelf.data(release, kind)
        if (request.territory, request.granularity) == (ALL, ALL):
            return whole
        key = (release.digest, request.territory, request.granularity)
        with self._lock:
            made = self._narrowed.get(key)
        if made is None:
            table = pq.read_table(io.BytesIO(self._shelf.data(release, "parquet")))
            made = formats.prepare(narrow(table, request), MEASURES[release.measure])
        with self._lock:
            self._narrowed[key] = made
            self._narrowed.move_to_end(key)
            while len(self._narrowed) > KEPT:
                self._narrowed.popitem(last=False)
        return made[kind]


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


def _enough_people(request: DataRequest, release: Release) -> None:
    if release.manifest["plan"]["k"] < request.obligations["k_min"]:
        raise Denied(
            "too-few-people",
            fr="La publication compte moins de personnes par case que la décision ne l’exige.",
            en="The release counts fewer people in a cell than the decision demands.",
            who="steward",
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
