"""Reconcile: whether what the hub holds agrees with what its log says happened.

1. The log itself: signature, tiles, and every event's body and salt against its entry.
2. The books: every row of every audited table against the event that wrote it last, which holds a
   mark of what it wrote (`hub.storage.books.records`).
3. Quarantine: rows set aside against the counts of their pushes and of the events that dropped
   some. The vault: a sealed file for each acknowledged push, with the bytes acknowledged, and no
   other. Jobs: whatever was promised is still promised.
4. The tables: each commit's event holds version, rows and the table's digest before and after it,
   so that the commits of a table form a chain that ends in what the table is now.
5. The releases: the bytes of every format and the manifest against what was published, and the
   contributors against what was declared.

It only reads, and finds rather than raises: a part that cannot be read is a finding. What is under
way (a push accepted, a withdrawal not complete) is no finding; run again when it is done.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from hub import contributors, push, release
from hub.audit.verify import verify
from hub.errors import HubError
from hub.events import Kind
from hub.parts import Parts
from hub.records import LoggedEvent, PushState, Upload
from hub.storage.books import AUDITED, PASSING
from hub.storage.states import fingerprint, state

PAGE: Final = 500
ARRIVING: Final = timedelta(hours=1)
"""A sealed file younger than this may be one that is still coming in."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: in which table or part, about which record, and what."""

    table: str
    id: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.id}: {self.what}"


@dataclass(slots=True)
class Report:
    """What was looked at, by part, and what was found."""

    checked: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.problems

    def say(self, table: str, name: object, what: str) -> None:
        """Note a finding."""
        self.problems.append(Problem(table, str(name), what))

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "ok": self.ok,
            "checked": dict(self.checked),
            "problems": [asdict(problem) for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class _Commit:
    """One commit of a table as its event tells it."""

    event: int
    about: str
    version: int
    rows: int
    before: str | None
    after: str | None

    @property
    def made_it(self) -> bool:
        """Whether it may have made its version, rather than found it and left it as it was.

        A push without rows may be told before the one that made the version, where a crash cut
        that one off between its commit and its event.
        """
        return self.before is None or self.before != self.after


@dataclass(slots=True)
class _Told:
    """What the events tell: per record the last event and its mark, commits, rows dropped."""

    marks: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    commits: dict[str, list[_Commit]] = field(default_factory=lambda: defaultdict(list))
    dropped: int = 0
    dropped_of: set[str] = field(default_factory=set)
    erased: set[int] = field(default_factory=set)
    """Events of which nothing is left to hear; whether rightly so, the log's own check says."""

    def hear(self, event: LoggedEvent) -> None:
        """Take in one event, in order."""
        if not event.body and not event.salt:
            self.erased.add(event.sequence)
            return
        body = msgspec.json.decode(event.body)
        facts = body["facts"]
        for table, records in facts.get("records", {}).items():
            for name, mark in records.items():
                self.marks[table, name] = (event.sequence, mark)
        for table, made in facts.get("commits", {}).items():
            self.commits[table].append(_Commit(event.sequence, body["about"], **made))
        if body["kind"] in (Kind.QUARANTINE_DROPPED, Kind.QUARANTINE_REPLAYED):
            self.dropped += facts["rows"]
            self.dropped_of.add(body["about"])


def reconcile(parts: Parts, progress: Callable[[str], None] = lambda _part: None) -> Report:
    """Compare everything the hub holds with its log. `progress` is told each part it begins."""
    report = Report()
    told = _Told()
    steps: dict[str, Callable[[], None]] = {
        "log": lambda: _log(parts, report, told),
        "books": lambda: _books(parts, report, told),
        "quarantine": lambda: _quarantine(parts, report, told),
        "vault": lambda: _vault(parts, report),
        "jobs": lambda: _jobs(parts, report),
        "tables": lambda: _tables(parts, report, told),
        "releases": lambda: _releases(parts, report),
    }
    for name, step in steps.items():
        progress(name)
        try:
            step()
        except HubError as error:
            report.say(name, error.where or "", f"cannot be read ({error.code})")
    return report


def _events(parts: Parts) -> Iterator[LoggedEvent]:
    after = 0
    while page := parts.books.events(after=after, limit=PAGE):
        yield from page
        after = page[-1].sequence


def _log(parts: Parts, report: Report, told: _Told) -> None:
    def placed() -> Iterator[LoggedEvent]:
        waiting: list[int] = []
        for event in _events(parts):
            report.checked["events"] += 1
            try:
                told.hear(event)
            except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
                report.say("events", event.sequence, "its body is not an event")
            if event.index is None:
                waiting.append(event.sequence)
                continue
            for passed_over in waiting:
                report.say("events", passed_over, "is not in the log, and later ones are")
            waiting.clear()
            yield event

    checked = verify(parts.log.store, parts.log.keys, placed())
    report.checked["entries"] = checked.size
    for problem in checked.problems:
        where, _, what = problem.partition(": ")
        report.say("log", where, what or problem)


def _books(parts: Parts, report: Report, told: _Told) -> None:
    for table in AUDITED:
        seen: set[str] = set()
        for row in parts.books.marks(table):
            report.checked[table] += 1
            seen.add(row.id)
            event, mark = told.marks.get((table, row.id), (None, ""))
            if event is None and row.event in told.erased:
                continue  # its event is too old to be read: nobody can say any more
            if event is None:
                report.say(table, row.id, "no event tells of it: added behind the hub's back")
            elif (row.event, row.mark) != (event, mark):
                report.say(table, row.id, f"is not what event {event} wrote: changed since")
        if table in PASSING:
            continue
        for (owner, name), (event, _) in told.marks.items():
            if owner == table and name not in seen:
                report.say(table, name, f"event {event} wrote it and it is gone")


def _quarantine(parts: Parts, report: Report, told: _Told) -> None:
    """By push and reason; rows dropped for a person are known by their number only."""
    present = parts.books.set_aside_counts()
    expected: dict[tuple[str, str], int] = {}
    for made in parts.books.pushes(limit=1_000_000):
        if made.state is PushState.STORED:
            expected |= {(made.id, code): count for code, count in made.reasons.items()}
    missing = sum(expected.values()) - sum(present.values())
    report.checked["quarantine"] = sum(present.values())
    for (owner, code), count in present.items():
        if count > expected.get((owner, code), 0):
            more = count - expected.get((owner, code), 0)
            report.say("quarantine", owner, f"{more} rows too many of reason {code}")
    if missing < told.dropped or (missing != told.dropped and not told.erased):
        short = sorted({o for (o, c), n in expected.items() if present.get((o, c), 0) < n})
        suspects = [name for name in short if name not in told.dropped_of] or short
        for name in suspects or ["*"]:
            report.say(
                "quarantine", name, f"rows gone: {missing} in all, events tell of {told.dropped}"
            )


def _vault(parts: Parts, report: Report) -> None:
    waiting = {push.sealed_name(made.id): made for made in parts.books.pending_pushes()}
    # Pieces of files still coming in: nothing was acknowledged of them.
    present = set(parts.vault.names()) - set(parts.books.segments())
    for name in sorted(present - set(waiting)):
        stamp = name.rpartition("/")[2].split("-")[0]
        try:
            came = datetime.strptime(f"{stamp}+0000", "%Y%m%dT%H%M%S%z")
        except ValueError:
            report.say("vault", name, "no push has a file of this name")
            continue
        if parts.clock() - came > ARRIVING:
            report.say("vault", name, "no push waits for it")
    for name, made in waiting.items():
        report.checked["vault"] += 1
        if name not in present:
            report.say("vault", name, f"push {made.id} is acknowledged and its file is gone")
            continue
        try:
            with parts.vault.open(name) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        except HubError as error:
            report.say("vault", name, f"cannot be opened ({error.code})")
            continue
        if digest != made.file_sha256:
            report.say("vault", name, f"is not the file push {made.id} acknowledged")


def whole(upload: Upload) -> bool:
    """Whether an upload has come in whole and has not become anything yet."""
    return (upload.offset, upload.push, upload.problem) == (upload.length, None, None)


def _jobs(parts: Parts, report: Report) -> None:
    promised = parts.books.promised()
    due = [("push", made.id) for made in parts.books.pending_pushes()]
    due += [("upload", u.id) for u in parts.books.uploads() if whole(u)]
    due += [
        ("withdrawal", made.id)
        for made in parts.books.withdrawals(limit=1_000_000)
        if made.completed_at is None
    ]
    report.checked["jobs"] = len(due)
    for kind, about in due:
        if (kind, about) not in promised:
            report.say("jobs", about, f"its {kind} is promised and no job will do it")


def _tables(parts: Parts, report: Report, told: _Told) -> None:
    for dataset in parts.datasets.values():
        for table in dataset.tables:
            name = f"{dataset.key}/{table}"
            try:
                _table(parts, report, name, told.commits.get(name, []), cut=bool(told.erased))
            except HubError as error:
                report.say(name, error.where or "", f"cannot be read ({error.code})")


def _table(
    parts: Parts, report: Report, name: str, commits: list[_Commit], *, cut: bool = False
) -> None:
    """Follow a table's commits; `cut` says that the events of the oldest may be erased."""
    version, digest, by = -1, fingerprint([]), "the beginning"
    in_order = sorted(commits, key=lambda one: (one.version, not one.made_it, one.event))
    if cut:
        first = in_order[0] if in_order else None
        version, digest = (first.version - 1 if first else -1), ""
    for made in in_order:
        report.checked["commits"] += 1
        # The first commit is version 1: version 0 made the table.
        expected = version + 1 if version >= 0 else 1
        if made.version > expected:
            skipped = range(expected, made.version)
            if not all(_under_way(parts, name, one) for one in skipped):
                missing = f"{expected} to {made.version - 1}"
                report.say(name, made.version, f"no event explains versions {missing}")
        elif (
            digest
            and (
                made.before not in (None, digest)
                or (made.version == version and made.after not in (None, digest))
            )
            and (made.made_it or not _under_way(parts, name, made.version))
        ):
            report.say(name, made.version, f"changed between {by} and event {made.event}")
        if made.rows:
            found = parts.tables.committed(name, made.about)
            if found != (made.version, made.rows):
                report.say(name, made.about, "the table does not have this push's transaction")
        version, digest, by = made.version, made.after or "", f"event {made.event}"
    now = state(parts.tables, name, fresh=True)
    report.checked["tables"] += now.version >= 0
    if now.version < version:
        report.say(name, now.version, f"{by} made version {version}: rolled back or gone")
    elif (
        now.version > version and (in_order or not cut) and not _under_way(parts, name, now.version)
    ):
        report.say(name, now.version, f"no event explains what came after version {version}")
    elif now.version == version and digest and now.digest != digest:
        report.say(name, version, f"its files are not those of {by}")


def _under_way(parts: Parts, name: str, version: int) -> bool:
    """Whether a push or a withdrawal that is not finished may have made the newest version."""
    partner, dataset, _ = name.split("/")
    for made in parts.books.pending_pushes():
        if (made.partner, made.dataset) == (partner, dataset):
            found = parts.tables.committed(name, made.id)
            if found is not None and found[0] == version:
                return True
    if name in parts.books.intended_rewrites():
        return True
    return any(
        made.completed_at is None and made.partner == partner
        for made in parts.books.withdrawals(limit=1000)
    )


def _releases(parts: Parts, report: Report) -> None:
    known: set[str] = set()
    for made in parts.books.releases():
        report.checked["files"] += 1
        name = release.object_name(made.digest, "manifest")
        known.add(name)
        stored = _object(parts, report, made.id, name)
        if stored is not None and not _same(stored, made.manifest):
            report.say("releases", made.id, f"{name} is not the manifest that was published")
        for kind, said in made.manifest.get("digest", {}).items():
            name = release.object_name(made.digest, kind)
            known.add(name)
            report.checked["files"] += 1
            data = _object(parts, report, made.id, name)
            if data is not None and f"sha256:{hashlib.sha256(data).hexdigest()}" != said:
                report.say("releases", made.id, f"{name} is not what was published")
        if not contributors.intact(parts, made):
            report.say("releases", made.id, "the contributors kept are not those it declared")
    intended = {intent.digest for intent in parts.books.open_intents()}
    for name in parts.objects.list("releases/"):
        if name not in known and name.split("/")[1] not in intended:
            report.say("releases", name, "no release has this file")


def _object(parts: Parts, report: Report, about: str, name: str) -> bytes | None:
    try:
        return parts.objects.get(name)
    except HubError as error:
        report.say("releases", about, f"{name} cannot be read ({error.code})")
        return None


def _same(stored: bytes, manifest: object) -> bool:
    try:
        return bool(msgspec.json.decode(stored) == manifest)
    except msgspec.DecodeError:
        return False
