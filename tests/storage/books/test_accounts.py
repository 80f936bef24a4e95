from __future__ import annotations

from dataclasses import replace

import pytest

from hub.errors import Conflict
from hub.events import Kind
from hub.records import Basis, Organisation, Role
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
    books.end_session(digest("s"))
    books.end_session(digest("s"))
    assert books.session(digest("s"), NOW) is None
    assert books.session(digest("t"), NOW) == account()


def test_what_expired_is_forgotten_and_what_still_admits_is_not(books: Books) -> None:
    books.add_client(client(), event=event())
    books.add_account(account(), event=event())
    for name, until in (("old", NOW), ("new", NOW + HOUR)):
        books.add_token(digest(name), client().id, (), until, event=event())
        books.add_session(digest(name), account().id, until, event=event())
        books.use_assertion(name, "a", until)
    assert books.forget_expired(NOW) == 3
    assert books.forget_expired(NOW) == 0
    assert books.token(digest("new"), NOW) is not None
    assert books.session(digest("new"), NOW) is not None
    assert not books.use_assertion("new", "a", NOW)
