"""Delta Sharing: the open protocol by which pandas, Spark, Power BI and R read releases.

Only who holds a recipient's token comes in, whatever session a browser has. Errors are the
protocol's own JSON, `errorCode` and `message`. A reading is an event when its links are handed
out; each link is asked about again when its file is fetched, so that a revocation stops the next.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from hub import recipients, sharing
from hub.api import ranges
from hub.api.access import parts_of
from hub.api.problems import language_of
from hub.delivery import Requested
from hub.errors import (
    Busy,
    Conflict,
    Denied,
    HubError,
    NotFound,
    Rejected,
    Unauthenticated,
    Unavailable,
)
from hub.events import Kind
from hub.parts import Parts
from hub.recipients import Reader
from hub.records import Release
from hub.shelf import MEDIA_TYPES, Shelf

VERSION: Final = "delta-table-version"
CAPABILITIES: Final = "delta-sharing-capabilities"
LARGEST: Final = 2**31
"""Versions and sizes of pages stay below it."""
ERRORS: Final[tuple[tuple[type[HubError], int, str], ...]] = (
    (Unauthenticated, 401, "UNAUTHENTICATED"),
    (Denied, 403, "PERMISSION_DENIED"),
    (NotFound, 404, "RESOURCE_DOES_NOT_EXIST"),
    (Rejected, 400, "INVALID_PARAMETER_VALUE"),
    (Conflict, 409, "RESOURCE_CONFLICT"),
    (Busy, 429, "REQUEST_LIMIT_EXCEEDED"),
    (Unavailable, 503, "TEMPORARILY_UNAVAILABLE"),
    (HubError, 500, "INTERNAL_ERROR"),
)
"""The first family that fits says the status and the protocol's code."""
FROM: Final = "after "
"""How a page token begins: a page of nothing has one too, and an empty token is the beginning."""
PRIVATE: Final = {"cache-control": "private, no-store", "referrer-policy": "no-referrer"}


class Route(APIRoute):
    """A route whose errors are the protocol's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors rendered."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except HubError as error:
                return _refusal(request, error)
            except RequestValidationError as error:
                # Where, never what.
                where = ", ".join(".".join(str(p) for p in e["loc"]) for e in error.errors())
                wrong = Rejected(
                    "invalid-request",
                    fr=f"La requête est incorrecte à : {where}.",
                    en=f"The request is wrong at: {where}.",
                    who="person",
                )
                return _refusal(request, wrong)

        return handled


REFUSAL: Final = {
    "type": "object",
    "required": ["errorCode", "message"],
    "properties": {"errorCode": {"type": "string"}, "message": {"type": "string"}},
}
router = APIRouter(
    tags=["delta sharing"],
    prefix="/delta-sharing",
    route_class=Route,
    responses={
        "4XX": {
            "description": "A refusal of the protocol's.",
            "content": {"application/json": {"schema": REFUSAL}},
        }
    },
)
TABLE: Final = "/shares/{share}/schemas/{schema}/tables/{table}"


def reader_of(request: Request) -> Reader:
    """Who reads. Raises `Unauthenticated`, `Denied`."""
    return recipients.reader(parts_of(request), request.headers.get("authorization"))


Who = Annotated[Reader, Depends(reader_of)]
Size = Annotated[int | None, Query(alias="maxResults", ge=0, lt=LARGEST)]
Token = Annotated[str, Query(alias="pageToken", max_length=1000)]
Version = Annotated[int | None, Query(ge=0, lt=LARGEST)]
Time = Annotated[str | None, Query(max_length=64)]
Capable = Annotated[str | None, Header(alias=CAPABILITIES, max_length=1000)]


def given_of(request: Request, reader: Who) -> sharing.Given:
    """What is given to who asks. Raises `Denied` where the request of its profile is over."""
    return _given(request, reader)


Given = Annotated[sharing.Given, Depends(given_of)]


def shares_of(request: Request, given: Given) -> sharing.Shares:
    """What is shared with who asks."""
    return _shares(request, given)


Shared = Annotated[sharing.Shares, Depends(shares_of)]


class Asked(BaseModel):
    """The body of a query.

    Hints are what they say: one file is the whole table, and the client filters and limits what
    it reads. So they are taken in any form, and nothing is made of them.
    """

    version: int | None = Field(None, ge=0, lt=LARGEST)
    timestamp: str | None = Field(None, max_length=64)
    startingVersion: int | None = Field(None, ge=0, lt=LARGEST)  # noqa: N815 - the protocol's names
    endingVersion: int | None = Field(None, ge=0, lt=LARGEST)  # noqa: N815
    limitHint: Any = None  # noqa: N815
    predicateHints: Any = None  # noqa: N815
    jsonPredicateHints: Any = None  # noqa: N815


@router.get("/shares", summary="Delta Sharing: shares")
def shares(shared: Shared, size: Size = None, token: Token = "") -> Response:
    """The territory is the one share."""
    return _page([shared.name], lambda name: {"name": name}, size, token)


@router.get("/shares/{share}", summary="Delta Sharing: one share")
def share_facts(share: str, shared: Shared) -> Response:
    """The share of this name."""
    return _json({"share": {"name": shared.share(share)}})


@router.get("/shares/{share}/schemas", summary="Delta Sharing: schemas")
def schemas(share: str, shared: Shared, size: Size = None, token: Token = "") -> Response:
    """Each measure with something to read is a schema."""
    name = shared.share(share)
    return _page(shared.schemas(), lambda one: {"name": one, "share": name}, size, token)


@router.get("/shares/{share}/schemas/{schema}/tables", summary="Delta Sharing: tables of a schema")
def tables(
    share: str, schema: str, shared: Shared, size: Size = None, token: Token = ""
) -> Response:
    """Each period of a measure is a table."""
    shared.share(share)
    name = shared.schema(schema)
    return _tables((one for one in shared.tables() if one.schema == name), size, token)


@router.get("/shares/{share}/all-tables", summary="Delta Sharing: all tables of a share")
def all_tables(share: str, shared: Shared, size: Size = None, token: Token = "") -> Response:
    """Every table there is to read."""
    shared.share(share)
    return _tables(shared.tables(), size, token)


@router.head(TABLE, summary="Delta Sharing: version, for older clients", response_class=Response)
@router.get(f"{TABLE}/version", summary="Delta Sharing: version", response_class=Response)
def version(
    share: str,
    schema: str,
    table: str,
    shared: Shared,
    since: Annotated[str | None, Query(alias="startingTimestamp", max_length=64)] = None,
) -> Response:
    """The newest edition, or the first at or after a time, in a header."""
    found = sharing.edition_since(shared.table(share, schema, table), since)
    return Response(headers={VERSION: str(found.version), **PRIVATE})


@router.get(f"{TABLE}/metadata", summary="Delta Sharing: metadata", response_class=Response)
def metadata(
    share: str,
    schema: str,
    table: str,
    shared: Shared,
    version: Version = None,
    timestamp: Time = None,
    capable: Capable = None,
) -> Response:
    """Protocol and columns."""
    kind = sharing.response_format(capable)
    found = shared.table(share, schema, table, version)
    edition = sharing.edition_at(found, version, timestamp)
    return _lines(shared.head(found, edition, kind), edition, kind)


@router.post(f"{TABLE}/query", summary="Delta Sharing: read a table", response_class=Response)
def query(
    request: Request,
    share: str,
    schema: str,
    table: str,
    given: Given,
    shared: Shared,
    asked: Asked | None = None,
    capable: Capable = None,
) -> Response:
    """An edition, the newest unless a version or a time is said, with a link to its file."""
    asked = asked or Asked()
    kind = sharing.response_format(capable)
    if asked.startingVersion is not None or asked.endingVersion is not None:
        raise Rejected(
            "no-streams",
            fr="Ces tableaux se lisent entiers, ou par leurs changements (« changes »).",
            en="These tables are read whole, or by their changes (`changes`).",
            who="person",
        )
    found = shared.table(share, schema, table, asked.version)
    edition = sharing.edition_at(found, asked.version, asked.timestamp)
    answer = shared.snapshot(found, edition, kind, _linker(request, given))
    return _handed_out(request, given, shared, [edition], answer, kind)


@router.get(f"{TABLE}/changes", summary="Delta Sharing: change feed", response_class=Response)
def changes(
    request: Request,
    share: str,
    schema: str,
    table: str,
    given: Given,
    shared: Shared,
    first: Annotated[int | None, Query(alias="startingVersion", ge=0, lt=LARGEST)] = None,
    last: Annotated[int | None, Query(alias="endingVersion", ge=0, lt=LARGEST)] = None,
    since: Annotated[str | None, Query(alias="startingTimestamp", max_length=64)] = None,
    until: Annotated[str | None, Query(alias="endingTimestamp", max_length=64)] = None,
    capable: Capable = None,
) -> Response:
    """What changed from edition to edition: all rows of one out, all rows of the next in."""
    kind = sharing.response_format(capable)
    found = shared.table(share, schema, table)
    editions = sharing.editions_in(found, sharing.Span(first, last, since, until))
    before = [one for one in found.editions if one.version < editions[0].version][-1:]
    answer = shared.changes(found, editions, kind, _linker(request, given))
    return _handed_out(request, given, shared, [*before, *editions], answer, kind)


@router.head("/files/{release_id}.parquet", include_in_schema=False)
@router.get(
    "/files/{release_id}.parquet",
    summary="Delta Sharing: a file, by a signed link",
    response_class=Response,
)
def file(
    request: Request,
    release_id: Annotated[str, Path(max_length=200)],
) -> Response:
    """The link is the key, for one recipient and a few minutes; parts of it by `Range`."""
    parts = parts_of(request)
    reader = recipients.holder(parts, release_id, request.query_params)
    shelf: Shelf = request.app.state.shelf
    release = shelf.release(release_id)
    given = _given(request, reader)
    given.require(release)
    data = given.data(release)
    etag = f'"{hashlib.sha256(given.key(release).encode()).hexdigest()}"'
    answer = ranges.answer(request, data, etag, MEDIA_TYPES[sharing.PARQUET])
    answer.headers.update(PRIVATE)
    return answer


def _given(request: Request, reader: Reader) -> sharing.Given:
    parts = parts_of(request)
    if reader.terms.request:
        return Requested(parts, request.app.state.delivery, reader)
    shelf: Shelf = request.app.state.shelf
    return sharing.Published(
        parts,
        lambda release: shelf.data(release, sharing.PARQUET),
        reader.actor,
        reader.terms.purpose or None,
    )


def _shares(request: Request, given: sharing.Given) -> sharing.Shares:
    return sharing.Shares(parts_of(request), given, request.app.state.described)


def _linker(request: Request, given: sharing.Given) -> sharing.Linker:
    parts = parts_of(request)
    return lambda release: recipients.link(parts, given.actor.id, release.id)


def _handed_out(
    request: Request,
    given: sharing.Given,
    shared: sharing.Shares,
    editions: Sequence[Release],
    answer: Iterable[sharing.Line],
    kind: str,
) -> Response:
    """Record that each edition is handed out, in one transaction, then do it."""
    parts: Parts = parts_of(request)
    facts = {"reader": given.actor.id, "format": "delta-sharing", **given.facts()}
    decisions = [(one, shared.require(one)) for one in editions]
    made = _lines(answer, editions[-1], kind)
    with parts.books.together():
        for edition, decision in decisions:
            event = parts.decided(Kind.RELEASE_READ, given.actor, edition.id, decision, facts)
            parts.books.record(event=event)
    return made


def _lines(answer: Iterable[sharing.Line], edition: Release, kind: str) -> Response:
    """Newline-delimited JSON, with the version and the response format in headers."""
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in answer)
    headers = {
        VERSION: str(edition.version),
        CAPABILITIES: f"responseformat={kind}",
        **PRIVATE,
    }
    return Response(body, media_type="application/x-ndjson; charset=utf-8", headers=headers)


def _tables(found: Iterable[sharing.Table], size: int | None, token: str) -> Response:
    shown = {
        f"{one.schema}/{one.name}": {
            "name": one.name,
            "schema": one.schema,
            "share": one.share,
            "id": one.id,
        }
        for one in found
    }
    return _page(sorted(shown), lambda name: shown[name], size, token)


def _page(
    names: Sequence[str], show: Callable[[str], dict[str, Any]], size: int | None, token: str
) -> Response:
    """A page of sorted names.

    The token tells the last name that was shown, so that what is published or ends between two
    pages neither repeats nor hides another.
    """
    try:
        after = base64.b64decode(token, b"-_", validate=True).decode()[len(FROM) :]
    except (binascii.Error, ValueError) as error:
        raise Rejected(
            "page-unknown",
            fr="Le jeton de page ne peut être lu.",
            en="The page token cannot be read.",
            who="person",
            where="pageToken",
        ) from error
    left = [name for name in names if name > after]
    shown = left if size is None else left[:size]
    answer: dict[str, Any] = {"items": [show(name) for name in shown]}
    if len(shown) < len(left):
        last = shown[-1] if shown else after
        answer["nextPageToken"] = base64.urlsafe_b64encode(f"{FROM}{last}".encode()).decode()
    return _json(answer)


def _json(document: dict[str, Any]) -> Response:
    return JSONResponse(document, headers=PRIVATE)


def _refusal(request: Request, error: HubError) -> Response:
    status, code = next((s, c) for family, s, c in ERRORS if isinstance(error, family))
    language = language_of(request)
    headers = {"content-language": language, **PRIVATE}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="delta-sharing"'
    if status in {429, 503}:
        headers["retry-after"] = str(error.facts.get("retry_after", 5))
    return JSONResponse({"errorCode": code, "message": error.words[language]}, status, headers)
