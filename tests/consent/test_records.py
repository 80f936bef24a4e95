"""Records: each mandatory field is there, both halves are told apart, terms resolve in DPV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rdflib
from rdflib.namespace import DCTERMS, RDF

from consent import dpv, records
from consent.errors import ConsentError
from consent.model import Granted, Month, ParentalHalf, check_grant
from consent.purposes import PURPOSES

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
VOCABULARIES = Path(__file__).parents[2] / "../shared/data/vocab"
ADDRESS = "https://hub.example/v1/consents/g-1"
PARTIES = (
    records.Party("region", "Région", "controller", "1 rue", "dpo", "public"),
    records.Party("app", "App", "processor", "2 rue", "dpo", "private"),
    records.Party("app-collector", "App", "collector", "2 rue", "dpo", "private"),
)


def granted(*, joint: bool) -> Granted:
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


def made(**changes: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "record_id": "g-1",
        "purpose": "school-mobility",
        "notice_version": "2025-06",
        "language": "fr",
        "events": records.given(granted(joint=False), "g-1"),
        "parties": PARTIES,
    }
    return records.record(**asked | changes)


def every_record() -> Iterator[dict[str, Any]]:
    """Each purpose, given alone, given by two, refused, and what may come after."""
    answers = [
        records.given(granted(joint=False), "g-1"),
        records.given(granted(joint=True), "g-1"),
        records.refused(NOW, "g-1"),
    ]
    for purpose in PURPOSES:
        for events in answers:
            one = made(purpose=purpose, events=events)
            yield one
            for state in ("withdrawn", "expired", "objected"):
                yield records.ended(one, state, NOW)


def lacking(section: str, fields: Mapping[str, Any]) -> list[str]:
    return [name for name in records.MANDATORY[section] if fields.get(name) in (None, "")]


def test_no_record_lacks_a_mandatory_field() -> None:
    for one in every_record():
        assert lacking("header", one) == []
        for section in ("purposes", "party", "event"):
            assert one[section]
            for entry in one[section]:
                assert lacking(section, entry) == [], section
        for purpose in one["purposes"]:
            for kind in purpose["pii_information"]:
                assert lacking("pii_information", kind) == []
        assert json.loads(json.dumps(one)) == one


def test_a_record_names_the_version_and_the_words_that_were_read() -> None:
    notice = PURPOSES["school-mobility"].notice
    assert made()["privacy_notice"] == {"version": "2025-06", "sha256": notice.digest}
    assert made()["purposes"][0]["pii_controllers"] == ["region"]


def test_a_joint_consent_is_two_events_of_two_entities() -> None:
    one, two = records.given(granted(joint=True), "g-1")
    assert (one["entity_id"], two["entity_id"]) == ("g-1 person", "g-1 parental authority")
    assert one["event_time"] < two["event_time"]
    assert one["validity_duration"] == two["validity_duration"] == "2026-10-01T00:00:00+00:00"
    (alone,) = records.given(granted(joint=False), "g-1")
    assert alone["entity_id"] == "g-1 person"


@pytest.mark.parametrize("state", ["withdrawn", "expired", "objected"])
def test_what_came_later_is_one_event_more(state: str) -> None:
    one = made()
    later = records.ended(one, state, NOW)
    assert later["event"][:-1] == one["event"]
    said = {"objected": "withdrawn"}.get(state, state)
    assert (later["event"][-1]["event_state"], later["event"][-1]["event_time"]) == (
        said, NOW.isoformat(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "advertising"}, "unknown-purpose"),
        ({"notice_version": "2031-01"}, "notice-never-published"),
    ],
)
def test_no_record_of_what_was_never_asked(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(ConsentError) as refused:
        made(**changes)
    assert refused.value.code == code


@pytest.fixture(scope="module")
def defined() -> set[rdflib.term.Node]:
    """Every term the published vocabularies define."""
    if not VOCABULARIES.is_dir():
        pytest.skip("the published vocabularies are not beside this clone")
    graph = rdflib.Graph()
    for name in ("dpv-2.3", "eu-gdpr-2.3", "pd-2.3"):
        graph.parse(VOCABULARIES / f"{name}.ttl")
    return set(graph.subjects())


def own(term: rdflib.term.Node) -> bool:
    return str(term).startswith(ADDRESS)


def test_every_term_resolves(defined: set[rdflib.term.Node]) -> None:
    graph = rdflib.Graph()
    for one in every_record():
        graph.parse(data=json.dumps(dpv.jsonld(one, ADDRESS)), format="json-ld")
    terms = {p for p in graph.predicates() if p != RDF.type and not str(p).startswith(str(DCTERMS))}
    terms |= set(graph.objects(None, RDF.type))
    terms |= {
        o
        for o in graph.objects()
        if isinstance(o, rdflib.URIRef) and not own(o) and str(o) != records.SCHEMA
    }
    assert len(terms) > 40
    assert sorted(str(term) for term in terms - defined) == []


def test_linked_data_says_who_answers_and_how_the_consent_stands() -> None:
    graph = rdflib.Graph()
    ended = records.ended(made(events=records.given(granted(joint=True), "g-1")), "withdrawn", NOW)
    graph.parse(data=json.dumps(dpv.jsonld(ended, ADDRESS)), format="json-ld")
    states = graph.query(
        "SELECT ?state ?who WHERE { ?r dpv:hasConsentStatus ?e . ?e a ?state ."
        " ?e dpv:isIndicatedBy ?x . ?x a ?who }",
        initNs={"dpv": rdflib.Namespace(dpv.CONTEXT["dpv"])},
    )
    said = sorted((str(row[0]).split("#")[1], str(row[1]).split("#")[1]) for row in states)  # type: ignore[index]
    assert said == [
        ("ConsentGiven", "DataSubject"),
        ("ConsentGiven", "ParentOfDataSubject"),
        ("ConsentWithdrawn", "DataSubject"),
    ]
