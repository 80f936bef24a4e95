from __future__ import annotations

import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

from hub.storage.books import Books
from tests.storage.books.conftest import Start
from tests.storage.books.made import HOUR, NOW

MINUTE = timedelta(minutes=1)


def test_a_job_is_one_workers_until_its_lease_ends(books: Books) -> None:
    books.add_job("push", "p1")
    first = books.lease_job("a", NOW, MINUTE)
    assert first is not None
    assert (first.kind, first.about, first.attempts) == ("push", "p1", 1)
    assert books.lease_job("b", NOW + 59 * timedelta(seconds=1), MINUTE) is None
    second = books.lease_job("b", NOW + MINUTE, MINUTE)
    assert second is not None
    assert (second.id, second.attempts) == (first.id, 2)
    assert not books.renew_job(first.id, "a", NOW, MINUTE)
    assert books.renew_job(second.id, "b", NOW + MINUTE, HOUR)
    assert books.lease_job("c", NOW + HOUR, MINUTE) is None


def test_a_finished_job_is_gone_and_may_be_finished_again(books: Books) -> None:
    books.add_job("push", "p1")
    job = books.lease_job("a", NOW, MINUTE)
    assert job is not None
    books.finish_job(job.id)
    books.finish_job(job.id)
    assert not books.renew_job(job.id, "a", NOW, MINUTE)
    assert books.lease_job("a", NOW + HOUR, MINUTE) is None


def test_a_job_retried_waits_until_its_time(books: Books) -> None:
    books.add_job("push", "p1")
    job = books.lease_job("a", NOW, HOUR)
    assert job is not None
    books.retry_job(job.id, NOW + MINUTE)
    assert books.lease_job("b", NOW + 59 * timedelta(seconds=1), HOUR) is None
    again = books.lease_job("b", NOW + MINUTE, HOUR)
    assert again is not None
    assert (again.id, again.attempts) == (job.id, 2)


def test_a_worker_may_ask_for_jobs_of_some_kinds_alone(books: Books) -> None:
    books.add_job("withdrawal", "w1")
    books.add_job("push", "p1")
    job = books.lease_job("a", NOW, HOUR, {"push", "upload"})
    assert job is not None
    assert job.about == "p1"
    assert books.lease_job("a", NOW, HOUR, {"push", "upload"}) is None
    other = books.lease_job("a", NOW, HOUR)
    assert other is not None
    assert other.about == "w1"


def test_a_worker_that_lost_its_job_cannot_give_it_back(books: Books) -> None:
    books.add_job("push", "p1")
    job = books.lease_job("a", NOW, MINUTE)
    assert job is not None
    assert books.lease_job("b", NOW + MINUTE, HOUR) is not None
    books.retry_job(job.id, NOW, owner="a")
    assert books.lease_job("c", NOW + 2 * MINUTE, HOUR) is None


def test_a_job_may_be_promised_for_later(books: Books) -> None:
    books.add_job("sweep", "quarantine", NOW + HOUR)
    assert books.lease_job("a", NOW, MINUTE) is None
    assert books.lease_job("a", NOW + HOUR, MINUTE) is not None


def test_a_job_that_kills_its_workers_does_not_block_the_others(books: Books) -> None:
    for name in ("poison", "p2", "p3"):
        books.add_job("push", name)
    order = []
    now = NOW
    for _ in range(4):  # every worker dies: no job is ever finished
        job = books.lease_job("a", now, MINUTE)
        assert job is not None
        order.append(job.about)
        now += MINUTE
    assert order == ["poison", "p2", "p3", "poison"]


def test_threads_and_processes_do_300_jobs_once_each_although_one_is_killed(
    books: Books, start: Start, tmp_path: Path
) -> None:
    for n in range(300):
        books.add_job("push", f"p{n}")
    diaries = [tmp_path / f"diary-{n}" for n in range(3)]
    jobs_to_live = ("8", "0", "0")  # 0: it lives
    workers = [
        start("drain", str(diary), jobs) for diary, jobs in zip(diaries, jobs_to_live, strict=True)
    ]
    assert [worker.wait(90) for worker in workers] == [-signal.SIGKILL, 0, 0]
    dead, *living = [diary.read_text().split() for diary in diaries]
    # What the dead one held comes back when its leases end, and not before.
    assert books.lease_job("a", NOW, HOUR) is None
    left = []
    while job := books.lease_job("a", NOW + HOUR, HOUR):
        assert job.attempts == 2
        left.append(job.about)
        books.finish_job(job.id)
    assert 1 <= len(left) <= 4
    done = Counter([*dead, *living[0], *living[1]])
    done.subtract(set(left) & set(dead))  # it died between a diary line and `finish_job`
    assert done + Counter(left) == Counter(f"p{n}" for n in range(300))
