"""The contract of the vault, held over every kind of objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from hub.errors import NotFound, Rejected, TooLarge, Unavailable
from hub.storage import age
from hub.storage.objects import MemoryObjects, Objects
from hub.storage.vault import Vault
from tests.storage.buckets import OBJECTS, SERVERS

Make = Callable[[Path], Objects]
EVERY = pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
IDENTITY = age.Identity.make()
RECIPIENT = IDENTITY.recipient.text
NAMES = st.sampled_from(["a", "b/1", "b/2"])
CONTENT = bytes(range(256)) * 800  # four age chunks of 64 KiB, the last one short


def vault_over(objects: Objects) -> Vault:
    return Vault(objects, RECIPIENT, IDENTITY.text)


@EVERY
def test_what_is_kept_is_opened(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    vault = vault_over(objects)
    sealed = vault.keep("pushes/1", [CONTENT[:7], b"", CONTENT[7:]], max_bytes=len(CONTENT))
    assert sealed.name == "pushes/1"
    assert sealed.size == len(CONTENT)
    assert sealed.sha256 == hashlib.sha256(CONTENT).hexdigest()
    with vault.open("pushes/1") as file:
        assert file.read(10) == CONTENT[:10]
        assert file.read() == CONTENT[10:]
        assert file.read() == b""
    assert list(vault.names()) == ["pushes/1"]
    assert CONTENT[:64] not in objects.get("pushes/1.age")


@given(content=st.lists(st.binary(max_size=100), max_size=5))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chunks_come_back(content: list[bytes]) -> None:
    vault = vault_over(MemoryObjects())
    sealed = vault.keep("x", content, max_bytes=1000)
    with vault.open("x") as file:
        assert file.read() == b"".join(content)
    assert sealed.sha256 == hashlib.sha256(b"".join(content)).hexdigest()
    assert vault.unseal(vault.seal(b"".join(content))) == b"".join(content)


@EVERY
def test_the_front_door_seals_and_cannot_open(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    door = Vault(objects, RECIPIENT)
    door.keep("x", [CONTENT], max_bytes=10**6)
    box = door.seal(b"row")
    for opening in (lambda: door.open("x"), lambda: door.unseal(box)):
        with pytest.raises(Unavailable) as refusal:
            opening()
        assert refusal.value.code == "vault-sealing-only"
    assert vault_over(objects).unseal(box) == b"row"


@EVERY
def test_a_file_too_large_leaves_nothing(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 100_000

    with pytest.raises(TooLarge) as refusal:
        vault_over(objects).keep("x", endless(), max_bytes=1_000_000)
    assert refusal.value.facts == {"max_bytes": 1_000_000}
    assert list(objects.list()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@EVERY
def test_an_exception_of_the_source_comes_out_as_it_is(make: Make, tmp_path: Path) -> None:
    class Gone(Exception):
        pass

    gone = Gone("the partner hung up")

    def chunks() -> Iterator[bytes]:
        yield CONTENT
        raise gone

    objects = make(tmp_path)
    with pytest.raises(Gone) as seen:
        vault_over(objects).keep("x", chunks(), max_bytes=10**9)
    assert seen.value is gone
    assert list(objects.list()) == []


@EVERY
def test_forgetting_is_idempotent(make: Make, tmp_path: Path) -> None:
    vault = vault_over(make(tmp_path))
    vault.keep("x", [CONTENT], max_bytes=10**6)
    vault.forget("x")
    vault.forget("x")
    assert list(vault.names()) == []
    with pytest.raises(NotFound):
        vault.open("x")


def sealed_content() -> bytes:
    objects = MemoryObjects()
    vault_over(objects).keep("x", [CONTENT], max_bytes=10**6)
    return objects.get("x.age")


SEALED = sealed_content()
CHUNK = 64 * 1024 + 16
FIRST_CHUNK = len(SEALED) - (len(CONTENT) + 4 * 16)


def flipped(at: int) -> bytes:
    return SEALED[:at] + bytes([SEALED[at] ^ 1]) + SEALED[at + 1 :]


DAMAGED = {
    "empty": b"",
    "not age": b"a plain file",
    "header cut": SEALED[:50],
    "only the header": SEALED[:FIRST_CHUNK],
    "cut between chunks": SEALED[: FIRST_CHUNK + CHUNK],
    "cut inside a chunk": SEALED[: FIRST_CHUNK + CHUNK + 100],
    "last byte missing": SEALED[:-1],
    "one byte too many": SEALED + b"x",
    "header flipped": flipped(30),
    "first chunk flipped": flipped(FIRST_CHUNK + 5),
    "last chunk flipped": flipped(len(SEALED) - 20),
    "chunks swapped": SEALED[:FIRST_CHUNK]
    + SEALED[FIRST_CHUNK + CHUNK : FIRST_CHUNK + 2 * CHUNK]
    + SEALED[FIRST_CHUNK : FIRST_CHUNK + CHUNK]
    + SEALED[FIRST_CHUNK + 2 * CHUNK :],
}


@EVERY
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_gives_not_one_byte(make: Make, tmp_path: Path, damage: str) -> None:
    objects = make(tmp_path)
    objects.put("x.age", [DAMAGED[damage]])
    vault = vault_over(objects)
    with pytest.raises(Unavailable) as refusal:
        vault.open("x")
    assert (refusal.value.code, refusal.value.who) == ("sealed-file-unreadable", "operator")
    with pytest.raises(Unavailable):
        vault.unseal(DAMAGED[damage])


@EVERY
@pytest.mark.parametrize("damage", DAMAGED)
def test_one_reading_tells_of_damage_before_its_end(
    make: Make, tmp_path: Path, damage: str
) -> None:
    objects = make(tmp_path)
    objects.put("x.age", [DAMAGED[damage]])
    with pytest.raises(Unavailable) as refusal, vault_over(objects).stream("x") as file:
        file.read()
    assert (refusal.value.code, refusal.value.who) == ("sealed-file-unreadable", "operator")


@EVERY
def test_until_the_damage_one_reading_gives_what_was_sealed(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    objects.put("x.age", [DAMAGED["cut inside a chunk"]])
    with vault_over(objects).stream("x") as file:
        assert file.read(60_000) == CONTENT[:60_000]


@EVERY
def test_one_reading_gives_the_whole_file(make: Make, tmp_path: Path) -> None:
    vault = vault_over(make(tmp_path))
    vault.keep("x", [CONTENT], max_bytes=10**6)
    with vault.stream("x") as file:
        assert file.read() == CONTENT
        assert file.read() == b""


@given(at=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_no_flipped_bit_passes(at: int, bit: int) -> None:
    objects = MemoryObjects()
    objects.put("x.age", [SEALED[:at] + bytes([SEALED[at] ^ (1 << bit)]) + SEALED[at + 1 :]])
    with pytest.raises(Unavailable):
        vault_over(objects).open("x")


def test_another_identity_cannot_open() -> None:
    objects = MemoryObjects()
    Vault(objects, RECIPIENT).keep("x", [CONTENT], max_bytes=10**6)
    other = age.Identity.make()
    with pytest.raises(Unavailable) as refusal:
        Vault(objects, RECIPIENT, other.text).open("x")
    assert refusal.value.code == "sealed-file-unreadable"


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_things_of_one_envelope_are_opened_without_each_other(things: list[bytes]) -> None:
    envelope = Vault(MemoryObjects(), RECIPIENT).envelope()  # the front door's
    sealed = [envelope.seal(thing) for thing in things]
    assert len(set(sealed)) == len(things), "the same thing twice does not look the same"
    for thing, box in zip(things, sealed, strict=True):
        assert len(thing) < 8 or thing not in box
        assert vault_over(MemoryObjects()).unseal(box) == thing


def test_many_things_are_opened_with_one_agreement_on_each_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vault, agreed = vault_over(MemoryObjects()), 0
    one, other = vault.envelope(), vault.envelope()
    sealed = [one.seal(b"%d" % n) for n in range(5)] + [other.seal(b"5"), vault.seal(b"6")]
    decrypt = age.decrypt

    def counted(file: BinaryIO, identity: age.Identity) -> Iterator[bytes]:
        nonlocal agreed
        agreed += 1
        return decrypt(file, identity)

    monkeypatch.setattr(age, "decrypt", counted)
    opener = vault.opener()
    assert [opener.unseal(box) for box in sealed] == [b"%d" % n for n in range(7)]
    assert agreed == 3
    with pytest.raises(Unavailable):  # a key that is known opens nothing that was changed
        opener.unseal(sealed[5][:-1] + bytes([sealed[5][-1] ^ 1]))


THING = Vault(MemoryObjects(), RECIPIENT).envelope().seal(b"x" * 40)


@pytest.mark.parametrize("at", range(len(THING)))
def test_a_thing_of_an_envelope_is_whole_or_refused(at: int) -> None:
    changed = THING[:at] + bytes([THING[at] ^ 1]) + THING[at + 1 :]
    for damaged in (changed, THING[:at], THING[:at] + THING[at + 1 :]):
        with pytest.raises(Unavailable) as refusal:
            vault_over(MemoryObjects()).unseal(damaged)
        assert refusal.value.code == "sealed-file-unreadable"


def test_a_thing_of_an_envelope_is_for_its_identity() -> None:
    other = age.Identity.make()
    with pytest.raises(Unavailable):
        Vault(MemoryObjects(), other.recipient.text, other.text).unseal(THING)
    with pytest.raises(Unavailable):
        Vault(MemoryObjects(), RECIPIENT).unseal(THING)


def test_bad_keys_are_refused_without_being_quoted() -> None:
    secret = IDENTITY.text[:-1] + "x"
    with pytest.raises(Rejected) as refusal:
        Vault(MemoryObjects(), RECIPIENT, secret)
    assert secret[:30] not in str(refusal.value.problem("en"))
    with pytest.raises(Rejected):
        Vault(MemoryObjects(), "age1nothing")


def test_nothing_printed_shows_the_identity() -> None:
    vault = vault_over(MemoryObjects())
    assert IDENTITY.text not in repr(vault) + str(vars(vault))


class AgreesWithMemory(RuleBasedStateMachine):
    """Whatever is kept and forgotten in both, a vault over other objects says what memory says."""

    empty: Callable[[], Objects]

    def __init__(self) -> None:
        super().__init__()
        self.both = [vault_over(MemoryObjects()), vault_over(self.empty())]

    @rule(name=NAMES, content=st.lists(st.binary(max_size=40), max_size=3))
    def keep(self, name: str, content: list[bytes]) -> None:
        a, b = (vault.keep(name, content, max_bytes=80) for vault in self.both)
        assert a == b

    @rule(name=NAMES)
    def keep_too_much(self, name: str) -> None:
        for vault in self.both:
            with pytest.raises(TooLarge):
                vault.keep(name, [b"x" * 50] * 2, max_bytes=80)

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        for vault in self.both:
            vault.forget(name)

    @invariant()
    def same(self) -> None:
        memory, other = (
            {name: vault.open(name).read() for name in vault.names()} for vault in self.both
        )
        assert other == memory


@pytest.mark.parametrize("kind", ["folder", *SERVERS])
def test_others_agree_with_memory(kind: str, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in range(10**6))
    machine = type(
        "Machine",
        (AgreesWithMemory,),
        {"empty": staticmethod(lambda: OBJECTS[kind](next(folders)))},
    )
    run_state_machine_as_test(
        machine, settings=settings(max_examples=5, stateful_step_count=8, deadline=None)
    )
