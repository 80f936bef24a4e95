"""The record of an answer, as ISO/IEC TS 27560:2023 structures it (through the W3C's DPV guide).

One record is one answer to one purpose. It names no person: the principal is the record's own
random id, never a digest, which would let whoever finds two records of a person join them. Every
field the standard or the GDPR makes mandatory is there (`MANDATORY`), for a refusal as well.
`consent.dpv` reads the same record as linked data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from consent.errors import ConsentError
from consent.model import Granted
from consent.purposes import PURPOSES

SCHEMA: Final = "https://www.iso.org/standard/80392.html"
"""ISO/IEC TS 27560:2023, the record structure these facts are modelled on."""

JURISDICTION: Final = "FR"
AUTHORITY: Final = "CNIL"
"""Where a person complains: the supervisory authority (GDPR art. 77)."""

UNTIL_WITHDRAWN: Final = "until withdrawn"

MANDATORY: Final[Mapping[str, tuple[str, ...]]] = {
    "header": (
        "schema_version", "record_id", "pii_principal_id",
        "privacy_notice", "language", "purposes", "party", "event",
    ),
    "purposes": (
        "purpose", "lawful_basis", "pii_information", "pii_controllers", "collection_method",
        "storage_locations", "retention_period", "processing_locations",
        "geographic_restrictions", "jurisdiction", "recipient_third_parties",
        "withdrawal_method", "privacy_rights", "authority_party",
    ),
    "pii_information": ("pii_type", "pii_optional", "special_pii_category"),
    "party": (
        "party_id", "party_name", "party_address", "party_role", "party_contact", "party_type",
    ),
    "event": ("event_time", "validity_duration", "entity_id", "event_type", "event_state"),
}  # fmt: skip
"""Fields mandatory in TS 27560, or because of the GDPR, by section."""

_TRIPS: Final = (("travel", "school trips"), ("location", "commune and square kilometre of home"))
PII_INFORMATION: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "school-mobility": _TRIPS,
    "linking": (*_TRIPS, ("travel", "boardings of coaches and buses")),
    "follow-up": _TRIPS,
    "recontact": (("preference", "that one may be contacted again"),),
}
"""Kinds of personal data kept for each purpose: the kind, and what exactly."""

_REGIONS_TASK: Final = "improve transport and mobility"
PURPOSE_TYPE: Final[Mapping[str, str]] = {
    "school-mobility": _REGIONS_TASK,
    "linking": "improve data quality",
    "follow-up": _REGIONS_TASK,
    "recontact": _REGIONS_TASK,
}
RIGHTS: Final = ("access", "rectification", "erasure", "restriction", "portability", "withdrawal")

WITHDRAWAL_METHOD: Final = {
    "fr": "Votre code seul, sur la page « Mon accord », ou l’application qui l’a recueilli.",
    "en": "Your code alone, on the page “My consent”, or the app that collected it.",
}


PERSON: Final = "person"
PARENT: Final = "parental authority"
HUB: Final = "hub"
"""Entities of an event: who said so, or the hub where time did."""


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation a record names: who it is and how it is reached.

    `role` is "controller", "processor" or "collector"; `kind` is "public", "private" or "other".
    """

    id: str
    name: str
    role: str
    address: str
    contact: str
    kind: str


def given(granted: Granted, record_id: str) -> list[dict[str, Any]]:
    """One event for each half: two entities, as the French double consent needs."""
    ends = granted.expires_at.isoformat() if granted.expires_at else UNTIL_WITHDRAWN
    halves = [(PERSON, granted.given_at)]
    if granted.parent is not None:
        halves.append((PARENT, granted.parent.given_at))
    return [_event("given", at, f"{record_id} {entity}", ends) for entity, at in halves]


def refused(at: datetime, record_id: str) -> list[dict[str, Any]]:
    """The event of a person who said no."""
    return [_event("refused", at, f"{record_id} {PERSON}", UNTIL_WITHDRAWN)]


def record(
    *,
    record_id: str,
    purpose: str,
    notice_version: str,
    language: str,
    events: Sequence[Mapping[str, Any]],
    parties: Iterable[Party],
    hosting_country: str = "FR",
    collection_method: str = "",
) -> dict[str, Any]:
    """The record of one answer. Raises `ConsentError` for an unknown purpose or notice."""
    known = PURPOSES.get(purpose)
    if known is None:
        raise ConsentError("unknown-purpose")
    notice = known.published(notice_version)
    if notice is None:
        raise ConsentError("notice-never-published")
    named = list(parties)
    return {
        "schema_version": SCHEMA,
        "record_id": record_id,
        "pii_principal_id": record_id,
        "privacy_notice": {"version": notice.version, "sha256": notice.digest},
        "language": language,
        "purposes": [
            {
                "purpose": purpose,
                "purpose_type": PURPOSE_TYPE[purpose],
                "title": dict(known.title),
                "lawful_basis": "consent",
                "pii_information": [
                    {
                        "pii_type": kind,
                        "description": what,
                        "pii_optional": False,
                        "special_pii_category": [],
                    }
                    for kind, what in PII_INFORMATION[purpose]
                ],
                "pii_controllers": [one.id for one in named if one.role == "controller"],
                "pii_processors": [one.id for one in named if one.role == "processor"],
                "collection_method": collection_method or "collector's application",
                "storage_locations": [hosting_country],
                "processing_locations": [hosting_country],
                "geographic_restrictions": [hosting_country],
                "retention_period": dict(notice.how_long),
                "jurisdiction": JURISDICTION,
                "recipient_third_parties": [],
                "withdrawal_method": dict(WITHDRAWAL_METHOD),
                "privacy_rights": list(RIGHTS),
                "authority_party": AUTHORITY,
            }
        ],
        "party": [
            {f"party_{name.replace('kind', 'type')}": value for name, value in asdict(one).items()}
            for one in named
        ],
        "event": [dict(event) for event in events],
    }


def joint(made: Mapping[str, Any]) -> bool:
    """Whether a parent gave a half of what a record tells of."""
    return any(str(event["entity_id"]).endswith(PARENT) for event in made["event"])


def ended(made: Mapping[str, Any], state: str, at: datetime, by: str = PERSON) -> dict[str, Any]:
    """The same record with what came later. `state`: withdrawn, expired or objected.

    An objection ends what was consented to, so it reads as a withdrawal. `by` is the half that
    ended it; what runs out the hub says itself.
    """
    said = "withdrawn" if state == "objected" else state
    who = HUB if state == "expired" else by
    last = _event(said, at, f"{made['record_id']} {who}", UNTIL_WITHDRAWN)
    return {**made, "event": [*made["event"], last]}


def _event(state: str, at: datetime, entity: str, valid: str) -> dict[str, Any]:
    return {
        "event_type": "explicit",
        "event_state": state,
        "event_time": at.isoformat(),
        "entity_id": entity,
        "validity_duration": valid,
    }
