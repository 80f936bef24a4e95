"""Transdev: badge taps, and the cards whose holders object to their use."""

from connectors.contract import Dataset
from connectors.partners.transdev.objections import OBJECTIONS
from connectors.partners.transdev.validations import HEADER, LAYOUT, VALIDATIONS

__all__ = ["DATASETS", "HEADER", "LAYOUT"]

DATASETS: tuple[Dataset, ...] = (VALIDATIONS, OBJECTIONS)
