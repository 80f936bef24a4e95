from __future__ import annotations

from dataclasses import replace

import pytest

from hub.errors import Conflict
from hub.events import Kind
from hub.storage.books import Books
from tests.storage.books.made import NOW, event, release

INTEND = event(Kind.RELEASE_INTENDED)
PUBLISH = event(Kind.RELEASE_PUBLISHED)
BLOCK = event(Kind.RELEASE_BLOCKED)


def publish(books: Books, version: int = 1, **changes: object) -> None:
    made = release(version, **changes)
    books.intend_release(made.digest, {"release": made.id}, event=INTEND)
    assert books.publish_release(made, event=PUBLISH) == made


def test_a_release_is_intended_then_published(books: Books) -> None:
    books.intend_release("digest-1", {"release": "r"}, event=INTEND)
    [intent] = books.open_intents()
    assert (intent.digest, intent.facts, intent.at) == ("digest-1", {"release": "r"}, NOW)
    assert books.publish_release(release(), event=PUBLISH) == release()
    assert books.open_intents() == []
    assert books.release(release().id) == release()
    assert books.release("none") is None


def test_what_was_not_announced_or_was_blocked_cannot_be_published(books: Books) -> None:
    with pytest.raises(Conflict) as refused:
        books.publish_release(release(), event=PUBLISH)
    assert refused.value.code == "release-not-intended"
    books.intend_release("digest-1", {}, event=INTEND)
    books.block_release("digest-1", {"findings": ["k"]}, event=BLOCK)
    books.block_release("digest-2", {"findings": ["k"]}, event=BLOCK)
    for version in (1, 2):
        with pytest.raises(Conflict):
            books.publish_release(release(version), event=PUBLISH)
    assert books.releases() == []
    assert len(books.events(kind=Kind.RELEASE_BLOCKED)) == 2
    assert books.events(kind=Kind.RELEASE_PUBLISHED) == []


def test_an_intention_serves_once_and_may_be_repeated_after_a_crash(books: Books) -> None:
    books.intend_release("digest-1", {}, event=INTEND)
    publish(books)
    with pytest.raises(Conflict):
        books.publish_release(release(id="other", version=2), event=PUBLISH)


def test_a_version_is_published_once(books: Books) -> None:
    publish(books)
    books.intend_release("digest-1", {}, event=INTEND)
    with pytest.raises(Conflict, match="already"):
        books.publish_release(release(id="other"), event=PUBLISH)
    assert len(books.open_intents()) == 1  # rolled back with the rest


def test_releases_are_listed_oldest_first_and_the_latest_is_known(books: Books) -> None:
    publish(books, 1)
    publish(books, 2)
    publish(books, 3, id="c", measure="carbon-balance")
    publish(books, 4, period="2026-2027")
    assert [r.version for r in books.releases()] == [1, 2, 3, 4]
    assert [r.version for r in books.releases("modal-split")] == [1, 2, 4]
    latest = books.latest_release("modal-split")
    assert latest is not None
    assert latest.version == 4
    earlier = books.latest_release("modal-split", "2025-2026")
    assert earlier is not None
    assert earlier.version == 2
    assert books.latest_release("none") is None


def test_a_release_knows_its_place_in_the_log(books: Books) -> None:
    publish(books)
    [published] = books.events(kind=Kind.RELEASE_PUBLISHED)
    books.place_events([(published.sequence, 12)])
    assert books.releases() == [replace(release(), log_index=12)]
