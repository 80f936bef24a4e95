"""Columns that several published tables share."""

from __future__ import annotations

from typing import Final

from analytics.model import Column

DIMENSIONS: Final = (
    Column("school_year", "string", "Année scolaire", "School year"),
    Column("population", "string", "Population (jamais mêlées)", "Population (never pooled)"),
    Column(
        "geography",
        "string",
        "Maille : lycée, autres lycées du département ensemble, département, région",
        "Level: lycée, a department's other lycées together, department, region",
    ),
    Column("area", "string", "Code du territoire", "Area code"),
    Column("area_name", "string", "Nom du territoire", "Area name"),
)


def figures(unit: str, fr: str, en: str) -> tuple[Column, ...]:
    """Estimate and bounds in a unit."""
    return (
        Column("estimate", "double", f"{fr}, arrondi selon la classe", f"{en}, rounded", unit),
        Column("low", "double", "Borne basse (95 %)", "Lower bound (95 %)", unit),
        Column("high", "double", "Borne haute (95 %)", "Upper bound (95 %)", unit),
        Column(
            "contributors",
            "string",
            "Classe du nombre de participants, vide si masqué",
            "Class of the number of contributors, empty where suppressed",
            "people",
        ),
        Column("suppressed", "bool", "Sans chiffre à cette maille", "No figure at this level"),
    )


NOTE: Final = Column(
    "note",
    "string",
    "Où le chiffre est compté s’il n’est pas montré, ou catégories réunies",
    "Where the figure is counted if not shown, or categories merged",
)
