"""Examples of the app's trip export, good and bad.

The examples of a dataset are read without an account, as a push of the file alone is; what comes
out of an export whose account is known is in `tests`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from connectors.contract import Example

HEADER: Final = (
    '"Trip_Id","Trip_Start_Date","Trip_End_Date","Trip_Start_Display_Name",'
    '"Trip_Arrival_Display_Name","Trip_Purpose","Section_Start_Date","Section_End_Date",'
    '"Section_Duration","Section_Distance","Section_Mode","Section_Coordinates",'
    '"Section_Distances","Section_Timestamps","Section_Speeds"'
)


def moment(clock: str, day: str = "Mon Mar 02 2026", language: str = "heure normale") -> str:
    """A date as JavaScript prints it."""
    return f"{day} {clock} GMT+0100 ({language})"


def line(**changed: str) -> str:
    """A section as the app writes it; an empty value is one blank, without quotes."""
    cells = {
        "Trip_Id": "trip-1",
        "Trip_Start_Date": moment("08:00:00"),
        "Trip_End_Date": moment("08:20:00"),
        "Trip_Start_Display_Name": 'Rue du "Port", Blois',
        "Trip_Arrival_Display_Name": "Lycée",
        "Trip_Purpose": "",
        "Section_Start_Date": moment("08:00:00"),
        "Section_End_Date": moment("08:20:00"),
        "Section_Duration": "1200",
        "Section_Distance": "4200.5",
        "Section_Mode": "BUS",
        "Section_Coordinates": "1.9,47.9,1.91,47.91,1.92,47.92",
        "Section_Distances": "0,2000.5,2200",
        "Section_Timestamps": "1772434800000,1772435400000,1772436000000",
        "Section_Speeds": "",
    } | changed
    return ",".join(f'"{text}"' if text else " " for text in cells.values())


def export(*lines: str, header: str = HEADER) -> bytes:
    """A file of the lines."""
    return "\n".join([header, *lines]).encode()


def _nobody(**changed: str) -> Callable[[], bytes]:
    return lambda: export(line(**changed))


_ANON: Final = {"missing_identifier": 1}

EXPORT_EXAMPLES: Final = (
    Example("export without account", _nobody(), 0, _ANON),
    Example("export, windows line ends", lambda: _nobody()().replace(b"\n", b"\r\n"), 0, _ANON),
    Example("export, byte order mark", lambda: b"\xef\xbb\xbf" + _nobody()(), 0, _ANON),
    Example("export, header only", export, valid=0),
    Example("export, two trips", lambda: export(line(), line(Trip_Id="trip-2")), 0,
            {"missing_identifier": 2}),
    Example("export, latin-1", lambda: _nobody()().replace("é".encode(), b"\xe9"), 0,
            {"wrong_encoding": 1}),
    Example("export, NUL byte", _nobody(Trip_Purpose="\0"), 0, {"nul_byte": 1}),
    Example("export, a cell too many", lambda: export(line() + ", "), 0, {"wrong_column_count": 1}),
    Example("export, cut", lambda: _nobody()()[:-60], 0, {"unbalanced_quote": 1}),
    Example("export without coordinates", lambda: export(header=HEADER.replace("_Coord", "_X")),
            malformed="missing_column"),
    Example("export, column twice", lambda: export(header=HEADER + ',"Trip_Id"'),
            malformed="duplicate_column"),
)  # fmt: skip
