"""A partner follows a push in a real browser: the bar moves, and the page ends as it should.

The events come from the interface's own route, over a desk whose push moves when the test says.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Response
from playwright.sync_api import expect
from starlette.responses import StreamingResponse

from hub.identity.people import MemoryPeople
from hub.records import Account, Role
from hub.web.pushdesk import MemoryPushDesk
from tests.browser.visit import Visit
from tests.web import published
from tests.web.test_partner import UNDER_WAY, pushdesk, told

pytestmark = pytest.mark.browser
Begin = Callable[..., Visit]


class Desk:
    """The pages of a partner who is signed in, and events that come when the test says."""

    def __init__(self) -> None:
        self.pushes: MemoryPushDesk = pushdesk()
        people = MemoryPeople()
        people.begin(Account("u1", "exploitation", "transdev", Role.PARTNER, ""), "cookie")
        self.app: FastAPI = published.application(people=people, pushes=self.pushes)
        self.listened = 0
        self.steps: list[str] = []

        @self.app.get("/v1/pushes/{push_id}/events")
        def events(push_id: str) -> Response:
            self.listened += 1
            return StreamingResponse(self._stream(), media_type="text/event-stream")

        self.url = ""

    def _stream(self) -> Iterator[str]:
        sent = 0
        for _ in range(600):
            while sent < len(self.steps):
                yield f"event: progress\ndata: {self.steps[sent]}\n\n"
                sent += 1
                if '"done"' in self.steps[sent - 1]:
                    return
            time.sleep(0.05)

    def tell(self, stage: str, percentage: int) -> None:
        """Move the push under way."""
        self.steps.append(f'{{"stage": "{stage}", "percentage": {percentage}}}')

    def finish(self) -> None:
        """End the push: the page asked again shows it."""
        self.pushes.pushes[0] = told("p1", rejected=0, valid=1234)
        self.tell("done", 100)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    config = uvicorn.Config(desk.app, port=0, log_level="error", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until, "the server took too long"
        time.sleep(0.02)
    desk.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield desk
    server.should_exit = server.force_exit = True
    thread.join(10)


def signed_in(visit: Begin, desk: Desk, **how: Any) -> Visit:
    visitor = visit(**how)
    visitor.origin = desk.url
    visitor.page.context.add_cookies([{"name": "hub-session", "value": "cookie", "url": desk.url}])
    return visitor


@pytest.mark.parametrize("path", ["/partner", "/partner/pushes/p1"])
def test_a_push_is_followed_to_its_end(visit: Begin, desk: Desk, path: str) -> None:
    visitor = signed_in(visit, desk)
    page = visitor.go(path)
    bar = page.get_by_role("progressbar", name="Avancement")
    assert bar.get_attribute("value") == "37"
    receipts = page.locator("a[href$='/p1/receipt']")
    assert receipts.count() == 0
    desk.tell("recording", 90)
    expect(page.get_by_text(re.compile(r"enregistrement · 90.%"))).to_be_visible()
    assert bar.evaluate("(bar) => bar.value") == 90
    desk.finish()
    expect(receipts.first).to_be_visible()
    expect(bar).to_have_count(0)
    assert desk.listened == 1
    assert visitor.complaints == []
    assert visitor.elsewhere() == []


def test_without_scripts_one_asks_again(visit: Begin, desk: Desk) -> None:
    visitor = signed_in(visit, desk, scripts=False)
    page = visitor.go("/partner/pushes/p1")
    assert page.get_by_role("progressbar").get_attribute("value") == "37"
    desk.finish()
    page.get_by_role("link", name="Actualiser").click()
    expect(page.get_by_role("link", name="Télécharger le reçu")).to_be_visible()
    assert desk.listened == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_own_pages_fit_and_stay_quiet(visit: Begin, desk: Desk, width: int) -> None:
    desk.pushes.pushes[0] = told("p1", **UNDER_WAY | {"stage": "waiting", "percentage": 0})
    visitor = signed_in(visit, desk, width=width)
    for path in ("/partner", "/partner/pushes/p1", "/partner/pushes/p2", "/partner/pushes/p3"):
        page = visitor.go(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} scrolls sideways: {wide} px"
    assert visitor.complaints == []
