"""How a partner's client proves who it is: a secret over HTTP Basic, or a signed assertion.

`client_secret_basic` follows RFC 6749 §2.3.1: id and secret are form-encoded before base64, `+`
meaning a space, which Authlib's own decoder leaves as it is. `private_key_jwt` follows RFC 7523
§3: issuer and subject are the client, the audience is this hub, it expires soon, its id is used
once, and only asymmetric algorithms are taken, whatever its header asks for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.errors import JoseError, MissingKeyError
from joserfc.jwk import Key, import_key

from hub.identity import passwords
from hub.records import Client

BASIC: Final = "client_secret_basic"
KEY: Final = "private_key_jwt"
METHODS: Final = (BASIC, KEY)
ENDPOINTS: Final = frozenset({"token", "revocation"})

ALGORITHMS: Final = ("ES256", "ES384", "PS256", "RS256", "Ed25519")
KEY_TYPES: Final = frozenset({"EC", "RSA", "OKP"})
LEEWAY: Final = timedelta(seconds=60)
"""Clocks of partners may be off by this."""

MAX_LIFE: Final = timedelta(hours=1)
"""An assertion made out for longer is refused: its id would have to be remembered as long."""

MAX_ID: Final = 128


class Registered(ClientMixin):  # type: ignore[misc]
    """A client of the books as Authlib asks about it."""

    def __init__(self, record: Client) -> None:
        self.record = record

    def get_client_id(self) -> str:
        """Its id."""
        return self.record.id

    def check_grant_type(self, grant_type: str) -> bool:
        """Machines have one grant."""
        return grant_type == "client_credentials"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """A method is open to the client that registered what it needs, at both endpoints."""
        registered = {BASIC: self.record.secret_hash, KEY: self.record.public_jwk}
        return endpoint in ENDPOINTS and registered.get(method) is not None


def plausible(client_id: str) -> bool:
    """Whether the books need be asked: no database takes every string there is."""
    return 0 < len(client_id) <= MAX_ID and client_id.isprintable()


class SecretBasic:
    """`client_secret_basic`, with the secret or the one it replaced, for as long as that holds."""

    def __init__(self, former: Callable[[str, datetime], str | None], now: datetime) -> None:
        self._former = former
        self._now = now

    def __call__(
        self, query_client: Callable[[str], Registered | None], request: Any
    ) -> Registered | None:
        """The client of a valid `Authorization: Basic …` header, None for anything else.

        A wrong secret costs two verifications, whether the client is unknown, known or about to
        change its secret.
        """
        credentials = basic_credentials(request.headers.get("Authorization"))
        if credentials is None:
            return None
        client_id, secret = credentials
        client = query_client(client_id)
        if passwords.verify(client.record.secret_hash if client else None, secret):
            return client
        former = self._former(client.record.id, self._now) if client else None
        return client if passwords.verify(former, secret) else None


def basic_credentials(header: str | None) -> tuple[str, str] | None:
    """Client id and secret of a Basic header (RFC 6749 §2.3.1), None where it is not one."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    client_id, colon, secret = pair.partition(":")
    try:
        return (_decoded(client_id), _decoded(secret)) if colon else None
    except UnicodeDecodeError:
        return None


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="strict")


class PrivateKeyJwt(JWTBearerClientAssertion):  # type: ignore[misc]
    """Client assertions (RFC 7523), checked against the time and the ids used before.

    By the client's key, or the one it replaced, for as long as that holds.
    """

    CLIENT_AUTH_METHOD = KEY

    def __init__(
        self,
        audiences: Sequence[str],
        now: datetime,
        use_assertion: Callable[[str, str, datetime], bool],
        former: Callable[[str, datetime], Mapping[str, Any] | None],
    ) -> None:
        super().__init__(leeway=LEEWAY.total_seconds())
        self._audiences = list(audiences)
        self._now = now
        self._use_assertion = use_assertion
        self._former = former

    def get_audiences(self) -> list[str]:
        """The hub, under the names partners know it by."""
        return self._audiences

    def resolve_client_public_key(self, client: Registered) -> list[Key]:
        """The keys the client registered. A symmetric one would let its holder be anyone."""
        present = client.record.public_jwk
        if present is None:
            raise InvalidClientError
        found = (present, self._former(client.record.id, self._now))
        try:
            return [import_key(dict(jwk)) for jwk in found if jwk and jwk.get("kty") in KEY_TYPES]
        except (JoseError, ValueError, TypeError) as error:
            raise InvalidClientError from error

    def extract_assertion(self, assertion: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Header and claims, believed by nobody yet."""
        if not assertion.isascii():
            raise InvalidClientError
        try:
            header, claims = super().extract_assertion(assertion)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidClientError from error
        return header, claims

    def process_assertion_claims(
        self, assertion: str, resolve_key: Sequence[Key]
    ) -> Mapping[str, Any]:
        """The claims, once signature, time and audience hold; uses the assertion's id up."""
        try:
            claims = _signed(assertion, resolve_key)
            jwt.JWTClaimsRegistry(
                now=int(self._now.timestamp()),
                leeway=int(LEEWAY.total_seconds()),
                iss={"essential": True},
                sub={"essential": True},
                aud={"essential": True, "values": self._audiences},
                exp={"essential": True},
                jti={"essential": True},
            ).validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise InvalidClientError from error
        client_id, jti, expires = claims["sub"], claims["jti"], claims["exp"]
        if claims["iss"] != client_id or not 0 < len(jti) <= MAX_ID:
            raise InvalidClientError
        if expires > (self._now + MAX_LIFE + LEEWAY).timestamp():
            raise InvalidClientError
        until = datetime.fromtimestamp(expires, UTC) + LEEWAY
        # Last: an assertion that fails otherwise must not use up the id of the real one.
        if not self._use_assertion(jti, client_id, until):
            raise InvalidClientError
        return claims


def _signed(assertion: str, keys: Sequence[Key]) -> dict[str, Any]:
    """The claims under the first of these keys that signed them. Raises `JoseError`."""
    failure: JoseError = MissingKeyError()
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(assertion, key, algorithms=list(ALGORITHMS)).claims
        except JoseError as error:  # the two may even be of different kinds
            failure = error
        else:
            return claims
    raise failure
