from __future__ import annotations

import signal
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from hub.errors import Unavailable
from hub.storage.books import Books
from tests.storage.books.conftest import Start
from tests.storage.books.made import HOUR, NOW
from tests.storage.books.workers import LOST, clock

MINUTE = timedelta(minutes=1)
SHORT = timedelta(seconds=0.6)
NO_WAIT = timedelta(0)


def test_a_lease_excludes_everyone_until_it_ends(books: Books) -> None:
    assert books.lease("log", "a", NOW, MINUTE)
    assert not books.lease("log", "b", NOW, MINUTE)
    assert not books.lease("log", "a", NOW, MINUTE)  # two threads may share an owner's name
    assert books.lease("tables", "b", NOW, MINUTE)
    assert books.renew("log", "a", NOW + MINUTE, MINUTE)
    assert not books.lease("log", "b", NOW + MINUTE, MINUTE)
    assert books.lease("log", "b", NOW + 2 * MINUTE, MINUTE)
    assert not books.renew("log", "a", NOW + 2 * MINUTE, MINUTE)


def test_a_released_lease_is_free_and_only_its_holder_releases_it(books: Books) -> None:
    assert books.lease("log", "a", NOW, MINUTE)
    books.release_lease("log", "b")
    assert not books.lease("log", "b", NOW, MINUTE)
    books.release_lease("log", "a")
    books.release_lease("log", "a")
    assert books.lease("log", "b", NOW, MINUTE)


def test_holding_gives_the_lease_back_also_after_an_error(books: Books) -> None:
    for error in (None, KeyError):
        try:
            with books.holding("log", "a", lambda: NOW, MINUTE, NO_WAIT) as held:
                held.check()
                with (
                    pytest.raises(Unavailable) as refused,
                    books.holding("log", "a", lambda: NOW, MINUTE, NO_WAIT),
                ):
                    pytest.fail("held twice")
                assert refused.value.code == "lease-busy"
                if error is not None:
                    raise error
        except KeyError:
            pass
    assert books.lease("log", "b", NOW, MINUTE)
    assert not [t for t in threading.enumerate() if t.name.startswith("lease")]


def test_holding_waits_for_its_turn(books: Books) -> None:
    order: list[str] = []
    entered = threading.Event()

    def first() -> None:
        with books.holding("log", "a", clock, MINUTE, NO_WAIT):
            entered.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with books.holding("log", "a", clock, MINUTE, MINUTE):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


class Clock:
    """A clock set by hand, which knows how often it was asked."""

    def __init__(self) -> None:
        self.now = NOW
        self.asked = 0

    def __call__(self) -> datetime:
        self.asked += 1
        return self.now

    def wait_for_renewals(self, count: int) -> None:
        """Return once the time was asked for that often again; all but the last are in effect."""
        until = self.asked + count + 1
        for _ in range(3000):
            if self.asked >= until:
                return
            time.sleep(0.01)
        pytest.fail("nobody renews the lease")


def test_holding_renews_behind_the_blocks_back(books: Books) -> None:
    by_hand = Clock()
    with books.holding("log", "a", by_hand, SHORT, NO_WAIT) as held:
        by_hand.now += HOUR
        by_hand.wait_for_renewals(1)
        assert not books.lease("log", "b", by_hand.now, MINUTE)
        held.check()


def test_a_lost_lease_is_noticed_at_the_check_and_at_the_end(books: Books, url: str) -> None:
    def ends() -> None:
        with books.holding("log", "a", lambda: NOW, MINUTE, NO_WAIT) as held:
            assert books.lease("log", "b", NOW + HOUR, MINUTE)  # another host's clock is ahead
            for _ in range(2):
                with pytest.raises(Unavailable) as lost:
                    held.check()
                assert lost.value.code == "lease-lost"

    with pytest.raises(Unavailable) as lost:
        ends()
    assert lost.value.code == "lease-lost"
    assert not books.lease("log", "c", NOW + HOUR, MINUTE)  # b's lease was not taken from it


def test_the_renewer_notices_a_lost_lease_by_itself(books: Books) -> None:
    def ends() -> None:
        with books.holding("log", "a", lambda: NOW, SHORT, NO_WAIT) as held:
            assert books.lease("log", "b", NOW + HOUR, MINUTE)
            time.sleep(SHORT.total_seconds())
            books.release_lease("log", "b")  # free again, yet someone else had it meanwhile
            with pytest.raises(Unavailable):
                held.check()

    with pytest.raises(Unavailable):
        ends()


def test_one_turn_is_for_all_threads_that_wait_for_it(books: Books) -> None:
    begun, others, done = threading.Event(), threading.Event(), threading.Event()
    turns: list[str] = []

    def work() -> None:
        turns.append(threading.current_thread().name)
        begun.set()
        others.wait()
        done.set()

    def wait() -> None:
        books.one_for_all("log", "a", clock, MINUTE, MINUTE, work, done.is_set)

    threads = [threading.Thread(target=wait, name=f"{n}") for n in range(5)]
    threads[0].start()
    begun.wait()
    for thread in threads[1:]:
        thread.start()
    others.set()
    for thread in threads:
        thread.join()
    assert turns == ["0"]
    assert books.lease("log", "b", NOW, MINUTE)


def test_a_turn_of_another_process_counts_before_it_ends(books: Books, url: str) -> None:
    other = Books.open(url)
    asked: list[bool] = []

    def done() -> bool:
        asked.append(len(asked) == 2)
        return asked[-1]

    with other.holding("log", "b", clock, MINUTE, NO_WAIT):
        books.one_for_all("log", "a", clock, MINUTE, MINUTE, lambda: pytest.fail("two"), done)
        assert asked == [False, False, True]
        with pytest.raises(Unavailable) as busy:
            books.one_for_all("log", "a", clock, MINUTE, NO_WAIT, list, lambda: False)
        assert busy.value.code == "lease-busy"
    other.close()


def test_who_finds_the_lease_free_works_and_asks_nobody(books: Books) -> None:
    turns: list[int] = []

    def work() -> None:
        turns.append(1)

    for _ in range(2):
        books.one_for_all("log", "a", clock, MINUTE, NO_WAIT, work, lambda: pytest.fail("asked"))
    assert len(turns) == 2


def test_work_that_fails_gives_lease_and_queue_back(books: Books) -> None:
    def fails() -> None:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            books.one_for_all("log", "a", clock, MINUTE, NO_WAIT, fails, lambda: False)
    assert books.lease("log", "b", NOW, MINUTE)


def test_an_owner_does_not_take_its_other_threads_lease_for_its_own(books: Books) -> None:
    def ends() -> None:
        with books.holding("log", "a", lambda: NOW, MINUTE, NO_WAIT) as first:
            with books.holding("log", "a", lambda: NOW + HOUR, MINUTE, NO_WAIT) as second:
                with pytest.raises(Unavailable):
                    first.check()
                second.check()
            with pytest.raises(Unavailable):
                first.check()

    with pytest.raises(Unavailable):
        ends()


def test_the_renewer_outlives_books_that_do_not_answer_for_a_while(books: Books, url: str) -> None:
    path = Path(make_url(url).database or "")
    by_hand = Clock()
    with books.holding("log", "a", by_hand, SHORT, NO_WAIT) as held:
        books.close()
        path.rename(path.with_suffix(".away"))
        path.mkdir()  # cannot be opened as a file
        by_hand.wait_for_renewals(1)
        with pytest.raises(Unavailable):
            held.check()
        path.rmdir()
        path.with_suffix(".away").rename(path)
        by_hand.now += HOUR
        by_hand.wait_for_renewals(1)
        assert not books.lease("log", "b", by_hand.now, MINUTE)
        held.check()


def test_an_error_of_the_block_is_not_hidden_by_the_lost_lease(books: Books) -> None:
    def fails() -> None:
        with books.holding("log", "a", lambda: NOW, MINUTE, NO_WAIT):
            books.lease("log", "b", NOW + HOUR, MINUTE)
            raise KeyError

    with pytest.raises(KeyError):
        fails()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_the_lease_of_a_dead_or_suspended_process_passes_on(
    books: Books, start: Start, tmp_path: Path, sent: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    process = start("hold", str(ready))
    while not ready.exists():
        assert process.poll() is None
        time.sleep(0.02)
    assert not books.lease("log", "b", clock(), MINUTE)
    process.send_signal(sent)
    with books.holding("log", "b", clock, MINUTE, MINUTE) as held:
        held.check()
    if sent is signal.SIGSTOP:
        # It wakes to a lease that is free again, but was someone else's meanwhile.
        (tmp_path / "ready.go").touch()
        process.send_signal(signal.SIGCONT)
    assert process.wait(60) == (LOST if sent is signal.SIGSTOP else -sent)
