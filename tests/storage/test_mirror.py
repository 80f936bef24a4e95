"""What only tables in a bucket can get wrong: two writers, a lost answer, copies left behind."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hub.errors import Unavailable
from hub.storage.mirror import BucketTables
from hub.storage.s3 import Bucket
from hub.storage.states import state
from hub.storage.tables import DeltaTables
from tests.faulty import Faulty
from tests.storage import buckets, making
from tests.storage.making import NAME


@pytest.fixture(params=buckets.SERVERS)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return buckets.bucket(request.param)


@pytest.fixture
def tables(bucket: Bucket, tmp_path: Path) -> BucketTables:
    return BucketTables(bucket, tmp_path / "scratch")


def test_a_purge_leaves_nothing_of_those_who_left(bucket: Bucket, tables: BucketTables) -> None:
    tables.append(NAME, [making.trips(range(4))], "push-1", personal=True)
    tables.rewrite(NAME, making.gone([0]))
    bucket.create(f"tables/{NAME}/period=x/orphan.parquet", b"of a writer that died")
    tables.purge(NAME)
    kept = [key.removeprefix(f"tables/{NAME}/") for key in bucket.keys("tables/")]
    log = [name for name in kept if name.startswith("_delta_log/")]
    assert sorted(log) == [
        "_delta_log/00000000000000000002.checkpoint.parquet",
        "_delta_log/00000000000000000002.json",
        "_delta_log/_last_checkpoint",
    ]
    live = {file.split(f"{NAME}/", 1)[1] for file in tables.snapshot([NAME]).files[NAME]}
    assert set(kept) - set(log) == live
    for person in making.gone([0]).values():
        assert not [key for key in bucket.keys("") if person[0] in bucket.get(key)]


def test_delta_itself_reads_what_is_there(bucket: Bucket, tables: BucketTables) -> None:
    """delta-rs, told where the bucket is, sees the same table."""
    from deltalake import DeltaTable

    tables.append(NAME, [making.trips(range(4))], "push-1", personal=True)
    tables.rewrite(NAME, making.gone([0]))
    tables.purge(NAME)
    options = {
        "AWS_ENDPOINT_URL": bucket.address.endpoint,
        "AWS_ACCESS_KEY_ID": bucket.address.access_key,
        "AWS_SECRET_ACCESS_KEY": bucket.address.secret_key,
        "AWS_REGION": bucket.address.region,
        "AWS_ALLOW_HTTP": "true",
    }
    seen = DeltaTable(f"s3://{bucket.name}/tables/{NAME}", storage_options=options)
    assert seen.version() == 2
    assert len(seen.file_uris()) == len(tables.snapshot([NAME]).files[NAME])
    assert seen.transaction_version("push-1") == 1


def test_the_state_is_that_of_a_folder(tables: BucketTables, tmp_path: Path) -> None:
    """Before and after, known without fetching, and the same when everything is read again."""
    assert state(tables, NAME) == state(DeltaTables(tmp_path / "folder"), NAME)
    tables.append(NAME, [making.trips(range(4))], "push-1", personal=True)
    known = state(tables, NAME)
    assert known == state(tables, NAME, fresh=True)
    other = BucketTables(tables._bucket, tmp_path / "other")
    assert state(other, NAME) == known
    tables.rewrite(NAME, making.gone([0]))
    assert state(tables, NAME) != known
    assert state(other, NAME) == state(tables, NAME, fresh=True)


def test_a_file_changed_behind_our_back_shows_when_read_anew(
    bucket: Bucket, tables: BucketTables
) -> None:
    tables.append(NAME, [making.trips([1])], "push-1", personal=True)
    known = state(tables, NAME)
    key = next(key for key in bucket.keys("tables/") if key.endswith(".parquet") and "=" in key)
    bucket.delete(key)
    bucket.create(key, b"something else")
    assert state(tables, NAME) == known
    assert state(tables, NAME, fresh=True) != known


def test_who_comes_second_commits_nothing_and_says_so(
    bucket: Bucket, tables: BucketTables, tmp_path: Path
) -> None:
    """Without the lease: both have copied the log before either commits."""
    tables.append(NAME, [making.trips([1])], "push-1", personal=True)
    other = BucketTables(bucket, tmp_path / "other")

    def meanwhile() -> Iterator[object]:
        yield making.trips([2])
        other.append(NAME, [making.trips([3])], "push-3", personal=True)

    with pytest.raises(Unavailable) as raised:
        tables.append(NAME, meanwhile(), "push-2", personal=True)  # type: ignore[arg-type]
    assert raised.value.code == "table-contended"
    assert making.people_in(tables.snapshot([NAME])) == making.expected([1, 3])
    assert tables.committed(NAME, "push-2") is None
    tables.append(NAME, [making.trips([2])], "push-2", personal=True)
    assert making.people_in(tables.snapshot([NAME])) == making.expected([1, 2, 3])
    tables.purge(NAME)
    files = [key for key in bucket.keys("tables/") if "=" in key]
    assert len(files) == len(tables.snapshot([NAME]).files[NAME])


def test_a_plug_pulled_anywhere_commits_once_or_not_at_all(bucket: Bucket, tmp_path: Path) -> None:
    """Cut after the 1st, 2nd, 3rd… request; then done again, as a worker would."""
    with Faulty(urlsplit(bucket.address.endpoint).netloc) as way:
        address = replace(bucket.address, endpoint=f"http://{way.address}")
        through = BucketTables(Bucket(address, silence=2.0), tmp_path / "scratch")
        for cut in range(1, 26, 3):
            push = f"push-{cut}"
            way.requests = 0
            way.cut_after = cut
            with suppress(Unavailable):
                through.append(NAME, [making.trips([cut])], push, personal=True)
            way.renew()  # the cut may have come just after the last answer
            done = through.append(NAME, [making.trips([cut])], push, personal=True)
            assert done.rows == 4
        people = making.people_in(through.snapshot([NAME]))
        assert people == making.expected(range(1, 26, 3))


def test_copies_go_with_whoever_held_them(tables: BucketTables, tmp_path: Path) -> None:
    tables.append(NAME, [making.trips([1])], "push-1", personal=True)

    def copies() -> list[Path]:
        return list((tmp_path / "scratch").rglob("*.parquet"))

    assert copies() == []
    files = list(tables.snapshot([NAME]).files[NAME])
    gc.collect()
    assert copies(), "whoever holds a file's name may read it"
    assert all(Path(file).exists() for file in files)
    del files
    gc.collect()
    assert copies() == []


def test_copies_of_a_killed_process_are_removed(bucket: Bucket, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from hub.storage.mirror import _Scratch\n"
        "mine = _Scratch(Path(sys.argv[1]))\n"
        "(mine.folder('table') / 'rows').write_text('pseudonyms')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(scratch)], cwd=root, check=False)
    assert list(scratch.rglob("rows"))
    alive = BucketTables(bucket, scratch)
    assert not list(scratch.rglob("rows"))
    BucketTables(bucket, scratch)
    assert alive._scratch.folder("x").exists(), "a living process keeps its own"
