"""What the vault promises of processes: memory, threads, and the `age` tool."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest

from hub.errors import Unavailable
from hub.storage import age
from hub.storage.objects import FolderObjects, MemoryObjects
from hub.storage.sealing import plaintext
from hub.storage.vault import Vault

IDENTITY = age.Identity.make()
RECIPIENT = IDENTITY.recipient.text
AGE = shutil.which("age")
with_age = pytest.mark.skipif(AGE is None, reason="the `age` tool is not installed here")


@with_age
def test_the_age_tool_opens_what_the_vault_sealed(tmp_path: Path) -> None:
    assert AGE is not None
    (tmp_path / "identity").write_text(IDENTITY.text)
    Vault(FolderObjects(tmp_path / "vault"), RECIPIENT).keep("x", [b"bonjour"], max_bytes=100)
    opened = subprocess.run(
        [AGE, "--decrypt", "-i", tmp_path / "identity", tmp_path / "vault/x.age"],
        capture_output=True,
        check=True,
    )
    assert opened.stdout == b"bonjour"


@with_age
def test_the_vault_opens_what_the_age_tool_sealed() -> None:
    assert AGE is not None
    content = b"bonjour" * 50_000
    sealed = subprocess.run(
        [AGE, "-r", RECIPIENT], input=content, capture_output=True, check=True
    ).stdout
    objects = MemoryObjects()
    objects.put("x.age", [sealed])
    vault = Vault(objects, RECIPIENT, IDENTITY.text)
    with vault.open("x") as file:
        assert file.read() == content
    assert vault.unseal(sealed) == content


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """200 MB go through; the process may grow by a tenth of it."""
    outcome = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import resource, sys
                from hub.storage import age
                from hub.storage.objects import FolderObjects
                from hub.storage.vault import Vault
                identity = age.Identity.make()
                vault = Vault(FolderObjects(sys.argv[1]), identity.recipient.text, identity.text)

                def through(count):
                    vault.keep("x", (b"x" * 100_000 for _ in range(count)), 10**9)
                    with vault.open("x") as file:
                        while file.read(100_000):
                            pass
                    vault.forget("x")
                    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

                print(through(20), through(2_000))
            """),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    before, after = map(int, outcome.stdout.split())
    assert after - before < 20_000, "KiB"


def test_closing_early_closes_the_sealed_file(tmp_path: Path) -> None:
    vault = Vault(FolderObjects(tmp_path), RECIPIENT, IDENTITY.text)
    vault.keep("x", [b"x" * 5_000_000], max_bytes=10**7)

    def held() -> list[str]:
        return [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path]

    file = vault.open("x")
    assert file.read(3) == b"xxx"
    assert held() == [str(tmp_path / "x.age")]
    file.close()
    file.close()
    assert held() == []
    with pytest.raises(ValueError):
        file.read(1)


def test_what_went_wrong_once_is_never_taken_for_the_end() -> None:
    """A library between us and the reader may swallow an error and read on."""
    objects = MemoryObjects()
    vault = Vault(objects, RECIPIENT, IDENTITY.text)
    vault.keep("x", [b"x" * 300_000], max_bytes=10**6)
    objects.put("x.age", [objects.get("x.age")[:-1]])
    with vault.stream("x") as file:
        for _ in range(3):
            with pytest.raises(Unavailable):
                file.read()


def test_many_may_read_at_once() -> None:
    vault = Vault(MemoryObjects(), RECIPIENT, IDENTITY.text)
    for number in range(4):
        vault.keep(str(number), [bytes([number]) * 300_000], max_bytes=10**6)
    files: list[BinaryIO] = [vault.open(str(number)) for number in range(4)]
    for _ in range(3):
        for number, file in enumerate(files):
            assert file.read(100_000) == bytes([number]) * 100_000
    for file in files:
        file.close()


def test_a_disk_that_fails_in_the_second_pass_is_told_to_the_reader() -> None:
    """Verified a moment ago, unreadable now: the reader gets the error, never a short file."""

    class Failing:
        def __init__(self, content: bytes) -> None:
            self.left = content

        def read(self, size: int) -> bytes:
            if len(self.left) < 100_000:
                raise OSError(5, "input/output error")
            piece, self.left = self.left[:size], self.left[size:]
            return piece

        def close(self) -> None:
            pass

    objects = MemoryObjects()
    vault = Vault(objects, RECIPIENT, IDENTITY.text)
    vault.keep("x", [b"x" * 300_000], max_bytes=10**6)
    file = plaintext(Failing(objects.get("x.age")), IDENTITY)  # type: ignore[arg-type]
    with pytest.raises(Unavailable), file:
        file.read()


def test_a_full_disk_while_sealing_leaves_nothing(tmp_path: Path) -> None:
    outcome = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import resource, sys
                from hub.storage import age
                from hub.errors import Unavailable
                from hub.storage.objects import FolderObjects
                from hub.storage.vault import Vault
                recipient = age.Identity.make().recipient.text
                vault = Vault(FolderObjects(sys.argv[1]), recipient)
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
                try:
                    vault.keep("x", (b"x" * 30_000 for _ in range(100)), 10**9)
                except Unavailable as error:
                    print(error.code)
            """),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert outcome.stdout == "storage-full\n"
    assert list(tmp_path.iterdir()) == []


def test_no_plaintext_reaches_the_disk(tmp_path: Path) -> None:
    """While the file is being written and while it is being read, nothing holds its content."""
    vault = Vault(FolderObjects(tmp_path), RECIPIENT, IDENTITY.text)
    needle = b"a-card-number"

    def nowhere() -> bool:
        return all(needle not in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())

    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield needle * 10_000
            assert nowhere()

    vault.keep("x", chunks(), max_bytes=10**7)
    with vault.open("x") as file:
        assert needle in file.read(100_000)
        assert nowhere()
