"""The Région and open data: lycées, enrolments, car-pool places, timetables."""

from connectors.contract import Dataset
from connectors.partners.region.carpool import CARPOOL_PLACES
from connectors.partners.region.enrolments import ENROLMENTS
from connectors.partners.region.gtfs import GTFS
from connectors.partners.region.lycees import LYCEES

DATASETS: tuple[Dataset, ...] = (LYCEES, ENROLMENTS, CARPOOL_PLACES, GTFS)
