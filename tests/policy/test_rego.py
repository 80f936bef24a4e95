"""The policies themselves: tested on all engines, and free of what they read differently."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from regopy import Interpreter

from hub.policy.gate import POLICIES, RULES, EmbeddedGate
from tests.policy.cases import SOURCES, TESTS, VECTORS, changed, facts, needs_opa, opa

GATE = EmbeddedGate()
BY_TEXT = EmbeddedGate(by_text=True)
OPA = opa()


def run(*arguments: str, given: str = "") -> str:
    """What `opa` prints, where it ends well."""
    assert OPA is not None
    done = subprocess.run([OPA, *arguments], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def code(path: Path) -> str:
    """A policy without its comments and without the words in its texts."""
    lines = (line.partition("#")[0] for line in path.read_text("utf-8").splitlines())
    return re.sub(r'"[^"]*"', '""', "\n".join(lines))


def embedded_cases(test: Path) -> dict[str, Any]:
    """The table `cases` of a test file, evaluated by the interpreter."""
    interpreter = Interpreter()
    # The rule that runs the cases under `with` is for `opa`: here the gate itself asks them.
    interpreter.add_module(test.name, test.read_text("utf-8").partition("test_cases[name]")[0])
    output = interpreter.query(f"data.hub.{test.stem}.cases")
    assert output.ok()
    cases: dict[str, Any] = output.results[0].expressions[0]
    return cases


def test_every_rule_is_a_policy_with_its_test_beside_it() -> None:
    assert {path.stem for path in SOURCES} == {*RULES, "lib"}
    assert {path.stem for path in TESTS} == {f"{rule}_test" for rule in RULES}


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
def test_the_cases_beside_each_policy_hold_on_the_embedded_engines(test: Path) -> None:
    rule = test.stem.removesuffix("_test")
    cases = embedded_cases(test)
    assert cases
    for name, case in cases.items():
        for gate in (GATE, BY_TEXT):
            made = gate.decide(rule, case["question"])
            assert list(made.reasons) == case["reasons"], name
            assert made.allow == (not case["reasons"]), name


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_the_engines_read_differently_is_not_written(source: Path) -> None:
    text = code(source)
    assert not re.search(r"\b(every|with)\b", text)
    assert not re.search(r"\bdefault \w+\(", text)
    assert not re.search(r"(:=|\bin|,|:) \{\s*\"\"(,|\s*\})", text), "a set: write a list"
    for negated in re.findall(r"\bnot\b[^\n]*", text):
        assert re.fullmatch(r"not [a-z_]+", negated.strip()), negated


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_lawyer_finds_a_title_before_every_rule(source: Path) -> None:
    blocks = source.read_text("utf-8").split("\n\n")
    titled = 0
    for block in blocks:
        first = block.strip().splitlines()[0]
        if first.startswith("# METADATA"):
            assert "# title: " in block
            titled += 1
        elif "refused contains" in block:
            pytest.fail(f"no title before: {first}")
    assert titled >= 2


@pytest.mark.parametrize("source", [s for s in SOURCES if s.stem != "lib"], ids=lambda s: s.stem)
def test_each_policy_answers_no_by_default(source: Path) -> None:
    text = source.read_text("utf-8")
    assert f"package hub.{source.stem}\n" in text
    assert (
        'default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}' in text
    )


def test_the_readme_names_every_policy() -> None:
    told = (POLICIES / "README.md").read_text("utf-8")
    for source in SOURCES:
        assert f"`{source.name}`" in told


@needs_opa
def test_opa_reads_the_policies_strictly_and_formatted() -> None:
    run("check", "--strict", str(POLICIES))
    assert run("fmt", "--list", str(POLICIES)) == ""


@needs_opa
def test_opa_runs_the_same_tests_and_vectors() -> None:
    results = json.loads(run("test", str(POLICIES), "--format", "json"))
    assert {result["name"] for result in results} >= {f"test_{rule}" for rule in RULES}
    assert not [result["name"] for result in results if result.get("fail")]


@needs_opa
def test_opa_fails_a_vector_that_is_wrong(tmp_path: Path) -> None:
    shutil.copytree(POLICIES, tmp_path / "policies")
    vectors = tmp_path / "policies" / "vectors" / "admin.json"
    read = json.loads(vectors.read_text("utf-8"))
    next(iter(read["admin"].values()))["expected"]["allow"] = False
    vectors.write_text(json.dumps(read), "utf-8")
    with pytest.raises(AssertionError, match="FAIL"):
        run("test", str(tmp_path / "policies"))


@needs_opa
@pytest.mark.parametrize("rule", RULES)
def test_all_engines_give_the_same_decision(rule: str) -> None:
    """Every signed-off question, with each fact taken away or replaced in turn."""
    strange: list[Any] = [None, True, 0, 11, "", "true", "null", "1", "partner", [], ["push"], {}]
    asked = [case["question"] for case in VECTORS[rule].values()]
    for question in list(asked):
        for fact in facts(question):
            asked.append(changed(question, fact))
            asked.extend(changed(question, fact, value) for value in strange)
    query = f"[d | some q in input.asked; d := data.hub.{rule}.decision with input as q]"
    answered = json.loads(
        run(
            "eval",
            "--data",
            str(POLICIES),
            "--stdin-input",
            query,
            given=json.dumps({"asked": asked}),
        )
    )["result"][0]["expressions"][0]["value"]
    assert len(answered) == len(asked) > 100
    for question, theirs in zip(asked, answered, strict=True):
        ours = GATE.decide(rule, question)
        assert BY_TEXT.decide(rule, question) == ours
        assert (ours.allow, list(ours.reasons)) == (theirs["allow"], theirs["reasons"]), question
        assert dict(ours.obligations) == theirs["obligations"], question
