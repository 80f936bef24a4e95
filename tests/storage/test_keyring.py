"""The keyring: created once, private, sealed, and what is destroyed is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hub.errors import NotFound, Rejected, Unavailable
from hub.storage.keyring import Keyring, recipient_in
from hub.storage.objects import MemoryObjects
from hub.storage.vault import Vault


def raw_log_key(keyring: Keyring) -> bytes:
    return keyring.log_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def everything(keyring: Keyring) -> tuple[object, ...]:
    return (
        keyring.identity,
        keyring.recipient,
        keyring.digest_key,
        keyring.session_key,
        raw_log_key(keyring),
        keyring.period_key("school-mobility", "2025-2026"),
        keyring.period_key("school-mobility", "2026-03"),
        keyring.period_key("linking", "2026-03"),
    )


def test_keys_survive_a_restart_and_differ(tmp_path: Path) -> None:
    first = everything(Keyring(tmp_path / "keyring"))
    assert everything(Keyring(tmp_path / "keyring")) == first
    assert len(set(first)) == len(first)
    assert all(len(key) == 32 for key in first if isinstance(key, bytes))
    assert set(everything(Keyring(tmp_path / "other"))).isdisjoint(first)


def test_identity_opens_what_the_recipient_seals(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keyring")
    door = Vault(MemoryObjects(), recipient_in(tmp_path / "keyring"))
    assert Vault(MemoryObjects(), keyring.recipient, keyring.identity).unseal(door.seal(b"x")) == (
        b"x"
    )


def test_the_front_door_needs_a_keyring_to_exist(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        recipient_in(tmp_path / "keyring")


def test_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    everything(Keyring(tmp_path / "keyring"))
    found = [tmp_path / "keyring", *(tmp_path / "keyring").rglob("*")]
    assert len(found) == 12
    for path in found:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_keys_are_sealed_at_rest(tmp_path: Path) -> None:
    keys = [key for key in everything(Keyring(tmp_path / "k")) if isinstance(key, bytes)]
    for path in (tmp_path / "k").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert all(key not in content for key in keys)
            assert all(key.hex().encode() not in content for key in keys)


@pytest.mark.parametrize("name", [".", "identity.txt", "digest.age", "periods/linking/2026-03.age"])
@pytest.mark.parametrize("mode", [0o040, 0o004, 0o020, 0o001])
def test_an_exposed_keyring_refuses_to_start(tmp_path: Path, name: str, mode: int) -> None:
    everything(Keyring(tmp_path))
    path = tmp_path / name
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(Rejected) as refusal:
        Keyring(tmp_path)
    assert (refusal.value.code, refusal.value.who) == ("keyring-exposed", "operator")
    assert refusal.value.where == name
    path.chmod(path.stat().st_mode & ~0o077)
    Keyring(tmp_path)


def test_periods_are_listed_by_purpose(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "k")
    assert keyring.periods("school-mobility") == []
    for period in ("2026-03", "2025-2026"):
        keyring.period_key("school-mobility", period)
    keyring.period_key("linking", "2026-04")
    assert keyring.periods("school-mobility") == ["2025-2026", "2026-03"]
    assert keyring.periods("linking") == ["2026-04"]


def test_a_destroyed_key_is_gone_from_disk(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "k")
    key = keyring.period_key("linking", "2026-03")
    path = tmp_path / "k/periods/linking/2026-03.age"
    sealed = path.read_bytes()
    same_bytes = tmp_path / "hard-link"
    same_bytes.hardlink_to(path)
    keyring.destroy("linking", "2026-03")
    keyring.destroy("linking", "2026-03")
    keyring.destroy("never", "2026-03")
    assert keyring.periods("linking") == []
    assert list((tmp_path / "k/periods/linking").iterdir()) == []
    assert same_bytes.read_bytes() == b"\0" * len(sealed), "overwritten, not only unlinked"
    for again in (keyring, Keyring(tmp_path / "k")):
        assert again.period_key("linking", "2026-03") != key


@pytest.mark.parametrize("bad", ["", "..", "a/b", "/etc", ".x", "2026\n"])
def test_names_cannot_leave_the_keyring(tmp_path: Path, bad: str) -> None:
    keyring = Keyring(tmp_path / "k")
    for purpose, period in ((bad, "2026-03"), ("linking", bad)):
        with pytest.raises(Rejected):
            keyring.period_key(purpose, period)
        with pytest.raises(Rejected):
            keyring.destroy(purpose, period)


def test_a_damaged_key_or_identity_is_named(tmp_path: Path) -> None:
    everything(Keyring(tmp_path / "k"))
    path = tmp_path / "k/digest.age"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Unavailable):
        _ = Keyring(tmp_path / "k").digest_key
    (tmp_path / "k/identity.txt").write_text("AGE-SECRET-KEY-1XX")
    with pytest.raises(Rejected) as refusal:
        Keyring(tmp_path / "k")
    assert refusal.value.code == "age-key-invalid"


def test_randomness_is_passed_in(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "k", random=lambda size: b"\7" * size)
    assert keyring.digest_key == b"\7" * 32


RACER = """
import sys, time
from pathlib import Path
from hub.storage.keyring import Keyring
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    keyring = Keyring(Path(sys.argv[1]) / str(number))
    keys = keyring.identity.encode().hex(), keyring.digest_key.hex()
    print(*keys, keyring.period_key("linking", "2026-03").hex(), flush=True)
"""


def test_processes_creating_the_same_keys_at_once_agree(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate(timeout=60)[0].splitlines() for racer in racers]
    assert all(racer.returncode == 0 for racer in racers)
    assert len(outputs[0]) == 20
    assert outputs[0] == outputs[1] == outputs[2]
    assert list(tmp_path.rglob(".new-*")) == []
