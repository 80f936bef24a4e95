"""Decisions of an OPA server: the same as the embedded engine's, and a no for whatever is wrong."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings

from hub.deadlines import AT_ONCE
from hub.errors import Rejected, Unavailable
from hub.parts import OPERATOR
from hub.policy.gate import ENGINE_FAILED, POLICIES, RULES, EmbeddedGate, ServerGate
from tests.faulty import Faulty, answer
from tests.flows.served import free_port
from tests.flows.world import hub_in
from tests.own import Service, running
from tests.policy.cases import (
    PATIENT,
    VECTORS,
    nearly_allowed,
    opa,
    policies_with,
    policy_url,
    server_gate,
    serving,
)

EMBEDDED = EmbeddedGate()
BY_TEXT = EmbeddedGate(by_text=True)
BUNDLE = POLICIES.parent / "deploy" / "bundle.py"
YES = VECTORS["admin"]["the operator adds a partner"]["question"]
SOON = 0.4


@pytest.fixture(scope="module")
def server() -> ServerGate:
    return server_gate()


@pytest.fixture
def way() -> Iterator[Faulty]:
    """A way to the server that can be made to fail."""
    url = urlsplit(policy_url())
    with Faulty(url.netloc) as proxy:
        yield proxy


# The same answers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "name"), [(rule, name) for rule, cases in VECTORS.items() for name in cases]
)
def test_the_signed_off_questions_are_answered_alike(
    server: ServerGate, rule: str, name: str
) -> None:
    question = VECTORS[rule][name]["question"]
    answer = EMBEDDED.decide(rule, question)
    assert server.decide(rule, question) == answer
    assert BY_TEXT.decide(rule, question) == answer


@given(asked=nearly_allowed())
@settings(max_examples=150)
def test_generated_questions_are_answered_alike(
    server: ServerGate, asked: tuple[str, dict[str, Any]]
) -> None:
    assert server.decide(*asked) == EMBEDDED.decide(*asked) == BY_TEXT.decide(*asked)


def test_threads_get_their_own_answers(server: ServerGate) -> None:
    asked = [(r, c["question"], c["expected"]) for r, cs in VECTORS.items() for c in cs.values()]
    wrong: list[str] = []

    def ask(first: int) -> None:
        for turn in range(20):
            rule, question, expected = asked[(first * 13 + turn * 7) % len(asked)]
            made = server.decide(rule, question)
            told = {
                "allow": made.allow,
                "reasons": list(made.reasons),
                "obligations": dict(made.obligations),
            }
            if told != expected:
                wrong.append(rule)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# A server that is wrong -----------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "provenance": {"bundles": {"b": {"revision": EMBEDDED.bundle_digest}}},
    "result": {"allow": True, "reasons": [], "obligations": {}},
}


def said(document: Any) -> bytes:
    return answer("200 OK", json.dumps(document).encode())


NONSENSE: dict[str, bytes] = {
    "undefined": said({}),
    "no answer": answer("200 OK"),
    "no JSON": answer("200 OK", b"<html>welcome</html>"),
    "JSON without end": answer("200 OK", b"[" * 100_000),
    "a list": said([GOOD]),
    "a text": said("yes"),
    "no provenance": said({"result": GOOD["result"]}),
    "provenance that is no document": said(GOOD | {"provenance": "b"}),
    "another bundle": said(GOOD | {"provenance": {"bundles": {"b": {"revision": "0" * 64}}}}),
    "no bundle": said(GOOD | {"provenance": {"bundles": {}}}),
    "two bundles": said(
        GOOD
        | {
            "provenance": {
                "bundles": {"a": {"revision": "x"}, "b": {"revision": EMBEDDED.bundle_digest}}
            }
        }
    ),
    "undefined under the right bundle": said({"provenance": GOOD["provenance"]}),
    "only yes": said(GOOD | {"result": True}),
    "yes as a text": said(GOOD | {"result": {"allow": "true", "reasons": [], "obligations": {}}}),
    "yes with reasons against": said(
        GOOD | {"result": {"allow": True, "reasons": ["x"], "obligations": {}}}
    ),
    "no without a reason": said(
        GOOD | {"result": {"allow": False, "reasons": [], "obligations": {}}}
    ),
    "a fault": answer("500 Internal Server Error", b'{"code": "internal_error"}'),
    "a yes with a fault": answer("500 Internal Server Error", json.dumps(GOOD).encode()),
    "busy": answer("503 Service Unavailable"),
    "not found": answer("404 Not Found", b"{}"),
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
    "cut short": answer("200 OK", json.dumps(GOOD).encode()[:-9], 9_999),
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "nothing": b"",
}


def test_the_canned_yes_would_be_taken_for_one(way: Faulty) -> None:
    """Else the cases below would prove nothing."""
    way.says = said(GOOD)
    assert ServerGate(f"http://{way.address}").decide("admin", {}).allow


@pytest.mark.parametrize("name", NONSENSE)
def test_an_answer_that_is_none_is_a_no(way: Faulty, name: str) -> None:
    gate = ServerGate(f"http://{way.address}")
    way.says = NONSENSE[name]
    made = gate.decide("admin", YES)
    assert (made.allow, made.reasons) == (False, (ENGINE_FAILED,))
    assert made.bundle_digest == gate.bundle_digest
    way.heal()
    assert gate.decide("admin", YES).allow, "it is not remembered against a server that is mended"


def slow(way: Faulty) -> None:
    way.pause = SOON / 4  # each byte in time for the client, all of them never


def silent(way: Faulty) -> None:
    way.silent = True


@pytest.mark.parametrize("fail", [slow, silent, Faulty.cut])
def test_a_server_that_is_slow_silent_or_gone_is_a_no_in_time(way: Faulty, fail: Any) -> None:
    gate = ServerGate(f"http://{way.address}", deadline=SOON)
    fail(way)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(gate.decide("admin", YES)))
    thread.start()
    thread.join(SOON * 25)  # far beyond: the trickle alone would take minutes
    assert not thread.is_alive()
    assert answers[0].reasons == (ENGINE_FAILED,)
    with pytest.raises(Unavailable) as raised:
        gate.check()
    assert (raised.value.code, raised.value.who) == ("policy-server-silent", "operator")


def test_a_server_that_holds_every_question_gets_no_more(way: Faulty) -> None:
    gate = ServerGate(f"http://{way.address}", deadline=SOON / 4, at_once=3)
    way.pause = 5.0
    before = threading.active_count()
    for _ in range(6):
        assert gate.decide("admin", YES).reasons == (ENGINE_FAILED,)
    asking = [t for t in threading.enumerate() if t.name == "policy admin"]
    assert len(asking) <= 3
    assert threading.active_count() >= before
    way.cut()
    way.mend()
    for thread in asking:
        thread.join(20)
    assert ServerGate(f"http://{way.address}", deadline=20).decide("admin", YES).allow


def test_there_are_only_so_many_questions_at_once_by_default() -> None:
    assert 1 < AT_ONCE < 100


# What the hub makes of it ---------------------------------------------------------------------


def test_a_verb_says_that_a_part_is_missing_not_that_the_policy_refuses(
    way: Faulty, tmp_path: Path
) -> None:
    parts = replace(hub_in(tmp_path), policy=ServerGate(f"http://{way.address}"))
    way.says = NONSENSE["undefined"]
    with pytest.raises(Unavailable) as raised:
        parts.require("admin", OPERATOR, {"action": "user_add"})
    assert (raised.value.code, raised.value.status) == ("policy-unavailable", 503)
    way.heal()
    assert parts.require("admin", OPERATOR, {"action": "user_add"}).allow
    parts.books.close()


def test_a_server_with_other_policies_is_told_apart(way: Faulty, tmp_path: Path) -> None:
    content = (POLICIES / "admin.rego").read_text("utf-8") + "# another word\n"
    gate = ServerGate(f"http://{way.address}", policies_with(tmp_path, admin=content))
    assert gate.decide("admin", YES).reasons == (ENGINE_FAILED,)
    with pytest.raises(Unavailable) as raised:
        gate.check()
    assert raised.value.code == "policy-server-other-bundle"
    ServerGate(f"http://{way.address}", deadline=20).check()


@pytest.mark.parametrize(
    "url", ["opa", "http://", "ftp://opa:1", "http://opa:x", "http://opa/v1", "http://u@opa:1"]
)
def test_an_address_that_cannot_work_is_refused_by_name(url: str) -> None:
    with pytest.raises(Rejected) as raised:
        ServerGate(url)
    assert (raised.value.code, raised.value.who) == ("policy-address", "operator")


def test_policies_that_cannot_be_read_do_not_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        ServerGate("http://127.0.0.1:1", tmp_path / "none" / "\0")


# The bundle -----------------------------------------------------------------------------------

OPA = opa()
needs_opa = pytest.mark.skipif(OPA is None, reason="no `opa`: run `make services`")


def bundle(policies: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BUNDLE), "--opa", str(OPA), "--policies", str(policies), str(folder)],
        capture_output=True,
        text=True,
        cwd=POLICIES.parent,
    )


@needs_opa
def test_a_bundle_is_signed_and_says_by_which_policies_it_decides(tmp_path: Path) -> None:
    done = bundle(POLICIES, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "revision").read_text("utf-8") == EMBEDDED.bundle_digest
    assert b"BEGIN PUBLIC KEY" in (tmp_path / "public.pem").read_bytes()
    assert not list(tmp_path.glob("key*"))
    with tarfile.open(tmp_path / "bundle.tar.gz") as packed:
        whole = packed.getnames()
        assert {str(Path(name).parent) for name in whole} == {"/", "/policies"}
        names = {Path(name).name for name in whole}
        manifest = packed.extractfile("/.manifest")
        assert manifest
        assert json.load(manifest)["revision"] == EMBEDDED.bundle_digest
    assert ".signatures.json" in names
    assert {f"{rule}.rego" for rule in RULES} <= names
    assert not [name for name in names if name.endswith("_test.rego")]


@needs_opa
@pytest.mark.parametrize("built_in", ["opa.runtime()", "time.now_ns()", "http.send({})"])
def test_a_policy_that_reaches_out_becomes_no_bundle(tmp_path: Path, built_in: str) -> None:
    content = (POLICIES / "admin.rego").read_text("utf-8") + f"\nleak := {built_in}\n"
    (tmp_path / "policies").mkdir()
    done = bundle(policies_with(tmp_path / "policies", admin=content), tmp_path / "made")
    assert done.returncode != 0
    assert f"undefined function {built_in.partition('(')[0]}" in done.stdout + done.stderr


def repacked(packed: Path, changed: Mapping[str, bytes | None]) -> None:
    """The same bundle with files replaced, added or (for None) left out."""
    with tarfile.open(packed) as old:
        files = {one.name: old.extractfile(one) for one in old.getmembers() if one.isfile()}
        content = {name: file.read() for name, file in files.items() if file} | dict(changed)
    with tarfile.open(packed, "w:gz") as new:
        for name, data in content.items():
            if data is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                new.addfile(entry, io.BytesIO(data))


TAMPERED: Final[Mapping[str, Mapping[str, bytes | None]]] = {
    "a policy changed": {
        "/policies/admin.rego": b'package hub.admin\n\ndecision := {"allow": true}\n'
    },
    "a policy more": {"/policies/more.rego": b"package hub.more\n"},
    "a policy less": {"/policies/admin.rego": None},
    "another revision": {"/.manifest": b'{"revision":"0","roots":[""],"rego_version":1}'},
    "no signature": {"/.signatures.json": None},
    "no policy's signature": {"/.signatures.json": b'{"signatures":[]}'},
}


@needs_opa
def test_the_server_serves_the_bundle_as_it_was_signed_and_no_other(tmp_path: Path) -> None:
    assert bundle(POLICIES, tmp_path).returncode == 0
    signed = (tmp_path / "bundle.tar.gz").read_bytes()
    command = serving(str(OPA), tmp_path, free_port())
    for what, files in TAMPERED.items():
        (tmp_path / "bundle.tar.gz").write_bytes(signed)
        repacked(tmp_path / "bundle.tar.gz", files)
        assert refused(command), what
    (tmp_path / "bundle.tar.gz").write_bytes(signed)
    repacked(tmp_path / "bundle.tar.gz", {})
    port = free_port()
    with running(Service(serving(str(OPA), tmp_path, port), port)):
        gate = ServerGate(f"http://127.0.0.1:{port}", deadline=PATIENT)
        assert gate.decide("admin", YES).allow
    # Signed, but by somebody else.
    other = tmp_path / "other"
    assert bundle(POLICIES, other).returncode == 0
    (other / "public.pem").write_bytes((tmp_path / "public.pem").read_bytes())
    assert refused(serving(str(OPA), other, free_port()))


def refused(command: list[str]) -> bool:
    """Whether the server ends instead of serving, because of the bundle."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode != 0 and "error: load error: bundle" in done.stdout + done.stderr
