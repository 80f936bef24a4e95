"""The log and its proofs before Go's tree and note packages (`deploy/verifier`)."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hub.audit import merkle, tiles
from hub.audit.notes import VerifierKey
from hub.audit.store import FolderStore
from tests.audit.helpers import NOW, grown, record, signer, vectors

ROOT = Path(__file__).parents[2]
KEY = signer().verifier
TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


def verifier() -> str:
    built = ROOT / "build/bin/log-verifier"
    found = str(built) if built.exists() else shutil.which("log-verifier")
    if found:
        return found
    message = "no log-verifier in build/bin nor on the path: `make services` builds it with Go"
    if os.environ.get("SERVICES") == "required":
        pytest.fail(message)
    pytest.skip(message)


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [verifier(), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def verdicts(claims: Iterable[dict[str, Any]]) -> list[bool]:
    done = run("proofs", stdin="".join(json.dumps(claim) + "\n" for claim in claims))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def inclusion(index: int, leaf: bytes, proof: list[bytes], size: int, root: bytes) -> Any:
    return {
        "size": size,
        "root": b64(root),
        "index": index,
        "leaf": b64(leaf),
        "proof": [b64(one) for one in proof],
    }


def consistency(old: int, old_root: bytes, proof: list[bytes], size: int, root: bytes) -> Any:
    return {
        "size": size,
        "root": b64(root),
        "old": old,
        "old_root": b64(old_root),
        "proof": [b64(one) for one in proof],
    }


@pytest.mark.parametrize("batches", [(0,), (1,), (255, 1), (3, 4, 5, 600), (4096, 700)])
def test_our_logs_verify_there_and_extend_their_earlier_checkpoints(
    tmp_path: Path, batches: tuple[int, ...]
) -> None:
    log, outbox = grown(FolderStore(tmp_path / "log"), 0)
    older = []
    for n, count in enumerate(batches):
        older.append(tmp_path / f"older.{n}")
        older[-1].write_bytes(log.checkpoint())
        record(outbox, count)
        log.sequence(NOW)
    done = run("log", KEY, tmp_path / "log", *older)
    assert done.returncode == 0, done.stderr
    head = log.head()
    assert done.stdout == (
        f"{sum(batches)} entries under {b64(head.root)}; extends {len(older)} older\n"
    )


def test_the_log_of_a_third_implementation_verifies_there_too() -> None:
    folder = vectors("tessera-log")
    done = run("log", VerifierKey.parse(TESSERA), folder, *sorted(folder.glob("checkpoint.*")))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    grown(FolderStore(folder / "log"), 300, 400)
    return folder / "log"


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint",
        "tile/0/001",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/002.p/188",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "cut", "first byte", "last byte", "one more"])
def test_a_damaged_log_is_refused_there(
    whole: Path, tmp_path: Path, name: str, damage: str
) -> None:
    folder = tmp_path / "log"
    shutil.copytree(whole, folder)
    file = folder / name
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(
            {
                "cut": data[:-1],
                "first byte": bytes([data[0] ^ 1]) + data[1:],
                "last byte": data[:-1] + bytes([data[-1] ^ 1]),
                "one more": data + b"\n",
            }[damage]
        )
    done = run("log", KEY, folder)
    assert done.returncode == 1
    assert done.stderr.startswith("log-verifier: ")


def test_another_key_and_a_rewritten_past_are_refused_there(whole: Path, tmp_path: Path) -> None:
    assert run("log", signer(seed=2).verifier, whole).returncode == 1
    other, outbox = grown(FolderStore(tmp_path / "other"), 0)
    outbox.add(b"another truth", bytes(32))
    record(outbox, 299)
    other.sequence(NOW)
    done = run("log", KEY, whole, tmp_path / "other/checkpoint")
    assert done.returncode == 1
    assert "other/checkpoint" in done.stderr


def test_proofs_of_our_prover_hold_there_and_hold_no_more_once_changed() -> None:
    leaves = [merkle.leaf_hash(bytes([n])) for n in range(40)]
    roots = [merkle.root(leaves[:size]) for size in range(41)]
    claims = []
    for size in range(1, 41):
        over = merkle.range_over(leaves[:size])
        for at in range(size):
            proof = merkle.inclusion(at, size, over)
            claims.append(inclusion(at, leaves[at], proof, size, roots[size]))
            proof = merkle.consistency(at + 1, size, over)
            claims.append(consistency(at + 1, roots[at + 1], proof, size, roots[size]))
    assert verdicts(claims) == [True] * len(claims)
    wrong = [{**claim, "root": b64(b"x" * 32)} for claim in claims]
    wrong += [{**claim, "proof": [*claim["proof"], b64(bytes(32))]} for claim in claims]
    wrong += [{**claim, "proof": claim["proof"][1:]} for claim in claims if claim["proof"]]
    assert verdicts(wrong) == [False] * len(wrong)


def test_proofs_from_our_tiles_hold_there(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    log, _ = grown(store, 300, 66_000 - 300)
    size, root = log.size, log.head().root
    tree = tiles.Tree(store, size)
    claims = []
    for index in (0, 255, 256, 65_535, 65_536, 65_999):
        leaf = merkle.leaf_hash(tree.entries(index // 256)[index % 256])
        claims.append(inclusion(index, leaf, log.inclusion(index), size, root))
    for old in (1, 256, 300, 65_536, 66_000):
        old_root = tiles.Tree(store, old).root()
        claims.append(consistency(old, old_root, log.consistency(old), size, root))
    assert verdicts(claims) == [True] * len(claims)


def published(kind: str) -> list[dict[str, Any]]:
    lines = vectors(f"merkle/{kind}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["vector"] for line in lines]


def test_both_implementations_decide_the_published_inclusion_proofs_alike() -> None:
    # Go counts leaves in 63 bits: two vectors whose index is -1 in 64 cannot be asked.
    cases = [case for case in published("inclusion") if case["leafIdx"] < 2**63]
    assert len(cases) == 96
    claims = [
        {
            "size": case["treeSize"],
            "root": case["root"],
            "index": case["leafIdx"],
            "leaf": case["leafHash"] or "",
            "proof": case["proof"] or [],
        }
        for case in cases
    ]
    assert verdicts(claims) == [not case["wantErr"] for case in cases]


def test_both_implementations_decide_the_published_consistency_proofs_alike() -> None:
    # Nor can a "root" that is no hash but says that it does not matter.
    cases = [case for case in published("consistency") if case["wantErr"] or is_hash(case["root1"])]
    assert len(cases) == 97
    claims = [
        {
            "size": case["size2"],
            "root": case["root2"],
            "old": case["size1"],
            "old_root": case["root1"],
            "proof": case["proof"] or [],
        }
        for case in cases
    ]
    assert verdicts(claims) == [not case["wantErr"] for case in cases]


def is_hash(text: str) -> bool:
    return len(base64.b64decode(text)) == merkle.HASH_BYTES
