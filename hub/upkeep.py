"""Rewriting a table, whatever for: announced, done, purged, recorded.

1. A rewrite that was announced and not recorded died on its way: if its version is there it is
   recorded now, under the version it made, so that the commits of a table have an event each.
2. The version that is about to be made is announced.
3. The rewrite is one commit of the table, or none where there is nothing to do.
4. Older versions, their logs and checkpoints are purged, whether or not there was something to do:
   a rewrite that died may have left them.
5. The event is recorded, and the announcement goes with it.

The caller holds the table's writer lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Parts
from hub.storage.states import State, commit, state


def rewrite(
    parts: Parts,
    name: str,
    because: str,
    act: Callable[[], int],
    facts: Mapping[str, Any] | None = None,
) -> tuple[State, int]:
    """Do `act` on a table. Returns what the table is then, and what `act` returned."""
    _finish(parts, name)  # 1
    before = state(parts.tables, name)
    if before.version < 0:
        return before, 0
    parts.books.intend_rewrite(name, before.version + 1)  # 2
    done = act()  # 3
    parts.tables.purge(name)  # 4
    after = state(parts.tables, name)
    if after.version == before.version:
        parts.books.forget_rewrite(name)
        return after, done
    told = commit(before, after, after.version, 0)
    parts.books.record_rewrite(  # 5
        name, event=_event(parts, name, because, told, facts or {})
    )
    return after, done


def _finish(parts: Parts, name: str) -> None:
    version = parts.books.intended_rewrites().get(name)
    if version is None:
        return
    now = state(parts.tables, name)
    if now.version < version:
        parts.books.forget_rewrite(name)
        return
    told = {
        "version": version,
        "rows": 0,
        "before": None,
        "after": now.digest if now.version == version else None,
    }
    parts.books.record_rewrite(name, event=_event(parts, name, "recovered", told, {}))


def _event(
    parts: Parts, name: str, because: str, told: Mapping[str, Any], facts: Mapping[str, Any]
) -> AuditEvent:
    return AuditEvent(
        Kind.TABLE_REWRITTEN,
        WORKER.organisation,
        name,
        parts.clock(),
        {
            "because": because,
            "tables": {name: {"version": told["version"]}},
            "commits": {name: dict(told)},
            **facts,
        },
    )
