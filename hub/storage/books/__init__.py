"""The books: the hub's own records in SQL, each change in one transaction with its audit event."""

from hub.storage.books.books import Books
from hub.storage.books.grants import GIVEN, OBJECTED, REFUSED, WITHDRAWN
from hub.storage.books.leases import Held
from hub.storage.books.releases import Intent

__all__ = ["GIVEN", "OBJECTED", "REFUSED", "WITHDRAWN", "Books", "Held", "Intent"]
