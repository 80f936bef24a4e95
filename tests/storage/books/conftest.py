"""Books of their own for each test, on a fresh SQLite file with one partner in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from hub.storage.books import Books
from tests.storage.books.made import with_partner


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'books.sqlite'}"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Books made once and copied: a file system that syncs is slow, and each test makes one."""
    path = tmp_path_factory.mktemp("template") / "books.sqlite"
    made = with_partner(Books.open(f"sqlite:///{path}"))
    assert made.compact()
    made.close()
    return path


@pytest.fixture
def books(url: str, template: Path) -> Iterator[Books]:
    shutil.copy(template, make_url(url).database or "")
    opened = Books.open(url)
    yield opened
    opened.close()


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    """Start a worker process on the books; whatever happens, none outlives the test."""
    script = Path(__file__).with_name("workers.py")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with ExitStack() as stack:

        def run(what: str, *arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, str(script), what, url, *arguments], env=environment
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield run
