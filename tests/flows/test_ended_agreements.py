"""What came in under an agreement outlives it: its people still leave, look and object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hub import agreements, consents, release, retention, rights, withdraw, worker
from hub.errors import Rejected
from hub.events import AuditEvent, Kind
from hub.participation import PERSON, Door
from hub.parts import OPERATOR, Parts
from hub.records import Basis, Erasure, Withdrawal
from tests.flows import world
from tests.flows.test_holds import ADA, BOB, TRIPS, joins, rows, visitor
from tests.flows.test_participation import BUS, stop
from tests.flows.test_release import MODES, PEOPLE
from tests.flows.test_withdraw import found

CARD = "CARD-4411"
TAPS = "transdev/validations/validations"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.hub_with_places(tmp_path / "var")
    yield made
    made.books.close()


def ended(parts: Parts, dataset: str) -> None:
    """The hub's side ends the agreement on a dataset."""
    agreement = parts.books.agreement(*dataset.split("/"))
    assert agreement is not None
    agreements.end(parts, OPERATOR, agreement.number)
    assert parts.books.agreement(*dataset.split("/")) is None


def renewed(parts: Parts, dataset: str, basis: Basis, terms: dict[str, object]) -> None:
    """The operator records another agreement on it, for the same purpose."""
    partner, name = dataset.split("/")
    agreements_of = [
        a for a in parts.books.concluded() if (a.partner, a.dataset) == (partner, name)
    ]
    event = AuditEvent(Kind.AGREEMENT_RECORDED, "hub", dataset, parts.clock())
    another = replace(agreements_of[-1], basis=basis, terms=terms)
    parts.books.add_agreement(another, event=event)


def asks(parts: Parts, reference: str = ADA) -> Withdrawal:
    digest = consents.digest_of(parts, "coachco2", reference)
    return withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_person_leaves_though_the_agreement_is_over(parts: Parts, when: str) -> None:
    world.agree(parts, ADA, BOB)
    world.pushed(parts, "coachco2/trips", world.trips([ADA, BOB], days=2))
    assert found(parts, ADA) != []
    if when == "before":
        ended(parts, "coachco2/trips")
    made = asks(parts)
    if when == "meanwhile":
        ended(parts, "coachco2/trips")
    worker.drain(parts)
    done = parts.books.withdrawal(made.id)
    assert done is not None
    assert (done.state, list(done.tables)) == (Erasure.COMPLETED, [TRIPS])
    assert found(parts, ADA) == []
    assert rows(parts) == 4


def test_a_person_leaves_though_the_agreement_now_says_nobody_is_in_it(parts: Parts) -> None:
    world.agree(parts, ADA)
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=2))
    renewed(parts, "coachco2/trips", Basis.NOT_PERSONAL, {})
    asks(parts)
    worker.drain(parts)
    assert found(parts, ADA) == []


def test_their_code_goes_on_to_show_their_rows_and_to_end(parts: Parts) -> None:
    ada = joins(parts)
    world.pushed(parts, "coachco2/trips", world.trips([ADA], days=2))
    ended(parts, "coachco2/trips")
    seen = rights.own_rows(parts, PERSON, visitor(parts, ada), "page")
    assert [(one.table, one.rows.num_rows) for one in seen] == [(TRIPS, 4)]
    stop(parts, ada.code)
    worker.drain(parts)
    assert found(parts, ADA) == []


def test_a_card_objects_though_the_agreement_is_over_and_stays_out_when_it_is_renewed(
    parts: Parts,
) -> None:
    before = parts.books.agreement("transdev", "validations")
    assert before is not None
    world.pushed(parts, "transdev/validations", world.taps([CARD, "CARD-BOB"], days=2))
    ended(parts, "transdev/validations")
    ended(parts, "transdev/objections")
    Door(parts).object(CARD, "here")
    worker.drain(parts)
    assert rows(parts, TAPS) == 2
    renewed(parts, "transdev/validations", Basis.PUBLIC_TASK, dict(before.terms))
    again = world.pushed(parts, "transdev/validations", world.taps([CARD, "CARD-EVE"], days=3))
    assert again.kept == 3, "Eve's"


def test_nobody_is_counted_once_the_agreement_is_over(parts: Parts) -> None:
    world.agree(parts, *PEOPLE)
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE, days=4, modes=MODES))
    assert release.build(parts, "modal-split")[1]
    ended(parts, "coachco2/trips")
    with pytest.raises(Rejected) as refused:
        release.build(parts, "modal-split")
    assert (refused.value.code, refused.value.where) == ("no-basis", "coachco2/trips")


def test_taps_of_who_is_held_are_not_counted_when_they_end_after_it(parts: Parts) -> None:
    ada = joins(parts)
    Door(parts).link(BUS, ada.code, CARD)
    world.pushed(parts, "transdev/validations", world.taps([CARD, "CARD-BOB"], days=2))
    rights.open_case(parts, PERSON, "restriction", "taps", visitor(parts, ada))
    ended(parts, "transdev/validations")
    retention.run(replace(parts, clock=lambda: datetime(2040, 1, 1, 8, tzinfo=UTC)))
    (files,) = parts.tables.snapshot([f"transdev/validations/{retention.BOARDINGS}"]).files.values()
    taps = sum(sum(pq.read_table(name).column("taps").to_pylist()) for name in files)
    assert taps == 2, "Bob's two"
