"""`hub partner check`: what would come of a file, without pushing it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from connectors.check import Checked, check
from connectors.contract import REASONS
from connectors.registry import DATASETS
from connectors.report import written
from hub.cli import edge
from hub.errors import NotFound, Rejected
from hub.settings import Settings, load_territory

Reference = Annotated[
    str | None,
    typer.Option(
        envvar="HUB_REFERENCE",
        help="Whom the file is about, where it names nobody itself; by default out of its name.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(partner: typer.Typer) -> None:
    """Add the command to `hub partner`."""
    partner.command("check")(partner_check)


def partner_check(
    file: Path,
    partner: Annotated[str, typer.Option(help="The partner's identifier.")],
    dataset: Annotated[str, typer.Option(help="The dataset's name.")],
    reference: Reference = None,
    as_json: Json = False,
) -> None:
    """Read a file as a push would, store nothing, and say what is missing or unreadable.

    Needs no hub: only the territory file, for its column maps.
    """
    known = DATASETS.get(f"{partner}/{dataset}")
    if known is None:
        raise NotFound(
            "unknown-dataset",
            fr="Ce partenaire n’a pas de jeu de données de ce nom.",
            en="This partner has no dataset of this name.",
            who="partner",
            facts={"known": sorted(DATASETS)},
        )
    reference = reference or named(file, partner, dataset)
    territory = load_territory(Settings().territory)
    reading = territory.reading(known.key, datetime.now(UTC), reference=reference)
    try:
        checked = check(known, lambda: file.open("rb"), reading)
    except OSError as error:
        raise Rejected(
            "file-unreadable",
            fr="Le fichier ne peut être ouvert.",
            en="The file cannot be opened.",
            who="partner",
        ) from error
    edge.say(checked.as_json(), as_json=as_json, text=_text(checked))
    if not checked.ok:
        raise typer.Exit(3)


def named(file: Path, partner: str, dataset: str) -> str | None:
    """Whom a file is about, out of its own name, where the dataset has such files."""
    known = DATASETS.get(f"{partner}/{dataset}")
    return known.about_one(file.name) if known is not None and known.about_one else None


def _text(checked: Checked) -> str:
    parts = []
    for column in checked.columns:
        state = "oui / yes" if column.present else "absente / missing"
        need = " *" if column.needed else ""
        parts.append(f"{column.name}{need} ← {column.source} : {state}")
    if checked.to_map:
        names = ", ".join(checked.to_map)
        parts.append(f"! à ajouter à la correspondance / to add to the column map: {names}")
    if checked.to_correct:
        names = ", ".join(checked.to_correct)
        parts.append(f"! en-têtes absents du fichier / headers not in the file: {names}")
    if checked.unread:
        parts.append(f"+ {checked.unread} colonnes non lues / columns not read")
    if checked.refused:
        code, where = checked.refused
        words = REASONS[code].words
        parts.append(f"✗ {code} ({where})\n  {words['fr']}\n  {words['en']}")
    else:
        parts.append(f"{checked.received} lignes / rows, {checked.valid} valides / valid")
        if checked.skipped:
            parts.append(f"+ {checked.skipped} hors du jeu de données / no part of the dataset")
    parts += [written(checked.findings, language) for language in ("fr", "en")]
    return "\n".join(part for part in parts if part)
