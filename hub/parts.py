"""The parts a verb works with, composed once in `main` and passed in everywhere.

Nothing here builds a real adapter: verbs depend on this record, tests fill it with memory parts.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc

from analytics import recognise
from analytics.plan import Plan
from connectors.contract import Dataset
from consent import gate, pseudonyms
from hub.audit import decisions, proofs, receipts
from hub.audit.entries import opening_of, receipt_of, receipts_of
from hub.audit.log import Log
from hub.audit.publish import Publisher
from hub.audit.tiles import CHECKPOINT
from hub.computing import Engine
from hub.errors import Conflict, Denied, Unavailable
from hub.events import AuditEvent, Kind
from hub.identity.refusals import Refusals
from hub.policy.gate import ENGINE_FAILED, Decision, PolicyGate
from hub.records import Account, Agreement, Basis
from hub.settings import Settings, Territory
from hub.stages import ACTS
from hub.storage.books import Books, Held
from hub.storage.keyring import Keyring
from hub.storage.objects import Objects
from hub.storage.tables import Tables
from hub.storage.vault import Vault

REFUSALS: Final = "refusals"


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a client of a partner, a person with an account, or the hub's own command line.

    `person`: by a session or at the command line, not by a token a machine holds.
    """

    id: str
    role: str
    organisation: str
    scopes: tuple[str, ...] = ()
    person: bool = False

    @classmethod
    def of(cls, account: Account, *, person: bool = False) -> Actor:
        """The person an account is of."""
        return cls(account.id, str(account.role), account.organisation, person=person)

    def facts(self) -> dict[str, Any]:
        """As a policy question sees an actor."""
        return {
            "id": self.id,
            "role": self.role,
            "organisation": self.organisation,
            "scopes": list(self.scopes),
        }


OPERATOR = Actor("cli", "operator", "hub", person=True)
WORKER = Actor("worker", "worker", "hub")


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a verb may touch."""

    settings: Settings
    territory: Territory
    plan: Plan
    rules: recognise.Rules
    datasets: Mapping[str, Dataset]
    books: Books
    objects: Objects
    vault: Vault
    keyring: Keyring
    tables: Tables
    log: Log
    publisher: Publisher
    policy: PolicyGate
    engine: Engine
    owner: str
    lease: timedelta = timedelta(seconds=30)
    """How long a worker may be silent before another takes over its job or table."""
    clock: Callable[[], datetime] = utc_now
    token: Callable[[int], str] = secrets.token_hex
    refusals: Refusals = field(default_factory=Refusals)

    def new_id(self, now: datetime) -> str:
        """A random id that sorts by time and tells it to the second."""
        return f"{now:%Y%m%dT%H%M%S}-{self.token(8)}"

    def require(
        self, rule: str, actor: Actor, question: Mapping[str, Any], *, request: str = ""
    ) -> Decision:
        """Ask the policy; a no is recorded and raised as `Denied` with the policy's reasons.

        `request` is the id of the request for data it concerns: the no is found by it.
        """
        asked = {"actor": actor.facts(), **question}
        decision = replace(self.policy.decide(rule, asked), question=asked)
        self.refusals.tell(self.books, self.clock())
        if decision.allow:
            return decision
        name = self._refuse(decision, actor, {"request": request} if request else {})
        _no_outage(decision)
        reasons = ", ".join(decision.reasons)
        raise Denied(
            "denied-by-policy",
            fr=f"La politique d’accès refuse ({reasons}). Adressez-vous à l’intendant du hub.",
            en=f"The access policy refuses ({reasons}). Ask the hub's steward.",
            who="steward",
            facts={"reasons": list(decision.reasons), "rule": rule}
            | ({"receipt": f"/v1/decisions/{name}/receipt"} if name and actor.organisation else {}),
        )

    def ask(self, rule: str, actor: Actor | None, question: Mapping[str, Any]) -> Decision:
        """The policy's answer where a no only leaves something out; it is not recorded.

        Raises `Unavailable` where nobody decides: a list with holes would look like all there is.
        """
        asked = {"actor": actor.facts() if actor else None, **question}
        decision = replace(self.policy.decide(rule, asked), question=asked)
        _no_outage(decision)
        return decision

    def decided(
        self,
        kind: Kind,
        actor: Actor,
        about: str,
        decision: Decision,
        facts: Mapping[str, Any] | None = None,
    ) -> AuditEvent:
        """The event of a decision, under an id of its own; it commits to the decision's receipt."""
        now = self.clock()
        answered = {
            "decision": self.new_id(now),
            "rule": decision.rule,
            "actor": actor.id,
            "allowed": decision.allow,
            "reasons": list(decision.reasons),
            "input": decision.input_digest,
            "bundle": decision.bundle_digest,
        }
        kept = {**(facts or {}), "policy": [decision.replayable()]}
        return decisions.event(kind, actor.organisation, about, now, answered, kept)

    @staticmethod
    def told(event: AuditEvent, decision: Decision) -> AuditEvent:
        """The event of an act that a decision allowed: it keeps the question beside the answer."""
        return replace(event, facts={**event.facts, "policy": [decision.replayable()]})

    def _refuse(self, decision: Decision, actor: Actor, facts: Mapping[str, Any]) -> str | None:
        """Record a no, or count it; gives the id of the decision where it has one."""
        event = self.decided(Kind.ACCESS_DENIED, actor, decision.rule, decision, facts)
        question = f"{decision.rule} {decision.input_digest} {decision.reasons}"
        name = str(event.facts["decision"])
        return self.refusals.note(self.books, event, actor.id, question, name)

    def agreement_facts(self, partner: str, dataset: str) -> dict[str, Any] | None:
        """The agreement as a policy question sees it; None where there is none."""
        agreement = self.books.agreement(partner, dataset)
        if agreement is None:
            return None
        terms = agreement.terms
        return {
            "basis": str(agreement.basis),
            "purpose": agreement.purpose,
            "demo": bool(terms.get("demo", False)),
            "legal_text": str(terms.get("legal_text", "")),
            "impact_assessment": str((terms.get("impact_assessment") or {}).get("digest", "")),
            "signed": agreement.signed,
            "signed_off": str(terms.get("signed_off", "")),
            "begins": agreement.begins.toordinal(),
            "ends": agreement.ends.toordinal(),
        }

    def personal(self) -> list[Dataset]:
        """Datasets whose rows are about people and are kept."""
        return [one for one in self.datasets.values() if one.subject and one.key not in ACTS]

    def agreement_for(self, partner: str, purpose: str) -> Agreement | None:
        """The partner's agreement on rows about people for a purpose."""
        for agreement in self.books.agreements():
            if (agreement.partner, agreement.purpose) == (partner, purpose) and (
                agreement.basis is not Basis.NOT_PERSONAL
            ):
                return agreement
        return None

    def standing(self, agreement: Agreement) -> gate.Standing:
        """Who has granted or objected, at this moment, to this agreement's purpose.

        Whom an open case holds is against, whatever they said before, until it is answered.
        """
        held = pa.array(self.books.held(agreement.partner), pa.binary())
        said = self.books.standing(agreement.partner, agreement.purpose, self.clock())
        if not len(held):
            return said
        free = pc.invert(pc.is_in(said.granted, value_set=held))
        return gate.Standing(
            said.granted.filter(free),
            said.population.filter(free),
            pa.concat_arrays([said.objected, held]),
        )

    def period_key(self, purpose: str, period: str) -> bytes:
        """The key of a purpose and period; making one is an event, and the event comes first."""
        if period not in self.keyring.periods(purpose):
            self.books.record(
                event=AuditEvent(Kind.KEY_CREATED, "hub", f"{purpose}/{period}", self.clock())
            )
        return self.keyring.period_key(purpose, period)

    def refusal_marks(self, digests: Sequence[bytes]) -> list[bytes]:
        """What remembers that someone withdrew: keyed anew, so that it joins to no table."""
        key = self.period_key(REFUSALS, "always")
        return cast(
            "list[bytes]", pseudonyms.pseudonyms(key, pa.array(digests, pa.binary())).to_pylist()
        )

    def holding_withdrawals(self) -> AbstractContextManager[Held]:
        """The lease of the one worker that makes withdrawals true, all that wait at once."""
        return self._holding("withdrawals")

    def holding_log(self) -> AbstractContextManager[Held]:
        """The lease of the log's one writer."""
        return self._holding("log")

    def holding_tables(self, dataset: str) -> AbstractContextManager[Held]:
        """The writer lease of a dataset's tables: append, rewrite and purge exclude each other."""
        return self._holding(f"tables:{dataset}")

    def sequence(self) -> None:
        """Let the log take in what the books recorded up to now, under the one writer's lease.

        Where another is at it, that one's turn is ours as well.
        """
        last = self.books.last_event()
        self.books.one_for_all(
            "log",
            self.owner,
            self.clock,
            self.lease,
            self.lease * 1.5,
            work=lambda: self.log.sequence(self.clock()),
            done=lambda: self.books.are_placed(last),
        )

    def publish(self) -> None:
        """Bring the public copy of the log to its head, under the publisher's lease."""
        if self.log.store.read(CHECKPOINT) is None:
            self.sequence()
        with self._holding("publication"):
            self.publisher.publish()

    def cosigned(self, note: bytes) -> None:
        """Take a witness's cosignature in. Raises `Rejected` or `Conflict`."""
        with self._holding("publication"):
            self.publisher.accept(note)

    def rotate_log_key(self) -> None:
        """Let another key sign the log; the former one's receipts and proofs go on to hold.

        The event comes first. Killed after the key is made, the next sequencing announces it.
        Raises `Denied`.
        """
        decision = self.require("admin", OPERATOR, {"action": "keys_rotate"})
        with self._holding("log"):
            self.log.sequence(self.clock())
            old, size = self.log.signer.verifier, self.log.size
            facts = {"old": str(old), "size": size}
            event = AuditEvent(Kind.KEY_ROTATED, "hub", "log", self.clock(), facts)
            self.books.record(event=self.told(event, decision))
            self.keyring.rotate_log_key()
            self.log.sequence(self.clock())
            self.keyring.retire_log_keys()

    def receipt(self, kind: str, facts: Mapping[str, Any], index: int) -> bytes:
        """A signed receipt with the proof that its facts are at `index` of the log.

        Without the proof where the event holds no receipt, or was erased. Raises `Conflict`
        where the event holds another: the books were changed behind the log's back.
        """
        event = self.books.event_at(index)
        committed = receipt_of(event) if event is not None and event.salt else None
        if event is None or committed is None:
            return receipts.issue(kind, facts, self.log.signer)
        digest, many = receipts.digest(kind, facts), receipts_of(event)
        holds = digest in many and receipts.commitment(many) if many else digest
        if committed.hex() != holds:
            raise Conflict(
                "receipt-contradicts-log",
                fr="Les livres ne disent plus ce que le journal a retenu : lancez « hub audit ».",
                en="The books no longer say what the log took in: run `hub audit`.",
                who="operator",
                where=f"index {index}",
            )
        extra = opening_of(event) + (receipts.path(many, digest) if many else b"")
        proof = proofs.make(self.log, index, extra)
        return receipts.issue(kind, facts, self.log.signer, proof)

    def _holding(self, name: str) -> AbstractContextManager[Held]:
        # A dead holder's lease runs out while we wait for it.
        return self.books.holding(name, self.owner, self.clock, self.lease, self.lease * 1.5)


def _no_outage(decision: Decision) -> None:
    """Raise `Unavailable` where it is no no of the policy's: it may pass once somebody decides."""
    if ENGINE_FAILED in decision.reasons:
        raise Unavailable(
            "policy-unavailable",
            fr="Le moteur de politiques ne répond pas : tout est refusé.",
            en="The policy engine does not answer: everything is refused.",
            who="operator",
        )
