import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.audit import merkle
from hub.errors import Rejected
from tests.audit.helpers import vectors

LEAVES = [merkle.leaf_hash(bytes([n])) for n in range(70)]


def decode(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def published(kind: str) -> list[dict[str, Any]]:
    lines = vectors(f"merkle/{kind}.jsonl").read_text("utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    assert len(cases) == 98
    return cases


def holds(check: Any, *arguments: Any) -> bool:
    try:
        check(*arguments)
    except Rejected:
        return False
    return True


def test_published_inclusion_proofs_are_decided_right() -> None:
    for case in published("inclusion"):
        v = case["vector"]
        proof = [decode(one) for one in v["proof"] or []]
        found = holds(
            merkle.check_inclusion,
            v["leafIdx"],
            v["treeSize"],
            decode(v["leafHash"]),
            proof,
            decode(v["root"]),
        )
        assert found is not v["wantErr"], case["name"]


def test_published_consistency_proofs_are_decided_right() -> None:
    for case in published("consistency"):
        v = case["vector"]
        proof = [decode(one) for one in v["proof"] or []]
        found = holds(
            merkle.check_consistency,
            v["size1"],
            v["size2"],
            decode(v["root1"]),
            decode(v["root2"]),
            proof,
        )
        assert found is not v["wantErr"], case["name"]


def test_roots_of_rfc_6962_trees() -> None:
    """Known roots: of no entry, of one empty entry, of the eight entries the CT project uses."""
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    entries.append("606162636465666768696a6b6c6d6e6f")
    leaves = [merkle.leaf_hash(bytes.fromhex(one)) for one in entries]
    assert merkle.root([]).hex().startswith("e3b0c44298fc1c14")
    assert merkle.root(leaves[:1]).hex().startswith("6e340b9cffb37a98")
    assert merkle.root(leaves[:2]).hex().startswith("fac54203e7cc696c")
    assert merkle.root(leaves).hex().startswith("5dc9da79a70659a9")


def test_every_inclusion_proof_of_small_trees_holds() -> None:
    for size in range(1, 40):
        leaves = LEAVES[:size]
        root = merkle.root(leaves)
        for index in range(size):
            proof = merkle.inclusion(index, size, merkle.range_over(leaves))
            merkle.check_inclusion(index, size, leaves[index], proof, root)


def test_every_consistency_proof_of_small_trees_holds() -> None:
    for new in range(1, 40):
        for old in range(1, new + 1):
            proof = merkle.consistency(old, new, merkle.range_over(LEAVES[:new]))
            old_root, new_root = merkle.root(LEAVES[:old]), merkle.root(LEAVES[:new])
            merkle.check_consistency(old, new, old_root, new_root, proof)


@given(st.data())
def test_a_changed_proof_never_holds(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70))
    index = data.draw(st.integers(0, size - 1))
    over = merkle.range_over(LEAVES[:size])
    root = merkle.root(LEAVES[:size])
    proof = merkle.inclusion(index, size, over)
    at = data.draw(st.integers(0, len(proof) - 1))
    change = data.draw(st.sampled_from(["flip", "drop", "repeat", "short", "index", "size0"]))
    if change == "flip":
        bit = data.draw(st.integers(0, 255))
        flipped = int.from_bytes(proof[at], "big") ^ 1 << bit
        proof[at] = flipped.to_bytes(32, "big")
    elif change == "drop":
        del proof[at]
    elif change == "repeat":
        proof.insert(at, proof[at])
    elif change == "short":
        proof[at] = proof[at][:31]
    elif change == "index":
        index = data.draw(st.integers(-1, size + 1).filter(lambda other: other != index))
    else:
        size = 0
    assert not holds(merkle.check_inclusion, index, size, LEAVES[index % 70], proof, root)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 7), st.integers(0, 255))
def test_a_rewritten_history_is_not_consistent(a: int, b: int, at: int, bit: int) -> None:
    old, new = min(a, b), max(a, b)
    rewritten = [merkle.leaf_hash(b"another"), *LEAVES[1:new]]
    over = merkle.range_over(rewritten)
    proof = merkle.consistency(old, new, over)
    before, after = merkle.root(LEAVES[:old]), merkle.root(rewritten)
    assert not holds(merkle.check_consistency, old, new, before, after, proof)
    if proof:
        at %= len(proof)
        proof[at] = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
        honest = merkle.root(rewritten[:old])
        assert not holds(merkle.check_consistency, old, new, honest, after, proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (2**64, 3)])
def test_there_is_no_proof_of_a_leaf_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(Rejected, match="no such proof"):
        merkle.inclusion(index, size, merkle.range_over(LEAVES[:size]))


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 3)])
def test_there_is_no_consistency_proof_of_other_sizes(old: int, new: int) -> None:
    with pytest.raises(Rejected, match="no such proof"):
        merkle.consistency(old, new, merkle.range_over(LEAVES[:new]))
