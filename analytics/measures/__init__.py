"""One published indicator per file; `MEASURES` is the list of them."""

from collections.abc import Mapping
from typing import Final

from analytics.measures.carbon_balance import CARBON_BALANCE
from analytics.measures.modal_split import MODAL_SPLIT
from analytics.measures.places import PLACES
from analytics.measures.presence import PRESENCE
from analytics.model import Cells, Column, Measure, Protected

MEASURES: Final[Mapping[str, Measure]] = {
    one.name: one for one in (MODAL_SPLIT, CARBON_BALANCE, PLACES, PRESENCE)
}

__all__ = ["MEASURES", "Cells", "Column", "Measure", "Protected"]
