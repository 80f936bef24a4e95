"""The interface under generated requests: those its description allows, and those it does not.

No 5xx, no answer but what the description says, nothing without the proof it asks for. The same
requests each time; `THOROUGH=all` makes more of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    use_after_free,
)

from tests.attacks.places import Places, furnished
from tests.thorough import EVERYTHING

WHO: Final = ("client own", "operator own", "dpo other")
EACH: Final = 40 if EVERYTHING else 2
"""Requests to each operation, by each of these people, valid and invalid alike."""
CHECKS: Final = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    use_after_free,
]
"""All but those that a rule of the hub's own contradicts: that whatever the description allows is
accepted (an unknown purpose is text like any other), and that a method unknown here is a 405."""


def bounded(count: int) -> settings:
    """So many examples, the same each time."""
    return settings(
        max_examples=count,
        stateful_step_count=6,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with furnished(tmp_path_factory.mktemp("fuzz") / "var") as made:
        yield made


@pytest.fixture(scope="module")
def schema(places: Places) -> schemathesis.BaseSchema:
    described = schemathesis.openapi.from_asgi("/openapi.json", places.app)
    # Delta Sharing refuses in its own words, and has its own clients for tests.
    return described.exclude(path_regex="^/delta-sharing/")


def operations(schema: schemathesis.BaseSchema) -> list[Any]:
    """Every operation described; a description that is wrong fails here."""
    return [cast("Any", one).ok() for one in schema.get_all_operations()]


def said(case: Any, headers: dict[str, str]) -> Iterator[str]:
    """What is wrong with the answer to a request."""
    answer = case.call(headers=headers)
    try:
        case.validate_response(answer, checks=CHECKS, headers=headers)
    except FailureGroup as group:
        for failure in group.exceptions:
            yield f"{case.operation.label} {answer.status_code}: {failure.title}"


@pytest.mark.parametrize(
    ("who", "mode"),
    [*((who, GenerationMode.POSITIVE) for who in WHO), (WHO[0], GenerationMode.NEGATIVE)],
    ids=lambda value: str(getattr(value, "value", value)),
)
def test_every_answer_is_one_the_description_knows(
    places: Places, schema: schemathesis.BaseSchema, who: str, mode: GenerationMode
) -> None:
    found: list[str] = []
    tried = 0
    headers = places.headers(who, "coachco2")
    for operation in operations(schema):

        @bounded(EACH)
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            found.extend(said(case, headers))

        if mode is GenerationMode.POSITIVE or _can_be_wrong(operation.definition.raw):
            ask()
            tried += 1
    assert sorted(set(found)) == []
    assert tried > (10 if mode is GenerationMode.NEGATIVE else 40)


def _can_be_wrong(operation: dict[str, Any]) -> bool:
    """Whether a request can contradict its description: any text is an id."""
    return "requestBody" in operation or any(
        one["in"] == "query" or one["schema"].keys() - {"type", "title"}
        for one in operation.get("parameters", ())
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic YTpi"},
        {"cookie": "hub-session=wrong"},
    ],
    ids=["nothing", "a wrong token", "a password", "a wrong session"],
)
def test_what_asks_for_a_proof_answers_nobody_without(
    schema: schemathesis.BaseSchema, headers: dict[str, str]
) -> None:
    guarded = 0
    for operation in operations(schema):
        if "security" not in operation.definition.raw:
            continue
        guarded += 1

        @bounded(2)
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def ask(case: Any) -> None:
            assert case.call(headers=headers).status_code == 401, case.operation.label

        ask()
    assert guarded > 25


def test_one_answer_leads_to_the_next(places: Places, schema: schemathesis.BaseSchema) -> None:
    """Stateful: addresses and ids of answers are where the next request goes."""
    found: list[str] = []
    headers = places.headers("client own", "coachco2")

    class Going(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            try:
                case.validate_response(response, checks=CHECKS, headers=headers)
            except FailureGroup as group:
                found.extend(f"{case.operation.label}: {one.title}" for one in group.exceptions)

    run_state_machine_as_test(Going, settings=bounded(100 if EVERYTHING else 8))
    assert sorted(set(found)) == []
