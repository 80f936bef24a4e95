"""Shared by the connector tests: one moment, and a whole file read and summed up."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pytest

from connectors.contract import REASONS, Dataset, Reading, Rejected, Warned

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
READING = Reading(now=NOW)
DATA = Path(__file__).parents[2] / "../shared/data"


def real(name: str) -> Path:
    """A real file, or a skip that says so."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real file {name} is not here (../shared/data)")
    return path


@dataclass
class Outcome:
    """What came of a file."""

    received: int = 0
    skipped: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    warned: list[Warned] = field(default_factory=list)
    batches: dict[str, list[pa.RecordBatch]] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(row.code for row in self.rejected))

    @property
    def warnings(self) -> dict[str, int]:
        return dict(Counter(row.code for row in self.warned))

    @property
    def valid(self) -> int:
        return self.received - len(self.rejected)

    @property
    def rows(self) -> dict[str, int]:
        return {n: sum(b.num_rows for b in parts) for n, parts in self.batches.items()}

    def table(self, name: str) -> pa.Table:
        return pa.Table.from_batches(self.batches[name])


def read(dataset: Dataset, content: bytes | BinaryIO, reading: Reading = READING) -> Outcome:
    """Read to the end, checking on the way what holds for every batch of every dataset."""
    outcome = Outcome()
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    for batch in dataset.read(file, reading):
        assert batch.records.schema.equals(dataset.tables[batch.table], check_metadata=True)
        batch.records.validate(full=True)
        for column, declared in zip(batch.records.columns, batch.records.schema, strict=True):
            assert declared.nullable or not column.null_count, declared.name
        assert 0 <= len(batch.rejected) <= batch.received
        named: list[Rejected | Warned] = [*batch.rejected, *batch.warned]
        for row in named:
            assert row.code in REASONS
            assert row.position >= 1
        outcome.received += batch.received
        outcome.skipped += batch.skipped
        outcome.rejected += batch.rejected
        outcome.warned += batch.warned
        outcome.batches.setdefault(batch.table, []).append(batch.records)
    return outcome
