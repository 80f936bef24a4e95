from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event as sql

from hub.errors import Conflict, NotFound
from hub.events import Kind
from hub.records import Basis, Grant, Organisation
from hub.storage.books import OBJECTED, REFUSED, WITHDRAWN, Books, standing
from tests.storage.books.made import (
    HOUR,
    NOW,
    PURPOSE,
    agreement,
    digest,
    event,
    grant,
    withdrawal,
)

DAY = timedelta(days=1)
GIVE = event(Kind.CONSENT_GIVEN)
END = event(Kind.CONSENT_WITHDRAWN)
DONE = event(Kind.WITHDRAWAL_COMPLETED)


def stood(
    books: Books, partner: str = "coachco2", purpose: str = PURPOSE, hours: float = 0
) -> tuple[list[bytes], list[str], list[bytes]]:
    told = books.standing(partner, purpose, NOW + hours * HOUR)
    return told.granted.to_pylist(), told.population.to_pylist(), told.objected.to_pylist()


def granted(books: Books, hours: float = 24) -> set[bytes]:
    return set(stood(books, hours=hours)[0])


def against(books: Books) -> set[bytes]:
    return set(stood(books)[2])


def test_a_grant_is_read_back_whole_and_stands(books: Books) -> None:
    made = grant("g1", "ada")
    assert books.give([made], event=GIVE) == [made]
    assert books.grant("g1") == made
    assert books.grant("g2") is None
    assert books.grants_of(digest("ada")) == [made]
    assert books.grants_of(digest("ada"), "linking") == []
    assert stood(books) == ([digest("ada")], ["pupil"], [])
    assert stood(books, "orange") == ([], [], [])
    assert stood(books, "coachco2", "linking") == ([], [], [])


def test_nobody_stands_before_the_grant_or_from_its_expiry_on(books: Books) -> None:
    books.give([grant("g1", "ada", expires_at=NOW + DAY)], event=GIVE)
    books.give([grant("g2", "bob", expires_at=None)], event=GIVE)
    assert granted(books, -1) == set()
    assert granted(books, 23.99) == {digest("ada"), digest("bob")}
    assert granted(books, 24) == {digest("bob")}


def test_the_latest_grant_counts_with_its_population_and_its_expiry(books: Books) -> None:
    long = grant("g1", "ada", population="pupil", expires_at=NOW + 300 * DAY)
    short = grant("g2", "ada", NOW + HOUR, population="post-bac", expires_at=NOW + DAY)
    books.give([short, long], event=GIVE)
    assert stood(books, hours=2)[:2] == (
        [digest("ada")],
        ["post-bac"],
    )
    # The older, longer grant does not revive when the newer, shorter one ends.
    assert granted(books, 48) == set()


def test_populations_are_aligned_with_their_people(books: Books) -> None:
    people = {f"person {n}": ("pupil", "post-bac", "staff")[n % 3] for n in range(100)}
    books.give(
        [grant(f"g{name}", name, population=kind) for name, kind in people.items()], event=GIVE
    )
    digests, populations, _ = stood(books)
    assert dict(zip(digests, populations, strict=True)) == {
        digest(name): kind for name, kind in people.items()
    }


def test_an_import_is_all_or_nothing(books: Books) -> None:
    books.give([grant("g1", "ada")], event=GIVE)
    before = books.event_count()
    with pytest.raises(Conflict):
        books.give([grant("g2", "bob"), grant("g1", "eve")], event=GIVE)
    assert granted(books) == {digest("ada")}
    assert books.event_count() == before
    assert books.give([], event=GIVE) == []
    assert books.event_count() == before


def test_a_withdrawal_ends_the_grant_at_once_and_promises_the_rewrite(books: Books) -> None:
    books.give([grant("g1", "ada"), grant("g2", "bob")], event=GIVE)
    made = withdrawal("w1", "ada", NOW + HOUR)
    assert books.withdraw(made, event=END) == made
    assert books.withdrawal("w1") == made
    assert granted(books) == {digest("bob")}
    assert against(books) == {digest("ada")}
    ended, refusal = books.grants_of(digest("ada"))
    assert (ended.id, ended.state, ended.ended_at) == ("g1", WITHDRAWN, NOW + HOUR)
    assert (refusal.state, refusal.given_at) == (REFUSED, NOW + HOUR)
    job = books.lease_job("w", NOW, HOUR)
    assert job is not None
    assert (job.kind, job.about) == ("withdrawal", "w1")


def test_a_withdrawal_without_a_grant_leaves_the_same_kind_of_trace(books: Books) -> None:
    books.give([grant("g1", "ada")], event=GIVE)
    known = books.withdraw(withdrawal("w1", "ada"), event=END)
    unknown = books.withdraw(withdrawal("w2", "nobody"), event=END)
    assert replace(unknown, id="w1", subject=known.subject) == known
    assert against(books) == {digest("ada"), digest("nobody")}
    assert books.withdrawal("w2") == withdrawal("w2", "nobody")


def test_withdrawing_again_keeps_what_the_first_time_recorded(books: Books) -> None:
    books.give([grant("g1", "ada"), grant("o1", "ada", state=OBJECTED)], event=GIVE)
    books.withdraw(withdrawal("w1", "ada", NOW + HOUR), event=END)
    first = books.grants_of(digest("ada"))
    books.withdraw(withdrawal("w2", "ada", NOW + 2 * HOUR), event=END)
    assert books.grants_of(digest("ada"))[:3] == first
    assert [g.state for g in first] == [WITHDRAWN, OBJECTED, REFUSED]


def test_an_old_consent_sent_again_revives_nothing_and_a_new_one_counts(books: Books) -> None:
    books.give([grant("g1", "ada")], event=GIVE)
    books.withdraw(withdrawal("w1", "ada", NOW + HOUR), event=END)
    books.give([grant("g2", "ada", NOW), grant("g3", "ada", NOW + HOUR)], event=GIVE)
    assert granted(books) == set()
    books.give([grant("g4", "ada", NOW + 2 * HOUR)], event=GIVE)
    assert granted(books, 2) == {digest("ada")}
    assert against(books) == {digest("ada")}  # asked at NOW, the new grant is not given yet


def test_a_clock_that_runs_backwards_does_not_undo_a_withdrawal(books: Books) -> None:
    books.give([grant("g1", "ada", NOW + 2 * HOUR)], event=GIVE)
    books.withdraw(withdrawal("w1", "ada", NOW), event=END)
    books.give([grant("g2", "ada", NOW + 2 * HOUR)], event=GIVE)
    assert granted(books) == set()


def test_a_withdrawal_ends_the_named_purposes_at_the_named_partner_only(books: Books) -> None:
    others = [
        grant("g2", "ada", purpose="linking"),
        grant("g3", "ada", purpose="follow-up"),
        grant("g4", "ada", partner="transdev"),
    ]
    books.add_organisation(Organisation("transdev", "T"), event=event())
    books.give([grant("g1", "ada"), *others], event=GIVE)
    books.withdraw(withdrawal("w1", "ada", purposes=(PURPOSE, "linking")), event=END)
    assert granted(books) == set()
    assert stood(books, "coachco2", "linking")[0] == []
    assert stood(books, "coachco2", "follow-up")[0] == [digest("ada")]
    assert stood(books, "transdev")[0] == [digest("ada")]


def test_it_is_an_objection_where_the_agreement_in_force_is_a_public_task(books: Books) -> None:
    books.add_agreement(agreement(basis=Basis.PUBLIC_TASK), event=event(Kind.AGREEMENT_RECORDED))
    books.add_agreement(
        agreement(basis=Basis.CONSENT, purpose="linking"), event=event(Kind.AGREEMENT_RECORDED)
    )
    books.withdraw(withdrawal("w1", "ada", purposes=(PURPOSE, "linking")), event=END)
    states = {g.purpose: g.state for g in books.grants_of(digest("ada"))}
    assert states == {PURPOSE: OBJECTED, "linking": REFUSED}
    books.add_agreement(agreement(basis=Basis.CONSENT), event=event(Kind.AGREEMENT_RECORDED))
    books.withdraw(withdrawal("w2", "bob"), event=END)
    assert [g.state for g in books.grants_of(digest("bob"))] == [REFUSED]
    assert against(books) == {digest("ada"), digest("bob")}


def test_an_objection_may_be_given_like_a_grant_and_is_not_undone_by_an_older_one(
    books: Books,
) -> None:
    books.give([grant("o1", "ada", NOW, state=OBJECTED, expires_at=None)], event=GIVE)
    books.give([grant("g1", "ada", NOW - DAY), grant("g2", "ada", NOW)], event=GIVE)
    assert against(books) == {digest("ada")}
    assert granted(books) == set()
    assert books.refusals("coachco2", PURPOSE) == [(digest("ada"), NOW)]


def test_completing_takes_the_digest_out_and_leaves_the_mark(books: Books) -> None:
    books.give([grant("g1", "ada")], event=GIVE)
    made = withdrawal("w1", "ada", NOW + HOUR)
    books.withdraw(made, event=END)
    mark = digest("a mark")
    done = replace(
        made, subject=mark, completed_at=NOW + DAY, tables={"coachco2/trips/trips": {"version": 7}}
    )
    books.complete_withdrawals([done], event=DONE)
    assert books.withdrawal("w1") == done
    assert books.grants_of(digest("ada")) == []
    assert {g.state for g in books.grants_of(mark)} == {WITHDRAWN, REFUSED}
    assert books.refusals("coachco2", PURPOSE) == [(mark, NOW + HOUR)]
    assert books.lease_job("w", NOW + DAY, HOUR) is None


def test_completing_spares_an_objection_and_a_grant_given_since(books: Books) -> None:
    books.add_agreement(
        agreement("validations", Basis.PUBLIC_TASK, purpose="linking"),
        event=event(Kind.AGREEMENT_RECORDED),
    )
    made = withdrawal("w1", "ada", purposes=(PURPOSE, "linking"))
    books.withdraw(made, event=END)
    books.give([grant("g2", "ada", NOW + HOUR)], event=GIVE)
    books.complete_withdrawals([replace(made, subject=digest("mark"))], event=DONE)
    assert granted(books) == {digest("ada")}
    assert stood(books, "coachco2", "linking")[2] == [digest("ada")]


def test_completing_twice_or_the_unknown_is_refused(books: Books) -> None:
    made = withdrawal("w1", "ada")
    with pytest.raises(NotFound):
        books.complete_withdrawals([made], event=DONE)
    books.withdraw(made, event=END)
    books.complete_withdrawals([made], event=DONE)
    before = books.event_count()
    with pytest.raises(Conflict, match="complete already"):
        books.complete_withdrawals([replace(made, tables={"t": 1})], event=DONE)
    assert books.event_count() == before
    assert books.withdrawal("w1") == replace(made, completed_at=NOW)


def test_grants_and_withdrawals_know_their_place_in_the_log(books: Books) -> None:
    books.give([grant("g1", "ada"), grant("g2", "bob")], event=GIVE)
    made = withdrawal("w1", "ada")
    books.withdraw(made, event=END)
    [given] = books.events(kind=Kind.CONSENT_GIVEN)
    [ended] = books.events(kind=Kind.CONSENT_WITHDRAWN)
    books.place_events([(given.sequence, 5), (ended.sequence, 6)])
    assert [g.log_index for g in books.grants_of(digest("ada"))] == [5, 6]
    assert [g.log_index for g in books.grants_of(digest("bob"))] == [5]
    assert books.withdrawal("w1") == replace(made, log_index=6)
    books.complete_withdrawals([made], event=DONE)
    assert books.withdrawal("w1") == replace(made, completed_at=NOW)
    [done] = books.events(kind=Kind.WITHDRAWAL_COMPLETED)
    books.place_events([(done.sequence, 7)])
    assert books.withdrawal("w1") == replace(made, completed_at=NOW, log_index=7)


def test_no_repr_shows_a_digest(books: Books) -> None:
    books.give([grant("g1", "ada")], event=GIVE)
    books.withdraw(withdrawal("w1", "ada"), event=END)
    shown = repr(books.grants_of(digest("ada"))) + repr(books.withdrawal("w1"))
    assert repr(digest("ada")) not in shown
    assert digest("ada").hex() not in shown


def test_an_import_of_a_whole_region_is_one_statement_and_one_event(books: Books) -> None:
    # The statement count, not the clock: row-by-row inserts would be thousands.
    seen: list[str] = []
    sql.listen(books._engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    books.give([grant(f"g{n}", f"person {n}") for n in range(5000)], event=GIVE)
    assert len([s for s in seen if s.startswith("INSERT INTO grants")]) == 1
    assert len(granted(books)) == 5000


def test_who_withdraws_is_found_by_their_digest(books: Books) -> None:
    # Not by partner and purpose, which lead to everybody: the plan, not the clock.
    plans: dict[str, list[str]] = {}

    def explain(
        connection: Any, cursor: Any, statement: str, told: Any, _: Any, many: bool
    ) -> None:
        if " grants" in statement and not statement.startswith("INSERT"):
            plan = connection.connection.driver_connection.execute(
                f"EXPLAIN QUERY PLAN {statement}", told[0] if many else told
            )
            plans[statement] = [step[-1] for step in plan if " grants" in step[-1]]

    books.give([grant("g1", "ada")], event=GIVE)
    assert granted(books) == {digest("ada")}
    sql.listen(books._engine, "before_cursor_execute", explain)
    made = withdrawal("w1", "ada", NOW + HOUR)
    books.withdraw(made, event=END)
    assert granted(books) == set()
    books.complete_withdrawals([replace(made, subject=digest("a mark"))], event=DONE)
    assert any(statement.startswith("UPDATE grants") for statement in plans)
    for statement, steps in plans.items():
        assert steps, statement
        for step in steps:
            assert step.startswith("SEARCH"), (statement, step)
            assert "subject=?" in step or "partner=?" not in step, (statement, step)


@pytest.mark.parametrize("many", [0, 10_000])
@pytest.mark.parametrize("at_once", [1, 500])
def test_who_said_several_things_is_told_by_the_last_however_it_is_asked(
    books: Books, monkeypatch: pytest.MonkeyPatch, many: int, at_once: int
) -> None:
    monkeypatch.setattr(standing, "_MANY", many)
    monkeypatch.setattr(standing, "_AT_ONCE", at_once)
    given: list[Grant] = []
    for number in range(5):
        who = f"person-{number}"
        given.append(grant(f"{who}-first", who, NOW - 3 * HOUR, population="first"))
        if number:
            given.append(grant(f"{who}-then", who, NOW - 2 * HOUR, population="then"))
        if number > 2:
            no = grant(f"{who}-no", who, NOW - 2 * HOUR, state=OBJECTED, expires_at=None)
            given.append(no)
        if number == 4:
            given.append(grant(f"{who}-over", who, NOW - HOUR, expires_at=NOW))
    books.give(given, event=GIVE)
    stand, populations, objected = stood(books)
    assert dict(zip(stand, populations, strict=True)) == {
        digest("person-0"): "first",
        digest("person-1"): "then",
        digest("person-2"): "then",
    }
    assert objected == [digest("person-3")]
