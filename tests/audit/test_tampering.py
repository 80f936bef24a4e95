"""A dishonest operator with time: every byte of a small log, and thousands of forgeries of a large.

Files and books are tampered with apart, and what changes the files must be found from the files
alone. Only a forger who holds the log's own key needs a client that remembers: `MEMORY`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import pytest

from hub.audit import merkle, notes, tiles
from hub.audit.log import Log, MemoryOutbox
from hub.audit.notes import Checkpoint
from hub.audit.store import MemoryStore
from hub.audit.tiles import CHECKPOINT, ENTRIES, WIDTH, Tile
from hub.audit.verify import verify
from hub.records import LoggedEvent
from tests.audit.helpers import NOW, record, signer
from tests.thorough import THOROUGH

KEY = signer().verifier
BATCHES = (700, 1500, 1300, 500, 3)
DEEP = (65_536, 700)
SHARES = 8
"""Parts of the random suite, for the processes that run tests."""
EACH = 1150 if THOROUGH else 20
EACH_DEEP = 100 if THOROUGH else 3


@dataclass
class World:
    """A log, its books, the checkpoints it had, and another log under the same key."""

    files: dict[str, bytes]
    events: list[LoggedEvent]
    checkpoints: tuple[bytes, ...]
    other: dict[str, bytes]

    def copy(self) -> "World":
        return replace(self, files=dict(self.files), events=list(self.events))

    @property
    def head(self) -> Checkpoint:
        return notes.open_checkpoint(self.checkpoints[-1], KEY.name, [KEY])

    def found(self, books: bool = False, memory: bool = False) -> bool:
        store = MemoryStore()
        store.files = self.files
        events = self.events if books else None
        remembered = self.checkpoints[-1] if memory else None
        return not verify(store, KEY, events, remembered=remembered).ok


def history(batches: tuple[int, ...], first: bytes = b"") -> World:
    store, outbox = MemoryStore(), _outbox(first)
    log = Log(store, signer(), outbox)
    checkpoints: list[bytes] = []
    for count in batches:
        record(outbox, count - (len(outbox.events) if not checkpoints else 0))
        log.sequence(NOW)
        checkpoints.append(log.checkpoint())
    return World(dict(store.files), list(outbox.events), tuple(checkpoints), {})


@cache
def world(batches: tuple[int, ...]) -> World:
    return replace(history(batches), other=history(batches, b"another truth").files)


def _outbox(first: bytes) -> MemoryOutbox:
    """Books that begin with an event of their own, unless it is empty."""
    outbox = MemoryOutbox()
    if first:
        outbox.add(first, bytes(32))
    return outbox


def _tile(name: str) -> Tile:
    tile = Tile.parse(name)
    assert tile is not None
    return tile


def with_part(event: LoggedEvent, part: str, data: bytes) -> LoggedEvent:
    return replace(event, body=data) if part == "body" else replace(event, salt=data)


def same_but(data: bytes, at: int, by: int) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


# Every byte of a small one.


def changes(whole: bool) -> range:
    return range(1, 256) if whole else range(0x55, 0x56)


@pytest.mark.parametrize("name", sorted(history((3, 2)).files))
def test_every_byte_of_every_file_is_guarded(name: str) -> None:
    small = world((3, 2))
    for at in range(len(small.files[name])):
        for by in changes(THOROUGH):
            tampered = small.copy()
            tampered.files[name] = same_but(small.files[name], at, by)
            assert tampered.found(), (at, by)


@pytest.mark.parametrize("part", ["body", "salt"])
def test_every_byte_of_the_books_is_guarded(part: str) -> None:
    small = world((3, 2)) if THOROUGH else world((40, 30))
    for n, event in enumerate(small.events):
        data = getattr(event, part)
        for at in range(len(data)):
            for by in changes(THOROUGH):
                tampered = small.copy()
                tampered.events[n] = with_part(event, part, same_but(data, at, by))
                assert tampered.found(books=True), (n, at, by)
        for cut in (data[:-1], data + b"\x00", b""):
            tampered = small.copy()
            tampered.events[n] = with_part(event, part, cut)
            assert tampered.found(books=True), (n, cut)


# Forgeries of a large one, in the files.

Forgery = Callable[[random.Random, World], None]


def needed(world: World) -> list[str]:
    """Files that the present tree needs: partial tiles of older checkpoints may be gone."""
    size = world.head.size
    kept = [name for name in sorted(world.files) if name != CHECKPOINT]
    return [name for name in kept if (t := _tile(name)) == Tile.of(t.level, t.index, size)]


def any_file(rng: random.Random, world: World) -> str:
    return rng.choice(sorted(world.files))


def flip(rng: random.Random, world: World) -> None:
    name = any_file(rng, world)
    for _ in range(rng.randrange(1, 4)):
        data = world.files[name]
        world.files[name] = same_but(data, rng.randrange(len(data)), rng.randrange(1, 256))


def truncate(rng: random.Random, world: World) -> None:
    name = any_file(rng, world)
    world.files[name] = world.files[name][: rng.randrange(len(world.files[name]))]


def lengthen(rng: random.Random, world: World) -> None:
    name = any_file(rng, world)
    data = world.files[name]
    world.files[name] += rng.choice([b"\x00", rng.randbytes(32), data[:34], data[-34:], data])


def delete(rng: random.Random, world: World) -> None:
    del world.files[rng.choice([*needed(world), CHECKPOINT])]


def swap(rng: random.Random, world: World) -> None:
    one, other = rng.sample(needed(world), 2)
    world.files[one], world.files[other] = world.files[other], world.files[one]


def copy_over(rng: random.Random, world: World) -> None:
    source, target = rng.sample(sorted(world.files), 2)
    world.files[target] = world.files[source]


def make_partial(rng: random.Random, world: World) -> None:
    """A full tile is there only as a partial one."""
    name = rng.choice([name for name in needed(world) if _tile(name).width == WIDTH])
    width = rng.randrange(1, WIDTH)
    data = world.files.pop(name)
    world.files[f"{name}.p/{width}"] = data[: len(data) * width // WIDTH]


def splice(rng: random.Random, world: World) -> None:
    """Tiles of another log of ours, one to all, under this one's checkpoint."""
    names = needed(world)
    for name in rng.sample(names, rng.choice([1, 2, rng.randrange(1, len(names)), len(names)])):
        world.files[name] = world.other[name]


def edit_bundle(rng: random.Random, world: World) -> None:
    """Entries changed, swapped, dropped, repeated or cut elsewhere; maybe their tiles too."""
    name = rng.choice([name for name in needed(world) if _tile(name).level == ENTRIES])
    entries = tiles.unpack(world.files[name])
    at = rng.randrange(len(entries))
    to = rng.choice([n for n in range(len(entries)) if n != at])
    how = rng.randrange(5)
    if how == 0:
        entries[at] = rng.randbytes(32)
    elif how == 1:
        entries[at], entries[to] = entries[to], entries[at]
    elif how == 2:
        del entries[at]
    elif how == 3:
        entries.insert(to, entries[at])
    else:
        both = b"".join(entries[at : at + 2])
        cut = rng.choice([n for n in range(len(both)) if n != len(entries[at])])
        entries[at : at + 2] = [both[:cut], both[cut:]]
    world.files[name] = tiles.pack(entries)
    hashes = b"".join(map(merkle.leaf_hash, entries))
    for level in range(rng.randrange(4)):
        tile = _tile(name)
        index = tile.index >> 8 * level
        above = Tile.of(level, index, world.head.size)
        if above.name not in world.files:
            return
        if level:
            held = bytearray(world.files[above.name])
            place = (tile.index >> 8 * (level - 1)) % WIDTH * 32
            if place >= len(held):
                return
            held[place : place + 32] = merkle.perfect_root(hashes)
            hashes = bytes(held)
        world.files[above.name] = hashes
        if len(hashes) != WIDTH * 32:
            return


def edit_hashes(rng: random.Random, world: World) -> None:
    """Hashes of a tile swapped, turned round or doubled."""
    name = rng.choice(
        [n for n in needed(world) if _tile(n).level != ENTRIES and _tile(n).width > 1]
    )
    data = world.files[name]
    hashes = [data[at : at + 32] for at in range(0, len(data), 32)]
    one, other = rng.sample(range(len(hashes)), 2)
    how = rng.randrange(3)
    if how == 0:
        hashes[one], hashes[other] = hashes[other], hashes[one]
    elif how == 1:
        turn = rng.randrange(1, len(hashes))
        hashes = hashes[turn:] + hashes[:turn]
    else:
        hashes[one] = hashes[other]
    world.files[name] = b"".join(hashes)


def sign_with_another(rng: random.Random, world: World) -> None:
    """Another key, or another log's name; over this tree or over one rewritten for it."""
    name, seed = rng.choice([(KEY.name, 2), ("hub.test/other", 1), ("hub.test/other", 2)])
    if rng.random() < 0.5:
        world.files = dict(world.other)
    held = world.files[CHECKPOINT].decode().split("\n")
    head = Checkpoint.parse("\n".join(held[:3]) + "\n")
    text = replace(head, origin=rng.choice([KEY.name, name])).text()
    world.files[CHECKPOINT] = notes.sign(text, signer(name, seed))


def sign_another_size(rng: random.Random, world: World) -> None:
    """Our own key over a size the root is not of."""
    head = world.head
    size = max(0, head.size + rng.choice([-1, 1]) * rng.randrange(1, 600))
    root = rng.choice([head.root, rng.randbytes(32)])
    if size == head.size:
        size += 1
    world.files[CHECKPOINT] = notes.sign(Checkpoint(KEY.name, size, root).text(), signer())


def move_signature(rng: random.Random, world: World) -> None:
    """An old checkpoint's signature under the present text, or the other way round."""
    old = rng.choice(world.checkpoints[:-1]).partition(b"\n\n")
    new = world.checkpoints[-1].partition(b"\n\n")
    text, signature = rng.choice([(old[0], new[2]), (new[0], old[2])])
    world.files[CHECKPOINT] = text + b"\n\n" + signature


def roll_back(rng: random.Random, world: World) -> None:
    """An old checkpoint replayed: all is well, but for who remembers the newer one."""
    world.files[CHECKPOINT] = rng.choice(world.checkpoints[:-1])


def rewrite(rng: random.Random, world: World) -> None:
    """The whole history anew, one event another, signed with our own key."""
    store, outbox = MemoryStore(), _outbox(rng.randbytes(8))
    log = Log(store, signer(), outbox)
    record(outbox, world.head.size - 1 + rng.choice([0, 0, 5]))
    log.sequence(NOW)
    world.files = store.files


IN_FILES: tuple[Forgery, ...] = (
    flip,
    truncate,
    lengthen,
    delete,
    swap,
    copy_over,
    make_partial,
    splice,
    edit_bundle,
    edit_hashes,
    sign_with_another,
    sign_another_size,
    move_signature,
)
MEMORY: tuple[Forgery, ...] = (roll_back, rewrite)


# Forgeries of a large one, in the books.


def an_event(rng: random.Random, world: World) -> int:
    return rng.randrange(len(world.events))


def change_event(rng: random.Random, world: World) -> None:
    n = an_event(rng, world)
    event = world.events[n]
    part = rng.choice(["body", "salt"])
    data = getattr(event, part)
    changed = same_but(data, rng.randrange(len(data)), rng.randrange(1, 256))
    forged = rng.choice([changed, data[:-1], data + b" ", rng.randbytes(32)])
    world.events[n] = with_part(event, part, forged)


def exchange(rng: random.Random, world: World) -> None:
    """Two events trade bodies, salts, or both."""
    a, b = rng.sample(range(len(world.events)), 2)
    one, other = world.events[a], world.events[b]
    for part in rng.choice([("body",), ("salt",), ("body", "salt")]):
        mine, theirs = getattr(one, part), getattr(other, part)
        world.events[a] = with_part(world.events[a], part, theirs)
        world.events[b] = with_part(world.events[b], part, mine)


def remove(rng: random.Random, world: World) -> None:
    n = an_event(rng, world)
    del world.events[n : n + rng.choice([1, 1, 50, len(world.events)])]


def repeat(rng: random.Random, world: World) -> None:
    world.events.insert(an_event(rng, world), world.events[an_event(rng, world)])


def invent(rng: random.Random, world: World) -> None:
    """An event the log never saw, in another's place or beyond the end."""
    n = an_event(rng, world)
    forged = LoggedEvent(10**6, b'{"n":0}', rng.randbytes(32), rng.choice([n, world.head.size]))
    if forged.index == n:
        world.events[n] = forged
    else:
        world.events.append(forged)


def shift(rng: random.Random, world: World) -> None:
    """A run of events claims the next place, or none."""
    first = an_event(rng, world)
    last = min(len(world.events), first + rng.choice([1, 10, len(world.events)]))
    nowhere = rng.random() < 0.3
    for n in range(first, last):
        world.events[n] = replace(world.events[n], index=None if nowhere else n + 1)


IN_BOOKS: tuple[Forgery, ...] = (change_event, exchange, remove, repeat, invent, shift)


def forged(rng: random.Random, original: World, forgeries: tuple[Forgery, ...]) -> World:
    """The world after one forgery, sometimes two, that changed anything at all."""
    tampered = original.copy()
    while (tampered.files, tampered.events) == (original.files, original.events):
        rng.choice(forgeries)(rng, tampered)
    return tampered


def test_the_honest_world_verifies() -> None:
    for batches in (BATCHES, DEEP, (3, 2), (40, 30)):
        honest = world(batches)
        assert not honest.found(books=True, memory=True)


@pytest.mark.parametrize("share", range(SHARES))
def test_random_forgeries_of_a_large_log_are_found(share: int) -> None:
    rng = random.Random(share)
    for n in range(EACH):
        state = rng.getstate()
        where = rng.random()
        if where < 0.7:
            found = forged(rng, world(BATCHES), IN_FILES).found()
        elif where < 0.75:
            found = forged(rng, world(BATCHES), MEMORY).found(memory=True)
        else:
            found = forged(rng, world(BATCHES), IN_BOOKS).found(books=True)
        assert found, (share, n, where, hash(state))


@pytest.mark.parametrize("share", range(SHARES))
def test_random_forgeries_of_a_log_of_three_levels_are_found(share: int) -> None:
    rng = random.Random(100 + share)
    for n in range(EACH_DEEP):
        assert forged(rng, world(DEEP), IN_FILES).found(), (share, n)


@pytest.mark.parametrize("forgery", [*IN_FILES, *MEMORY, *IN_BOOKS], ids=lambda f: f.__name__)
def test_each_kind_of_forgery_is_found(forgery: Forgery) -> None:
    for seed in range(6):
        tampered = forged(random.Random(seed), world(BATCHES), (forgery,))
        assert tampered.found(books=forgery in IN_BOOKS, memory=forgery in MEMORY), seed


def test_a_forger_with_the_key_is_found_only_by_who_remembers() -> None:
    """Why witnesses are needed: nothing inside a wholly rewritten log betrays it."""
    for forgery in MEMORY:
        tampered = forged(random.Random(1), world(BATCHES), (forgery,))
        assert not tampered.found()
        assert tampered.found(memory=True)
