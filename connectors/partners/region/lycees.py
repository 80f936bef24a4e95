"""Lycées out of the directory of schools (`fr-en-annuaire-education`), one row per lycée.

Headers of 2023 and 2026 differ and the API writes them in lower case: columns are found by name
whatever the case, blanks or underscores. Other schools are no part of the dataset. A section
attached to another lycée, or a second line of the same one, is folded into it with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvrows import read_csv
from connectors.documented import documented
from connectors.layouts import NUMBER, Column, Columns, Layout, Rule, matching, placed, published

UAI: Final = matching(r"\d{7}[A-Z]")
COMMUNE: Final = matching(r"(?:\d{2}|2[AB])\d{3}")
SECTIONS: Final = ("334", "335")
"""Natures of sections whose pupils belong to another lycée."""

SCHEMA: Final = documented(
    ("uai", pa.string(), "code de l'établissement", "code of the school"),
    ("name", pa.string(), "nom", "name"),
    ("commune", pa.string(), "code INSEE de la commune", "INSEE code of the commune"),
    ("commune_name", pa.string(), "commune", "commune"),
    ("department", pa.string(), "département", "department"),
    ("lon", pa.float64(), "longitude", "longitude", "degree"),
    ("lat", pa.float64(), "latitude", "latitude", "degree"),
    ("nature", pa.string(), "nature de l'établissement", "nature of the school"),
    ("public", pa.bool_(), "secteur public", "public sector"),
    ("boarding", pa.bool_(), "internat", "boarding"),
    optional=("commune", "commune_name", "nature", "public", "boarding"),
)


def _is_lycee(columns: Columns) -> pa.Array:
    kinds = columns["type"]
    names = pc.utf8_lower(pc.utf8_trim_whitespace(kinds.dictionary))
    return pc.is_in(names, value_set=pa.array(["lycée", "lycee"])).take(kinds.indices)


def _attached(columns: Columns, _: Reading) -> pa.Array:
    section = pc.is_in(columns["nature_code"], value_set=pa.array(SECTIONS))
    return pc.and_(section, pc.is_valid(columns["mother"]))


def _finish(columns: Columns) -> Mapping[str, pa.Array]:
    return {
        **columns,
        # Three characters in the directory, "045" and "02A"; overseas ones keep all three.
        "department": pc.replace_substring_regex(columns["department"], "^0(..)$", r"\1"),
        "public": pc.equal(columns["sector"], "Public"),
        "boarding": pc.equal(columns["lodging"], "1"),
    }


LAYOUT: Final = Layout(
    table="lycees",
    schema=SCHEMA,
    delimiter=";",
    columns=(
        Column("uai", ("Identifiant_de_l_etablissement", "numero_uai"), UAI, "missing_value"),
        Column("name", ("Nom_etablissement", "appellation_officielle"), blank="missing_value"),
        Column("type", ("Type_etablissement",)),
        Column("commune", ("Code_commune",), COMMUNE),
        Column("commune_name", ("Nom_commune", "libelle_commune")),
        Column("department", ("Code_departement",), blank="missing_value"),
        Column("lon", ("longitude",), NUMBER, "position_missing"),
        Column("lat", ("latitude",), NUMBER, "position_missing"),
        Column("nature", ("libelle_nature",), required=False),
        Column("nature_code", ("code_nature",), required=False),
        Column("mother", ("etablissement_mere",), required=False),
        Column("sector", ("Statut_public_prive",), required=False),
        Column("lodging", ("Hebergement",), required=False),
    ),
    rules=(
        *placed(),
        Rule("missing_value", "commune", lambda columns, _: pc.is_null(columns["commune"]), "warn"),
        Rule("attached_section", "mother", _attached, "fold"),
    ),
    finish=_finish,
    scope=_is_lycee,
    where="department",
    unique="uai",
    on_repeat="fold",
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    return read_csv(file, LAYOUT, reading)


HEADER: Final = (
    "Identifiant_de_l_etablissement;Nom_etablissement;Type_etablissement;Statut_public_prive;"
    "Code_postal;Code_commune;Nom_commune;Code_departement;Hebergement;latitude;longitude;"
    "code_nature;libelle_nature;etablissement_mere"
)
POTHIER: Final = (
    "0450049J;Lycée Pothier;Lycée;Public;45000;45234;Orléans;045;1;47.9031;1.9046;"
    "300;LYCEE ENSEIGNT GENERAL ET TECHNOLOGIQUE;"
)
THIERRY: Final = (
    "0410002E;Lycée Augustin Thierry;Lycée;Public;41000;41018;Blois;041;1;47.5784;1.3169;"
    "306;LYCEE POLYVALENT;"
)
SCHOOL: Final = "0450001A;École;Ecole;Public;45000;45234;Orléans;045;0;;;151;ECOLE;"


def _file(*rows: str, header: str = HEADER) -> bytes:
    return ("\ufeff" + "\n".join([header, POTHIER, *rows, ""])).encode()


def _with(before: str, after: str) -> Callable[[], bytes]:
    return lambda: _file(THIERRY.replace(before, after, 1))


EXAMPLES: Final = (
    Example("two lycées and a school", lambda: _file(SCHOOL, THIERRY), valid=2),
    Example("header of 2023", lambda: _file(header=HEADER.replace("Code_postal", "Code postal")),
            1),
    Example("names of the API", lambda: _file(header=HEADER.lower()), valid=1),
    Example("windows line ends", lambda: _file(THIERRY).replace(b"\n", b"\r\n"), valid=2),
    Example("only schools", lambda: _file(SCHOOL).replace(POTHIER.encode() + b"\n", b""), valid=0),
    Example("attached section", _with("306;LYCEE POLYVALENT;", "334;SECTION;0450049J"), 2, {},
            {"attached_section": 1}, rows={"lycees": 1}),
    Example("second line of one", lambda: _file(POTHIER), 2, {}, {"duplicate_row": 1},
            rows={"lycees": 1}),
    Example("no commune", _with("41018", ""), 2, {}, {"missing_value": 1}),
    Example("wrong UAI", _with("0410002E", "410002"), 1, {"wrong_code": 1}),
    Example("no UAI", _with("0410002E", ""), 1, {"missing_value": 1}),
    Example("no name", _with("Lycée Augustin Thierry", ""), 1, {"missing_value": 1}),
    Example("commune by name", _with("41018", "Blois"), 1, {"wrong_code": 1}),
    Example("no position", _with("47.5784", ""), 1, {"position_missing": 1}),
    Example("decimal comma", _with("47.5784", "47,5784"), 1, {"not_a_number": 1}),
    Example("swapped", _with("47.5784;1.3169", "1.3169;47.5784"), 1, {"position_swapped": 1}),
    Example("off the globe", _with("47.5784", "97.5"), 1, {"position_outside_world": 1}),
    Example("one cell too many", _with("Blois", "Blois;Blois"), 1, {"wrong_column_count": 1}),
    Example("cut in the last line", lambda: _file(THIERRY)[:-60], 1, {"wrong_column_count": 1}),
    Example("latin-1", lambda: _file().decode("utf-8-sig").encode("latin-1"),
            malformed="wrong_encoding"),
    Example("commas", lambda: _file().replace(b";", b","), malformed="wrong_delimiter"),
    Example("no latitude", lambda: _file().replace(b"latitude", b"lat"),
            malformed="missing_column"),
    Example("nothing", lambda: b"", malformed="empty_file"),
)  # fmt: skip

LYCEES: Final = Dataset(
    partner="region",
    name="lycees",
    title={"fr": "Lycées", "en": "Lycées"},
    source="fr-en-annuaire-education, en-têtes 2023 et 2026",
    tables={"lycees": SCHEMA},
    read=_read,
    examples=EXAMPLES,
    published=published(LAYOUT),
    delimiter=";",
)
