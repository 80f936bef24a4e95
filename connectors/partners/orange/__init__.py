"""Orange: presence and flows of Flux Vision, and the population density of CAMARA's interface."""

from connectors.contract import Dataset
from connectors.partners.orange.density import DENSITY
from connectors.partners.orange.flows import FLOWS
from connectors.partners.orange.presence import PRESENCE

DATASETS: tuple[Dataset, ...] = (PRESENCE, FLOWS, DENSITY)
