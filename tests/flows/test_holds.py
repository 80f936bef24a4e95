"""Restriction and rectification: rows held while a case is open, a false day taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from hub import (
    consents,
    contributors,
    corrections,
    participation,
    release,
    retention,
    rights,
    worker,
)  # fmt: skip
from hub.application import application
from hub.errors import Conflict, Denied, NotFound, Rejected
from hub.participation import PERSON, Door, Handed
from hub.parts import Actor, Parts
from hub.reconcile import reconcile
from hub.records import Code
from tests.flows import world
from tests.flows.test_participation import APP, BUS, NOBODYS, asked, stop
from tests.storage.scan import find
from tests.web.html import Page

DPO = Actor("dpo-1", "dpo", "region")
TRIPS = "coachco2/trips/trips"
GIVEN_AT = datetime(2025, 9, 10, 8, tzinfo=UTC)
MONDAY = "2025-11-17"
ADA, BOB = "acc-ada", "acc-bob"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.hub_with_places(tmp_path / "var")
    yield made
    made.books.close()


def joins(parts: Parts, reference: str = ADA) -> Handed:
    """Somebody of 16 who agreed, and their code."""
    _, (handed,) = participation.give(
        parts, APP, "coachco2", asked(reference, given_at=GIVEN_AT, birth="2009-01")
    )
    return handed


def visitor(parts: Parts, handed: Handed) -> Code:
    door = Door(parts)
    code = door.who(door.enter(handed.code, handed.secret, "here"))
    assert code is not None
    return code


def rows(parts: Parts, table: str = TRIPS) -> int:
    (files,) = parts.tables.snapshot([table]).files.values()
    return sum(pq.read_metadata(name).num_rows for name in files)


def counted(parts: Parts, reference: str) -> bool:
    """Whether a release opened now would rest on somebody's consent."""
    agreement = parts.agreement_for("coachco2", "school-mobility")
    assert agreement is not None
    digest = consents.digest_of(parts, "coachco2", reference)
    known = contributors.known(parts, agreement)
    return digest in known and digest in parts.standing(agreement).granted.to_pylist()


@pytest.mark.parametrize("kind", ["restriction", "rectification"])
def test_while_the_case_is_open_rows_stay_unused_and_none_come_in(parts: Parts, kind: str) -> None:
    ada = visitor(parts, joins(parts))
    joins(parts, BOB)
    world.pushed(parts, "coachco2/trips", world.trips([ADA, BOB], days=3))
    assert (rows(parts), counted(parts, ADA), counted(parts, BOB)) == (12, True, True)

    case = rights.open_case(parts, PERSON, kind, "trips", ada)
    assert case.holds
    assert (counted(parts, ADA), counted(parts, BOB)) == (False, True)
    assert world.pushed(parts, "coachco2/trips", world.trips([ADA], days=2), "held").kept == 0
    assert rows(parts) == 12, "nothing is deleted"
    assert len(rights.own_rows(parts, PERSON, ada, "page")[0].rows) == 6, "and the person sees it"

    rights.close(parts, DPO, case.id, "done")
    assert counted(parts, ADA)
    assert world.pushed(parts, "coachco2/trips", world.trips([ADA], days=2), "after").kept == 4


def test_a_claim_opened_by_mistake_is_taken_back_and_holds_nothing_more(parts: Parts) -> None:
    ada = visitor(parts, joins(parts))
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=3))
    case = rights.open_case(parts, PERSON, "restriction", "trips", ada)
    assert not counted(parts, ADA)
    assert rights.retract(parts, PERSON, ada, case.id).state == rights.RETRACTED
    assert counted(parts, ADA)
    with pytest.raises(Conflict):
        rights.retract(parts, PERSON, ada, case.id)


def test_a_day_that_is_being_taken_out_is_not_taken_back(parts: Parts) -> None:
    ada = visitor(parts, joins(parts))
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=3))
    case = corrections.ask(parts, PERSON, ada, "coachco2/trips", MONDAY, MONDAY)
    with pytest.raises(Conflict) as refused:
        rights.retract(parts, PERSON, ada, case.id)
    assert refused.value.code == "correction-under-way"
    worker.drain(parts)
    assert parts.books.cases()[0].state == "done"


@pytest.mark.parametrize("kind", sorted(set(rights.KINDS) - {"restriction", "rectification"}))
def test_other_claims_hold_nothing(parts: Parts, kind: str) -> None:
    ada = visitor(parts, joins(parts))
    assert not rights.open_case(parts, PERSON, kind, "trips", ada).holds
    assert counted(parts, ADA)


def test_a_release_opened_meanwhile_is_computed_without_the_held(parts: Parts) -> None:
    people = [f"acc-{number:02d}" for number in range(40)]
    handed = [joins(parts, one) for one in people]
    modes = ("CAR", "BUS", "WALKING", "BICYCLING")
    world.pushed(parts, "coachco2/trips", world.trips(people, days=4, modes=modes))
    for one in handed[:12]:
        rights.open_case(parts, PERSON, "restriction", "everything", visitor(parts, one))
    small = replace(parts, territory=parts.territory.model_copy(update={"contributor_leaves": 512}))
    made, _ = release.build(small, "modal-split")
    parts.sequence()
    used = [
        [each.id for each in contributors.releases_using(parts, grant)]
        for one in (people[0], people[-1])
        for grant in parts.books.grants_of(
            consents.digest_of(parts, "coachco2", one), "school-mobility"
        )
    ]
    assert used == [[], [made.id]]


def test_a_hold_reaches_a_public_task_and_a_lost_code_does_not_lift_it(parts: Parts) -> None:
    ada = joins(parts)
    Door(parts).link(BUS, ada.code, "CARD-ADA")
    world.pushed(parts, "transdev/validations", world.taps(["CARD-ADA", "CARD-BOB"]))
    case = rights.open_case(parts, PERSON, "restriction", "taps", visitor(parts, ada))
    held = world.pushed(parts, "transdev/validations", world.taps(["CARD-ADA"], days=6), "more")
    assert held.kept == 0
    (grant,) = parts.books.grants_of(consents.digest_of(parts, "coachco2", ADA))
    participation.again(parts, APP, grant)
    assert not counted(parts, ADA)
    agreement = parts.books.agreement("transdev", "validations")
    assert agreement is not None
    digest = consents.digest_of(parts, "transdev", "CARD-ADA")
    assert digest in parts.standing(agreement).objected.to_pylist()
    rights.close(parts, DPO, case.id, "refused", "unfounded")
    assert counted(parts, ADA)
    assert digest not in parts.standing(agreement).objected.to_pylist()


def test_taps_held_or_objected_are_not_counted_when_they_end(parts: Parts) -> None:
    ada = joins(parts)
    Door(parts).link(BUS, ada.code, "CARD-ADA")
    world.pushed(parts, "transdev/validations", world.taps(["CARD-ADA", "CARD-BOB"], days=2))
    rights.open_case(parts, PERSON, "restriction", "taps", visitor(parts, ada))
    retention.run(replace(parts, clock=lambda: datetime(2040, 1, 1, 8, tzinfo=UTC)))
    (files,) = parts.tables.snapshot([f"transdev/validations/{retention.BOARDINGS}"]).files.values()
    assert files, "the month has ended"
    taps = sum(sum(pq.read_table(name).column("taps").to_pylist()) for name in files)
    assert taps == 2, "Bob's two"


def test_leaving_while_held_leaves_nothing_behind(parts: Parts) -> None:
    ada = joins(parts)
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=3))
    digest = consents.digest_of(parts, "coachco2", ADA)
    rights.open_case(parts, PERSON, "restriction", "everything", visitor(parts, ada))
    assert find(parts.settings.home, [digest], parts.vault.unseal)
    stop(parts, ada.code)
    worker.drain(parts)
    assert find(parts.settings.home, [digest], parts.vault.unseal) == []
    assert parts.books.held("coachco2") == []


# A false day ----------------------------------------------------------------------------------


def test_a_false_day_goes_everywhere_and_the_right_one_may_come(parts: Parts) -> None:
    ada = visitor(parts, joins(parts))
    joins(parts, BOB)
    world.pushed(parts, "coachco2/trips", world.trips([ADA, BOB], days=3))
    case = corrections.ask(parts, PERSON, ada, "coachco2/trips", MONDAY, MONDAY)
    assert not counted(parts, ADA), "nothing false is published meanwhile"
    worker.drain(parts)
    done = parts.books.case(case.id)
    assert done is not None
    assert (done.state, done.ground, done.holds) == ("done", "", False)
    assert rights.days(parts, ada)["coachco2/trips"] == [date(2025, 11, 19), date(2025, 11, 18)]
    assert rows(parts) == 10, "Bob's Monday stays"
    assert parts.tables.versions(TRIPS) == [max(parts.tables.versions(TRIPS))], "older ones went"
    said = b"".join(event.body for event in parts.books.events(limit=1000))
    assert MONDAY.encode() not in said, "which day it was is told nowhere"
    assert parts.books.lease_job("x", parts.clock(), parts.lease) is None
    assert reconcile(parts).problems == []

    assert counted(parts, ADA)


def test_a_week_goes_and_its_partner_sends_it_again(parts: Parts) -> None:
    ada = visitor(parts, joins(parts))
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=10))
    corrections.ask(parts, PERSON, ada, "coachco2/trips", MONDAY, "2025-11-21")
    worker.drain(parts)
    assert rights.days(parts, ada)["coachco2/trips"][-1] == date(2025, 11, 24)
    again = world.pushed(parts, "coachco2/trips", world.trips([ADA], days=5), "corrected")
    assert again.kept == 10
    assert len(rights.days(parts, ada)["coachco2/trips"]) == 8


def test_it_is_done_once_however_often_it_is_tried(parts: Parts) -> None:
    ada = visitor(parts, joins(parts))
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=3))
    case = corrections.ask(parts, PERSON, ada, "coachco2/trips", MONDAY, MONDAY)
    about = f"{case.id}.coachco2/trips.{MONDAY}.{MONDAY}"

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    killed = replace(parts, books=parts.books)
    move, parts.books.move_case = parts.books.move_case, dies  # type: ignore[assignment, method-assign]
    with pytest.raises(KeyboardInterrupt):
        corrections.settle(killed, about)
    parts.books.move_case = move  # type: ignore[method-assign]
    assert not counted(parts, ADA), "still held"
    corrections.settle(parts, about)
    corrections.settle(parts, about)
    assert rows(parts) == 4
    assert counted(parts, ADA)


def test_only_ones_own_days_can_be_taken_out(parts: Parts) -> None:
    ada = visitor(parts, joins(parts))
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=2))
    for dataset, days in (
        ("coachco2/trips", (MONDAY, "2025-11-30")),
        ("coachco2/trips", ("yesterday", "yesterday")),
        ("coachco2/trips", ("2025-11-18", MONDAY)),
        ("transdev/validations", (MONDAY, MONDAY)),
        ("nobody/nothing", (MONDAY, MONDAY)),
    ):
        with pytest.raises(Rejected) as refused:
            corrections.ask(parts, PERSON, ada, dataset, *days)
        assert refused.value.code == "no-such-day"
    with pytest.raises(Denied):
        corrections.ask(parts, APP, ada, "coachco2/trips", MONDAY, MONDAY)
    assert parts.books.cases() == []


def test_every_dataset_about_people_can_be_corrected(parts: Parts) -> None:
    assert set(corrections.CONCERNS) == {one.key for one in parts.personal()}
    assert set(corrections.CONCERNS.values()) <= set(rights.CONCERNS)


def test_an_officer_may_open_it_with_the_persons_code_and_nobody_guesses(parts: Parts) -> None:
    ada = joins(parts)
    case = rights.open_for(parts, DPO, "restriction", "everything", ada.code)
    assert case.holds
    assert not rights.open_for(parts, DPO, "restriction", "everything").holds
    with pytest.raises(NotFound):
        rights.open_for(parts, DPO, "restriction", "everything", NOBODYS)
    for code in (ada.code, NOBODYS):
        with pytest.raises(Denied):
            rights.open_for(parts, APP, "restriction", "everything", code)


def test_on_the_pages_in_both_languages(parts: Parts) -> None:
    ada = joins(parts)
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=2))
    words = {
        "fr": ("Un jour est faux", "lundi 17 novembre 2025", "Tes lignes sont mises de côté"),
        "en": ("Is a day wrong?", "Monday 17 November 2025", "Your rows are set aside"),
    }
    with TestClient(
        application(parts), headers={"accept": "text/html"}, follow_redirects=False
    ) as client:
        parts.books.close = lambda: None  # type: ignore[method-assign]  # the fixture closes them

        def post(where: str, **fields: str) -> int:
            page = client.get("/my-consent").text
            token = re.search(r'name="token" value="([0-9a-f]{64})"', page)
            assert token
            sent = fields | {"token": token[1]}
            return client.post(f"/my-consent/{where}", data=sent).status_code

        assert post("look", code=ada.code, secret=ada.secret) == 303
        for language, (title, day, _) in words.items():
            text = Page(client.get(f"/my-consent/rows?lang={language}").text).text
            assert title in text
            assert day in text
        assert post("correct", dataset="coachco2/trips", first=MONDAY, last=MONDAY) == 303
        for language, (_, _, held) in words.items():
            assert held in Page(client.get(f"/my-consent?lang={language}").text).text
        assert post("correct", dataset="coachco2/trips", first=MONDAY, last="2020-01-01") == 422
        worker.drain(parts)
        assert "Your rows are set aside" not in Page(client.get("/my-consent").text).text
        assert "17 November" not in Page(client.get("/my-consent/rows").text).text
