"""Static files, read once and handed out from memory: no path of a request touches a folder.

An address carrying `?v=<digest>` may be cached for ever; without it, or with another digest, the
browser asks again and gets 304. Compressed once, at start, for all sites of a process; nothing
secret is in these files.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import Request, Response

from hub.errors import NotFound

STATIC: Final = Path(__file__).parent / "static"
DIST: Final = STATIC / "dist"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".geojson": "application/geo+json",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent."""

    body: bytes
    packed: bytes
    type: str
    digest: str


@lru_cache(maxsize=64)
def _asset(body: bytes, kind: str) -> Asset:
    return Asset(body, gzip.compress(body, 6, mtime=0), kind, sha256(body).hexdigest()[:16])


@dataclass(slots=True)
class Assets:
    """Every file of the static folder and of the built bundle, by its name below `/static/`."""

    static: Path = STATIC
    dist: Path = DIST
    _files: dict[str, Asset] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._files = {}
        for folder, prefix in ((self.static, ""), (self.dist, "dist/")):
            for path in sorted(folder.rglob("*")):
                name = prefix + path.relative_to(folder).as_posix()
                if path.is_file() and path.suffix in TYPES:
                    self._files[name] = _asset(path.read_bytes(), TYPES[path.suffix])

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def address(self, name: str) -> str:
        """The cacheable address of a file; empty where it is not there (bundle not built)."""
        asset = self._files.get(name)
        return f"/static/{name}?v={asset.digest}" if asset else ""

    def answer(self, request: Request, name: str) -> Response:
        """The file, 304, or `NotFound`."""
        asset = self._files.get(name)
        if asset is None:
            raise NotFound(
                "no-such-file", fr="Ce fichier n’existe pas.", en="No such file.", who="developer"
            )
        same = request.query_params.get("v") == asset.digest
        headers = {
            "etag": f'"{asset.digest}"',
            "vary": "Accept-Encoding",
            "cache-control": "public, max-age=31536000, immutable" if same else "no-cache",
        }
        if asset.digest in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        packed = "gzip" in request.headers.get("accept-encoding", "")
        if packed:
            headers["content-encoding"] = "gzip"
        body = asset.packed if packed else asset.body
        return Response(body, headers=headers, media_type=asset.type)
