"""A stranger's check of a receipt: Python's standard library, the formats, nothing of the hub."""

import base64
import hashlib
import hmac
import json
from typing import Any


def need(holds: object) -> None:
    if not holds:
        raise ValueError("the receipt does not hold")


def raw(text: str) -> bytes:
    need(base64.b64encode(base64.b64decode(text)).decode() == text)
    return base64.b64decode(text)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def signed(note: str, key: str, ed25519: Any) -> list[str]:  # c2sp.org/signed-note
    text, line = note.rsplit("\n\n", 1)
    (name, key_id, public), (dash, signer, signature) = key.split("+", 2), line.split(" ")
    need((dash, signer, line[-1:]) == ("—", name, "\n") and raw(signature[:-1])[:4].hex() == key_id)
    need(ed25519(raw(public)[1:], raw(signature[:-1])[4:], f"{text}\n".encode()))
    return text.split("\n")


def root(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:  # RFC 6962
    need(0 <= index < size and (size > 1) == bool(path) and all(len(one) == 32 for one in path))
    half = 1 << (size - 1).bit_length() - 1 if size > 1 else 0
    if index < half:
        return sha(b"\1", root(index, half, leaf, path[:-1]), path[-1])
    return sha(b"\1", path[-1], root(index - half, size - half, leaf, path[:-1])) if half else leaf


def receipt(text: str, kind: str, key: str, ed25519: Any, logged: bool = True) -> Any:
    note, seam, proof = text.partition("\n\nc2sp.org/tlog-proof@v1\n")
    header, line = signed(note + "\n" * bool(seam), key, ed25519)
    origin, facts = key.split("+", 1)[0], json.loads(line)
    need(header == f"{origin}/receipt/v1" and facts["kind"] == kind and (seam or not logged))
    if seam:
        head, _, checkpoint = proof.partition("\n\n")
        (extra, index, *path), at = head.split("\n"), facts.pop("log_index")
        (name, size, top), x = signed(checkpoint, key, ed25519), raw(extra[6:])
        need((name, index, extra[:6], size) == (origin, f"index {at}", "extra ", str(int(size))))
        plain = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        it, up = sha(plain.encode()), [x[n : n + 32] for n in range(36, len(x), 32)]
        it = root(int.from_bytes(x[32:36]), 1 << len(up), sha(b"\0", it), up) if x[32:] else it
        entry = hmac.digest(x[:32] if x[31:] else b"", b"hub/receipt/v1\n" + it, "sha256")
        need(raw(top) == root(at, int(size), sha(b"\0", entry), [raw(one) for one in path]))
    return facts


def used(proof: Any, position: bytes, top: str) -> bool:  # a sparse Merkle proof
    leaf, path = bytes.fromhex(proof["leaf"]), [bytes.fromhex(one) for one in proof["path"]]
    bits, other = (f"{int.from_bytes(one, 'big'):0256b}" for one in (position, leaf or position))
    node = sha(b"\x10", leaf) if leaf else sha(b"\x12")
    for bit, beside in list(zip(bits, path, strict=False))[::-1]:
        node = sha(b"\x11", beside, node) if bit == "1" else sha(b"\x11", node, beside)
    need(node.hex() == top and bits[: len(path)] == other[: len(path)])
    need({len(one) for one in (position, leaf or position, *path)} == {32} and len(path) <= 256)
    return leaf == position


def check(note: bytes, key: str, ed25519: Any) -> dict[str, bool]:  # which releases used the data
    facts = receipt(note.decode(), "contribution", key, ed25519, logged=False)
    consent = receipt(facts["consent"], "consent", key, ed25519, logged=False)
    secret, found, ended = bytes.fromhex(consent["contribution"]["secret"]), {}, "9"
    if facts["withdrawal"]:
        withdrawal = receipt(facts["withdrawal"], "withdrawal", key, ed25519)
        theirs, ended = withdrawal["ended"], withdrawal["completed_at"]
        need(sha(b"hub/contributors/v1 commitment\n", secret).hex() in theirs[consent["purpose"]])
    for one in facts["releases"]:
        made = receipt(one["receipt"], "release", key, ed25519)
        declared, label = made["contribution"], b"hub/contributors/v1 position\n"
        position = hmac.digest(secret, label + bytes.fromhex(declared["nonce"]), "sha256")
        found[made["id"]] = yes = used(one["proof"], position, declared["root"])
        need(one["used"] == yes and not (yes and declared["asked_at"] > ended))
    return found
