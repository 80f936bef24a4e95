"""The second factor: codes of RFC 6238, sealed secrets, each code once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyotp
import pytest

from hub.errors import Rejected, Unauthenticated
from hub.identity import totp
from hub.identity.sessions import Sessions
from hub.identity.totp import Factors
from hub.records import Account, Factor, Role
from tests.hashing import QUICK
from tests.identity.helpers import NOW, MemoryBooks

DPO = Account("acc-1", "dpo@region.test", "region", Role.DPO, QUICK.hash("pass"))
KEY = b"k" * 32


@pytest.fixture
def books() -> MemoryBooks:
    books = MemoryBooks()
    books.people[DPO.login] = DPO
    return books


def enrolled(books: MemoryBooks) -> pyotp.TOTP:
    """A confirmed factor, as the person's app has it."""
    factors = Factors(books, KEY)
    app = pyotp.parse_uri(factors.begin(DPO, "Hub", NOW))
    assert isinstance(app, pyotp.TOTP)
    factors.confirm(DPO, app.at(NOW - timedelta(seconds=30)), NOW)
    return app


def signs_in(books: MemoryBooks, code: str, now: datetime = NOW, key: bytes = KEY) -> bool:
    try:
        return bool(Sessions(books, lambda: now, key=key).login(DPO.login, "pass", None, code))
    except Unauthenticated:
        return False


def test_the_codes_are_those_of_the_standard() -> None:
    # RFC 6238, appendix B, SHA-1: eight digits there, the last six of them here.
    app = pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    for at, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert app.generate_otp(at // totp.STEP) == code


def test_a_login_needs_a_code_only_once_it_was_confirmed(books: MemoryBooks) -> None:
    factors = Factors(books, KEY)
    app = pyotp.parse_uri(factors.begin(DPO, "Hub", NOW))
    assert isinstance(app, pyotp.TOTP)
    assert signs_in(books, "")
    with pytest.raises(Rejected, match="code"):
        factors.confirm(DPO, "000000", NOW)
    assert signs_in(books, "")
    factors.confirm(DPO, app.at(NOW), NOW)
    assert not signs_in(books, "")
    factors.drop(DPO, NOW)
    assert signs_in(books, "")


@pytest.mark.parametrize(("seconds", "holds"), [(-60, False), (0, True), (30, True), (60, False)])
def test_a_code_holds_beside_its_half_minute_and_no_further(
    books: MemoryBooks, seconds: int, holds: bool
) -> None:
    app = enrolled(books)
    assert signs_in(books, app.at(NOW + timedelta(seconds=seconds))) is holds


def test_a_code_opens_once_and_none_before_it_any_more(books: MemoryBooks) -> None:
    app = enrolled(books)
    later, before = app.at(NOW + timedelta(seconds=30)), app.at(NOW)
    assert signs_in(books, f"{later[:3]} {later[3:]}")
    assert not signs_in(books, later)
    assert not signs_in(books, before)
    assert signs_in(books, app.at(NOW + timedelta(minutes=2)), NOW + timedelta(minutes=2))


def test_a_wrong_password_uses_no_code_up(books: MemoryBooks) -> None:
    app = enrolled(books)
    with pytest.raises(Unauthenticated):
        Sessions(books, lambda: NOW, key=KEY).login(DPO.login, "guess", None, app.at(NOW))
    assert signs_in(books, app.at(NOW))


def test_the_secret_is_kept_sealed_for_its_account_and_key(books: MemoryBooks) -> None:
    app = enrolled(books)
    factor = books.factors[DPO.id]
    assert app.secret.encode() not in factor.sealed
    assert app.secret not in repr(factor)
    assert not signs_in(books, app.at(NOW), key=b"j" * 32)
    other = Account("acc-2", "two", "region", Role.DPO, QUICK.hash("pass"))
    books.people["two"] = other
    books.factors["acc-2"] = Factor("acc-2", factor.sealed, confirmed=True)
    with pytest.raises(Unauthenticated):
        Sessions(books, lambda: NOW, key=KEY).login("two", "pass", None, app.at(NOW))
    nobodys = pyotp.TOTP(totp.NOBODYS).at(NOW)
    assert not signs_in(books, nobodys, key=b"j" * 32)


def test_no_event_tells_a_code_or_a_secret(books: MemoryBooks) -> None:
    app = enrolled(books)
    code = app.at(NOW)
    assert signs_in(books, code)
    assert not signs_in(books, code)
    written = b"".join(event.canonical() for event in books.recorded).decode()
    assert code not in written
    assert app.secret not in written
