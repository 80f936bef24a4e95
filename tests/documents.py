"""Generated parts of the documents: written by `--write`, held current by `make check`.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from typer.testing import CliRunner

from connectors.registry import DATASETS
from consent.model import diagram
from hub.cli.app import app
from hub.events import VOCABULARY
from hub.settings import Settings
from hub.stages import MAKERS

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("ARCHITECTURE.md", "README.md")
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def events() -> str:
    """The closed vocabulary of audit events."""
    rows = [f"| `{k}` | {m.who} | {m.says} | {m.discloses} |" for k, m in VOCABULARY.items()]
    return "\n".join(
        ["| event | who | what happened | discloses |", "| --- | --- | --- | --- |", *rows]
    )


def settings() -> str:
    """Every setting, from the settings object."""
    rows = [
        f"| `HUB_{name.upper()}` | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | what it sets |", "| --- | --- |", *rows])


def stages() -> str:
    """The stages and their makers."""
    rows = [f"| `{name}` | `{maker}` |" for name, maker in MAKERS.items()]
    return "\n".join(["| stage | made only by |", "| --- | --- |", *rows])


def grants() -> str:
    """The states of a grant, as a diagram."""
    return f"```mermaid\n{diagram()}\n```"


def datasets() -> str:
    """The datasets partners push."""
    rows = [
        f"| `{key}` | {dataset.title['en']} | {'people' if dataset.subject else 'nobody'} |"
        for key, dataset in sorted(DATASETS.items())
    ]
    return "\n".join(["| dataset | what it is | about |", "| --- | --- | --- |", *rows])


def commands() -> str:
    """The command line's own list of commands."""
    listed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "100", "TERM": "dumb"}).output
    names = re.findall(r"^[│ ]\s*([a-z]+)\s{2,}(.+?)\s*│?$", listed, re.MULTILINE)
    return "\n".join(
        ["| command | does |", "| --- | --- |"] + [f"| `hub {n}` | {t} |" for n, t in names]
    )


PARTS: Mapping[str, Callable[[], str]] = {
    "events": events,
    "settings": settings,
    "stages": stages,
    "datasets": datasets,
    "grants": grants,
    "commands": commands,
}


def current(text: str) -> str:
    """A document with its generated parts made anew."""
    return PART.sub(lambda m: f"{m[1]}{PARTS[m[2]]()}\n{m[3]}", text)


def main() -> int:
    """Write the documents, or with `--check` say which are not current."""
    stale = []
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text("utf-8")
        if (new := current(text)) != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(new, "utf-8")
    if "--check" in sys.argv and stale:
        sys.stderr.write(f"not current: {', '.join(stale)}; run python -m tests.documents\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
