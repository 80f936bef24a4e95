"""The verifier against a dishonest operator: every byte, every file, structured tampering."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import pytest

from hub.audit import erasure, merkle, notes, tiles
from hub.audit.log import Log, MemoryOutbox
from hub.audit.notes import Checkpoint
from hub.audit.store import MemoryStore
from hub.audit.tiles import ENTRIES, Tile
from hub.audit.verify import Report, verify
from hub.events import AuditEvent, Kind
from hub.records import LoggedEvent
from tests.audit.helpers import NOW, grown, record, signer
from tests.thorough import THOROUGH

KEY = signer().verifier


def small() -> MemoryStore:
    """262 entries: a full tile, partial ones of three checkpoints, and two levels."""
    store = MemoryStore()
    grown(store, 255, 3, 4)
    return store


@cache
def large() -> MemoryStore:
    """3 levels: 65,536 + 700 entries, the second tile of level 1 partial."""
    store = MemoryStore()
    grown(store, 65_536, 700)
    return store


def with_file(store: MemoryStore, name: str, data: bytes | None) -> MemoryStore:
    changed = MemoryStore()
    changed.files = dict(store.files)
    if data is None:
        del changed.files[name]
    else:
        changed.files[name] = data
    return changed


def flipped(data: bytes, at: int, by: int) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


def entry_index(name: str, at: int) -> int:
    """The entry that byte `at` of a file belongs to."""
    tile = Tile.parse(name)
    assert tile is not None
    if tile.level == ENTRIES:
        return tile.index * 256 + at // 34
    return (tile.index * 256 + at // 32) << 8 * tile.level


def test_whole_logs_verify() -> None:
    for sizes in ((0,), (1,), (255,), (256,), (257,), (3, 4, 5, 600), (4096, 4096)):
        store = MemoryStore()
        log, outbox = grown(store, *sizes)
        report = verify(store, KEY, outbox.events)
        assert report == Report(True, sum(sizes), log.head().root.hex(), ())


OLDER = {"tile/entries/001.p/2", "tile/0/001.p/2"}
"""Partial tiles of the checkpoint before."""


@pytest.mark.parametrize("name", sorted(small().files))
def test_every_byte_of_a_small_log_is_guarded_and_located(name: str) -> None:
    store = small()
    data = store.files[name]
    # Steps of five: entries of 34 bytes and hashes of 32 are tried at each of their places.
    for at in range(0, len(data), 1 if THOROUGH or len(data) < 1000 else 5):
        report = verify(with_file(store, name, flipped(data, at, 1 << at % 8)), KEY)
        assert not report.ok, at
        [problem] = report.problems
        if name == "checkpoint":
            assert problem.startswith("checkpoint: "), (at, problem)
        elif name in OLDER:
            assert problem.startswith(f"{name}: byte {at}: "), (at, problem)
        else:
            assert problem.startswith(f"{name}: index {entry_index(name, at)}: "), (at, problem)


@pytest.mark.parametrize("name", sorted(set(small().files) - OLDER))
@pytest.mark.parametrize("damage", ["missing", "empty", "one byte less", "one byte more"])
def test_missing_and_truncated_files_are_named(name: str, damage: str) -> None:
    store = small()
    data = store.files[name]
    changed = {"missing": None, "empty": b"", "one byte less": data[:-1]}.get(damage, data + b"\n")
    report = verify(with_file(store, name, changed), KEY)
    assert not report.ok
    [problem] = report.problems
    assert problem.startswith(name + ": ")


def test_an_older_partial_may_be_gone_but_not_shortened() -> None:
    store = small()
    for name in OLDER:
        assert verify(with_file(store, name, None), KEY).ok
        report = verify(with_file(store, name, store.files[name][:-1]), KEY)
        assert [problem.startswith(name) for problem in report.problems] == [True]


def test_litter_beyond_the_checkpoint_is_no_part_of_the_log() -> None:
    store = small()
    store.files |= {"tile/0/001.p/9": b"x" * 288, "tile/0/007": b"y", "tile/3/000.p/1": b"z"}
    assert verify(store, KEY).ok


def blamed(report: Report) -> set[str]:
    return {problem.partition(": ")[0] for problem in report.problems}


def swap(one: str, other: str) -> Callable[[MemoryStore], set[str]]:
    def act(store: MemoryStore) -> set[str]:
        files = store.files
        files[one], files[other] = files[other], files[one]
        return {one, other}

    return act


def forge_entry(store: MemoryStore) -> set[str]:
    """Another entry, its leaf hash in the tile too: only the level above knows."""
    bundle = tiles.unpack(store.files["tile/entries/005"])
    bundle[7] = b"\x66" * 32
    forged = store.files["tile/entries/005"] = tiles.pack(bundle)
    store.files["tile/0/005"] = b"".join(
        [merkle.leaf_hash(entry) for entry in tiles.unpack(forged)]
    )
    return {"tile/0/005"}


def forge_all_the_way_up(store: MemoryStore) -> set[str]:
    """A whole rewritten tree, consistent in itself, under the old checkpoint."""
    other = MemoryStore()
    log, outbox = grown(other, 0)
    record(outbox, 66_236)
    outbox.events[5] = replace(outbox.events[5], body=b"rewritten")
    log.sequence(NOW)
    store.files = {**other.files, "checkpoint": store.files["checkpoint"]}
    return {"checkpoint"}


def drop_last_entry(store: MemoryStore) -> set[str]:
    name = "tile/entries/258.p/188"
    store.files[name] = tiles.pack(tiles.unpack(store.files[name])[:-1])
    return {name}


@pytest.mark.parametrize(
    "tamper",
    [
        swap("tile/0/003", "tile/0/004"),
        swap("tile/entries/003", "tile/entries/004"),
        swap("tile/1/000", "tile/0/000"),
        forge_entry,
        forge_all_the_way_up,
        drop_last_entry,
    ],
)
def test_structured_tampering_is_found(tamper: Callable[[MemoryStore], set[str]]) -> None:
    store = MemoryStore()
    store.files = dict(large().files)
    expected = tamper(store)
    report = verify(store, KEY)
    assert not report.ok
    assert blamed(report) == expected


def test_random_tampering_of_a_large_log_is_located() -> None:
    rng = random.Random(7)
    names = sorted(set(large().files) - {"checkpoint"})
    for _ in range(25):
        name = rng.choice(names)
        data = large().files[name]
        at = rng.randrange(len(data))
        report = verify(with_file(large(), name, flipped(data, at, rng.randrange(1, 256))), KEY)
        [problem] = report.problems
        assert problem.startswith(f"{name}: index {entry_index(name, at)}: ")


def test_two_faults_at_once_are_both_said() -> None:
    store = with_file(large(), "tile/0/009", flipped(large().files["tile/0/009"], 40, 1))
    store = with_file(store, "tile/1/000", flipped(large().files["tile/1/000"], 330, 1))
    assert {"tile/0/009", "tile/1/000"} <= blamed(verify(store, KEY))


def test_every_tile_destroyed_is_still_a_verdict() -> None:
    store = MemoryStore()
    store.files = {"checkpoint": large().files["checkpoint"]}
    report = verify(store, KEY)
    assert not report.ok
    assert len(report.problems) > 500


@pytest.mark.parametrize("size", [0, 1, 261, 263, 10**15])
def test_a_checkpoint_signed_over_another_size_or_root_is_found(size: int) -> None:
    """Even by the operator who holds the key."""
    store = small()
    head = Checkpoint(KEY.name, size, bytes(32))
    store.files["checkpoint"] = notes.sign(head.text(), signer())
    assert not verify(store, KEY).ok


def test_another_key_s_checkpoint_and_none_at_all() -> None:
    store = small()
    for wrong in (signer(seed=2).verifier, signer("other.test/log").verifier):
        report = verify(store, wrong)
        assert (report.ok, report.problems) == (False, ("checkpoint: no key we know signed it",))
    assert verify(MemoryStore(), KEY).problems == ("checkpoint: missing",)


def test_former_keys_still_verify() -> None:
    new = signer(seed=2).verifier
    assert verify(small(), [new, KEY]).ok


Tamper = Callable[[list[LoggedEvent]], Iterable[LoggedEvent]]
EVENT_TAMPERINGS: dict[str, tuple[Tamper, str]] = {
    "a body changed": (
        lambda e: [*e[:3], replace(e[3], body=b"{}"), *e[4:]],
        "books: index 3: the event is not the one that was logged",
    ),
    "a salt changed": (
        lambda e: [replace(e[0], salt=b"0" * 32), *e[1:]],
        "books: index 0: the event is not the one that was logged",
    ),
    "an event removed": (
        lambda e: e[:4] + e[6:],
        "books: index 4: no event for the entries up to 5",
    ),
    "the last removed": (lambda e: e[:-1], "books: index 261: no event for the entries up to 261"),
    "all removed": (lambda _: [], "books: index 0: no event for the entries up to 261"),
    "one claimed twice": (
        lambda e: [*e[:5], e[4], *e[5:]],
        "books: index 4: two events claim this entry, or they are out of order",
    ),
    "one beyond the log": (
        lambda e: [*e, replace(e[0], index=262)],
        "books: index 262: the log has no such entry",
    ),
}


@pytest.mark.parametrize("name", EVENT_TAMPERINGS)
def test_events_changed_behind_the_log_are_found(name: str) -> None:
    store = MemoryStore()
    _, outbox = grown(store, 255, 3, 4)
    tamper, problem = EVENT_TAMPERINGS[name]
    report = verify(store, KEY, tamper(list(outbox.events)))
    assert report.problems == (problem,)


def erased(outbox: MemoryOutbox, *indices: int) -> list[LoggedEvent]:
    gone = [replace(e, body=b"", salt=b"") if e.index in indices else e for e in outbox.events]
    return list(gone)


def said(outbox: MemoryOutbox, *indices: int, kind: Kind = Kind.EVENT_ERASED) -> None:
    facts = {"erased": erasure.ranges(indices)}
    outbox.add(AuditEvent(kind, "hub", "log", NOW, facts).canonical(), bytes(32))


def test_an_erased_event_leaves_the_tree_whole_where_an_event_says_so() -> None:
    store = MemoryStore()
    log, outbox = grown(store, 10)
    said(outbox, 0, 1, 2, 5)
    said(outbox, 3)
    log.sequence(NOW)
    assert erasure.ranges([5, 1, 0, 2, 2]) == [[0, 2], [5, 5]]
    assert verify(store, KEY, erased(outbox, 0, 1, 2, 3, 5)).problems == ()


@pytest.mark.parametrize(
    ("indices", "found"),
    [
        ((0, 1, 2, 3), ["3 up to 3"]),
        ((4, 5, 6), ["4 up to 4", "6 up to 6"]),
        ((10,), ["10 up to 10"]),
    ],
)
def test_what_was_emptied_without_a_word_is_found(
    indices: tuple[int, ...], found: list[str]
) -> None:
    store = MemoryStore()
    log, outbox = grown(store, 10)
    said(outbox, 0, 1, 2, 5, 10, 99)  # nor can one erase itself, or what comes after it
    said(outbox, 3, kind=Kind.EVENTS_READ)
    log.sequence(NOW)
    expected = [
        f"books: index {one.split()[0]}: emptied up to {one.split()[3]}, "
        "and no event says it was erased"
        for one in found
    ]
    assert list(verify(store, KEY, erased(outbox, *indices)).problems) == expected


def test_an_erasure_that_was_not_logged_explains_nothing() -> None:
    store = MemoryStore()
    log, outbox = grown(store, 10)
    record(outbox, 1)
    log.sequence(NOW)
    said(outbox, 4)
    outbox.events[10] = replace(outbox.events.pop(), index=10)
    problems = verify(store, KEY, erased(outbox, 4)).problems
    assert "books: index 10: the event is not the one that was logged" in problems


def test_a_remembered_checkpoint_shows_a_rollback_and_a_split_view() -> None:
    store = MemoryStore()
    log, outbox = grown(store, 100)
    remembered = log.checkpoint()
    record(outbox, 200)
    log.sequence(NOW)
    assert verify(store, KEY, remembered=remembered).ok
    rolled_back = MemoryStore()
    grown(rolled_back, 50)
    [problem] = verify(rolled_back, KEY, remembered=remembered).problems
    assert problem == "checkpoint: has 50 entries; there were 100 before"
    split = MemoryStore()
    other, books = grown(split, 0)
    record(books, 300)
    books.events[5] = replace(books.events[5], body=b"another truth")
    Log(split, signer(), books).sequence(NOW)
    assert other.size == 300
    assert verify(split, KEY).ok
    [problem] = verify(split, KEY, remembered=remembered).problems
    assert problem == "checkpoint: the first 100 entries are not those signed before"
    torn = with_file(store, "tile/0/000", None)
    assert blamed(verify(torn, KEY, remembered=remembered)) == {"tile/0/000"}
    [problem] = verify(store, KEY, remembered=remembered[:-1]).problems
    assert problem.startswith("remembered checkpoint: ")


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    verify(small(), KEY, progress=lambda done, size: told.append((done, size)))
    assert told == [(256, 262), (262, 262)]
