"""Headers of every answer, and files handed out from memory."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hub.web.assets import STATIC, Assets
from hub.web.security import SecurityHeaders
from tests.web import published


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(published.application(), headers={"accept": "text/html"}) as client:
        yield client


@pytest.mark.parametrize(
    "address", ["/", "/map", "/nowhere", "/static/hub.css", "/static/nothing.js", "/v1/nowhere"]
)
def test_every_answer_is_kept_to_itself(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert "blob:" not in headers["content-security-policy"]
    assert "//" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers


def test_https_is_remembered_where_there_is_https() -> None:
    app = FastAPI()
    app.add_middleware(SecurityHeaders, https=True)
    assert "max-age" in TestClient(app).get("/").headers["strict-transport-security"]


def test_files_are_cached_by_their_digest(client: TestClient) -> None:
    address = Assets().address("hub.css")
    answer = client.get(address)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == (STATIC / "hub.css").read_text("utf-8")
    stale = client.get("/static/hub.css?v=0000")
    assert stale.headers["cache-control"] == "no-cache"
    same = client.get(address, headers={"if-none-match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    plain = client.get(address, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content


def test_layers_are_revalidated(client: TestClient) -> None:
    answer = client.get("/map/layers/lycee.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    same = client.get(
        "/map/layers/lycee.geojson", headers={"if-none-match": answer.headers["etag"]}
    )
    assert same.status_code == 304
    assert client.get("/map/layers/pupils.geojson").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["../words.py", "..%2fwords.py", "%2e%2e/words.py", "dist%2f..%2fhub.css", "a\0b"],
)
def test_only_known_names_are_files(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}".replace("\0", "%00")).status_code == 404


def test_without_the_bundle_pages_still_work(tmp_path: Path) -> None:
    assets = Assets(dist=tmp_path)
    assert assets.address("hub.css")
    (tmp_path / "extra.js").write_text("1")
    extended = Assets(dist=tmp_path)
    assert "dist/extra.js" in extended
    assert extended.address("dist/extra.js").startswith("/static/dist/extra.js?v=")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(STATIC.rglob("*.*")) if path.parent.name != "dist"],
    ids=lambda path: path.name,
)
def test_our_own_files_name_no_other_host(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, not a link
    assert not re.search(r"https?:|(?<![:\w])//\w+\.|@import|url\(", text)
    assert gzip.compress(text.encode())
