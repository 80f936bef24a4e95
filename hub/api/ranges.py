"""One part of prepared bytes, as `Range` asks (RFC 9110 §14): Parquet is read from its end."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_ONE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def answer(request: Request, data: bytes, etag: str, media_type: str) -> Response:
    """All of it, the one part asked for (206), or 416 for a part that is not there.

    Several parts, another unit or a range of another version (`If-Range`) are answered with all of
    it, as the standard lets a server do. HEAD gets the same headers: the server drops the body.
    """
    headers = {"accept-ranges": "bytes", "etag": etag}
    asked = _ONE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or request.headers.get("if-range", etag) != etag or asked.group() == "bytes=-":
        return Response(data, media_type=media_type, headers=headers)
    first, last = _bounds(asked[1], asked[2], len(data))
    if not 0 <= first <= last:
        headers["content-range"] = f"bytes */{len(data)}"
        return Response(status_code=416, headers=headers)
    headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
    part = memoryview(data)[first : last + 1]
    return Response(bytes(part), 206, media_type=media_type, headers=headers)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """First and last byte; first beyond last where there is none."""
    if not first:  # the last so many bytes
        return (max(size - int(last), 0), size - 1) if int(last) else (1, 0)
    end = min(int(last), size - 1) if last else size - 1
    return int(first), end
