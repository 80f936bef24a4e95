"""Every dataset a partner can push, by its key `partner/name`.

A new partner is one module under `connectors.partners` with `DATASETS`: nothing else names it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from connectors import partners
from connectors.contract import Dataset


def found() -> Mapping[str, Dataset]:
    """The datasets of every module there, in the order of their names.

    A module that does not load, or has none, stops the program: a partner is never just missing.
    """
    datasets: dict[str, Dataset] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(partners.__path__)):
        for dataset in import_module(f"{partners.__name__}.{name}").DATASETS:
            if dataset.key in datasets:
                raise ValueError(f"{dataset.key} is described twice")
            datasets[dataset.key] = dataset
    return MappingProxyType(datasets)


DATASETS: Final[Mapping[str, Dataset]] = found()
