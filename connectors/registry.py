"""Every dataset a partner can push, by its key `partner/name`.

A new partner is one module under `connectors.partners` with `DATASETS`, named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.contract import Dataset
from connectors.partners import coachco2, covoiturage, orange, region, transdev

DATASETS: Final[Mapping[str, Dataset]] = MappingProxyType(
    {
        dataset.key: dataset
        for partner in (coachco2, covoiturage, orange, region, transdev)
        for dataset in partner.DATASETS
    }
)
