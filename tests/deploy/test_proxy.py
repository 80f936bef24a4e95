"""The reverse proxy's example, run by nginx itself before a hub that says what it was told."""

from __future__ import annotations

import datetime as dt
import http.client
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.flows.served import free_port
from tests.own import Service, running
from tests.services import missing

EXAMPLE = Path(__file__).parents[2] / "deploy" / "proxy" / "nginx.conf"
HOST = "hub.example.org"


def certificate(folder: Path) -> None:
    """A key and a certificate it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder.mkdir()
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers it was sent, and how much of a body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        told = f"{self.headers}bytes: {len(body)}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def ports(folder: Path) -> Iterator[tuple[int, int]]:
    """nginx by the example: its ports for HTTP and HTTPS. Only addresses and paths are others."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        missing("nginx is not there; `make services` installs it")
    certificate(folder / "tls")
    plain, tls = free_port(), free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        text = EXAMPLE.read_text("utf-8")
        for old, new in {
            "/var/run/nginx.pid": str(folder / "pid"),
            "/dev/stdout": str(folder / "access.log"),
            "/dev/stderr": str(folder / "error.log"),
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ": f"listen 127.0.0.1:{tls} ",
            "/etc/nginx/tls": str(folder / "tls"),
            "server hub:8000;": f"server 127.0.0.1:{hub.server_port};",
        }.items():
            assert text.count(old), old
            text = text.replace(old, new)
        (folder / "nginx.conf").write_text(text, "utf-8")
        command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
        read = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert read.returncode == 0, read.stderr
        with running(Service([*command, "-g", "daemon off;"], tls)):
            yield plain, tls
        hub.shutdown()


def said(
    connection: http.client.HTTPConnection, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    with closing(connection):
        connection.request("POST" if body else "GET", path, body, {"host": HOST, **headers})
        answer = connection.getresponse()
        heard = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, heard, answer.read().decode().replace("\r", "")


def secure(port: int) -> http.client.HTTPSConnection:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=20)


def test_plain_http_leads_to_tls(ports: tuple[int, int]) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=20)
    status, headers, _ = said(plain, "/catalog")
    assert (status, headers["location"]) == (301, f"https://{HOST}/catalog")


def test_the_hub_is_told_who_asks_and_nobody_else_can_say_so(ports: tuple[int, int]) -> None:
    forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http"}
    status, headers, told = said(secure(ports[1]), "/catalog", None, **forged)
    assert status == 200
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert "X-Forwarded-For: 127.0.0.1\n" in told
    assert "X-Forwarded-Proto: https\n" in told
    assert "203.0.113.9" not in told


def test_what_it_keeps_names_no_address_and_no_question(
    ports: tuple[int, int], folder: Path
) -> None:
    """Also where it refuses by itself, which it tells of in its own words."""
    for path in ("/catalog?card=canary-card", "/metrics?card=canary-card"):
        said(secure(ports[1]), path, None, referer="https://elsewhere.example/canary-referer")
    kept = [(folder / name).read_text("utf-8") for name in ("access.log", "error.log")]
    assert len(kept[0].splitlines()) >= 2
    for told in ("canary", "127.0.0.1"):
        assert told not in "".join(kept)


def test_a_large_file_passes(ports: tuple[int, int]) -> None:
    status, _, told = said(secure(ports[1]), "/v1/pushes", b"x" * 3_000_000)
    assert status == 200
    assert "bytes: 3000000\n" in told


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_what_is_for_the_machine_itself_is_closed(ports: tuple[int, int], path: str) -> None:
    assert said(secure(ports[1]), path)[0] == 403
