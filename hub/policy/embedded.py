"""The embedded gate: decisions in this process, by the compiled module or by the text.

The module is what OPA's compiler makes of the policies (`module`), run in a sandbox (`sandbox`). It
answers where it was made of exactly the policies of the folder. Policies without one, such as those
an operator has changed, are answered by the interpreter (`interpreter`): the same decisions, in
three times the time. At load every rule is asked the empty question and must refuse it: policies
that answer yes to nothing, or that give no answer, do not start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from hub.policy.decisions import (
    ENGINE_FAILED,
    POLICIES,
    RULES,
    Decision,
    decided,
    digest_of,
    policy_sources,
    unusable,
)
from hub.policy.module import read_module
from hub.policy.sandbox import Sandbox


class Engine(Protocol):
    """Whatever evaluates Rego. Safe to share between threads."""

    engine: str
    """What it is called where people read of it."""

    def ask(self, rule: str, asked: bytes) -> Any:
        """The raw document a rule answers canonical JSON with. Raises `EngineFault`."""
        ...


class EmbeddedGate:
    """The policies of a folder, decided in this process.

    The folder is read once: what is decided is what was digested, whatever happens to the files
    later. `by_text`: by the interpreter, even where there is a module. Raises `Unavailable` where
    the policies cannot be read, do not compile, call a built-in that is not allowed, come with a
    module that is not what its manifest says, or do not refuse the empty question.
    """

    def __init__(self, policies_dir: Path = POLICIES, *, by_text: bool = False) -> None:
        try:
            sources = policy_sources(policies_dir)
            module = None if by_text else read_module(policies_dir, sources)
        except OSError as error:
            raise unusable("policies-unreadable", "") from error
        self.bundle_digest = digest_of(sources)
        self._folder = policies_dir
        self._engine: Engine = _interpreter(sources) if module is None else Sandbox(module)
        for rule in RULES:
            first = self.decide(rule, {})
            if first.allow or ENGINE_FAILED in first.reasons:
                raise unusable("policy-does-not-refuse", rule)

    @property
    def engine(self) -> str:
        """What answers."""
        return self._engine.engine

    def decide(self, rule: str, question: Mapping[str, Any]) -> Decision:
        """Answer a rule's question. Never raises; what cannot be answered is denied."""
        return decided(rule, question, self.bundle_digest, partial(self._engine.ask, rule))

    def check(self) -> int:
        """How many signed-off questions the folder's text answers as this gate does.

        Raises `Unavailable` where one is answered otherwise: then the module is not what the text
        says, whatever its manifest claims.
        """
        text = EmbeddedGate(self._folder, by_text=True)
        asked = 0
        for path in sorted((self._folder / "vectors").glob("*.json")):
            for rule, cases in json.loads(path.read_text("utf-8")).items():
                for case in cases.values():
                    if self.decide(rule, case["question"]) != text.decide(rule, case["question"]):
                        raise unusable("policies-module-differs", rule)
                    asked += 1
        return asked


def _interpreter(sources: Mapping[str, bytes]) -> Engine:
    from hub.policy.interpreter import Interpreted  # it and what it needs take long to load

    return Interpreted(sources)
