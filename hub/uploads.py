"""Uploads: a large file in pieces, sealed piece by piece, resumed after any interruption.

`append` takes what comes, 4 MiB at a time: the piece is sealed and durable, then one transaction
moves the offset if it is still where the piece begins. So the offset told is the truth after a
`kill -9` at any point, at most one piece is lost, and of two writers one goes on. Nothing of the
file touches a disk in the clear, and the front door needs no key to open.

`assemble`, in the worker, which can open:

1. The policy is asked again, of whoever began it: a push is acknowledged on the strength of what
   holds then, and its event keeps the question and the answer.
2. The pieces are unsealed in order and sealed again as one file, its digest taken on the way, its
   first bytes held to the type that was declared: the first request may have been too short to.
3. The push is acknowledged as any other: same event, same idempotency.
4. The upload is told what it became; 5. the pieces are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from hub import push as pushes
from hub import reading as readings
from hub import sniffing
from hub.errors import Conflict, Denied, HubError, NotFound, TooLarge, WrongType
from hub.parts import OPERATOR, Actor, Parts
from hub.progress import Progress
from hub.records import Push, PushState, Upload

PIECE: Final = 4 * 1024 * 1024
LIFETIME: Final = pushes.TRANSIT
"""How long a file may take to come in: as long as a sealed one may stay."""


def begin(
    parts: Parts, actor: Actor, partner: str, dataset: str, length: int, key: str | None = None,
    reference: str | None = None, declared: str = "",
) -> Upload:  # fmt: skip
    """Open an upload of `length` bytes. Policy and quotas, and `reference`, as for any push.

    `declared` is the media type its bytes will be held to, "" for none.
    """
    pushes.admission(parts, actor, partner, dataset, length)
    now = parts.clock()
    readings.check_reference(parts.datasets[f"{partner}/{dataset}"], reference)
    key = readings.bound(parts, partner, key, reference)
    upload = Upload(
        parts.new_id(now), partner, dataset, actor.id, length, 0, now, key, declared or None
    )
    readings.keep_reference(parts, upload.id, reference)
    parts.books.begin_upload(upload)
    return upload


def found(parts: Parts, actor: Actor, upload_id: str) -> Upload:
    """An upload of the client that began it. Raises `NotFound` for anybody else's."""
    upload = parts.books.upload(upload_id)
    if upload is None or upload.client != actor.id:
        raise NotFound(
            "unknown-upload",
            fr="Aucun envoi ne porte ce numéro, ou il a expiré.",
            en="No upload has this number, or it has expired.",
            who="partner",
        )
    return upload


def append(parts: Parts, upload: Upload, offset: int, body: Iterable[bytes]) -> int:
    """Take what comes from `offset` on. Returns the new offset; what is counted is durable.

    Raises `Conflict` where the upload is not at `offset`, `TooLarge` past its length, `WrongType`
    where its first bytes, if enough of them come at once, are not of its type, and what `body`
    raises, after keeping the whole pieces that came before.
    """
    if offset != upload.offset:
        raise _elsewhere(upload.offset)
    for piece in _pieces(body):
        if offset + len(piece) > upload.length:
            raise TooLarge(
                "upload-too-long",
                fr=f"L’envoi dépasse les {upload.length} octets annoncés.",
                en=f"The upload is longer than the {upload.length} bytes announced.",
                who="partner",
            )
        if offset == 0 and min(upload.length, sniffing.ENOUGH) <= len(piece):
            sniffing.check(piece[: sniffing.ENOUGH], upload.declared or "")
        name = f"uploads/{upload.id}-{offset:013d}-{parts.token(4)}"
        parts.vault.keep(name, [piece], PIECE)
        counted = False
        try:
            counted = parts.books.add_segment(upload.id, offset, len(piece), name)
        finally:
            if not counted:
                parts.vault.forget(name)
        if not counted:
            now = parts.books.upload(upload.id)
            raise _elsewhere(0 if now is None else now.offset)
        offset += len(piece)
    return offset


def assemble(parts: Parts, upload_id: str) -> None:
    """Make a whole upload a push, once, however often it is begun."""
    upload = parts.books.upload(upload_id)
    if upload is None or upload.push is not None or upload.problem is not None:
        return
    names = parts.books.segments(upload_id)
    push: Push | None = parts.books.push(upload_id)
    problem: dict[str, Any] | None = None
    if push is None:
        try:
            beginner = _beginner(parts, upload.client)
            decision = pushes.admitted(parts, beginner, upload.partner, upload.dataset)  # 1
            made = _joined(parts, upload, names)  # 2
            push, _ = pushes.acknowledge(parts, made, upload.client, decision)  # 3
        except (Conflict, Denied, WrongType) as error:
            pushes.forget(parts, upload_id)
            problem = _problem(error)
    parts.books.end_upload(  # 4
        upload_id, push=None if push is None else push.id, problem=problem
    )
    for name in names:
        parts.vault.forget(name)  # 5


def _beginner(parts: Parts, name: str) -> Actor:
    """Who began an upload, with what they may do now; nobody where they are no more."""
    client = parts.books.client(name)
    if client is not None:
        return Actor(client.id, str(client.role), client.organisation, client.scopes)
    account = next((one for one in parts.books.accounts() if one.id == name), None)
    if account is not None:
        return Actor.of(account)
    return OPERATOR if name == OPERATOR.id else Actor(name, "", "")


def _joined(parts: Parts, upload: Upload, names: list[str]) -> Push:
    """Step 2: the push a whole upload is to be. Raises `WrongType`, and keeps nothing then."""
    body = _unsealed(parts, names, Progress(parts, upload.id))
    sealed = parts.vault.keep(
        pushes.sealed_name(upload.id),
        sniffing.checked(body, upload.declared or ""),
        max(upload.length, 1),
    )
    return Push(
        id=upload.id,
        partner=upload.partner,
        dataset=upload.dataset,
        state=PushState.ACCEPTED,
        accepted_at=parts.clock(),
        file_sha256=sealed.sha256,
        file_bytes=sealed.size,
        idempotency_key=upload.idempotency_key,
    )


def drop(parts: Parts, upload: Upload) -> None:
    """Forget an upload that is not whole; `Conflict` where it is: it is acknowledged then."""
    names = parts.books.segments(upload.id)
    if not parts.books.drop_upload(upload.id, unless_whole=True):
        raise Conflict(
            "upload-complete",
            fr="L’envoi est complet et accusé ; il ne peut plus être abandonné.",
            en="The upload is complete and acknowledged; it cannot be abandoned.",
            who="partner",
        )
    for name in names:
        parts.vault.forget(name)


def expire(parts: Parts, now: datetime) -> int:
    """Forget uploads that take too long, and what is known of those that ended."""
    gone = 0
    for upload in parts.books.uploads(before=now - LIFETIME):
        ended = upload.push is not None or upload.problem is not None
        names = parts.books.segments(upload.id)
        if parts.books.drop_upload(upload.id, unless_whole=not ended):
            gone += 1
            for name in names:
                parts.vault.forget(name)
    return gone


def shown(parts: Parts, upload: Upload) -> dict[str, Any]:
    """An upload that is no push yet, as a push is shown."""
    whole = upload.offset == upload.length
    stage, percentage = "receiving", 100 * upload.offset // max(upload.length, 1)
    if whole:
        stage, percentage = parts.books.progress(upload.id) or ("assembling", 0)
    if upload.problem is not None:
        stage, percentage = "done", 100
    return {
        "id": upload.id,
        "partner": upload.partner,
        "dataset": upload.dataset,
        "state": "accepted" if upload.problem is None else "refused",
        "accepted_at": upload.created_at.isoformat(),
        "finished_at": None,
        "received": None,
        "valid": None,
        "rejected": None,
        "reasons": {},
        "warnings": {},
        "file_sha256": None,
        "file_bytes": upload.length,
        "log_index": None,
        "problem": None if upload.problem is None else dict(upload.problem),
        "stage": stage,
        "percentage": percentage,
    }


def _pieces(body: Iterable[bytes]) -> Iterator[bytes]:
    """The body in pieces of one size; what came of the last one is given even if the body fails.

    A connection cut in the middle of a piece is the common case: its bytes are worth keeping.
    """
    buffer = bytearray()
    failure: HubError | None = None
    try:
        for chunk in body:
            buffer += chunk
            while len(buffer) >= PIECE:
                yield bytes(buffer[:PIECE])
                del buffer[:PIECE]
    except HubError as error:
        failure = error
    if buffer:
        yield bytes(buffer)
    if failure is not None:
        raise failure


def _unsealed(parts: Parts, names: list[str], progress: Progress) -> Iterator[bytes]:
    for number, name in enumerate(names):
        progress.within("assembling", 100 * number // len(names))
        with parts.vault.open(name) as piece:
            while data := piece.read(1 << 20):
                yield data


def _problem(error: HubError) -> dict[str, Any]:
    return {
        "code": error.code,
        "where": error.where,
        "fr": error.words["fr"],
        "en": error.words["en"],
        "who": error.who,
    }


def _elsewhere(offset: int) -> Conflict:
    return Conflict(
        "wrong-offset",
        fr=f"L’envoi en est à l’octet {offset} ; reprenez de là.",
        en=f"The upload is at byte {offset}; go on from there.",
        who="partner",
        facts={"offset": offset},
    )
