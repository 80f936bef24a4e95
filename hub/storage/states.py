"""What a table is at a moment, in one digest: the events of its commits hold it before and after.

The digest is over names and bytes of the live files. It says nothing about anyone: not which
bucket was rewritten, not how many rows left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from hub.storage.durable import storage_unavailable
from hub.storage.tables import Tables

_REMEMBERED: Final = 65_536


@dataclass(frozen=True, slots=True)
class State:
    """The version of a table (-1: there is none) and the digest of its live files, hex."""

    version: int
    digest: str


def state(tables: Tables, name: str, *, fresh: bool = False) -> State:
    """The present state. A file is read once by a process, unless `fresh`: names are never reused.

    Raises `Unavailable` where the table or one of its files cannot be read.
    """
    known = tables.digests(name, fresh=fresh)
    if known is not None:
        return State(known[0], _together(known[1]))
    opened = tables.snapshot([name])
    return State(opened.versions[name], fingerprint(opened.files[name], fresh=fresh))


def fingerprint(files: Iterable[str], *, fresh: bool = False) -> str:
    """One digest of files, in hex: partition folders, names and bytes."""
    read = _digest.__wrapped__ if fresh else _digest
    try:
        return _together({_inside(file): read(file) for file in files})
    except OSError as error:
        raise storage_unavailable(error) from error


def _together(digests: Mapping[str, str]) -> str:
    whole = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        whole.update(f"{name}\n{digest}\n".encode())
    return whole.hexdigest()


def commit(before: State, after: State, version: int, rows: int) -> dict[str, Any]:
    """One commit, as its event tells it.

    A push that a crash cut off is found committed when it is run again: what was before it is
    then not known any more, nor what came of it where others have committed since. Without rows, at
    the present version, it is told as one that changed nothing.
    """
    again = version < before.version or (rows > 0 and version == before.version)
    return {
        "version": version,
        "rows": rows,
        "before": None if again else before.digest,
        "after": after.digest if version == after.version else None,
    }


@lru_cache(_REMEMBERED)
def _inside(path: str) -> str:
    """The path below the table's folder: its partitions, if any, and the name."""
    *folders, name = path.split("/")  # not pathlib: a large table has thousands of files
    start = len(folders)
    while start and "=" in folders[start - 1]:
        start -= 1
    return "/".join([*folders[start:], name])


@lru_cache(_REMEMBERED)
def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
