"""A hub with one of everything in it, and everyone who may come to it: the ground of attacks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hub import (
    agreements,
    consents,
    participation,
    release,
    requests,
    rights,
    uploads,
    withdraw,
    worker,
)
from hub.application import application
from hub.errors import Denied, HubError
from hub.events import AuditEvent, Kind
from hub.identity import tokens
from hub.parts import OPERATOR, Actor, Parts
from hub.records import Account, Client, Code, Release, Role
from hub.release import object_name
from hub.web.forms import Forms
from tests.flows import world

ROLES: Final = tuple(Role)
OWNERS: Final = ("transdev", "coachco2")
OTHER: Final = "orange"
FORMS: Final = Forms(False, lambda count: b"\x01" * count)
MARK: Final = "a-term-of-one-agreement-only"
TERMS: Final[Mapping[str, Any]] = {
    "partner": "transdev",
    "dataset": "validations",
    "purpose": "school-mobility",
    "basis": "public_task",
    "controllers": ["Région Centre-Val de Loire"],
    "legal_text": MARK,
}
SPARE: Final = "transdev-spare"
"""A client of the owner's, with a secret nobody has."""
EMBARGOED: Final = "modal-split-2026-2027-1"
"""The newest release of its measure, and nobody's to read yet but those who watch."""


def actors() -> list[str]:
    """Everyone: a stranger, machines of the owner and of another, each role of each, a visitor.

    Own and other are said of an *organisation*: a school's account may well be entered under a
    partner's name, and must not become the partner by it.
    """
    return [
        "anyone",
        "client own",
        "client other",
        "client without scopes",
        *(f"{role} {whose}" for role in ROLES for whose in ("own", "other")),
        "visitor",
    ]


@dataclass
class Places:
    """The hub, its application, and the ids of what is in it."""

    parts: Parts
    app: FastAPI
    client: TestClient
    push: str
    consent: str
    ended: str
    withdrawal: str
    agreement: int
    release: Release
    decision: str
    case: str
    own: str
    code: Code
    typed: str

    def headers(self, actor: str, owner: str) -> dict[str, str]:
        """What a request of this actor carries, asking about something of `owner`'s."""
        who, _, whose = actor.rpartition(" ")
        organisation = OTHER if whose == "other" else owner
        form = {"cookie": f"{FORMS.form_cookie}={'0' * 64}"}
        if actor == "anyone":
            return form
        if actor == "visitor":
            self._begun("visit", self.code.id)
            return {"cookie": f"{form['cookie']}; hub-visit=visit"}
        if actor.startswith("client"):
            scopes = "none" if whose == "scopes" else "all"
            return form | {"authorization": f"Bearer token-{organisation}-{scopes}"}
        name = f"{organisation}-{who}"
        self._begun(f"session-{name}", f"user-{name}")
        return {"cookie": f"{FORMS.session_cookie}=session-{name}"}

    def _begun(self, token: str, whose: str) -> None:
        """A session, or a visit: begun where there is none, or where one was ended."""
        books, now, mark = self.parts.books, self.parts.clock(), tokens.digest(token)
        until = now + timedelta(hours=8)
        if token == "visit":
            if books.visit(mark, now) is None:
                said = AuditEvent(Kind.VISIT_BEGUN, "person", whose, now)
                books.add_visit(mark, whose, until, event=said)
        elif books.session(mark, now) is None:
            said = AuditEvent(Kind.USER_AUTHENTICATED, "hub", whose, now)
            books.add_session(mark, whose, until, event=said)

    def form_token(self, headers: Mapping[str, str]) -> str:
        """The token of our own form, for who sends these headers."""
        cookies = dict(
            pair.split("=", 1) for pair in headers.get("cookie", "").split("; ") if "=" in pair
        )
        basis = cookies.get(FORMS.session_cookie) or cookies.get(FORMS.form_cookie, "")
        return FORMS.token(basis)

    def upload(self) -> str:
        """A fresh upload of the owner's client."""
        actor = Actor("transdev-all", "partner", "transdev", ("push", "consent"))
        return uploads.begin(self.parts, actor, "transdev", "validations", 4).id

    def request(self, approved: bool = False) -> str:
        """A fresh request of the owner's collectivity; the one before is taken back."""
        asker = Actor("user-transdev-collectivity", "collectivity", "transdev")
        for former in self.parts.books.requests():
            if former.state in requests.MOVES["withdraw"].after:
                with suppress(HubError):
                    requests.move(self.parts, asker, former.id, "withdraw")
        asked = requests.Asked(measure="modal-split", purpose="evaluation", territory="45")
        made = requests.submit(self.parts, asker, asked)
        if approved and made.state != "approved":
            steward = Actor("user-hub", "steward", "hub")
            requests.decide(self.parts, steward, made.id, approved=True)
        return made.id

    def given(self, reference: str) -> str:
        """A fresh consent at coachco2."""
        return _given(self.parts, reference)


@contextmanager
def furnished(home: Path) -> Iterator[Places]:
    """Make it: a few seconds. The application closes the books at the end."""
    parts = world.hub_with_places(home)
    people = [f"acc-{n:03d}" for n in range(60)]
    world.agree(parts, *people)
    modes = ("CAR", "BUS", "WALKING", "BICYCLING")
    world.pushed(parts, "coachco2/trips", world.trips(people, days=4, modes=modes))
    pushed = world.pushed(parts, "transdev/validations", world.taps(["A", "B"]) + b"broken\n")
    made, _ = release.build(parts, "modal-split")
    _embargo(parts, made)
    _enrol(parts)
    proposed = agreements.propose(parts, OPERATOR, TERMS)
    collector = Actor("coachco2-all", "partner", "coachco2", ("push", "consent"))
    own, handed = participation.give(parts, collector, "coachco2", _asked("with-a-code"))
    participant = parts.books.participant_of("coachco2", own.subject, parts.clock())
    assert participant is not None
    ended = _given(parts, "ended")
    gone = parts.books.grant(ended)
    assert gone is not None
    withdrawal = withdraw.withdraw(
        parts, collector, "coachco2", gone.subject, "school-mobility", via="partner"
    )
    # A decision that concerns the owner's client: it asked for what it may not have.
    own_client = Actor("transdev-all", "partner", "transdev", ("push", "consent"))
    with suppress(Denied):
        parts.require("audit_read", own_client, {})
    [refused] = parts.books.events(kind=Kind.ACCESS_DENIED)
    consent = _given(parts, "stands")
    case = rights.open_case(parts, OPERATOR, "access", "everything")
    worker.drain(parts)
    parts.sequence()
    parts.publish()
    app = application(parts)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield Places(
            parts=parts,
            app=app,
            client=client,
            push=pushed.id,
            consent=consent,
            ended=ended,
            withdrawal=withdrawal.id,
            agreement=proposed.number,
            release=made,
            decision=msgspec.json.decode(refused.body)["facts"]["decision"],
            case=case.id,
            own=own.id,
            code=parts.books.codes_of(participant)[0],
            typed=handed[0].code,
        )


def _given(parts: Parts, reference: str) -> str:
    return consents.give(parts, OPERATOR, "coachco2", _asked(reference)).id


def _asked(reference: str) -> consents.Asked:
    return consents.Asked(
        reference=reference,
        purpose="school-mobility",
        population="pupil",
        given_at=datetime(2025, 9, 10, 8, tzinfo=UTC),
        birth="2009-01",
    )


def _embargo(parts: Parts, like: Release) -> None:
    """The same again as a new version, which nobody but those who watch may read yet."""
    body = parts.objects.get(object_name(like.digest, "json"))
    digest = hashlib.sha256(EMBARGOED.encode()).hexdigest()
    later = int((parts.clock() + timedelta(days=30)).timestamp())
    kinds = {kind: hashlib.sha256(body).hexdigest() for kind in ("csv", "json")}
    manifest = {**like.manifest, "id": EMBARGOED, "period": "2026-2027"}
    manifest |= {"embargo_until": later, "digest": kinds}
    made = replace(like, id=EMBARGOED, period="2026-2027", digest=digest, manifest=manifest)
    for kind in kinds:
        parts.objects.put(object_name(digest, kind), [body])
    now = parts.clock()
    said = AuditEvent(Kind.RELEASE_INTENDED, "hub", EMBARGOED, now, {"digest": digest})
    parts.books.intend_release(digest, {"release": EMBARGOED}, event=said)
    said = AuditEvent(Kind.RELEASE_PUBLISHED, "hub", EMBARGOED, now, {"digest": digest})
    parts.books.publish_release(made, event=said)


def _enrol(parts: Parts) -> None:
    """Everyone of `actors`, with a token that is their own name; people with an account."""
    now, books = parts.clock(), parts.books
    until = now + timedelta(hours=8)

    def event(kind: Kind, about: str) -> AuditEvent:
        return AuditEvent(kind, "hub", about, now)

    spare = Client(SPARE, "transdev", Role.PARTNER, (), "nobody's")
    books.add_client(spare, event=event(Kind.PARTNER_ADDED, spare.id))
    for organisation in (*OWNERS, OTHER):
        for name, scopes in (("all", ("push", "consent")), ("none", ())):
            client = Client(f"{organisation}-{name}", organisation, Role.PARTNER, scopes)
            books.add_client(client, event=event(Kind.PARTNER_ADDED, client.id))
            token = tokens.digest(f"token-{client.id}")
            books.add_token(
                token, client.id, scopes, until, event=event(Kind.TOKEN_ISSUED, client.id)
            )
        for role in ROLES:
            name = f"{organisation}-{role}"
            account = Account(f"user-{name}", name, organisation, role, "nobody's")
            books.add_account(account, event=event(Kind.USER_ADDED, account.id))
