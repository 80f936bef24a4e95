"""The journal of withdrawals beside the back-ups: who must not come back with a restored one.

A back-up knows nothing of what came after it. So each withdrawal and objection is first written
here, a small file sealed for the recipient of the back-ups, then into the books: one too many is a
person who asked to leave anyway, one too few would be rows that come back. Days somebody took out
as false are written down in the same way. An entry is needed as long as an older back-up may
exist, and goes when back-ups of its day have expired.

Without a recipient there are no back-ups, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from hub.parts import Parts
from hub.records import Case, Withdrawal
from hub.storage import age, sealing
from hub.storage.objects import FolderObjects

KEPT: Final = timedelta(days=30)
"""How long a back-up is kept, and with it the entries that are younger than it."""
_PREFIX: Final = "withdrawals/"
_CORRECTIONS: Final = "corrections/"


def folder(parts: Parts) -> FolderObjects:
    """Where back-ups and the journal are."""
    return FolderObjects(parts.settings.backup_folder)


def note(parts: Parts, withdrawal: Withdrawal) -> None:
    """Write a withdrawal down, durably, before the books know of it."""
    told = {
        "id": withdrawal.id,
        "partner": withdrawal.partner,
        "subject": withdrawal.subject.hex(),
        "purposes": list(withdrawal.purposes),
        "requested_at": withdrawal.requested_at.isoformat(),
    }
    _write(parts, f"{_PREFIX}{withdrawal.id}.age", told)


def note_correction(parts: Parts, case: Case, correction: str) -> None:
    """Write down which days a case takes out (`dataset.first.last`), before the books know."""
    told = {
        "participant": case.participant,
        "correction": correction,
        "requested_at": case.opened_at.isoformat(),
    }
    _write(parts, f"{_CORRECTIONS}{case.id}.age", told)


def _write(parts: Parts, name: str, told: dict[str, Any]) -> None:
    if not parts.settings.backup_recipient:
        return
    recipient = sealing.recipient_from(parts.settings.backup_recipient)
    folder(parts).put(name, [sealing.seal(msgspec.json.encode(told), recipient)])


def since(backups: Path, identity: age.Identity, at: datetime) -> Iterator[Withdrawal]:
    """Withdrawals asked for at or after a time, oldest first, from a folder of back-ups."""
    for told, requested in _read(backups, _PREFIX, identity, at):
        yield Withdrawal(
            told["id"],
            told["partner"],
            bytes.fromhex(told["subject"]),
            tuple(told["purposes"]),
            requested,
        )


def corrections_since(
    backups: Path, identity: age.Identity, at: datetime
) -> Iterator[tuple[str, str]]:
    """Days taken out since a time: participant and `dataset.first.last`, oldest first."""
    for told, _ in _read(backups, _CORRECTIONS, identity, at):
        yield told["participant"], told["correction"]


def _read(
    backups: Path, prefix: str, identity: age.Identity, at: datetime
) -> Iterator[tuple[dict[str, Any], datetime]]:
    objects = FolderObjects(backups)
    for name in objects.list(prefix):  # names begin with the time
        told: dict[str, Any] = msgspec.json.decode(sealing.unseal(objects.get(name), identity))
        requested = datetime.fromisoformat(told["requested_at"])
        if requested >= at:
            yield told, requested


def expire(parts: Parts) -> int:
    """Forget entries older than any back-up that may exist. Returns how many."""
    oldest = f"{parts.clock() - KEPT - timedelta(days=1):%Y%m%dT%H%M%S}"
    objects = folder(parts)
    old = [
        name
        for prefix in (_PREFIX, _CORRECTIONS)
        for name in objects.list(prefix)
        if name.removeprefix(prefix) < oldest
    ]
    for name in old:
        objects.delete(name)
    return len(old)
