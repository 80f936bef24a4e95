"""Car-pool places: the national base (BNLC), schema-lieux-covoiturage, one row per place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvrows import read_csv
from connectors.documented import documented
from connectors.layouts import (
    BOOLEAN,
    DATE,
    INTEGER,
    NUMBER,
    Column,
    Columns,
    Layout,
    Rule,
    at_least,
    dated,
    placed,
    published,
)
from connectors.partners.region.lycees import COMMUNE

KINDS: Final = (
    "Aire de covoiturage", "Sortie d'autoroute", "Parking", "Supermarché", "Parking relais",
    "Délaissé routier", "Auto-stop",
)  # fmt: skip
SCHEMA: Final = documented(
    ("id", pa.string(), "identifiant du lieu", "identifier of the place"),
    ("name", pa.string(), "nom", "name"),
    ("commune", pa.string(), "code INSEE de la commune", "INSEE code of the commune"),
    ("kind", pa.string(), "type de lieu", "kind of place"),
    ("lon", pa.float64(), "longitude", "longitude", "degree"),
    ("lat", pa.float64(), "latitude", "latitude", "degree"),
    ("capacity", pa.int64(), "places", "spaces"),
    ("open", pa.bool_(), "ouvert", "open"),
    ("updated", pa.date32(), "mis à jour le", "updated on"),
    optional=("capacity",),
)


FAR_KM: Final = 15.0
"""From the chef-lieu; the widest communes of metropolitan France reach about 20 km across."""
APART_KM: Final = 30.0
"""From the other places of the same commune, where its chef-lieu is not known."""


def _far(columns: Columns, reading: Reading) -> pa.Array:
    """Far from the chef-lieu where that is known, else from the commune's other places.

    With neither, nothing can be said: a département is wider than the error looked for.
    """
    lon, lat = (np.asarray(columns[name].fill_null(np.nan)) for name in ("lon", "lat"))
    codes = np.asarray(columns["commune"].to_pylist(), object)
    far = np.zeros(len(codes), bool)
    for code in {code for code in codes if code}:
        here = np.flatnonzero(codes == code)
        if (centre := reading.communes.get(code)) is not None:
            far[here] = _km(lon[here], lat[here], *centre) > FAR_KM
        elif len(here) > 2:
            middle = float(np.nanmedian(lon[here])), float(np.nanmedian(lat[here]))
            far[here] = _km(lon[here], lat[here], *middle) > APART_KM
    return pa.array(far)


def _km(lon: np.ndarray, lat: np.ndarray, to_lon: float, to_lat: float) -> np.ndarray:
    """Distance over a flat Earth, near enough under 100 km; nan where a position is missing."""
    east = (lon - to_lon) * 111.32 * np.cos(np.radians(to_lat))
    return np.asarray(np.hypot(east, (lat - to_lat) * 110.57))


def _unlisted(columns: Columns, _: Reading) -> pa.Array:
    plain = pc.replace_substring(columns["kind"], "’", "'")
    return pc.invert(pc.is_in(plain, value_set=pa.array(KINDS)))


LAYOUT: Final = Layout(
    table="carpool_places",
    schema=SCHEMA,
    columns=(
        Column("id", ("id_lieu",), blank="missing_value"),
        Column("name", ("nom_lieu",), blank="missing_value"),
        Column("commune", ("insee",), COMMUNE, "missing_value"),
        Column("kind", ("type",), blank="missing_value"),
        Column("lon", ("Xlong",), NUMBER, "position_missing"),
        Column("lat", ("Ylat",), NUMBER, "position_missing"),
        Column("capacity", ("nbre_pl",), INTEGER, required=False),
        Column("open", ("ouvert",), BOOLEAN, "missing_value"),
        Column("updated", ("date_maj",), DATE, "missing_value"),
    ),
    rules=(
        *placed(),
        *dated("updated"),
        at_least("capacity", 0),
        Rule("unknown_value", "kind", _unlisted, "warn"),
        Rule("far_from_commune", "lon", _far, "warn"),
    ),
    finish=lambda columns: columns,
    where="commune",
    unique="id",
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    return read_csv(file, LAYOUT, reading)


HEADER: Final = (
    "id_lieu,id_local,nom_lieu,ad_lieu,com_lieu,insee,type,date_maj,ouvert,source,Xlong,Ylat,"
    "nbre_pl,nbre_pmr,duree,horaires,proprio,lumiere,comm"
)
BLOIS: Final = (
    "41018-C-001,,Aire de Blois,Rue de la Gare,Blois,41018,Parking relais,2024-06-15,true,"
    "244500468,1.32,47.585,24,1,,,Ville,true,"
)


def _file(*rows: str) -> bytes:
    good = (
        "45234-C-001,P1,Aire nord,,Orléans,45234,Aire de covoiturage,2022-06-02,true,244500468,"
        '1.9,47.93,,,,,,,"éclairée,\nfermée la nuit"'
    )
    return "\n".join([HEADER, good, *rows, ""]).encode()


def _with(before: str, after: str) -> Callable[[], bytes]:
    return lambda: _file(BLOIS.replace(before, after, 1))


EXAMPLES: Final = (
    Example("two places", lambda: _file(BLOIS), valid=2),
    Example("kind off the list", _with("Parking relais", "Hangar"), 2, {}, {"unknown_value": 1}),
    Example("far from the others", lambda: _file(
        *(BLOIS.replace("-001", f"-00{n}").replace("1.32", f"1.3{n}") for n in (1, 2, 3)),
        BLOIS.replace("-001", "-004").replace("1.32", "2.1")), 5, {}, {"far_from_commune": 1}),
    Example("curly apostrophe", _with("Parking relais", "Sortie d’autoroute"), valid=2),
    Example("no capacity", _with(",24,", ",,"), valid=2),
    Example("same place twice", lambda: _file(BLOIS, BLOIS), 2, {"duplicate_row": 1}),
    Example("no identifier", _with("41018-C-001", ""), 1, {"missing_value": 1}),
    Example("open, perhaps", _with("true", "oui"), 1, {"not_a_boolean": 1}),
    Example("commune cut", _with(",41018,", ",4108,"), 1, {"wrong_code": 1}),
    Example("French date", _with("2024-06-15", "15/06/2024"), 1, {"wrong_date": 1}),
    Example("future", _with("2024-06-15", "2099-06-15"), 1, {"date_in_future": 1}),
    Example("swapped", _with("1.32,47.585", "47.585,1.32"), 1, {"position_swapped": 1}),
    Example("minus one space", _with(",24,", ",-1,"), 1, {"impossible_value": 1}),
    Example("quote never closed", _with("Rue de", '"Rue de'), 1, {"unbalanced_quote": 1}),
    Example("cut in the last line", lambda: _file(BLOIS)[:-50], 1, {"wrong_column_count": 1}),
    Example("semicolons", lambda: _file().replace(b",", b";"), malformed="wrong_delimiter"),
    Example("no Xlong", lambda: _file().replace(b"Xlong", b"x"), malformed="missing_column"),
    Example("latin-1", lambda: _file().decode().encode("latin-1"), malformed="wrong_encoding"),
    Example("nothing", lambda: b"", malformed="empty_file"),
)  # fmt: skip

CARPOOL_PLACES: Final = Dataset(
    partner="region",
    name="carpool-places",
    title={"fr": "Lieux de covoiturage", "en": "Car-pool places"},
    source="BNLC, etalab/schema-lieux-covoiturage 0.2",
    tables={"carpool_places": SCHEMA},
    read=_read,
    examples=EXAMPLES,
    published=published(LAYOUT),
)
