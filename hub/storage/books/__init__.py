"""The books: the hub's own records in SQL, each change in one transaction with its audit event."""

from hub.storage.books.books import Books
from hub.storage.books.events import Search
from hub.storage.books.grants import BY
from hub.storage.books.jobs import EXPIRY, STOP
from hub.storage.books.leases import Held
from hub.storage.books.records import AUDITED, PASSING, Marked
from hub.storage.books.releases import Intent
from hub.storage.books.standing import (
    ASKED_AGAIN,
    EXPIRED,
    GIVEN,
    OBJECTED,
    REFUSED,
    WITHDRAWN,
)

__all__ = [
    "ASKED_AGAIN",
    "AUDITED",
    "BY",
    "EXPIRED",
    "EXPIRY",
    "GIVEN",
    "OBJECTED",
    "PASSING",
    "REFUSED",
    "STOP",
    "WITHDRAWN",
    "Books",
    "Held",
    "Intent",
    "Marked",
    "Search",
]
