"""Withdrawal: the person is found before, and nowhere after."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from consent import pseudonyms
from hub import consents, push, withdraw, worker
from hub.audit import receipts
from hub.audit.entries import receipts_of
from hub.desk import PartsDesk
from hub.errors import Denied, Rejected
from hub.parts import OPERATOR, Parts
from hub.policy.gate import DenyAll
from hub.reconcile import reconcile
from hub.records import ERASURES, Account, Erasure, Role, Withdrawal
from hub.storage.books import standing
from tests.flows import world
from tests.storage.scan import find

PERSON = "acc-the-person-who-leaves"
OTHERS = [f"acc-{n:03d}" for n in range(5)]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    parts = world.hub_with_places(tmp_path / "var")
    world.agree(parts, PERSON, *OTHERS)
    world.pushed(parts, "coachco2/trips", world.trips([PERSON, *OTHERS]))
    return parts


def names_of(parts: Parts, person: str) -> list[bytes]:
    """Everything the person is called: by the partner, by the gate, in each table."""
    digest = consents.digest_of(parts, "coachco2", person)
    keys = [
        parts.keyring.period_key("school-mobility", period)
        for period in parts.keyring.periods("school-mobility")
    ]
    return [person.encode(), digest, *(pseudonyms.pseudonym(key, digest) for key in keys)]


def leave(parts: Parts, person: str = PERSON) -> Withdrawal:
    digest = consents.digest_of(parts, "coachco2", person)
    made = withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(parts)
    done = parts.books.withdrawal(made.id)
    assert done is not None
    return done


def found(parts: Parts, person: str) -> list[str]:
    return find(parts.settings.home, names_of(parts, person), parts.vault.unseal)


def kept(parts: Parts) -> int:
    files = parts.tables.snapshot(["coachco2/trips/trips"]).files["coachco2/trips/trips"]
    return sum(pq.read_metadata(file).num_rows for file in files)


def test_the_scan_finds_the_person_before_and_nowhere_after(parts: Parts) -> None:
    before = found(parts, PERSON)
    assert any("tables" in place for place in before)
    assert any("books" in place for place in before)
    assert kept(parts) == 96
    leave(parts)
    assert found(parts, PERSON) == []
    assert kept(parts) == 80
    assert found(parts, OTHERS[0]) != []


def test_a_later_push_of_the_person_is_refused(parts: Parts) -> None:
    leave(parts)
    again = world.pushed(parts, "coachco2/trips", world.trips([PERSON]))
    assert again.kept == 0
    assert found(parts, PERSON) == []


def test_rows_set_aside_leave_with_their_person(parts: Parts) -> None:
    """They are found while sealed in the books, and gone with what they were sealed into."""
    days = world.trips([PERSON, OTHERS[0]]).replace(b'"distance": 4000.0', b'"distance": "far"', 1)
    made = world.pushed(parts, "coachco2/trips", days)
    [row] = parts.books.set_aside(push=made.id)
    assert row.sealed is not None
    sealed = "(table quarantine, unsealed)"
    assert any(sealed in place for place in found(parts, PERSON))
    assert find(parts.settings.home, [row.sealed[-32:]]) != []
    leave(parts)
    assert found(parts, PERSON) == []
    assert find(parts.settings.home, [row.sealed[-32:]]) == []


def test_an_old_consent_sent_again_does_not_revive(parts: Parts) -> None:
    leave(parts)
    with pytest.raises(Rejected, match="new consent"):
        world.agree(parts, PERSON)
    assert world.pushed(parts, "coachco2/trips", world.trips([PERSON])).kept == 0


def test_a_new_consent_counts_again(parts: Parts) -> None:
    leave(parts)
    later = replace(parts, clock=lambda: datetime.now(UTC))
    consents.give(
        later,
        OPERATOR,
        "coachco2",
        consents.Asked(PERSON, "school-mobility", "pupil", later.clock(), birth="2009-01"),
    )
    assert world.pushed(parts, "coachco2/trips", world.trips([PERSON])).kept == 16


def says_no(parts: Parts, at: datetime, person: str = PERSON) -> None:
    no = consents.Asked(person, "school-mobility", "", at, agreed=False)
    consents.give(parts, OPERATOR, "coachco2", no)
    worker.drain(parts)


def test_a_no_after_a_yes_is_a_withdrawal(parts: Parts) -> None:
    """However the partner says it: a state that flips would leave the rows where they are."""
    (grant,) = parts.books.grants_of(consents.digest_of(parts, "coachco2", PERSON))
    says_no(parts, grant.given_at - timedelta(seconds=1))
    assert kept(parts) == 96, "what came before the yes ends nothing"
    says_no(parts, parts.clock())
    assert found(parts, PERSON) == []
    assert kept(parts) == 80
    ended = parts.books.grant(grant.id)
    assert ended is not None
    assert (ended.state, ended.ended_at is None) == ("withdrawn", False)
    says_no(parts, parts.clock())
    assert len(parts.books.withdrawals()) == 1, "nothing stands any more"


def test_who_only_ever_said_no_is_a_mark_that_an_older_yes_does_not_overrule(parts: Parts) -> None:
    somebody = "acc-somebody-who-never-agreed"
    says_no(parts, parts.clock(), somebody)
    assert found(parts, somebody) == []
    with pytest.raises(Rejected, match="new consent"):
        world.agree(parts, somebody)
    later = replace(parts, clock=lambda: datetime.now(UTC))
    yes = consents.Asked(somebody, "school-mobility", "pupil", later.clock(), birth="2009-01")
    assert consents.give(later, OPERATOR, "coachco2", yes).state == "given"
    assert world.pushed(parts, "coachco2/trips", world.trips([somebody], days=2)).kept == 4


def test_a_no_of_an_import_is_one_too(parts: Parts, tmp_path: Path) -> None:
    header = "reference;purpose;population;birth_month;given_at;state"
    of = "school-mobility;pupil;2009-01"
    answers = [
        f"{PERSON};{of};2026-02-01T08:00:00+01:00;refused",
        f"acc-somebody-new;{of};2026-02-01T08:00:00+01:00;given",
        f"acc-somebody-new;{of};2026-02-02T08:00:00+01:00;refused",
        f"{OTHERS[0]};{of};2026-02-01T08:00:00+01:00;Withdrawn",
        f"{OTHERS[1]};{of};2099-02-01T08:00:00+01:00;refused",
    ]
    file = tmp_path / "answers.csv"
    file.write_text("\n".join([header, *answers]), "utf-8")
    said = consents.import_file(parts, OPERATOR, "coachco2", file)
    assert (said["given"], said["refused"]) == (1, 2)
    assert said["rejected"] == {"answer-unknown": 1, "given-in-the-future": 1}
    worker.drain(parts)
    assert found(parts, PERSON) == found(parts, "acc-somebody-new") == []
    assert kept(parts) == 80


def test_a_push_under_way_is_refused_after_the_withdrawal(parts: Parts) -> None:
    made, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips([PERSON, "acc-000"])])
    digest = consents.digest_of(parts, "coachco2", PERSON)
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    push.process(parts, made.id)
    worker.drain(parts)
    assert found(parts, PERSON) == []


def test_the_receipt_says_what_ended(parts: Parts) -> None:
    done = leave(parts)
    facts = receipts.verify(withdraw.receipt(parts, done), [parts.log.signer.verifier])
    assert (facts["kind"], facts["state"]) == ("withdrawal", "completed")
    assert list(facts["tables"]) == ["coachco2/trips/trips"]
    assert PERSON.encode() not in withdraw.receipt(parts, done)


def test_an_unknown_person_gets_the_same_answer(parts: Parts) -> None:
    known, unknown = leave(parts), leave(parts, "nobody-knows-me")
    assert withdraw.shown(known).keys() == withdraw.shown(unknown).keys()
    assert withdraw.shown(unknown)["state"] == "completed"


def test_completing_again_changes_nothing(parts: Parts) -> None:
    done = leave(parts)
    assert withdraw.complete(parts, done.id) == done


def test_many_leave_with_one_rewrite_of_each_table(parts: Parts) -> None:
    leaving = [PERSON, *OTHERS[:3]]
    digests = [consents.digest_of(parts, "coachco2", person) for person in leaving]
    made = [withdraw.withdraw(parts, OPERATOR, "coachco2", d, via="cli") for d in digests]
    names = [name for person in leaving for name in names_of(parts, person)]
    assert {one.state for one in parts.books.withdrawals()} == {Erasure.REQUESTED}
    assert worker.step(parts), "the first job does what all of them asked"
    done = parts.books.withdrawals()
    assert {one.state for one in done} == {Erasure.COMPLETED}
    assert all(one.completed_at is not None for one in done)
    assert len(parts.books.events(kind="table.rewritten")) == 1
    assert kept(parts) == 32
    assert find(parts.settings.home, names, parts.vault.unseal) == []
    told = [withdraw.receipt(parts, one) for one in done]
    seen = [receipts.verified(note, [parts.log.signer.verifier]) for note in told]
    assert {one.facts["id"] for one in seen} == {one.id for one in made}
    assert all(one.checkpoint is not None for one in seen), "each is proved alone"
    assert len({one.facts["log_index"] for one in seen}) == 1
    assert worker.drain(parts) == 0
    assert reconcile(parts).problems == []


def test_no_receipt_tells_how_many_left_together(parts: Parts) -> None:
    """From two on, a proof is as long whoever else is in the event."""
    lengths, places = set(), set()
    for leaving in (OTHERS[:2], OTHERS[2:]):
        made = [
            withdraw.withdraw(
                parts, OPERATOR, "coachco2", consents.digest_of(parts, "coachco2", one), via="cli"
            )
            for one in leaving
        ]
        worker.drain(parts)
        for one in made:
            done = parts.books.withdrawal(one.id)
            assert done is not None
            assert done.log_index is not None
            event = parts.books.event_at(done.log_index)
            assert event is not None
            many = receipts_of(event)
            digest = receipts.digest("withdrawal", withdraw.receipt_facts(parts, done))
            lengths.add(len(receipts.path(many, digest)))
            places.add(many.index(digest))
    assert lengths == {4 + 32 * 6}
    assert places != set(range(len(OTHERS[2:]))), "a low place would tell that few came before"


def test_more_leave_than_an_event_holds(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdraw, "TOGETHER", 2)
    digests = [consents.digest_of(parts, "coachco2", one) for one in (PERSON, *OTHERS)]
    made = [withdraw.withdraw(parts, OPERATOR, "coachco2", one, via="cli") for one in digests]
    assert len(made) % 2 == 0
    worker.drain(parts)
    done = parts.books.withdrawals()
    assert len({one.log_index for one in done}) == len(made) // 2
    for one in done:
        note = withdraw.receipt(parts, one)
        assert receipts.verified(note, [parts.log.signer.verifier]).facts["id"] == one.id
    assert reconcile(parts).problems == []


def test_the_deadline_is_promised_and_who_misses_it_is_named(parts: Parts) -> None:
    digest = consents.digest_of(parts, "coachco2", PERSON)
    made = withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    assert made.due_at == made.requested_at + timedelta(hours=24)
    assert withdraw.overdue(parts) == []
    late = replace(parts, clock=lambda: made.requested_at + timedelta(hours=24))
    assert [one.id for one in withdraw.overdue(late)] == [made.id]
    dpo = Account("a1", "dpo", "region", Role.DPO, "")
    shown = PartsDesk(late).overview(dpo).withdrawals
    assert [(one.id, one.late_since) for one in shown] == [(made.id, made.due_at)]
    assert [one.late_since for one in PartsDesk(parts).overview(dpo).withdrawals] == [None]
    worker.drain(late)
    assert withdraw.overdue(late) == []
    done = parts.books.withdrawal(made.id)
    assert done is not None
    assert withdraw.shown(done)["due_at"] == made.due_at.isoformat()
    assert withdraw.shown(done)["backups_expire_at"] is None


def test_every_state_can_be_left_or_is_the_last() -> None:
    assert set(ERASURES) == set(Erasure)
    assert {one for one, then in ERASURES.items() if not then} == {Erasure.COMPLETED}


def test_a_rewrite_whose_event_a_crash_cut_off_is_told_by_the_next(parts: Parts) -> None:
    """Even where a push has committed in between: each version has its event."""
    name = "coachco2/trips/trips"
    digest = consents.digest_of(parts, "coachco2", PERSON)
    made = withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    [period] = parts.keyring.periods("school-mobility")
    gone = pseudonyms.pseudonym(parts.keyring.period_key("school-mobility", period), digest)
    version = parts.tables.versions(name)[-1]
    parts.books.intend_rewrite(name, version + 1)
    assert parts.tables.rewrite(name, {period: [gone]}) == 16  # …and the process died here
    assert reconcile(parts).problems == []
    # Not `world.pushed`: its worker would complete the withdrawal first.
    sent, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips([OTHERS[0]])])
    push.process(parts, sent.id)
    withdraw.complete(parts, made.id)
    worker.drain(parts)
    assert parts.books.intended_rewrites() == {}
    recovered = [e for e in parts.books.events(kind="table.rewritten") if b"recovered" in e.body]
    assert len(recovered) == 1
    assert reconcile(parts).problems == []
    assert found(parts, PERSON) == []


def test_a_dead_policy_engine_withdraws_nothing(parts: Parts) -> None:
    digest = consents.digest_of(parts, "coachco2", PERSON)
    with pytest.raises(Denied):
        withdraw.withdraw(replace(parts, policy=DenyAll()), OPERATOR, "coachco2", digest, via="cli")
    assert kept(parts) == 96


def test_an_objector_leaves_the_taps(parts: Parts) -> None:
    world.pushed(parts, "transdev/validations", world.taps(["CARD-A", "CARD-B"]))
    digest = consents.digest_of(parts, "transdev", "CARD-A")
    withdraw.withdraw(parts, OPERATOR, "transdev", digest, via="cli")
    worker.drain(parts)
    names = [b"CARD-A"] + [
        pseudonyms.pseudonym(parts.keyring.period_key("school-mobility", period), digest)
        for period in parts.keyring.periods("school-mobility")
    ]
    assert find(parts.settings.home, names, parts.vault.unseal) == []
    assert world.pushed(parts, "transdev/validations", world.taps(["CARD-A"])).kept == 0


def test_objections_pushed_by_the_operator_take_effect(parts: Parts) -> None:
    taps = world.taps(["CARD-0A", "CARD-0B", "CARD-0C"])
    assert world.pushed(parts, "transdev/validations", taps).kept == 15
    file = b"reference\nCARD-0A\nCARD-0B\nCARD-0A\n"
    done = world.pushed(parts, "transdev/objections", file)
    assert (done.state, done.received, done.kept, dict(done.tables)) == ("stored", 3, 0, {})
    again = world.pushed(parts, "transdev/objections", file)
    assert again.state == "stored"
    # Said again, it is recorded again: a log that grew by less would tell who had objected.
    assert len(parts.books.events(kind="objection.recorded")) == 4
    assert world.pushed(parts, "transdev/validations", taps).kept == 5
    digest = consents.digest_of(parts, "transdev", "CARD-0A")
    names = [b"CARD-0A", b"CARD-0B"] + [
        pseudonyms.pseudonym(parts.keyring.period_key("school-mobility", period), digest)
        for period in parts.keyring.periods("school-mobility")
    ]
    assert find(parts.settings.home, names, parts.vault.unseal) == []
    assert worker.step(parts) is False


def test_a_worker_takes_in_what_people_said_before_the_next_push_asks(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = parts.agreement_for("coachco2", "school-mobility")
    assert agreement is not None
    digest = consents.digest_of(parts, "coachco2", PERSON)
    assert digest in parts.standing(agreement).granted.to_pylist()
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    later = parts.clock() + timedelta(days=1)
    worker.chores(parts, {name: later for name in worker.CHORES if name != "standing"})

    def asks(*_: object) -> None:
        raise AssertionError("the push that comes next waits for what somebody said")

    monkeypatch.setattr(standing, "_everyone", asks)
    monkeypatch.setattr(standing, "_since", asks)
    told = parts.standing(agreement)
    assert digest not in told.granted.to_pylist()
    assert digest in told.objected.to_pylist()
