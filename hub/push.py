"""Push: a partner's file in.

`accept`, at the front door, which can only seal:

1. The policy says whether this partner may push this dataset now, the quotas how much of it.
2. The file is sealed while it streams in; nothing of it touches the disk in the clear. Whom it is
   about, where it names nobody itself, is sealed beside it (`hub.reading`).
3. One transaction records the push, its job and its event. Only then is it acknowledged: a crash
   before this leaves a sealed orphan that was never promised, a crash after it loses nothing.

`process`, in a worker, which alone can open; every step may be killed and is then done again:

4. The sealed file is read in typed batches; it is authenticated while it is read, to its end
   before anything of it is committed and before it is refused.
5. Home–lycée trips are recognised in memory and made coarse; the rest is counted and dropped.
6. The writer lease of the dataset's tables is taken *before* the gate is asked: a withdrawal marks
   the grant first and rewrites under the same lease, so no row it should stop can slip in behind.
7. The consent gate admits by digest; 8. raw identifiers become pseudonyms.
9. The rows are appended with the push's id as table transaction: a re-run finds it and adds none.
10. One transaction records counts, set-aside rows (sealed, and only of people who may be stored)
    and the event; it also ends the job.
11. The vault forgets the file: last, because until step 10 it is the only copy.
12. The log takes the event in; from then on the receipt can be issued.

Reading depends on the time of acceptance, not of processing, so a re-run counts the same.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from analytics import recognise
from connectors.contract import REASONS, Dataset, Malformed
from connectors.report import report
from consent import gate, pseudonyms
from hub import journal, stages
from hub import reading as readings
from hub.audit import receipts
from hub.errors import Busy, Conflict, HubError, NotFound, TooLarge, Unavailable
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Actor, Parts
from hub.policy.gate import Decision
from hub.progress import READ, Progress, watched
from hub.reading import ENROLMENTS, LYCEES, RESENT
from hub.records import Agreement, Push, PushState, SetAside, Withdrawal
from hub.storage.states import commit, state

QUARANTINE: Final = timedelta(days=30)
TRANSIT: Final = timedelta(hours=72)
DAY: Final = timedelta(hours=24)
REPLACED: Final = frozenset(
    {
        "region/lycees",
        "region/enrolments",
        "region/carpool-places",
        "region/gtfs",
        "region/commutes",
    }
)
"""Reference datasets: a new edition takes the place of the old one."""
NEEDS_PLACES: Final = frozenset({"coachco2/trips"})


def sealed_name(push_id: str) -> str:
    """Where the vault keeps a push until it is processed."""
    return f"pushes/{push_id}.age"


def accept(
    parts: Parts,
    actor: Actor,
    partner: str,
    dataset: str,
    body: Iterable[bytes],
    idempotency_key: str | None = None,
    reference: str | None = None,
) -> tuple[Push, bool]:
    """Seal and acknowledge a file. Returns the push and whether it is new.

    The same key with the same bytes answers the first push; with other bytes it is a `Conflict`.
    `reference` is the partner's for the one person a file is about, where it names nobody itself.
    """
    now = parts.clock()
    decision = admitted(parts, actor, partner, dataset)  # 1
    room = _room(parts, partner)
    push_id = parts.new_id(now)
    readings.check_reference(_dataset(parts, partner, dataset), reference)
    # First: whoever finds the file, as a back-up does, finds whom it is about.
    readings.keep_reference(parts, push_id, reference)
    try:
        sealed = parts.vault.keep(sealed_name(push_id), body, room)  # 2
    except HubError:
        parts.vault.forget(readings.reference_name(push_id))
        raise
    push = Push(
        id=push_id,
        partner=partner,
        dataset=dataset,
        state=PushState.ACCEPTED,
        accepted_at=now,
        file_sha256=sealed.sha256,
        file_bytes=sealed.size,
        idempotency_key=readings.bound(parts, partner, idempotency_key, reference),
    )
    return acknowledge(parts, push, actor.id, decision)


def admission(
    parts: Parts, actor: Actor, partner: str, dataset: str, length: int | None = None
) -> int:
    """Ask the policy and the quotas. Returns the number of bytes that may come.

    Raises `NotFound`, `Denied`, `TooLarge` where the announced `length` already is, and `Busy`
    where too much waits or the partner's day is used up.
    """
    admitted(parts, actor, partner, dataset)
    return _room(parts, partner, length)


def admitted(parts: Parts, actor: Actor, partner: str, dataset: str) -> Decision:
    """The policy's yes to a push. Raises `NotFound` for a dataset there is not, `Denied`."""
    _dataset(parts, partner, dataset)
    return parts.require(
        "push",
        actor,
        {
            "partner": partner,
            "dataset": dataset,
            "agreement": parts.agreement_facts(partner, dataset),
            "day": parts.clock().date().toordinal(),
        },
    )


def _room(parts: Parts, partner: str, length: int | None = None) -> int:
    limits = parts.settings
    load = parts.books.load(partner, parts.clock() - DAY)
    if load.waiting >= limits.waiting_per_partner or load.waiting_all >= limits.waiting:
        raise Busy(
            "too-many-waiting",
            fr="Trop de dépôts attendent leur traitement ; réessayez dans une minute.",
            en="Too many pushes wait to be processed; try again in a minute.",
            who="partner",
            facts={"retry_after": 60},
        )
    left = limits.push_bytes_a_day - load.recent_bytes
    if left <= 0 or (length is not None and left < length <= limits.push_bytes):
        raise Busy(
            "daily-quota",
            fr="Le volume permis sur 24 heures est atteint ; réessayez dans une heure.",
            en="The volume allowed in 24 hours is reached; try again in an hour.",
            who="partner",
            facts={"retry_after": 3600, "bytes_left": max(left, 0)},
        )
    if length is not None and length > limits.push_bytes:
        raise TooLarge(
            "file-too-large",
            fr=f"Le fichier dépasse {limits.push_bytes} octets.",
            en=f"The file is larger than {limits.push_bytes} bytes.",
            who="partner",
            facts={"max_bytes": limits.push_bytes},
        )
    return min(limits.push_bytes, left)


def acknowledge(parts: Parts, push: Push, client: str, decision: Decision) -> tuple[Push, bool]:
    """Record a push whose file is sealed, or forget the file where it is not a new one.

    Where the books do not answer they may still have written it: the file then stays, and if
    they have not it is swept away later.
    """
    event = AuditEvent(
        Kind.PUSH_ACCEPTED,
        push.partner,
        push.id,
        push.accepted_at,
        {
            "dataset": f"{push.partner}/{push.dataset}",
            "client": client,
            "bytes": push.file_bytes,
            "sha256": push.file_sha256,
            "policy": [decision.replayable()],
        },
    )
    pushed = push.id
    try:
        push, kept = parts.books.accept_push(push, event=event)  # 3
    except Conflict:
        forget(parts, pushed)
        raise
    if not kept:
        forget(parts, pushed)
    return push, kept


def forget(parts: Parts, push_id: str) -> None:
    """Forget a push's file, and then whom it is about."""
    parts.vault.forget(sealed_name(push_id))
    parts.vault.forget(readings.reference_name(push_id))


def process(parts: Parts, push_id: str) -> Push:
    """Do what was acknowledged, once, however often it is begun."""
    push = parts.books.push(push_id)
    if push is None:
        raise unknown_push()
    if push.state is PushState.ACCEPTED:
        dataset = _dataset(parts, push.partner, push.dataset)
        agreement = parts.books.agreement(push.partner, push.dataset)
        if agreement is None:
            raise no_agreement()
        progress = Progress(parts, push_id)
        try:
            done, set_aside, commits = _store(parts, push, dataset, agreement, progress)
        except _Unreadable as unreadable:
            done, set_aside, commits = _refused(push, unreadable), [], {}
        done = replace(done, finished_at=parts.clock())
        push = parts.books.finish_push(done, set_aside, event=_finished(done, commits))  # 10
    forget(parts, push_id)  # 11
    parts.sequence()  # 12
    return parts.books.push(push_id) or push


def _store(
    parts: Parts, push: Push, dataset: Dataset, agreement: Agreement, progress: Progress
) -> tuple[Push, list[SetAside], dict[str, Any]]:
    """Steps 4 to 9. Raises `_Unreadable` before anything is written."""
    tally = stages.Tally()
    try:
        return _read_in(parts, push, dataset, agreement, progress, tally)
    except Malformed as error:
        raise _Unreadable(error, tally) from error


def _read_in(
    parts: Parts,
    push: Push,
    dataset: Dataset,
    agreement: Agreement,
    progress: Progress,
    tally: stages.Tally,
) -> tuple[Push, list[SetAside], dict[str, Any]]:
    reading = readings.of(parts, push)
    around = places(parts, needed=dataset.key in NEEDS_PLACES)
    rules = parts.rules
    stored: dict[str, stages.Stored] = {}
    commits: dict[str, Any] = {}
    progress.stage("opening", 0)
    with parts.vault.stream(sealed_name(push.id)) as sealed:  # 4
        file, source = watched(
            sealed, push.file_bytes, lambda percentage: progress.within("reading", percentage)
        )
        parsed = stages.parse(dataset, source, reading, tally)
        if dataset.key in stages.ACTS:
            _object(parts, push, agreement, parsed)
            return _counted(push, tally, {}), [], {}
        recognised = stages.recognise_rows(parsed, around, rules, tally)  # 5
        if dataset.subject and stages.TREATMENTS[dataset.key].whole_file:
            recognised = iter(list(recognised))  # outside the lease: it needs none and takes long
        # Reading needs no lease: it goes on while one is waited for and the gate is prepared.
        with stages.ahead(recognised) as read, parts.holding_tables(dataset.key) as held:
            standing = parts.standing(agreement)  # 6
            people = stages.People(
                agreement,
                standing,
                parts.keyring.digest_key,
                lambda period: parts.period_key(agreement.purpose, period),
            )
            pseudonymous = (
                stages.pseudonymise(stages.admit(chunk, people), people)  # 7, 8
                for chunk in _with_keys(parts, agreement, read)
            )
            for table, chunks in _by_table(dataset, pseudonymous):
                held.check()
                name = f"{dataset.key}/{table}"
                before = state(parts.tables, name)
                stored[table] = made = parts.tables.append(  # 9
                    name,
                    chunks,
                    push.id,
                    personal=dataset.subject is not None,
                    mode="replace" if dataset.key in REPLACED | RESENT else "append",
                )
                # Where an earlier run committed and died, nothing was read: what is counted and
                # set aside comes of reading, so the file is read to its end all the same.
                deque(chunks, maxlen=0)
                after = state(parts.tables, name)
                commits[name] = commit(before, after, made.version, made.rows)
    counted = _counted(push, tally, stored)
    progress.stage("recording", READ)
    header = b"" if documents(file.first_line()) else file.first_line()

    def whole(row: bytes) -> bytes:
        return readings.with_reference(header + row, reading.reference)

    set_aside = list(_set_aside(parts, push, dataset, agreement, standing, tally, whole))
    return counted, set_aside, commits


def _with_keys(
    parts: Parts, agreement: Agreement, chunks: Iterable[stages.Recognised]
) -> Iterator[stages.Recognised]:
    """The chunks, each after the keys of its periods are there, whoever the gate lets in.

    Making a key is an event. Were it made for admitted rows only, the place of a one-row push in
    the log would tell whether its person agreed.
    """
    for chunk in chunks:
        if chunk.dataset.subject is not None:
            for period in sorted(pc.unique(chunk.rows.column("period")).to_pylist()):
                parts.period_key(agreement.purpose, period)
        yield chunk


def _counted(push: Push, tally: stages.Tally, stored: Mapping[str, stages.Stored]) -> Push:
    """The push with what was counted on its way."""
    return replace(
        push,
        state=PushState.STORED,
        received=tally.received,
        valid=tally.valid,
        rejected=len(tally.rejected),
        dropped=tally.dropped,
        kept=sum(part.rows for part in stored.values()),
        reasons=dict(Counter(row.code for row in tally.rejected)),
        warnings=_warnings(tally),
        findings=_findings(tally),
        tables={part.table: part.version for part in stored.values()},
    )


def _warnings(tally: stages.Tally) -> dict[str, int]:
    """Rows told of by reason; those that are no part of the dataset under one of their own."""
    aside = {"left_aside": tally.skipped} if tally.skipped else {}
    return dict(Counter(row.code for row in tally.warned)) | aside


def _findings(tally: stages.Tally) -> list[dict[str, Any]]:
    """What the connector found, summed up; the gate comes after it and has no part in this."""
    return [found.as_json() for found in report([*tally.rejected, *tally.warned])]


def _object(
    parts: Parts, push: Push, agreement: Agreement, chunks: Iterable[stages.Parsed]
) -> None:
    """Record an objection for each card; done again, it finds those it recorded.

    The whole file is read before the first is recorded, so that one refused half-way did nothing.
    A card that has objected before is treated as any other: a log that grew by less would tell the
    partner of an objection made elsewhere.
    """
    whole = [chunk.rows.column("subject") for chunk in chunks]
    cards = pa.chunked_array(whole, pa.string()).unique()
    key = parts.keyring.digest_key
    for digest in pseudonyms.digests(key, agreement.partner, cards).to_pylist():
        # The same whenever this push is done again, and nobody else's to guess.
        mark = pseudonyms.digest(key, push.id, digest.hex()).hex()[:16]
        objection = f"{push.accepted_at:%Y%m%dT%H%M%S}-{mark}"
        if parts.books.withdrawal(objection) is not None:
            continue
        now = parts.clock()
        made = Withdrawal(
            id=objection,
            partner=agreement.partner,
            subject=digest,
            purposes=(agreement.purpose,),
            requested_at=now,
        )
        facts = {"partner": made.partner, "purposes": list(made.purposes), "via": "push"}
        journal.note(parts, made)
        parts.books.withdraw(
            made,
            event=AuditEvent(Kind.OBJECTION_RECORDED, made.partner, made.id, now, facts),
        )


def _by_table(
    dataset: Dataset, chunks: Iterator[stages.Pseudonymous]
) -> Iterator[tuple[str, Iterable[stages.Pseudonymous]]]:
    """Split a stream by table. One table streams; several are gathered first.

    Gathering also means that a file of several tables is read to its end before any is written.
    """
    if len(dataset.tables) == 1:
        yield next(iter(dataset.tables)), chunks
        return
    gathered: dict[str, list[stages.Pseudonymous]] = {table: [] for table in dataset.tables}
    for chunk in chunks:
        gathered[chunk.table].append(chunk)
    yield from gathered.items()


def _set_aside(
    parts: Parts,
    push: Push,
    dataset: Dataset,
    agreement: Agreement,
    standing: gate.Standing,
    tally: stages.Tally,
    whole: Callable[[bytes], bytes],
) -> Iterator[SetAside]:
    """Rejected rows for quarantine; content only where its person may be stored, and sealed.

    A row is sealed by itself, `whole` with its header if it has one, so that it can be read
    again, and destroyed, without any other. Every row is sealed, and what may not be kept is
    thrown away sealed: the time a push takes must not tell whose rows were kept.
    """
    names = sorted({row.subject for row in tally.rejected if row.subject})
    digests = pseudonyms.digests(
        parts.keyring.digest_key, push.partner, pa.array(names, pa.string())
    )
    verdict = gate.admit(digests, str(agreement.basis), standing)
    admitted = {
        name: digest
        for name, digest, yes in zip(
            names, digests.to_pylist(), verdict.admitted.to_pylist(), strict=True
        )
        if yes
    }
    until = (push.accepted_at + QUARANTINE).date()
    envelope = parts.vault.envelope()
    for row in tally.rejected:
        digest = admitted.get(row.subject) if row.subject else None
        keep = dataset.subject is None or digest is not None
        sealed = None if row.raw is None else envelope.seal(whole(row.raw))
        yield SetAside(
            push=push.id,
            position=row.position,
            code=row.code,
            column=row.column,
            digest=digest,
            sealed=sealed if keep else None,
            until=until,
        )


def receipt(parts: Parts, push: Push) -> bytes:
    """The signed receipt of a finished push: a note anyone can verify offline.

    Counts are those a partner may know: received, valid, rejected by reason. What the consent
    gate refused is not in it. Raises `NotFound` before the push is finished and logged.
    """
    if push.state is PushState.ACCEPTED or push.log_index is None:
        raise NotFound(
            "receipt-not-ready",
            fr="Le dépôt n’est pas encore traité ; le reçu viendra avec lui.",
            en="The push is not processed yet; the receipt comes with it.",
            who="partner",
        )
    return parts.receipt("push", shown(push), push.log_index)


def shown(push: Push, *, operator: bool = False) -> dict[str, Any]:
    """A push as JSON. Operators also see what reached a table and what was dropped."""
    facts: dict[str, Any] = {
        "id": push.id,
        "partner": push.partner,
        "dataset": push.dataset,
        "state": str(push.state),
        "accepted_at": push.accepted_at.isoformat(),
        "finished_at": push.finished_at.isoformat() if push.finished_at else None,
        "received": push.received,
        "valid": push.valid,
        "rejected": push.rejected,
        "reasons": dict(push.reasons),
        "warnings": dict(push.warnings),
        "file_sha256": push.file_sha256,
        "file_bytes": push.file_bytes,
        "log_index": push.log_index,
        "problem": dict(push.problem) if push.problem else None,
    }
    if push.findings is not None or push.state is PushState.ACCEPTED:
        facts["findings"] = [dict(found) for found in push.findings or ()]
    if operator:
        facts |= {"kept": push.kept, "dropped": push.dropped, "tables": dict(push.tables)}
    return facts


def documents(data: bytes) -> bool:
    """Whether a file, or a row set aside, is made of documents rather than of lines."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"["))


def sweep(parts: Parts, now: datetime) -> int:
    """Forget sealed files nobody waits for: never acknowledged, or processed before a crash."""
    pending = [push.id for push in parts.books.pending_pushes()]
    waiting = {name(push) for push in pending for name in (sealed_name, readings.reference_name)}
    forgotten = 0
    for name in list(parts.vault.names()):
        if name in waiting:
            continue
        upload = _upload_of(name)
        stamp = name.rpartition("/")[2].split("-")[0]
        age = now - datetime.strptime(f"{stamp}+0000", "%Y%m%dT%H%M%S%z")
        if upload is not None:
            # Not by the list of its pieces: one may be sealed now and counted in a moment.
            made = parts.books.upload(upload)
            wanted = made is not None and made.push is None and made.problem is None
        else:
            wanted = False
        if not wanted and age > timedelta(hours=1):
            parts.vault.forget(name)
            forgotten += 1
    return forgotten


def expire(parts: Parts, push_id: str) -> bool:
    """Refuse a push that could not be processed for as long as its sealed file may be kept.

    For the worker that holds its job, so that nobody processes it meanwhile. False where its time
    is not over, or rows of it are in a table already: it has only to be finished.
    """
    push = parts.books.push(push_id)
    if push is None or push.state is not PushState.ACCEPTED:
        return False
    if parts.clock() - push.accepted_at <= TRANSIT:
        return False
    dataset = _dataset(parts, push.partner, push.dataset)
    if any(parts.tables.committed(f"{dataset.key}/{table}", push_id) for table in dataset.tables):
        return False
    refused = replace(
        push,
        state=PushState.REFUSED,
        received=0,
        valid=0,
        rejected=0,
        dropped=0,
        kept=0,
        problem={
            "code": "not-processed-in-time",
            "where": None,
            "fr": "Le hub n’a pu traiter ce dépôt en 72 heures et a détruit le fichier scellé ; "
            "déposez-le de nouveau.",
            "en": "The hub could not process this push within 72 hours and destroyed the sealed "
            "file; push it again.",
            "who": "partner",
        },
        finished_at=parts.clock(),
    )
    parts.books.finish_push(refused, [], event=_finished(refused, {}))
    forget(parts, push_id)
    parts.sequence()
    return True


def _upload_of(name: str) -> str | None:
    """The upload a sealed piece, or whom it is about, belongs to; None for other files."""
    folder, _, piece = name.rpartition("/")
    return "-".join(piece.split("-")[:2]) if folder in {"uploads", "references"} else None


def unknown_push() -> NotFound:
    """The answer for a push that is not there, or not the caller's to know of."""
    return NotFound(
        "unknown-push",
        fr="Aucun dépôt ne porte ce numéro.",
        en="No push has this number.",
        who="partner",
    )


def _dataset(parts: Parts, partner: str, dataset: str) -> Dataset:
    known = parts.datasets.get(f"{partner}/{dataset}")
    if known is None:
        raise NotFound(
            "unknown-dataset",
            fr="Ce partenaire n’a pas de jeu de données de ce nom ; voyez le catalogue.",
            en="This partner has no dataset of that name; see the catalogue.",
            who="partner",
        )
    return known


def no_agreement() -> Unavailable:
    """The answer where a push's agreement has gone since it was accepted."""
    return Unavailable(
        "agreement-missing",
        fr="La convention de ce jeu de données a disparu ; l’opérateur doit la rétablir.",
        en="The agreement of this dataset is gone; the operator must restore it.",
        who="operator",
    )


class _Unreadable(Exception):
    """A file that is refused as a whole, with what was counted until then."""

    def __init__(self, error: Malformed, tally: stages.Tally) -> None:
        super().__init__(error.code)
        self.error, self.tally = error, tally


def _refused(push: Push, unreadable: _Unreadable) -> Push:
    """A file that is refused as a whole: nothing was written, and the partner is told where.

    What was counted before that stands in the problem; for a mostly bad file it says what to mend.
    """
    error, tally = unreadable.error, unreadable.tally
    words = REASONS[error.code].words
    counted: dict[str, Any] = {}
    if error.code == "mostly_rejected":
        reasons = Counter(row.code for row in tally.rejected)
        first = tally.rejected[0]
        counted = {
            "received": tally.received,
            "rejected": len(tally.rejected),
            "reasons": dict(reasons),
            "first": {"position": first.position, "code": first.code, "column": first.column},
        }
    return replace(
        push,
        state=PushState.REFUSED,
        received=0,
        valid=0,
        rejected=0,
        dropped=0,
        kept=0,
        findings=_findings(tally),
        problem={
            "code": error.code,
            "where": error.where,
            "fr": words["fr"],
            "en": words["en"],
            "who": "partner",
            **counted,
        },
    )


def _finished(push: Push, commits: Mapping[str, Any]) -> AuditEvent:
    facts: dict[str, Any] = {
        "dataset": f"{push.partner}/{push.dataset}",
        "sha256": push.file_sha256,
        "received": push.received,
        "valid": push.valid,
        "rejected": push.rejected,
        "kept": push.kept,
        "reasons": dict(push.reasons),
        "tables": dict(push.tables),
        "commits": dict(commits),
        "receipt": receipts.digest("push", shown(push)),
    }
    stored = push.state is PushState.STORED
    if push.problem:
        facts["problem"] = push.problem["code"]
    return AuditEvent(
        Kind.PUSH_STORED if stored else Kind.PUSH_REFUSED,
        WORKER.organisation,
        push.id,
        push.finished_at or push.accepted_at,
        facts,
    )


def places(parts: Parts, *, needed: bool) -> recognise.Places:
    """The lycée directory and the residence communes, as last pushed by the region.

    Raises `Unavailable` where they are needed and not there yet: the push waits for them.
    """
    if not needed:
        return recognise.Places(LYCEE_PLACES.empty_table(), COMMUNE_PLACES.empty_table())
    opened = parts.tables.snapshot([LYCEES, ENROLMENTS])
    for name, files in opened.files.items():
        if not files:
            raise readings.missing(name)
    with duckdb.connect() as connection:
        lycees = connection.sql(
            "SELECT uai, name, lon, lat, commune, department FROM read_parquet($files)",
            params={"files": list(opened.files[LYCEES])},
        ).to_arrow_table()
        communes = connection.sql(
            "SELECT commune, any_value(lon) AS lon, any_value(lat) AS lat"
            " FROM read_parquet($files) GROUP BY commune ORDER BY commune",
            params={"files": list(opened.files[ENROLMENTS])},
        ).to_arrow_table()
    return recognise.Places(lycees, communes)


LYCEE_PLACES: Final = pa.schema(
    [
        ("uai", pa.string()),
        ("name", pa.string()),
        ("lon", pa.float64()),
        ("lat", pa.float64()),
        ("commune", pa.string()),
        ("department", pa.string()),
    ]
)
COMMUNE_PLACES: Final = pa.schema(
    [("commune", pa.string()), ("lon", pa.float64()), ("lat", pa.float64())]
)
