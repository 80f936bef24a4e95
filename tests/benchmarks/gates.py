"""What every row and every access passes: pseudonyms and policy."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pyarrow as pa

from consent import pseudonyms
from hub.parts import OPERATOR
from hub.policy.gate import EmbeddedGate
from tests.benchmarks.runner import Row, paired


def names(_: Path) -> Row:
    """Pseudonyms of distinct people beside a loop over `hmac.digest`."""
    digests = [hashlib.sha256(str(n).encode()).digest() for n in range(200_000)]
    column = pa.array(digests, pa.binary())
    key = b"k" * 32
    return paired(
        "pseudonyms of 200,000 people",
        "hmac.digest loop",
        lambda: pseudonyms.pseudonyms(key, column),
        lambda: [hmac.digest(key, digest, "sha256")[:16] for digest in digests],
        1 / 2.5,
    )


def decisions(_: Path) -> Row:
    """A policy decision beside the audit it comes with: hashing its question."""
    gate = EmbeddedGate()
    question = {
        "actor": OPERATOR.facts(),
        "partner": "transdev",
        "dataset": "validations",
        "agreement": {
            "basis": "public_task",
            "purpose": "school-mobility",
            "demo": True,
            "legal_text": "",
            "impact_assessment": "",
        },
    }
    text = json.dumps(question).encode()
    return paired(
        "1,000 policy decisions",
        "1,000 × 100 SHA-256 of the question",
        lambda: [gate.decide("push", question) for _ in range(1000)],
        lambda: [hashlib.sha256(text).digest() for _ in range(100_000)],
    )
