"""Audit events: the closed vocabulary of what can happen in the hub.

Every write of the books takes one of these and records it in the same transaction. `facts` holds
counts, digests, versions and names of things; never a person's reference, row or position. A
person appears only through the random id of a grant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import rfc8785


class Kind(StrEnum):
    """What happened. One line of `VOCABULARY` documents each."""

    HUB_CREATED = "hub.created"
    PARTNER_ADDED = "partner.added"
    AGREEMENT_RECORDED = "agreement.recorded"
    AGREEMENT_PROPOSED = "agreement.proposed"
    AGREEMENT_SIGNED = "agreement.signed"
    AGREEMENT_ENDED = "agreement.ended"
    USER_ADDED = "user.added"
    USER_CHANGED = "user.changed"
    USER_AUTHENTICATED = "user.authenticated"
    USER_REFUSED = "user.refused"
    USER_LEFT = "user.left"
    CLIENT_CHANGED = "client.changed"
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a kind of event
    TOKEN_ISSUED = "token.issued"  # noqa: S105 - a kind of event
    TOKEN_REFUSED = "token.refused"  # noqa: S105 - a kind of event
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    PUSH_ACCEPTED = "push.accepted"
    PUSH_STORED = "push.stored"
    PUSH_REFUSED = "push.refused"
    CONSENT_GIVEN = "consent.given"
    CONSENT_IMPORTED = "consent.imported"
    CONSENT_ASKED_AGAIN = "consent.asked_again"
    CONSENT_EXPIRED = "consent.expired"
    CONSENT_OF_AGE = "consent.of_age"
    CODES_GIVEN = "codes.given"
    SECRET_CHANGED = "secret.changed"  # noqa: S105 - a kind of event
    REFERENCE_LINKED = "reference.linked"
    VISIT_BEGUN = "visit.begun"
    VISIT_REFUSED = "visit.refused"
    ROWS_SHOWN = "rows.shown"
    CASE_OPENED = "case.opened"
    CASE_EXTENDED = "case.extended"
    CASE_CLOSED = "case.closed"
    PROOF_OPENED = "proof.opened"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    WITHDRAWAL_COMPLETED = "withdrawal.completed"
    OBJECTION_RECORDED = "objection.recorded"
    TABLE_REWRITTEN = "table.rewritten"
    KEY_DESTROYED = "key.destroyed"
    RETENTION_ENDED = "retention.ended"
    EVENT_ERASED = "event.erased"
    BACKUP_BEGUN = "backup.begun"
    BACKUP_MADE = "backup.made"
    BACKUP_DROPPED = "backup.dropped"
    BACKUP_RESTORED = "backup.restored"
    QUARANTINE_DROPPED = "quarantine.dropped"
    QUARANTINE_REPLAYED = "quarantine.replayed"
    RELEASE_INTENDED = "release.intended"
    RELEASE_BLOCKED = "release.blocked"
    RELEASE_PUBLISHED = "release.published"
    RELEASE_READ = "release.read"
    SHARE_ADDED = "share.added"
    SHARE_REVOKED = "share.revoked"
    REQUEST_SUBMITTED = "request.submitted"
    REQUEST_DECIDED = "request.decided"
    REQUEST_VETOED = "request.vetoed"
    REQUEST_OPINION = "request.opinion"
    REQUEST_WITHDRAWN = "request.withdrawn"
    REQUEST_REVOKED = "request.revoked"
    REQUEST_RENEWED = "request.renewed"
    REQUEST_EXPIRED = "request.expired"
    REQUEST_LINKED = "request.linked"
    REQUEST_UNLINKED = "request.unlinked"
    ACCESS_DENIED = "access.denied"
    EVENTS_READ = "events.read"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an event kind says: who causes it, and what it discloses to whom."""

    who: str
    says: str
    discloses: str


VOCABULARY: Final[dict[Kind, Meaning]] = {
    Kind.HUB_CREATED: Meaning("operator", "the hub's home was created", "nothing"),
    Kind.PARTNER_ADDED: Meaning(
        "operator", "an organisation and its client", "its name, to the DPO"
    ),
    Kind.AGREEMENT_RECORDED: Meaning(
        "operator", "datasets, purposes and lawful bases of a partner", "its terms, to the DPO"
    ),
    Kind.AGREEMENT_PROPOSED: Meaning(
        "partner, steward or operator", "a version of an agreement", "its terms, to both sides"
    ),
    Kind.AGREEMENT_SIGNED: Meaning(
        "partner, steward or operator", "a side signed a version", "its terms, to both sides"
    ),
    Kind.AGREEMENT_ENDED: Meaning(
        "partner, steward or operator", "a side ended a version", "its terms, to both sides"
    ),
    Kind.USER_ADDED: Meaning("operator", "a local account and its role", "its role, to the DPO"),
    Kind.USER_CHANGED: Meaning(
        "person with an account or operator",
        "a password, a second factor or a lock changed",
        "which of them, to the DPO",
    ),
    Kind.USER_AUTHENTICATED: Meaning("person with an account", "a login", "that it happened"),
    Kind.USER_REFUSED: Meaning("anyone", "a login that failed", "that it happened"),
    Kind.USER_LEFT: Meaning(
        "person with an account, their provider or operator",
        "sessions that ended before their time",
        "that it happened",
    ),
    Kind.CLIENT_CHANGED: Meaning(
        "partner or operator",
        "a client's proof replaced, or all its proofs ended",
        "which, to the DPO",
    ),
    Kind.TOKEN_REVOKED: Meaning("partner", "an access token given back", "that it happened"),
    Kind.TOKEN_ISSUED: Meaning("partner", "an access token and its scope", "its scope"),
    Kind.TOKEN_REFUSED: Meaning("anyone", "a token request that failed", "that it happened"),
    Kind.KEY_CREATED: Meaning("worker", "a pseudonym key for a purpose and period", "its name"),
    Kind.KEY_ROTATED: Meaning(
        "operator", "another key signs the log from here on", "both public keys, to everyone"
    ),
    Kind.PUSH_ACCEPTED: Meaning("partner", "a file sealed and acknowledged", "size and digest"),
    Kind.PUSH_STORED: Meaning("worker", "a push processed", "rows received, valid, rejected"),
    Kind.PUSH_REFUSED: Meaning("worker", "a file that cannot be read", "the reason's code"),
    Kind.CONSENT_GIVEN: Meaning("person or collecting partner", "a grant", "purposes, not whom"),
    Kind.CONSENT_IMPORTED: Meaning("collecting partner", "grants given elsewhere", "their number"),
    Kind.CONSENT_ASKED_AGAIN: Meaning(
        "worker", "the 15th birthday passed: the young person is asked", "purposes, not whom"
    ),
    Kind.CONSENT_EXPIRED: Meaning(
        "worker", "a grant ended by its date or by silence", "purposes, not whom"
    ),
    Kind.CONSENT_OF_AGE: Meaning("worker", "the 18th birthday passed", "purposes, not whom"),
    Kind.CODES_GIVEN: Meaning(
        "person or collecting partner", "new participation codes", "their number, not whose"
    ),
    Kind.SECRET_CHANGED: Meaning("person with a code", "a second secret replaced", "nothing"),
    Kind.REFERENCE_LINKED: Meaning("partner", "a reference tied to a code", "the partner"),
    Kind.VISIT_BEGUN: Meaning("person with a code", "one's own page opened", "that it happened"),
    Kind.VISIT_REFUSED: Meaning("anyone", "a code or a secret that failed", "that it happened"),
    Kind.ROWS_SHOWN: Meaning("person with a code", "one's own rows read", "the format"),
    Kind.CASE_OPENED: Meaning(
        "person with a code or dpo", "a right claimed, and until when to answer", "its kind"
    ),
    Kind.CASE_EXTENDED: Meaning("dpo", "two more months, with the reason", "the reason"),
    Kind.CASE_CLOSED: Meaning(
        "dpo, worker or the person", "a claim answered, or taken back", "how it ended"
    ),
    Kind.PROOF_OPENED: Meaning(
        "dpo", "the sealed proof of an ended consent handed out", "when and why, to its person"
    ),
    Kind.CONSENT_WITHDRAWN: Meaning("person", "a grant ended", "purposes, not whom"),
    Kind.WITHDRAWAL_COMPLETED: Meaning("worker", "rows rewritten and purged", "tables, not rows"),
    Kind.TABLE_REWRITTEN: Meaning(
        "worker", "rows erased or files rearranged, and what was before purged", "the table"
    ),
    Kind.KEY_DESTROYED: Meaning("worker", "a pseudonym key gone with its last row", "its name"),
    Kind.RETENTION_ENDED: Meaning(
        "worker", "something kept for as long as it may be, destroyed", "what, and the period"
    ),
    Kind.EVENT_ERASED: Meaning(
        "worker", "bodies and salts of old events destroyed", "their places in the log"
    ),
    Kind.BACKUP_BEGUN: Meaning(
        "operator", "a back-up is about to be made", "until when it is kept"
    ),
    Kind.BACKUP_MADE: Meaning("operator", "a back-up", "its digest and size"),
    Kind.BACKUP_DROPPED: Meaning("worker", "a back-up destroyed", "its name"),
    Kind.BACKUP_RESTORED: Meaning("operator", "the hub begins again from a back-up", "its name"),
    Kind.OBJECTION_RECORDED: Meaning("person or operator", "an objection", "the dataset, not whom"),
    Kind.QUARANTINE_DROPPED: Meaning("operator", "set-aside rows destroyed", "their number"),
    Kind.QUARANTINE_REPLAYED: Meaning("operator", "set-aside rows read again", "their number"),
    Kind.RELEASE_INTENDED: Meaning("worker", "a release is about to be published", "its digest"),
    Kind.RELEASE_BLOCKED: Meaning("worker", "a release that must not leave", "the failed checks"),
    Kind.RELEASE_PUBLISHED: Meaning("worker", "a release", "its manifest, to everyone"),
    Kind.RELEASE_READ: Meaning("identified reader", "a release handed out", "reader and release"),
    Kind.SHARE_ADDED: Meaning(
        "operator or recipient",
        "a recipient of shared releases, and its profile",
        "who, and until when",
    ),
    Kind.SHARE_REVOKED: Meaning(
        "operator, steward or dpo", "a recipient's tokens and links ended", "that it happened"
    ),
    Kind.REQUEST_SUBMITTED: Meaning(
        "collectivity, school or operator", "data asked for", "what, for whom and what for"
    ),
    Kind.REQUEST_DECIDED: Meaning(
        "steward or policy", "a request approved or refused", "outcome and obligations, to both"
    ),
    Kind.REQUEST_VETOED: Meaning(
        "partner", "a request stopped by whose data it is", "that partner, to the asker"
    ),
    Kind.REQUEST_OPINION: Meaning("dpo", "an opinion on a request", "the opinion, to both"),
    Kind.REQUEST_WITHDRAWN: Meaning(
        "collectivity, school or operator", "a request taken back", "that it happened"
    ),
    Kind.REQUEST_REVOKED: Meaning("steward", "an approval taken back", "its ground, to both"),
    Kind.REQUEST_RENEWED: Meaning(
        "steward or policy", "an approval taken over by a later one", "which one, to both"
    ),
    Kind.REQUEST_EXPIRED: Meaning("worker", "an approval whose time is over", "that it happened"),
    Kind.REQUEST_LINKED: Meaning("recipient", "a short-lived link made", "recipient and format"),
    Kind.REQUEST_UNLINKED: Meaning("recipient", "all links of a request ended", "that it happened"),
    Kind.ACCESS_DENIED: Meaning("anyone identified", "a decision that said no", "its reasons"),
    Kind.EVENTS_READ: Meaning("dpo", "a look into the log", "the search, not its answer"),
}


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event before it has a place in the log.

    `actor` is an organisation, client or role; `about` the id of the push, grant, release… it
    concerns; `at` an aware UTC time passed in by the caller.
    """

    kind: Kind
    actor: str
    about: str
    at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)

    def canonical(self) -> bytes:
        """RFC 8785 canonical JSON: the bytes whose salted hash enters the log."""
        return rfc8785.dumps(
            {
                "kind": str(self.kind),
                "actor": self.actor,
                "about": self.about,
                "at": self.at.isoformat(timespec="microseconds"),
                "facts": dict(self.facts),
            }
        )
