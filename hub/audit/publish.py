"""The public log: what anyone may read, brought up to date on a fixed schedule.

The hub's own head moves with every event; whoever watched it move would learn when pushes end and
people withdraw. So the public has a copy of its own, a folder any web server can host, that moves
only at fixed moments of the clock (multiples of the period since 1970). At such a moment the copy
is brought to the hub's head *and its checkpoint is written anew even where nothing happened*: the
same bytes then, because a checkpoint says nothing but size and root. Files, their dates and their
contents thus tell how much happened in a period, never when in it.

Tiles first, the checkpoint last: a copy that is cut short leaves the public log as it was. The
copy never goes back; a smaller head than the one published is a rollback, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from hub.audit import notes, tiles
from hub.audit.log import Log
from hub.audit.notes import Checkpoint, Note, VerifierKey
from hub.audit.store import LogStore, overtaken
from hub.audit.tiles import CHECKPOINT, ENTRIES, KEYS, WIDTH, WITNESSED, Tile, Tree
from hub.errors import Conflict, Rejected, Unavailable

AT_ONCE: Final = 64
"""Files written together: bounds the memory of a first publication."""


def next_moment(now: datetime, period: timedelta) -> datetime:
    """The first moment of the schedule after `now`: the same for every process, from the clock."""
    since = now - notes.EPOCH
    return notes.EPOCH + (since // period + 1) * period


class Publisher:
    """Copies a log to its public store. The caller holds the lease "publication"."""

    def __init__(self, log: Log, public: LogStore, witnesses: Sequence[VerifierKey] = ()) -> None:
        self._log = log
        self.public = public
        self.witnesses = tuple(witnesses)

    def checkpoint(self) -> bytes:
        """The public checkpoint, cosigned where witnesses saw it. Raises `Unavailable`."""
        note = self.public.read(CHECKPOINT)
        if note is None:
            raise Unavailable(
                "log-not-published",
                fr="Le journal n’est pas encore publié ; il le sera à la prochaine échéance.",
                en="The log is not published yet; it will be at the next moment of the schedule.",
                who="operator",
                where=CHECKPOINT,
            )
        return note

    def publish(self) -> Checkpoint:
        """Bring the public copy to the log's head. Raises `Conflict` where that goes back.

        `Unavailable` where another publisher did so meanwhile.
        """
        note = self._log.checkpoint()
        head = self._log.opened(note)
        published = self.public.read(CHECKPOINT)
        before = None if published is None else self._log.opened(published)
        if before is not None:
            self._check_extends(before, head)
        keys, known = self._log.store.read(KEYS), self.public.read(KEYS)
        if keys is not None and keys != known and not self.public.announce(keys, known, published):
            raise overtaken()
        self._copy(0 if before is None else before.size, head.size)
        seen = self.public.read(WITNESSED)
        if seen is not None and notes.text_of(seen) == notes.text_of(note):
            note = seen
        self._replace(published, note)
        return head

    def accept(self, note: bytes) -> Checkpoint:
        """Take a witness's cosignature in. Raises `Rejected` where it is none we asked for.

        `note` is one of our public checkpoints with the witness's line; our own line is kept as
        we signed it. A cosignature of an older checkpoint than one we have is `Conflict`.
        """
        keys = self._log.keys
        head = notes.open_checkpoint(note, self._log.signer.name, keys)
        cosigned = notes.verify(note, self.witnesses)
        public = self._log.opened(self.checkpoint())
        if (
            head.size > public.size
            or Tree(self.public, public.size).root_at(head.size) != head.root
        ):
            raise _not_ours()
        seen = self.public.read(WITNESSED)
        lines = [*notes.verify(note, keys).lines, *self._latest(cosigned, seen, head)]
        whole = f"{cosigned.text}\n{''.join(lines)}".encode()
        self.public.write({WITNESSED: whole})
        published = self.checkpoint()
        if notes.text_of(published) == cosigned.text:
            self._replace(published, whole)
        return head

    def _replace(self, published: bytes | None, note: bytes) -> None:
        """Publish a checkpoint over the one that was seen, whoever had the lease meanwhile."""
        if not self.public.advance({}, note, published):
            raise overtaken()

    def _latest(self, cosigned: Note, seen: bytes | None, head: Checkpoint) -> list[str]:
        """One line of each witness that saw this checkpoint, its latest."""
        known = [cosigned]
        if seen is not None:
            last = notes.verify(seen, self._log.keys)
            size = Checkpoint.parse(last.text).size
            if head.size < size:
                raise Conflict(
                    "checkpoint-old",
                    fr=f"Un point de contrôle plus récent est déjà contresigné ({size}).",
                    en=f"A newer checkpoint is cosigned already ({size}).",
                    who="operator",
                    facts={"size": size},
                )
            if last.text == cosigned.text:
                known.append(notes.verify(seen, [*self._log.keys, *self.witnesses]))
        lines = []
        for witness in self.witnesses:
            theirs = [(at, line) for note in known for at, line in note.cosigned(witness)]
            if theirs:
                lines.append(max(theirs)[1])
        return lines

    def _check_extends(self, before: Checkpoint, head: Checkpoint) -> None:
        same = (
            head.size >= before.size
            and Tree(self._log.store, head.size).root_at(before.size) == before.root
        )
        if not same:
            raise Conflict(
                "log-behind-public",
                fr=f"Le journal ne prolonge pas ce qui est publié ({before.size} entrées).",
                en=f"The log does not extend what is published ({before.size} entries).",
                who="operator",
                where=CHECKPOINT,
            )

    def _copy(self, old: int, new: int) -> None:
        """Copy the tiles in which a tree of `new` entries differs from one of `old`."""
        batch: dict[str, bytes] = {}
        filled: list[Tile] = []
        for tile in changed(old, new):
            data = tiles.read(self._log.store, tile)
            if data is None:
                raise Unavailable(
                    "log-damaged",
                    fr=f"Le fichier {tile.name} du journal manque : lancez « hub audit verify ».",
                    en=f"The log's file {tile.name} is missing: run `hub audit verify`.",
                    who="operator",
                    where=tile.name,
                )
            batch[tile.name] = data
            if tile.width == WIDTH:
                filled.append(tile)
            if len(batch) == AT_ONCE:
                self.public.write(batch)
                batch = {}
        if batch:
            self.public.write(batch)
        for tile in filled:
            for name in list(self.public.names(tile.full_name + ".p")):
                self.public.drop(name)


def changed(old: int, new: int, lowest: int = ENTRIES) -> Iterator[Tile]:
    """The tiles (and from level `ENTRIES` the bundles) that a tree gets by growing."""
    for level in range(lowest, max(new.bit_length(), 1)):
        step = WIDTH << 8 * max(level, 0)
        for index in range(old // step, new // step + 1):
            tile = Tile.of(level, index, new)
            if tile.width > Tile.of(level, index, old).width:
                yield tile


def _not_ours() -> Rejected:
    return Rejected(
        "checkpoint-unknown",
        fr="Ce point de contrôle n’est pas l’un des nôtres.",
        en="This checkpoint is none of ours.",
        who="operator",
    )
