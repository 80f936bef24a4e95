"""An attacker gathers every proof of a release he can get, and tries to count its contributors.

He sees what is declared, any number of proofs (of presence from accomplices, of absence at any
position he likes), and in the end the stored tree itself.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from consent import contributors
from consent.contributors import Proof, Tree
from hub import contributors as hub_contributors
from hub.audit import contributions
from hub.parts import Parts, utc_now
from hub.storage.objects import MemoryObjects

LEAVES: Final = 256
FEW, MANY = 4, 250
ACCOMPLICES, PROBES, TREES = 3, 40, 80


@dataclass(frozen=True)
class World:
    """One release: its tree, and the positions of those who work for the attacker."""

    tree: Tree
    accomplices: list[bytes]


def world(rng: random.Random, people: int, leaves: int = LEAVES) -> World:
    nonce = rng.randbytes(32)
    real = [contributors.position(rng.randbytes(32), nonce) for _ in range(people)]
    tree = contributors.build(contributors.padded(real, leaves, rng.randbytes))
    return World(tree, real[:ACCOMPLICES])


def gathered(rng: random.Random, one: World) -> list[Proof]:
    probes = [rng.randbytes(32) for _ in range(PROBES)]
    return [one.tree.prove(sought) for sought in (*one.accomplices, *probes)]


def seen(proofs: list[Proof]) -> dict[str, float]:
    """What an attacker can measure of a heap of proofs."""
    leaves = {proof.leaf for proof in proofs if proof.leaf}
    hashes = {one for proof in proofs for one in proof.path}
    depths = sorted(len(proof.path) for proof in proofs)
    return {
        "distinct leaves": len(leaves),
        "distinct hashes": len(hashes),
        "hashes in all": sum(depths),
        "deepest": depths[-1],
        "shallowest": depths[0],
        "median depth": depths[len(depths) // 2],
        "ends in nothing": sum(proof.leaf is None for proof in proofs),
        "empty beside the path": sum(proof.path.count(contributors.EMPTY) for proof in proofs),
        "bytes": sum(len(json.dumps(contributions.shown(proof))) for proof in proofs),
        "leading bits of leaves": sum(leaf[0] for leaf in leaves) / max(1, len(leaves)),
    }


def distance(one: list[float], two: list[float]) -> float:
    """Kolmogorov and Smirnov's: the largest gap between two distributions."""
    return max(
        abs(sum(x <= at for x in one) / len(one) - sum(x <= at for x in two) / len(two))
        for at in {*one, *two}
    )


# Two samples of TREES from one distribution are further apart once in a thousand measurements.
BY_CHANCE: Final = 1.95 * (2 / TREES) ** 0.5


def samples(people: int, leaves: int = LEAVES) -> dict[str, list[float]]:
    rng = random.Random(hashlib.sha256(b"%d of %d" % (people, leaves)).digest())
    measured = [seen(gathered(rng, world(rng, people, leaves))) for _ in range(TREES)]
    return {name: [one[name] for one in measured] for name in measured[0]}


def test_nothing_measurable_tells_few_contributors_from_many() -> None:
    few, many = samples(FEW), samples(MANY)
    for name in few:
        assert distance(few[name], many[name]) < BY_CHANCE, name


def test_the_same_attacker_counts_a_tree_that_is_not_padded() -> None:
    """Or the test above would prove nothing."""
    few, many = samples(60, leaves=60), samples(MANY, leaves=MANY)
    found = {name for name in few if distance(few[name], many[name]) > BY_CHANCE}
    assert {"distinct hashes", "hashes in all", "bytes", "median depth"} <= found


@pytest.mark.parametrize("people", [0, 1, FEW, MANY, LEAVES])
def test_the_tree_does_not_depend_on_who_in_it_is_real(people: int) -> None:
    """Exactly: the same positions make the same bytes, however many of them are people's."""
    rng = random.Random(7)
    positions = [rng.randbytes(32) for _ in range(LEAVES)]
    decoys = iter(positions[people:])
    made = contributors.padded(positions[:people], LEAVES, lambda _: next(decoys))
    assert contributors.build(made).data == contributors.build(sorted(positions)).data
    assert next(decoys, None) is None


def declared_by(people: int, rng: random.Random) -> tuple[dict[str, Any], MemoryObjects]:
    objects = MemoryObjects()
    parts = SimpleNamespace(
        territory=SimpleNamespace(contributor_leaves=LEAVES),
        token=lambda count: rng.randbytes(count).hex(),
        objects=objects,
    )
    secrets = [rng.randbytes(32) for _ in range(people)]
    declared = hub_contributors.Declared(utc_now(), secrets)
    return hub_contributors.declare(cast("Parts", parts), declared), objects


def test_what_a_release_declares_and_keeps_has_one_size() -> None:
    sizes = set()
    for people in (0, FEW, MANY, LEAVES):
        said, objects = declared_by(people, random.Random(people))
        (name,) = objects.list()
        kept = objects.get(name)
        sizes.add((len(kept), len(said["root"]), len(said["nonce"]), said["leaves"], *sorted(said)))
    assert len(sizes) == 1


def test_nobody_is_followed_from_one_release_to_the_next() -> None:
    """The same people in two releases: no position, and no hash but of nothing, comes twice."""
    rng = random.Random(11)
    secrets = [rng.randbytes(32) for _ in range(MANY)]

    def everything(nonce: bytes) -> set[bytes]:
        real = [contributors.position(secret, nonce) for secret in secrets]
        tree = contributors.build(contributors.padded(real, LEAVES, rng.randbytes))
        proofs = [tree.prove(one) for one in real]
        return {h for p in proofs for h in (p.leaf or b"", *p.path)} - {contributors.EMPTY}

    assert everything(rng.randbytes(32)).isdisjoint(everything(rng.randbytes(32)))


Statistic = Callable[[Iterable[bytes]], float]


@pytest.mark.parametrize(
    "statistic",
    [
        lambda ones: sum(int.from_bytes(p, "big").bit_count() for p in ones) / LEAVES,
        lambda ones: sum(p[-1] for p in ones) / LEAVES,
        lambda ones: (
            min(
                int.from_bytes(b, "big") - int.from_bytes(a, "big")
                for a, b in zip(sorted(ones)[:-1], sorted(ones)[1:], strict=True)
            )
            / 2**256
        ),
    ],
    ids=["bits", "last byte", "closest pair"],
)
def test_the_stored_tree_itself_tells_no_more(statistic: Statistic) -> None:
    """Whoever takes the objects has every position: people's look like decoys."""

    def measured(people: int) -> list[float]:
        rng = random.Random(people)
        found = []
        for _ in range(TREES):
            data = world(rng, people).tree.data
            found.append(statistic([data[32 * n + 32 : 32 * n + 64] for n in range(LEAVES)]))
        return found

    assert distance(measured(FEW), measured(MANY)) < BY_CHANCE
