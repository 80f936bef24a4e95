"""`hub consent`, `hub withdraw`. A reference may be `-`: it is then read from standard input."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hub import consents, participation, sheets, withdraw
from hub.cli import edge, waiting
from hub.errors import Rejected
from hub.parts import OPERATOR, Parts
from hub.records import Erasure, Withdrawal

app = typer.Typer(no_args_is_help=True)
STATES: Final[Mapping[str, str]] = {
    Erasure.REQUESTED: "plus rien n’entre / nothing enters any more",
    Erasure.ERASING: "effacement / erasing",
    Erasure.ERASED: "lignes mises de côté et preuves / rows set aside and proofs",
    Erasure.COMPLETED: "journal / log",
}
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Subject = Annotated[str, typer.Argument(help="The partner's reference of the person, or -.")]
Partner = Annotated[str, typer.Option(help="Whose reference it is.")]

Sheet = Annotated[Path | None, typer.Option(help="Write the page to print here (mode 0600).")]


@app.command("give")
def give(
    subject: Subject,
    partner: Partner,
    purpose: Annotated[str, typer.Option()] = "school-mobility",
    population: Annotated[str, typer.Option(help="pupil, post-bac, staff")] = "pupil",
    birth_month: Annotated[str, typer.Option(help="YYYY-MM; the day is never asked.")] = "",
    given_at: Annotated[str, typer.Option(help="ISO 8601 with zone; now without it.")] = "",
    parent_given_at: Annotated[str, typer.Option(help="Under 15: the parent's half.")] = "",
    parent_identified_by: Annotated[str, typer.Option(help="How, never who.")] = "",
    sheet: Sheet = None,
    as_json: Json = False,
) -> None:
    """Record one person's consent to one purpose; their codes are shown once."""
    with edge.opened() as parts:
        grant, handed = participation.give(
            parts,
            OPERATOR,
            partner,
            consents.Asked(
                reference=_reference(subject),
                purpose=purpose,
                population=population,
                given_at=_time(given_at) or parts.clock(),
                birth=birth_month,
                collection_method="command line",
                parent_at=_time(parent_given_at),
                parent_identified_by=parent_identified_by,
            ),
        )
        parts.sequence()
        said = consents.shown(parts.books.grant(grant.id) or grant)
        _hand(parts, said, handed, sheet, as_json=as_json)


@app.command("codes")
def codes_command(consent_id: str, sheet: Sheet = None, as_json: Json = False) -> None:
    """New codes for a consent, shown once; those given before open nothing any more."""
    with edge.opened() as parts:
        grant = consents.found(parts, consent_id)
        handed = participation.again(parts, OPERATOR, grant)
        parts.sequence()
        _hand(parts, {"id": grant.id}, handed, sheet, as_json=as_json)


@app.command("import")
def import_(file: Path, partner: Partner, as_json: Json = False) -> None:
    """Record the answers of a CSV file (`;`): reference, purpose, population, birth_month."""
    with edge.opened() as parts:
        summary = consents.import_file(parts, OPERATOR, partner, file)
        parts.sequence()
        edge.say(summary, as_json=as_json)


@app.command("show")
def show(consent_id: str, as_json: Json = False) -> None:
    """A consent by its number."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "consent_show"})
        grant = consents.found(parts, consent_id)
        edge.say(consents.shown(grant), as_json=as_json)


@app.command("receipt")
def receipt(consent_id: str) -> None:
    """The signed receipt of a consent."""
    with edge.opened() as parts:
        grant = consents.found(parts, consent_id)
        sys.stdout.write(consents.receipt(parts, grant).decode())


def withdraw_command(
    subject: Subject,
    partner: Partner,
    purpose: Annotated[str | None, typer.Option(help="One purpose; all without it.")] = None,
    as_json: Json = False,
) -> None:
    """End a person's consent (or record an objection), and wait until their rows are gone."""
    with edge.opened() as parts:
        digest = consents.digest_of(parts, partner, _reference(subject))
        made = withdraw.withdraw(parts, OPERATOR, partner, digest, purpose, via="cli")
        done = _completed(parts, made)
        shown: dict[str, Any] = withdraw.shown(done)
        edge.say(shown | {"receipt": withdraw.receipt(parts, done).decode()}, as_json=as_json)


def _hand(
    parts: Parts,
    said: dict[str, Any],
    handed: list[participation.Handed],
    sheet: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show codes once, on the screen or on a sheet only its owner can read."""
    if handed and sheet is not None:
        page = sheets.sheet(handed, parts.settings.public_url, "fr")
        try:
            sheet.touch(mode=0o600, exist_ok=False)
            sheet.write_text(page, "utf-8")
        except OSError as error:
            raise Rejected(
                "sheet-unwritable",
                fr="La feuille ne peut être écrite à cet endroit (le fichier existe déjà ?). "
                "L’accord tient ; demandez de nouveaux codes avec « hub consent codes ».",
                en="The sheet cannot be written there (does the file exist?). The consent "
                "stands; ask for new codes with `hub consent codes`.",
                who="operator",
            ) from error
    edge.say(said | {"codes": participation.shown(handed)}, as_json=as_json)


def _completed(parts: Parts, made: Withdrawal) -> Withdrawal:
    """Work, or wait for a worker that does, until the withdrawal is complete and logged."""
    with waiting.stepping(STATES) as told:

        def ask() -> Withdrawal:
            found = parts.books.withdrawal(made.id)
            if found is None:
                raise withdraw.unknown_withdrawal()
            told(found.state)
            return found

        return waiting.finished(parts, ask, lambda found: found.completed_at is None)


def _reference(text: str) -> str:
    """The reference itself, or standard input's first line, which leaves no shell history."""
    return sys.stdin.readline().strip() if text == "-" else text


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Rejected(
            "time-unreadable",
            fr="Une date s’écrit selon ISO 8601, par exemple 2025-09-01T08:00:00+02:00.",
            en="A time is written as in ISO 8601, for example 2025-09-01T08:00:00+02:00.",
            who="operator",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
