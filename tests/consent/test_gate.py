"""The gate against its specification in plain Python, and everything unknown refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.gate import Standing, admit

PEOPLE = [bytes([n]) * 32 for n in range(8)]
PERSON = st.sampled_from([*PEOPLE, None, b"", b"short", b"x" * 33])
BASES = ["consent", "public_task", "not_personal", "", "CONSENT", "legitimate_interest"]


def standing(
    granted: dict[bytes, str | None] | None = None, objected: list[bytes] | None = None
) -> Standing:
    granted = granted or {}
    return Standing(
        pa.array(list(granted), pa.binary()),
        pa.array(list(granted.values()), pa.string()),
        pa.array(objected or [], pa.binary()),
    )


def expected(
    person: bytes | None, basis: str, known: dict[bytes, str | None], no: set[bytes]
) -> bool:
    if person is None or len(person) != 32 or person in no:
        return False
    return {"consent": person in known, "public_task": True}.get(basis, False)


@given(
    asked=st.lists(PERSON, unique=True, max_size=10),
    basis=st.sampled_from(BASES),
    granted=st.dictionaries(
        st.sampled_from([*PEOPLE, b"short"]), st.sampled_from(["pupil", "staff", None])
    ),
    objected=st.sets(st.sampled_from(PEOPLE)),
)
def test_the_gate_is_its_specification(
    asked: list[bytes | None],
    basis: str,
    granted: dict[bytes, str | None],
    objected: set[bytes],
) -> None:
    verdict = admit(pa.array(asked, pa.binary()), basis, standing(granted, list(objected)))
    assert verdict.admitted.type == pa.bool_()
    assert verdict.population.type == pa.string()
    assert verdict.admitted.to_pylist() == [
        expected(person, basis, granted, objected) for person in asked
    ]
    assert verdict.population.to_pylist() == [
        (granted.get(person) if person is not None else None) or "unknown" for person in asked
    ]


def test_silence_refuses_where_the_basis_is_consent() -> None:
    assert admit(pa.array(PEOPLE, pa.binary()), "consent", standing()).admitted.to_pylist() == (
        [False] * len(PEOPLE)
    )


def test_an_objection_beats_a_grant() -> None:
    known = standing({PEOPLE[0]: "pupil"}, [PEOPLE[0]])
    for basis in BASES:
        assert admit(pa.array(PEOPLE[:1]), basis, known).admitted.to_pylist() == [False]


def test_a_row_about_a_person_is_never_not_personal() -> None:
    known = standing(dict.fromkeys(PEOPLE, "pupil"))
    assert not any(admit(pa.array(PEOPLE), "not_personal", known).admitted.to_pylist())


def test_a_standing_that_is_not_aligned_or_not_digests_is_a_fault() -> None:
    empty = pa.array([], pa.binary())
    with pytest.raises(ValueError, match="population"):
        Standing(pa.array(PEOPLE), pa.array(["pupil"]), empty)
    with pytest.raises(ValueError, match="binary"):
        Standing(pa.array(["aa"]), pa.array(["pupil"]), empty)
