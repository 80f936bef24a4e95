"""Back-ups: sealed for an identity the hub does not hold, whole, and gone after thirty days.

`create`:

1. The back-up is recorded before anything is read: from here on a withdrawal's receipt says until
   when it may still hold the rows.
2. The log, the withdrawals and every table wait: nothing is sequenced, erased or appended
   meanwhile. Files still come in and are acknowledged.
3. Sealed files first, then the books by the database's own copy, then the sealed files of pushes
   that came in between; a push the copy says waits and whose file is gone was finished meanwhile,
   and the books are copied again. So no push is in the copy that cannot be processed from it.
4. Everything streams through age into one file; nothing of it is on disk in the clear but the copy
   of the books, in the home and for as long.

A back-up is the same wherever a hub keeps what: books as a file, zones of files under their names.
One made on PostgreSQL and S3 can be restored into a folder, and the other way round.

`unpack` and `resume` are a restore, into a home that is not there:

5. The file is authenticated to its end before a byte is used. One that has expired is refused.
6. It is unpacked beside the home.
7. Withdrawals asked for since are taken from the journal and made true, and false days taken out
   since are taken out again, before anyone can read a row. Without the journal a restore is
   refused, unless the operator says that there was nothing in it.
8. Where the settings name a bucket or a database, files and then books go there, which must be
   empty. The home takes its place. Retention does the rest when the worker starts.

A restored hub's log goes on from where the back-up was: whoever remembers a later checkpoint will
say so, and rightly. Pushes since must be made again; a consent given since must be given again:
until then nobody's rows are admitted on it.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from hub import corrections, journal, push, withdraw
from hub.errors import Conflict, NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.records import Backup
from hub.storage import age, sealing
from hub.storage.books import Books
from hub.storage.durable import storage_errors, sync_folder
from hub.storage.zones import FolderZone, Zone

MANIFEST: Final = "backup.json"
BOOKS: Final = "books.sqlite"
COPY: Final = ".books-copy"
KEYS: Final = "keys"
VAULT: Final = "vault"
LOG: Final = "log"
_PIECE: Final = 1 << 20
_LARGEST: Final = 1 << 50


def create(
    parts: Parts,
    actor: Actor,
    zones: Mapping[str, Zone],
    progress: Callable[[int], object] = lambda _bytes: None,
) -> Backup:
    """Make a back-up. `zones` are where the hub keeps its files; keys are in the home.

    `progress` is told how many bytes each piece written has.
    Raises `Rejected` where no recipient is set.
    """
    decision = parts.require("admin", actor, {"action": "backup_make"})
    if not parts.settings.backup_recipient:
        raise Rejected(
            "backup-recipient-missing",
            fr="HUB_BACKUP_RECIPIENT n’est pas défini : une sauvegarde ne s’écrit que scellée.",
            en="HUB_BACKUP_RECIPIENT is not set: a back-up is only ever written sealed.",
            who="operator",
        )
    recipient = sealing.recipient_from(parts.settings.backup_recipient)
    now = parts.clock()
    made = Backup(parts.new_id(now), now, now + journal.KEPT)
    event = parts.told(_event(Kind.BACKUP_BEGUN, actor.organisation, made), decision)
    parts.books.begin_backup(made, event=event)  # 1
    with ExitStack() as waiting:
        waiting.enter_context(parts.holding_withdrawals())  # 2
        for dataset in sorted(parts.datasets):
            waiting.enter_context(parts.holding_tables(dataset))
        waiting.enter_context(parts.holding_log())
        measured = hashlib.sha256()
        with journal.folder(parts).writing(_name(made.id)) as writer:

            def write(data: bytes) -> int:
                measured.update(data)
                progress(len(data))
                return writer.write(data)

            sealing.seal_stream(_archive(parts, made, zones), write, recipient, _LARGEST)  # 4
    with journal.folder(parts).open(_name(made.id)) as file:
        size = file.seek(0, os.SEEK_END)
    made = replace(made, sha256=measured.hexdigest(), size=size)
    parts.books.finish_backup(made, event=_event(Kind.BACKUP_MADE, actor.organisation, made))
    parts.sequence()
    return made


def expire(parts: Parts) -> int:
    """Destroy back-ups whose time is over or that were cut off. Returns how many."""
    now = parts.clock()
    gone = [
        backup
        for backup in parts.books.backups()
        if backup.expires_at <= now
        or (backup.size is None and now - backup.created_at > parts.lease * 100)
    ]
    for backup in gone:
        journal.folder(parts).delete(_name(backup.id))
        parts.books.drop_backup(backup.id, event=_event(Kind.BACKUP_DROPPED, "hub", backup, now))
    if parts.settings.backup_recipient:
        journal.expire(parts)
    return len(gone)


def unpack(sealed: BinaryIO, identity: age.Identity, beside: Path, now: datetime) -> Backup:
    """Steps 5 and 6: put a back-up's files into `beside`, which is made for it.

    Raises `Unavailable` where a byte of it is wrong, `Rejected` where it is none or has expired.
    """
    sealing.verify(sealed, identity)  # 5
    sealed.seek(0)
    made: Backup | None = None
    with storage_errors(), sealing.plaintext(sealed, identity) as plain:
        beside.mkdir(mode=0o700)
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                if made is None:
                    made = _manifest(archive, member, now)
                    continue
                archive.extract(member, beside, filter="tar")  # 6
        for where, _, _ in os.walk(beside):
            Path(where).chmod(0o700)  # the archive has files only
    if made is None:
        raise _no_backup()
    return made


def resume(parts: Parts, made: Backup, withdrawals: Path | None, identity: age.Identity) -> int:
    """Step 7, with the parts of the unpacked home. Returns how many withdrawals were made again.

    `withdrawals` is the folder of back-ups with its journal; None: the operator says there were
    none.
    """
    entries = journal.since(withdrawals, identity, made.created_at) if withdrawals else ()
    count = 0
    for entry in entries:
        if parts.books.withdrawal(entry.id) is None:
            facts = {"partner": entry.partner, "purposes": list(entry.purposes), "via": "restore"}
            parts.books.withdraw(
                entry,
                event=AuditEvent(Kind.CONSENT_WITHDRAWN, "hub", entry.id, parts.clock(), facts),
            )
            count += 1
    while waiting := parts.books.pending_withdrawals(1):
        withdraw.complete(parts, waiting[0].id)
    if withdrawals is not None:
        for correction in journal.corrections_since(withdrawals, identity, made.created_at):
            corrections.take_out(parts, *correction)
    parts.books.record(event=_event(Kind.BACKUP_RESTORED, "hub", made, parts.clock()))
    parts.sequence()
    return count


def check_home(home: Path, withdrawals: Path | None, *, none_since: bool) -> None:
    """Raise where a restore would overwrite a hub, or bring back who has left."""
    if home.exists() and any(home.iterdir()):
        raise Conflict(
            "home-not-empty",
            fr="Ce dossier contient déjà un hub : une restauration demande un dossier vide.",
            en="There is a hub in this folder already: a restore needs an empty one.",
            who="operator",
        )
    if not none_since and (withdrawals is None or not withdrawals.is_dir()):
        raise Rejected(
            "withdrawals-unknown",
            fr="Sans le journal des retraits, des lignes effacées reviendraient : indiquez le "
            "dossier des sauvegardes (--withdrawals), ou attestez qu’aucun retrait n’a eu lieu.",
            en="Without the journal of withdrawals erased rows would come back: name the folder "
            "of back-ups (--withdrawals), or state that nobody has withdrawn since.",
            who="operator",
        )


def check_elsewhere(books: Books | None, zones: Mapping[str, Zone]) -> None:
    """Raise `Conflict` where the database or the storage a restore is for holds something."""
    if books is not None:
        books.check_empty()
    for zone in zones.values():
        if next(zone.names(), None) is not None:
            raise Conflict(
                "storage-not-empty",
                fr="Il y a déjà des fichiers à cet endroit (HUB_STORAGE_URL) : une restauration "
                "demande un endroit vide.",
                en="There are files in that place already (HUB_STORAGE_URL): a restore needs an "
                "empty one.",
                who="operator",
            )


def move_out(parts: Parts, books: Books | None, zones: Mapping[str, Zone]) -> None:
    """The first half of step 8: files first, then the books, which make them a hub.

    `parts` are those of the unpacked home, whose books are closed here; `books` and `zones` are
    where these belong, none where they stay.
    """
    home = parts.settings.home
    for name, zone in zones.items():
        if name == LOG:  # its head may stand in the journal only
            for file in parts.log.store.names():
                zone.put(file, io.BytesIO(parts.log.store.read(file) or b""))
        else:
            unpacked = FolderZone(home / name)
            for file in unpacked.names():
                with unpacked.open(file) as data:
                    zone.put(file, data)
        shutil.rmtree(home / name, ignore_errors=True)
    parts.books.close()
    if books is not None:
        books.take_over(home / BOOKS)
        for path in home.glob(f"{BOOKS}*"):
            path.unlink()


def take_place(beside: Path, home: Path) -> None:
    """The end of step 8."""
    with storage_errors():
        if home.exists():
            home.rmdir()  # it is empty
        beside.rename(home)
        sync_folder(home.parent)


def shown(backup: Backup) -> dict[str, Any]:
    """As JSON."""
    return {
        "id": backup.id,
        "created_at": backup.created_at.isoformat(),
        "expires_at": backup.expires_at.isoformat(),
        "sha256": backup.sha256,
        "size": backup.size,
    }


def _name(backup_id: str) -> str:
    return f"backups/{backup_id}.age"


def _event(kind: Kind, actor: str, backup: Backup, at: datetime | None = None) -> AuditEvent:
    return AuditEvent(kind, actor, backup.id, at or backup.created_at, shown(backup))


def _archive(parts: Parts, made: Backup, zones: Mapping[str, Zone]) -> Iterator[bytes]:
    """The tar archive, in pieces; the manifest is its first member."""
    home = parts.settings.home
    told = msgspec.json.encode({"backup": shown(made)})
    yield from _member(MANIFEST, len(told), [told])
    copy = home / COPY
    _forget(copy)
    try:
        there: set[str] = set()
        while True:  # 3
            for name in zones[VAULT].names():
                if name not in there:
                    there.add(name)
                    yield from _file(zones[VAULT], VAULT, name, gone=True)
            _forget(copy)
            parts.books.copy_to(copy)
            with closing(Books.open(f"sqlite:///{copy.absolute()}")) as copied:
                waiting = {push.sealed_name(one.id) for one in copied.pending_pushes()}
            if all(f"{name}.age" in there for name in waiting):
                break
        with copy.open("rb") as file:
            yield from _opened(file, BOOKS)
    finally:
        _forget(copy)
    others = {name: zone for name, zone in zones.items() if name != VAULT}
    for folder, zone in {KEYS: FolderZone(home / KEYS), **others}.items():
        for name in zone.names():
            yield from _file(zone, folder, name)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _forget(copy: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _file(zone: Zone, folder: str, name: str, *, gone: bool = False) -> Iterator[bytes]:
    """A file as a member; nothing where it is gone and may be."""
    try:
        file = zone.open(name)
    except NotFound:
        if gone:
            return
        raise
    with file:
        yield from _opened(file, f"{folder}/{name}")


def _opened(file: BinaryIO, name: str) -> Iterator[bytes]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    yield from _member(name, size, iter(lambda: file.read(_PIECE), b""))


def _member(name: str, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    yield info.tobuf(tarfile.PAX_FORMAT)
    left = size
    for piece in pieces:
        left -= len(piece)
        yield piece[: len(piece) + min(left, 0)]  # a file that grows is cut where it was measured
        if left <= 0:
            break
    if left > 0:
        raise OSError(f"a file shrank while it was copied ({left} bytes)")
    yield bytes(-size % tarfile.BLOCKSIZE)


def _manifest(archive: tarfile.TarFile, member: tarfile.TarInfo, now: datetime) -> Backup:
    file = archive.extractfile(member) if member.name == MANIFEST else None
    if file is None:
        raise _no_backup()
    told: dict[str, Any] = msgspec.json.decode(file.read())["backup"]
    created, expires = (datetime.fromisoformat(told[n]) for n in ("created_at", "expires_at"))
    if expires.astimezone(UTC) <= now:
        raise Rejected(
            "backup-expired",
            fr="Cette sauvegarde a expiré : elle devrait être détruite, non restaurée.",
            en="This back-up has expired: it should be destroyed, not restored.",
            who="operator",
        )
    return Backup(told["id"], created, expires)


def _no_backup() -> Rejected:
    return Rejected(
        "backup-unreadable",
        fr="Ce fichier n’est pas une sauvegarde de hub.",
        en="This file is no back-up of a hub.",
        who="operator",
    )
