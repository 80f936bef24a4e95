"""What every part that writes to a folder needs: durability, and one translation of `OSError`."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from hub.errors import Rejected, Unavailable

T = TypeVar("T")

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TOLD: Final = re.compile(r"\(os error (\d+)\)")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,199}")
_LONGEST_NAME: Final = 512


def storage_unavailable(error: OSError) -> Unavailable:
    """Say an operating-system failure as the operator must read it, without file contents."""
    number = _number(error)
    if number in _FULL:
        return Unavailable(
            "storage-full",
            fr="Le stockage du hub est plein. Rien n'a été gardé de cette opération.",
            en="The hub's storage is full. Nothing of this operation was kept.",
            who="operator",
        )
    reason = errno.errorcode.get(number, "unknown")
    return Unavailable(
        "storage-unavailable",
        fr=f"Le stockage du hub ne répond pas ({reason}).",
        en=f"The hub's storage does not answer ({reason}).",
        who="operator",
    )


def _number(error: OSError) -> int:
    """The errno; libraries written in Rust tell it in their text only. 0 where none is told."""
    told = _TOLD.search(str(error))
    return error.errno or (int(told[1]) if told else 0)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translate any `OSError` of the block into `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise storage_unavailable(error) from error


def checked_name(name: str) -> str:
    """Return `name` if it is a relative path of plain segments, else raise `Rejected`.

    Segments start with a letter or a digit, so that neither `..` nor a hidden or temporary file
    can be named; there is no absolute, empty or backslashed name.
    """
    if len(name) > _LONGEST_NAME:
        raise _bad_name()
    for segment in name.split("/"):
        checked_segment(segment)
    return name


def checked_segment(segment: str) -> str:
    """Return `segment` if it may stand between two slashes of a name, else raise `Rejected`."""
    if _SEGMENT.fullmatch(segment):
        return segment
    raise _bad_name()


def _bad_name() -> Rejected:
    return Rejected(
        "name-invalid",
        fr="Ce nom ne peut désigner aucun objet : segments alphanumériques séparés par « / ».",
        en="This name cannot designate any object: alphanumeric segments separated by “/”.",
        who="developer",
    )


def sync_file(path: Path | str) -> None:
    """Make a file's bytes survive a power cut."""
    _fsync(path, os.O_RDONLY)


def sync_folder(path: Path | str) -> None:
    """Make the creation, renaming and removal of a folder's entries survive a power cut."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_up(folder: Path, root: Path) -> None:
    """Sync `folder` and its parents up to `root`, after some of them may have been made."""
    sync_all_up([folder], root)


def sync_all_up(folders: Iterable[Path], root: Path) -> None:
    """`sync_up` for several folders at or under `root`, each and each parent once."""
    places = set[Path]()
    for folder in folders:
        while folder not in places:
            places.add(folder)
            folder = folder if folder == root else folder.parent
    for place in sorted(places, reverse=True):  # inner ones first
        sync_folder(place)


def _fsync(path: Path | str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Witness:
    """Remembers the exception that crossed it, and lets it pass.

    For code called back from a library which turns our exceptions into its own: the caller asks
    the witness what really happened.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.error = error or self.error

    def watch(self, items: Iterator[T]) -> Iterator[T]:
        """Pass `items` on, remembering what their making raises."""
        while True:
            with self:
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def retell(self) -> None:
        """Raise again the exception seen, if one was."""
        if self.error is not None:
            raise self.error
