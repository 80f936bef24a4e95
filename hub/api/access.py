"""Who is asking: a bearer token of a partner's client, or the session of a person's account."""

from __future__ import annotations

from fastapi import Request

from hub.errors import Unauthenticated
from hub.identity import tokens
from hub.parts import Actor, Parts


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
        return Actor(client.id, str(client.role), client.organisation, tuple(scopes))
    cookie = request.cookies.get(request.app.state.session_cookie)
    if cookie:
        account = parts.books.session(tokens.digest(cookie), now)
        if account is not None:
            return Actor(account.id, str(account.role), account.organisation)
    return None


def identified(request: Request) -> Actor:
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
