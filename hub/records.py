"""The nouns of the hub, as plain records: what the books keep and the verbs pass around.

One glossary, no synonyms: partner, push, receipt, subject, grant, purpose, pseudonym, dataset,
measure, release, request, agreement, decision, event, checkpoint. Times are aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final


class PushState(StrEnum):
    """Where a push stands. `TRANSITIONS` says what may follow what."""

    ACCEPTED = "accepted"
    STORED = "stored"
    REFUSED = "refused"


TRANSITIONS: Mapping[PushState, frozenset[PushState]] = {
    PushState.ACCEPTED: frozenset({PushState.STORED, PushState.REFUSED}),
    PushState.STORED: frozenset(),
    PushState.REFUSED: frozenset(),
}


class Role(StrEnum):
    """What a client or an account may be."""

    PARTNER = "partner"
    COLLECTIVITY = "collectivity"
    SCHOOL = "school"
    OPERATOR = "operator"
    STEWARD = "steward"
    DPO = "dpo"
    AUDITOR = "auditor"


class Basis(StrEnum):
    """Lawful basis of a dataset for a purpose, set in the agreement."""

    CONSENT = "consent"
    PUBLIC_TASK = "public_task"
    NOT_PERSONAL = "not_personal"


@dataclass(frozen=True, slots=True)
class Organisation:
    """A partner, a collectivité, a school, or the region itself."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth 2 client of an organisation. The secret is kept as an argon2 hash only."""

    id: str
    organisation: str
    role: Role
    scopes: tuple[str, ...]
    secret_hash: str | None = field(default=None, repr=False)
    public_jwk: Mapping[str, Any] | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor of a person: an RFC 6238 secret, sealed.

    It is asked for once it was confirmed. Codes of `last_step` and before are used up.
    """

    account: str
    sealed: bytes = field(repr=False)
    confirmed: bool = False
    last_step: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """A person who works with the hub (never a pupil): a local account, or known to a provider.

    Of the latter the id and login are a keyed digest, and a mark stands for the password.
    """

    id: str
    login: str
    organisation: str
    role: Role
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """A person's session: the digest of its token, whose it is, from when and until when."""

    mark: bytes
    account: str
    begun: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a provider of identities said of a session.

    `sid`: keyed digest of its own session, to end this one with it. `hint`: the token it wants
    when the person signs out, sealed under the session's token, which the hub does not keep.
    """

    sid: bytes | None = None
    hint: bytes | None = field(default=None, repr=False)


class Side(StrEnum):
    """The two sides of an agreement."""

    HUB = "hub"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a partner and the hub agreed on for one dataset and one purpose: one version of it.

    `signatures` says when each side signed; `ended_at` when either ended it.
    """

    partner: str
    dataset: str
    purpose: str
    basis: Basis
    terms: Mapping[str, Any]
    """Controllers, processors, hosting country, legal text, impact assessment, demo flag…"""
    number: int = 0
    signatures: Mapping[str, datetime] = field(default_factory=dict)
    ended_at: datetime | None = None

    @property
    def signed(self) -> bool:
        """Whether both sides have signed."""
        return set(self.signatures) == set(Side)

    @property
    def begins(self) -> date:
        """First day in force."""
        return _day(self.terms.get("valid_from"), date.min)

    @property
    def ends(self) -> date:
        """Last day in force."""
        return _day(self.terms.get("valid_until"), date.max)


def _day(text: object, otherwise: date) -> date:
    return date.fromisoformat(str(text)) if text else otherwise


@dataclass(frozen=True, slots=True)
class Push:
    """One file a partner sent, from its acknowledgement to its receipt.

    `received = valid + rejected` once processed. `kept` (rows that reached a table) and `dropped`
    (recognised as no school trip) are for operators; a partner never sees what the gate refused.
    """

    id: str
    partner: str
    dataset: str
    state: PushState
    accepted_at: datetime
    file_sha256: str
    file_bytes: int
    idempotency_key: str | None = None
    received: int | None = None
    valid: int | None = None
    rejected: int | None = None
    dropped: int | None = None
    kept: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)
    """Table name to the Delta version this push committed."""
    problem: Mapping[str, Any] | None = None
    findings: Sequence[Mapping[str, Any]] | None = None
    """What was wrong, by reason and column (`connectors.report`); None on a push of before."""
    finished_at: datetime | None = None
    log_index: int | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes in pieces (tus): `offset` bytes of `length` are sealed and durable.

    `declared` is the media type its bytes are to be of, None for any. `push` is what it became
    once whole; `problem` why it could not become one.
    """

    id: str
    partner: str
    dataset: str
    client: str
    length: int
    offset: int
    created_at: datetime
    idempotency_key: str | None = None
    declared: str | None = None
    push: str | None = None
    problem: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """One rejected row in quarantine. Its content is sealed; here only where and why."""

    push: str
    position: int
    code: str
    column: str
    digest: bytes | None = field(default=None, repr=False)
    sealed: bytes | None = field(default=None, repr=False)
    """The row as a file of its own, sealed; None where its person may not be stored."""
    until: date | None = None
    number: int | None = field(default=None, compare=False)
    """Its place in the books, None before it is there."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One person's standing for one purpose at one partner.

    `subject` is the keyed digest, never the partner's reference. `population` is what the person
    declared (pupil, post-bac, staff). Objections are grants of state "objected".
    """

    id: str
    partner: str
    purpose: str
    subject: bytes = field(repr=False)
    state: str
    population: str
    given_at: datetime
    expires_at: datetime | None
    notice_version: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    ended_at: datetime | None = None
    log_index: int | None = None

    @property
    def answered(self) -> bool:
        """Whether it is an answer, with its record: what a withdrawal left behind is none."""
        return "." not in self.id


@dataclass(frozen=True, slots=True)
class Contribution:
    """What finds a grant among the contributors of a release, see `consent.contributors`.

    `commitment` is in the log; `secret` is sealed, None once a withdrawal (`ended_by`) ended it.
    """

    grant: str
    commitment: bytes = field(repr=False)
    secret: bytes | None = field(repr=False)
    ended_by: str | None = None


@dataclass(frozen=True, slots=True)
class ConsentProof:
    """The sealed proof of a consent that ended, see `hub.consent_proofs`.

    `remains` is what the books keep of its evidence.
    """

    grant: str
    sealed: bytes = field(repr=False)
    kept_until: datetime
    remains: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Erasure(StrEnum):
    """How far a withdrawal is; admission has stopped before the first. See `ERASURES`."""

    REQUESTED = "requested"
    ERASING = "erasing"
    ERASED = "erased"
    COMPLETED = "completed"


ERASURES: Mapping[Erasure, frozenset[Erasure]] = {
    # A worker that died is followed by one that begins again.
    Erasure.REQUESTED: frozenset({Erasure.ERASING}),
    Erasure.ERASING: frozenset({Erasure.ERASING, Erasure.ERASED}),
    Erasure.ERASED: frozenset({Erasure.ERASING, Erasure.COMPLETED}),
    Erasure.COMPLETED: frozenset(),
}
"""What may follow what."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A consent that ended, and how far its effect has come.

    `due_at` is when it must be complete at the latest; `backups_until`, known then, when the last
    back-up that may hold the rows expires (None: there is none). `by`, known only when it is asked
    for: the parent, where it is the parent of a joint consent who asks.
    """

    id: str
    partner: str
    subject: bytes = field(repr=False)
    purposes: tuple[str, ...]
    requested_at: datetime
    completed_at: datetime | None = None
    tables: Mapping[str, Any] = field(default_factory=dict)
    log_index: int | None = None
    due_at: datetime | None = None
    backups_until: datetime | None = None
    state: Erasure = field(default=Erasure.REQUESTED, compare=False)
    by: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Backup:
    """A back-up that exists: sealed for a recipient whose identity the hub does not hold.

    `sha256` (hex) and `size` are those of the sealed file, None while it is being made.
    """

    id: str
    created_at: datetime
    expires_at: datetime
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A participation code as the books keep it: nothing here is the code or the secret.

    `digest` is keyed, `secret` an argon2 hash. `holder` is "person" or "parent"; the two halves of
    a joint consent share `participant`.
    """

    id: str
    participant: str
    digest: bytes = field(repr=False)
    secret: str = field(repr=False)
    holder: str
    given_at: datetime
    lapses_at: datetime | None = None
    ended_at: datetime | None = None

    def live(self, now: datetime) -> bool:
        """Whether it still opens anything: not replaced, and a parent's not lapsed."""
        return self.ended_at is None and (self.lapses_at is None or self.lapses_at > now)


@dataclass(frozen=True, slots=True)
class Link:
    """A partner's reference tied to a code, both as keyed digests. Ended with its consents."""

    partner: str
    subject: bytes = field(repr=False)
    code: bytes = field(repr=False)
    linked_at: datetime
    ended_at: datetime | None = None


HOLDING: Final = ("restriction", "rectification")
"""Cases that hold a person's rows while they are open (GDPR art. 18): kept, and not used."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request under a person's rights that somebody must answer by `due_at`.

    `concerns` is a code of what it is about, `extended_for` and `ground` codes of reasons: no
    field holds free text, which would name people. `participant` is None where the DPO opened it
    for somebody without a code.
    """

    id: str
    kind: str
    concerns: str
    participant: str | None
    state: str
    opened_at: datetime
    due_at: datetime
    extended_for: str = ""
    closed_at: datetime | None = None
    ground: str = ""

    @property
    def holds(self) -> bool:
        """Whether it keeps a person's rows out of use now."""
        return self.kind in HOLDING and self.participant is not None and self.closed_at is None


class RequestState(StrEnum):
    """Where a request for data stands; what may follow what is `hub.requests.MOVES`."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REFUSED = "refused"
    VETOED = "vetoed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REVOKED = "revoked"
    RENEWED = "renewed"


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What an organisation asks to be given, and what became of it. Codes only, no free text.

    `territory` and `granularity` are "all" where nothing is left out. `partners` are those whose
    data the measure is made of. `epoch` rises whenever links handed out must end, `version` with
    every change. `renews` is the id of the request this one takes over from, empty for none.
    """

    id: str
    measure: str
    period: str
    purpose: str
    territory: str
    granularity: str
    recipients: Sequence[str]
    days: int
    organisation: str
    role: str
    asked_by: str
    partners: Sequence[str]
    submitted_at: datetime
    state: RequestState = RequestState.SUBMITTED
    decided_at: datetime | None = None
    decided_by: str = ""
    expires_at: datetime | None = None
    obligations: Mapping[str, Any] = field(default_factory=dict)
    opinion: str = ""
    ground: str = ""
    renews: str = ""
    epoch: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """One published table, immutable under its digest. The manifest stands beside the data."""

    id: str
    measure: str
    period: str
    version: int
    digest: str
    manifest: Mapping[str, Any]
    published_at: datetime
    log_index: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work under a lease; run again by another worker if the lease runs out."""

    id: int
    kind: str
    about: str
    attempts: int


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event with its place in the log; `index` is None until the tree has taken it in."""

    sequence: int
    body: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    index: int | None
