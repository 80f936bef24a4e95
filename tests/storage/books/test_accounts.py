from __future__ import annotations

from dataclasses import replace

import pytest

from hub.errors import Conflict, NotFound
from hub.events import Kind
from hub.records import Basis, Organisation, Role, Session, Vouched
from hub.storage.books import Books
from tests.storage.books.made import (
    HOUR,
    NOW,
    account,
    agreement,
    client,
    digest,
    event,
    organisation,
)


def test_organisations_and_agreements_are_read_back(books: Books) -> None:
    books.add_organisation(Organisation("orange", "Orange"), event=event())
    assert books.organisations() == [organisation(), Organisation("orange", "Orange")]
    with pytest.raises(Conflict):
        books.add_organisation(Organisation("orange", "Another"), event=event())
    books.add_agreement(agreement(), event=event(Kind.AGREEMENT_RECORDED))
    assert books.agreement("coachco2", "trips") == replace(agreement(), number=1)
    assert books.agreement("coachco2", "trips", "linking") is None
    assert books.agreement("coachco2", "measures") is None
    with pytest.raises(Conflict):
        books.add_agreement(agreement(partner="nobody"), event=event(Kind.AGREEMENT_RECORDED))


def test_a_newer_agreement_supersedes_for_its_purpose_only(books: Books) -> None:
    linking = agreement(purpose="linking")
    linking = books.add_agreement(linking, event=event(Kind.AGREEMENT_RECORDED))
    books.add_agreement(agreement(), event=event(Kind.AGREEMENT_RECORDED))
    newer = replace(agreement(basis=Basis.PUBLIC_TASK), terms={"legal_text": "art. L. 214"})
    newer = books.add_agreement(newer, event=event(Kind.AGREEMENT_RECORDED))
    assert books.agreements() == [linking, newer]
    assert books.agreement("coachco2", "trips") == newer
    assert books.agreement("coachco2", "trips", "linking") == linking


def test_clients_and_accounts_are_read_back(books: Books) -> None:
    key = replace(client("b"), secret_hash=None, public_jwk={"kty": "OKP"}, role=Role.COLLECTIVITY)
    books.add_client(client("a"), event=event())
    books.add_client(key, event=event())
    assert books.clients() == [client("a"), key]
    assert books.client("b") == key
    assert books.client("c") is None
    books.add_client(replace(client("d"), created_at=None), event=event())
    assert books.client("d") == replace(client("d"), created_at=NOW)
    books.add_account(account(), event=event())
    assert books.accounts() == [account()]
    assert books.account(account().login) == account()
    assert books.account("nobody") is None
    with pytest.raises(Conflict):
        books.add_account(replace(account(), id="another"), event=event())


def test_a_token_admits_its_client_until_it_expires(books: Books) -> None:
    books.add_client(client(), event=event())
    books.add_token(digest("t"), client().id, ("push",), NOW + HOUR, event=event())
    assert books.token(digest("t"), NOW) == (client(), ("push",))
    assert books.token(digest("t"), NOW + HOUR) is None
    assert books.token(digest("u"), NOW) is None
    with pytest.raises(Conflict):
        books.add_token(digest("v"), "nobody", (), NOW, event=event())


def test_an_assertion_serves_once_for_each_client(books: Books) -> None:
    assert books.use_assertion("j1", "a", NOW + HOUR)
    assert not books.use_assertion("j1", "a", NOW + HOUR)
    assert books.use_assertion("j1", "b", NOW + HOUR)
    assert books.use_assertion("j2", "a", NOW + HOUR)


def test_a_session_lasts_until_it_ends_or_expires(books: Books) -> None:
    books.add_account(account(), event=event())
    for name in ("s", "t"):
        books.add_session(digest(name), account().id, NOW + HOUR, event=event())
    assert books.session(digest("s"), NOW) == account()
    assert books.session(digest("s"), NOW + HOUR) is None
    books.end_session(digest("s"), event=event())
    with pytest.raises(NotFound):
        books.end_session(digest("s"), event=event())
    assert books.session(digest("s"), NOW) is None
    assert books.session(digest("t"), NOW) == account()


def test_sessions_are_listed_and_ended_together(books: Books) -> None:
    other = account("other@region.example")
    for one in (account(), other):
        books.add_account(one, event=event())
    for name in ("s", "t", "u"):
        books.add_session(digest(name), account().id, NOW + HOUR, event=event())
    books.add_session(digest("theirs"), other.id, NOW + HOUR, event=event())
    mine = books.sessions(NOW, account=account().id)
    assert [one.mark for one in mine] == [digest("u"), digest("t"), digest("s")]
    assert mine[0] == Session(digest("u"), account().id, NOW, NOW + HOUR)
    books.end_sessions(account().id, digest("t"), event=event())
    assert [one.mark for one in books.sessions(NOW, account=account().id)] == [digest("t")]
    books.end_sessions(account().id, event=event())
    assert books.sessions(NOW, account=account().id) == []
    assert [one.mark for one in books.sessions(NOW)] == [digest("theirs")]
    assert books.sessions(NOW + HOUR) == []


def test_who_a_provider_vouches_for_enters_as_what_it_says_now(books: Books) -> None:
    def enter(name: str, role: Role, sid: str) -> None:
        session = Session(digest(name), account().id, NOW, NOW + HOUR)
        vouched = Vouched(digest(sid), b"sealed")
        books.enter(replace(account(), role=role), session, vouched, event=event())

    enter("s", Role.DPO, "there")
    enter("t", Role.STEWARD, "elsewhere")
    assert [one.role for one in books.accounts()] == [Role.STEWARD]
    for name in ("s", "t"):  # the older session follows
        found = books.session(digest(name), NOW)
        assert found is not None
        assert found.role is Role.STEWARD
    assert books.vouched(digest("s")) == Vouched(digest("there"), b"sealed")
    assert [one.mark for one in books.sessions(NOW, sid=digest("there"))] == [digest("s")]
    books.add_session(digest("local"), account().id, NOW + HOUR, event=event())
    assert books.vouched(digest("local")) is None
    books.end_session(digest("s"), event=event())
    assert books.vouched(digest("s")) is None
    assert books.sessions(NOW, sid=digest("there")) == []
    books.forget_expired(NOW + HOUR)
    assert books.vouched(digest("t")) is None


def test_recovery_codes_are_used_once_and_go_with_the_factor(books: Books) -> None:
    books.add_account(account(), event=event())
    books.add_session(digest("without"), account().id, NOW + HOUR, event=event())
    books.begin_factor(account().id, b"sealed", event=event())
    codes = [digest("1"), digest("2")]
    books.confirm_factor(account().id, codes, digest("with"), event=event())
    assert books.session(digest("without"), NOW) is None
    assert books.recovery_left(account().id) == 2
    books.use_recovery(account().id, digest("1"), event=event())
    with pytest.raises(NotFound):
        books.use_recovery(account().id, digest("1"), event=event())
    books.replace_recovery(account().id, [digest("3")], event=event())
    with pytest.raises(NotFound):
        books.use_recovery(account().id, digest("2"), event=event())
    books.drop_factor(account().id, event=event())
    assert books.recovery_left(account().id) == 0


def test_a_replaced_key_holds_until_its_day_and_one_before_it_no_longer(books: Books) -> None:
    first, second, third = ({"kty": "EC", "kid": str(n)} for n in range(3))
    books.add_client(replace(client(), secret_hash=None, public_jwk=first), event=event())
    books.replace_client_key(client().id, second, NOW + HOUR, event=event())
    assert books.client(client().id) == replace(client(), secret_hash=None, public_jwk=second)
    assert books.former_key(client().id, NOW) == first
    assert books.former_key(client().id, NOW + HOUR) is None
    assert books.formers(NOW) == {client().id: NOW + HOUR}
    books.replace_client_key(client().id, third, NOW + 2 * HOUR, event=event())
    assert books.former_key(client().id, NOW) == second
    books.change_client(replace(client(), secret_hash=None), event=event())
    assert books.former_key(client().id, NOW) is None
    assert books.formers(NOW) == {}
    with pytest.raises(NotFound):
        books.replace_client_key(client().id, first, NOW, event=event())


def test_what_expired_is_forgotten_and_what_still_admits_is_not(books: Books) -> None:
    books.add_client(client(), event=event())
    books.add_account(account(), event=event())
    for name, until in (("old", NOW), ("new", NOW + HOUR)):
        books.add_token(digest(name), client().id, (), until, event=event())
        books.add_session(digest(name), account().id, until, event=event())
        books.use_assertion(name, "a", until)
        books.add_try(b"key", until)
    assert books.tries(b"key", NOW) == 1
    assert books.tries(b"other", NOW) == 0
    assert books.forget_expired(NOW) == 4
    assert books.forget_expired(NOW) == 0
    assert books.token(digest("new"), NOW) is not None
    assert books.session(digest("new"), NOW) is not None
    assert not books.use_assertion("new", "a", NOW)
    books.forget_tries(b"key")
    assert books.tries(b"key", NOW) == 0
