"""Release: results out.

`build` makes one release of one measure, in a worker:

1. Open: the measure's tables at pinned versions, under their writer leases, so that no purge takes
   a file away while it is read. Grants are asked *again*: rows of people who have withdrawn,
   expired or objected since are left out even where their rewrite is still to come. The grants of
   whoever has a row are the declared contributors.
2. Measure: cells with their contributors, computed by Ibis on DuckDB or Spark. Nothing leaves yet.
3. Protect: thresholds, merging, rounding by class, as the publication plan says.
4. Attack: an attacker who knows the rules, enrolments, all earlier releases and one classmate
   tries the table. What he learns blocks it.
5. A table equal to the last one is not published twice; one that differs from it by fewer people
   than the threshold is not published at all, because the two together would show them.
6. Approve: the policy decides about *facts* of the table; it is never shown a row. A table that is
   protected less than its agreements or the plan ask for is not published. A table that
   shows the business of an operator whose agreement asks for secrecy is restricted: it is then
   handed out under approved requests only, and cites the exception.
7. The declared contributors become a tree (`contributors`), whose root is in the manifest. The
   intention is logged before anything is visible: publishing cannot be undone.
8. The bytes of every format are prepared and stored under the digest of the table.
9. One transaction publishes: catalogue, API and pages read from there. The log takes it in.

A blocked release is recorded with the checks that failed; nothing of the table is kept.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, time
from typing import Any, Final, Never, Self, final

import ibis
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import rfc8785

from analytics import measures, protect
from consent import pseudonyms
from hub import contributors, formats, protections
from hub.audit import receipts
from hub.contributors import Declared
from hub.errors import Denied, NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Actor, Parts
from hub.policy.gate import Decision
from hub.records import Agreement, Basis, Contribution, Release
from hub.stages import Opened

OPERATORS_BUSINESS: Final = "business_secret"
SECRECY_TEXT: Final = (
    "Code de commerce, art. L. 151-1 ; code des relations entre le public et l'administration, "
    "art. L. 311-6 (1°)"
)
"""What protects an operator's business from being published by an administration."""
RESTRICTED: Final[formats.Note] = (
    "Accès",
    "Restreint : secret des affaires. À n'utiliser que pour la finalité accordée, sans le "
    "transmettre.",
    "Restricted: business secret. To be used for the approved purpose only, and not passed on.",
)
STEPS: Final = ("opening", "measuring", "protecting", "publishing")
"""What whoever waits for a release is told of it, in order."""
MIN_CHANGED: Final = 11
"""A period is published again only if at least this many contributors changed."""
KEYS: Final = ["period", "pseudonym"]
_NAMES: Final = pa.schema(
    [("period", pa.string()), ("pseudonym", pa.binary()), ("subject", pa.binary())]
)


class _Made:
    """Base of this verb's stages: no public constructor, see `hub.stages`."""

    def __init__(self, *_: Never) -> None:
        raise TypeError(f"{type(self).__name__} is made only by hub.release")


@final
class Measured(_Made):
    """Cells with their contributors: unprotected, never stored."""

    cells: measures.Cells
    opened: Opened
    contributors: int
    declared: Declared | None
    """None where no input rests on consent."""

    @classmethod
    def _mint(
        cls,
        cells: measures.Cells,
        opened: Opened,
        contributors: int,
        declared: Declared | None,
    ) -> Self:
        stage = object.__new__(cls)
        stage.cells, stage.opened = cells, opened
        stage.contributors, stage.declared = contributors, declared
        return stage


@final
class Protected(_Made):
    """A protected table that its own attacker could not open."""

    table: pa.Table
    applied: Mapping[str, Any]
    certificate: protect.Certificate
    measured: Measured
    operators: tuple[str, ...]
    """Partners whose business the table shows, and whose agreements ask for secrecy."""

    @classmethod
    def _mint(
        cls,
        made: measures.Protected,
        certificate: protect.Certificate,
        measured: Measured,
        operators: tuple[str, ...],
    ) -> Self:
        stage = object.__new__(cls)
        stage.table, stage.applied = made.table, made.applied
        stage.certificate, stage.measured = certificate, measured
        stage.operators = operators
        return stage

    def exception(self) -> dict[str, Any] | None:
        """The exception that restricts the release, None where it is open."""
        if not self.operators:
            return None
        return {
            "code": OPERATORS_BUSINESS,
            "partners": list(self.operators),
            "legal_text": SECRECY_TEXT,
        }


@final
class Approved(_Made):
    """A protected table the policy lets out, with the decision that says so."""

    protected: Protected
    decision: Decision

    @classmethod
    def _mint(cls, protected: Protected, decision: Decision) -> Self:
        stage = object.__new__(cls)
        stage.protected, stage.decision = protected, decision
        return stage


def build(
    parts: Parts, name: str, progress: Callable[[str], None] = lambda _step: None
) -> tuple[Release, bool]:
    """Make a release of a measure. Returns it and whether it is new.

    `progress` is told each of `STEPS` as it begins.

    Raises `Rejected` where there is nothing to measure or too few people changed, `Denied` where
    the attacker or the policy says no.
    """
    measure_ = measures.MEASURES.get(name)
    if measure_ is None:
        raise NotFound(
            "unknown-measure",
            fr="Aucun indicateur ne porte ce nom.",
            en="No measure has this name.",
            who="operator",
            facts={"known": sorted(measures.MEASURES)},
        )
    earlier = [r for r in parts.books.releases(name) if r.period == parts.territory.school_year]
    progress("opening")
    tables = [read_table(parts, release) for release in earlier]
    with ExitStack() as stack:
        for dataset in sorted({table.rsplit("/", 1)[0] for table in measure_.inputs}):
            stack.enter_context(parts.holding_tables(dataset))
        opened = open_tables(parts, measure_)  # 1
        progress("measuring")
        measured = measure(parts, measure_, opened)  # 2
    progress("protecting")
    protected = guard(parts, measure_, measured, tables)  # 3, 4
    digest = formats.digest(protected.table)
    if earlier and earlier[-1].digest == digest:
        return earlier[-1], False
    progress("publishing")
    _enough_changed(parts, earlier, measured)  # 5
    approved = approve(parts, measure_, protected)  # 6
    terms = RESTRICTED if protected.operators else formats.licensed(measure_.licence)
    prepared = formats.prepare(protected.table, measure_, [terms])
    return publish(parts, measure_, approved, prepared, digest, len(earlier) + 1), True


def open_tables(parts: Parts, measure_: measures.Measure) -> Opened:
    """Pin the versions of a measure's tables. Raises `Rejected` where one holds nothing yet."""
    opened = parts.tables.snapshot(measure_.inputs)
    empty = [name for name, files in opened.files.items() if not files]
    if empty:
        raise Rejected(
            "nothing-to-measure",
            fr=f"Rien à mesurer : {', '.join(empty)} n’a encore reçu aucun dépôt.",
            en=f"Nothing to measure: {', '.join(empty)} has received no push yet.",
            who="operator",
            facts={"tables": empty},
        )
    return opened


def measure(parts: Parts, measure_: measures.Measure, opened: Opened) -> Measured:
    """Compute the cells over the rows of people who may be counted at this moment.

    Raises `Rejected` where the agreement on rows about people is over: nobody may be counted.
    """
    about_people = {dataset.key for dataset in parts.personal()}
    inputs: dict[str, ibis.Table] = {}
    people = 0
    secrets: list[bytes] | None = None
    asked_at = parts.clock()
    with parts.engine.tables(opened.files) as tables:
        for name, table in tables.items():
            dataset = name.rpartition("/")[0]
            if dataset in about_people:
                agreement = parts.books.agreement(*dataset.split("/"))
                if agreement is None or agreement.basis is Basis.NOT_PERSONAL:
                    raise _without_basis(dataset)
                consent = agreement.basis is Basis.CONSENT
                known = contributors.known(parts, agreement) if consent else None
                table, names = _standing_rows(parts, table, agreement, known)
                people += int(table.pseudonym.nunique().to_pyarrow().as_py())
                if known is not None:
                    theirs = contributors.opened(parts, known, _with_rows(table, names))
                    secrets = [*(secrets or []), *theirs]
            inputs[name] = table
        cells = measure_.compute(inputs, parts.plan, _generator(parts, measure_))
    declared = None if secrets is None else Declared(asked_at, secrets)
    return Measured._mint(cells, opened, people, declared)


def _without_basis(dataset: str) -> Rejected:
    return Rejected(
        "no-basis",
        fr=f"La convention sur {dataset} est terminée : rien ne permet plus de compter ses lignes.",
        en=f"The agreement on {dataset} is over: nothing allows its rows to be counted any more.",
        who="steward",
        where=dataset,
    )


def _standing_rows(
    parts: Parts,
    table: ibis.Table,
    agreement: Agreement,
    known: Mapping[bytes, Sequence[Contribution]] | None,
) -> tuple[ibis.Table, ibis.Table]:
    """Ask the grants again: only rows of people who stand at this moment.

    With the names asked about, by period: `pseudonym` and `subject`, the digest.
    """
    standing = parts.standing(agreement)
    if known is None:
        asked = standing.objected
    else:
        both = pc.is_in(standing.granted, value_set=pa.array(known, pa.binary()))
        asked = standing.granted.filter(both)
    periods = parts.keyring.periods(agreement.purpose)
    names = pa.concat_tables(
        [
            pa.table(
                {
                    "period": pa.array([period] * len(asked), pa.string()),
                    "pseudonym": pseudonyms.pseudonyms(
                        parts.keyring.period_key(agreement.purpose, period), asked
                    ),
                    "subject": asked,
                }
            )
            for period in periods
        ]
        or [_NAMES.empty_table()]
    )
    listed = ibis.memtable(names)
    if known is None:
        return table.anti_join(listed, KEYS), listed
    return table.semi_join(listed, KEYS), listed


def _with_rows(table: ibis.Table, names: ibis.Table) -> list[bytes]:
    """Digests of those who have a row."""
    seen = table.select(KEYS).distinct()
    found: list[bytes] = names.semi_join(seen, KEYS).subject.to_pyarrow().unique().to_pylist()
    return found


def guard(
    parts: Parts, measure_: measures.Measure, measured: Measured, earlier: Sequence[pa.Table]
) -> Protected:
    """Protect the cells, then attack the result. Raises `Denied` if anything is learned."""
    made = measure_.protect(measured.cells, parts.plan)
    certificate = protect.attack(made, measured.cells, parts.plan, earlier)
    if not certificate.ok:
        findings = list(certificate.findings)
        parts.books.block_release(
            formats.digest(made.table),
            {"measure": measure_.name, "findings": findings},
            event=AuditEvent(
                Kind.RELEASE_BLOCKED,
                WORKER.organisation,
                measure_.name,
                parts.clock(),
                {"findings": findings},
            ),
        )
        raise Denied(
            "certificate-failed",
            fr="L’attaquant a appris quelque chose de ce tableau : il ne sera pas publié.",
            en="The attacker learned something from this table: it will not be published.",
            who="steward",
            facts={"findings": findings},
        )
    asking = {
        dataset.split("/")[0]
        for dataset, terms in _obligations(protections.terms(parts, measure_)).items()
        if terms.get("business_secret")
    }
    shown = protect.operators_shown(made.operators, asking, parts.plan.dominance)
    return Protected._mint(made, certificate, measured, shown)


def _enough_changed(parts: Parts, earlier: Sequence[Release], measured: Measured) -> None:
    """Refuse a new edition that differs from the last by too few people.

    The difference in the number of contributors is a lower bound of how many changed. The number
    itself is in the private event of the last release, never in what is published.
    """
    if not earlier or measured.contributors == 0:
        return
    event = parts.books.events(kind=Kind.RELEASE_PUBLISHED, about=earlier[-1].id)[-1]
    before = int(msgspec.json.decode(event.body)["facts"]["contributors"])
    if abs(measured.contributors - before) < MIN_CHANGED:
        raise Rejected(
            "too-few-changed",
            fr="Trop peu de personnes ont changé depuis la dernière publication : "
            "la différence entre les deux tableaux les montrerait.",
            en="Too few people changed since the last release: "
            "the difference between the two tables would show them.",
            who="steward",
        )


def approve(parts: Parts, measure_: measures.Measure, protected: Protected) -> Approved:
    """Let the policy decide about facts of the table. Raises `Denied`."""
    published = {column.name for column in measure_.columns}
    suppressed = (
        protected.table.column("suppressed").to_pylist()
        if "suppressed" in published
        else [False] * protected.table.num_rows
    )
    classes = (
        protected.table.column("contributors").to_pylist() if "contributors" in published else []
    )
    terms = protections.terms(parts, measure_)
    sources = {
        name: obligations
        for name, obligations in _obligations(terms).items()
        if parts.datasets[name].subject
    }
    exception = protected.exception()
    decision = parts.require(
        "release_publish",
        WORKER,
        {
            "release": {
                "measure": measure_.name,
                "period": parts.territory.school_year,
                "plan_version": parts.plan.version,
                "in_plan": measure_.name in parts.plan.measures,
                "certificate_ok": protected.certificate.ok,
                "k_min": parts.plan.k,
                "rows": protected.table.num_rows,
                "suppressed_rows": sum(suppressed),
                "columns": list(protected.table.column_names),
                "personal_columns": sorted(set(protected.table.column_names) - published),
                "suppressed_carry_class": any(
                    s and c for s, c in zip(suppressed, classes, strict=False)
                ),
                "sources": sorted(sources),
                "never_joined": sorted(
                    name for name, obliged in sources.items() if obliged.get("no_join")
                ),
                "open": exception is None,
                "exception": exception["code"] if exception else None,
                "operators_shown": list(protected.operators),
                "protection": protected.applied["lane"],
                "protections_asked": protections.asked(parts, terms),
            }
        },
    )
    return Approved._mint(protected, decision)


def _obligations(terms: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """What these agreements oblige to, by dataset."""
    return {dataset: agreed.get("obligations") or {} for dataset, agreed in terms.items()}


def _embargo(parts: Parts, measure_: measures.Measure) -> int | None:
    """When the last embargo of the agreements ends, in seconds since 1970; None without one."""
    obligations = _obligations(protections.terms(parts, measure_)).values()
    asked = [terms.get("embargo_until") for terms in obligations]
    days = [datetime.combine(date.fromisoformat(day), time(), UTC) for day in asked if day]
    return int(max(days).timestamp()) if days else None


def publish(
    parts: Parts,
    measure_: measures.Measure,
    approved: Approved,
    prepared: Mapping[str, bytes],
    digest: str,
    version: int,
) -> Release:
    """Log the intention, store the bytes, publish, log again."""
    now = parts.clock()
    period = parts.territory.school_year
    release_id = f"{measure_.name}-{period}-{version}"
    protected = approved.protected
    manifest: dict[str, Any] = {
        "id": release_id,
        "measure": measure_.name,
        "title": dict(measure_.title),
        "period": period,
        "version": version,
        "territory": parts.territory.id,
        "synthetic": parts.territory.demo,
        "published_at": now.isoformat(),
        "digest": {
            kind: f"sha256:{hashlib.sha256(data).hexdigest()}" for kind, data in prepared.items()
        },
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "unit": column.unit,
                "fr": column.fr,
                "en": column.en,
            }
            for column in measure_.columns
        ],
        "inputs": [
            {"table": name, "version": version_}
            for name, version_ in sorted(protected.measured.opened.versions.items())
        ],
        "plan": parts.plan.describe(),
        "protection": dict(protected.applied),
        "attack": dict(protected.certificate.checks),
        "policy": {
            "rule": approved.decision.rule,
            "input": approved.decision.input_digest,
            "bundle": approved.decision.bundle_digest,
            "obligations": dict(approved.decision.obligations),
        },
        "licence": "" if protected.operators else measure_.licence,
        "open": not protected.operators,
        "exception": protected.exception(),
        "embargo_until": _embargo(parts, measure_),
        contributors.FACT: (
            contributors.declare(parts, protected.measured.declared)
            if protected.measured.declared
            else None
        ),
    }
    parts.books.intend_release(  # 7
        digest,
        {"release": release_id},
        event=AuditEvent(
            Kind.RELEASE_INTENDED, WORKER.organisation, release_id, now, {"digest": digest}
        ),
    )
    for kind, data in prepared.items():  # 8
        parts.objects.put(object_name(digest, kind), [data])
    parts.objects.put(object_name(digest, "manifest"), [msgspec.json.encode(manifest)])
    release = Release(
        id=release_id,
        measure=measure_.name,
        period=period,
        version=version,
        digest=digest,
        manifest=manifest,
        published_at=now,
    )
    release = parts.books.publish_release(  # 9
        release,
        event=AuditEvent(
            Kind.RELEASE_PUBLISHED,
            WORKER.organisation,
            release_id,
            now,
            {
                "digest": digest,
                "contributors": protected.measured.contributors,
                "policy": [approved.decision.replayable()],
                "receipt": receipts.digest("release", shown(release)),
            },
        ),
    )
    parts.sequence()
    return parts.books.release(release.id) or release


def receipt(parts: Parts, release: Release) -> bytes:
    """The signed receipt of a release. Raises `NotFound` before the log has taken it in."""
    if release.log_index is None:
        raise NotFound(
            "receipt-not-ready",
            fr="La publication est faite ; le reçu suivra dans un instant.",
            en="The release is published; the receipt follows in a moment.",
            who="person",
        )
    return parts.receipt("release", shown(release), release.log_index)


def question(parts: Parts, release: Release, purpose: str | None = None) -> dict[str, Any]:
    """What the policy `release_read` is asked about a release, but for who asks."""
    level = release.manifest.get("protection", {}).get("lane")
    obliged = release.manifest.get("policy", {}).get("obligations", {})
    return {
        "release": {
            "measure": release.measure,
            "open": release.manifest.get("open", True),
            "embargo_until": release.manifest.get("embargo_until"),
            "protection": level,
            # One from before levels were asked for is held to what it has.
            "protection_asked": obliged.get("protection", level),
        },
        "purpose": purpose,
        "now": int(parts.clock().timestamp()),
    }


def readable(
    parts: Parts, release: Release, actor: Actor | None = None, purpose: str | None = None
) -> bool:
    """Whether a release may be shown to an actor, or to anyone; asking is not reading it."""
    return parts.ask("release_read", actor, question(parts, release, purpose)).allow


def listable(parts: Parts, releases: Sequence[Release]) -> list[Release]:
    """Those that may be described to anyone: what can be asked for is, if not read.

    Releases of the same terms are one question, asked once.
    """
    asked: dict[str, bool] = {}
    found = []
    for release in releases:
        facts = question(parts, release)
        # One moment for all: the listing is of that moment.
        key = repr(facts["release"])
        if key not in asked:
            decision = parts.ask("release_read", None, facts)
            asked[key] = decision.allow or decision.reasons == ("restricted",)
        if asked[key]:
            found.append(release)
    return found


def shown(release: Release) -> dict[str, Any]:
    """What anyone may know of a release, with the digest of every format handed out."""
    return {
        "id": release.id,
        "measure": release.measure,
        "period": release.period,
        "version": release.version,
        "published_at": release.published_at.isoformat(),
        "digest": dict(release.manifest["digest"]),
        "log_index": release.log_index,
        **_committed(release.manifest),
    }


def _committed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's digest, of its canonical JSON, and the contributors it declares.

    Manifests from before contributors were declared were not in the log: their receipts hold on.
    """
    if contributors.FACT not in manifest:
        return {}
    said = hashlib.sha256(rfc8785.dumps(msgspec.json.decode(msgspec.json.encode(manifest))))
    return {
        "manifest": f"sha256:{said.hexdigest()}",
        contributors.FACT: manifest[contributors.FACT],
    }


def object_name(digest: str, kind: str) -> str:
    """Where a format of a release is kept, under the digest of its table."""
    return (
        f"releases/{digest}/manifest.json"
        if kind == "manifest"
        else (f"releases/{digest}/data.{kind}")
    )


def read_table(parts: Parts, release: Release) -> pa.Table:
    """The published table of an earlier release, as the attacker has it."""
    return pq.read_table(io.BytesIO(parts.objects.get(object_name(release.digest, "parquet"))))


def _generator(parts: Parts, measure_: measures.Measure) -> np.random.Generator:
    """Randomness fixed by what is measured, so that a release can be computed again.

    By another hub too, and after a compaction: nothing of how the rows came to be stored is in it.
    """
    measured = (measure_.name, parts.territory.school_year, parts.plan.version)
    return np.random.default_rng(list(hashlib.sha256(repr(measured).encode()).digest()))
