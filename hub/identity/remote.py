"""A provider of identities over OpenID Connect: authorization code with PKCE, by Authlib.

1. What it is, it says itself (Discovery), and is asked again after half a minute: a provider that
   is away is told of by the hub, not by a browser's error. It must bear the issuer's name, and
   name https addresses only (or loopback ones, for an issuer on loopback).
2. The code is exchanged once, with the verifier only the hub knows.
3. The ID token is believed if a key of the provider signed it, in a way the hub takes, for this
   hub, for this login, at this time give or take a minute (OpenID Connect Core §3.1.3.7). Keys are
   kept for ten minutes and fetched once more where a token names one that is not among them; for
   logout tokens, which anyone may send, no more often than every ten seconds.
4. Claims that only the UserInfo endpoint has are fetched from there, plain or signed.

Each exchange with the provider as a whole is under a deadline. Nothing here is logged.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    MissingClaimError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import KeySet

from hub.deadlines import Deadline
from hub.errors import HubError, Unavailable, bad_setting
from hub.identity.proofs import ALGORITHMS, KEY_TYPES
from hub.identity.provider import Ended, Told, refused

PATIENCE_SECONDS: Final = 10.0
AT_ONCE: Final = 8
TURN_SECONDS: Final = 0.5
"""Logins that may wait for a slow provider: the hub's other threads are for its other readers."""
METADATA_SECONDS: Final = 30.0
KEYS_SECONDS: Final = 600.0
FORGED_SECONDS: Final = 10.0
"""How often a logout token may make the hub fetch keys."""
LEEWAY: Final = timedelta(seconds=60)
"""Clocks of the provider may be off by this."""
LARGEST: Final = 512 * 1024
"""Bytes of an answer; a set of keys has a few thousand."""
LONGEST: Final = 255
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
NAMED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
PLACES: Final = (*NAMED, "userinfo_endpoint", "end_session_endpoint")
_FAULTS: Final = {
    "iss": "issuer",
    "aud": "audience",
    "azp": "audience",
    "nonce": "nonce",
    "exp": "time",
    "iat": "time",
    "nbf": "time",
    "auth_time": "time",
    "sub": "subject",
}
_ERRORS: Final = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    OAuthError,
    OSError,
    ValueError,
    RecursionError,
    HubError,
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registration:
    """What the hub is at the provider. `home`: where people come back to after signing out."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    callback: str
    home: str
    scopes: tuple[str, ...] = ("openid",)
    userinfo: bool = False


@dataclass(slots=True)
class _Kept:
    """Something fetched, and when by the monotonic clock."""

    at: float = -1e9
    value: Any = None


class RemoteProvider:
    """See `Provider`. Safe to share between threads. Raises `Rejected` for an unusable issuer."""

    def __init__(
        self,
        registration: Registration,
        *,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = registration.issuer
        self._hub = registration
        self._plain = _on_loopback(registration.issuer)
        if not registration.client_id or not self._secure(registration.issuer):
            form = "https://…, and HUB_OIDC_CLIENT_ID"
            raise bad_setting("issuer-unusable", "HUB_OIDC_ISSUER", form)
        self._clock = clock
        self._deadline: Deadline[Any] = Deadline(patience, _ERRORS, AT_ONCE, TURN_SECONDS)
        self._trust = httpx2.create_ssl_context()
        self._timeout = patience
        self._metadata, self._keys = _Kept(), _Kept()

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """See `Provider`."""
        endpoint = self._asked(self._known)["authorization_endpoint"]
        with self._client() as client:
            url, _ = client.create_authorization_url(
                endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    def vouch(self, answer: Mapping[str, str], nonce: str, verifier: str, now: datetime) -> Told:
        """See `Provider`."""
        told: Told = self._asked(lambda: self._vouched(answer, nonce, verifier, now))
        return told

    def leaving(self, hint: str) -> str:
        """See `Provider`."""
        endpoint = self._asked(self._known).get("end_session_endpoint")
        if not endpoint:
            return ""
        said = {"client_id": self._hub.client_id, "post_logout_redirect_uri": self._hub.home}
        said |= {"id_token_hint": hint} if hint else {}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(said)}"

    def ended(self, token: str, now: datetime) -> Ended:
        """See `Provider`: OpenID Connect Back-Channel Logout §2.6."""
        claims = self._asked(lambda: self._claims(token, now, forged=True))
        events = claims.get("events")
        subject, sid, name = (claims.get(key, "") for key in ("sub", "sid", "jti"))
        texts = all(isinstance(text, str) and len(text) <= LONGEST for text in (subject, sid, name))
        meant = isinstance(events, dict) and LOGOUT_EVENT in events and "nonce" not in claims
        if not (texts and meant and name and (subject or sid)):
            raise refused("logout-token")
        return Ended(name, subject, sid)

    def check(self) -> None:
        """See `Provider`."""
        self._asked(lambda: (self._known(), self._key_set(fresh=True)))

    # What it says ---------------------------------------------------------------------------

    def _vouched(self, answer: Mapping[str, str], nonce: str, verifier: str, now: datetime) -> Told:
        known = self._known()
        # RFC 9207: an answer of another provider must not be taken to this one.
        must = known.get("authorization_response_iss_parameter_supported") is True
        if (must or "iss" in answer) and answer.get("iss") != self.issuer:
            raise refused("issuer")
        if not answer.get("code"):
            raise refused("denied")
        with self._client() as client:
            tokens = self._exchanged(client, answer["code"], verifier)
            text, access = tokens.get("id_token"), tokens.get("access_token")
            if not isinstance(text, str) or not isinstance(access, str):
                raise refused("content")
            claims = self._claims(text, now, {"nonce": nonce, "access_token": access})
            subject = claims["sub"]
            if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST:
                raise refused("subject")
            if self._hub.userinfo:
                claims = {**self._more(client, access, subject), **claims}
        sid = claims.get("sid")
        return Told(subject, claims, sid if isinstance(sid, str) else "", text)

    def _exchanged(self, client: OAuth2Client, code: str, verifier: str) -> Mapping[str, Any]:
        try:
            tokens: Mapping[str, Any] = client.fetch_token(
                self._known()["token_endpoint"], code=code, code_verifier=verifier
            )
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise refused("code") from None
            raise _unavailable("provider-refuses-hub") from None
        return tokens

    def _more(self, client: OAuth2Client, access: str, subject: str) -> Mapping[str, Any]:
        """Claims of the UserInfo endpoint; plain JSON, or a token signed like the other."""
        answer = client.get(
            self._known()["userinfo_endpoint"],
            auth=None,
            headers={"authorization": f"Bearer {access}"},
        )
        answer.raise_for_status()
        if answer.headers.get("content-type", "").startswith("application/jwt"):
            claims: Any = self._signed(answer.text, forged=False).claims
            if claims.get("iss", self.issuer) != self.issuer:
                raise refused("issuer")
        else:
            claims = answer.json()
        # Core §5.3.2: of somebody else, it must not be used.
        if not isinstance(claims, dict) or not hmac.compare_digest(
            str(claims.get("sub", "")).encode(), subject.encode()
        ):
            raise refused("subject")
        told: Mapping[str, Any] = claims
        return told

    def _claims(
        self,
        text: str,
        now: datetime,
        params: Mapping[str, str] | None = None,
        *,
        forged: bool = False,
    ) -> dict[str, Any]:
        """The claims of a token of the provider made out to this hub, at this time."""
        token = self._signed(text, forged=forged)
        options = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self._hub.client_id},
        }
        claims = CodeIDToken(
            # A logout token need not name a person.
            {"sub": "-", **token.claims} if forged else token.claims,
            token.header,
            options,
            {"client_id": self._hub.client_id, **(params or {})},
        )
        try:
            claims.validate(int(now.timestamp()), int(LEEWAY.total_seconds()))
        except ExpiredTokenError:
            raise refused("time") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise refused(_FAULTS.get(error.claim, "content")) from None
        except (JoseError, ValueError, TypeError):
            raise refused("content") from None
        return dict(token.claims)

    def _signed(self, text: str, *, forged: bool) -> jwt.Token:
        """A token that a key of the provider signed. Raises `Unauthenticated`."""
        try:
            try:
                return self._decoded(text, self._key_set())
            except InvalidKeyIdError:
                fresh = self._key_set(fresh=True, seldom=forged)
                return self._decoded(text, fresh)
        except (InvalidKeyIdError, BadSignatureError):
            raise refused("signature") from None
        except UnsupportedAlgorithmError:
            raise refused("algorithm") from None
        except (JoseError, ValueError, TypeError, RecursionError):
            raise refused("content") from None

    def _decoded(self, text: str, keys: KeySet) -> jwt.Token:
        return jwt.decode(text, keys, algorithms=list(ALGORITHMS))

    # How it is asked ------------------------------------------------------------------------

    def _known(self) -> Mapping[str, Any]:
        """Its metadata. Raises `Unavailable` where they are no provider's, or another's."""
        kept = self._metadata
        if self._clock() - kept.at > METADATA_SECONDS:
            told = self._fetched(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            places = {name: told.get(name) for name in PLACES if told.get(name) is not None}
            fits = told.get("issuer") == self.issuer and set(NAMED) <= places.keys()
            if not fits or not all(self._secure(place) for place in places.values()):
                raise _unavailable("provider-other")
            # No lock: two that fetch at once both have what the provider said just now.
            kept = self._metadata = _Kept(self._clock(), told)
        known: Mapping[str, Any] = kept.value
        return known

    def _key_set(self, *, fresh: bool = False, seldom: bool = False) -> KeySet:
        """Its keys: those kept, or where they are old or `fresh` ones are wanted, as they are."""
        kept = self._keys
        age = self._clock() - kept.at
        if age > KEYS_SECONDS or (fresh and not (seldom and age < FORGED_SECONDS)):
            told = self._fetched(self._known()["jwks_uri"]).get("keys")
            usable: list[Any] = [
                key
                for key in (told if isinstance(told, list) else [])
                if isinstance(key, dict)
                and key.get("kty") in KEY_TYPES
                and key.get("use", "sig") == "sig"
            ]
            try:
                kept = self._keys = _Kept(self._clock(), KeySet.import_key_set({"keys": usable}))
            except (JoseError, ValueError, TypeError):
                raise _unavailable("provider-nonsense") from None
        keys: KeySet = kept.value
        return keys

    def _fetched(self, url: str) -> dict[str, Any]:
        body = bytearray()
        with (
            httpx2.Client(timeout=self._timeout, verify=self._trust) as client,
            client.stream("GET", url, headers={"accept": "application/json"}) as answer,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    raise _unavailable("provider-nonsense")
        told = httpx2.Response(200, content=bytes(body)).json()
        if not isinstance(told, dict):
            raise _unavailable("provider-nonsense")
        return told

    def _client(self) -> OAuth2Client:
        known = self._metadata.value or {}
        methods = known.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        post = "client_secret_post" in methods and "client_secret_basic" not in methods
        method = "client_secret_post" if post else "client_secret_basic"
        return OAuth2Client(
            self._hub.client_id,
            self._hub.client_secret or None,
            token_endpoint_auth_method=method if self._hub.client_secret else "none",
            scope=" ".join(self._hub.scopes),
            redirect_uri=self._hub.callback,
            code_challenge_method="S256",
            timeout=self._timeout,
            verify=self._trust,
        )

    def _asked(self, act: Callable[[], T]) -> T:
        """Do something with the provider, in time. Raises `Unavailable`, `Unauthenticated`."""
        try:
            made: T = self._deadline.call("identity", act)
        except HubError:
            raise
        except TimeoutError:
            raise _unavailable("provider-silent") from None
        except (httpx2.TransportError, OSError):
            raise _unavailable("provider-unreachable") from None
        except _ERRORS:
            raise _unavailable("provider-nonsense") from None
        return made

    def _secure(self, address: object) -> bool:
        if not isinstance(address, str):
            return False
        with suppress(ValueError):
            at = urlsplit(address)
            return bool(at.hostname) and (at.scheme == "https" or (self._plain and _local(at)))
        return False


def _local(at: SplitResult) -> bool:
    return at.scheme == "http" and at.hostname in LOOPBACK


def _on_loopback(issuer: str) -> bool:
    """Whether an issuer is one of this machine: a test's, or a development's."""
    with suppress(ValueError):
        return _local(urlsplit(issuer))
    return False


_WORDS: Final = {
    "provider-unreachable": (
        "Le fournisseur d’identité ne répond pas. Réessayez plus tard ; son exploitant doit le "
        "rétablir. Les sessions ouvertes continuent.",
        "The identity provider does not answer. Try again later; its operator must bring it back. "
        "Open sessions go on.",
    ),
    "provider-silent": (
        "Le fournisseur d’identité est trop lent à répondre. Réessayez plus tard ; son exploitant "
        "doit agir. Les sessions ouvertes continuent.",
        "The identity provider is too slow to answer. Try again later; its operator must act. "
        "Open sessions go on.",
    ),
    "provider-nonsense": (
        "Le fournisseur d’identité ne répond pas comme il le doit. Son exploitant doit agir.",
        "The identity provider does not answer as it must. Its operator must act.",
    ),
    "provider-other": (
        "L’adresse HUB_OIDC_ISSUER répond au nom d’un autre fournisseur, ou sans https. "
        "L’exploitant du hub doit la corriger.",
        "The address HUB_OIDC_ISSUER answers in another provider's name, or without https. "
        "The hub's operator must mend it.",
    ),
    "provider-refuses-hub": (
        "Le fournisseur d’identité refuse ce hub. L’exploitant doit vérifier HUB_OIDC_CLIENT_ID, "
        "HUB_OIDC_CLIENT_SECRET et l’adresse de retour déclarée.",
        "The identity provider refuses this hub. The operator must check HUB_OIDC_CLIENT_ID, "
        "HUB_OIDC_CLIENT_SECRET and the registered callback address.",
    ),
}


def _unavailable(code: str) -> Unavailable:
    fr, en = _WORDS[code]
    return Unavailable(code, fr=fr, en=en, who="operator")
