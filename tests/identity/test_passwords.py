from collections.abc import Iterator

import pytest
from argon2.exceptions import HashingError, VerificationError

from hub.errors import Rejected, Unavailable
from hub.identity import passwords
from tests import hashing
from tests.hashing import QUICK


@pytest.fixture(autouse=True, scope="module")
def real() -> Iterator[None]:
    hashing.hash_with(hashing.REAL)
    yield
    hashing.hash_with(hashing.QUICK)


def test_it_is_the_low_memory_profile_of_rfc_9106() -> None:
    assert "$m=65536,t=3,p=4$" in passwords.hash("x")


def test_a_password_verifies_against_its_own_hash_only() -> None:
    hashed = passwords.hash("correct horse é")
    assert hashed.startswith("$argon2id$")
    assert "correct" not in hashed
    assert passwords.verify(hashed, "correct horse é")
    assert not passwords.verify(hashed, "correct horse e")


def test_nobody_has_no_password() -> None:
    assert not passwords.verify(None, "x")
    assert not passwords.verify(None, "the password of nobody")


@pytest.mark.parametrize("stored", ["", "plain", "$argon2id$broken"])
def test_a_hash_that_is_none_admits_nobody(stored: str) -> None:
    assert not passwords.verify(stored, stored)


@pytest.mark.parametrize("password", ["", "x" * 1025, "é" * 600])
def test_unusable_passwords(password: str) -> None:
    with pytest.raises(Rejected):
        passwords.hash(password)
    assert not passwords.verify(QUICK.hash(password), password)


def test_an_overlong_password_does_not_match_by_its_beginning() -> None:
    assert not passwords.verify(QUICK.hash("x" * 1024), "x" * 1025)


def test_any_string_can_be_tried() -> None:
    assert not passwords.verify(QUICK.hash("x"), "\ud800\x00")


class _Spy:
    """Counts hashings, or fails as a machine without memory does."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.worked: list[str] = []
        self.failure = failure

    def verify(self, hashed: str, _password: bytes) -> bool:
        self.worked.append(hashed)
        if self.failure:
            raise self.failure
        return True

    def hash(self, _password: bytes) -> str:
        if self.failure:
            raise self.failure
        return "$dummy"


def test_the_same_work_is_done_whoever_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = _Spy()
    monkeypatch.setattr(passwords, "_HASHER", spy)
    passwords._nobody.cache_clear()
    try:
        assert passwords.verify("$real", "p")
        assert not passwords.verify(None, "p")
        assert not passwords.verify("$real", "x" * 2000)
    finally:
        passwords._nobody.cache_clear()
    assert spy.worked == ["$real", "$dummy", "$dummy"]


def test_a_machine_out_of_memory_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", _Spy(VerificationError("memory")))
    with pytest.raises(Unavailable):
        passwords.verify("$real", "p")
    monkeypatch.setattr(passwords, "_HASHER", _Spy(HashingError("memory")))
    with pytest.raises(Unavailable):
        passwords.hash("p")
