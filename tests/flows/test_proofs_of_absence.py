"""A person's proof of where their data went: told by the receipt, checked offline, by anyone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from analytics import measures
from consent import contributors as trees
from hub import (
    consents,
    contributors,
    participation,
    release,
    rights,
    usage,
    withdraw,
    worker,
)  # fmt: skip
from hub.application import application
from hub.audit import contributions, receipts
from hub.cli.app import app
from hub.errors import NotFound, Rejected, Unavailable
from hub.events import AuditEvent, Kind
from hub.parts import OPERATOR, Parts
from hub.reconcile import reconcile
from hub.records import Grant, Release, Withdrawal
from hub.storage.books import Books
from tests.flows import world
from tests.storage.scan import find
from tests.web.html import Page

LEAVES = 512
FORM = "/my-consent/receipt"
PERSON, STAYS, NO_ROWS = "acc-the-person-who-leaves", "acc-000", "acc-without-a-trip"
PEOPLE = [PERSON, *(f"acc-{n:03d}" for n in range(39))]
MODES = ("CAR", "BUS", "WALKING", "BICYCLING")


@dataclass(frozen=True)
class Story:
    """A release with the person, their withdrawal, and a release without."""

    parts: Parts
    before: Release
    after: Release
    consent: bytes
    others: dict[str, bytes]
    secret: bytes
    seen_before: list[str]
    seen_after: list[str]
    completed: bytes


def small(parts: Parts) -> Parts:
    return replace(
        parts, territory=parts.territory.model_copy(update={"contributor_leaves": LEAVES})
    )


def grant_of(parts: Parts, person: str) -> Grant:
    digest = consents.digest_of(parts, "coachco2", person)
    found = [grant for grant in parts.books.grants_of(digest) if grant.state == "given"]
    return found[0]


def secret_in(receipt: bytes, parts: Parts) -> bytes:
    facts = receipts.verify(receipt, parts.log.keys)
    return bytes.fromhex(facts["contribution"]["secret"])


def found(parts: Parts, secret: bytes) -> list[str]:
    """Where the secret is, in any form, the books' sealed ones opened too."""
    rows = parts.books.contributing("coachco2", "school-mobility", parts.clock())
    sealed = [one for _, one in rows if one is not None]
    opened = contributors.opened(parts, {b"all": sealed}, [b"all"])
    places = find(parts.settings.home, [secret], parts.vault.unseal)
    return places + ["books, unsealed" for one in opened if one == secret]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    parts = small(world.hub_in(tmp_path_factory.mktemp("absence") / "var"))
    world.reference_data(parts)
    world.agree(parts, *PEOPLE, NO_ROWS)
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE, days=4, modes=MODES))
    parts.sequence()
    before, _ = release.build(parts, "modal-split")
    held = {
        person: consents.receipt(parts, grant_of(parts, person))
        for person in (PERSON, STAYS, NO_ROWS)
    }
    secret = secret_in(held[PERSON], parts)
    seen_before = found(parts, secret)
    digest = consents.digest_of(parts, "coachco2", PERSON)
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(parts)
    after, _ = release.build(parts, "carbon-balance")
    seen_after = found(parts, secret)
    consent = held.pop(PERSON)
    yield Story(
        parts, before, after, consent, held, secret, seen_before, seen_after,
        usage.complete(parts, consent),
    )  # fmt: skip
    parts.books.close()


def checked(story: Story, receipt: bytes) -> dict[str, Any]:
    keys = story.parts.log.keys
    return contributions.check(receipts.verified(receipt, keys).facts, keys)


def test_the_person_was_in_one_release_and_is_not_in_the_next(story: Story) -> None:
    said = checked(story, story.completed)
    assert said["used_in"] == [story.before.id]
    assert said["not_used_in"] == [story.after.id]
    assert said["ended_at"] is not None
    assert said["consent_in_log"]


def test_someone_who_stays_is_in_both_and_someone_without_rows_in_none(story: Story) -> None:
    both = sorted([story.before.id, story.after.id])
    stays = checked(story, usage.complete(story.parts, story.others[STAYS]))
    assert (stays["used_in"], stays["not_used_in"], stays["ended_at"]) == (both, [], None)
    idle = checked(story, usage.complete(story.parts, story.others[NO_ROWS]))
    assert (idle["used_in"], idle["not_used_in"]) == ([], both)


def test_a_code_and_its_secret_list_them_too(story: Story) -> None:
    parts = story.parts
    for person, used in ((STAYS, [story.after.id, story.before.id]), (NO_ROWS, [])):
        handed = participation.again(parts, OPERATOR, grant_of(parts, person))[0]
        door = participation.Door(parts)
        code = door.who(door.enter(handed.code, handed.secret, "here"))
        assert code is not None
        assert [one.release.id for one in rights.used_in(parts, code)] == used
        assert all(one.proved for one in rights.used_in(parts, code))


def test_releases_using_a_grant_are_listed_while_it_stands(story: Story) -> None:
    parts = story.parts
    using = contributors.releases_using(parts, grant_of(parts, STAYS))
    assert [one.id for one in using] == [story.before.id, story.after.id]
    assert contributors.releases_using(parts, grant_of(parts, NO_ROWS)) == []
    gone = json.loads(story.consent.split(b"\n")[1])["id"]
    ended = parts.books.grant(gone)
    assert ended is not None
    assert contributors.releases_using(parts, ended) == []


def test_the_tree_declares_those_with_rows_and_pads_to_its_size(story: Story) -> None:
    parts = story.parts
    for made in (story.before, story.after):
        declared = made.manifest["contribution"]
        assert declared["leaves"] == LEAVES
        assert declared["scheme"] == "hub/contributors/v1"
        assert len(contributors.tree_of(parts, made).data) == 32 * (LEAVES + 64)
        logged = receipts.verified(release.receipt(parts, made), parts.log.keys)
        assert logged.checkpoint is not None
        assert logged.facts["contribution"] == declared


def test_the_secret_dies_with_the_withdrawal(story: Story) -> None:
    assert story.seen_before == ["books, unsealed"]
    assert story.seen_after == []
    kept = story.parts.books.contribution(json.loads(story.consent.split(b"\n")[1])["id"])
    assert kept is not None
    assert kept.secret is None
    assert kept.commitment == trees.commitment(story.secret)


def test_the_commitment_is_in_the_event_and_the_secret_is_not(story: Story) -> None:
    commitment = trees.commitment(story.secret).hex().encode()
    events = story.parts.books.events(kind="consent.given", limit=1000)
    assert sum(commitment in event.body for event in events) == 1
    every = story.parts.books.events(limit=100_000)
    assert not any(story.secret.hex().encode() in event.body for event in every)


def test_the_withdrawals_receipt_names_a_commitment_whether_or_not_there_was_a_consent(
    story: Story,
) -> None:
    parts = story.parts
    digest = consents.digest_of(parts, "coachco2", "nobody-knows-me")
    made = withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(parts)
    done = parts.books.withdrawal(made.id)
    assert done is not None
    unknown = receipts.verify(withdraw.receipt(parts, done), parts.log.keys)
    outer = receipts.verify(story.completed, parts.log.keys)
    known = receipts.verify(outer["withdrawal"].encode(), parts.log.keys)
    assert unknown.keys() == known.keys()
    assert {k: [len(c) for c in v] for k, v in unknown["ended"].items()} == {
        k: [len(c) for c in v] for k, v in known["ended"].items()
    }
    assert known["ended"]["school-mobility"] == [trees.commitment(story.secret).hex()]


def test_over_http_by_receipt_or_by_position(story: Story) -> None:
    nonce = bytes.fromhex(story.after.manifest["contribution"]["nonce"])
    position = trees.position(story.secret, nonce).hex()
    with TestClient(application(story.parts)) as client:
        made = client.post("/v1/receipts/contribution", content=story.consent)
        assert made.status_code == 200
        assert checked(story, made.content)["not_used_in"] == [story.after.id]
        base = f"/v1/releases/{story.after.id}/contributors"
        one = client.get(f"{base}/{position}").json()
        assert one["used"] is False
        proof = trees.Proof(
            bytes.fromhex(one["proof"]["leaf"]) or None,
            tuple(bytes.fromhex(step) for step in one["proof"]["path"]),
        )
        root = bytes.fromhex(one["declared"]["root"])
        assert trees.present(proof, bytes.fromhex(position), root) is False
        for address, status in (
            (f"{base}/xyz", 422),
            (f"/v1/releases/none/contributors/{position}", 404),
        ):
            assert client.get(address).status_code == status
        for body, status in ((b"nonsense", 422), (b"x" * 70_000, 413)):
            assert client.post("/v1/receipts/contribution", content=body).status_code == status


def shown_by(story: Story, language: str, **fields: Any) -> tuple[int, Page, bytes]:
    """What the page for receipts answers to a form, its file and text as given."""
    headers = {"accept": "text/html", "accept-language": language}
    with TestClient(application(story.parts), headers=headers) as client:
        story.parts.books.close = lambda: None  # type: ignore[method-assign]
        token = re.search(r'name="token" value="([0-9a-f]{64})"', client.get(FORM).text)
        assert token
        files = {"file": ("recu.txt", fields.pop("file", b""), "text/plain")}
        answer = client.post(FORM, data={"token": token[1]} | fields, files=files)
    assert answer.status_code not in {200, 422} or answer.headers["cache-control"] == "no-store"
    html = answer.headers["content-type"].startswith("text/html")
    return answer.status_code, Page(answer.text if html else ""), answer.content


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ["Ce reçu est vrai", "Un accord", "Utilisées", "Pas utilisées", "journal public"]),
        ("en", ["This receipt is genuine", "A consent", "Used", "Not used", "public log"]),
    ],
)
@pytest.mark.parametrize("how", ["file", "text"])
def test_the_page_says_what_a_receipt_proves(
    story: Story, language: str, words: list[str], how: str
) -> None:
    # A form writes pasted lines in its own way, and whoever pastes may lose the last one.
    pasted = story.consent.decode().rstrip("\n").replace("\n", "\r\n")
    sent: dict[str, Any] = {"file": story.consent} if how == "file" else {"text": pasted}
    status, page, body = shown_by(story, language, act="verify", **sent)
    assert status == 200
    assert [one for one in words if one not in page.text] == []
    assert story.secret.hex().encode() not in body, "nothing presented is shown again"


def test_the_page_completes_a_receipt_and_reads_the_completed_one(story: Story) -> None:
    status, _, made = shown_by(story, "fr", act="complete", file=story.consent)
    assert status == 200
    assert checked(story, made)["not_used_in"] == [story.after.id]
    status, page, _ = shown_by(story, "fr", act="verify", file=made)
    assert status == 200
    assert "Où sont allées les données" in page.text
    outer = receipts.verify(story.completed, story.parts.log.keys)
    note = outer["withdrawal"].encode()
    assert "Effacé le" in shown_by(story, "fr", act="verify", file=note)[1].text
    status, page, _ = shown_by(story, "fr", act="complete", file=note)
    assert (status, "Il faut le reçu de l’accord" in page.text) == (422, True)


def test_the_page_frightens_nobody_over_a_file_that_is_no_receipt(story: Story) -> None:
    wrong = story.consent.replace(b'"pupil"', b'"staff"')
    assert wrong != story.consent
    for data, status in ((wrong, 422), (b"hello", 422), (b"\xff\xfe", 422), (b"", 422)):
        for act in ("verify", "complete"):
            answer, page, _ = shown_by(story, "fr", act=act, file=data)
            assert answer == status
            assert "Cela ne change rien pour toi" in page.text
    assert shown_by(story, "fr", act="verify", file=b"x" * 1_000_001)[0] == 413
    assert shown_by(story, "fr", act="verify", file=story.consent, token="0" * 64)[0] == 403


def test_a_receipt_of_something_else_completes_nothing(story: Story) -> None:
    parts = story.parts
    with pytest.raises(Rejected, match="handed out"):
        usage.complete(parts, release.receipt(parts, story.before))
    ended = consents.receipt(parts, parts.books.grant(json.loads(
        story.consent.split(b"\n")[1])["id"]) or grant_of(parts, STAYS))  # fmt: skip
    with pytest.raises(Rejected, match="handed out"):
        usage.complete(parts, ended)
    with pytest.raises(Rejected):
        usage.complete(parts, story.consent.replace(b"school-mobility", b"school-mobilitz", 1))
    with pytest.raises(Rejected):
        usage.look_up(parts, story.before.id, "zz")
    unknown = receipts.issue(
        "consent", {"id": "x", "contribution": {"secret": "00" * 32}}, parts.log.signer
    )
    with pytest.raises(NotFound):
        usage.complete(parts, unknown)


def test_on_the_command_line(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_HOME", str(story.parts.settings.home))
    held, made = tmp_path / "consent.txt", tmp_path / "completed.txt"
    held.write_bytes(story.consent)
    shown = CliRunner().invoke(app, ["receipt", "complete", str(held)])
    assert shown.exit_code == 0, shown.output
    made.write_text(shown.stdout)
    key = str(story.parts.log.signer.verifier)
    told = CliRunner().invoke(app, ["receipt", "verify", str(made), "--key", key, "--json"])
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert document["used_in"] == [story.before.id]
    assert document["not_used_in"] == [story.after.id]
    assert set(document["attests"]) == set(document["proves"]) == {"fr", "en"}
    assert story.secret.hex() not in told.stdout


Change = Callable[[dict[str, Any], Story], None]


def _swap_proofs(facts: dict[str, Any], story: Story) -> None:
    one, two = facts["releases"]
    one["proof"], two["proof"] = two["proof"], one["proof"]


def _say_unused(facts: dict[str, Any], story: Story) -> None:
    for one in facts["releases"]:
        one["used"] = False


def _another_consent(facts: dict[str, Any], story: Story) -> None:
    facts["consent"] = story.others[STAYS].decode()


def _unlogged(facts: dict[str, Any], story: Story) -> None:
    one = facts["releases"][0]
    one["receipt"] = one["receipt"].partition("\n\nc2sp.org")[0] + "\n"


def _another_kind(facts: dict[str, Any], story: Story) -> None:
    facts["releases"][0]["receipt"] = facts["withdrawal"]


def _no_withdrawal_of_his(facts: dict[str, Any], story: Story) -> None:
    facts["withdrawal"] = story.others[STAYS].decode()


def _withdrawal_of_another(facts: dict[str, Any], story: Story) -> None:
    digest = consents.digest_of(story.parts, "coachco2", "somebody else")
    made = withdraw.withdraw(story.parts, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(story.parts)
    done = story.parts.books.withdrawal(made.id)
    assert done is not None
    facts["withdrawal"] = withdraw.receipt(story.parts, done).decode()


def _cut(facts: dict[str, Any], story: Story) -> None:
    del facts["releases"][0]["proof"]["path"][-1]


def _malformed(facts: dict[str, Any], story: Story) -> None:
    facts["releases"][0]["proof"] = []


@pytest.mark.parametrize(
    "change",
    [_swap_proofs, _say_unused, _another_consent, _unlogged, _another_kind,
     _no_withdrawal_of_his, _withdrawal_of_another, _cut, _malformed],
)  # fmt: skip
def test_even_the_hubs_own_signature_makes_no_wrong_receipt_hold(
    story: Story, change: Change
) -> None:
    keys, signer = story.parts.log.keys, story.parts.log.signer
    facts: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(receipts.verify(story.completed, keys))
    )
    facts.pop("kind")
    change(facts, story)
    lying = receipts.issue(contributions.KIND, facts, signer)
    with pytest.raises(Rejected):
        contributions.check(receipts.verified(lying, keys).facts, keys)


def test_data_used_after_the_withdrawal_is_found_out(story: Story) -> None:
    """The hub declares the person in a later release: the receipt it must then give accuses it."""
    parts = story.parts
    declared = contributors.Declared(parts.clock(), [story.secret])
    manifest = dict(story.after.manifest) | {
        "id": "forged-1", "contribution": contributors.declare(parts, declared),
    }  # fmt: skip
    lying = replace(story.after, id="forged-1", manifest=manifest)
    facts = dict(receipts.verify(story.completed, parts.log.keys))
    facts.pop("kind")
    position = contributors.position(lying, story.secret)
    proof = contributors.prove(contributors.tree_of(parts, lying), position)
    # It is in the log: one that is not would be refused for that.
    index = parts.log.size
    parts.books.record(
        event=AuditEvent(
            Kind.RELEASE_PUBLISHED, "hub", "forged-1", parts.clock(),
            {"receipt": receipts.digest("release", release.shown(lying))},
        )
    )  # fmt: skip
    parts.sequence()
    logged = parts.receipt("release", release.shown(replace(lying, log_index=index)), index)
    one = {"receipt": logged.decode(), "used": True, "proof": contributions.shown(proof)}
    facts["releases"] = [*facts["releases"], one]
    made = receipts.issue(contributions.KIND, facts, parts.log.signer)
    with pytest.raises(Rejected, match="used the data after the consent ended"):
        contributions.check(receipts.verified(made, parts.log.keys).facts, parts.log.keys)


def test_more_contributors_than_leaves_publish_nothing(story: Story) -> None:
    cramped = replace(
        story.parts,
        territory=story.parts.territory.model_copy(update={"contributor_leaves": 11}),
    )
    before = [made.id for made in cramped.books.releases()]
    objects = list(cramped.objects.list("contributors/"))
    declared = contributors.Declared(cramped.clock(), [bytes([n]) * 32 for n in range(12)])
    with pytest.raises(Rejected, match="contributor_leaves"):
        contributors.declare(cramped, declared)
    assert list(cramped.objects.list("contributors/")) == objects
    assert [made.id for made in cramped.books.releases()] == before


def _asked_everywhere(parts: Parts, release_id: str) -> None:
    for at in range(256):
        usage.look_up(parts, release_id, bytes([at] * 32).hex())


def test_a_damaged_tree_gives_no_answer(story: Story) -> None:
    parts = story.parts
    name = f"contributors/{story.after.manifest['contribution']['root']}"
    whole = parts.objects.get(name)
    try:
        for damaged in (
            whole[:-1],
            whole[:100] + bytes([whole[100] ^ 1]) + whole[101:],
            bytes(len(whole)),
        ):
            parts.objects.put(name, [damaged])
            with pytest.raises(Unavailable):
                _asked_everywhere(parts, story.after.id)
            assert _found_by_reconcile(parts) == [story.after.id]
        parts.objects.delete(name)
        assert _found_by_reconcile(parts) == [story.after.id]
        with pytest.raises(Unavailable):
            usage.complete(parts, story.consent)
    finally:
        parts.objects.put(name, [whole])
    assert _found_by_reconcile(parts) == []


def _found_by_reconcile(parts: Parts) -> list[str]:
    return [one.id for one in reconcile(parts).problems if "contributors kept" in one.what]


def test_what_rests_on_no_consent_declares_nobody(story: Story) -> None:
    parts, real = story.parts, measures.MEASURES["places"]
    alone = replace(real, inputs=("region/lycees/lycees",), compute=lambda *_: None)  # type: ignore[arg-type]
    assert release.measure(parts, alone, release.open_tables(parts, alone)).declared is None
    nobody = replace(story.after, manifest=dict(story.after.manifest) | {"contribution": None})
    with pytest.raises(NotFound, match="nobody's consent"):
        contributors.tree_of(parts, nobody)
    assert release.shown(nobody)["manifest"] != release.shown(story.after)["manifest"]
    assert "contribution" not in contributors.facts(parts, None)


def test_receipts_from_before_stay_what_they_were(story: Story) -> None:
    """A release, a grant and a withdrawal of an older hub: no field is added to what it signed."""
    older = {k: v for k, v in story.before.manifest.items() if k != "contribution"}
    shown = release.shown(replace(story.before, manifest=older))
    assert not {"manifest", "contribution"} & set(shown)
    digest = consents.digest_of(story.parts, "coachco2", PERSON)
    made = Withdrawal("w-older", "coachco2", digest, ("school-mobility",), story.parts.clock())
    assert "ended" not in withdraw.receipt_facts(story.parts, made)


class Between:
    """Books in which something happens just after the secrets were read."""

    def __init__(self, books: Books, happens: Callable[[], object]) -> None:
        self._books, self._happens = books, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)

    def contributing(self, *asked: Any) -> list[Any]:
        found = self._books.contributing(*asked)
        self._happens()
        return found


def measured_while(parts: Parts, happens: Callable[[], object]) -> release.Measured:
    during = replace(parts, books=cast("Books", Between(parts.books, happens)))
    modal_split = measures.MEASURES["modal-split"]
    return release.measure(during, modal_split, release.open_tables(during, modal_split))


def test_who_leaves_or_comes_while_a_release_opens_is_counted_and_declared_or_neither(
    story: Story,
) -> None:
    parts, leaves, comes = story.parts, "acc-038", "acc-the-person-who-comes"
    world.agree(parts, comes)
    world.pushed(parts, "coachco2/trips", world.trips([comes], days=4, modes=MODES))
    digest = consents.digest_of(parts, "coachco2", comes)
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")  # rows are still there
    before = measured_while(parts, lambda: None)
    secret = secret_in(consents.receipt(parts, grant_of(parts, leaves)), parts)
    assert before.declared is not None
    assert secret in before.declared.secrets
    gone = consents.digest_of(parts, "coachco2", leaves)
    left = measured_while(
        parts, lambda: withdraw.withdraw(parts, OPERATOR, "coachco2", gone, via="cli")
    )
    assert left.declared is not None
    assert secret not in left.declared.secrets
    assert left.contributors == before.contributors - 1
    came = measured_while(parts, lambda: agree_again(parts, comes))
    assert came.declared is not None
    assert came.contributors == len(came.declared.secrets) == left.contributors
    after = measured_while(parts, lambda: None)
    assert after.declared is not None
    assert after.contributors == len(after.declared.secrets) == left.contributors + 1


def agree_again(parts: Parts, person: str) -> None:
    asked = consents.Asked(person, "school-mobility", "pupil", parts.clock(), birth="2009-01")
    consents.give(parts, OPERATOR, "coachco2", asked)
