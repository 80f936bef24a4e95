"""Examples of Flux Vision Tourisme deliveries, good and bad; synthetic, in the attested columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from connectors.contract import Example
from connectors.partners.region.gtfs_samples import packed

HEADER: Final = (
    "Date;VacancesA;VacancesB;VacancesC;Ferie;JourDeLaSemaine;ZoneObservation;Zone;Provenance;"
    "CategorieVisiteur;Volume"
)
ROW: Final = "2026-03-02;0;1;0;0;lundi;Loiret;Orléans;NONLOCAL;TOURISTE;1200"


def family(*rows: str, more: str = "", cells: str = "") -> str:
    """One family's file; `more` columns and their `cells` stand last."""
    lines = [HEADER + more, ROW + cells, *(row + cells for row in rows)]
    return "\n".join([*lines, ""])


def delivery(**files: str) -> bytes:
    """A zip of families, by name without `.csv`."""
    return packed({f"{name}.csv": text for name, text in files.items()})


def _bad(before: str, after: str) -> Callable[[], bytes]:
    return lambda: delivery(Nuitee_2026=family(ROW.replace(before, after, 1)))


_ONE: Final = {"visitors": 1}
_TWO: Final = {"visitors": 2}
VISITOR_EXAMPLES: Final = (
    Example("visitors: nights and days", lambda: delivery(Nuitee_2026=family(),
            Diurne_2026=family()), 2, rows=_TWO),
    Example("visitors: by country", lambda: delivery(Nuitee_Pays_2026=family(more=";Pays",
            cells=";Belgique")), 1, rows=_ONE),
    Example("visitors: by age", lambda: delivery(Diurne_Age=family(more=";Age",
            cells=";18-24 ans")), 1, rows=_ONE),
    Example("visitors: stays", lambda: delivery(SejourDuree_Departement=family(
            more=";NomDepartement;DureeSejour;DureeSejourNum", cells=";Cher;2 nuits;2")), 1,
            rows=_ONE),
    Example("visitors: places", lambda: delivery(LieuActivite_Soir_2026=family(
            more=";ZoneDiurneSoir;CodeInseeDiurneSoir", cells=";Blois;41018")), 1, rows=_ONE),
    Example("visitors: in a folder", lambda: packed({"livraison/Nuitee_x.csv": family()}), 1,
            rows=_ONE),
    Example("visitors: words of another year", _bad("TOURISTE", "Excursionniste récurrent"), 2,
            rows=_TWO),
    Example("visitors: latin-1", lambda: packed({"Nuitee.csv": family().encode("latin-1")}), 1,
            rows=_ONE),
    Example("visitors: other files beside", lambda: packed({"Nuitee.csv": family(),
            "LISEZMOI.txt": "x"}), 1, rows=_ONE),
    Example("visitors: under the floor", _bad(";1200", ";19"), 1, {"below_source_floor": 1},
            rows=_ONE),
    Example("visitors: volume not given", _bad(";1200", ";-1"), 1, {"missing_value": 1},
            rows=_ONE),
    Example("visitors: unknown category", _bad("TOURISTE", "PASSANT"), 1, {"unknown_value": 1},
            rows=_ONE),
    Example("visitors: unknown provenance", _bad("NONLOCAL", "PARTOUT"), 1, {"unknown_value": 1},
            rows=_ONE),
    Example("visitors: French date", _bad("2026-03-02", "02/03/2026"), 1, {"wrong_date": 1},
            rows=_ONE),
    Example("visitors: no zone", _bad(";Orléans", ";"), 1, {"missing_value": 1}, rows=_ONE),
    Example("visitors: holidays, perhaps", _bad(";0;1;0;0;", ";0;peut-être;0;0;"), 1,
            {"not_a_boolean": 1}, rows=_ONE),
    Example("visitors: no family", lambda: packed({"visiteurs.csv": family()}),
            malformed="missing_table"),
    Example("visitors: no volume", lambda: delivery(Nuitee=family().replace("Volume", "Vol")),
            malformed="missing_column"),
    Example("visitors: zip in a zip", lambda: packed({"Nuitee.csv": delivery(Nuitee=family())}),
            malformed="wrong_format"),
    Example("visitors: climbing", lambda: packed({"../Nuitee.csv": family()}),
            malformed="unsafe_archive"),
    Example("visitors: family twice", lambda: packed({"a/Nuitee.csv": family(),
            "b/Nuitee.csv": family()}), malformed="duplicate_table"),
)  # fmt: skip
