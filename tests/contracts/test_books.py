"""The contract of the books, on every database they run on: SQLite and PostgreSQL."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hub.errors import Conflict, HubError, Unavailable
from hub.records import Backup, Grant, Organisation, Push, PushState, Session, Side, Vouched
from hub.storage.books import GIVEN, OBJECTED, REFUSED, Books
from hub.storage.books.schema import metadata
from tests.storage.books import real
from tests.storage.books.machine import SETTINGS, OverBooks, empty
from tests.storage.books.made import (
    HOUR,
    NOW,
    PURPOSE,
    account,
    agreement,
    case,
    client,
    code,
    digest,
    event,
    grant,
    link,
    push,
    release,
    request,
    row,
    stored,
    with_partner,
    withdrawal,
)

Random = Callable[[int], bytes]
Open = Callable[..., Books]
DATABASES: Final = ("sqlite", "postgresql")


@pytest.fixture(params=DATABASES)
def open_books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same books each time it is called."""
    opened: list[Books] = []
    url = empty(tmp_path) if request.param == "sqlite" else real.emptied()

    def open_(**options: Any) -> Books:
        opened.append(Books.open(url, **options))
        return opened[-1]

    yield open_
    for books in opened:
        books.close()


def everything(books: Books) -> dict[str, list[Any]]:
    """Every row of every table, as the driver gives it: only to be compared."""
    with books._engine.connect() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{table.name}"')
            ]
            for table in metadata.sorted_tables
        }


# No change without its event -----------------------------------------------------------------

READS: Final = frozenset(
    {
        "account", "accounts", "agreement", "agreement_version", "agreement_versions",
        "agreements", "check", "check_empty", "client", "clients",
        "collected_over", "concluded", "contributing", "contribution", "correcting", "ended_by",
        "factor", "tries", "former_key", "former_secret", "formers", "recovery_left", "vouched",
        "are_placed", "event_at", "event_count", "events", "grant", "grant_counts", "grants_of",
        "last_of",
        "keep_up", "last_event", "latest_release", "load", "marks", "open_intents", "organisations",
        "pending_events",
        "newest_pushes", "pending_pushes", "progress", "promised", "pulled", "push", "pushes",
        "refusals", "rejections", "release", "releases", "search", "segments", "session",
        "sessions", "set_aside",
        # Upkeep: what is begun, who waits, what is old, which back-ups there are.
        "backups", "backups_until", "intended_rewrites", "pending_withdrawals", "readable_events",
        "set_aside_counts", "standing", "taken_up", "token", "upload", "uploads",
        "withdrawal", "withdrawals",
        "asked_again", "came_of_age", "case", "cases", "code", "codes_of", "late_cases",
        "ended_requests", "request", "requests",
        "consent_proof", "held", "linked", "proofs_over", "unproved",
        "links_of", "overdue_grants", "participant_of", "visit", "withdrawals_of", "traces_of",
    }
)  # fmt: skip
TECHNICAL: Final = frozenset(
    {
        # The books as a file; what is taken over from one brings its own events.
        "open", "close", "compact", "copy_to", "take_over",
        # Work and locks: they say who does something, the event says that it was done.
        "add_job", "finish_job", "lease_job", "renew_job", "retry_job",
        "holding", "lease", "one_for_all", "release_lease", "renew",
        # The log's own bookkeeping: an event for each placed event would never end.
        "place_events",
        # A rewrite announced, whose event follows; how far a withdrawal is; several writes as one.
        "advance_withdrawals", "forget_rewrite", "intend_rewrite", "together",
        # Replay protection and expiry: no right is given.
        "use_step", "add_try", "forget_tries", "end_visit", "forget_expired", "use_assertion",
        # What was asked with a code has been seen to: its withdrawal is the event, if it has one.
        "stopped",
        # Files still coming in: nothing was acknowledged of them, `accept_push` is the event.
        "add_segment", "begin_upload", "drop_upload", "end_upload",
        # How far something is, and what is due: no row, no person.
        "advance", "note_pull", "promise_pull",
        # A replay's marks before its event; lists of positions whose rows expire with an event.
        "forget_rejections", "put_back", "take_up",
    }
)  # fmt: skip


def public_methods() -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(Books, callable)
        if not name.startswith("_")
    }


def test_every_method_that_writes_takes_an_event() -> None:
    for name, signature in public_methods().items():
        parameter = signature.parameters.get("event")
        if name in READS | TECHNICAL:
            assert parameter is None, f"{name} is listed as no write"
        else:
            assert parameter is not None, f"{name} writes without an event"
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name
            assert parameter.default is inspect.Parameter.empty, name
            assert parameter.annotation == "AuditEvent", name


def test_the_lists_name_nothing_that_is_gone() -> None:
    assert set(public_methods()) >= READS | TECHNICAL
    assert not READS & TECHNICAL


@dataclass(frozen=True)
class Write:
    """A write method: what must be there first, a call that works, one that must fail."""

    works: Callable[[Books], Any]
    fails: Callable[[Books], Any] | None
    first: tuple[str, ...] = ()


SAID: Final = event(about="said")
SESSION: Final = (digest("s"), account().id, NOW)
ENTERED: Final = Session(digest("s"), account().id, NOW, NOW + HOUR)
WRITES: Final[dict[str, Write]] = {
    "record": Write(lambda b: b.record(event=SAID), None),
    "add_organisation": Write(
        lambda b: b.add_organisation(Organisation("orange", "O"), event=SAID),
        lambda b: b.add_organisation(Organisation("coachco2", "C"), event=SAID),
    ),
    "add_agreement": Write(
        lambda b: b.add_agreement(agreement(), event=SAID),
        lambda b: b.add_agreement(agreement(partner="nobody"), event=SAID),
    ),
    "act_on_agreement": Write(
        lambda b: b.act_on_agreement(1, Side.HUB, "signed", "steward", NOW, event=SAID),
        lambda b: b.act_on_agreement(9, Side.HUB, "signed", "steward", NOW, event=SAID),
        ("add_agreement",),
    ),
    "add_client": Write(
        lambda b: b.add_client(client(), event=SAID),
        lambda b: b.add_client(replace(client(), organisation="nobody"), event=SAID),
    ),
    "change_client": Write(
        lambda b: b.change_client(
            replace(client(), secret_hash=None, public_jwk={"kty": "EC"}), event=SAID
        ),
        lambda b: b.change_client(replace(client(), id="nobody"), event=SAID),
        ("add_client",),
    ),
    "add_account": Write(
        lambda b: b.add_account(account(), event=SAID),
        lambda b: b.add_account(replace(account(), login=None), event=SAID),  # type: ignore[arg-type]
    ),
    "replace_client_secret": Write(
        lambda b: b.replace_client_secret(client().id, "new", NOW, event=SAID),
        lambda b: b.replace_client_secret("nobody", "new", NOW, event=SAID),
        ("add_client",),
    ),
    "revoke_token": Write(
        lambda b: b.revoke_token(digest("t"), client().id, event=SAID),
        lambda b: b.revoke_token(digest("t"), "nobody", event=SAID),
        ("add_client", "add_token"),
    ),
    "change_password": Write(
        lambda b: b.change_password(account().id, "new", event=SAID),
        lambda b: b.change_password("nobody", "new", event=SAID),
        ("add_account",),
    ),
    "begin_factor": Write(
        lambda b: b.begin_factor(account().id, b"sealed", event=SAID),
        lambda b: b.begin_factor("nobody", b"sealed", event=SAID),
        ("add_account",),
    ),
    "confirm_factor": Write(
        lambda b: b.confirm_factor(account().id, event=SAID),
        lambda b: b.confirm_factor("nobody", event=SAID),
        ("add_account", "begin_factor"),
    ),
    "replace_recovery": Write(
        lambda b: b.replace_recovery(account().id, [digest("r")], event=SAID),
        lambda b: b.replace_recovery("nobody", [digest("r")], event=SAID),
        ("add_account",),
    ),
    "use_recovery": Write(
        lambda b: b.use_recovery(account().id, digest("r"), event=SAID),
        lambda b: b.use_recovery(account().id, digest("other"), event=SAID),
        ("add_account", "replace_recovery"),
    ),
    "enter": Write(
        lambda b: b.enter(account(), ENTERED, Vouched(digest("sid"), b"sealed"), event=SAID),
        lambda b: b.enter(replace(account(), id="other"), ENTERED, Vouched(), event=SAID),
        ("add_account",),
    ),
    "end_session": Write(
        lambda b: b.end_session(digest("s"), event=SAID),
        lambda b: b.end_session(digest("other"), event=SAID),
        ("add_account", "add_session"),
    ),
    "end_sessions": Write(
        lambda b: b.end_sessions(account().id, event=SAID), None, ("add_account", "add_session")
    ),
    "replace_client_key": Write(
        lambda b: b.replace_client_key(client().id, {"kty": "OKP"}, NOW, event=SAID),
        lambda b: b.replace_client_key("nobody", {"kty": "OKP"}, NOW, event=SAID),
        ("add_client", "change_client"),
    ),
    "drop_factor": Write(
        lambda b: b.drop_factor(account().id, event=SAID),
        None,
        ("add_account", "begin_factor"),
    ),
    "add_token": Write(
        lambda b: b.add_token(digest("t"), client().id, (), NOW, event=SAID),
        lambda b: b.add_token(digest("t"), "nobody", (), NOW, event=SAID),
        ("add_client",),
    ),
    "add_session": Write(
        lambda b: b.add_session(*SESSION, event=SAID),
        lambda b: b.add_session(digest("s"), "nobody", NOW, event=SAID),
        ("add_account",),
    ),
    "accept_push": Write(
        lambda b: b.accept_push(push(), event=SAID),
        lambda b: b.accept_push(push(partner="nobody"), event=SAID),
    ),
    "finish_push": Write(
        lambda b: b.finish_push(stored(), [row(1, "ada")], event=SAID),
        lambda b: b.finish_push(stored(), [row(1, code=None)], event=SAID),
        ("accept_push",),
    ),
    "drop_set_aside": Write(
        lambda b: b.drop_set_aside(push="p1", event=SAID),
        None,
        ("accept_push", "finish_push"),
    ),
    "drop_replayed": Write(
        # None: the rows that no replay has marked; to mark them first is no write with an event.
        lambda b: b.drop_replayed("p1", None, event=SAID),  # type: ignore[arg-type]
        None,
        ("accept_push", "finish_push"),
    ),
    "record_rewrite": Write(lambda b: b.record_rewrite("a/b/c", event=SAID), None),
    "erase_events": Write(lambda b: b.erase_events([], event=SAID), None),
    "begin_backup": Write(
        lambda b: b.begin_backup(Backup("b1", NOW, NOW), event=SAID),
        lambda b: b.begin_backup(Backup("b1", NOW, None), event=SAID),  # type: ignore[arg-type]
    ),
    "finish_backup": Write(
        lambda b: b.finish_backup(Backup("b1", NOW, NOW, "00", 1), event=SAID),
        None,
        ("begin_backup",),
    ),
    "drop_backup": Write(lambda b: b.drop_backup("b1", event=SAID), None, ("begin_backup",)),
    "give": Write(
        lambda b: b.give([grant("g1", "ada")], event=SAID),
        lambda b: b.give([grant("g1", "ada"), grant("g1", "bob")], event=SAID),
    ),
    "withdraw": Write(
        lambda b: b.withdraw(withdrawal("w1", "ada"), event=SAID),
        lambda b: b.withdraw(withdrawal("w1", "ada", purposes=(PURPOSE, PURPOSE)), event=SAID),
        ("give",),
    ),
    "complete_withdrawals": Write(
        lambda b: b.complete_withdrawals(
            [replace(withdrawal("w1", "ada"), subject=digest("mark"))], event=SAID
        ),
        lambda b: b.complete_withdrawals(
            [replace(withdrawal("w1", "ada"), subject=None)],  # type: ignore[arg-type]
            event=SAID,
        ),
        ("give", "withdraw"),
    ),
    "drop_collected": Write(
        lambda b: b.drop_collected(NOW, ["age"], event=SAID), None, ("give", "withdraw")
    ),
    "drop_proofs": Write(
        lambda b: b.drop_proofs(NOW, event=SAID), None, ("give", "withdraw", "complete_withdrawals")
    ),
    "participate": Write(
        lambda b: b.participate([grant("g1", "ada")], [], [code("c1")], [link("ada")], event=SAID),
        lambda b: b.participate(
            [], [], [code("c1"), code("c2", digest=digest("c1"))], [], event=SAID
        ),
    ),
    "replace_codes": Write(
        lambda b: b.replace_codes("p-c1", [code("c2")], [link("ada", "c2")], event=SAID),
        lambda b: b.replace_codes("p-c1", [code("c1")], [], event=SAID),
        ("participate",),
    ),
    "link": Write(
        lambda b: b.link(link("ada", "c2"), digest("mark"), event=SAID),
        lambda b: b.link(replace(link("ada", "c2"), partner="nobody"), b"", event=SAID),
    ),
    "replace_secret": Write(
        lambda b: b.replace_secret("c1", "argon2-2", event=SAID),
        lambda b: b.replace_secret("nobody", "argon2-2", event=SAID),
        ("participate",),
    ),
    "add_visit": Write(
        lambda b: b.add_visit(digest("v"), "c1", NOW, event=SAID),
        lambda b: b.add_visit(digest("v"), "nobody", NOW, event=SAID),
        ("participate",),
    ),
    "turn": Write(
        lambda b: b.turn("g1", "expired", event=SAID),
        lambda b: b.turn("g2", "expired", event=SAID),
        ("give",),
    ),
    "open_case": Write(
        lambda b: b.open_case(case(), event=SAID),
        lambda b: b.open_case(replace(case(), kind=None), event=SAID),  # type: ignore[arg-type]
    ),
    "move_case": Write(
        lambda b: b.move_case(replace(case(), state="extended"), was="open", event=SAID),
        lambda b: b.move_case(replace(case(), state="open"), was="extended", event=SAID),
        ("open_case",),
    ),
    "add_request": Write(
        lambda b: b.add_request(request(), event=SAID),
        lambda b: b.add_request(replace(request(), measure=None), event=SAID),  # type: ignore[arg-type]
    ),
    "change_request": Write(
        lambda b: b.change_request(replace(request(), opinion="favourable"), event=SAID),
        lambda b: b.change_request(replace(request(), version=7), event=SAID),
        ("add_request",),
    ),
    "intend_release": Write(
        lambda b: b.intend_release("digest-1", {}, event=SAID),
        lambda b: b.intend_release("digest-1", {"x": object()}, event=SAID),
    ),
    "block_release": Write(
        lambda b: b.block_release("digest-1", {}, event=SAID),
        lambda b: b.block_release("digest-1", {"x": object()}, event=SAID),
    ),
    "publish_release": Write(
        lambda b: b.publish_release(release(), event=SAID),
        lambda b: b.publish_release(replace(release(), id=None), event=SAID),  # type: ignore[arg-type]
        ("intend_release",),
    ),
}


def prepared(books: Books, name: str) -> Books:
    with_partner(books)
    for needed in WRITES[name].first:
        WRITES[needed].works(books)
    return books


def test_the_table_of_writes_is_complete() -> None:
    assert set(WRITES) == set(public_methods()) - READS - TECHNICAL


@pytest.mark.parametrize("name", WRITES)
def test_a_write_records_exactly_its_event(open_books: Open, name: str) -> None:
    books = prepared(open_books(), name)
    before = books.events()
    WRITES[name].works(books)
    *earlier, added = books.events()
    assert earlier == before
    assert b'"about":"said"' in added.body
    assert added.index is None


@pytest.mark.parametrize("name", WRITES)
def test_without_its_event_nothing_changes(open_books: Open, name: str) -> None:
    before = everything(prepared(open_books(), name))

    def unavailable(_: int) -> bytes:
        raise Unavailable("no-randomness", fr="…", en="…", who="operator")

    for randomness in (unavailable, lambda _: None):
        books = open_books(randomness=randomness)
        with pytest.raises(HubError):
            WRITES[name].works(books)
        assert everything(books) == before


@pytest.mark.parametrize("name", [name for name, write in WRITES.items() if write.fails])
def test_a_change_that_fails_leaves_neither_change_nor_event(open_books: Open, name: str) -> None:
    books = prepared(open_books(), name)
    before = everything(books)
    fails = WRITES[name].fails
    assert fails is not None
    with pytest.raises(HubError):
        fails(books)
    assert everything(books) == before
    WRITES[name].works(books)


@pytest.mark.parametrize("name", WRITES)
def test_what_was_written_is_there_for_the_next_process(open_books: Open, name: str) -> None:
    books = prepared(open_books(), name)
    WRITES[name].works(books)
    assert everything(open_books()) == everything(books)


def test_times_come_back_aware_and_in_utc_whatever_zone_they_were_in(open_books: Open) -> None:
    books = with_partner(open_books())
    paris = datetime.fromisoformat("2026-03-02T08:30:00.000001+01:00")
    books.accept_push(push(accepted_at=paris), event=event())
    found = books.push("p1")
    assert found is not None
    assert found.accepted_at == paris
    assert found.accepted_at.utcoffset() == timedelta(0)
    assert found.accepted_at.microsecond == 1


# What may happen in any order ----------------------------------------------------------------

PEOPLE: Final = ("ada", "bob", "eve")
TIMES: Final = st.integers(0, 6).map(lambda hours: NOW + hours * HOUR)


class AnyOrder(OverBooks):
    """Pushes, jobs and grants in any order, beside a model of a few lines."""

    @initialize()
    def begin(self) -> None:
        self.open()
        self.events = 1
        self.pushes: dict[str, Push] = {}
        self.jobs: dict[str, datetime] = {}  # about what, due when
        self.acts: list[Grant] = []  # those that count, in the order they were recorded
        self.ended: dict[str, list[datetime]] = {}  # by person, when what they withdrew was given

    @rule(hours=st.integers(1, 3))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(key=st.sampled_from([None, "k1", "k2"]), content=st.sampled_from(["one", "two"]))
    def accept(self, key: str | None, content: str) -> None:
        made = push(self.name(), content, idempotency_key=key, accepted_at=self.now)
        same = [p for p in self.pushes.values() if key and p.idempotency_key == key]
        if same and same[0].file_sha256 != made.file_sha256:
            with pytest.raises(Conflict):
                self.books.accept_push(made, event=event())
        elif same:
            assert self.books.accept_push(made, event=event()) == (same[0], False)
        else:
            assert self.books.accept_push(made, event=event()) == (made, True)
            self.pushes[made.id] = made
            self.jobs[made.id] = self.now
            self.events += 1

    @rule()
    def take_and_lose_a_job(self) -> None:
        """A worker takes a job and dies, or gives it back for later."""
        job = self.books.lease_job("w", self.now, 2 * HOUR)
        due = {about for about, at in self.jobs.items() if at <= self.now}
        if job is None:
            assert not due
        else:
            assert job.about in due
            self.jobs[job.about] = self.now + 2 * HOUR

    @precondition(lambda self: self.pushes)
    @rule(data=st.data(), refused=st.booleans())
    def finish(self, data: st.DataObject, refused: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.pushes)))
        before = self.pushes[name]
        state = PushState.REFUSED if refused else PushState.STORED
        done = replace(before, state=state, kept=3, finished_at=self.now)
        if before.state is PushState.ACCEPTED:
            assert self.books.finish_push(done, [], event=event()) == done
            self.pushes[name] = done
            del self.jobs[name]
            self.events += 1
        else:
            with pytest.raises(Conflict):
                self.books.finish_push(done, [], event=event())

    @rule(who=st.sampled_from(PEOPLE), at=TIMES, lasts=st.integers(1, 6))
    def give(self, who: str, at: datetime, lasts: int) -> None:
        made = grant(self.name(), who, at, expires_at=at + lasts * HOUR, population=f"p{at.hour}")
        self.books.give([made], event=event())
        self.acts.append(made)
        self.events += 1

    @rule(who=st.sampled_from(PEOPLE), at=TIMES)
    def object(self, who: str, at: datetime) -> None:
        made = grant(self.name(), who, at, state=OBJECTED, expires_at=None)
        self.books.give([made], event=event())
        self.acts.append(made)
        self.events += 1

    @rule(who=st.sampled_from(PEOPLE), at=TIMES)
    def withdraw(self, who: str, at: datetime) -> None:
        made = withdrawal(self.name(), who, at)
        self.books.withdraw(made, event=event())
        theirs = [a for a in self.acts if a.subject == digest(who)]
        self.acts = [a for a in self.acts if a not in theirs or a.state != GIVEN]
        newest = max([at, *(a.given_at for a in theirs), *self.ended.get(who, [])])
        self.ended.setdefault(who, []).extend(a.given_at for a in theirs if a.state == GIVEN)
        self.acts.append(grant("", who, newest, state=REFUSED))
        self.jobs[made.id] = self.now
        self.events += 1

    @invariant()
    def the_books_agree_with_the_model(self) -> None:
        if not hasattr(self, "books"):
            return
        assert self.books.event_count() == self.events
        assert {p.id: p for p in self.books.pushes(limit=1000)} == self.pushes
        waiting = {n for n, p in self.pushes.items() if p.state is PushState.ACCEPTED}
        assert {p.id for p in self.books.pending_pushes()} == waiting
        for now in (self.now, self.now - 2 * HOUR, self.now):  # a clock may be set back
            self.standings_agree(now)

    def standings_agree(self, now: datetime) -> None:
        told = self.books.standing("coachco2", PURPOSE, now)
        granted, objected = told.granted.to_pylist(), told.objected.to_pylist()
        expected, no = {}, set()
        for who in PEOPLE:
            acts = [
                (a.given_at, a.state != GIVEN, number, a)
                for number, a in enumerate(self.acts)
                if a.subject == digest(who) and (a.state != GIVEN or a.given_at <= now)
            ]
            if not acts:
                continue
            *_, latest = max(acts)
            if latest.state != GIVEN:
                no.add(digest(who))
            elif latest.expires_at is None or latest.expires_at > now:
                expected[digest(who)] = latest.population
        assert dict(zip(granted, told.population.to_pylist(), strict=True)) == expected
        assert set(objected) == no
        assert len(granted) + len(objected) == len(expected) + len(no)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = SETTINGS


def test_any_order_on_postgresql() -> None:
    real.migrated()  # skips where there is none
    machine = type("Machine", (AnyOrder,), {"emptied": staticmethod(real.emptied)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=10, stateful_step_count=20, deadline=None)
    )
