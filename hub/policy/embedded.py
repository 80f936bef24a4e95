"""The embedded engine: Rego in process, compiled, one interpreter per thread and rule.

Why each precaution is here (each has its test):

- One interpreter per thread: shared by threads, an interpreter hands one request's answer to
  another.
- Policies are compiled first in a process of their own (`compiling`), because some kill it, and
  the built-ins they call are allow-listed from the compiled plan: `opa.runtime()` would hand out
  the process environment, others reach the network or the clock, and none can be switched off.
- One program per rule, of its own file and those it imports: a rule compiled among all the others
  takes up to 70 µs longer to answer. So that both engines still see the same, a policy names
  another package in an import and nowhere else; one that does otherwise does not start.
- `Input()`, never an input *term*: the term parser crashes the process on deep JSON. Questions are
  bounded and cleaned before they get here (`decisions.canonical`), and what is asked is the very
  bytes whose digest the decision carries.
- The output is read while it is alive, and anything that is not exactly one well-formed decision
  is a no.
- At load every rule is asked the empty question and must refuse it: a policy that answers yes to
  nothing, or that does not compile to an answer, does not start.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pyproj  # noqa: F401 - before the engine: loaded after it, it ends the process
from regopy import Input, Interpreter
from regopy.rego_shared import RegoError

from hub.errors import Unavailable
from hub.policy.compiling import DoesNotCompile, called_builtins
from hub.policy.decisions import (
    ENGINE_FAILED,
    OUT_OF_BOUNDS,
    POLICIES,
    RULE_UNKNOWN,
    RULES,
    Decision,
    OutOfBounds,
    canonical,
    denied,
    digest_of,
    policy_sources,
    read_answer,
)

ALLOWED_BUILTINS: Final = frozenset(
    {
        "count",
        "equal",
        "gt",
        "gte",
        "internal.member_2",
        "is_number",
        "is_string",
        "lt",
        "lte",
        "neq",
        "sort",
    }
)
"""What a policy may call: pure functions of the question. Adding one is a security decision."""

_WORDS_AND_COMMENTS: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*')
_IMPORT: Final = re.compile(r"^import data\.hub\.(\w+)$", re.MULTILINE)

_ENGINE_ERRORS: Final = (
    # What the binding and the parsing of its answers are known to raise. Not `Exception`: a fault
    # of ours must surface as one, at the edge, where it is a refusal as well.
    RegoError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    OSError,
    MemoryError,
)


class EmbeddedGate:
    """The policies of a folder, decided in this process.

    The folder is read once: what is decided is what was digested, whatever happens to the files
    later. Raises `Unavailable` where the policies cannot be read, do not compile, call a built-in
    that is not allowed, or do not refuse the empty question.
    """

    def __init__(self, policies_dir: Path = POLICIES) -> None:
        try:
            self._sources = policy_sources(policies_dir)
        except OSError as error:
            raise _unusable("policies-unreadable", "") from error
        self.bundle_digest = digest_of(self._sources)
        self._check_builtins()
        self._programs = {rule: self._program(rule) for rule in RULES}
        self._threads = threading.local()
        # The compiler keeps global state: two threads compile one after the other.
        self._compiling = threading.Lock()
        for rule in RULES:
            first = self.decide(rule, {})
            if first.allow or ENGINE_FAILED in first.reasons:
                raise _unusable("policy-does-not-refuse", rule)

    def decide(self, rule: str, question: Mapping[str, Any]) -> Decision:
        """Answer a rule's question. Never raises; what cannot be answered is denied."""
        try:
            asked = canonical(question)
        except OutOfBounds:
            return denied(rule, OUT_OF_BOUNDS, "", self.bundle_digest)
        digest = hashlib.sha256(asked).hexdigest()
        if rule not in RULES:
            return denied(rule, RULE_UNKNOWN, digest, self.bundle_digest)
        try:
            document = self._ask(rule, msgspec.json.decode(asked))
        except _ENGINE_ERRORS:
            # The interpreter may be left in any state: the next question gets a new one.
            self._threads.__dict__.clear()
            return denied(rule, ENGINE_FAILED, digest, self.bundle_digest)
        return read_answer(rule, document, digest, self.bundle_digest)

    def _ask(self, rule: str, question: Any) -> Any:
        """The raw decision document, None where the engine gives none."""
        interpreter, bundle = self._compiled(rule)
        interpreter.set_input(Input(question))
        output = interpreter.query_bundle_entrypoint(bundle, _entry_point(rule))
        if not output.ok() or len(output) != 1 or len(output[0].expressions) != 1:
            return None
        return output[0].expressions[0]

    def _compiled(self, rule: str) -> tuple[Any, Any]:
        """The calling thread's interpreter and bundle; compiled (5 ms) at its first question."""
        mine: dict[str, tuple[Any, Any]] = self._threads.__dict__
        if rule not in mine:
            with self._compiling:
                mine[rule] = _compile(self._programs[rule], rule)
        return mine[rule]

    def _program(self, rule: str) -> dict[str, str]:
        """A rule's own policy and all it imports. Raises `Unavailable` for other ways to reach."""
        program: dict[str, str] = {}
        waiting = [rule]
        while waiting:
            name = f"{waiting.pop()}.rego"
            if name in program:
                continue
            try:
                program[name] = self._sources[name].decode("utf-8")
            except KeyError as error:
                raise _unusable("policies-do-not-compile", name) from error
            code = _WORDS_AND_COMMENTS.sub("", program[name])
            waiting.extend(_IMPORT.findall(code))
            if re.search(r"\bdata\b", _IMPORT.sub("", code)):
                raise _unusable("policy-reaches-elsewhere", name)
        return program

    def _check_builtins(self) -> None:
        """Raises `Unavailable` for policies that do not compile or call what they must not."""
        try:
            texts = {name: content.decode("utf-8") for name, content in self._sources.items()}
            called = called_builtins(texts, [_entry_point(rule) for rule in RULES])
        except (DoesNotCompile, UnicodeDecodeError) as error:
            raise _unusable("policies-do-not-compile", "") from error
        refused = sorted(called - ALLOWED_BUILTINS)
        if refused:
            raise _unusable("policy-builtin-refused", ", ".join(refused))


def _compile(program: Mapping[str, str], rule: str) -> tuple[Any, Any]:
    interpreter = Interpreter()
    for name, content in program.items():
        interpreter.add_module(name, content)
    bundle = interpreter.build(None, [_entry_point(rule)])
    if not bundle.ok():
        raise ValueError("the policy does not compile")
    return interpreter, bundle


def _entry_point(rule: str) -> str:
    return f"hub/{rule}/decision"


def _unusable(code: str, where: str) -> Unavailable:
    return Unavailable(
        code,
        fr="Les politiques d’accès ne peuvent être utilisées : le hub refuse tout et ne démarre "
        "pas. Vérifiez le dossier des politiques.",
        en="The access policies cannot be used: the hub refuses everything and does not start. "
        "Check the policies folder.",
        who="operator",
        where=where,
    )
