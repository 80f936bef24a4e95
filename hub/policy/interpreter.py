"""The interpreter: the policies' own text, answered by regopy in this process.

It answers where no module has been compiled of the policies (`sandbox`), and whenever decisions are
put again: another implementation of the language than the one that made them.

Why each precaution is here (each has its test):

- One interpreter per thread: shared by threads, an interpreter hands one request's answer to
  another.
- Policies are compiled first in a process of their own (`compiling`), because some kill it, and
  the built-ins they call are allow-listed from the compiled plan: `opa.runtime()` would hand out
  the process environment, others reach the network or the clock, and none can be switched off.
- One program per rule, of its own file and those it imports: a rule compiled among all the others
  takes up to 70 µs longer to answer. So that all engines still see the same, a policy names
  another package in an import and nowhere else; one that does otherwise does not start.
- `Input()`, never an input *term*: the term parser crashes the process on deep JSON. Questions are
  bounded and cleaned before they get here (`decisions.canonical`), and what is asked is the very
  bytes whose digest the decision carries.
- The output is read while it is alive.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyproj  # noqa: F401 - before the engine: loaded after it, it ends the process
from regopy import Input, Interpreter
from regopy.rego_shared import RegoError

from hub.policy.compiling import ALLOWED_BUILTINS, DoesNotCompile, called_builtins
from hub.policy.decisions import RULES, EngineFault, entry_point, unusable

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


class Interpreted:
    """The policies by their text: file names to contents, read once.

    Raises `Unavailable` where they do not compile, or call a built-in that is not allowed.
    """

    engine = "interpreter"

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._sources = sources
        self._check_builtins()
        self._programs = {rule: self._program(rule) for rule in RULES}
        self._threads = threading.local()
        # The compiler keeps global state: two threads compile one after the other.
        self._compiling = threading.Lock()

    def ask(self, rule: str, asked: bytes) -> Any:
        """The raw decision document, None where the engine gives none. Raises `EngineFault`."""
        try:
            interpreter, bundle = self._compiled(rule)
            interpreter.set_input(Input(msgspec.json.decode(asked)))
            output = interpreter.query_bundle_entrypoint(bundle, entry_point(rule))
            if not output.ok() or len(output) != 1 or len(output[0].expressions) != 1:
                return None
            return output[0].expressions[0]
        except _ENGINE_ERRORS as error:
            # The interpreter may be left in any state: the next question gets a new one.
            self._threads.__dict__.clear()
            raise EngineFault from error

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
                raise unusable("policies-do-not-compile", name) from error
            code = _WORDS_AND_COMMENTS.sub("", program[name])
            waiting.extend(_IMPORT.findall(code))
            if re.search(r"\bdata\b", _IMPORT.sub("", code)):
                raise unusable("policy-reaches-elsewhere", name)
        return program

    def _check_builtins(self) -> None:
        """Raises `Unavailable` for policies that do not compile or call what they must not."""
        try:
            texts = {name: content.decode("utf-8") for name, content in self._sources.items()}
            called = called_builtins(texts, [entry_point(rule) for rule in RULES])
        except (DoesNotCompile, UnicodeDecodeError) as error:
            raise unusable("policies-do-not-compile", "") from error
        refused = sorted(called - ALLOWED_BUILTINS)
        if refused:
            raise unusable("policy-builtin-refused", ", ".join(refused))


def _compile(program: Mapping[str, str], rule: str) -> tuple[Any, Any]:
    interpreter = Interpreter()
    for name, content in program.items():
        interpreter.add_module(name, content)
    bundle = interpreter.build(None, [entry_point(rule)])
    if not bundle.ok():
        raise ValueError("the policy does not compile")
    return interpreter, bundle
