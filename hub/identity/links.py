"""Links that open one thing for one recipient, for a short time: a signed JWT (HS256, RFC 7519).

A link says whom it was made for and under which epoch; whoever follows it must ask whether that
recipient may still have the thing, and whether the epoch is still the same. It is no proof of who
holds it, so it ends soon, and it stands in the query of an address, which the hub never logs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from hub.errors import NotFound

ALGORITHM: Final = "HS256"
TYPE: Final = "hub-link+jwt"


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says: a request, its epoch, a format, its reader, and until when (seconds)."""

    request: str
    epoch: int
    format: str
    reader: str
    role: str
    organisation: str
    exp: int


def sign(key: bytes, link: Link) -> str:
    """A link as text, under a key of 32 bytes."""
    header = {"alg": ALGORITHM, "typ": TYPE}
    return jwt.encode(header, asdict(link), OctKey.import_key(key), algorithms=[ALGORITHM])


def read(key: bytes, text: str) -> Link:
    """The link a text is. Raises `NotFound`, the same for whatever is wrong with it.

    Its end is not looked at: the caller has the clock, and says of what has ended that it has.
    """
    try:
        token = jwt.decode(text, OctKey.import_key(key), algorithms=[ALGORITHM])
        said: dict[str, Any] = dict(token.claims)
    except (JoseError, ValueError) as error:
        raise _unknown() from error
    kinds = {field.name: int if field.type == "int" else str for field in fields(Link)}
    if token.header.get("typ") != TYPE or set(said) != set(kinds):
        raise _unknown()
    if not all(type(said[name]) is kind for name, kind in kinds.items()):
        raise _unknown()
    return Link(**said)


def _unknown() -> NotFound:
    return NotFound(
        "unknown-link",
        fr="Ce lien n’ouvre rien.",
        en="This link opens nothing.",
        who="person",
    )
