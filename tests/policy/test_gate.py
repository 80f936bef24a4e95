"""The contract of a policy gate, on every gate; then the embedded engine's own dangers."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st
from regopy import Input, Interpreter

from hub.errors import Unavailable
from hub.policy.decisions import MAX_DEPTH, MAX_TEXT, MAX_VALUES, _check, _plain
from hub.policy.gate import (
    ENGINE_FAILED,
    OUT_OF_BOUNDS,
    POLICIES,
    RULES,
    Decision,
    DenyAll,
    EmbeddedGate,
    PolicyGate,
)
from hub.policy.interpreter import Interpreted
from hub.policy.module import FOLDER, MODULE
from tests.policy.cases import SOURCES, VECTORS, nearly_allowed, policies_with, server_gate

EMBEDDED = EmbeddedGate()
BY_TEXT = EmbeddedGate(by_text=True)


@pytest.fixture(scope="module", params=["deny-all", "embedded", "by text", "server"])
def gate(request: pytest.FixtureRequest) -> PolicyGate:
    """Each gate there is."""
    if request.param == "server":
        return server_gate()
    own: dict[str, PolicyGate] = {"deny-all": DenyAll(), "embedded": EMBEDDED, "by text": BY_TEXT}
    return own[request.param]


YES = VECTORS["admin"]["the operator adds a partner"]["question"]


def nested(depth: int) -> dict[str, Any]:
    question: dict[str, Any] = {}
    for _ in range(depth - 1):
        question = {"a": question}
    return question


STRANGE: dict[str, Any] = {
    "too deep": nested(MAX_DEPTH + 1),
    "far too deep": nested(100_000),
    "too many values": {"a": [0] * MAX_VALUES},
    "a text too long": {"a": "x" * (MAX_TEXT + 1)},
    "a quoted text": {"actor": {"role": '"operator"'}, "action": "user_add"},
    "a text that goes on after a NUL": {"actor": {"role": "operator\0"}, "action": "user_add"},
    "a backslash": {"a": "\\u0041"},
    "a control character": {"a": "x\ny"},
    "half a character": {"a": "\ud800"},
    "a strange name": {'a"b': 1},
    "a name that is no text": {1: 1},
    "no number": {"a": math.nan},
    "no finite number": {"a": math.inf},
    "a number that would be rounded": {"a": 2**53},
    "a large float": {"a": 1e300},
    "bytes": {"a": b"x"},
    "an object": {"a": object()},
    "a set": {"a": {"x"}},
    "a list": ["actor"],
    "nothing": None,
}


class TestContract:
    """What every gate promises."""

    @pytest.mark.parametrize("name", STRANGE)
    def test_a_question_out_of_bounds_is_denied_not_raised(
        self, gate: PolicyGate, name: str
    ) -> None:
        made = gate.decide("admin", STRANGE[name])
        assert made == Decision("admin", False, (OUT_OF_BOUNDS,), "", gate.bundle_digest)

    def test_a_rule_that_does_not_exist_is_denied(self, gate: PolicyGate) -> None:
        for rule in ("", "root", "push/../admin", "lib", "admin\0"):
            assert not gate.decide(rule, YES).allow

    def test_a_decision_carries_the_digests_of_question_and_policies(
        self, gate: PolicyGate
    ) -> None:
        made = gate.decide("admin", YES)
        assert made.input_digest == hashlib.sha256(rfc8785.dumps(YES)).hexdigest()
        assert made.bundle_digest == gate.bundle_digest
        assert len(gate.bundle_digest) == 64
        turned = dict(reversed(list(YES.items())))
        assert gate.decide("admin", turned) == made
        assert gate.decide("admin", YES | {"action": "x"}).input_digest != made.input_digest

    @pytest.mark.parametrize("rule", RULES)
    def test_the_empty_question_is_denied(self, gate: PolicyGate, rule: str) -> None:
        made = gate.decide(rule, {})
        assert not made.allow
        assert made.reasons
        assert made.obligations == {}

    @given(
        rule=st.sampled_from(RULES),
        question=st.dictionaries(
            st.sampled_from(["actor", "partner", "release", "via", "action", "push", "purpose"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["role", "organisation", "scopes", "open", "a"]),
                        inner,
                        max_size=3,
                    )
                ),
                max_leaves=8,
            ),
            max_size=5,
        ),
    )
    def test_no_nonsense_is_ever_allowed(
        self, gate: PolicyGate, rule: str, question: dict[str, Any]
    ) -> None:
        made = gate.decide(rule, question)
        assert not made.allow
        assert made.reasons
        assert ENGINE_FAILED not in made.reasons


def test_deny_all_denies_what_the_policies_allow() -> None:
    for rule, cases in VECTORS.items():
        for case in cases.values():
            assert DenyAll().decide(rule, case["question"]).reasons == ("everything_denied",)


@pytest.mark.parametrize("gate", [EMBEDDED, BY_TEXT], ids=["module", "text"])
def test_the_deepest_and_longest_question_allowed_is_answered(gate: PolicyGate) -> None:
    for question in (
        nested(MAX_DEPTH),
        {"a": "é" * MAX_TEXT},
        {"a": [0] * (MAX_VALUES - 3)},
        {"a": ["\U0001f600" * MAX_TEXT] * (MAX_VALUES - 3)},  # 8 MB
    ):
        reasons = gate.decide("admin", question).reasons
        assert not {ENGINE_FAILED, OUT_OF_BOUNDS} & set(reasons)


@given(asked=nearly_allowed())
@settings(max_examples=400)
def test_the_module_answers_as_the_text_does(asked: tuple[str, dict[str, Any]]) -> None:
    """Another implementation of the language, on questions nobody wrote."""
    assert EMBEDDED.decide(*asked) == BY_TEXT.decide(*asked)


PLAIN_OR_NOT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.floats()
    | st.sampled_from(["orleans", "é", "a[]b", "1e5", ":1.5", "\x7f", '"', "\ud800", b"x"])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(st.sampled_from(["a", "\U0001f600", "\uff5e", 1]), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(question=st.dictionaries(st.sampled_from(["actor", "é", "a"]), PLAIN_OR_NOT, max_size=3))
@example(question=nested(MAX_DEPTH))
@example(question=nested(MAX_DEPTH + 1))
@example(question={"a": [[[[[[[[]]]]]]]]})
@example(question={"a": 10**15})
@example(question={"a": {"\uff5e": 1, "\U0001f600": 2}})
@example(question={"a": "\x7f"})
@example(question={"a": 2**53})
@example(question={"a": "x" * (MAX_TEXT + 1)})
def test_a_question_plain_to_see_has_the_bytes_it_has_the_long_way(question: Any) -> None:
    short = _plain(question)
    if short is not None:
        _check(question)
        assert short == rfc8785.dumps(question)


def test_questions_of_every_rule_are_plain_to_see() -> None:
    for rule, cases in VECTORS.items():
        assert all(_plain(case["question"]) for case in cases.values()), rule


@pytest.mark.parametrize("text", ['"hub"', "hub\0"])
def test_why_texts_are_bounded_the_bare_engine_takes_these_for_others(text: str) -> None:
    """If this fails the engine was mended, and the precaution in `canonical` may be reviewed."""
    interpreter = Interpreter()
    interpreter.add_module("p", 'package p\nsame if input.name == "hub"\n')
    bundle = interpreter.build(None, ["p/same"])
    interpreter.set_input(Input({"name": text}))
    output = interpreter.query_bundle_entrypoint(bundle, "p/same")
    assert output.results[0].expressions == [True]


@pytest.mark.parametrize("by_text", [False, True])
def test_answers_of_threads_never_mix(by_text: bool) -> None:
    """Each thread asks its own question over and over and must only ever get its own answer."""
    asked = [
        (rule, case["question"], case["expected"])
        for rule, cases in VECTORS.items()
        for case in cases.values()
    ]
    gate = EmbeddedGate(by_text=by_text)
    wrong: list[str] = []
    start = threading.Barrier(8)

    def ask(thread: int) -> None:
        start.wait()
        for turn in range(120):
            rule, question, expected = asked[(thread * 17 + turn * 7) % len(asked)]
            question = question | {"thread": f"{thread}-{turn}"}
            made = gate.decide(rule, question)
            own = hashlib.sha256(rfc8785.dumps(question)).hexdigest()
            answer = (made.allow, list(made.reasons), dict(made.obligations))
            if made.input_digest != own or answer != tuple(expected.values()):
                wrong.append(rule)

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


HEAD = "package hub.admin\n\n"
NO = 'default decision := {"allow": false, "reasons": ["x"], "obligations": {}}\n'
YES_IF = (
    'decision := {"allow": true, "reasons": [], "obligations": {}} '
    'if input.action == "partner_add"\n'
)

BROKEN_ANSWERS = {
    "two answers at once": (
        'decision := {"a": 1} if input.action\ndecision := {"a": 2} if input.action'
    ),
    "not a decision": 'decision := "yes" if input.action',
    "a yes that is only a text": (
        'decision := {"allow": "true", "reasons": [], "obligations": {}} if input.action'
    ),
    "a yes with reasons against": (
        'decision := {"allow": true, "reasons": ["no"], "obligations": {}} if input.action'
    ),
    "a no without a reason": (
        'decision := {"allow": false, "reasons": [], "obligations": {}} if input.action'
    ),
    "reasons that are no texts": (
        'decision := {"allow": false, "reasons": [1], "obligations": {}} if input.action'
    ),
    "no obligations": 'decision := {"allow": true, "reasons": []} if input.action',
    "more than a decision": (
        'decision := {"allow": true, "reasons": [], "obligations": {}, "x": 1} if input.action'
    ),
}


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
def test_an_engine_that_gives_no_clear_answer_denies(name: str, tmp_path: Path) -> None:
    gate = EmbeddedGate(policies_with(tmp_path, admin=HEAD + NO + BROKEN_ANSWERS[name] + "\n"))
    made = gate.decide("admin", YES)
    assert (made.allow, made.reasons, made.obligations) == (False, (ENGINE_FAILED,), {})
    # the same gate still answers the other rules
    for case in VECTORS["push_read"].values():
        answer = gate.decide("push_read", case["question"])
        assert answer.allow == case["expected"]["allow"]


class Exploding:
    """An interpreter whose native part fails in every way the binding is known to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def set_input(self, _: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [RuntimeError("engine"), ValueError("json"), KeyError("x"), OSError(), MemoryError()]
)
def test_an_engine_that_raises_denies_and_is_replaced(error: Exception) -> None:
    gate = EmbeddedGate(by_text=True)
    engine = gate._engine
    assert isinstance(engine, Interpreted)
    engine._threads.admin = (Exploding(error), None)
    assert gate.decide("admin", YES).reasons == (ENGINE_FAILED,)
    assert gate.decide("admin", YES).allow


NOT_STARTING: dict[str, tuple[str, str | None]] = {
    "a syntax error": ("policies-do-not-compile", HEAD + "decision if {\n"),
    # This kills the compiler of the embedded engine, and with it the process it runs in.
    "a policy the compiler does not survive": (
        "policies-do-not-compile",
        HEAD
        + NO
        + 'decision := {"a": 1} if met\n'
        + 'met if inner == {"found": found} with input as {"a": 1}\n'
        + 'inner := {"found": found}\n'
        + 'found contains "x" if input.a\n',
    ),
    "the process environment": (
        "policy-builtin-refused",
        HEAD + NO + YES_IF + 'decision := {"env": opa.runtime()} if input.leak\n',
    ),
    "the clock": (
        "policy-builtin-refused",
        HEAD + NO + "decision := time.now_ns() if input.when\n",
    ),
    "the network": (
        "policy-builtin-refused",
        HEAD + NO + 'decision := http.send({"method": "get", "url": input.url})\n',
    ),
    "a package reached without an import": (
        "policy-reaches-elsewhere",
        HEAD + NO + "decision := data.hub.push.obligations if input.action\n",
    ),
    "all packages under another name": (
        "policy-reaches-elsewhere",
        "package hub.admin\n\nimport data as all\n\n" + NO + YES_IF,
    ),
    "a package that is not there": (
        "policies-do-not-compile",
        "package hub.admin\n\nimport data.hub.nowhere\n\n" + NO + YES_IF,
    ),
    "a yes to nothing": (
        "policy-does-not-refuse",
        HEAD + 'decision := {"allow": true, "reasons": [], "obligations": {}}\n',
    ),
    "no answer to nothing": ("policy-does-not-refuse", HEAD + YES_IF),
}


@pytest.mark.parametrize("name", NOT_STARTING)
def test_policies_that_cannot_be_trusted_do_not_start(name: str, tmp_path: Path) -> None:
    code, content = NOT_STARTING[name]
    with pytest.raises(Unavailable) as refused:
        EmbeddedGate(policies_with(tmp_path, admin=content))
    assert refused.value.code == code
    assert refused.value.who == "operator"


def test_what_the_hub_loads_after_the_engine_does_not_end_the_process() -> None:
    """In a new process: pyproj loaded after the bare engine aborts."""
    program = "import hub.policy.interpreter, pyproj, shapely, numpy, pyarrow, duckdb, deltalake"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_engine_works_beside_the_libraries_the_hub_loads_first() -> None:
    """In a new process: the engine's memory was seen corrupted where numpy was loaded before it."""
    program = (
        "import json, sys, numpy, pandas, pyarrow, duckdb, shapely, deltalake, cryptography\n"
        "from hub.policy.gate import EmbeddedGate\n"
        "gates = EmbeddedGate(), EmbeddedGate(by_text=True)\n"
        "for rule, cases in json.load(sys.stdin).items():\n"
        "    for case in cases.values():\n"
        "        for gate in gates:\n"
        "            made = gate.decide(rule, case['question'])\n"
        "            assert made.allow == case['expected']['allow'], (rule, made)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(VECTORS),
        capture_output=True,
        text=True,
        cwd=POLICIES.parent,
    )
    assert done.returncode == 0, done.stderr


def test_a_missing_rule_or_folder_does_not_start(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", policies_with(tmp_path, admin=None)):
        with pytest.raises(Unavailable):
            EmbeddedGate(folder)


def test_a_policy_that_is_no_text_does_not_start(tmp_path: Path) -> None:
    (policies_with(tmp_path) / "admin.rego").write_bytes(b"package hub.admin\n\xff\n")
    with pytest.raises(Unavailable) as refused:
        EmbeddedGate(tmp_path)
    assert refused.value.code == "policies-do-not-compile"


def test_the_bundle_digest_is_of_every_policy_and_of_nothing_else(tmp_path: Path) -> None:
    digest = EmbeddedGate(policies_with(tmp_path)).bundle_digest
    assert digest == EMBEDDED.bundle_digest
    (tmp_path / "admin_test.rego").write_text("package hub.admin_test\n", "utf-8")
    assert EmbeddedGate(tmp_path).bundle_digest == digest
    for source in SOURCES:
        content = source.read_text("utf-8") + "# another word\n"
        other = EmbeddedGate(policies_with(tmp_path, **{source.stem: content}))
        assert other.bundle_digest != digest, source.name
        policies_with(tmp_path)


@pytest.mark.parametrize("by_text", [False, True])
def test_policies_changed_on_disk_do_not_change_a_running_gate(
    tmp_path: Path, by_text: bool
) -> None:
    policies_with(tmp_path)
    shutil.copytree(POLICIES / FOLDER, tmp_path / FOLDER)
    gate = EmbeddedGate(tmp_path, by_text=by_text)
    (tmp_path / "admin.rego").write_text(HEAD + NO, "utf-8")
    (tmp_path / FOLDER / MODULE).write_bytes(b"")
    made: list[Decision] = []
    thread = threading.Thread(target=lambda: made.append(gate.decide("admin", YES)))
    thread.start()  # a new thread compiles anew, from what was read and digested
    thread.join()
    assert made[0].allow
