"""Datasets fetched from an address: only if changed, only from the open internet."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hub import pull, push, worker
from hub.audit import receipts
from hub.errors import NotFound, TooLarge, Unavailable
from hub.parts import Parts
from hub.settings import PullTerms
from tests.flows import world

LYCEES = "region/lycees"


class Site:
    """A small site: paths to answers, and what was asked of it."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.names: list[str | None] = []
        self.url = ""


@contextmanager
def serving(certificate: tuple[Path, Path] | None = None) -> Iterator[Site]:
    """A site on the loopback; over TLS with a certificate and its key."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            status, headers, body = site.pages[self.path]
            if self.headers.get("if-none-match") == headers.get("etag", "none"):
                status, body = 304, b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304 and "content-length" not in headers:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.set_servername_callback(lambda _, name, __: site.names.append(name))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        site.url = f"https://data.example:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as one:
        yield one


def parts_for(home: Path, url: str, **settings: object) -> Parts:
    parts = world.hub_in(home, **{"pull_allow_private": True, **settings})
    pulls = [PullTerms(dataset=LYCEES, url=url, every=timedelta(days=1))]
    return replace(parts, territory=parts.territory.model_copy(update={"pulls": pulls}))


def test_an_edition_is_pushed_once(tmp_path: Path, site: Site) -> None:
    site.pages["/a"] = (200, {"etag": '"1"'}, world.lycees())
    parts = parts_for(tmp_path, f"{site.url}/a")
    made = pull.fetch(parts, LYCEES)
    assert made is not None
    worker.drain(parts)
    assert pull.fetch(parts, LYCEES) is None
    assert site.asked[1][1]["if-none-match"] == '"1"'
    assert site.asked[0][1]["host"] == site.url.removeprefix("http://")
    # What was noted is lost in a crash: the same edition is still one push.
    parts.books.note_pull(LYCEES, parts.clock(), "pushed")
    assert pull.fetch(parts, LYCEES) is None
    assert [one.id for one in parts.books.pushes()] == [made.id]
    site.pages["/a"] = (200, {"etag": '"2"'}, world.lycees() + b"\n")
    newer = pull.fetch(parts, LYCEES)
    assert newer is not None
    assert newer.id != made.id


def test_the_worker_fetches_what_is_due(tmp_path: Path, site: Site) -> None:
    site.pages["/a"] = (200, {"last-modified": "Mon, 01 Sep 2025 00:00:00 GMT"}, world.lycees())
    parts = parts_for(tmp_path, f"{site.url}/a", pulls=True)
    now = parts.clock()
    assert pull.schedule(parts, now) == 1
    assert pull.schedule(parts, now + timedelta(hours=23)) == 0
    worker.drain(parts)
    (made,) = parts.books.pushes()
    assert (made.state, made.valid) == ("stored", 1)
    assert parts.books.pulled(LYCEES).outcome == "pushed"
    assert pull.schedule(parts, now + timedelta(hours=25)) == 1


def test_what_goes_wrong_is_noted_and_holds_nothing_up(tmp_path: Path, site: Site) -> None:
    site.pages["/a"] = (500, {}, b"")
    parts = parts_for(tmp_path, f"{site.url}/a", pulls=True)
    pull.schedule(parts, parts.clock())
    worker.drain(parts)
    assert parts.books.pulled(LYCEES).outcome == "pull-refused"
    assert parts.books.promised() == set()
    assert parts.books.pushes() == []
    with pytest.raises(NotFound):
        pull.fetch(parts, "orange/presence")


def test_the_same_bytes_of_a_site_that_names_no_edition_are_pushed_once(
    tmp_path: Path, site: Site
) -> None:
    site.pages["/a"] = (200, {}, world.lycees())
    parts = parts_for(tmp_path, f"{site.url}/a")
    assert pull.fetch(parts, LYCEES) is not None
    assert pull.fetch(parts, LYCEES) is None, "the first is not even processed yet"
    worker.drain(parts)
    assert pull.fetch(parts, LYCEES) is None
    assert parts.books.pulled(LYCEES).outcome == "unchanged"
    assert list(parts.vault.names()) == []
    site.pages["/a"] = (200, {}, b"<html>")
    assert pull.fetch(parts, LYCEES) is not None
    worker.drain(parts)
    assert pull.fetch(parts, LYCEES) is not None, "what was refused is tried again"
    site.pages["/a"] = (200, {}, world.lycees())
    assert pull.fetch(parts, LYCEES) is not None


def test_of_a_national_file_the_territory_is_kept_and_the_rest_is_told(
    tmp_path: Path, site: Site
) -> None:
    here = world.lycees().splitlines()
    elsewhere = here[1].replace(b";045;", b";035;").replace(b"0450", b"0350")
    school = here[1].replace(";Lycée;".encode(), b";Ecole;").replace(b"0450", b"0451")
    site.pages["/a"] = (200, {"etag": '"1"'}, b"\n".join([*here, elsewhere, school, b""]))
    parts = parts_for(tmp_path, f"{site.url}/a")
    pull.fetch(parts, LYCEES)
    worker.drain(parts)
    (made,) = parts.books.pushes()
    assert (made.received, made.valid, made.kept) == (1, 1, 1)
    assert made.warnings == {"left_aside": 2}
    assert receipts.verify(push.receipt(parts, made), parts.log.keys)["warnings"] == made.warnings


def test_redirects_are_followed_a_few_times(tmp_path: Path, site: Site) -> None:
    site.pages["/a"] = (302, {"location": "/b"}, b"")
    site.pages["/b"] = (200, {}, world.lycees())
    site.pages["/loop"] = (302, {"location": "/loop"}, b"")
    site.pages["/file"] = (302, {"location": "file:///etc/passwd"}, b"")
    assert pull.fetch(parts_for(tmp_path / "1", f"{site.url}/a"), LYCEES) is not None
    for path, code in (("/loop", "pull-redirects"), ("/file", "pull-redirect-unsafe")):
        with pytest.raises(Unavailable) as met:
            pull.fetch(parts_for(tmp_path / path[1:], site.url + path), LYCEES)
        assert met.value.code == code


def test_a_body_cut_or_too_large_or_too_slow_leaves_nothing(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/cut"] = (200, {"content-length": "1000"}, b"x" * 10)
    site.pages["/large"] = (200, {}, b"x" * 2000)
    cut = parts_for(tmp_path / "cut", f"{site.url}/cut")
    with pytest.raises(Unavailable, match="could not be read"):
        pull.fetch(cut, LYCEES)
    large = parts_for(tmp_path / "large", f"{site.url}/large", push_bytes=1000)
    with pytest.raises(TooLarge):
        pull.fetch(large, LYCEES)
    monkeypatch.setattr(pull, "PATIENCE", -timedelta(seconds=1))
    with pytest.raises(Unavailable) as met:
        pull.fetch(parts_for(tmp_path / "slow", f"{site.url}/large"), LYCEES)
    assert met.value.code == "pull-too-slow"
    for parts in (cut, large):
        assert parts.books.pushes() == []
        assert list(parts.vault.names()) == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://[::1]/", "http://localhost/", "http://10.0.0.1/",
     "http://169.254.169.254/latest/", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/",
     "http://[64:ff9b::7f00:1]/", "http://2130706433/", "http://[fe80::1]/", "http://100.64.0.1/"],
)  # fmt: skip
def test_addresses_inside_are_not_reached(url: str, tmp_path: Path) -> None:
    parts = parts_for(tmp_path, url, pull_allow_private=False)
    with pytest.raises(Unavailable) as met:
        pull.fetch(parts, LYCEES)
    assert met.value.code == "pull-address-private"


def test_a_redirect_inside_and_a_name_that_changes_are_not_followed(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name answers a public address first, and the loopback the next time it is asked."""
    site.pages["/a"] = (302, {"location": "http://inside.example/"}, b"")
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        inside = host == "inside.example"
        return real("10.1.2.3" if inside else "127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(pull, "is_public", lambda one: not one.is_private or one.is_loopback)
    port = site.url.rsplit(":", 1)[1]
    parts = parts_for(tmp_path, f"http://outside.example:{port}/a", pull_allow_private=False)
    with pytest.raises(Unavailable) as met:
        pull.fetch(parts, LYCEES)
    assert met.value.code == "pull-address-private"
    assert site.asked[0][1]["host"] == f"outside.example:{port}"
    # Resolved once by us; the connection then goes to the literal address.
    assert asked.count("outside.example") == 1


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111"])
def test_addresses_outside_are_public(text: str) -> None:
    assert pull.is_public(ipaddress.ip_address(text))


def issued(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """An authority of our own, and a certificate of it for a name: authority, certificate, key."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    ours = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    theirs = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def made(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ours)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            names = x509.SubjectAlternativeName([x509.DNSName(name)])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(keys[0], hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    key = keys[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    contents = [made(ours, keys[0], authority=True), made(theirs, keys[1], authority=False), key]
    paths = [folder / f"{name}.{part}" for part in ("ca", "crt", "key")]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths[0], paths[1], paths[2]


@pytest.mark.parametrize(
    ("name", "trusted", "outcome"),
    [("data.example", True, ""), ("other.example", True, "pull-unreachable"),
     ("data.example", False, "pull-unreachable")],
)  # fmt: skip
def test_the_certificate_is_the_name_s_though_the_connection_goes_to_the_address(
    name: str, trusted: bool, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, certificate, key = issued(tmp_path, name)
    real = socket.getaddrinfo
    asked: list[str] = []

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if host == "data.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with serving((certificate, key)) as site:
        site.pages["/a"] = (200, {}, world.lycees())
        parts = parts_for(tmp_path / "var", f"{site.url}/a")
        if outcome:
            with pytest.raises(Unavailable) as met:
                pull.fetch(parts, LYCEES)
            assert met.value.code == outcome
            assert site.asked == []
        else:
            assert pull.fetch(parts, LYCEES) is not None
            assert site.asked[0][1]["host"] == site.url.removeprefix("https://")
        assert site.names == ["data.example"]
        assert asked.count("data.example") == 1


def test_nothing_is_fetched_until_the_operator_says_so(tmp_path: Path, site: Site) -> None:
    """Also not what the demo's own territory file names."""
    parts = world.hub_in(tmp_path)
    wanted = {"region/gtfs", "region/lycees", "region/carpool-places"}
    assert {terms.dataset for terms in parts.territory.pulls} == wanted <= set(parts.datasets)
    assert all(terms.url.startswith("https://") for terms in parts.territory.pulls)
    assert pull.schedule(parts, parts.clock()) == 0
    assert parts.books.promised() == set()
    assert pull.schedule(parts_for(tmp_path / "b", f"{site.url}/a"), parts.clock()) == 0
