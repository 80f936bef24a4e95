"""The consent gate: which people's rows may go on, by digest.

Three bases. `consent`: only who has a standing grant; silence refuses. `public_task`: everyone
but who objected. `not_personal`: nobody, because a row with a digest is about a person whatever
its agreement says. An objection refuses under every basis. Anything unknown refuses: a basis, a
missing digest, a digest of another length.

Works on distinct digests, in Arrow; a push of millions of rows asks once per person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from consent.lookup import UNKNOWN, Lookup
from consent.pseudonyms import DIGEST_BYTES

NOBODY_SAID: Final = "unknown"
"""Population of a person who declared none (there is no grant under a public task)."""


@dataclass(frozen=True)
class Standing:
    """Who stands for one partner and purpose at one moment.

    `granted` and `population` are aligned; `objected` holds digests that are refused whatever
    else is known. All arrays of `binary` and `string`. Raises `ValueError` where they are not.
    """

    granted: pa.Array
    population: pa.Array
    objected: pa.Array

    def __post_init__(self) -> None:
        if len(self.granted) != len(self.population):
            raise ValueError("each granted digest needs its population")
        types = (self.granted.type, self.population.type, self.objected.type)
        if types != (pa.binary(), pa.string(), pa.binary()):
            raise ValueError(f"standing needs binary, string and binary, not {types}")

    @cached_property
    def grants(self) -> Lookup:
        """Where a digest stands among those that granted."""
        return Lookup(self.granted, keyed=True)

    @cached_property
    def objections(self) -> Lookup:
        """Where a digest stands among those that objected."""
        return Lookup(self.objected, keyed=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """For each digest asked about, in order: admitted or not, and the declared population."""

    admitted: pa.BooleanArray
    population: pa.StringArray


def admit(digests: pa.Array, basis: str, standing: Standing) -> Verdict:
    """Decide for each of these (distinct) digests. Never raises for what it does not know."""
    whole = pc.fill_null(pc.equal(pc.binary_length(digests), DIGEST_BYTES), False)
    grant = _place(digests, standing.grants)
    objected = pc.is_valid(_place(digests, standing.objections))
    if basis == "consent":
        basis_holds = pc.is_valid(grant)
    elif basis == "public_task":
        basis_holds = pa.repeat(pa.scalar(value=True), len(digests))
    else:
        basis_holds = pa.repeat(pa.scalar(value=False), len(digests))
    return Verdict(
        admitted=pc.and_(pc.and_(whole, basis_holds), pc.invert(objected)),
        population=pc.fill_null(standing.population.take(grant), NOBODY_SAID),
    )


def _place(digests: pa.Array, among: Lookup) -> pa.Array:
    """Where each digest stands, null where it does not or is none."""
    places = among.places(digests)
    nowhere = (places == UNKNOWN) | digests.is_null().to_numpy(zero_copy_only=False)
    return pa.array(places, mask=nowhere)
