"""Who is asking: a bearer token of a partner's client, or the session of a person's account."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, OAuth2

from hub.errors import Denied, Unauthenticated
from hub.identity import tokens
from hub.parts import Actor, Parts
from hub.recipients import Terms

# They say in the description how one may ask; whether it holds is decided below.
TOKEN: Final = OAuth2(
    flows={"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
    scheme_name="token",
    description="Of a partner's client.",
    auto_error=False,
)
SESSION: Final = APIKeyCookie(
    name="session",  # its real name depends on https: `problems.describe` knows
    scheme_name="session",
    description="Of a person with an account.",
    auto_error=False,
)
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def parts_of(request: Request) -> Parts:
    """The parts this application was composed of."""
    parts: Parts = request.app.state.parts
    return parts


def caller(request: Request) -> Actor | None:
    """The actor of a request, or None for anyone. A wrong token is an error, not anyone."""
    parts = parts_of(request)
    now = parts.clock()
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        found = parts.books.token(tokens.digest(token.strip()), now)
        if found is None:
            raise Unauthenticated(
                "invalid-token",
                fr="Jeton inconnu, expiré ou révoqué ; demandez-en un à /oauth/token.",
                en="Unknown, expired or revoked token; ask /oauth/token for one.",
                who="partner",
            )
        client, scopes = found
        if Terms.of(client) is not None:
            # Its profile is a file that people mail around: it opens Delta Sharing, nothing else.
            raise Denied(
                "profile-opens-sharing",
                fr="Ce jeton n’ouvre que le partage (/delta-sharing), rien d’autre du hub.",
                en="This token opens sharing only (/delta-sharing), nothing else of the hub.",
                who="person",
            )
        return Actor(client.id, str(client.role), client.organisation, tuple(scopes))
    cookie = request.cookies.get(request.app.state.session_cookie)
    if cookie:
        account = parts.books.session(tokens.digest(cookie), now)
        if account is not None:
            _of_our_pages(request)
            return Actor.of(account, person=True)
    return None


def _of_our_pages(request: Request) -> None:
    """Raise `Denied` where a browser says that another site has it send this with our cookie.

    `SameSite` keeps other sites out; a sibling of our own domain is the same site to a browser.
    """
    elsewhere = request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}
    if elsewhere and request.method not in SAFE:
        raise Denied(
            "request-from-elsewhere",
            fr="Cette requête vient d’un autre site ; rien n’a été fait.",
            en="This request comes from another site; nothing was done.",
            who="person",
        )


def identified(
    request: Request,
    _token: Annotated[str | None, Depends(TOKEN)] = None,
    _session: Annotated[str | None, Depends(SESSION)] = None,
) -> Actor:
    """The actor of a request. Raises `Unauthenticated` for anyone."""
    actor = caller(request)
    if actor is None:
        raise Unauthenticated(
            "authentication-required",
            fr="Cette adresse demande un jeton ou une session.",
            en="This address asks for a token or a session.",
            who="partner",
        )
    return actor
