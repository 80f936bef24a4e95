"""Providers of identities for tests: the real one in a process of its own, and one that forges."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from html import unescape
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.flows.served import free_port
from tests.services import STATE, found, needed

PROGRAM: Final = Path(__file__).parents[2] / "deploy" / "oidc" / "provider.mjs"
SECRET: Final = "hub-secret-of-the-tests"
CLIENT: Final = "hub"


@dataclass
class Real:
    """npm `oidc-provider`: it can be stopped and started again under the same address."""

    folder: Path
    port: int
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["node", str(self.folder / PROGRAM.name)],
            env={**os.environ, **self.settings, "PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, "the provider did not start"
                assert time.monotonic() < until, "the provider took too long"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def rotate(self) -> None:
        httpx2.post(f"{self.issuer}/test/rotate").raise_for_status()


@contextmanager
def real(*hubs: str, **settings: str) -> Iterator[Real]:
    """The provider of `deploy/oidc`, with the packages `make services` installed, on its own."""
    needed("oidc")
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(PROGRAM, folder)
        (folder / "node_modules").symlink_to((STATE / "oidc" / "node_modules").resolve())
        made = Real(folder, free_port(), {"HUBS": ",".join(hubs), **settings})
        made.start()
        try:
            yield made
        finally:
            made.stop()


@dataclass(frozen=True)
class Keycloak:
    """The realm of `deploy/oidc/keycloak.json` at a Keycloak, and its administrator."""

    address: str
    password: str

    @property
    def issuer(self) -> str:
        return f"{self.address}/realms/region"

    def administer(self, method: str, path: str, told: Any = None) -> Any:
        """A request to the realm's administration; what it answers."""
        asked = {
            "grant_type": "password", "client_id": "admin-cli",
            "username": "admin", "password": self.password,
        }  # fmt: skip
        at = f"{self.address}/realms/master/protocol/openid-connect/token"
        token = httpx2.post(at, data=asked).raise_for_status().json()["access_token"]
        answer = httpx2.request(
            method, f"{self.address}/admin/realms/region/{path}", json=told,
            headers={"authorization": f"Bearer {token}"}, timeout=60,  # a key takes seconds to make
        ).raise_for_status()  # fmt: skip
        return answer.json() if answer.content else None

    def rotate(self) -> None:
        """From now on another key signs."""
        config = {"priority": [str(1000 + int(time.time()))], "algorithm": ["RS256"]}
        kind = "org.keycloak.keys.KeyProvider"
        self.administer(
            "POST", "components",
            {"name": "next", "providerId": "rsa-generated", "providerType": kind, "config": config},
        )  # fmt: skip


def keycloak() -> Keycloak:
    """The one `deploy/services keycloak` started. No test run requires it: it is slow to begin."""
    told = found("keycloak")
    if told is None:
        pytest.skip("no Keycloak runs; `deploy/services keycloak` starts one")
    return Keycloak(told["HUB_TEST_KEYCLOAK"], told["HUB_TEST_KEYCLOAK_ADMIN"])


def signed_in(
    address: str, person: str, back: str, browser: httpx2.Client | None = None
) -> dict[str, str]:
    """What a person's browser brings back to the hub after signing in at the real provider."""
    # As browsers do, loopback is taken for a place where a Secure cookie may go.
    jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
    with nullcontext(browser) if browser else httpx2.Client(cookies=jar) as client:
        answer = client.get(address)
        for _ in range(10):
            while answer.is_redirect:
                where = urljoin(str(answer.url), answer.headers["location"])
                if where.startswith(back):
                    return {name: said[0] for name, said in parse_qs(urlsplit(where).query).items()}
                answer = client.get(where)
            assert answer.status_code == 200, answer.text
            action = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            assert action, answer.text
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            name = {"prompt": prompt[1], "login": person} if prompt else {"username": person}
            where = urljoin(str(answer.url), unescape(action[1]))
            answer = client.post(where, data={**name, "password": person})
    raise AssertionError("the provider goes round in circles")


@dataclass
class Forger:
    """A provider that says whatever a test wants: its claims, header and key are to be changed."""

    issuer: str = ""
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1"}))
    shown: list[ECKey] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "ES256", "kid": "k1"})
    metadata: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    userinfo: bytes = b"{}"
    nonce: str = ""
    sign: Callable[[bytes], bytes] | None = None
    asked: list[tuple[str, Mapping[str, str], str]] = field(default_factory=list)
    pause: float = 0.0

    def back(self, address: str) -> dict[str, str]:
        """What the browser brings back from `address`."""
        asked = {name: said[0] for name, said in parse_qs(urlsplit(address).query).items()}
        self.nonce = asked["nonce"]
        return {"code": "any", "state": asked["state"], "iss": self.issuer}

    def token(self, **changes: Any) -> str:
        """A token with the claims and header that were chosen; None takes a claim away."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "somebody",
            "exp": now + 300,
            "iat": now,
            "nonce": self.nonce,
            "roles": ["hub-dpo"],
            "organisation": "region",
            **self.claims,
            **changes,
        }
        claims = {name: said for name, said in claims.items() if said is not None}
        if self.sign is None:
            return jwt.encode(self.header, claims, self.key, algorithms=[self.header["alg"]])
        text = b".".join(_encoded(json.dumps(part).encode()) for part in (self.header, claims))
        return b".".join([text, _encoded(self.sign(text))]).decode()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        if path in self.answers:
            return self.answers[path]
        told: Any = {
            "/.well-known/openid-configuration": lambda: {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                "userinfo_endpoint": f"{self.issuer}/me",
                "jwks_uri": f"{self.issuer}/keys",
                "end_session_endpoint": f"{self.issuer}/out?from=hub",
                **self.metadata,
            },
            "/keys": lambda: {
                "keys": [key.as_dict(private=False) for key in self.shown or [self.key]]
            },
            "/token": lambda: {
                "id_token": self.token(),
                "access_token": "access",
                "token_type": "Bearer",
            },
        }.get(path)
        if path == "/me":
            return 200, self.userinfo
        return (200, json.dumps(told()).encode()) if told else (404, b"")


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@contextmanager
def forging() -> Iterator[Forger]:
    """A forger on a port of its own."""
    forger = Forger()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            forger.asked.append((self.path, dict(self.headers.items()), body))
            status, answer = forger.answer(self.path)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            jwt_like = self.path == "/me" and not answer.startswith(b"{")
            self.send_header("content-type", f"application/{'jwt' if jwt_like else 'json'}")
            self.end_headers()
            for at in range(len(answer)) if forger.pause else ():
                self.wfile.write(answer[at : at + 1])
                time.sleep(forger.pause)
            if not forger.pause:
                self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - the name is the library's

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    forger.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield forger
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
