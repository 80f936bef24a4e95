"""The Région and open data: lycées, enrolments, commutes, car-pool places, timetables."""

from connectors.contract import Dataset
from connectors.partners.region.carpool import CARPOOL_PLACES
from connectors.partners.region.commutes import COMMUTES
from connectors.partners.region.enrolments import ENROLMENTS
from connectors.partners.region.gtfs import GTFS
from connectors.partners.region.lycees import LYCEES

DATASETS: tuple[Dataset, ...] = (LYCEES, ENROLMENTS, COMMUTES, CARPOOL_PLACES, GTFS)
