"""Delimited text, written the same way on every machine."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv


def write_rows(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    delimiter: str,
    encoding: str = "utf-8",
) -> None:
    """Write a few rows."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_csv(table: pa.Table, path: Path, delimiter: str = ",") -> None:
    """Write many rows. Nulls are empty; a value that would need quotes is an error."""
    options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="none", include_header=False)
    with path.open("wb") as file:
        # Arrow would quote the names of columns even so.
        file.write(delimiter.join(table.column_names).encode() + b"\n")
        pacsv.write_csv(table, file, options)
