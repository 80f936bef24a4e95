"""What the receipt of a withdrawal says, as plain JSON.

Field names follow ISO/IEC TS 27560 where it has one; a consent's receipt holds its whole record
(`consent.records`). A receipt names no one. The hub adds the place in the log and signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from consent.records import SCHEMA


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
