"""Stages: one maker each, no public constructor, and a skipped gate does not type-check."""

import ast
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import release, stages

ROOT = Path(__file__).parents[2]
SKIPPED_GATE = """
from connectors.contract import Dataset
from hub.stages import Recognised, Parsed, People, pseudonymise, admit
from hub.storage.tables import Tables

def skip(chunk: Recognised, parsed: Parsed, people: People, tables: Tables) -> None:
    pseudonymise(chunk, people)
    tables.append("coachco2/trips/trips", [chunk], "push", personal=True)
    Parsed(1)
"""


def mints() -> dict[str, set[str]]:
    """Stage name to the functions that mint it, over the whole tree."""
    found: dict[str, set[str]] = {}
    for path in ROOT.glob("hub/**/*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "_mint"
                    and isinstance(node.func.value, ast.Name)
                ):
                    found.setdefault(node.func.value.id, set()).add(f"{module}.{function.name}")
    return found


def test_each_stage_has_its_one_maker() -> None:
    made = mints()
    assert set(made) == set(stages.MAKERS)
    for stage, makers in made.items():
        expected = stages.MAKERS[stage]
        # A protocol has several implementations: the same method, in its own folder.
        place, method = expected.rsplit(".", 1)
        within = "hub.storage." if place == "hub.storage.tables" else place
        assert {maker.rsplit(".", 1)[1] for maker in makers} == {method}, stage
        assert all(maker.startswith(within) for maker in makers), stage


@pytest.mark.parametrize("stage", [*stages.MAKERS])
def test_no_stage_can_be_constructed(stage: str) -> None:
    made = getattr(stages, stage, None) or getattr(release, stage)
    with pytest.raises(TypeError):
        made()


def test_skipping_a_gate_does_not_type_check(tmp_path: Path) -> None:
    wrong = tmp_path / "skip.py"
    wrong.write_text(SKIPPED_GATE)
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file",
         str(ROOT / "pyproject.toml"), str(wrong)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    errors = [line for line in answer.stdout.splitlines() if "skip.py" in line]
    assert len(errors) == 3, answer.stdout
    assert all("arg-type" in e or "list-item" in e or "unreachable" in e for e in errors), errors


def test_reading_ahead_keeps_the_order_and_says_what_went_wrong_in_its_place() -> None:
    def chunks() -> Iterator[int]:
        yield from range(10)
        raise ValueError("the eleventh")

    got: list[int] = []
    with stages.ahead(chunks()) as read, pytest.raises(ValueError, match="the eleventh"):
        got.extend(read)
    assert got == list(range(10))


def test_reading_ahead_stops_with_its_context() -> None:
    read: list[int] = []

    def chunks() -> Iterator[int]:
        for number in itertools.count():
            read.append(number)
            yield number

    with stages.ahead(chunks()) as ahead:
        assert next(ahead) == 0
    stopped = len(read)
    assert 1 <= stopped <= 6
    assert not [t for t in threading.enumerate() if t.name.startswith("reading")]
