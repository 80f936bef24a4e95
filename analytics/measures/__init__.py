"""One published indicator per file; `MEASURES` is the list of them."""

from collections.abc import Mapping
from typing import Final

from analytics.measures.carbon_balance import CARBON_BALANCE
from analytics.measures.modal_split import MODAL_SPLIT
from analytics.measures.places import PLACES
from analytics.model import Column, Measure

MEASURES: Final[Mapping[str, Measure]] = {
    one.name: one for one in (MODAL_SPLIT, CARBON_BALANCE, PLACES)
}

__all__ = ["MEASURES", "Column", "Measure"]
