"""The OpenID provider of the tests: it is one, and its keys rotate when a test says so."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.services import needed


def fetched(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data=data, timeout=20) as answer:
        read: bytes = answer.read()
    return read


def test_it_tells_what_it_is_and_rotates_its_keys() -> None:
    issuer = needed("oidc")["HUB_TEST_OIDC_ISSUER"]
    told: dict[str, Any] = json.loads(fetched(f"{issuer}/.well-known/openid-configuration"))
    assert told["issuer"] == issuer
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert "end_session_endpoint" in told
    before = {key["kid"] for key in json.loads(fetched(told["jwks_uri"]))["keys"]}
    fetched(f"{issuer}/test/rotate", b"")
    after = {key["kid"] for key in json.loads(fetched(told["jwks_uri"]))["keys"]}
    assert before.isdisjoint(after)
