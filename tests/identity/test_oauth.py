import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import quote_plus

import pytest
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from hub.errors import Unauthenticated, Unavailable
from hub.events import AuditEvent, Kind
from hub.identity import oauth, passwords, proofs
from hub.identity.oauth import TokenAnswer, TokenServer
from tests.hashing import QUICK
from tests.identity.helpers import ENDPOINT, NOW, MemoryBooks, client

GRANT = {"grant_type": "client_credentials"}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def basic(client_id: str = "transdev-1", secret: str = "s3cret") -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


@cache
def key(alg: str = "ES256") -> Key:
    if alg == "Ed25519":
        return OKPKey.generate_key("Ed25519")
    return ECKey.generate_key() if alg == "ES256" else RSAKey.generate_key(2048)


def claims(**changes: object) -> dict[str, Any]:
    now = int(NOW.timestamp())
    facts = {
        "iss": "transdev-1",
        "sub": "transdev-1",
        "aud": ENDPOINT,
        "iat": now,
        "exp": now + 300,
        "jti": "one",
    }
    return {k: v for k, v in (facts | changes).items() if v is not None}


def signed(body: Mapping[str, Any], alg: str = "ES256", by: Key | None = None) -> dict[str, str]:
    token = jwt.encode({"alg": alg}, dict(body), by or key(), algorithms=[alg])
    return GRANT | {"client_assertion_type": ASSERTION_TYPE, "client_assertion": token}


def raw(header: object, body: object, signature: bytes = b"x") -> dict[str, str]:
    parts = [json.dumps(header).encode(), json.dumps(body).encode(), signature]
    token = ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts)
    return GRANT | {"client_assertion_type": ASSERTION_TYPE, "client_assertion": token}


@pytest.fixture
def books() -> MemoryBooks:
    books = MemoryBooks()
    books.clients["transdev-1"] = client(public_jwk=key().as_dict(private=False))
    books.clients["key-only"] = client(
        id="key-only", secret_hash=None, public_jwk=key().as_dict(private=False)
    )
    books.clients["secret-only"] = client(id="secret-only")
    return books


@pytest.fixture
def server(books: MemoryBooks) -> TokenServer:
    return TokenServer(books, ENDPOINT, issuer="https://hub.test")


def check_refusal(answer: TokenAnswer, error: str, status: int = 400) -> None:
    assert (answer.status, answer.body["error"]) == (status, error)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)


# -- secret ---------------------------------------------------------------------------------------


def test_a_secret_gets_a_token_for_a_quarter_of_an_hour(
    server: TokenServer, books: MemoryBooks
) -> None:
    answer = server.issue(GRANT, basic(), NOW)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    token = answer.body["access_token"]
    assert answer.body == {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "push:write push:read",
    }
    assert server.check(f"Bearer {token}", NOW) == (
        books.clients["transdev-1"],
        ("push:write", "push:read"),
    )
    for wrong in (None, "", token, f"Basic {token}", f"Bearer {token}x", "Bearer", "Bearer  "):
        with pytest.raises(Unauthenticated):
            server.check(wrong, NOW)
    with pytest.raises(Unauthenticated):
        server.check(f"Bearer {token}", NOW + timedelta(minutes=15))
    assert token.encode() not in repr(books.__dict__).encode()
    [event] = books.recorded
    assert (event.kind, event.actor, event.about) == (Kind.TOKEN_ISSUED, "transdev", "transdev-1")
    assert event.facts["method"] == "client_secret_basic"


def test_a_narrower_scope_is_granted_as_asked(server: TokenServer) -> None:
    answer = server.issue(GRANT | {"scope": "push:read push:read"}, basic(), NOW)
    assert answer.body["scope"] == "push:read"
    assert server.check(f"bearer {answer.body['access_token']}", NOW)[1] == ("push:read",)


@pytest.mark.parametrize("scope", ["admin", "push:read admin", "", " ", 'x" é'])
def test_a_scope_the_client_does_not_have_is_refused(
    server: TokenServer, books: MemoryBooks, scope: str
) -> None:
    check_refusal(server.issue(GRANT | {"scope": scope}, basic(), NOW), "invalid_scope")
    assert books.tokens == {}
    [event] = books.recorded
    assert (event.kind, event.actor, event.about) == (Kind.TOKEN_REFUSED, "transdev", "transdev-1")
    assert event.facts == {"error": "invalid_scope"}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        basic("ghost"),
        basic(secret="wrong"),
        basic(secret=""),
        basic(client_id=""),
        basic("key-only"),
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(b"%ff:s3cret").decode(),
        "Basic " + base64.b64encode(b"transdev-1").decode(),
        "Bearer " + base64.b64encode(b"transdev-1:s3cret").decode(),
        basic("transdev-1\x00"),
    ],
)
def test_whoever_does_not_prove_who_it_is_gets_one_same_answer(
    server: TokenServer, books: MemoryBooks, authorization: str | None
) -> None:
    answer = server.issue(GRANT, authorization, NOW)
    check_refusal(answer, "invalid_client", 401)
    assert answer == server.issue(GRANT, basic(secret="no"), NOW)
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert books.recorded[0].actor == "unknown"
    assert books.tokens == {}


def test_an_unknown_client_costs_the_same_work(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def verify(hashed: str | None, _secret: str) -> bool:
        asked.append(hashed)
        return False

    monkeypatch.setattr(passwords, "verify", verify)
    for who in ("ghost", "transdev-1", "key-only"):
        server.issue(GRANT, basic(who), NOW)
    # Two each: the second is for a secret that was replaced.
    assert [hashed is None for hashed in asked] == [True, True, False, True, True, True]


def test_rfc_6749_examples_of_basic_credentials() -> None:
    """§2.3.1's header, and appendix B's string with a space, signs and non-ASCII letters."""
    assert proofs.basic_credentials("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW") == (
        "s6BhdRkqt3",
        "gX1fBat3bV",
    )
    encoded = base64.b64encode(b"id:+%25%26%2B%C2%A3%E2%82%AC").decode()
    assert proofs.basic_credentials(f"basic {encoded}") == ("id", " %&+£€")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_any_id_and_secret_survive_the_encoding(client_id: str, secret: str) -> None:
    assert proofs.basic_credentials(basic(client_id, secret)) == (client_id, secret)


def test_an_odd_secret_works_through_the_front(server: TokenServer, books: MemoryBooks) -> None:
    books.clients["odd"] = client(id="odd", secret_hash=QUICK.hash("a+b %:é"))
    assert server.issue(GRANT, basic("odd", "a+b %:é"), NOW).status == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": 'é"\\'}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        (GRANT | {"client_secret": "s3cret", "client_id": "transdev-1"}, "invalid_request"),
        (GRANT | {"scope": "x" * 9000}, "invalid_request"),
    ],
)
def test_what_is_no_token_request(
    server: TokenServer, books: MemoryBooks, form: dict[str, str], error: str
) -> None:
    check_refusal(server.issue(form, basic(), NOW), error)
    assert books.recorded[0].facts == {"error": error}


def test_a_secret_in_the_body_is_no_proof(server: TokenServer) -> None:
    form = GRANT | {"client_id": "transdev-1", "client_secret": "s3cret"}
    check_refusal(server.issue(form, None, NOW), "invalid_client", 401)


# -- assertions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "Ed25519"])
def test_a_signed_assertion_gets_a_token(server: TokenServer, books: MemoryBooks, alg: str) -> None:
    books.clients["transdev-1"] = client(public_jwk=key(alg).as_dict(private=False))
    answer = server.issue(signed(claims(), alg, key(alg)), None, NOW)
    assert answer.status == 200
    assert books.recorded[0].facts["method"] == "private_key_jwt"


def test_the_assertion_of_a_public_client_library_is_taken(server: TokenServer) -> None:
    token = private_key_jwt_sign(
        key(), "key-only", ENDPOINT, alg="ES256", issued_at=int(NOW.timestamp())
    )
    form = GRANT | {"client_assertion_type": ASSERTION_TYPE, "client_assertion": token}
    assert server.issue(form, None, NOW).status == 200


def test_an_assertion_is_used_once(server: TokenServer, books: MemoryBooks) -> None:
    assert server.issue(signed(claims()), None, NOW).status == 200
    check_refusal(server.issue(signed(claims()), None, NOW), "invalid_client", 401)
    assert server.issue(signed(claims(jti="two")), None, NOW).status == 200
    other = claims(iss="key-only", sub="key-only")
    assert server.issue(signed(other), None, NOW).status == 200


AT = int(NOW.timestamp())
BAD_CLAIMS: dict[str, dict[str, object]] = {
    "wrong audience": {"aud": "https://elsewhere.test/token"},
    "one of several audiences is not enough if none is ours": {"aud": ["https://a.test", "x"]},
    "no audience": {"aud": None},
    "audience a number": {"aud": 3},
    "expired": {"exp": AT - 61},
    "no expiry": {"exp": None},
    "expires too far": {"exp": AT + 7200},
    "expires never": {"exp": 10**400},
    "expiry text": {"exp": "soon"},
    "expiry true": {"exp": True},
    "from the future": {"iat": AT + 120},
    "not yet valid": {"nbf": AT + 120},
    "another issuer": {"iss": "key-only"},
    "no issuer": {"iss": None},
    "another subject": {"sub": "key-only"},
    "unknown subject": {"sub": "ghost", "iss": "ghost"},
    "no subject": {"sub": None},
    "subject a list": {"sub": ["transdev-1"], "iss": ["transdev-1"]},
    "no id": {"jti": None},
    "id empty": {"jti": ""},
    "id a number": {"jti": 7},
    "id endless": {"jti": "x" * 200},
    "client without a key": {"iss": "secret-only", "sub": "secret-only"},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_assertions_with_wrong_claims_are_refused(
    server: TokenServer, books: MemoryBooks, name: str
) -> None:
    answer = server.issue(signed(claims(**BAD_CLAIMS[name])), None, NOW)
    check_refusal(answer, "invalid_client", 401)
    assert (books.tokens, books.used) == ({}, set())
    assert server.issue(signed(claims()), None, NOW).status == 200


def test_the_issuer_s_address_and_a_list_are_audiences_too(server: TokenServer) -> None:
    assert server.issue(signed(claims(aud="https://hub.test")), None, NOW).status == 200
    both = claims(aud=["https://x.test", ENDPOINT], jti="two")
    assert server.issue(signed(both), None, NOW).status == 200


def test_forged_signatures_are_refused(server: TokenServer, books: MemoryBooks) -> None:
    good = signed(claims())["client_assertion"]
    head, body, signature = good.split(".")
    shared = OctKey.import_key(b"k" * 32)
    forgeries = [
        signed(claims(), by=ECKey.generate_key()),
        signed(claims(), "RS256", key("RS256")),
        signed(claims(), "HS256", shared),
        raw({"alg": "none"}, claims(), b""),
        raw({"alg": "None"}, claims()),
        raw({"alg": ""}, claims()),
        raw({}, claims()),
        raw([], claims()),
        raw({"alg": ["ES256"]}, claims()),
        raw({"alg": "ES256", "jwk": ECKey.generate_key().as_dict(private=False)}, claims()),
        raw({"alg": "ES256", "crit": ["x"], "x": 1}, claims()),
        raw({"alg": "ES256"}, claims()),
        raw({"alg": "ES256"}, [claims()]),
        raw({"alg": "ES256"}, "x"),
        *(
            GRANT | {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}
            for text in ("", ".", "..", "a.b.c", "é.é.é", f"{head}.{body}.", f"{head}.{body}", "=")
        ),
        GRANT | {"client_assertion_type": "x", "client_assertion": good},
        GRANT | {"client_assertion": good},
        GRANT
        | {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": f"{head}.{body}.{signature[::-1]}",
        },
    ]
    for form in forgeries:
        check_refusal(server.issue(form, None, NOW), "invalid_client", 401)
    assert (books.tokens, books.used) == ({}, set())


def test_a_public_key_used_as_a_shared_secret_is_no_key(
    server: TokenServer, books: MemoryBooks
) -> None:
    """The classic confusion: HS256 keyed with the public key everybody has."""
    form = raw({"alg": "HS256"}, claims())
    head, body, _ = form["client_assertion"].split(".")
    public = ECKey.import_key(key().as_dict(private=False)).as_pem(private=False)
    mac = hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()
    forged = raw({"alg": "HS256"}, claims(), mac)
    check_refusal(server.issue(forged, None, NOW), "invalid_client", 401)
    books.clients["transdev-1"] = client(public_jwk={"kty": "oct", "k": "AAAA"})
    check_refusal(server.issue(signed(claims()), None, NOW), "invalid_client", 401)


@pytest.mark.parametrize("jwk", [{}, {"kty": "EC"}, {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}])
def test_a_registered_key_that_is_none_admits_nobody(
    server: TokenServer, books: MemoryBooks, jwk: dict[str, object]
) -> None:
    books.clients["transdev-1"] = client(public_jwk=jwk)
    check_refusal(server.issue(signed(claims()), None, NOW), "invalid_client", 401)


def test_two_proofs_in_one_request_are_refused(server: TokenServer, books: MemoryBooks) -> None:
    check_refusal(server.issue(signed(claims()), basic(), NOW), "invalid_request")
    assert books.used == set()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(["grant_type", "scope", "client_assertion", "client_assertion_type", "x"]),
        st.one_of(
            st.text(max_size=60),
            st.sampled_from(["client_credentials", ASSERTION_TYPE]),
            st.builds(
                lambda parts: ".".join(base64.urlsafe_b64encode(p).decode() for p in parts),
                st.lists(
                    st.one_of(st.binary(max_size=20), st.just(b'{"alg":"ES256"}')), max_size=4
                ),
            ),
        ),
    ),
    st.one_of(st.none(), st.text(max_size=60)),
)
def test_any_request_gets_an_answer(
    server: TokenServer, form: dict[str, str], authorization: str | None
) -> None:
    answer = server.issue(form, authorization, NOW)
    assert answer.status in {400, 401}
    assert answer.body["error_description"].isascii() if "error_description" in answer.body else 1


# -- around ---------------------------------------------------------------------------------------


def test_no_secret_and_no_token_is_logged(
    server: TokenServer, books: MemoryBooks, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = server.issue(GRANT, basic(), NOW).body["access_token"]
        server.issue(GRANT, basic("my-secret-typed-as-id", "wr0ng"), NOW)
        server.issue(signed(claims()), None, NOW)
    written = caplog.text + repr([event.canonical() for event in books.recorded])
    for secret in (token, "s3cret", "wr0ng", "my-secret-typed-as-id"):
        assert secret not in written
    assert token not in repr(server.issue(GRANT, basic(), NOW))


def test_books_that_do_not_answer_issue_nothing(books: MemoryBooks) -> None:
    class Down(MemoryBooks):
        def add_token(self, *_: object, event: AuditEvent) -> None:
            raise Unavailable("down", fr="en panne", en="out of order", who="operator")

    down = Down()
    down.clients = books.clients
    with pytest.raises(Unavailable):
        TokenServer(down, ENDPOINT).issue(GRANT, basic(), NOW)


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [
        ("http://127.0.0.1:8000/oauth/token", 200),
        ("http://localhost/oauth/token", 200),
        ("http://hub.test/oauth/token", 400),
    ],
)
def test_secrets_travel_in_the_clear_on_the_loopback_only(
    books: MemoryBooks, endpoint: str, status: int
) -> None:
    assert TokenServer(books, endpoint).issue(GRANT, basic(), NOW).status == status


def test_lifetimes_are_short() -> None:
    assert timedelta(minutes=15) == oauth.LIFETIME
    assert timedelta(hours=1) >= proofs.MAX_LIFE
