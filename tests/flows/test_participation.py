"""Codes and secrets: given once, ended by either half, and told to nobody who guesses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consent import codes
from hub import consents, participation, worker
from hub.errors import Busy, Conflict, Denied, HubError, Rejected
from hub.identity import passwords
from hub.identity.limits import Limiter
from hub.participation import EVERY_PURPOSE, Door, Handed
from hub.parts import OPERATOR, Actor, Parts
from hub.records import Grant
from hub.storage.books import STOP
from hub.storage.books.books import Books
from tests.flows import world
from tests.identity.helpers import MemoryBooks
from tests.storage.scan import find

APP = Actor("coachco2-1", "partner", "coachco2", ("consent",))
BUS = Actor("transdev-1", "partner", "transdev", ("consent",))
GIVEN_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
CHILD: dict[str, Any] = {
    "birth": "2012-05",
    "parent_at": GIVEN_AT,
    "parent_identified_by": "family account",
}
NOBODYS = "AAAAA-AAAAA-AAAAA-AAAAA"  # its check symbol holds: all values are 0


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.hub_in(tmp_path / "var")
    yield replace(made, clock=lambda: GIVEN_AT + timedelta(days=1))
    made.books.close()


def asked(reference: str = "ada", **changes: Any) -> consents.Asked:
    facts: dict[str, Any] = {
        "reference": reference,
        "purpose": "school-mobility",
        "population": "pupil",
        "given_at": GIVEN_AT,
        "birth": "2009-01",
    }
    return consents.Asked(**facts | changes)


def give(parts: Parts, reference: str = "ada", **changes: Any) -> tuple[Grant, list[Handed]]:
    return participation.give(parts, APP, "coachco2", asked(reference, **changes))


def state(parts: Parts, grant: Grant) -> str:
    found = parts.books.grant(grant.id)
    assert found is not None
    return found.state


def stop(parts: Parts, code: str, purpose: str = EVERY_PURPOSE) -> None:
    door = Door(parts)
    door.settle(door.stop(code, purpose, "here"))


def test_what_a_worker_logs_of_a_job_names_no_code_and_no_day(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Parts, about: str) -> None:
        raise RuntimeError(about)

    _, (ada,) = give(parts)
    about = Door(parts).stop(ada.code, EVERY_PURPOSE, "here")
    parts.books.add_job("correction", "a-case.coachco2/trips.2025-11-17.2025-11-17", parts.clock())
    late = replace(parts, clock=lambda: parts.clock() + timedelta(minutes=5))
    assert worker.step(late, [{STOP: fails}])
    assert worker.step(late, [{"correction": fails}])
    assert caplog.text.count("met a fault: RuntimeError") == 2
    assert "correction a-case met" in caplog.text
    assert about.partition(".")[0] not in caplog.text
    assert "2025-11-17" not in caplog.text


# Given ----------------------------------------------------------------------------------------


def test_one_code_serves_every_purpose_of_a_person(parts: Parts) -> None:
    _, (handed,) = give(parts)
    assert handed.holder == "person"
    assert len(codes.read_code(handed.code)) == codes.CODE_SYMBOLS
    assert give(parts)[1] == []  # the same again: the person has a code
    assert handed.code not in repr(handed)
    assert handed.secret not in repr(handed)


def test_each_half_of_a_joint_consent_has_its_own_code(parts: Parts) -> None:
    _, handed = give(parts, **CHILD)
    assert [one.holder for one in handed] == ["person", "parent"]
    assert len({one.code for one in handed} | {one.secret for one in handed}) == 4
    kept = parts.books.codes_of(participant(parts, handed[0]))
    parent = next(one for one in kept if one.holder == "parent")
    assert parent.lapses_at == datetime(2027, 6, 1, tzinfo=UTC)


def test_a_parents_code_that_comes_later_opens_nothing_of_another_partner(parts: Parts) -> None:
    """Else a partner would give itself one, by saying that somebody is under 15."""
    grant, (ada,) = give(parts)
    Door(parts).link(BUS, ada.code, "CARD-ADA")
    later = CHILD | {"given_at": GIVEN_AT + timedelta(hours=1), "parent_at": GIVEN_AT}
    with pytest.raises(Conflict) as refused:
        give(parts, **later)
    assert refused.value.code == "codes-first"
    assert len(parts.books.grants_of(grant.subject)) == 1
    participation.again(parts, APP, grant)
    _, (parent,) = give(parts, **later)
    assert parent.holder == "parent"
    opened = parts.books.links_of(participant(parts, parent))
    assert [link.partner for link in opened] == ["coachco2"]


def participant(parts: Parts, handed: Handed) -> str:
    found = parts.books.code(codes.digest(parts.keyring.code_key, codes.read_code(handed.code)))
    assert found is not None
    return found.participant


def test_a_refusal_is_given_no_code(parts: Parts) -> None:
    assert give(parts, agreed=False)[1] == []


def test_a_consent_that_fails_leaves_no_code(parts: Parts) -> None:
    with pytest.raises(Rejected):
        give(parts, birth="2012-05")
    assert parts.books.participant_of("coachco2", digest_of(parts, "ada"), parts.clock()) is None


def digest_of(parts: Parts, reference: str, partner: str = "coachco2") -> bytes:
    return consents.digest_of(parts, partner, reference)


# Ended ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [0, 1])
def test_either_half_ends_the_consent_alone(parts: Parts, half: int) -> None:
    grant, handed = give(parts, **CHILD)
    stop(parts, handed[half].code)
    assert state(parts, grant) == "withdrawn"
    assert not parts.books.standing("coachco2", "school-mobility", parts.clock()).granted


def test_a_parents_code_lapses_with_the_birthday_and_the_persons_does_not(parts: Parts) -> None:
    _, (person, parent) = give(parts, **CHILD)
    later = replace(parts, clock=lambda: datetime(2027, 6, 1, tzinfo=UTC))
    with pytest.raises(Denied):
        Door(later).enter(parent.code, parent.secret, "here")
    anew, _ = give(later, given_at=datetime(2027, 6, 1, tzinfo=UTC), birth="2012-05")
    stop(later, parent.code)
    assert state(parts, anew) == "given"
    assert Door(later).enter(person.code, person.secret, "here")


def test_what_was_noted_is_seen_to_by_a_worker_if_the_web_process_dies(parts: Parts) -> None:
    grant, (handed,) = give(parts)
    Door(parts).stop(handed.code, EVERY_PURPOSE, "here")  # and never settled
    assert worker.drain(parts) == 0
    assert state(parts, grant) == "given"
    later = replace(parts, clock=lambda: GIVEN_AT + timedelta(days=1, minutes=2))
    assert worker.drain(later) >= 1
    assert state(parts, grant) == "withdrawn"


def test_settling_again_changes_nothing(parts: Parts) -> None:
    _, (handed,) = give(parts)
    door = Door(parts)
    about = door.stop(handed.code, EVERY_PURPOSE, "here")
    door.settle(about)
    before = parts.books.withdrawals()
    door.settle(about)
    assert parts.books.withdrawals() == before
    assert (STOP, about) not in parts.books.promised()


def test_after_the_erasure_the_code_still_says_what_became_of_it(parts: Parts) -> None:
    _, (handed,) = give(parts)
    who = participant(parts, handed)
    stop(parts, handed.code)
    worker.drain(parts)
    (agreed,) = participation.agreed(parts, who)
    assert agreed.state == "withdrawn"
    (link,) = parts.books.links_of(who)
    assert link.subject != digest_of(parts, "ada")
    assert len(parts.books.withdrawals_of(participation.subjects(parts, link))) == 1


def test_a_new_consent_after_the_end_comes_with_a_new_code(parts: Parts) -> None:
    _, (first,) = give(parts)
    stop(parts, first.code)
    worker.drain(parts)
    parts = replace(parts, clock=lambda: GIVEN_AT + timedelta(days=3))
    grant, (second,) = give(parts, given_at=GIVEN_AT + timedelta(days=2))
    stop(parts, first.code)
    assert state(parts, grant) == "given"
    stop(parts, second.code)
    assert state(parts, grant) == "withdrawn"


# Lost -----------------------------------------------------------------------------------------


def test_a_lost_code_is_replaced_through_the_app_and_opens_nothing_more(parts: Parts) -> None:
    grant, (lost,) = give(parts)
    Door(parts).link(BUS, lost.code, "card-1")
    (found,) = participation.again(parts, APP, grant)
    with pytest.raises(Denied):
        Door(parts).enter(lost.code, lost.secret, "here")
    stop(parts, lost.code)
    assert state(parts, grant) == "given"
    # The partner that asked for it gets no way to what another partner knows.
    assert {one.partner for one in parts.books.links_of(participant(parts, found))} == {"coachco2"}
    with pytest.raises(Denied):
        participation.again(parts, BUS, grant)


def test_a_secret_can_be_replaced_by_its_holder(parts: Parts) -> None:
    _, (handed,) = give(parts)
    door = Door(parts)
    code = door.who(door.enter(handed.code, handed.secret, "here"))
    assert code is not None
    other = door.new_secret(code)
    with pytest.raises(Denied):
        door.enter(handed.code, handed.secret, "here")
    assert door.who(door.enter(handed.code, other.lower(), "here")) is not None


def test_a_visit_ends_by_itself_and_with_its_code(parts: Parts) -> None:
    grant, (handed,) = give(parts)
    door = Door(parts)
    token = door.enter(handed.code, handed.secret, "here")
    late = Door(replace(parts, clock=lambda: parts.clock() + participation.VISIT))
    assert late.who(token) is None
    participation.again(parts, APP, grant)
    assert door.who(token) is None
    assert door.who("") is door.who("else") is None


# Linked ---------------------------------------------------------------------------------------


def test_a_partner_links_its_reference_and_the_code_then_ends_that_too(parts: Parts) -> None:
    _, (handed,) = give(parts)
    Door(parts).link(BUS, handed.code, "card-1")
    states = {(a.partner, a.state) for a in participation.agreed(parts, participant(parts, handed))}
    assert states == {("coachco2", "given"), ("transdev", "public_task")}
    stop(parts, handed.code)
    bus = parts.books.grants_of(digest_of(parts, "card-1", "transdev"))
    assert [one.state for one in bus] == ["objected"]


def test_a_replayed_link_changes_nothing_or_is_refused_by_name(parts: Parts) -> None:
    _, (first,) = give(parts)
    _, (second,) = give(parts, "bob")
    door = Door(parts)
    events = []
    for code in (first, first, second, second):
        before = parts.books.event_count()
        door.link(BUS, code.code, "card-1")
        events.append(parts.books.event_count() - before)
    assert events == [1, 0, 1, 0], "the same again is no event"
    with pytest.raises(Conflict) as replayed:
        door.link(BUS, first.code, "card-1")
    assert replayed.value.code == "link-replayed"
    theirs = parts.books.links_of(participant(parts, first))
    assert [one.partner for one in theirs] == ["coachco2"]


def test_a_link_is_not_revived_after_its_person_ended_it(parts: Parts) -> None:
    _, (handed,) = give(parts)
    stop(parts, handed.code)
    worker.drain(parts)
    with pytest.raises(Conflict) as replayed:
        Door(parts).link(APP, handed.code, "ada")
    assert replayed.value.code == "link-replayed"


def test_a_link_answers_the_same_for_a_code_nobody_has(parts: Parts) -> None:
    _, (handed,) = give(parts)
    calls = {}
    for name, code in {"known": handed.code, "unknown": NOBODYS}.items():
        with counted(parts) as seen:
            assert Door(parts).link(BUS, code, f"card-{name}") is None  # type: ignore[func-returns-value]
        calls[name] = seen
    assert calls["known"] == calls["unknown"] != []


# Guessed --------------------------------------------------------------------------------------

SEEN = ("code", "add_job", "link", "record", "add_visit", "links_of", "grants_of", "withdraw")


class counted:  # noqa: N801 - reads as what it does
    """Notes, in order, what is asked of the books and how often something is hashed."""

    def __init__(self, parts: Parts) -> None:
        self.seen: list[str] = []
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> list[str]:
        for owner, names in (
            (Books, SEEN), (codes, ("digest",)), (passwords, ("verify",)),
            (consents, ("digest_of",)), (Limiter, ("allows", "failed")),
        ):  # fmt: skip
            for name in names:
                self.patch.setattr(owner, name, self.noting(name, getattr(owner, name)))
        return self.seen

    def noting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            self.seen.append(name)
            return real(*args, **kwargs)

        return note

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def codes_of_every_kind(parts: Parts) -> dict[str, tuple[str, str]]:
    """A code somebody has with a wrong secret, one that ended, one that lapsed, one of nobody."""
    grant, (ended,) = give(parts)
    (live,) = participation.again(parts, APP, grant)
    _, (_, parent) = give(parts, "kid", **CHILD)
    wrong = codes.new_secret(lambda n: bytes(range(n)))
    return {
        "known": (live.code, wrong),
        "ended": (ended.code, ended.secret),
        "parent's": (parent.code, wrong),
        "unknown": (NOBODYS, wrong),
    }


def test_a_code_that_opens_nothing_says_nothing(parts: Parts) -> None:
    answers, calls = set(), []
    for code, secret in codes_of_every_kind(parts).values():
        with counted(parts) as seen, pytest.raises(Denied) as refused:
            Door(parts).enter(code, secret, "here")
        answers.add((refused.value.code, str(refused.value.words), refused.value.status))
        calls.append(seen)
    assert len(answers) == 1
    assert all(seen == calls[0] for seen in calls)
    assert calls[0].count("digest") == calls[0].count("code") == calls[0].count("verify") == 1


def test_stopping_asks_the_books_nothing_about_a_code(parts: Parts) -> None:
    calls = []
    for code, _ in codes_of_every_kind(parts).values():
        with counted(parts) as seen:
            Door(parts).stop(code, EVERY_PURPOSE, "here")
        calls.append(seen)
    assert all(seen == calls[0] for seen in calls)
    assert "code" not in calls[0]
    assert calls[0].count("digest") == calls[0].count("add_job") == 1


def test_an_objection_does_the_same_for_every_card(parts: Parts) -> None:
    world.pushed(parts, "transdev/validations", world.taps(["known"]))
    calls = []
    for card in ("known", "unknown", "known"):
        with counted(parts) as seen:
            Door(parts).object(card, "here")
        calls.append(seen)
    assert calls[0] == calls[1] == calls[2] != []


def test_a_code_guessed_a_million_times(parts: Parts) -> None:
    """By state: how many of a million tries are let through, whoever makes them."""
    made, now = [0], [GIVEN_AT]
    door = Door(replace(parts, clock=lambda: now[0]))
    door._by_prefix = Limiter(MemoryBooks(), b"", "", participation.TRIES_BY_PREFIX)
    door._by_address = Limiter(MemoryBooks(), b"", "", participation.TRIES_BY_ADDRESS)

    def through(address: str, prefix: str) -> bool:
        try:
            door._count([f"address\n{address}"], f"prefix\n{prefix}")
        except Busy:
            return False
        made[0] += 1
        return True

    tries = 20_000
    for number in range(tries):
        through("one", str(number % 7000))
    assert made[0] == participation.TRIES_BY_ADDRESS
    made[0] = 0
    for number in range(tries):
        through(f"host {number}", "HJKMN")
    assert made[0] == participation.TRIES_BY_PREFIX, "from everywhere, at one group of codes"
    now[0] += timedelta(minutes=16)
    assert through("one", "HJKMN"), "a quarter of an hour later the person is let in"
    # What the limits let through of a million tries at one code, and what a million would find.
    windows = 1_000_000 / tries
    let_through = participation.TRIES_BY_PREFIX * windows
    assert let_through <= 1_000
    million_codes = 1e6
    assert 1e6 * million_codes / 2**codes.BITS < 1e-13


def test_a_try_is_counted_whatever_became_of_it(parts: Parts) -> None:
    _, (handed,) = give(parts)
    door = Door(parts)
    for _ in range(participation.TRIES_BY_PREFIX):
        door.enter(handed.code, handed.secret, "here")
    for code, secret in ((handed.code, handed.secret), (handed.code, "ACDE-FHJK-MNPA")):
        with pytest.raises(HubError) as refused:
            door.enter(code, secret, "elsewhere")
        assert refused.value.code in {"too-many-tries", "code-unreadable"}
    with pytest.raises(Busy):
        door.stop(handed.code, EVERY_PURPOSE, "here")


BAD: dict[str, tuple[Callable[[Parts, Handed], object], str]] = {
    "a code mistyped": (
        lambda p, h: Door(p).stop(h.code[:-1] + ("A" if h.code[-1] != "A" else "C"), "every", ""),
        "code-unreadable",
    ),
    "an unknown purpose": (lambda p, h: Door(p).stop(h.code, "sale", ""), "unknown-purpose"),
    "a consent for an unknown purpose": (
        lambda p, _: consents.give(p, OPERATOR, "coachco2", asked(purpose="sale")),
        "denied-by-policy",
    ),
    "a notice never published": (
        lambda p, _: give(p, "eve", notice_version="1999-01"),
        "notice-never-published",
    ),
    "a parent for someone over 15": (
        lambda p, _: give(p, "eve", parent_at=GIVEN_AT, parent_identified_by="call"),
        "parental-half-not-asked",
    ),
    "a clock that runs backwards": (
        lambda p, _: give(p, "eve", given_at=GIVEN_AT + timedelta(days=9)),
        "given-in-the-future",
    ),
    "a card without a number": (lambda p, _: Door(p).object("  ", ""), "reference-unreadable"),
    "a link of no reference": (
        lambda p, h: Door(p).link(BUS, h.code, ""),
        "reference-unreadable",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_a_name(parts: Parts, case: str) -> None:
    _, (handed,) = give(parts)
    act, code = BAD[case]
    with pytest.raises(HubError) as refused:
        act(parts, handed)
    assert refused.value.code == code
    assert handed.code not in str(refused.value.words)


def test_codes_and_secrets_are_in_nothing_the_hub_writes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    home = tmp_path / "var"
    parts = replace(world.hub_in(home), clock=lambda: GIVEN_AT + timedelta(days=1))
    grant, handed = give(parts, "canari-reference", **CHILD)
    handed += participation.again(parts, APP, grant)
    door = Door(parts)
    door.link(BUS, handed[2].code, "canari-carte")
    token = door.enter(handed[2].code, handed[2].secret, "here")
    stop(parts, handed[3].code)
    door.object("canari-objection", "here")
    parts.sequence()
    parts.books.close()
    needles = [text.encode() for one in handed for text in (one.code, one.secret)]
    needles += [needle.replace(b"-", b"") for needle in needles]
    needles += [b"canari-reference", b"canari-carte", b"canari-objection", token.encode()]
    assert find(home, needles, parts.vault.unseal) == []
    assert [n for n in needles if n in caplog.text.encode()] == []
    (home / "note.txt").write_text(handed[0].code)
    assert find(home, needles) == ["note.txt (raw): raw of needle 0"]
