"""A provider over OpenID Connect: the real one, and whatever a wrong or hostile one may say."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from joserfc.jwk import ECKey

from hub.errors import HubError, Rejected, Unauthenticated, Unavailable
from hub.identity.provider import Told
from hub.identity.remote import LOGOUT_EVENT, Registration, RemoteProvider
from tests.identity.providers import CLIENT, SECRET, Forger, Real, forging, real, signed_in

BACK: Final = "http://testserver/login/callback"
NONCE: Final = "a-nonce"
VERIFIER: Final = "v" * 43


def provider(issuer: str, *, userinfo: bool = False, **options: Any) -> RemoteProvider:
    registration = Registration(
        issuer, CLIENT, SECRET, BACK, "http://testserver/", ("openid", "profile"), userinfo
    )
    return RemoteProvider(registration, **options)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def true() -> Iterator[Real]:
    with real("http://testserver") as running:
        yield running


@pytest.fixture
def forger() -> Iterator[Forger]:
    with forging() as made:
        yield made


def told(hub: RemoteProvider, forger: Forger, at: datetime | None = None) -> Told:
    answer = forger.back(hub.address("a-state", NONCE, VERIFIER))
    return hub.vouch(answer, NONCE, VERIFIER, at or now())


def code_of(hub: RemoteProvider, forger: Forger, at: datetime | None = None) -> tuple[str, str]:
    with pytest.raises(HubError) as raised:
        told(hub, forger, at)
    return raised.value.code, raised.value.who


# The real one ---------------------------------------------------------------------------------


def test_a_person_is_vouched_for_once(true: Real) -> None:
    hub = provider(true.issuer)
    answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "dpo", BACK)
    assert answer["state"] == "a-state"
    made = hub.vouch(answer, NONCE, VERIFIER, now())
    assert made.subject == "dpo"
    assert made.claims["roles"] == ["hub-dpo"]
    assert made.sid
    with pytest.raises(Unauthenticated) as raised:
        hub.vouch(answer, NONCE, VERIFIER, now())
    assert (raised.value.code, raised.value.who) == ("identity-code", "person")


@pytest.mark.parametrize(
    ("nonce", "verifier", "code"),
    [(NONCE, "w" * 43, "identity-code"), ("other", VERIFIER, "identity-nonce")],
)
def test_a_stolen_answer_is_of_no_use(true: Real, nonce: str, verifier: str, code: str) -> None:
    hub = provider(true.issuer)
    answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "dpo", BACK)
    with pytest.raises(Unauthenticated) as raised:
        hub.vouch(answer, nonce, verifier, now())
    assert raised.value.code == code


def test_keys_that_were_changed_are_fetched_once_more(true: Real) -> None:
    hub = provider(true.issuer)
    for _ in range(3):
        answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "steward", BACK)
        assert hub.vouch(answer, NONCE, VERIFIER, now()).subject == "steward"
        true.rotate()


@pytest.mark.parametrize(
    ("off", "holds"),
    [(timedelta(seconds=-50), True), (timedelta(seconds=-80), False), (timedelta(hours=2), False)],
)
def test_clocks_may_differ_by_a_minute(true: Real, off: timedelta, holds: bool) -> None:
    hub = provider(true.issuer)
    answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "dpo", BACK)
    if holds:
        assert hub.vouch(answer, NONCE, VERIFIER, now() + off).subject == "dpo"
        return
    with pytest.raises(Unauthenticated) as raised:
        hub.vouch(answer, NONCE, VERIFIER, now() + off)
    assert (raised.value.code, raised.value.who) == ("identity-time", "operator")


def test_a_wrong_secret_is_the_operators_to_mend(true: Real) -> None:
    registration = Registration(true.issuer, CLIENT, "wrong", BACK, "http://testserver/")
    hub = RemoteProvider(registration)
    answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "dpo", BACK)
    with pytest.raises(Unavailable) as raised:
        hub.vouch(answer, NONCE, VERIFIER, now())
    assert (raised.value.code, raised.value.who) == ("provider-refuses-hub", "operator")


def test_a_provider_that_went_away_and_came_back() -> None:
    with real("http://testserver") as running:
        hub = provider(running.issuer, clock=iter(range(0, 10_000, 60)).__next__)
        hub.check()
        answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "dpo", BACK)
        running.stop()
        for act in (
            lambda: hub.address("a-state", NONCE, VERIFIER),
            lambda: hub.vouch(answer, NONCE, VERIFIER, now()),
            hub.check,
        ):
            with pytest.raises(Unavailable) as raised:
                act()
            assert (raised.value.code, raised.value.who) == ("provider-unreachable", "operator")
        running.start()
        answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "dpo", BACK)
        assert hub.vouch(answer, NONCE, VERIFIER, now()).subject == "dpo"


def test_claims_come_signed_from_where_they_are() -> None:
    with real("http://testserver", THIN="yes") as running:
        for userinfo in (False, True):
            hub = provider(running.issuer, userinfo=userinfo)
            answer = signed_in(hub.address("a-state", NONCE, VERIFIER), "dpo", BACK)
            made = hub.vouch(answer, NONCE, VERIFIER, now())
            assert made.claims.get("roles") == (["hub-dpo"] if userinfo else None)


# A wrong one ----------------------------------------------------------------------------------


def test_what_the_forger_says_is_believed_where_it_is_right(forger: Forger) -> None:
    made = told(provider(forger.issuer), forger)
    assert (made.subject, made.claims["organisation"]) == ("somebody", "region")


BAD_CLAIMS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "another issuer": ({"iss": "https://evil.example"}, "issuer"),
    "no issuer": ({"iss": None}, "issuer"),
    "another audience": ({"aud": "another"}, "audience"),
    "audiences without ours": ({"aud": ["a", "b"]}, "audience"),
    "several audiences and no party": ({"aud": [CLIENT, "b"]}, "audience"),
    "another party": ({"aud": [CLIENT, "b"], "azp": "b"}, "audience"),
    "expired": ({"exp": 1}, "time"),
    "no end": ({"exp": None}, "time"),
    "no beginning": ({"iat": None}, "time"),
    "of tomorrow": ({"iat": int(time.time()) + 86_400}, "time"),
    "not yet": ({"nbf": int(time.time()) + 86_400}, "time"),
    "an end in words": ({"exp": "soon"}, "time"),
    "another nonce": ({"nonce": "other"}, "nonce"),
    "no nonce": ({"nonce": None}, "nonce"),
    "nobody": ({"sub": None}, "subject"),
    "an empty name": ({"sub": ""}, "subject"),
    "a number": ({"sub": 7}, "subject"),
    "a long name": ({"sub": "x" * 256}, "subject"),
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_a_token_that_says_something_else_opens_nothing(forger: Forger, name: str) -> None:
    forger.claims, why = BAD_CLAIMS[name]
    assert code_of(provider(forger.issuer), forger) == (f"identity-{why}", "operator")


def none_at_all(forger: Forger) -> str:
    """`alg: none`, and no signature."""
    forger.header = {"alg": "none"}
    forger.sign = lambda _: b""
    return "algorithm"


def by_our_secret(forger: Forger) -> str:
    """HS256 under the client's secret: the hub could have made it itself."""
    forger.header = {"alg": "HS256", "kid": "k1"}
    forger.sign = lambda text: hmac.digest(SECRET.encode(), text, "sha256")
    return "algorithm"


def by_their_public_key(forger: Forger) -> str:
    """HS256 under the provider's public key, which everybody has."""
    public = forger.key.as_bytes(private=False)
    forger.header = {"alg": "HS256", "kid": "k1"}
    forger.sign = lambda text: hmac.digest(public, text, "sha256")
    return "algorithm"


def by_another_key(forger: Forger) -> str:
    """A key of somebody else, under the name of theirs."""
    forger.shown = [forger.key]
    forger.key = ECKey.generate_key("P-256", {"kid": "k1"})
    return "signature"


def by_an_unknown_key(forger: Forger) -> str:
    """A name that is not among the keys, however often they are fetched."""
    forger.shown = [forger.key]
    forger.header = {"alg": "ES256", "kid": "k2"}
    forger.key = ECKey.generate_key("P-256", {"kid": "k2"})
    return "signature"


def by_nobody(forger: Forger) -> str:
    """No token at all."""
    forger.answers["/token"] = (200, b'{"id_token": "a.b.c", "access_token": "a"}')
    return "content"


def without_a_token(forger: Forger) -> str:
    """OAuth 2 alone says nothing of who it is."""
    forger.answers["/token"] = (200, b'{"access_token": "a"}')
    return "content"


@pytest.mark.parametrize(
    "forge",
    [
        none_at_all,
        by_our_secret,
        by_their_public_key,
        by_another_key,
        by_an_unknown_key,
        by_nobody,
        without_a_token,
    ],
)
def test_a_token_that_is_not_the_providers_opens_nothing(
    forger: Forger, forge: Callable[[Forger], str]
) -> None:
    why = forge(forger)
    assert code_of(provider(forger.issuer), forger) == (f"identity-{why}", "operator")


@pytest.mark.parametrize("iss", [None, "https://evil.example"])
def test_an_answer_of_another_provider_is_not_taken_to_this_one(
    forger: Forger, iss: str | None
) -> None:
    forger.metadata = {"authorization_response_iss_parameter_supported": True}
    hub = provider(forger.issuer)
    answer = forger.back(hub.address("a-state", NONCE, VERIFIER))
    answer = {name: said for name, said in answer.items() if name != "iss"}
    with pytest.raises(Unauthenticated) as raised:
        hub.vouch(answer | ({"iss": iss} if iss else {}), NONCE, VERIFIER, now())
    assert raised.value.code == "identity-issuer"
    assert [path for path, _, _ in forger.asked if path == "/token"] == []


@pytest.mark.parametrize(
    ("path", "status", "body", "code"),
    [
        ("/.well-known/openid-configuration", 200, b'{"issuer": "https://evil"}', "other"),
        ("/.well-known/openid-configuration", 200, b"[]", "nonsense"),
        ("/.well-known/openid-configuration", 200, b"{", "nonsense"),
        ("/.well-known/openid-configuration", 200, b"[" * 50_000, "nonsense"),
        ("/.well-known/openid-configuration", 200, b" " * 600_000, "nonsense"),
        ("/.well-known/openid-configuration", 503, b"", "nonsense"),
        ("/keys", 200, b'{"keys": []}', "nonsense"),
        ("/keys", 200, b'{"keys": [{"kty": "EC"}]}', "nonsense"),
        ("/keys", 200, b'{"keys": "none"}', "nonsense"),
        ("/keys", 404, b"", "nonsense"),
        ("/token", 500, b"", "nonsense"),
        ("/token", 200, b"[]", "nonsense"),
        ("/token", 401, b'{"error": "invalid_client"}', "refuses-hub"),
        ("/token", 400, b'{"error": "unauthorized_client"}', "refuses-hub"),
    ],
)
def test_nonsense_is_told_by_name(
    forger: Forger, path: str, status: int, body: bytes, code: str
) -> None:
    forger.answers[path] = (status, body)
    assert code_of(provider(forger.issuer), forger) == (f"provider-{code}", "operator")


@pytest.mark.parametrize("place", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_no_place_without_https_is_gone_to(forger: Forger, place: str) -> None:
    forger.metadata = {place: "http://elsewhere.example/x"}
    assert code_of(provider(forger.issuer), forger) == ("provider-other", "operator")


@pytest.mark.parametrize(
    "issuer", ["", "http://identity.example", "ftp://x", "https://", "https:[x"]
)
def test_an_issuer_that_cannot_be_one_is_refused(issuer: str) -> None:
    with pytest.raises(Rejected) as raised:
        provider(issuer)
    assert (raised.value.code, raised.value.who) == ("issuer-unusable", "operator")


def test_a_provider_that_trickles_holds_nobody(forger: Forger) -> None:
    forger.pause = 1.0
    hub = provider(forger.issuer, patience=0.3)
    assert code_of(hub, forger) == ("provider-silent", "operator")


def test_what_is_said_of_somebody_else_is_not_used(forger: Forger) -> None:
    forger.claims = {"roles": None}
    hub = provider(forger.issuer, userinfo=True)
    forger.userinfo = b'{"sub": "somebody", "roles": ["hub-dpo"]}'
    assert told(hub, forger).claims["roles"] == ["hub-dpo"]
    for other in (b'{"sub": "another", "roles": ["hub-dpo"]}', b'{"roles": ["hub-dpo"]}'):
        forger.userinfo = other
        assert code_of(hub, forger) == ("identity-subject", "operator")
    forger.userinfo = forger.token(sub="somebody", iss="https://evil.example").encode()
    assert code_of(hub, forger) == ("identity-issuer", "operator")
    forger.userinfo = b"e30.e30."
    assert code_of(hub, forger) == ("identity-content", "operator")


# What it says has ended -----------------------------------------------------------------------

MEANT: Final[dict[str, Any]] = {"events": {LOGOUT_EVENT: {}}, "jti": "j1", "nonce": None}


def test_a_logout_token_names_a_session_or_a_person(forger: Forger) -> None:
    hub = provider(forger.issuer)
    made = hub.ended(forger.token(**MEANT, sid="s1", sub=None), now())
    assert (made.id, made.subject, made.sid) == ("j1", "", "s1")
    made = hub.ended(forger.token(**MEANT), now())
    assert (made.subject, made.sid) == ("somebody", "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"events": {}}, "logout-token"),
        ({"events": None}, "logout-token"),
        ({"nonce": "x"}, "logout-token"),
        ({"jti": None}, "logout-token"),
        ({"jti": 7}, "content"),
        ({"sub": None}, "logout-token"),
        ({"sub": "x" * 300}, "logout-token"),
        ({"exp": 1}, "time"),
        ({"aud": "another"}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
    ],
)
def test_what_is_no_logout_token_ends_nothing(
    forger: Forger, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(Unauthenticated) as raised:
        provider(forger.issuer).ended(forger.token(**{**MEANT, **changes}), now())
    assert raised.value.code == f"identity-{why}"


def test_forged_logout_tokens_do_not_make_the_hub_fetch_for_ever(forger: Forger) -> None:
    hub = provider(forger.issuer)
    by_an_unknown_key(forger)
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            hub.ended(forger.token(**MEANT), now())
    fetched = [path for path, _, _ in forger.asked if path == "/keys"]
    assert len(fetched) == 1
    # A login is no stranger's: its key is looked for once more.
    assert code_of(hub, forger) == ("identity-signature", "operator")
    assert len([path for path, _, _ in forger.asked if path == "/keys"]) == 2


# Nothing of it leaves -------------------------------------------------------------------------


def test_no_secret_is_logged_and_the_verifier_goes_to_the_token_endpoint_alone(
    forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub = provider(forger.issuer)
    address = hub.address("a-state", NONCE, VERIFIER)
    assert VERIFIER not in address
    assert "code_challenge_method=S256" in address
    made = hub.vouch(forger.back(address), NONCE, VERIFIER, now())
    for _ in range(2):
        by_another_key(forger)
        code_of(hub, forger)
    [form] = {body for path, _, body in forger.asked if path == "/token"}
    assert f"code_verifier={VERIFIER}" in form
    for hidden in (SECRET, VERIFIER, made.hint, "somebody", "access"):
        assert hidden not in caplog.text
        assert hidden not in repr(made)


def test_a_provider_that_wants_the_secret_in_the_form_gets_it_there(forger: Forger) -> None:
    forger.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    told(provider(forger.issuer), forger)
    [(headers, form)] = [(head, body) for path, head, body in forger.asked if path == "/token"]
    assert f"client_secret={SECRET}" in form
    assert "authorization" not in {name.lower() for name in headers}


def test_the_way_out_keeps_what_its_address_says(forger: Forger) -> None:
    way = provider(forger.issuer).leaving("the-hint")
    assert way.startswith(f"{forger.issuer}/out?from=hub&client_id=hub&")
    assert "id_token_hint=the-hint" in way
    forger.metadata = {"end_session_endpoint": None}
    assert provider(forger.issuer).leaving("the-hint") == ""
