"""A holder of the log's lease that suspends itself in the middle of taking its events in.

Run as a script with a folder and the method of the store before which it stops, as a machine that
is put to sleep would. Exits with 0 where it was told that another took over, with 1 where it wrote.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from hub.audit.journal import JournaledStore
from hub.errors import Unavailable
from tests.audit.many_writers import books_in, event, log_in, sequence


def stop_before(method: str) -> None:
    real = getattr(JournaledStore, method)

    def suspended(*args: Any, **named: Any) -> Any:
        setattr(JournaledStore, method, real)
        os.kill(os.getpid(), signal.SIGSTOP)
        return real(*args, **named)

    setattr(JournaledStore, method, suspended)


def main(folder: Path, method: str) -> int:
    books = books_in(folder)
    log = log_in(folder, books)
    for n in range(5):
        books.record(event=event(f"suspended-{n}"))
    stop_before(method)
    try:
        sequence(books, log, os.getpid())
    except Unavailable as error:
        print(error.code)  # noqa: T201
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
