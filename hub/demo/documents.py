"""Trips as `io.cozy.timeseries.geojson` documents (formats §1.1), with the faults real ones have.

Some trips lack `aggregation` or sections, some times carry no offset or are in UTC, some
durations are negative. None of the faults depends on what the trip was for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from hub.demo import modes
from hub.demo.diary import Trip
from hub.demo.people import Person
from hub.demo.traces import Traces, local_stamps, perceived

DEVICE: Final = "synthétique"
PURPOSES: Final = (
    "COMMUTE", "SHOPPING", "SPORT", "ENTERTAINMENT", "PICK_DROP", "PERSONAL_MED", "OTHER_PURPOSE",
)  # fmt: skip
KINDS: Final = ((7200, "+02:00"), (3600, "+01:00"), (0, "+00:00"))
OFFSETS: Final = dict(KINDS)


class Writer:
    """Lays out documents. `rich` adds what the format allows and few readers need."""

    def __init__(
        self,
        trips: Sequence[Trip],
        people: Sequence[Person],
        traces: Traces,
        rng: np.random.Generator,
        *,
        rich: bool,
    ) -> None:
        """`trips` and `traces` go together, row by row."""
        self.trips, self.people, self.traces, self.rich = trips, people, traces, rich
        n, sections = len(trips), len(traces.section_mode)
        self.sensed, self.by_hand = perceived(traces, rng)
        self.ids = rng.bytes(16 * n).hex()
        self.parts = rng.bytes(12 * (3 * n + sections)).hex()
        fault = rng.random((n, 4))
        self.without_aggregation = (fault[:, 0] < 0.04).tolist()
        self.without_sections = (fault[:, 1] < 0.008).tolist()
        self.negative = ((fault[:, 2] < 0.006) & (fault[:, 1] >= 0.008)).tolist()
        naive, utc = fault[:, 3] < 0.015, fault[:, 3] > 0.97
        offset = np.where(utc, 0, traces.offset)
        self.suffix = [
            "" if bare else OFFSETS[int(o)] for bare, o in zip(naive, offset, strict=True)
        ]
        self.starts = local_stamps(traces.start, offset)
        self.ends = local_stamps(traces.start + traces.duration, offset)
        owner = np.repeat(np.arange(n), np.diff(traces.first))
        self.section_starts = local_stamps(traces.section_start, offset[owner])
        self.section_ends = local_stamps(
            traces.section_start + traces.section_duration, offset[owner]
        )
        drawn = rng.integers(0, 9 * len(PURPOSES), (n, 2))
        self.purposes = [
            [PURPOSES[p] if p < len(PURPOSES) else None for p in row] for row in drawn.tolist()
        ]

    def document_id(self, row: int) -> str:
        """`_id` of a document."""
        return self.ids[32 * row : 32 * row + 32]

    def trip_id(self, row: int) -> str:
        """`series[0].id` of a document."""
        return self._part(3 * row)

    def encoded(self, rows: Sequence[int]) -> Iterator[bytes]:
        """Documents as JSON, one by one."""
        encoder = msgspec.json.Encoder()
        for row in rows:
            yield encoder.encode(self._document(row))

    def _part(self, number: int) -> str:
        return self.parts[24 * number : 24 * number + 24]

    def _document(self, row: int) -> dict[str, Any]:
        trip, traces, suffix = self.trips[row], self.traces, self.suffix[row]
        start, end = self.starts[row] + suffix, self.ends[row] + suffix
        seconds = round(float(traces.duration[row]), 1)
        origin, target = traces.origin[row].tolist(), traces.end[row].tolist()
        ids = [self._part(3 * row + n) for n in range(3)]
        sections = range(int(traces.first[row]), int(traces.first[row + 1]))
        metres = round(float(traces.section_metres[sections.start : sections.stop].sum()), 1)
        features = [
            self._place("start_place", ids[1], origin, trip.origin.commune, start),
            self._place("end_place", ids[2], target, trip.end.commune, end),
        ]
        if not self.without_sections[row]:
            if self.rich and len(sections) > 1:
                features.append(self._stop(row, sections[1]))
            features += [self._section(row, number) for number in sections]
        epoch = round(float(traces.start[row]), 1)
        properties: dict[str, Any] = {
            "feature_type": "trip",
            "start_fmt_time": start,
            "end_fmt_time": end,
            "duration": -seconds if self.negative[row] else seconds,
            "distance": metres,
            "start_loc": {"type": "Point", "coordinates": origin},
            "end_loc": {"type": "Point", "coordinates": target},
            "start_place": {"$oid": ids[1]},
            "end_place": {"$oid": ids[2]},
        }
        if suffix:  # a time without offset leaves the reader to know it is French
            properties |= {"start_ts": epoch, "end_ts": round(epoch + seconds, 1)}
        if self.rich:
            properties["start_local_dt"] = _local(self.starts[row], trip.day.weekday())
            properties["end_local_dt"] = _local(self.ends[row], trip.day.weekday())
            properties["source"] = "DwellSegmentationTimeFilter"
        by_hand, automatic = self.purposes[row]
        if by_hand:
            properties["manual_purpose"] = by_hand
        if automatic:
            properties["automatic_purpose"] = automatic
        document: dict[str, Any] = {
            "_id": self.document_id(row),
            "startDate": start,
            "endDate": end,
            "source": "demo-synthetique",
            "captureDevice": DEVICE,
            "cozyMetadata": {"sourceAccount": self.people[trip.person].reference},
            "series": [
                {
                    "type": "FeatureCollection",
                    "id": ids[0],
                    "properties": properties,
                    "features": features,
                }
            ],
        }
        if not self.without_aggregation[row]:
            document["aggregation"] = self._aggregation(row, sections, seconds, metres)
        return document

    def _place(
        self, kind: str, number: str, point: list[float], commune: str, at: str
    ) -> dict[str, Any]:
        properties: dict[str, Any] = {"feature_type": kind, "display_name": commune}
        if self.rich:
            properties["display_name"] = f"Lieu synthétique, {commune}"
            properties |= {"enter_fmt_time": at, "exit_fmt_time": at, "duration": 180}
        return {
            "type": "Feature",
            "id": number,
            "geometry": {"type": "Point", "coordinates": point},
            "properties": properties,
        }

    def _stop(self, row: int, section: int) -> dict[str, Any]:
        return {
            "type": "Feature",
            "id": self._part(3 * len(self.trips) + section)[::-1],
            "geometry": {"type": "Point", "coordinates": self.traces.points[section][0]},
            "properties": {
                "feature_type": "stop",
                "enter_fmt_time": self.section_starts[section] + self.suffix[row],
                "exit_fmt_time": self.section_starts[section] + self.suffix[row],
                "duration": 15,
            },
        }

    def _section(self, row: int, number: int) -> dict[str, Any]:
        traces = self.traces
        seconds = round(float(traces.section_duration[number]), 1)
        properties: dict[str, Any] = {
            "feature_type": "section",
            "sensed_mode": f"PredictedModeTypes.{self.sensed[number]}",
            "start_fmt_time": self.section_starts[number] + self.suffix[row],
            "end_fmt_time": self.section_ends[number] + self.suffix[row],
            "duration": -seconds if self.negative[row] else seconds,
            "distance": round(float(traces.section_metres[number]), 1),
            "distances": traces.distances[number],
            "timestamps": traces.timestamps[number],
        }
        by_hand = self.by_hand[number]
        if by_hand:
            properties["manual_mode"] = by_hand
        if self.rich:
            properties["speeds"] = traces.speeds[number]
            properties["times"] = [stamp // 1000 for stamp in traces.timestamps[number]]
            properties["trip_id"] = {"$oid": self._part(3 * row)}
            properties["source"] = "SmoothedHighConfidenceMotion"
        feature = {
            "type": "Feature",
            "id": self._part(3 * len(self.trips) + number),
            "geometry": {"type": "LineString", "coordinates": traces.points[number]},
            "properties": properties,
        }
        return {"type": "FeatureCollection", "features": [feature]}

    def _aggregation(
        self, row: int, sections: range, seconds: float, metres: float
    ) -> dict[str, Any]:
        traces = self.traces
        parts: list[dict[str, Any]] = []
        for number in sections if not self.without_sections[row] else ():
            guess, by_hand = self.sensed[number], self.by_hand[number]
            mode = by_hand if by_hand and by_hand != "BIKE" else guess
            length, time = traces.section_metres[number], traces.section_duration[number]
            part: dict[str, Any] = {
                "id": self._part(3 * len(self.trips) + number),
                "mode": mode,
                "CO2": round(float(length) / 1000 * modes.CO2.get(mode, 0.0), 4),
                "calories": 0,
                "avgSpeed": round(float(length / time * 3.6), 1),  # km/h, whatever types.js says
                "duration": round(float(time), 1),
                "distance": round(float(length), 1),
            }
            if self.rich:
                part["startDate"] = self.section_starts[number] + self.suffix[row]
                part["endDate"] = self.section_ends[number] + self.suffix[row]
            parts.append(part)
        trip = self.trips[row]
        summary: dict[str, Any] = {
            "automaticTitle": trip.end.commune,
            "totalCO2": round(sum(part["CO2"] for part in parts), 4),
            "totalDistance": metres,
            "totalDuration": seconds,
            "totalCalories": 0,
            "startPlaceDisplayName": trip.origin.commune,
            "endPlaceDisplayName": trip.end.commune,
            "purpose": self.purposes[row][0] or self.purposes[row][1],
            "modes": [part["mode"] for part in parts],
        }
        return summary | {"sections": parts} if self.rich else summary


def _local(stamp: str, weekday: int) -> dict[str, Any]:
    """An e-mission `local_dt`."""
    names = ("year", "month", "day", "hour", "minute", "second")
    numbers = (stamp[0:4], stamp[5:7], stamp[8:10], stamp[11:13], stamp[14:16], stamp[17:19])
    fields: dict[str, Any] = {n: int(v) for n, v in zip(names, numbers, strict=True)}
    return fields | {"weekday": weekday, "timezone": "Europe/Paris"}
