"""One visitor of the pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import Page


@dataclass
class Visit:
    """A page, what it complained of and what it asked for."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Open a page and wait for what it loads."""
        self.page.goto(self.origin + path, wait_until="load")
        if path.startswith("/map"):
            self.page.wait_for_selector("#map[data-state]", timeout=30_000)
        return self.page

    def elsewhere(self) -> list[str]:
        """Requests that left our origin."""
        return [
            address
            for address in self.requests
            if not address.startswith((f"{self.origin}/", "data:"))
        ]
