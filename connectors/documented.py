"""Arrow schemas that carry their own documentation: French and English words, and the unit."""

from __future__ import annotations

import pyarrow as pa


def documented(*columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> pa.Schema:
    """A schema of `(name, type, French, English[, unit])`; `optional` columns may hold nulls."""
    return pa.schema([_field(*column, optional=optional) for column in columns])


def _field(
    name: str, kind: pa.DataType, fr: str, en: str, unit: str = "", *, optional: tuple[str, ...]
) -> pa.Field:
    words = {"fr": fr, "en": en} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=name in optional, metadata=words)
