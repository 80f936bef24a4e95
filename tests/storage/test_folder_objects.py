"""What a folder adds to the contract: durability, a full disk, a crash."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.errors import Unavailable
from hub.storage.durable import storage_errors
from hub.storage.objects import FolderObjects


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    FolderObjects(tmp_path).put("kept", [b"before"])
    outcome = run(
        """
        import resource, sys
        from hub.errors import Unavailable
        from hub.storage.objects import FolderObjects
        objects = FolderObjects(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for name in ("new", "kept"):
            try:
                objects.put(name, (b"x" * 30_000 for _ in range(10)))
            except Unavailable as error:
                print(error.code, error.who)
        """,
        tmp_path,
    )
    assert outcome.stdout.split("\n")[:2] == ["storage-full operator"] * 2, outcome.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "storage-full"),
        (errno.EDQUOT, "storage-full"),
        ("File too large (os error 27)", "storage-full"),
        ("Broken (os error 5)", "storage-unavailable"),
        (errno.EIO, "storage-unavailable"),
        (None, "storage-unavailable"),
    ],
)
def test_system_errors_have_one_translation(number: int | str | None, code: str) -> None:
    with pytest.raises(Unavailable) as failure, storage_errors():
        raise OSError(*([number] if isinstance(number, str) else [number, "in /a/path"]))
    assert failure.value.code == code
    assert "/a/path" not in str(failure.value.words)


def test_an_error_of_the_source_is_not_taken_for_the_storage(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionResetError("the partner hung up")

    with pytest.raises(ConnectionResetError):
        FolderObjects(tmp_path).put("a", chunks())


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        FolderObjects(tmp_path / "file")


def test_files_are_private(tmp_path: Path) -> None:
    FolderObjects(tmp_path).put("a/b", [b"x"])
    assert (tmp_path / "a/b").stat().st_mode & 0o077 == 0


def test_bytes_and_folders_are_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is what a power cut tests: bytes, then name, then folders."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append("file" if path.is_file() else path.name)
        fsync(descriptor)

    def seen_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    objects = FolderObjects(tmp_path)
    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    objects.put("one/two/x", [b"x"])
    assert steps == ["file", "rename", "two", "one", tmp_path.name]
    steps.clear()
    objects.delete("one/two/x")
    assert steps == ["two"]


WRITER = """
import sys
from hub.storage.objects import FolderObjects
with FolderObjects(sys.argv[1]).writing("deep/x") as writer:
    writer.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_crash_leaves_no_object_and_its_rest_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        while_written = FolderObjects(tmp_path)
        assert len(list((tmp_path / "deep").iterdir())) == 1, "a living writer's file stays"
        assert list(while_written.list()) == []
        writer.kill()
    assert len(list((tmp_path / "deep").iterdir())) == 1
    assert list(FolderObjects(tmp_path).list()) == []
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_writer_whose_file_was_cleaned_before_it_was_locked_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, flock, cleaned = FolderObjects(tmp_path), fcntl.flock, list[str]()

    def cleaned_first(descriptor: int, operation: int) -> None:
        if not cleaned:
            cleaned.extend(path.name for path in tmp_path.iterdir())
            FolderObjects(tmp_path)
        flock(descriptor, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", cleaned_first)
        objects.put("x", [b"content"])
    assert len(cleaned) == 1
    assert objects.get("x") == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_cleaners_and_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """A cleaner may meet a temporary file between its creation and its lock."""
    cleaner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nfrom hub.storage.objects import FolderObjects\nprint(flush=True)\n"
            "while True: FolderObjects(sys.argv[1])",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert cleaner.stdout is not None
        cleaner.stdout.readline()
        objects = FolderObjects(tmp_path)
        for number in range(150):
            objects.put(f"n{number}", [b"x"])
            time.sleep(0)
    finally:
        cleaner.kill()
        cleaner.communicate()
    assert len(list(objects.list())) == 150
