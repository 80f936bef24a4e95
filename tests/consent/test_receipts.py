"""Receipts: the mandatory fields are there, both halves are told apart, nobody is named."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from consent.errors import ConsentError
from consent.model import Granted, Month, ParentalHalf, check_grant
from consent.purposes import PURPOSES
from consent.receipts import consent_facts, withdrawal_facts

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def grant(*, joint: bool) -> Granted:
    return check_grant(
        purpose="school-mobility",
        notice_version="2025-06",
        population="pupil",
        given_at=NOW - timedelta(days=2),
        expires_at=None,
        birth=Month(2011, 9) if joint else Month(2009, 5),
        parent=ParentalHalf(NOW - timedelta(days=1), "family account") if joint else None,
        now=NOW,
    )


def facts(**changes: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "record_id": "g-1",
        "purpose": "school-mobility",
        "notice_version": "2025-06",
        "language": "fr",
        "granted": grant(joint=False),
        "collected_by": "coachco2",
        "controllers": ["region"],
    }
    return consent_facts(**asked | changes)


def test_the_record_has_the_sections_the_standard_makes_mandatory() -> None:
    made = facts()
    for name in ("schema_version", "record_id", "pii_principal_id", "privacy_notice", "language"):
        assert made[name]
    (purpose,) = made["purposes"]
    for name in (
        "lawful_basis",
        "pii_information",
        "pii_controllers",
        "storage_locations",
        "retention_period",
        "jurisdiction",
        "withdrawal_method",
    ):
        assert purpose[name], name
    assert purpose["recipient_third_parties"] == []
    assert made["privacy_notice"]["sha256"] == PURPOSES["school-mobility"].notice.digest


def test_a_joint_consent_is_two_events_of_two_entities() -> None:
    one, two = facts(granted=grant(joint=True))["event"]
    assert (one["entity_id"], two["entity_id"]) == ("person", "parental authority")
    assert one["event_time"] < two["event_time"]
    assert one["validity_duration"] == two["validity_duration"] == "2026-10-01T00:00:00+00:00"
    assert [event["entity_id"] for event in facts()["event"]] == ["person"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "advertising"}, "unknown-purpose"),
        ({"notice_version": "2031-01"}, "notice-never-published"),
    ],
)
def test_no_receipt_for_what_was_never_asked(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(ConsentError) as refused:
        facts(**changes)
    assert refused.value.code == code


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
    for made in (facts(), facts(granted=grant(joint=True))):
        assert json.loads(json.dumps(made)) == made
