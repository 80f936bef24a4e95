"""A real Chromium on the pages, served by uvicorn in a thread over a memory shelf."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from hub.web.assets import DIST
from tests.browser.visit import Visit
from tests.listening import listening
from tests.web.published import application

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Where Chromium is; without it the test is skipped, or fails where services are required."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        message = "no Chromium on the PATH; `make services` installs it"
        if os.environ.get("SERVICES") == "required":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of the pages."""
    with listening(application()) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    assert (DIST / "map.js").is_file(), "the bundle is not built: make setup"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Callable[..., Visit]]:
    contexts: list[BrowserContext] = []

    def begin(width: int = 1280, language: str = "fr", scripts: bool = True) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            locale=language,
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        contexts.append(context)
        begun = Visit(context.new_page(), server)
        begun.page.on("request", lambda request: begun.requests.append(request.url))
        begun.page.on("pageerror", lambda error: begun.complaints.append(str(error)))
        begun.page.on(
            "console",
            lambda message: (
                begun.complaints.append(message.text) if message.type == "error" else None
            ),
        )
        return begun

    yield begin
    for context in contexts:
        context.close()
