"""The token endpoint for partners' machines: OAuth 2 client credentials (RFC 6749 §4.4).

A client proves who it is by its secret over HTTP Basic (§2.3.1) or by an assertion signed with
its private key (RFC 7523), and gets an opaque bearer token for 15 minutes and for scopes it has.
Authlib runs the flow; this file binds it to the books, without a web framework:

1. refuse what is no token request, or proves twice who it is;
2. authenticate the client (`proofs`): one same answer whatever fails;
3. refuse a scope the client does not have. Authlib alone would grant the token without it;
4. keep the token's digest and its event together; hand the token out once.

A refusal is an event too, or one of a count where they come fast (`refusals`). No event, log line
or answer repeats what was presented.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint

from hub.errors import NotFound, Unauthenticated
from hub.events import AuditEvent, Kind
from hub.identity import proofs, tokens
from hub.identity.proofs import Registered
from hub.identity.refusals import Refusals
from hub.records import Client

LIFETIME: Final = timedelta(minutes=15)
MAX_FIELD: Final = 8192


class Clients(Protocol):
    """What the token endpoint needs of the books."""

    def client(self, client_id: str, /) -> Client | None:
        """A registered client, None where there is none."""
        ...

    def add_token(
        self,
        token_hash: bytes,
        client_id: str,
        scopes: Sequence[str],
        expires_at: datetime,
        /,
        *,
        event: AuditEvent,
    ) -> object:
        """Keep the digest of a token."""
        ...

    def use_assertion(self, jti: str, client_id: str, expires_at: datetime, /) -> bool:
        """Use up an assertion's id until it expires; False where this client has used it."""
        ...

    def former_secret(self, client_id: str, now: datetime, /) -> str | None:
        """The hash of a secret that was replaced and still holds."""
        ...

    def former_key(self, client_id: str, now: datetime, /) -> Mapping[str, Any] | None:
        """A public key that was replaced and still holds."""
        ...

    def revoke_token(self, token_hash: bytes, client_id: str, /, *, event: AuditEvent) -> object:
        """End a client's own token. Raises `NotFound`."""
        ...

    def token(self, token_hash: bytes, now: datetime, /) -> tuple[Client, tuple[str, ...]] | None:
        """Whose token it is and its scopes, None where it is unknown or expired."""
        ...

    def record(self, *, event: AuditEvent) -> object:
        """Record an event that comes with no other change."""
        ...


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the HTTP edge answers: a JSON body and headers that forbid caching."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str]


class TokenServer:
    """The token endpoint over the books; safe to share between threads."""

    def __init__(
        self,
        clients: Clients,
        token_endpoint: str,
        *,
        issuer: str = "",
        random: tokens.Random = secrets.token_bytes,
    ) -> None:
        """`token_endpoint` and `issuer` are the addresses an assertion may be made out to."""
        self._clients = clients
        self._endpoint = token_endpoint
        self._audiences = [token_endpoint, *([issuer] if issuer else [])]
        self._random = random
        self._refusals = Refusals()

    def issue(
        self, form: Mapping[str, str], authorization: str | None, now: datetime
    ) -> TokenAnswer:
        """Answer one token request; `form` holds each field once. Errors are RFC 6749 §5.2 JSON.

        Raises only `Unavailable`, where the books do not answer: no token has then been issued.
        """
        self._refusals.tell(self._clients, now)
        # One server a request: it carries the time and the proof, and costs microseconds.
        server = _Server(self._clients, self._audiences, self._random, now)
        try:
            request = _Request(self._endpoint, form, authorization)
        except OAuth2Error as error:  # plain HTTP where the hub's public address is no loopback
            return _answer(error)
        try:
            _check_form(form, authorization)
        except OAuth2Error as error:
            answer: TokenAnswer = server.handle_error_response(request, error)
        else:
            answer = server.create_token_response(request)
        if answer.status != 200:
            self._record_refusal(request, answer, now)
        return answer

    def revoke(
        self, form: Mapping[str, str], authorization: str | None, now: datetime
    ) -> TokenAnswer:
        """Answer one revocation request (RFC 7009): the client proves itself as for a token.

        200 whether or not there was such a token: who wanted it gone has what they wanted.
        """
        self._refusals.tell(self._clients, now)
        server = _Server(self._clients, self._audiences, self._random, now)
        try:
            request = _Request(self._endpoint, form, authorization)
            _check_form({**form, "grant_type": "none"}, authorization)
        except OAuth2Error as error:
            return _answer(error)
        answer: TokenAnswer = server.create_endpoint_response("revocation", request)
        if answer.status != 200:
            self._record_refusal(request, answer, now)
        return answer

    def check(self, authorization: str | None, now: datetime) -> tuple[Client, tuple[str, ...]]:
        """The client and scopes of an `Authorization: Bearer …` header (RFC 6750).

        Raises `Unauthenticated` where it is absent, malformed, unknown or expired: which of them
        is not told.
        """
        scheme, _, token = (authorization or "").partition(" ")
        found = None
        if scheme.lower() == "bearer":
            found = self._clients.token(tokens.digest(token.strip()), now)
        if found is None:
            raise Unauthenticated(
                "token-refused",
                fr="Jeton absent, inconnu ou expiré ; demandez-en un à /oauth/token.",
                en="Absent, unknown or expired token; ask /oauth/token for one.",
                who="partner",
            )
        return found

    def _record_refusal(self, request: _Request, answer: TokenAnswer, now: datetime) -> None:
        # `auth_method` is set once the proof held; before that the name is only a claim.
        proven = request.client if request.auth_method else None
        claimed = proven or request.claimed
        name = claimed.record.id if claimed else "unknown"
        organisation = proven.record.organisation if proven else "unknown"
        error = {"error": answer.body["error"]}
        event = AuditEvent(Kind.TOKEN_REFUSED, organisation, name, now, error)
        self._refusals.note(self._clients, event, name)


class _Request(OAuth2Request):  # type: ignore[misc]
    """A token request as Authlib wants it. `claimed`: the registered client it says it is."""

    def __init__(self, uri: str, form: Mapping[str, str], authorization: str | None) -> None:
        headers = {"Authorization": authorization} if authorization is not None else {}
        super().__init__("POST", uri, headers=headers)
        self.payload = BasicOAuth2Payload(dict(form))
        self.claimed: Registered | None = None

    @property
    def form(self) -> Mapping[str, str]:
        data: Mapping[str, str] = self.payload.data
        return data


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: Final = list(proofs.METHODS)

    def validate_requested_scope(self) -> None:
        wanted = self.request.payload.scope
        if wanted is None:
            return
        asked = set(wanted.split())
        if not asked or not asked <= set(self.request.client.record.scopes):
            raise InvalidScopeError("A requested scope is not one of this client.")

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        # Authlib's own writes the token to its debug log.
        token = self.generate_token(scope=self.request.payload.scope, include_refresh_token=False)
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server for one request at one time."""

    def __init__(
        self, clients: Clients, audiences: Sequence[str], random: tokens.Random, now: datetime
    ) -> None:
        super().__init__()
        self._clients, self._random, self._now = clients, random, now
        self._request: _Request | None = None
        self.register_grant(_Grant)
        self.register_token_generator("default", self._new_token)
        self.register_endpoint(_Revocation)
        self.register_client_auth_method(
            proofs.BASIC, proofs.SecretBasic(clients.former_secret, now)
        )
        signed = proofs.PrivateKeyJwt(audiences, now, clients.use_assertion, clients.former_key)
        self.register_client_auth_method(proofs.KEY, signed)

    def token_of(self, client: Registered, token: str) -> bytes | None:
        """The digest of a live token of this client; another's is as good as none."""
        found = self._clients.token(tokens.digest(token), self._now)
        return tokens.digest(token) if found and found[0].id == client.record.id else None

    def revoke(self, token_hash: bytes, client: Registered) -> None:
        """End it. Two that ask at once both have what they asked for."""
        record = client.record
        event = AuditEvent(Kind.TOKEN_REVOKED, record.organisation, record.id, self._now)
        with suppress(NotFound):
            self._clients.revoke_token(token_hash, record.id, event=event)

    def create_oauth2_request(self, request: _Request) -> _Request:
        self._request = request
        return request

    def query_client(self, client_id: str) -> Registered | None:
        record = self._clients.client(client_id) if proofs.plausible(client_id) else None
        found = Registered(record) if record is not None else None
        if self._request is not None:
            self._request.claimed = found
        return found

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """No listener."""

    def handle_response(
        self, status: int, body: Mapping[str, Any], headers: Sequence[tuple[str, str]]
    ) -> TokenAnswer:
        return TokenAnswer(status, body, dict(headers))

    def handle_error_response(self, _request: _Request, error: OAuth2Error) -> TokenAnswer:
        return _answer(error)

    def save_token(self, token: Mapping[str, Any], request: _Request) -> None:
        client: Client = request.client.record
        scopes = tuple(token["scope"].split())
        expires_at = self._now + LIFETIME
        self._clients.add_token(
            tokens.digest(token["access_token"]),
            client.id,
            scopes,
            expires_at,
            event=AuditEvent(
                Kind.TOKEN_ISSUED,
                client.organisation,
                client.id,
                self._now,
                {
                    "scopes": list(scopes),
                    "method": request.auth_method,
                    "expires_at": expires_at.isoformat(),
                },
            ),
        )

    def _new_token(self, *, client: Registered, scope: str | None, **_: object) -> dict[str, Any]:
        # Nothing asked: every scope the client has (§3.3), and the answer says which.
        granted = client.record.scopes if scope is None else dict.fromkeys(scope.split())
        return {
            "access_token": tokens.new(self._random),
            "token_type": "Bearer",
            "expires_in": int(LIFETIME.total_seconds()),
            "scope": " ".join(granted),
        }


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS: Final = list(proofs.METHODS)

    def authenticate_token(self, request: _Request, client: Registered) -> bytes | None:
        self.check_params(request, client)
        found: bytes | None = self.server.token_of(client, request.form["token"])
        return found

    def revoke_token(self, token: bytes, request: _Request) -> None:
        self.server.revoke(token, request.client)


def _check_form(form: Mapping[str, str], authorization: str | None) -> None:
    if any(len(value) > MAX_FIELD for value in [*form.values(), authorization or ""]):
        raise InvalidRequestError("A field is too long.")
    if not form.get("grant_type"):
        raise InvalidRequestError("Missing grant_type.")
    if authorization is not None and {"client_assertion", "client_secret"} & form.keys():
        raise InvalidRequestError("More than one way to authenticate in one request.")


def _answer(error: OAuth2Error) -> TokenAnswer:
    status, body, headers = error()
    fields = dict(headers)
    if isinstance(error, InvalidClientError):
        # The same for an unknown client and a wrong proof, whatever Authlib would tell.
        status = 401
        body["error_description"] = "The client is unknown or did not prove who it is."
        fields["WWW-Authenticate"] = 'Basic realm="hub", charset="UTF-8"'
    return TokenAnswer(status, body, fields)
