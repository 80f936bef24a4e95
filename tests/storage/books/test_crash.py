from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

from hub.events import Kind
from hub.storage.books import Books
from tests.storage.books.conftest import Start
from tests.storage.books.made import NOW, PURPOSE
from tests.storage.books.workers import BATCH


def test_killed_at_any_statement_a_write_leaves_all_or_nothing(
    books: Books, start: Start, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    assert start("crash", str(told)).wait(90) == 0
    attempts = [json.loads(line) for line in told.read_text().splitlines()]
    for act, group in itertools.groupby(attempts, key=lambda attempt: attempt[0]):
        *killed, last = group
        # Begin, event, at least one row, commit: each was a moment to die.
        assert len(killed) >= 4, act
        assert [(k, changed) for _, _, k, changed in killed] == [(True, False)] * len(killed), act
        # What returned is durable, although the process died right after.
        assert last[2:] == [False, True], act
    assert len({attempt[0] for attempt in attempts}) == 8


def test_killed_at_any_moment_an_import_is_there_whole_or_not_at_all(
    books: Books, start: Start, tmp_path: Path
) -> None:
    for n in range(3):
        ready = tmp_path / f"ready-{n}"
        worker = start("give", str(ready))
        while not ready.exists():
            assert worker.poll() is None
            time.sleep(0.01)
        time.sleep(0.013 * n)
        worker.kill()
        worker.wait()
        imports = books.events(kind=Kind.CONSENT_IMPORTED, limit=100_000)
        with books._engine.connect() as connection:
            grants = connection.exec_driver_sql("SELECT count(*) FROM grants").scalar()
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert grants == BATCH * len(imports)
        assert grants > 0
    assert books.standing("coachco2", PURPOSE, NOW).granted
