"""The shelf: published releases as prepared bytes, read by the interface and the pages.

A release is immutable under its digest, so what was read once is kept in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any, Final

import msgspec

from hub.errors import NotFound, Rejected
from hub.events import Kind
from hub.parts import Actor, Parts
from hub.records import Release
from hub.release import object_name, question, readable

KEPT: Final = 256
MEDIA_TYPES: Final = {
    "csv": "text/csv; charset=utf-8; header=present",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "geojson": "application/geo+json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Shelf:
    """Releases by id and format."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._bytes: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._releases: dict[str, Release] = {}
        self._answered: tuple[int, dict[tuple[str, str | None], bool]] = (0, {})
        self._lock = Lock()

    def latest(self, measure: str) -> Release | None:
        """The newest release of a measure that anyone may read: pages ask for nobody in particular.

        One under embargo does not hide the one before it.
        """
        newest = self._parts.books.latest_release(measure)
        if newest is None or readable(self._parts, newest):
            return newest
        earlier = reversed(self._parts.books.releases(measure))
        return next((one for one in earlier if readable(self._parts, one)), None)

    def release(self, release_id: str) -> Release:
        """A release by id. Raises `NotFound`."""
        found = self._releases.get(release_id) or self._parts.books.release(release_id)
        if found is None:
            raise NotFound(
                "unknown-release",
                fr="Aucune publication ne porte ce nom.",
                en="No release has this name.",
                who="person",
            )
        if found.log_index is not None:  # from here on nothing of it changes
            if len(self._releases) >= KEPT:
                self._releases = {}
            self._releases[release_id] = found
        return found

    def held(self, release_id: str, kind: str) -> tuple[Release, bytes] | None:
        """A release and a format of it, if both are in memory."""
        release = self._releases.get(release_id)
        body = None if release is None else self._bytes.get((release.digest, kind))
        return None if release is None or body is None else (release, body)

    def open_now(self, release: Release, purpose: str | None) -> bool:
        """Whether anyone may read a release, as a policy in this process says.

        The very same question is put once: it names the second, and nothing else of it changes.
        """
        second = int(question(self._parts, release, purpose)["now"])
        if self._answered[0] != second:
            self._answered = (second, {})
        known = self._answered[1]
        key = (release.id, purpose)
        if key not in known:
            if len(known) >= KEPT:
                known.clear()
            known[key] = readable(self._parts, release, None, purpose)
        return known[key]

    def read(
        self, actor: Actor, release: Release, kind: str, purpose: str | None
    ) -> tuple[bytes, str]:
        """One format for somebody known: decided and recorded. Its bytes, the decision's id.

        Raises `Denied`, `Unavailable` where nobody decides, and as `data`.
        """
        asked = question(self._parts, release, purpose)
        decision = self._parts.require("release_read", actor, asked)
        body = self.data(release, kind)
        facts = {"reader": actor.id, "format": kind, "purpose": purpose or ""}
        event = self._parts.decided(Kind.RELEASE_READ, actor, release.id, decision, facts)
        self._parts.books.record(event=event)
        return body, str(event.facts["decision"])

    def data(self, release: Release, kind: str) -> bytes:
        """The bytes of one format. Raises `Rejected` for a format the release does not have."""
        digests = release.manifest["digest"]
        if kind not in digests:
            raise Rejected(
                "unknown-format",
                fr=f"Formats de cette publication : {', '.join(sorted(digests))}.",
                en=f"Formats of this release: {', '.join(sorted(digests))}.",
                who="person",
            )
        key = (release.digest, kind)
        with self._lock:
            if key in self._bytes:
                self._bytes.move_to_end(key)
                return self._bytes[key]
        data = self._parts.objects.get(object_name(release.digest, kind))
        with self._lock:
            self._bytes[key] = data
            while len(self._bytes) > KEPT:
                self._bytes.popitem(last=False)
        return data

    def rows(self, release: Release) -> list[dict[str, Any]]:
        """The published table, row by row; read once, not to be changed."""
        if release.digest not in self._rows:
            decoded = msgspec.json.decode(self.data(release, "json"), type=list[dict[str, Any]])
            self._rows = (
                {**self._rows, release.digest: decoded}
                if len(self._rows) < KEPT
                else {release.digest: decoded}
            )
        return self._rows[release.digest]
