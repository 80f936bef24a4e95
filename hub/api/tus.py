"""tus 1.0 at the address of pushes: creation, HEAD, PATCH, termination, checksum.

The protocol only; `hub.uploads` does the work. An upload becomes the push of the same number, so
`Location` of the creation leads to `…/pushes/{id}` and the state is at `/v1/pushes/{id}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Final

import anyio.from_thread
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from hub import uploads
from hub.api.access import identified, parts_of
from hub.errors import Conflict, HubError, Rejected, TooLarge, Unavailable
from hub.parts import Actor, Parts

router = APIRouter(tags=["partners"])
VERSION: Final = "1.0.0"
ADDRESS: Final = "/v1/partners/{partner}/datasets/{dataset}/pushes"
ONE: Final = ADDRESS + "/{upload_id}"
ALWAYS: Final = {"tus-resumable": VERSION, "cache-control": "no-store"}
CHECKED: Final = uploads.PIECE
"""Bytes of a PATCH that carries a checksum: it is held until the checksum is known to be right."""
ALGORITHMS: Final = ("sha256", "sha1")
BARE: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "Not where the upload is: `Upload-Offset` says where."},
    412: {"description": "Not this version of tus."},
    415: {"description": "Not bytes of an upload."},
    460: {"description": "The checksum does not hold."},
}
"""Refusals that the protocol words itself, without a body."""
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]


def speaks(request: Request) -> bool:
    """Whether a request speaks tus rather than being the file itself."""
    return "tus-resumable" in request.headers


def body_of(request: Request) -> Iterator[bytes]:
    """A request's body, read from a worker thread as it comes. Raises `Unavailable` where cut."""
    stream = request.stream()

    async def next_chunk() -> bytes | None:
        return await anext(stream, None)

    while True:
        try:
            chunk = anyio.from_thread.run(next_chunk)
        except ClientDisconnect as error:
            raise Unavailable(
                "connection-cut",
                fr="La connexion a été coupée pendant l’envoi.",
                en="The connection was cut while sending.",
                who="partner",
            ) from error
        if chunk is None:
            return
        yield chunk


@router.options(ADDRESS, status_code=204, summary="What of tus is spoken here")
def abilities(parts: Hub) -> Response:
    """Tus 1.0 core, creation, termination and checksum."""
    return Response(
        status_code=204,
        headers=ALWAYS
        | {
            "tus-version": VERSION,
            "tus-extension": "creation,termination,checksum",
            "tus-max-size": str(parts.settings.push_bytes),
            "tus-checksum-algorithm": ",".join(ALGORITHMS),
        },
    )


async def create(
    request: Request,
    actor: Actor,
    parts: Parts,
    partner: str,
    dataset: str,
    key: str | None,
    reference: str | None = None,
) -> Response:
    """Open an upload; the answer's `Location` is where its bytes go.

    Of `Upload-Metadata` the key `filetype` is read: a media type the first bytes are held to.
    """
    if (refused := _version(request)) is not None:
        return refused
    length = _number(request, "upload-length")
    declared = _declared(request.headers.get("upload-metadata", ""))
    upload = await run_in_threadpool(
        uploads.begin, parts, actor, partner, dataset, length, key, reference, declared
    )
    return Response(
        status_code=201,
        headers=ALWAYS | {"location": f"{request.url.path}/{upload.id}", "upload-offset": "0"},
    )


@router.head(ONE, responses=BARE, summary="How much of an upload is here")
def offset(request: Request, upload_id: str, actor: Who, parts: Hub) -> Response:
    """`Upload-Offset`: bytes that are sealed and durable."""
    if (refused := _version(request)) is not None:
        return refused
    upload = uploads.found(parts, actor, upload_id)
    return Response(headers=_place(upload.offset) | {"upload-length": str(upload.length)})


@router.patch(ONE, status_code=204, responses=BARE, summary="More bytes of an upload")
async def append(request: Request, upload_id: str, actor: Who, parts: Hub) -> Response:
    """Bytes from `Upload-Offset` on. 204 says they are durable, up to the offset it names."""
    if (refused := _version(request)) is not None:
        return refused
    kind = request.headers.get("content-type", "")
    if kind != "application/offset+octet-stream":
        return Response(status_code=415, headers=ALWAYS)
    start = _number(request, "upload-offset")
    checksum = request.headers.get("upload-checksum")

    def work() -> Response:
        upload = uploads.found(parts, actor, upload_id)
        body = body_of(request)
        if checksum is not None:
            held = _held(body)
            if not _matches(checksum, held):
                return Response(status_code=460, headers=_place(upload.offset))
            body = iter([held])
        try:
            return Response(
                status_code=204, headers=_place(uploads.append(parts, upload, start, body))
            )
        except Conflict as error:
            return _conflict(error)

    return await run_in_threadpool(work)


@router.delete(ONE, status_code=204, responses=BARE, summary="Abandon an upload")
def drop(request: Request, upload_id: str, actor: Who, parts: Hub) -> Response:
    """Forget what came; not possible once it is whole."""
    if (refused := _version(request)) is not None:
        return refused
    uploads.drop(parts, uploads.found(parts, actor, upload_id))
    return Response(status_code=204, headers=ALWAYS)


def _version(request: Request) -> Response | None:
    if request.headers.get("tus-resumable") == VERSION:
        return None
    return Response(status_code=412, headers={"tus-version": VERSION, "cache-control": "no-store"})


def _place(at: int) -> dict[str, str]:
    return ALWAYS | {"upload-offset": str(at)}


def _conflict(error: HubError) -> Response:
    return Response(status_code=409, headers=_place(int(error.facts.get("offset", 0))))


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Rejected(
            "tus-header-invalid",
            fr=f"L’en-tête {name} doit être un nombre d’octets.",
            en=f"The header {name} must be a number of bytes.",
            who="partner",
            where=name,
        )
    return int(text)


def _declared(metadata: str) -> str:
    """The media type in `Upload-Metadata`, "" where it gives none. Raises `Rejected`."""
    given = dict(pair.strip().partition(" ")[::2] for pair in metadata.split(","))
    try:
        return base64.b64decode(given.get("filetype", ""), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise Rejected(
            "tus-header-invalid",
            fr="Dans l’en-tête Upload-Metadata, filetype doit être un type en base64.",
            en="In the header Upload-Metadata, filetype must be a type in base64.",
            who="partner",
            where="upload-metadata",
        ) from None


def _held(body: Iterator[bytes]) -> bytes:
    held = bytearray()
    for chunk in body:
        held += chunk
        if len(held) > CHECKED:
            raise TooLarge(
                "checksum-piece-too-large",
                fr=f"Avec une somme de contrôle, un envoi ne dépasse pas {CHECKED} octets.",
                en=f"With a checksum, one request carries at most {CHECKED} bytes.",
                who="partner",
                facts={"max_bytes": CHECKED},
            )
    return bytes(held)


def _matches(checksum: str, data: bytes) -> bool:
    algorithm, _, encoded = checksum.partition(" ")
    try:
        said = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        said = b""
    if algorithm not in ALGORITHMS or not said:
        raise Rejected(
            "tus-header-invalid",
            fr="L’en-tête Upload-Checksum doit nommer sha256 ou sha1, puis la somme en base64.",
            en="The header Upload-Checksum must name sha256 or sha1, then the sum in base64.",
            who="partner",
            where="upload-checksum",
        )
    return hashlib.new(algorithm, data, usedforsecurity=False).digest() == said
