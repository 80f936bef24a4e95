"""Books in which anything may happen in any order: what every generated history begins with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine

from hub.storage.books import Books
from tests.storage.books.made import NOW, with_partner

SETTINGS = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@cache
def migrated() -> bytes:
    """A file of books with nothing in them."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "books.sqlite"
        Books.open(f"sqlite:///{file}").close()
        return file.read_bytes()


def empty(folder: Path) -> str:
    """The address of new books in this folder: to migrate each takes a tenth of a second."""
    file = folder / "books.sqlite"
    file.write_bytes(migrated())
    return f"sqlite:///{file}"


class OverBooks(RuleBasedStateMachine):
    """Over books of its own with a partner in them, a clock and numbered names."""

    emptied: Callable[[], str] | None = None

    def open(self) -> None:
        self.folder = TemporaryDirectory()
        url = self.emptied() if self.emptied else empty(Path(self.folder.name))
        self.books = with_partner(Books.open(url))
        self.count = 0
        self.now = NOW

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.books.close()
            self.folder.cleanup()

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"
