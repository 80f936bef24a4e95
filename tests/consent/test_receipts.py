"""Receipts: the mandatory fields are there, both halves are told apart, nobody is named."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

from consent.receipts import withdrawal_facts

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def test_a_withdrawal_says_how_far_it_came_and_what_is_only_attested() -> None:
    under_way = withdrawal_facts(
        record_id="w-1",
        partner="coachco2",
        purposes=["school-mobility", "linking"],
        requested_at=NOW,
        completed_at=None,
        tables={},
    )
    done = withdrawal_facts(
        record_id="w-1",
        partner="coachco2",
        purposes=["school-mobility", "linking"],
        requested_at=NOW,
        completed_at=NOW + timedelta(minutes=5),
        tables={"coachco2/trips/trips": {"version": 7}},
        backups_expire_on=date(2026, 4, 1),
    )
    assert under_way["effect"]["state"] == "under_way"
    assert under_way["effect"]["backups_expire_on"] is None
    assert done["effect"] == {
        "state": "completed",
        "completed_at": "2026-03-02T08:05:00+00:00",
        "tables": {"coachco2/trips/trips": {"version": 7}},
        "backups_expire_on": "2026-04-01",
    }
    assert done["purposes"] == ["linking", "school-mobility"]
    assert set(done["proves"]) == set(done["attests"]) == {"fr", "en"}
    assert done["proves"] != done["attests"]


def test_facts_are_plain_json() -> None:
    made = withdrawal_facts(
        record_id="w-1",
        partner="coachco2",
        purposes=["linking"],
        requested_at=NOW,
        completed_at=NOW,
        tables={},
    )
    assert json.loads(json.dumps(made)) == made
