"""The log: takes the books' events in order into the tree, and proves what it holds.

Sequencing, and why in this order:

1. read the checkpoint, and the tree's right edge under it; where books and tree disagree because
   a run ended between 4 and 6, finish that run first (*reconcile*);
2. take pending events in the order of the books; their salted hashes are the entries;
3. write tiles and bundles, durable. Nothing points at them yet: a crash here leaves litter that
   a later run overwrites, with the same bytes or more, or drops;
4. replace the checkpoint, where it still is the one we extend: the store compares and replaces it
   in one act (`LogStore.advance`), so that there is exactly one writer, or none. A lease may be
   lost while its holder is suspended; he then finds another checkpoint. From here on the entries
   are in the log;
5. drop the partial tiles that got their full tile: whoever does it late harms nobody;
6. tell the books each event's index. A crash before this is what 1 repairs: an entry of the tree
   that no event owns is matched with its pending event by its value, so nothing is taken twice.

A key that replaces another is announced in the file `keys`, signed by both, before its first
checkpoint; where meanwhile another writer changed either file, it is not.

The books hold every event before the log sees it, so nothing is lost whatever happens here. The
caller holds the log's lease while sequencing; reading needs none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from hub.audit import keys, merkle, notes
from hub.audit.edge import Edge
from hub.audit.entries import entry_of
from hub.audit.notes import Checkpoint, Signer, VerifierKey
from hub.audit.store import LogStore, overtaken
from hub.audit.tiles import CHECKPOINT, KEYS, WIDTH, Tile, Tree
from hub.errors import Conflict, Rejected, Unavailable
from hub.records import LoggedEvent

MAX_BATCH: Final = 4096
"""Most events under one checkpoint: bounds memory, and what a crash can leave to reconcile."""


class Outbox(Protocol):
    """What the log needs of the books."""

    def pending_events(self, limit: int) -> list[LoggedEvent]:
        """Events without an index, in the order of the books, at most `limit`."""
        ...

    def place_events(self, placed: Sequence[tuple[int, int]], /) -> object:
        """Give events, by sequence number, their index in the log: all of them or none."""
        ...

    def event_at(self, index: int, /) -> LoggedEvent | None:
        """The event at an index of the log, None where no event was given it."""
        ...


class MemoryOutbox:
    """The obvious outbox: a list of events. It is the specification of the books'."""

    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []

    def add(self, body: bytes, salt: bytes) -> None:
        """Record one event."""
        self.events.append(LoggedEvent(len(self.events) + 1, body, salt, None))

    def pending_events(self, limit: int) -> list[LoggedEvent]:
        """See `Outbox`."""
        return [event for event in self.events if event.index is None][:limit]

    def place_events(self, placed: Sequence[tuple[int, int]], /) -> None:
        """See `Outbox`."""
        for sequence, index in placed:
            event = self.events[sequence - 1]
            if event.index is not None:
                raise ValueError(f"event {sequence} has its place")
            self.events[sequence - 1] = LoggedEvent(sequence, event.body, event.salt, index)

    def event_at(self, index: int, /) -> LoggedEvent | None:
        """See `Outbox`."""
        return next((event for event in self.events if event.index == index), None)


@dataclass(frozen=True, slots=True)
class _Head:
    """The published state that an append extends: the note as it was read, and the edge.

    `partials` names the partial tiles there are, by level and index of the tile they begin.
    """

    note: bytes | None
    edge: Edge
    partials: Mapping[tuple[int, int], frozenset[str]] = field(default_factory=dict)


class Log:
    """The hub's log over a store; `signer.name` is its origin. Safe to share between threads.

    `signers` are the present key and, until their rotation is announced, former ones, the present
    first. Where they may change, a function gives them, asked anew each time.
    """

    def __init__(
        self,
        store: LogStore,
        signers: Signer | Callable[[], Sequence[Signer]],
        outbox: Outbox,
        batch: int = MAX_BATCH,
    ) -> None:
        if not 0 < batch <= MAX_BATCH:
            raise ValueError(f"a batch is 1 to {MAX_BATCH} events")
        self.store = store
        self._signers = (lambda: [signers]) if isinstance(signers, Signer) else signers
        self.published_at: datetime | None = None
        """When this process last published a checkpoint; the checkpoint itself tells no time."""
        self._outbox = outbox
        self._batch = batch
        self._head: _Head | None = None
        # The lease excludes other processes; two threads of one may share its owner's name.
        self._one_at_a_time = threading.Lock()

    @property
    def signer(self) -> Signer:
        """The key that signs now."""
        return self._signers()[0]

    @property
    def keys(self) -> list[VerifierKey]:
        """Every key of this log, the present first; a former one says up to which size it counts.

        Raises `Unavailable` where the published list is damaged.
        """
        known = [signer.verifier for signer in self._signers()]
        try:
            return keys.follow(self.store.read(KEYS), known)
        except Rejected as error:
            raise _damaged(str(error.facts["reason"]), KEYS) from error

    @property
    def size(self) -> int:
        """Number of entries under the published checkpoint."""
        return self.head().size

    def checkpoint(self) -> bytes:
        """The published signed note. Raises `Unavailable` before the first sequencing."""
        note = self.store.read(CHECKPOINT)
        if note is None:
            raise Unavailable(
                "log-empty",
                fr="Le journal n’a pas encore de point de contrôle ; réessayez plus tard.",
                en="The log has no checkpoint yet; try again later.",
                who="operator",
                where=CHECKPOINT,
            )
        return note

    def head(self) -> Checkpoint:
        """The published checkpoint, its signature verified. Raises `Unavailable`."""
        return self.opened(self.checkpoint())

    def opened(self, note: bytes) -> Checkpoint:
        """A checkpoint of this log, its signature verified. Raises `Unavailable`."""
        try:
            return notes.open_checkpoint(note, self.signer.name, self.keys)
        except Rejected as error:
            raise _damaged(str(error.facts["reason"]), CHECKPOINT) from error

    def inclusion(self, index: int) -> list[bytes]:
        """Proof that entry `index` is under the published checkpoint, leaf's sibling first."""
        return Tree(self.store, self.size).inclusion(index)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Proof that the tree of `new` entries (default: all) extends the one of `old`.

        Raises `Rejected` unless 0 < old ≤ new ≤ size.
        """
        size = self.size
        if new is not None and new > size:
            raise merkle.no_such_proof(f"size {new}", size)
        return Tree(self.store, size if new is None else new).consistency(old)

    def sequence(self, now: datetime) -> int:
        """Take every event pending now into the tree; gives how many events got an index.

        Raises `Conflict` where tree and books contradict each other, `Unavailable` where the store
        does not answer or another writer was quicker; both leave the log as it was published.
        """
        with self._one_at_a_time:
            # Forgotten unless all goes well: after any failure the store is asked again.
            head, self._head = self._head, None
            placed = 0
            if head is None or self.store.read(CHECKPOINT) != head.note:
                head = self._load(littered=head is None)
                placed += self._reconcile(head.edge)
            if head.note is None or self._rotated(head.note):
                head = self._publish(head, [])
                self.published_at = now
            more = True
            while more:
                before, limit = head.edge.size, self._next(head.edge.size)
                events = self._outbox.pending_events(limit)
                if events:
                    head = self._publish(head, [entry_of(event) for event in events])
                    self.published_at = now
                    self._outbox.place_events(
                        [(event.sequence, before + n) for n, event in enumerate(events)]
                    )
                    placed += len(events)
                # What comes meanwhile is for the next turn: else one turn might never end.
                more = len(events) == limit
            self.store.catch_up()
            self._head = head
            return placed

    def _next(self, size: int) -> int:
        """How many events to take: to the end of a tile, where there are that many.

        Else each batch of a backlog would write partial tiles that the next tidies away.
        """
        beyond = (size + self._batch) % WIDTH
        return self._batch - beyond if beyond < self._batch else self._batch

    def _rotated(self, note: bytes) -> bool:
        """Whether another key than the present one signed the head."""
        signer, *former = self._signers()
        return bool(former) and signer.verifier not in notes.verify(note, self.keys).signed_by

    def _load(self, *, littered: bool) -> _Head:
        """The head as it is published; `littered` after a failure, ours or of who was before us."""
        note = self.store.read(CHECKPOINT)
        edge = Edge()
        if note is not None:
            checkpoint = self.opened(note)
            edge = Edge.load(self.store, checkpoint.size)
            if edge.root() != checkpoint.root:
                raise _damaged("its right edge does not lead to the signed root", "tile/")
        ahead = MAX_BATCH // WIDTH + 2 if littered else 1
        partials = {
            (tile.level, index): frozenset(
                self.store.names(Tile(tile.level, index).full_name + ".p")
            )
            for tile in edge.tiles()
            for index in range(tile.index, tile.index + ahead)
        }
        return _Head(note, edge, partials)

    def _publish(self, head: _Head, entries: Sequence[bytes]) -> _Head:
        signer = self._heir(head)
        edge, files = head.edge.append(entries)
        note = notes.sign(Checkpoint(signer.name, edge.size, edge.root()).text(), signer)
        partials, gone = _partials(head.partials, edge)
        present = {tile.name for tile in edge.tiles()}
        outgrown = {tile.name for tile in head.edge.tiles() if tile.width} - present - set(gone)
        if not self.store.advance(files, note, head.note, gone, outgrown):
            raise overtaken()
        return _Head(note, edge, partials)

    def _heir(self, head: _Head) -> Signer:
        """The key that signs next; where another signed last, the change is announced first."""
        signer, *former = self._signers()
        if head.note is None or not former:
            return signer
        last = notes.verify(head.note, self.keys)
        old = next((one for one in former if one.verifier in last.signed_by), None)
        if signer.verifier in last.signed_by or old is None:
            return signer
        published = self.store.read(KEYS)
        note = keys.announce(old, signer, head.edge.size)
        known = published is not None and published.endswith(note)
        joined = keys.join(published, note)
        if not known and not self.store.announce(joined, published, head.note):
            raise overtaken()
        return signer

    def _reconcile(self, edge: Edge) -> int:
        """Give the indices that a crash kept from the books. Raises `Conflict` where it cannot."""
        if self._outbox.event_at(edge.size) is not None:
            raise _divided(
                "log-behind-books",
                f"les livres connaissent une entrée {edge.size} que le journal n’a pas",
                f"the books know an entry {edge.size} that the log does not have",
            )
        start = edge.size
        while start and self._outbox.event_at(start - 1) is None:
            start -= 1
            if edge.size - start > MAX_BATCH:
                break
        if start == edge.size:
            return 0
        tree = Tree(self.store, edge.size)
        wanted = {
            entry: first * WIDTH + n
            for first in range(start // WIDTH, (edge.size - 1) // WIDTH + 1)
            for n, entry in enumerate(tree.entries(first))
            if first * WIDTH + n >= start
        }
        found = self._match(wanted)
        if len(found) != edge.size - start:
            if self._outbox.event_at(edge.size - 1) is not None:
                return 0  # its writer was only slow: the books know its places since
            raise _divided(
                "log-ahead-of-books",
                f"le journal a, à partir de {start}, des entrées que les livres n’ont pas",
                f"the log has, from {start} on, entries that the books do not have",
            )
        self._outbox.place_events(sorted(found, key=lambda place: place[1]))
        return len(found)

    def _match(self, wanted: dict[bytes, int]) -> list[tuple[int, int]]:
        """Pending events whose entry is wanted, with the index it has.

        By value, not by order: two transactions may commit in another order than they began.
        """
        limit = 2 * len(wanted)
        while True:
            pending = self._outbox.pending_events(limit)
            matches = ((event.sequence, wanted.get(entry_of(event))) for event in pending)
            found = [(sequence, index) for sequence, index in matches if index is not None]
            if len(found) == len(wanted) or len(pending) < limit:
                return found
            limit *= 4


def _partials(
    before: Mapping[tuple[int, int], frozenset[str]], edge: Edge
) -> tuple[dict[tuple[int, int], frozenset[str]], list[str]]:
    """The partial tiles there are with a new edge, and those that got their full tile.

    Of the latter alone nobody needs any: old checkpoints use the full one. A partial tile wider
    than its edge may be litter, and may be what another writer published while we were suspended.
    """
    now, gone = dict(before), list[str]()
    for tile in edge.tiles():
        place = (tile.level, tile.index)
        if tile.width:
            now[place] = now.get(place, frozenset()) | {tile.name}
    for level, index in before:
        if Tile.of(level, index, edge.size).width == WIDTH:
            gone += sorted(now.pop((level, index)))
    return now, gone


def _damaged(reason: str, where: str) -> Unavailable:
    return Unavailable(
        "log-damaged",
        fr=f"Le journal est endommagé en {where} ({reason}) : lancez « hub audit verify ».",
        en=f"The log is damaged at {where} ({reason}): run `hub audit verify`.",
        who="operator",
        where=where,
    )


def _divided(code: str, fr: str, en: str) -> Conflict:
    return Conflict(
        code,
        fr=f"Livres et journal se contredisent : {fr}. Une sauvegarde partielle a pu être remise.",
        en=f"Books and log contradict each other: {en}. A partial backup may have been restored.",
        who="operator",
    )
