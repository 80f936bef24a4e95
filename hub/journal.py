"""The journal of withdrawals beside the back-ups: who must not come back with a restored one.

A back-up knows nothing of what came after it. So each withdrawal and objection is first written
here, a small file sealed for the recipient of the back-ups, then into the books: one too many is a
person who asked to leave anyway, one too few would be rows that come back. An entry is needed as
long as an older back-up may exist, and goes when back-ups of its day have expired.

Without a recipient there are no back-ups, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from pyrage import x25519

from hub.parts import Parts
from hub.records import Withdrawal
from hub.storage import sealing
from hub.storage.objects import FolderObjects

KEPT: Final = timedelta(days=30)
"""How long a back-up is kept, and with it the entries that are younger than it."""
_PREFIX: Final = "withdrawals/"


def folder(parts: Parts) -> FolderObjects:
    """Where back-ups and the journal are."""
    return FolderObjects(parts.settings.backup_folder)


def note(parts: Parts, withdrawal: Withdrawal) -> None:
    """Write a withdrawal down, durably, before the books know of it."""
    if not parts.settings.backup_recipient:
        return
    told = {
        "id": withdrawal.id,
        "partner": withdrawal.partner,
        "subject": withdrawal.subject.hex(),
        "purposes": list(withdrawal.purposes),
        "requested_at": withdrawal.requested_at.isoformat(),
    }
    recipient = sealing.recipient_from(parts.settings.backup_recipient)
    sealed = sealing.seal(msgspec.json.encode(told), recipient)
    folder(parts).put(f"{_PREFIX}{withdrawal.id}.age", [sealed])


def since(backups: Path, identity: x25519.Identity, at: datetime) -> Iterator[Withdrawal]:
    """Withdrawals asked for at or after a time, oldest first, from a folder of back-ups."""
    objects = FolderObjects(backups)
    for name in objects.list(_PREFIX):  # names begin with the time
        told: dict[str, Any] = msgspec.json.decode(sealing.unseal(objects.get(name), identity))
        requested = datetime.fromisoformat(told["requested_at"])
        if requested >= at:
            yield Withdrawal(
                told["id"],
                told["partner"],
                bytes.fromhex(told["subject"]),
                tuple(told["purposes"]),
                requested,
            )


def expire(parts: Parts) -> int:
    """Forget entries older than any back-up that may exist. Returns how many."""
    oldest = f"{_PREFIX}{parts.clock() - KEPT - timedelta(days=1):%Y%m%dT%H%M%S}"
    objects = folder(parts)
    old = [name for name in objects.list(_PREFIX) if name < oldest]
    for name in old:
        objects.delete(name)
    return len(old)
