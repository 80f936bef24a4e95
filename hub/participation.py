"""Participation without accounts: a code, a secret, and what each of them opens.

The code alone refuses and withdraws. Seeing anything needs the secret too, because a code lies on
a sheet of paper. Both halves of a joint consent have a code of their own, and either one ends it.

Nobody learns from an answer whether a code exists: unknown, known and ended codes are counted the
same, hashed and looked up the same number of times, and answered with the same bytes.

1. `Door.stop` does no look-up at all. It notes what was asked, for whatever code, and answers.
2. `Door.settle` comes after the answer (at once in the web process; a worker would find the note
   a minute later if that process died) and withdraws where the code is somebody's.
3. `Door.enter` makes one keyed hash, one look-up, one argon2 verification and one write.
4. `Door.link` keeps a link to a code nobody has like any other link.

Tries are counted by the first group of the code and by address, whatever became of them: a limit
that spared those that succeed would tell which did.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from consent import codes, model, purposes, records
from hub import consents, withdraw
from hub.errors import Busy, Conflict, Denied, HubError, Rejected
from hub.events import AuditEvent, Kind
from hub.identity import passwords, tokens
from hub.identity.limits import Limiter
from hub.parts import Actor, Parts
from hub.records import Basis, Code, Contribution, Grant, Link
from hub.storage.books import ASKED_AGAIN, GIVEN, OBJECTED, STOP

PERSON: Final = Actor("code", "person", "person")
"""Whoever shows a code. The hub knows nothing else about them."""

EVERY_PURPOSE: Final = "every"
VISIT: Final = timedelta(minutes=20)
LATER: Final = timedelta(minutes=1)
"""After this a worker sees to what a web process noted and did not get to."""

TRIES_BY_PREFIX: Final = 10
TRIES_BY_ADDRESS: Final = 100
"""In a quarter of an hour; a whole lycée may share one address."""

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Handed:
    """What a person is given, once: nothing here can be shown again."""

    holder: str
    code: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Agreed:
    """Where one purpose at one partner stands for a person; `grant` is None under a public task.

    `state` is one of a grant's states, "public_task", or "none" where nothing was ever answered.
    """

    partner: str
    purpose: str
    state: str
    grant: Grant | None = None


def give(
    parts: Parts,
    actor: Actor,
    partner: str,
    asked: consents.Asked,
    random: Random = secrets.token_bytes,
) -> tuple[Grant, list[Handed]]:
    """Record an answer, with codes for those who have none yet, in one transaction.

    One code serves all purposes a person agreed to at a partner. Raises what `consents.give` does,
    and `Conflict` "codes-first" where a parent's code would open what other partners linked to the
    code their child has already.
    """
    handed: list[Handed] = []

    def keep(grant: Grant, kept: Sequence[Contribution], event: AuditEvent) -> None:
        now = parts.clock()
        participant = parts.books.participant_of(partner, grant.subject, now)
        known = parts.books.codes_of(participant) if participant else []
        held = {code.holder for code in known if code.live(now)}
        wanted = [holder for holder in _holders(grant) if holder not in held]
        if grant.state != GIVEN or not wanted:
            parts.books.give([grant], kept, event=event)
            return
        if participant and _elsewhere(parts, participant, partner):
            raise _codes_first()
        made = _made(parts, grant, wanted, participant or parts.new_id(now), random)
        links = [] if participant else [_link(grant, made[0][0], now)]
        parts.books.participate([grant], kept, [code for code, _ in made], links, event=event)
        handed.extend(given for _, given in made)

    return consents.give(parts, actor, partner, asked, keep), handed


def again(
    parts: Parts, actor: Actor, grant: Grant, random: Random = secrets.token_bytes
) -> list[Handed]:
    """New codes for a consent, for whoever lost theirs; the lost ones open nothing any more.

    References of *other* partners stay with the lost code, until their own apps link them again:
    otherwise one partner could give itself a code that shows another's rows. Raises `Denied`, and
    `Rejected` "consent-ended" where the consent no longer stands.
    """
    decision = parts.require("rights", actor, {"action": "codes_give", "partner": grant.partner})
    if grant.state not in {GIVEN, ASKED_AGAIN}:
        raise Rejected(
            "consent-ended",
            fr="Cet accord est déjà terminé.",
            en="This consent has ended already.",
            who="person",
        )
    now = parts.clock()
    former = parts.books.participant_of(grant.partner, grant.subject, now)
    made = _made(parts, grant, _holders(grant), parts.new_id(now), random)
    event = AuditEvent(Kind.CODES_GIVEN, actor.organisation, grant.id, now, {"codes": len(made)})
    parts.books.replace_codes(
        former,
        [code for code, _ in made],
        [_link(grant, made[0][0], now)],
        event=parts.told(event, decision),
    )
    return [given for _, given in made]


def shown(handed: Sequence[Handed]) -> list[dict[str, str]]:
    """Codes and secrets as JSON, for the one answer that holds them."""
    return [{"holder": one.holder, "code": one.code, "secret": one.secret} for one in handed]


class Door:
    """Where codes are shown."""

    def __init__(self, parts: Parts, *, random: Random = secrets.token_bytes) -> None:
        self.parts = parts
        self._random = random
        secret = parts.keyring.session_key
        self._by_prefix = Limiter(parts.books, secret, "code", TRIES_BY_PREFIX)
        self._by_address = Limiter(parts.books, secret, "knock", TRIES_BY_ADDRESS)

    def stop(self, typed: str, purpose: str, address: str) -> str:
        """Note that a code's holder ends a purpose, or `EVERY_PURPOSE`; what to `settle`.

        Raises `Rejected` for a mistyped code or an unknown purpose, `Busy` after too many tries.
        """
        _known(purpose)
        digest = self._digest(typed, address)
        about = f"{digest.hex()}.{purpose}"
        self.parts.books.add_job(STOP, about, self.parts.clock() + LATER)
        return about

    def settle(self, about: str) -> None:
        """Do what was noted, where the code is somebody's. Again is harmless."""
        settle(self.parts, about)
        self.parts.books.stopped(about)

    def enter(self, typed: str, secret: str, address: str) -> str:
        """A visit's token, for the cookie. Raises `Denied`, always the same, or `Busy`."""
        said = _read(codes.read_secret, secret)
        now = self.parts.clock()
        found = self.parts.books.code(self._digest(typed, address))
        live = found is not None and found.live(now)
        right = passwords.verify(found.secret if found is not None and live else None, said)
        if found is None or not right:
            event = AuditEvent(Kind.VISIT_REFUSED, "unknown", "unknown", now)
            self.parts.books.record(event=event)
            raise Denied(
                "code-or-secret-wrong",
                fr="Ce code et ce mot secret n’ouvrent rien ensemble : l’un des deux est faux, "
                "ou le code a été remplacé.",
                en="This code and this secret open nothing together: one of them is wrong, "
                "or the code was replaced.",
                who="person",
            )
        token = tokens.new(self._random)
        self.parts.books.add_visit(
            tokens.digest(token),
            found.id,
            now + VISIT,
            event=AuditEvent(Kind.VISIT_BEGUN, PERSON.organisation, found.id, now),
        )
        return token

    def who(self, token: str) -> Code | None:
        """Whose visit it is; None for any other string."""
        return self.parts.books.visit(tokens.digest(token), self.parts.clock()) if token else None

    def leave(self, token: str) -> None:
        """End a visit, if it is one."""
        self.parts.books.end_visit(tokens.digest(token))

    def new_secret(self, code: Code) -> str:
        """Another secret for a visitor's code, shown once; who knew the old one no longer does."""
        secret = codes.new_secret(self._random)
        self.parts.books.replace_secret(
            code.id,
            passwords.hash(codes.read_secret(secret)),
            event=AuditEvent(Kind.SECRET_CHANGED, PERSON.organisation, code.id, self.parts.clock()),
        )
        return secret

    def object(self, card: str, address: str) -> None:
        """Record an objection by card number, the same whether or not anybody has that card.

        At every partner, for what rests on a public task: who knows a number ends no consent with
        it. A number typed in groups, as cards show it, is meant without its blanks, too. Raises
        `Rejected` for no card number, `Busy` after too many tries.
        """
        written = dict.fromkeys((card.strip(), "".join(card.split())))
        self._count([f"address\n{address}"])
        for partner, purpose in _public_tasks(self.parts):
            for number in written:
                try:
                    digest = consents.digest_of(self.parts, partner, number)
                except model.ConsentError as error:
                    raise _rejected(error) from error
                withdraw.withdraw(self.parts, PERSON, partner, digest, purpose, via="form")

    def link(self, actor: Actor, typed: str, reference: str) -> None:
        """Tie a partner's reference to a code. Answers the same whether anybody has the code.

        Raises `Denied`; `Rejected` for what cannot be read; `Conflict` link-replayed.
        """
        partner = actor.organisation
        decision = self.parts.require(
            "rights", actor, {"action": "reference_link", "partner": partner}
        )
        digest = self._digest(typed, f"client {actor.id}")
        try:
            subject = consents.digest_of(self.parts, partner, reference)
        except model.ConsentError as error:
            raise _rejected(error) from error
        (mark,) = self.parts.refusal_marks([subject])
        now = self.parts.clock()
        event = AuditEvent(Kind.REFERENCE_LINKED, partner, actor.id, now, {"partner": partner})
        self.parts.books.link(
            Link(partner, subject, digest, now), mark, event=self.parts.told(event, decision)
        )

    def _digest(self, typed: str, address: str) -> bytes:
        """The keyed digest of a code as typed, once the try is counted."""
        symbols = _read(codes.read_code, typed)
        self._count([f"address\n{address}"], f"prefix\n{codes.prefix(symbols)}")
        return codes.digest(self.parts.keyring.code_key, symbols)

    def _count(self, addresses: Sequence[str], prefix: str = "") -> None:
        now = self.parts.clock()
        asked = [(self._by_address, tokens.digest(one)) for one in addresses]
        if prefix:
            asked.append((self._by_prefix, tokens.digest(prefix)))
        # What is refused for its number counts for none: that would never end.
        if not all(limiter.allows(key, now) for limiter, key in asked):
            raise Busy(
                "too-many-tries",
                fr="Trop d’essais. Le prochain sera possible dans un quart d’heure.",
                en="Too many tries. The next one is possible in a quarter of an hour.",
                who="person",
                facts={"retry_after": 900},
            )
        for limiter, key in asked:
            limiter.failed(key, now)


def settle(parts: Parts, about: str) -> None:
    """End what a code's holder asked to end; nothing where the code is nobody's, or has ended."""
    text, _, purpose = about.partition(".")
    code = parts.books.code(bytes.fromhex(text))
    if code is not None and code.live(parts.clock()):
        end(parts, code, purpose)


def end(parts: Parts, code: Code, purpose: str = EVERY_PURPOSE) -> list[str]:
    """End one purpose or all, wherever the holder of this code stands; ids of the withdrawals.

    What has ended is not ended again. Raises `Rejected` for an unknown purpose.
    """
    _known(purpose)
    ended: dict[str, list[str]] = {}
    for one in agreed(parts, code.participant):
        if one.state in {GIVEN, ASKED_AGAIN, "public_task"} and purpose in {
            one.purpose,
            EVERY_PURPOSE,
        }:
            ended.setdefault(one.partner, []).append(one.purpose)
    made = []
    half = records.PARENT if code.holder == "parent" else ""
    for link in parts.books.links_of(code.participant):
        for ends in ended.get(link.partner, ()) if link.ended_at is None else ():
            done = withdraw.withdraw(
                parts, PERSON, link.partner, link.subject, ends, via="code", by=half
            )
            made.append(done.id)
    return made


def agree_again(parts: Parts, code: Code, purpose: str, language: str) -> list[Grant]:
    """The yes of a visitor who was asked again at 15, wherever they were asked.

    Their own code only: a parent's half has lapsed with the birthday. Raises `Denied` for a
    parent's code, `Rejected` for an unknown purpose, `Conflict` where nothing was asked.
    """
    _known(purpose)
    if code.holder != "person":
        raise Denied(
            "parents-code",
            fr="Depuis le mois des 15 ans, seul le jeune peut répondre, avec son propre code.",
            en="Since the month of the 15th birthday only the young person can answer, with a "
            "code of their own.",
            who="person",
        )
    theirs = [one for one in agreed(parts, code.participant) if one.purpose == purpose]
    asked = [one.grant for one in theirs if one.grant and one.state == ASKED_AGAIN]
    # Where none was asked, the first says so.
    asked = asked or [one.grant for one in theirs if one.grant][:1]
    return [consents.agree_again(parts, PERSON, grant, language) for grant in asked]


def agreed(parts: Parts, participant: str) -> list[Agreed]:
    """Where a person stands, purpose by purpose, at each partner their codes are linked to."""
    now = parts.clock()
    found: dict[tuple[str, str], Agreed] = {}
    bases = _bases(parts)
    for link in parts.books.links_of(participant):
        acts = [
            act
            for subject in subjects(parts, link)
            for act in parts.books.grants_of(subject)
            if act.partner == link.partner
        ]
        for purpose in purposes.PURPOSES:
            basis = bases.get((link.partner, purpose))
            theirs = [act for act in acts if act.purpose == purpose]
            if basis is None and not theirs:
                continue
            state, grant = _state(theirs, basis, now)
            found[link.partner, purpose] = Agreed(link.partner, purpose, state, grant)
    return [found[key] for key in sorted(found)]


def subjects(parts: Parts, link: Link) -> list[bytes]:
    """What a linked person is found under: the digest, and the mark of what they ended."""
    if link.ended_at is not None:
        return [link.subject]
    return [link.subject, *parts.refusal_marks([link.subject])]


def _state(acts: Sequence[Grant], basis: Basis | None, now: datetime) -> tuple[str, Grant | None]:
    """The latest act counts; a refusal a withdrawal left behind says how the grant ended."""
    if not acts:
        return ("public_task" if basis is Basis.PUBLIC_TASK else "none"), None
    answers = [act for act in acts if act.answered]
    latest = max(acts, key=lambda act: (act.given_at, act.state != GIVEN))
    answer = max(answers, key=lambda act: act.given_at) if answers else None
    if latest.state == OBJECTED or answer is None:
        return latest.state, answer
    lapsed = answer.expires_at is not None and answer.expires_at <= now
    return ("expired" if answer.state == GIVEN and lapsed else answer.state), answer


def _bases(parts: Parts) -> dict[tuple[str, str], Basis]:
    return {
        (one.partner, one.purpose): one.basis
        for one in parts.books.concluded()  # what came in under one that is over is still there
        if one.basis is not Basis.NOT_PERSONAL
    }


def _public_tasks(parts: Parts) -> list[tuple[str, str]]:
    return [about for about, basis in _bases(parts).items() if basis is Basis.PUBLIC_TASK]


def _elsewhere(parts: Parts, participant: str, partner: str) -> bool:
    return any(link.partner != partner for link in parts.books.links_of(participant))


def _codes_first() -> Conflict:
    return Conflict(
        "codes-first",
        fr="La personne a déjà un code, auquel d’autres partenaires ont lié sa référence : "
        "demandez d’abord de nouveaux codes pour son accord précédent.",
        en="The person has a code already, to which other partners have linked their reference: "
        "ask for new codes for the former consent first.",
        who="partner",
    )


def _holders(grant: Grant) -> list[str]:
    return ["person", "parent"] if grant.evidence.get("joint") else ["person"]


def _made(
    parts: Parts, grant: Grant, holders: Sequence[str], participant: str, random: Random
) -> list[tuple[Code, Handed]]:
    now = parts.clock()
    fifteen = str(grant.evidence.get("fifteen") or "")
    made = []
    for holder in holders:
        handed = Handed(holder, codes.new_code(random), codes.new_secret(random))
        lapses = holder == "parent" and fifteen
        code = Code(
            id=parts.new_id(now),
            participant=participant,
            digest=codes.digest(parts.keyring.code_key, codes.read_code(handed.code)),
            secret=passwords.hash(codes.read_secret(handed.secret)),
            holder=holder,
            given_at=now,
            lapses_at=model.Month.parse(fifteen).over() if lapses else None,
        )
        made.append((code, handed))
    return made


def _link(grant: Grant, code: Code, now: datetime) -> Link:
    return Link(grant.partner, grant.subject, code.digest, now)


def _read(read: Callable[[str], str], typed: str) -> str:
    try:
        return read(typed)
    except model.ConsentError as error:
        raise _rejected(error) from error


def _rejected(error: model.ConsentError) -> HubError:
    return Rejected(error.code, fr=error.fr, en=error.en, who="person")


def _known(purpose: str) -> None:
    if purpose != EVERY_PURPOSE and purpose not in purposes.PURPOSES:
        raise _rejected(model.ConsentError("unknown-purpose"))
