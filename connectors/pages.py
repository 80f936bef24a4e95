"""A partner's page for a dataset, in Markdown: what to send, why rows are refused, examples.

Made from the connector alone, so that it cannot say other than what is checked. French first,
English beside.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

import pyarrow as pa

from connectors.contract import REASONS, Dataset, Example, Published
from connectors.registry import DATASETS

SNIPPET: Final = 5
WIDTH: Final = 110
_KINDS: Final[Mapping[str, str]] = {
    "string": "texte / text",
    "date": "date AAAA-MM-JJ",
    "datetime": "date et heure ISO 8601 / date and time",
    "number": "nombre, point décimal / number",
    "integer": "entier / integer",
    "boolean": "true, false, 1, 0",
}
_EFFECTS: Final[Mapping[str, str]] = {
    "file": "fichier refusé / file refused",
    "row": "ligne écartée / row set aside",
    "kept": "ligne gardée, signalée / row kept, told",
}


def pages() -> dict[str, str]:
    """Every page, by the name of its file: `partner-dataset.md`."""
    return {f"{key.replace('/', '-')}.md": page(dataset) for key, dataset in DATASETS.items()}


def page(dataset: Dataset) -> str:
    """The page of one dataset."""
    parts = [
        f"# {dataset.title['fr']} / {dataset.title['en']}",
        f"`{dataset.key}` · {dataset.source} · {', '.join(dataset.media_types)}",
        _about(dataset),
    ]
    if dataset.published:
        separator = f"`{dataset.delimiter}`"
        parts += [
            "## Colonnes à envoyer / Columns to send",
            f"Séparateur / separator {separator}, UTF-8, une ligne d'en-tête / one header line. "
            "\\* : obligatoire / required.",
            _table(
                ("colonne", "type", "forme / form", "sens / meaning"), map(_row, dataset.published)
            ),
        ]
    parts += ["## Ce qui en sort / What comes of it", *_outcomes(dataset)]
    parts += [
        "## Motifs / Reasons",
        _table(("code", "effet / effect", "français", "English"), _reasons(dataset)),
        "## Exemples / Examples",
        *_snippet(dataset),
        _table(("fichier / file", "résultat / result"), map(_example, dataset.examples)),
    ]
    return "\n\n".join(parts) + "\n"


def _about(dataset: Dataset) -> str:
    if dataset.subject:
        return (
            "Données de personnes : la référence est pseudonymisée avant tout stockage. / "
            "About people: the reference is pseudonymised before anything is stored."
        )
    return "Aucune personne n'y figure. / Nobody is in it."


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _row(column: Published) -> tuple[str, ...]:
    name = f"`{column.name}`" + (" \\*" if column.required else "")
    if column.also:
        name += f" ({', '.join(column.also)})"
    form = f"`{column.pattern}`" if column.pattern else ""
    if column.least is not None:
        form = f"≥ {column.least:g}"
    told = " / ".join(column.words.values()) or "vérifiée, non gardée / checked, not kept"
    return name, _KINDS[column.kind], form, told + _unit(column.unit)


def _unit(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _outcomes(dataset: Dataset) -> list[str]:
    parts = []
    for name, schema in dataset.tables.items():
        rows = ((f"`{column.name}`", _type(column.type), _told(column)) for column in schema)
        parts += [f"Table `{name}`", _table(("colonne", "type", "sens / meaning"), rows)]
    return parts


def _type(kind: pa.DataType) -> str:
    return "list" if pa.types.is_list(kind) else str(kind)


def _told(column: pa.Field) -> str:
    told = {key.decode(): text.decode() for key, text in (column.metadata or {}).items()}
    optional = " · peut être vide / may be empty" if column.nullable else ""
    return f"{told['fr']} / {told['en']}{_unit(told.get('unit', ''))}{optional}"


def reasons(dataset: Dataset) -> dict[str, list[str]]:
    """Codes the examples show by their effect: `file` refused, `row` set aside, `kept` (told)."""
    shown = dataset.examples
    return {
        "file": sorted({e.malformed for e in shown if e.malformed}),
        "row": sorted(set(itertools.chain(*(e.rejected for e in shown)))),
        "kept": sorted(set(itertools.chain(*(e.warned for e in shown)))),
    }


def snippet(dataset: Dataset) -> list[str]:
    """The first lines of the first good example, cut; none where it is no text."""
    content = dataset.examples[0].content()
    if dataset.examples[0].malformed or dataset.examples[0].rejected or b"\0" in content:
        return []
    lines = content.decode("utf-8-sig").splitlines()[:SNIPPET]
    return [line if len(line) <= WIDTH else line[:WIDTH] + "…" for line in lines]


def _reasons(dataset: Dataset) -> list[tuple[str, ...]]:
    return [
        (f"`{code}`", _EFFECTS[effect], REASONS[code].words["fr"], REASONS[code].words["en"])
        for effect, codes in reasons(dataset).items()
        for code in codes
    ]


def _snippet(dataset: Dataset) -> list[str]:
    lines = snippet(dataset)
    return ["\n".join(["```", *lines, "```"])] if lines else []


def _example(example: Example) -> tuple[str, ...]:
    if example.malformed:
        return example.name, f"✗ `{example.malformed}`"
    told = [f"{example.valid} ✓"]
    told += [f"{count} × `{code}`" for code, count in example.rejected.items()]
    told += [f"{count} × `{code}` (gardé / kept)" for code, count in example.warned.items()]
    return example.name, ", ".join(told)
