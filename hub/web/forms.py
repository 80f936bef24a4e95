"""Forms that change something: small, sent by our own page, carrying its token.

The token is derived from a cookie only the browser and we hold (the session, or before it a random
one), so that a page elsewhere can neither read nor guess it and nothing is kept on our side. The
fetch metadata is asked first: it refuses what comes from another site before the body is read.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from fastapi import Request, Response
from starlette.formparsers import MultiPartException, MultiPartParser

from hub.errors import Denied, Rejected, TooLarge

LIMIT: Final = 8192
"""Bytes of a form. The largest field is a password."""
FIELDS: Final = 16
WANTED_SECONDS: Final = 600
OWN_ADDRESS: Final = re.compile(r"/(?!/)[\w./~-]{0,200}(?:\?[\w.~%&=+-]{0,200})?", re.ASCII)
"""A page of this site and no other: neither a host nor a control character fits in."""
FILE_LIMIT: Final = 1_000_000
"""Bytes of a form with a file: the longest receipt. Below what the parser would put on a disk."""


def _refused() -> Denied:
    return Denied(
        "form-refused",
        fr="Ce formulaire a expiré ou ne vient pas de nos pages. Rechargez la page et recommencez.",
        en="This form has expired or does not come from our pages. Reload the page and try again.",
        who="person",
    )


def place(request: Request) -> str:
    """Where a request comes from, to count tries by; empty where nobody knows.

    Of an IPv6 address the first 64 bits: whoever has one has all that begin so (RFC 4291), and
    would never meet a limit that counts each alone.
    """
    told = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(told)
    except ValueError:
        return told
    if isinstance(address, ipaddress.IPv4Address):
        return told
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address), 64), strict=False))


@dataclass(frozen=True, slots=True)
class Forms:
    """Names of the cookies, and the check of every form. `secure` is true behind https."""

    secure: bool
    entropy: Callable[[int], bytes]

    @property
    def session_cookie(self) -> str:
        """Name of the session's cookie."""
        return "__Host-hub-session" if self.secure else "hub-session"

    @property
    def form_cookie(self) -> str:
        """Name of the cookie forms are tied to before there is a session."""
        return "__Host-hub-form" if self.secure else "hub-form"

    def session(self, request: Request) -> str:
        """The session cookie sent, empty if none."""
        return request.cookies.get(self.session_cookie, "")

    def basis(self, request: Request) -> str:
        """The cookie that forms of this request are tied to, empty if none."""
        return self.session(request) or request.cookies.get(self.form_cookie, "")

    def token(self, basis: str) -> str:
        """The token of a form. Knowing it does not tell the cookie."""
        return hmac.digest(basis.encode(), b"hub form", "sha256").hex()

    def new_basis(self) -> str:
        """A fresh value for the form cookie."""
        return self.entropy(32).hex()

    def keep(
        self,
        response: Response,
        name: str,
        value: str,
        max_age: int | None = None,
        samesite: Literal["lax", "strict"] = "strict",
    ) -> None:
        """Set a cookie no script reads and no other site sends; strict: nor leads here with."""
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite=samesite,
        )

    def drop(self, response: Response, name: str) -> None:
        """Take back a cookie of ours."""
        response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="strict")

    def remember(self, response: Response, address: str) -> None:
        """Keep which page was wanted, while somebody signs in for it, perhaps elsewhere."""
        self.keep(response, self._wanted_cookie, quote(address), WANTED_SECONDS, "lax")

    def wanted(self, request: Request) -> str:
        """The page of this site that was wanted before signing in; the first one if none was."""
        address = unquote(request.cookies.get(self._wanted_cookie, ""))
        return address if OWN_ADDRESS.fullmatch(address) else "/"

    def forget(self, response: Response) -> None:
        """Nothing is wanted any more."""
        self.drop(response, self._wanted_cookie)

    @property
    def _wanted_cookie(self) -> str:
        return "__Host-hub-wanted" if self.secure else "hub-wanted"

    async def read(self, request: Request) -> dict[str, str]:
        """The fields of a form that passed every check. Raises `Denied`, `Rejected`, `TooLarge`."""
        self._own_site(request)
        return self._ours(request, await self.fields(request))

    async def fields(self, request: Request) -> dict[str, str]:
        """The fields of a small form, whoever sends it. Raises as `read` does."""
        if not _is(request, "application/x-www-form-urlencoded"):
            raise _refused()
        body = await _body(request, LIMIT)
        try:
            pairs = parse_qsl(
                body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict"
            )
        except ValueError as error:  # UnicodeDecodeError is one
            raise _unreadable() from error
        return dict(pairs)

    async def read_file(self, request: Request) -> dict[str, str]:
        """The fields of a form that may carry a file of text, in memory from end to end.

        A file is read as UTF-8, whatever it is: what is wrong with it, its reader says. Raises what
        `read` does.
        """
        self._own_site(request)
        if not _is(request, "multipart/form-data"):
            raise _refused()
        body = await _body(request, FILE_LIMIT)

        async def whole() -> AsyncGenerator[bytes, None]:
            yield body

        fields: dict[str, str] = {}
        try:
            sent = await MultiPartParser(
                request.headers, whole(), max_files=1, max_fields=FIELDS, max_part_size=FILE_LIMIT
            ).parse()
            for name, value in sent.multi_items():
                text = value if isinstance(value, str) else _text(await value.read())
                fields[name] = text or fields.get(name, "")
            await sent.close()
        except MultiPartException as error:
            raise _unreadable() from error
        return self._ours(request, fields)

    def _ours(self, request: Request, fields: dict[str, str]) -> dict[str, str]:
        """The fields without the token, once that is seen to be this browser's."""
        basis = self.basis(request)
        sent = fields.pop("token", "")
        if not basis or not hmac.compare_digest(sent.encode(), self.token(basis).encode()):
            raise _refused()
        return fields

    def _own_site(self, request: Request) -> None:
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            if site != "same-origin":
                raise _refused()
            return
        # An older browser. Our referrer policy makes it send "null", which tells nothing.
        origin = request.headers.get("origin", "null")
        if origin != "null" and urlsplit(origin).netloc != request.headers.get("host"):
            raise _refused()


def _is(request: Request, media: str) -> bool:
    return request.headers.get("content-type", "").startswith(media)


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(
                "form-too-large",
                fr="Ce formulaire est trop volumineux.",
                en="This form is too large.",
                who="person",
            )
    return bytes(body)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _unreadable() -> Rejected:
    return Rejected(
        "form-unreadable",
        fr="Ce formulaire ne peut être lu.",
        en="This form cannot be read.",
        who="person",
    )
