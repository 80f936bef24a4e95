"""From a provider's word to a session: once, for this browser, as the territory's rules say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hub.errors import Denied, HubError, Unauthenticated, Unavailable
from hub.events import Kind
from hub.identity import tokens
from hub.identity.openid import PATIENCE, Openid, values
from hub.identity.people import RequestFacts
from hub.identity.provider import Ended, MemoryProvider, Told
from hub.identity.sessions import LOCKED, VOUCHED, Sessions
from hub.records import Role
from hub.settings import OpenidTerms, RoleTerms
from tests.identity.helpers import MemoryBooks
from tests.identity.test_sessions import Clock

KEY = b"k" * 32
RULES = [
    RoleTerms(claim="sub", value="ada", role="auditor", organisation="cnil"),
    RoleTerms(claim="realm_access.roles", value="hub-dpo", role="dpo"),
    RoleTerms(claim="siret", value="214502345", role="collectivity", organisation="orleans"),
]
DPO: dict[str, Any] = {"realm_access": {"roles": ["x", "hub-dpo"]}, "organisation": "region"}


@pytest.fixture
def books() -> MemoryBooks:
    return MemoryBooks()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> MemoryProvider:
    return MemoryProvider()


def over(books: MemoryBooks, provider: MemoryProvider, clock: Clock, **terms: Any) -> Openid:
    made = OpenidTerms(**{"roles": RULES, **terms})
    return Openid(books, provider, made, clock, key=KEY)


@pytest.fixture
def openid(books: MemoryBooks, provider: MemoryProvider, clock: Clock) -> Openid:
    return over(books, provider, clock)


def enter(openid: Openid, provider: MemoryProvider, told: Told) -> str:
    begun = openid.begin()
    return openid.finish(begun.cookie, provider.grant(begun.address, told))


def refused(openid: Openid, cookie: str, answer: dict[str, str]) -> str:
    with pytest.raises(HubError) as raised:
        openid.finish(cookie, answer)
    return raised.value.code


def test_who_is_vouched_for_comes_in_and_little_is_kept(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks, clock: Clock
) -> None:
    told = Told("ada-lovelace", DPO | {"email": "ada@region.test"}, "sid-there", "hint-token")
    token = enter(openid, provider, told)
    account = Sessions(books, clock).who(token)
    assert account is not None
    assert (account.role, account.organisation) == (Role.DPO, "region")
    assert account.id == account.login
    assert account.password_hash == VOUCHED
    [event] = books.recorded
    assert (event.kind, event.actor, event.about) == (
        Kind.USER_AUTHENTICATED,
        "region",
        account.id,
    )
    kept = repr((books.people, books.begun, books.told, event.canonical()))
    for hidden in ("ada", "sid-there", "hint-token", token, provider.issuer):
        assert hidden not in kept
    assert "id_token_hint=hint-token" in openid.leaving(token)
    clock.now += timedelta(hours=8)
    assert Sessions(books, clock).who(token) is None


def test_the_same_person_is_known_again_and_by_this_hub_alone(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks, clock: Clock
) -> None:
    for _ in range(2):
        enter(openid, provider, Told("ada", DPO))
    assert len(books.people) == 1
    enter(openid, provider, Told("bob", DPO))
    elsewhere = MemoryProvider("https://elsewhere.test")
    enter(over(books, elsewhere, clock), elsewhere, Told("bob", DPO))
    another_hub = Openid(books, provider, OpenidTerms(roles=RULES), clock, key=b"j" * 32)
    enter(another_hub, provider, Told("bob", DPO))
    enter(openid, provider, Told("\ud800", DPO))
    assert len(books.people) == 5


@pytest.mark.parametrize(
    ("subject", "claims", "made"),
    [
        ("bob", DPO, ("dpo", "region")),
        ("ada", DPO, ("auditor", "cnil")),  # the first rule that fits
        ("bob", {"siret": "214502345"}, ("collectivity", "orleans")),
        ("bob", {"realm_access.roles": "hub-dpo", "organisation": ["region"]}, ("dpo", "region")),
        ("bob", {}, None),
        ("bob", {"realm_access": {"roles": ["hub-steward"]}, "organisation": "region"}, None),
        ("bob", {"realm_access": "hub-dpo", "organisation": "region"}, None),
        ("bob", {"realm_access": {"roles": "hub-dpo"}}, None),
        ("bob", DPO | {"organisation": ""}, None),
        ("bob", DPO | {"organisation": ["a", "b"]}, None),
        ("bob", DPO | {"organisation": "x" * 101}, None),
        ("bob", DPO | {"organisation": "a\x00b"}, None),
        ("bob", DPO | {"organisation": {"id": "region"}}, None),
        ("bob", DPO | {"organisation": 7}, None),
    ],
)
def test_a_role_is_what_the_rules_say_and_otherwise_none(
    openid: Openid,
    provider: MemoryProvider,
    books: MemoryBooks,
    subject: str,
    claims: dict[str, Any],
    made: tuple[str, str] | None,
) -> None:
    told = Told(subject, {"sub": subject, **claims})
    if made is None:
        with pytest.raises(Denied) as raised:
            enter(openid, provider, told)
        assert (raised.value.code, raised.value.who) == ("no-role", "operator")
        assert not books.people
        [event] = books.recorded
        assert event.kind is Kind.USER_REFUSED
        assert event.facts == {"by": "provider", "reason": "no-role"}
        return
    enter(openid, provider, told)
    [account] = books.people.values()
    assert (str(account.role), account.organisation) == made


def test_only_organisations_the_territory_names_come_in(
    books: MemoryBooks, provider: MemoryProvider, clock: Clock
) -> None:
    openid = over(books, provider, clock, organisations={"23450": "region"})
    enter(openid, provider, Told("ada", DPO | {"organisation": "23450"}))
    assert [one.organisation for one in books.people.values()] == ["region"]
    with pytest.raises(Denied):
        enter(openid, provider, Told("bob", DPO))


def test_without_a_rule_nobody_comes_in(
    books: MemoryBooks, provider: MemoryProvider, clock: Clock
) -> None:
    with pytest.raises(Denied):
        enter(over(books, provider, clock, roles=[]), provider, Told("ada", DPO))


def test_a_role_that_was_taken_away_ends_what_it_opened(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks, clock: Clock
) -> None:
    people = Sessions(books, clock)
    here = enter(openid, provider, Told("bob", DPO))
    with pytest.raises(Denied):
        enter(openid, provider, Told("bob", {}))
    assert people.who(here) is None
    assert [event.kind for event in books.recorded] == [
        Kind.USER_AUTHENTICATED,
        Kind.USER_LEFT,
        Kind.USER_REFUSED,
    ]


def test_a_locked_person_stays_out(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks
) -> None:
    enter(openid, provider, Told("bob", DPO))
    [account] = books.people.values()
    books.people[account.login] = type(account)(
        account.id, account.login, account.organisation, account.role, LOCKED + VOUCHED
    )
    with pytest.raises(Unauthenticated):
        enter(openid, provider, Told("bob", DPO))


def test_no_password_opens_the_account_of_somebody_vouched_for(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks, clock: Clock
) -> None:
    enter(openid, provider, Told("bob", DPO))
    [login] = books.people
    for typed in (VOUCHED, "", LOCKED):
        with pytest.raises(Unauthenticated):
            Sessions(books, clock).login(login, typed, RequestFacts("192.0.2.1"))


# One login, one browser, once -----------------------------------------------------------------


def test_an_answer_is_taken_once(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks
) -> None:
    begun = openid.begin()
    answer = provider.grant(begun.address, Told("bob", DPO))
    openid.finish(begun.cookie, answer)
    again = provider.grant(begun.address, Told("bob", DPO))  # another code, the state as before
    assert refused(openid, begun.cookie, answer) == "identity-code"
    assert refused(openid, begun.cookie, again) == "identity-code"
    assert again["code"] in provider.codes, "the provider was not asked"


@pytest.mark.parametrize("cookie", ["", "x", "1.x", "²." + "x" * 43, "é", "1" * 5000])
def test_an_answer_without_the_cookie_of_its_login_is_refused(
    openid: Openid, provider: MemoryProvider, cookie: str
) -> None:
    begun = openid.begin()
    answer = provider.grant(begun.address, Told("bob", DPO))
    assert refused(openid, cookie, answer) == "identity-state"
    assert refused(openid, openid.begin().cookie, answer) == "identity-state"
    assert answer["code"] in provider.codes


def test_a_cookie_alone_tells_nothing_and_no_other_hub_takes_it(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks, clock: Clock
) -> None:
    begun = openid.begin()
    for part in ("state", "nonce", "verifier"):
        assert f"{part}=" in begun.address
    assert begun.cookie.partition(".")[2] not in begun.address
    answer = provider.grant(begun.address, Told("bob", DPO))
    other = Openid(books, provider, OpenidTerms(roles=RULES), clock, key=b"j" * 32)
    assert refused(other, begun.cookie, answer) == "identity-state"


@pytest.mark.parametrize("late", [PATIENCE + timedelta(seconds=2), timedelta(seconds=-60)])
def test_a_login_that_took_too_long_begins_anew(
    openid: Openid, provider: MemoryProvider, clock: Clock, late: timedelta
) -> None:
    begun = openid.begin()
    answer = provider.grant(begun.address, Told("bob", DPO))
    clock.now += late
    assert refused(openid, begun.cookie, answer) == "identity-state"


def test_refusals_by_strangers_do_not_fill_the_books(openid: Openid, books: MemoryBooks) -> None:
    for _ in range(200):
        refused(openid, "1.x", {"state": "y", "code": "z"})
    assert len(books.recorded) == 20
    assert {event.about for event in books.recorded} == {"unknown"}


# The end --------------------------------------------------------------------------------------


def test_the_provider_ends_one_session_or_all_of_a_person(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks, clock: Clock
) -> None:
    people = Sessions(books, clock)
    one = enter(openid, provider, Told("bob", DPO, "sid-1"))
    two = enter(openid, provider, Told("bob", DPO, "sid-2"))
    other = enter(openid, provider, Told("eve", DPO, "sid-3"))
    provider.endings = {"t1": Ended("j1", sid="sid-1"), "t2": Ended("j2", subject="bob")}
    assert openid.ended("t1") == 1
    assert people.who(one) is None
    assert people.who(two) is not None
    with pytest.raises(Unauthenticated):
        openid.ended("t1")  # used
    with pytest.raises(Unauthenticated):
        openid.ended("forged")
    assert openid.ended("t2") == 1
    assert people.who(two) is None
    assert people.who(other) is not None
    assert [event.facts for event in books.recorded if event.kind is Kind.USER_LEFT] == [
        {"by": "provider"},
        {"by": "provider"},
    ]


class Away(MemoryProvider):
    """A provider that does not answer."""

    def address(self, state: str, nonce: str, verifier: str) -> str:
        raise Unavailable("provider-unreachable", fr="…", en="…", who="operator")

    def leaving(self, hint: str) -> str:
        raise Unavailable("provider-unreachable", fr="…", en="…", who="operator")


def test_a_provider_that_is_away_keeps_nobody_in_and_puts_nobody_out(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks, clock: Clock
) -> None:
    token = enter(openid, provider, Told("bob", DPO, "", "hint"))
    gone = over(books, Away(), clock)
    with pytest.raises(Unavailable):
        gone.begin()
    assert Sessions(books, clock).who(token) is not None
    assert gone.leaving(token) == ""
    assert openid.leaving("no session") == ""


def test_a_session_without_a_hint_leaves_without_one(
    openid: Openid, provider: MemoryProvider, books: MemoryBooks
) -> None:
    token = enter(openid, provider, Told("bob", DPO))
    assert openid.leaving(token).endswith("id_token_hint=")
    mark = tokens.digest(token)
    books.told[mark] = type(books.told[mark])(None, b"x" * 40)  # sealed by nobody we know
    assert openid.leaving(token).endswith("id_token_hint=")


def test_values_are_short_printable_texts() -> None:
    assert values({"a": ["x", 7, "", "y" * 101, "z\n", None]}, "a") == ["x"]
    assert values({"a": {"b": "x"}, "a.b": "y"}, "a.b") == ["y"]
    assert values({"a": {"b": "x"}}, "a.b.c") == []
