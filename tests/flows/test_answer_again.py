"""At 15 the young person answers for themselves, on their own page, without the app."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from consent.model import ANSWER_WITHIN
from hub import birthdays, consents, participation, worker
from hub.application import application
from hub.errors import Conflict, Denied, Rejected
from hub.participation import Handed
from hub.parts import Parts
from hub.records import Code, Grant
from tests.flows import world
from tests.flows.test_participation import CHILD, give, state
from tests.web.html import Page

GIVEN_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
FIFTEEN = datetime(2027, 6, 1, tzinfo=UTC)
"""The month of the 15th birthday of somebody born in May 2012 is over."""
DAY = timedelta(days=1)
MINE = "school-mobility"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.hub_in(tmp_path / "var")
    yield at(made, GIVEN_AT + DAY)
    made.books.close()


def at(parts: Parts, now: datetime) -> Parts:
    return replace(parts, clock=lambda: now)


def asked_again(
    parts: Parts, reference: str = "kid", given: tuple[Grant, list[Handed]] | None = None
) -> tuple[Parts, Grant, Handed]:
    """A week after the birthday month, the question being open; the young person's own code."""
    grant, (person, _) = given or give(parts, reference, **CHILD)
    birthdays.sweep(at(parts, FIFTEEN), FIFTEEN)
    return at(parts, FIFTEEN + 7 * DAY), grant, person


def visitor(parts: Parts, handed: Handed) -> Code:
    door = participation.Door(parts)
    code = door.who(door.enter(handed.code, handed.secret, "here"))
    assert code is not None
    return code


def test_a_yes_is_a_new_grant_of_the_person_alone(parts: Parts) -> None:
    later, old, person = asked_again(parts)
    (new,) = participation.agree_again(later, visitor(later, person), MINE, "en")
    assert (new.state, new.partner, new.population) == ("given", old.partner, old.population)
    assert new.evidence["joint"] is False
    assert new.evidence["age"] == "15_17"
    assert new.evidence["fifteen"] == "2027-05", "the month known already; nobody was asked again"
    assert new.evidence["parent_at"] is None
    assert new.evidence["language"] == "en"
    (said,) = new.evidence["purposes"]
    assert said["collection_method"] == consents.OWN_PAGE
    later.sequence()
    kept = later.books.grant(new.id)
    assert kept is not None
    assert b'"secret"' in consents.receipt(later, kept)


def test_rows_come_in_again_after_a_yes_and_none_are_lost(parts: Parts) -> None:
    world.reference_data(parts)
    monday = datetime(2025, 11, 17, tzinfo=UTC).date()
    given = give(parts, "kid", **CHILD)
    before = world.pushed(parts, "coachco2/trips", world.trips(["kid"], first=monday))
    later, old, person = asked_again(parts, given=given)
    refused = world.pushed(later, "coachco2/trips", world.trips(["kid"], days=3), "in between")
    participation.agree_again(later, visitor(later, person), MINE, "fr")
    again = world.pushed(later, "coachco2/trips", world.trips(["kid"], days=3), "after")
    assert before.kept
    assert (refused.kept, again.kept) == (0, 6)
    silent = at(parts, FIFTEEN + ANSWER_WITHIN + DAY)
    birthdays.sweep(silent, silent.clock())
    worker.drain(silent)
    assert parts.books.withdrawals() == [], "the yes stands: nothing is erased"
    assert state(parts, old) == "expired"


def test_a_parent_cannot_answer_for_somebody_of_15(parts: Parts) -> None:
    given = give(parts, "kid", **CHILD)
    parent = given[1][1]
    was_in_time = visitor(parts, parent)
    later = asked_again(parts, given=given)[0]
    with pytest.raises(Denied) as lapsed:
        participation.Door(later).enter(parent.code, parent.secret, "here")
    assert lapsed.value.code == "code-or-secret-wrong", "its code has lapsed"
    with pytest.raises(Denied) as refused:
        participation.agree_again(later, was_in_time, MINE, "fr")
    assert refused.value.code == "parents-code"


def test_nobody_agrees_to_what_was_not_asked(parts: Parts) -> None:
    _, (handed,) = give(parts, "ada")
    with pytest.raises(Conflict) as refused:
        participation.agree_again(parts, visitor(parts, handed), MINE, "fr")
    assert refused.value.code == "not-asked-again"
    assert participation.agree_again(parts, visitor(parts, handed), "recontact", "fr") == []
    with pytest.raises(Rejected) as unknown:
        participation.agree_again(parts, visitor(parts, handed), "sale", "fr")
    assert unknown.value.code == "unknown-purpose"


def test_after_silence_it_is_too_late_and_a_second_yes_is_none(parts: Parts) -> None:
    later, _, person = asked_again(parts)
    code = visitor(later, person)
    participation.agree_again(later, code, MINE, "fr")
    with pytest.raises(Conflict):
        participation.agree_again(later, code, MINE, "fr")
    _, grant, other = asked_again(parts, "sam")
    silent = at(parts, FIFTEEN + ANSWER_WITHIN + DAY)
    birthdays.sweep(silent, silent.clock())
    assert state(parts, grant) == "expired"
    with pytest.raises(Conflict) as refused:
        participation.agree_again(silent, visitor(silent, other), MINE, "fr")
    assert refused.value.code == "not-asked-again"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "fr",
            ["c’est toi seul qui décides", "Oui, je continue", "2 juillet 2027", "Tu as dit oui"],
        ),
        ("en", ["you alone decide", "Yes, I go on", "2 July 2027", "You said yes"]),
    ],
)
def test_the_page_asks_in_plain_words_and_takes_the_answer(
    parts: Parts, language: str, words: list[str]
) -> None:
    later, _, person = asked_again(parts)
    headers = {"accept": "text/html", "accept-language": language}
    with TestClient(application(later), headers=headers, follow_redirects=False) as client:
        parts.books.close = lambda: None  # type: ignore[method-assign]  # the fixture closes them

        def post(where: str, **fields: str) -> int:
            token = re.search(
                r'name="token" value="([0-9a-f]{64})"', client.get("/my-consent").text
            )
            assert token
            sent = fields | {"token": token[1]}
            return client.post(f"/my-consent/{where}", data=sent).status_code

        assert post("agree", purpose=MINE) == 401
        assert post("look", code=person.code, secret=person.secret) == 303
        text = Page(client.get("/my-consent").text).text
        assert [one for one in words[:3] if one not in text] == []
        assert post("agree", purpose=MINE) == 303
        text = Page(client.get("/my-consent").text).text
        assert words[3] in text
        assert words[1] not in text
        assert post("agree", purpose=MINE) == 409
