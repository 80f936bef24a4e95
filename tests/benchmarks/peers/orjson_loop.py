"""A loop pulls the fields of a trip out of NDJSON with orjson; prints the seconds it took.

Nothing is checked but that the fields are there. Argument: the file.
"""

import sys
import time

import orjson

begun = time.perf_counter()
rows = []
with open(sys.argv[1], "rb") as file:  # noqa: PTH123 - the shortest loop there is
    for line in file:
        document = orjson.loads(line)
        serie = document["series"][0]
        about = serie["properties"]
        sections = [
            {
                "mode": part["properties"]["sensed_mode"],
                "distance_m": part["properties"]["distance"],
                "duration_s": part["properties"]["duration"],
            }
            for feature in serie["features"]
            if feature["type"] == "FeatureCollection"
            for part in feature["features"]
        ]
        start_lon, start_lat = about["start_loc"]["coordinates"]
        end_lon, end_lat = about["end_loc"]["coordinates"]
        rows.append(
            {
                "subject": document["cozyMetadata"]["sourceAccount"],
                "trip": document["_id"],
                "start": about["start_ts"],
                "end": about["end_ts"],
                "start_lon": start_lon,
                "start_lat": start_lat,
                "end_lon": end_lon,
                "end_lat": end_lat,
                "distance_m": about["distance"],
                "duration_s": about["duration"],
                "sections": sections,
                "app_co2_kg": document["aggregation"]["totalCO2"],
                "purpose": about["manual_purpose"],
            }
        )
sys.stdout.write(f"{time.perf_counter() - begun}\n")
