"""Questions and decisions: what a policy gate is asked, and the answer that can be replayed.

A gate answers a rule's question with a `Decision` that can be replayed: it carries the digest of
exactly what was asked and of exactly the policies that answered. Gates never raise for a question
or for an engine in trouble; they deny and say why, so that no caller can forget to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import rfc8785

import hub
from hub.errors import Unavailable

RULES: Final = (
    "admin",
    "agreement",
    "audit_read",
    "client",
    "consent",
    "push",
    "push_read",
    "release_publish",
    "release_read",
    "request",
    "rights",
    "withdraw",
)
"""The rules, each a package `hub.<rule>` of the policies with a document `decision`."""

ENGINE_FAILED: Final = "policy_engine_failed"
OUT_OF_BOUNDS: Final = "question_out_of_bounds"
RULE_UNKNOWN: Final = "rule_unknown"

POLICIES: Final = Path(hub.__file__).parent.parent / "policies"
"""Where the policies are, beside the package, from a clone and from a wheel alike."""

MAX_DEPTH: Final = 8
MAX_VALUES: Final = 2_000
MAX_TEXT: Final = 1_024
MAX_INTEGER: Final = 2**53 - 1
_NOT_PLAIN: Final = re.compile(rb"[\\\x7f-\xff]|[:,\[]-?\d+(?:[.eE]|\d{15})")
"""Escapes, what is not ASCII, and after a colon, comma or bracket a float or a long integer."""

_plain_json: Final = msgspec.json.Encoder(order="sorted")
_UNSAFE: Final = frozenset('"\\\x7f') | {chr(code) for code in range(32)}


class OutOfBounds(Exception):
    """The question is not plain JSON, or is deeper, longer or stranger than a question may be."""


class EngineFault(Exception):
    """The engine gave no answer: it failed, was stopped, or said something that is none."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer that can be replayed.

    `reasons` are codes in alphabetical order, empty where allowed. `obligations` is what the
    caller must do with what it was allowed. `input_digest` is the SHA-256, in hex, of the
    question's RFC 8785 form, empty where it has none; `bundle_digest` that of the policies.
    `question` is what was asked, where whoever asked keeps it for a replay.
    """

    rule: str
    allow: bool
    reasons: tuple[str, ...]
    input_digest: str
    bundle_digest: str
    obligations: Mapping[str, Any] = field(default_factory=dict)
    question: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def replayable(self) -> dict[str, Any]:
        """What an event keeps of it: enough to put the same question again."""
        return {
            "rule": self.rule,
            "allowed": self.allow,
            "reasons": list(self.reasons),
            "input": self.input_digest,
            "bundle": self.bundle_digest,
            # What has no canonical form was refused for that, and cannot be kept either.
            "question": self.question if self.input_digest else None,
        }


class PolicyGate(Protocol):
    """Whoever decides. Safe to share between threads."""

    bundle_digest: str

    def decide(self, rule: str, question: Mapping[str, Any]) -> Decision:
        """Answer a rule's question. Never raises; what cannot be answered is denied."""
        ...


class DenyAll:
    """The gate of a hub that has no policies, or must stop: every answer is no."""

    bundle_digest = hashlib.sha256(b"").hexdigest()

    def decide(self, rule: str, question: Mapping[str, Any]) -> Decision:
        """Deny, with the digest of what was asked."""
        try:
            digest = hashlib.sha256(canonical(question)).hexdigest()
        except OutOfBounds:
            return denied(rule, OUT_OF_BOUNDS, "", self.bundle_digest)
        return denied(rule, "everything_denied", digest, self.bundle_digest)


def denied(rule: str, reason: str, input_digest: str, bundle_digest: str) -> Decision:
    """A no for one reason that is not the policy's own."""
    return Decision(rule, False, (reason,), input_digest, bundle_digest)


def decided(
    rule: str, question: Mapping[str, Any], bundle_digest: str, ask: Callable[[bytes], Any]
) -> Decision:
    """The decision of an engine that is asked the question's canonical bytes. Never raises.

    `ask` gives the engine's document, or raises `EngineFault`.
    """
    try:
        asked = canonical(question)
    except OutOfBounds:
        return denied(rule, OUT_OF_BOUNDS, "", bundle_digest)
    digest = hashlib.sha256(asked).hexdigest()
    if rule not in RULES:
        return denied(rule, RULE_UNKNOWN, digest, bundle_digest)
    try:
        document = ask(asked)
    except EngineFault:
        return denied(rule, ENGINE_FAILED, digest, bundle_digest)
    return read_answer(rule, document, digest, bundle_digest)


def read_answer(rule: str, document: Any, digest: str, bundle_digest: str) -> Decision:
    """A decision out of an engine's document; whatever is not exactly one is a no."""
    match document:
        case {"allow": bool(allow), "reasons": list(reasons), "obligations": dict(obligations)} if (
            len(document) == 3
            and all(isinstance(reason, str) for reason in reasons)
            and allow is (not reasons)
        ):
            # Engines name them in orders of their own; a manifest holds them, byte for byte.
            ordered = dict(sorted(obligations.items()))
            return Decision(rule, allow, tuple(reasons), digest, bundle_digest, ordered)
    return denied(rule, ENGINE_FAILED, digest, bundle_digest)


def canonical(question: Mapping[str, Any]) -> bytes:
    """The question's RFC 8785 bytes. Raises `OutOfBounds`.

    Texts with a quote, a backslash or a control character are refused, not escaped: the embedded
    engine takes `"hub"` in quotes, and `hub` followed by a NUL, for `hub` itself (tests show it).
    Ids, codes and names need none of them. Integers it would round to another are refused too.
    """
    plain = _plain(question)
    if plain is not None:
        return plain
    _check(question)
    try:
        return rfc8785.dumps(question)
    except rfc8785.CanonicalizationError as error:
        raise OutOfBounds from error


def _plain(question: Any) -> bytes | None:
    """The same bytes, ten times sooner, of a question that is plain to see within bounds; or None.

    It is encoded with sorted names; then the bytes alone show that no text can be too long, no
    value too many or too deep (only what is in a list or object that is not empty lies deeper), no
    number or text such that the encoders could differ or `_check` refuse. What was no JSON (a
    tuple, bytes, a number as a name) does not come back equal.
    """
    try:
        encoded = _plain_json.encode(question)
        if (
            len(encoded) > MAX_TEXT
            or encoded.count(b"{") + encoded.count(b"[") - encoded.count(b"[]") >= MAX_DEPTH
            or _NOT_PLAIN.search(encoded)
            or not isinstance(question, dict)
            or msgspec.json.decode(encoded) != question
        ):
            return None
    except (TypeError, ValueError, RecursionError):
        return None  # whatever it is, the long way says so
    return encoded


def _check(question: Mapping[str, Any]) -> None:
    """Walk the question without recursion, so that its depth cannot hurt us first."""
    if not isinstance(question, Mapping):
        raise OutOfBounds
    waiting: list[tuple[Any, int]] = [(question, 1)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            raise OutOfBounds
        if isinstance(value, Mapping):
            waiting.extend((key, depth) for key in value)
            if not all(isinstance(key, str) for key in value):
                raise OutOfBounds
            waiting.extend((inner, depth + 1) for inner in value.values())
        elif isinstance(value, list | tuple):
            waiting.extend((inner, depth + 1) for inner in value)
        elif isinstance(value, str):
            if len(value) > MAX_TEXT or not _UNSAFE.isdisjoint(value):
                raise OutOfBounds
        elif isinstance(value, float):
            if not abs(value) <= MAX_INTEGER:  # also refuses what is not a number
                raise OutOfBounds
        elif value is None or isinstance(value, bool):
            continue
        elif not isinstance(value, int) or abs(value) > MAX_INTEGER:
            raise OutOfBounds


def policy_sources(folder: Path) -> dict[str, bytes]:
    """The policies of a folder by file name, without their tests. Raises `OSError`."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.glob("*.rego"))
        if not path.name.endswith("_test.rego")
    }


def digest_of(sources: Mapping[str, bytes]) -> str:
    """SHA-256, in hex, over the sorted names and contents of the policies."""
    total = hashlib.sha256()
    for name, content in sorted(sources.items()):
        for part in (name.encode(), content):
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def entry_point(rule: str) -> str:
    """What an engine calls the document in which a rule answers."""
    return f"hub/{rule}/decision"


def unusable(code: str, where: str) -> Unavailable:
    """The policies cannot be used, and why; `where` names the file or the built-ins."""
    return Unavailable(
        code,
        fr="Les politiques d’accès ne peuvent être utilisées : le hub refuse tout et ne démarre "
        "pas. Vérifiez le dossier des politiques.",
        en="The access policies cannot be used: the hub refuses everything and does not start. "
        "Check the policies folder.",
        who="operator",
        where=where,
    )


def reason_words(folder: Path = POLICIES) -> Mapping[str, Mapping[str, str]]:
    """What each reason means to a person, by code, in `fr` and `en`. Raises `OSError`."""
    read: dict[str, dict[str, str]] = json.loads((folder / "reasons.json").read_text("utf-8"))[
        "reasons"
    ]
    return read
