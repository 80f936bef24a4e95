"""A consent record as linked data: JSON-LD in the terms of the W3C Data Privacy Vocabulary 2.3.

The same facts as `consent.records`, nothing more, so that a regulator's tools read them. A test
holds every term used here to the published vocabularies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from consent import records

CONTEXT: Final[Mapping[str, str]] = {
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "pd": "https://w3id.org/dpv/pd#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}

STATES: Final[Mapping[str, str]] = {
    "requested": "dpv:ConsentRequested",
    "given": "dpv:ConsentGiven",
    "refused": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "expired": "dpv:ConsentExpired",
}
DATA: Final[Mapping[str, str]] = {
    "travel": "pd:TravelHistory",
    "location": "pd:HomeLocation",
    "preference": "pd:Preference",
}
PURPOSE_TYPES: Final[Mapping[str, str]] = {
    "improve transport and mobility": "dpv:ImproveTransportMobility",
    "improve data quality": "dpv:DataQualityImprovement",
}
RIGHTS: Final[Mapping[str, str]] = {
    "access": "gdpr:A15",
    "rectification": "gdpr:A16",
    "erasure": "gdpr:A17",
    "restriction": "gdpr:A18",
    "portability": "gdpr:A20",
    "withdrawal": "gdpr:A7-3",
}
KINDS: Final[Mapping[str, str]] = {
    "public": "dpv:GovernmentalOrganisation",
    "private": "dpv:ForProfitOrganisation",
    "other": "dpv:Organisation",
}
ENTITIES: Final[Mapping[str, tuple[str, str]]] = {
    records.PARENT: ("parent", "dpv:ParentOfDataSubject"),
    records.PERSON: ("person", "dpv:DataSubject"),
    records.HUB: ("hub", "dpv:DataProcessor"),
}
ROLES: Final[Mapping[str, str]] = {
    "controller": "dpv:hasDataController",
    "processor": "dpv:hasDataProcessor",
}


def jsonld(record: Mapping[str, Any], address: str) -> dict[str, Any]:
    """The record as a JSON-LD document about the resource at `address` (an absolute IRI)."""
    parties = {party["party_id"]: _party(party, address) for party in record["party"]}
    return {
        "@context": dict(CONTEXT),
        "@id": address,
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": {"@id": record["schema_version"]},
        "dct:identifier": record["record_id"],
        "dct:language": record["language"],
        "dpv:hasDataSubject": {"@id": f"{address}#person", "@type": "dpv:DataSubject"},
        "dpv:hasNotice": {
            "@type": "dpv:ConsentNotice",
            "dct:hasVersion": record["privacy_notice"]["version"],
            "dct:identifier": f"sha256:{record['privacy_notice']['sha256']}",
        },
        "dpv:hasProcess": [_process(one, parties, address) for one in record["purposes"]],
        "dpv:hasEntity": list(parties.values()),
        "dpv:hasConsentStatus": [_event(one, address) for one in record["event"]],
    }


def _process(
    purpose: Mapping[str, Any], parties: Mapping[str, Mapping[str, Any]], address: str
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "@type": "dpv:Process",
        "dpv:hasPurpose": {
            "@id": f"{address}#{purpose['purpose']}",
            "@type": PURPOSE_TYPES[purpose["purpose_type"]],
            "dct:title": _words(purpose["title"]),
        },
        "dpv:hasLegalBasis": {"@id": "gdpr:A6-1-a-explicit-consent"},
        "dpv:hasPersonalData": [
            {"@type": DATA[one["pii_type"]], "dct:description": one["description"]}
            for one in purpose["pii_information"]
        ],
        "dpv:hasStorageCondition": [
            {"@type": "dpv:StorageLocation", "dct:spatial": place}
            for place in purpose["storage_locations"]
        ]
        + [
            {"@type": "dpv:StorageDuration", "dct:description": _words(purpose["retention_period"])}
        ],
        "dpv:hasProcessingCondition": [
            {"@type": "dpv:ProcessingLocation", "dct:spatial": place}
            for place in purpose["processing_locations"]
        ],
        "dpv:hasJurisdiction": purpose["jurisdiction"],
        "dpv:hasIndicationMethod": purpose["collection_method"],
        "dpv:hasConsentControl": {
            "@type": "dpv:WithdrawConsent",
            "dct:description": _words(purpose["withdrawal_method"]),
        },
        "dpv:hasRight": [{"@id": RIGHTS[right]} for right in purpose["privacy_rights"]],
        "dpv:hasAuthority": {
            "@type": "dpv:DataProtectionAuthority",
            "dpv:hasName": purpose["authority_party"],
        },
    }
    for role, property_ in ROLES.items():
        named = purpose[f"pii_{role}s"]
        if named:
            made[property_] = [{"@id": parties[one]["@id"]} for one in named]
    return made


def _party(party: Mapping[str, Any], address: str) -> dict[str, Any]:
    return {
        "@id": f"{address}#party-{party['party_id']}",
        "@type": KINDS[party["party_type"]],
        "dpv:hasName": party["party_name"],
        "dpv:hasAddress": party["party_address"],
        "dpv:hasContact": party["party_contact"],
    }


def _event(event: Mapping[str, Any], address: str) -> dict[str, Any]:
    who, type_ = next(said for end, said in ENTITIES.items() if event["entity_id"].endswith(end))
    return {
        "@type": STATES[event["event_state"]],
        "dpv:isIndicatedAtTime": {"@type": "xsd:dateTime", "@value": event["event_time"]},
        "dpv:isIndicatedBy": {"@id": f"{address}#{who}", "@type": type_},
        "dpv:hasDuration": event["validity_duration"],
    }


def _words(words: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"@language": language, "@value": text} for language, text in words.items()]
