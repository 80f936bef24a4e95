"""CoachCO2 (La Fabrique des Mobilités on Cozy): trips of participants, and the app's measures."""

from connectors.contract import Dataset
from connectors.partners.coachco2.measures import MEASURES
from connectors.partners.coachco2.trips import TRIPS

DATASETS: tuple[Dataset, ...] = (TRIPS, MEASURES)
