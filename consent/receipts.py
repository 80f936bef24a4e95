"""What a receipt says: the facts of a consent and of a withdrawal, as plain JSON.

Field names follow ISO/IEC TS 27560 (through the W3C's DPV guide) where it has one. A receipt names
no one: the principal is the record's own random id, never a digest, which would let whoever finds
two receipts of a person join them. The hub adds the place in the log and signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from consent.errors import ConsentError
from consent.model import Granted
from consent.purposes import PURPOSES

SCHEMA: Final = "https://www.iso.org/standard/80392.html"
"""ISO/IEC TS 27560:2023, the record structure these facts are modelled on."""

JURISDICTION: Final = "FR"

PII_INFORMATION: Final[Mapping[str, tuple[str, ...]]] = {
    "school-mobility": ("school trips, coarse in place and time",),
    "linking": ("school trips, coarse in place and time", "boardings"),
    "follow-up": ("school trips, coarse in place and time",),
    "recontact": ("willingness to be contacted",),
}
"""Kinds of personal data kept for each purpose."""


def consent_facts(
    *,
    record_id: str,
    purpose: str,
    notice_version: str,
    language: str,
    granted: Granted,
    collected_by: str,
    controllers: Iterable[str],
    processors: Iterable[str] = (),
    hosting_country: str = "FR",
    collection_method: str = "",
) -> dict[str, Any]:
    """Facts of a consent receipt. Raises `ConsentError` for an unknown purpose or notice."""
    known = PURPOSES.get(purpose)
    if known is None:
        raise ConsentError("unknown-purpose")
    notice = known.published(notice_version)
    if notice is None:
        raise ConsentError("notice-never-published")
    return {
        "schema_version": SCHEMA,
        "record_id": record_id,
        "pii_principal_id": record_id,
        "privacy_notice": {"version": notice.version, "sha256": notice.digest},
        "language": language,
        "purposes": [
            {
                "purpose": purpose,
                "title": dict(known.title),
                "lawful_basis": "consent",
                "pii_information": list(PII_INFORMATION[purpose]),
                "pii_controllers": list(controllers),
                "pii_processors": list(processors),
                "collection_method": collection_method,
                "storage_locations": [hosting_country],
                "processing_locations": [hosting_country],
                "retention_period": dict(notice.how_long),
                "jurisdiction": JURISDICTION,
                "recipient_third_parties": [],
                "withdrawal_method": dict(WITHDRAWAL_METHOD),
            }
        ],
        "party": [{"party_id": collected_by, "party_role": "collected the consent"}],
        "event": _events(granted),
    }


def withdrawal_facts(
    *,
    record_id: str,
    partner: str,
    purposes: Iterable[str],
    requested_at: datetime,
    completed_at: datetime | None,
    tables: Mapping[str, Any],
    backups_expire_on: date | None = None,
) -> dict[str, Any]:
    """Facts of a withdrawal receipt: what ended, how far its effect came, what is only attested.

    `tables` maps each table's name to what was done (its first version without the rows). Times
    are aware UTC; `backups_expire_on` is None where the hub makes no back-up.
    """
    return {
        "schema_version": SCHEMA,
        "record_id": record_id,
        "pii_principal_id": record_id,
        "collected_by": partner,
        "purposes": sorted(purposes),
        "event": [
            {
                "event_type": "explicit",
                "event_state": "withdrawn",
                "event_time": requested_at.isoformat(),
            }
        ],
        "effect": {
            "state": "completed" if completed_at else "under_way",
            "completed_at": completed_at.isoformat() if completed_at else None,
            "tables": {name: dict(done) for name, done in sorted(tables.items())},
            "backups_expire_on": backups_expire_on.isoformat() if backups_expire_on else None,
        },
        "proves": dict(WITHDRAWAL_PROVES),
        "attests": dict(WITHDRAWAL_ATTESTS),
    }


WITHDRAWAL_METHOD: Final = {
    "fr": "Votre code seul, sur la page « Mon accord », ou l’application qui l’a recueilli.",
    "en": "Your code alone, on the page “My consent”, or the app that collected it.",
}

WITHDRAWAL_PROVES: Final = {
    "fr": "Ce reçu prouve que le retrait est inscrit au journal, à cette place et à cette date.",
    "en": "This receipt proves that the withdrawal is in the log, at this place and time.",
}

WITHDRAWAL_ATTESTS: Final = {
    "fr": "Le hub atteste, par sa signature, que les lignes sont effacées des tables nommées. "
    "Les chiffres anonymes déjà publiés ne sont pas recalculés : l’ancien moins le nouveau, "
    "ce serait vous.",
    "en": "The hub attests by its signature that the rows are erased from the tables named. "
    "Anonymous figures already published are not recomputed: the old ones minus the new ones "
    "would be you.",
}


def _events(granted: Granted) -> list[dict[str, Any]]:
    """One event for each half: two entities, as the French double consent needs."""
    ends = granted.expires_at.isoformat() if granted.expires_at else None
    halves = [("person", granted.given_at)]
    if granted.parent is not None:
        halves.append(("parental authority", granted.parent.given_at))
    return [
        {
            "event_type": "explicit",
            "event_state": "given",
            "event_time": at.isoformat(),
            "entity_id": entity,
            "validity_duration": ends,
        }
        for entity, at in halves
    ]
