"""The sandbox holds whatever module it is given: slow, greedy, talkative, mad or reaching out."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from hub.errors import Unavailable
from hub.policy.decisions import ENGINE_FAILED, RULES, EngineFault, canonical, entry_point
from hub.policy.gate import POLICIES, EmbeddedGate
from hub.policy.module import FOLDER, MODULE, read_manifest, write_module
from hub.policy.sandbox import FIRST_PAGES, KEPT_PAGES, MEMORY_PAGES, PAGE, Sandbox
from tests.policy.cases import VECTORS, policies_with

OURS = (POLICIES / FOLDER / MODULE).read_bytes()
YES = VECTORS["admin"]["the operator adds a partner"]["question"]
NO = [{"result": {"allow": False, "reasons": ["x"], "obligations": {}}}]
ANSWER = "i32.const 64"


def text(document: Any) -> str:
    """A NUL-terminated JSON text as a WebAssembly text writes it."""
    return json.dumps(document).replace('"', '\\"') + "\\00"


def module(
    evaluate: str = ANSWER,
    *,
    answer: Any = NO,
    needs: Any = None,
    rules: tuple[str, ...] = RULES,
    wanted: str = "",
    begun: str = "",
    version: int = 1,
) -> bytes:
    """A module of OPA's interface which evaluates as told; by default it denies everything."""
    entries = {entry_point(rule): number for number, rule in enumerate(rules)}
    text_of_module = f"""(module
      (import "env" "memory" (memory 2))
      (import "env" "opa_abort" (func $abort (param i32)))
      (import "env" "opa_builtin0" (func $builtin (param i32 i32) (result i32)))
      {wanted}
      (data (i32.const 16) "{text(needs or {})}")
      (data (i32.const 64) "{text(answer)}")
      (data (i32.const 2048) "{text(entries)}")
      (global (export "opa_wasm_abi_version") i32 (i32.const {version}))
      (global (export "opa_wasm_abi_minor_version") i32 (i32.const 3))
      (func (export "opa_json_dump") (param i32) (result i32) local.get 0)
      (func (export "builtins") (result i32) i32.const 16)
      (func (export "entrypoints") (result i32) i32.const 2048)
      (func (export "opa_heap_ptr_get") (result i32) i32.const 8192)
      (func $again (result i32) call $again)
      (func (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32) {evaluate})
      {begun})"""
    return bytes(wat2wasm(text_of_module))


def test_the_module_these_tests_are_made_of_answers() -> None:
    """Else the cases below would prove nothing."""
    assert Sandbox(module()).ask("admin", b"{}") == NO[0]["result"]


FAULTS = {
    "without end": "(loop br 0) i32.const 64",
    "greedy beyond its memory": (
        f"(if (i32.eq (memory.grow (i32.const {MEMORY_PAGES})) (i32.const -1)) (then unreachable))"
        f" {ANSWER}"
    ),
    "deep without end": "call $again",
    "aborting": f"(call $abort (i32.const 64)) {ANSWER}",
    "calling its host": "(call $builtin (i32.const 0) (i32.const 0))",
    "trapping": "unreachable",
    "reading beyond its memory": "(i32.load (i32.const -4))",
    "answering from beyond its memory": f"i32.const {FIRST_PAGES * PAGE}",
    "answering from before its memory": "i32.const -1",
    "answering nothing": f"i32.const {FIRST_PAGES * PAGE - 1}",
    "answering what is no JSON": "i32.const 65",
    "answering without end": (
        "(memory.fill (i32.const 16384) (i32.const 32) (i32.const 114688)) i32.const 16384"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_module_in_trouble_denies_and_the_next_question_gets_a_new_one(name: str) -> None:
    sandbox = Sandbox(module(FAULTS[name]), fuel=1_000_000)
    first = sandbox._instance()
    with pytest.raises(EngineFault):
        sandbox.ask("admin", b"{}")
    assert sandbox._instance() is not first


@pytest.mark.parametrize(
    "answer",
    [None, {}, [], [{}], NO * 2, [NO[0] | {"x": 1}], NO[0], "yes", True, [True], [[NO]]],
    ids=json.dumps,
)
def test_an_answer_that_is_not_one_document_is_none(answer: Any) -> None:
    assert Sandbox(module(answer=answer)).ask("admin", b"{}") is None


NOT_STARTING: dict[str, tuple[str, dict[str, Any]]] = {
    "a file of the host": (
        "policies-module-reaches-out",
        {"wanted": '(import "wasi_snapshot_preview1" "fd_read" (func (param i32)))'},
    ),
    "another name of its host's": (
        "policies-module-reaches-out",
        {"wanted": '(import "env" "time_now" (func (result i64)))'},
    ),
    "a built-in of its host's": ("policy-builtin-refused", {"needs": {"opa.runtime": 0}}),
    "another interface": ("policies-module-other-interface", {"version": 2}),
    "a rule less": ("policies-module-damaged", {"rules": RULES[1:]}),
    "a start without end": (
        "policies-module-damaged",
        {"begun": "(func $begin (loop br 0)) (start $begin)"},
    ),
}


@pytest.mark.parametrize("name", NOT_STARTING)
def test_a_module_that_is_not_what_it_must_be_does_not_start(name: str) -> None:
    code, given = NOT_STARTING[name]
    with pytest.raises(Unavailable) as refused:
        Sandbox(module(**given), fuel=1_000_000)
    assert (refused.value.code, refused.value.who) == (code, "operator")


@pytest.mark.parametrize("content", [b"", b"\0asm", OURS[:-1]], ids=["nothing", "a head", "cut"])
def test_what_is_no_module_does_not_start(content: bytes) -> None:
    with pytest.raises(Unavailable) as refused:
        Sandbox(content)
    assert refused.value.code == "policies-module-damaged"


def test_a_policy_too_slow_is_denied_and_says_so() -> None:
    gate = EmbeddedGate()
    gate._engine = Sandbox(OURS, fuel=2_000_000)  # enough to start, not for a question like this
    assert gate.decide("admin", YES).allow
    long = YES | {"more": ["x" * 900] * 100}
    made = gate.decide("admin", long)
    assert (made.allow, made.reasons) == (False, (ENGINE_FAILED,))
    assert gate.decide("admin", YES).allow
    assert EmbeddedGate().decide("admin", long).allow, "it was the fuel, nothing else"


def test_nothing_of_a_question_is_there_for_the_next() -> None:
    """The same question takes the same instructions and memory, whatever was asked before it."""
    sandbox = Sandbox(OURS)

    def taken() -> tuple[int, int]:
        sandbox.ask("admin", canonical(YES))
        instance = sandbox._instance()
        return instance._store.get_fuel(), instance.pages

    first = taken()
    for _ in range(20):
        for rule, cases in VECTORS.items():
            for case in cases.values():
                sandbox.ask(rule, canonical(case["question"]))
        assert taken() == first


def test_an_instance_that_a_question_made_large_is_not_kept() -> None:
    sandbox = Sandbox(OURS)
    sandbox.ask("admin", canonical({"a": ["x" * 1_000] * 1_900}))
    assert sandbox._instance().pages < KEPT_PAGES


def test_a_thread_has_an_instance_of_its_own() -> None:
    sandbox = Sandbox(OURS)
    found = [sandbox._instance()]
    thread = threading.Thread(target=lambda: found.append(sandbox._instance()))
    thread.start()
    thread.join()
    assert found[0] is not found[1]
    assert found[0] is sandbox._instance()


def test_a_module_that_answers_otherwise_than_the_text_is_found_out(tmp_path: Path) -> None:
    """Put beside the policies with a manifest that fits: what somebody who writes there could."""
    manifest = read_manifest(POLICIES)
    assert manifest is not None
    folder = policies_with(tmp_path)
    (folder / "vectors").symlink_to(POLICIES / "vectors")
    write_module(folder, module(), manifest.of(module()))
    gate = EmbeddedGate(folder)
    assert not gate.decide("admin", YES).allow
    with pytest.raises(Unavailable) as told:
        gate.check()
    assert (told.value.code, told.value.who) == ("policies-module-differs", "operator")
    assert EmbeddedGate().check() == sum(len(cases) for cases in VECTORS.values())
