"""`kill -9` at random moments of appending: nothing acknowledged is lost, nothing is twice."""

import random
import subprocess
import sys
import time
from pathlib import Path

from hub.audit.journal import JournaledStore
from hub.audit.log import Log
from hub.audit.store import FolderStore
from hub.audit.verify import verify
from tests.audit.helpers import NOW, signer
from tests.audit.sqlite_outbox import SqliteOutbox

ROOT = Path(__file__).parents[2]
KILLS = 20


def killed_run(folder: Path, after: float) -> set[str]:
    """Start the writer, let it work for a while from its first acknowledgement, kill it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.audit.sqlite_outbox", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        assert first, "the writer failed"
        time.sleep(after)
        writer.kill()
        rest, _ = writer.communicate()
    # A last line may be cut; it was acknowledged to nobody.
    return {line.rstrip() for line in [first, *rest.splitlines(keepends=True)] if line[-1] == "\n"}


def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    acknowledged: set[str] = set()
    unplaced = 0
    for _ in range(KILLS):
        acknowledged |= killed_run(tmp_path, rng.random() * 0.08)
        outbox = SqliteOutbox(tmp_path / "books.sqlite")
        unplaced += bool(outbox.pending_events(1))
        outbox.close()
    outbox = SqliteOutbox(tmp_path / "books.sqlite")
    Log(JournaledStore(tmp_path / "log"), signer(), outbox).sequence(NOW)
    events = outbox.all_events()
    outbox.close()
    assert {event.body.decode() for event in events} >= acknowledged
    assert [event.index for event in events] == list(range(len(events)))
    report = verify(FolderStore(tmp_path / "log"), signer().verifier, events)
    assert report.problems == ()
    assert report.size == len(events)
    assert unplaced, "no kill fell inside an append: the test tested nothing"
