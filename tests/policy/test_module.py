"""The committed module is what OPA's compiler makes of the policies, and of no others."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub.cli.app import app
from hub.errors import Unavailable
from hub.policy.gate import POLICIES, EmbeddedGate
from hub.policy.module import BUILD, FOLDER, MANIFEST, MODULE, Manifest, make_module, read_manifest
from tests.policy.cases import SOURCES, VECTORS, needs_opa, opa, policies_with

OPA = str(opa())
YES = VECTORS["admin"]["the operator adds a partner"]["question"]


def committed() -> Manifest:
    told = read_manifest(POLICIES)
    assert told is not None
    return told


def with_module(folder: Path, **changed: str) -> Path:
    """Policies, some of them changed, beside the module of those that are committed."""
    shutil.copytree(POLICIES / FOLDER, folder / FOLDER)
    return policies_with(folder, **changed)


def test_the_module_is_of_the_policies_as_they_are() -> None:
    """Where this fails, `make policies` was forgotten."""
    told = committed()
    assert told.sources == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in SOURCES
    }
    assert told.module == hashlib.sha256((POLICIES / FOLDER / MODULE).read_bytes()).hexdigest()
    assert told.command == f"opa {' '.join(BUILD)}"
    assert EmbeddedGate().engine == "compiled module"


def test_the_module_is_made_by_the_version_that_is_installed_for_tests() -> None:
    programs = (POLICIES.parent / "deploy/services.d/programs.sh").read_text("utf-8")
    pinned = re.search(r"OPA_VERSION=v(\S+)", programs)
    assert pinned is not None
    assert committed().opa == pinned[1]


@needs_opa
def test_the_compiler_makes_the_same_bytes_again() -> None:
    sources = {path.name: path.read_bytes() for path in SOURCES}
    module, manifest = make_module(OPA, sources)
    assert manifest == committed()
    assert module == (POLICIES / FOLDER / MODULE).read_bytes()


def test_policies_that_were_changed_are_answered_by_their_text(tmp_path: Path) -> None:
    text = (POLICIES / "admin.rego").read_text("utf-8")
    gate = EmbeddedGate(with_module(tmp_path, admin=text.replace('"partner_add"', '"never"')))
    assert gate.engine == "interpreter"
    assert EmbeddedGate().decide("admin", YES).allow
    assert not gate.decide("admin", YES).allow


def test_a_module_somebody_changed_does_not_start(tmp_path: Path) -> None:
    path = with_module(tmp_path) / FOLDER / MODULE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    for wrong in (bytes(content), b""):
        path.write_bytes(wrong)
        with pytest.raises(Unavailable) as refused:
            EmbeddedGate(tmp_path)
        assert (refused.value.code, refused.value.who) == ("policies-module-damaged", "operator")
    path.unlink()
    with pytest.raises(Unavailable):
        EmbeddedGate(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"opa": 1}'])
def test_a_manifest_that_is_none_does_not_start(tmp_path: Path, content: str) -> None:
    (with_module(tmp_path) / FOLDER / MANIFEST).write_text(content, "utf-8")
    with pytest.raises(Unavailable) as refused:
        EmbeddedGate(tmp_path)
    assert refused.value.code == "policies-module-damaged"


def compile_in(folder: Path, *words: str, program: str = OPA) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["policy", "compile", "--policies", str(folder), "--opa", program, *words]
    )
    return done.exit_code, done.output


@needs_opa
def test_an_operator_compiles_policies_of_their_own(tmp_path: Path) -> None:
    text = (POLICIES / "admin.rego").read_text("utf-8")
    folder = with_module(tmp_path, admin=text.replace('"partner_add"', '"never"'))
    code, told = compile_in(folder, "--check")
    assert (code, "same: False" in told) == (5, True)
    assert EmbeddedGate(folder).engine == "interpreter", "a check writes nothing"
    assert compile_in(folder)[0] == 0
    assert compile_in(folder, "--check")[0] == 0
    gate = EmbeddedGate(folder)
    assert gate.engine == "compiled module"
    assert not gate.decide("admin", YES).allow


@needs_opa
def test_what_the_interpreter_refuses_is_not_compiled(tmp_path: Path) -> None:
    text = (POLICIES / "admin.rego").read_text("utf-8")
    folder = policies_with(tmp_path, admin=text + "\nlate if time.now_ns() > 0\n")
    with pytest.raises(Unavailable) as refused:
        CliRunner().invoke(
            app, ["policy", "compile", "--policies", str(folder), "--opa", OPA],
            catch_exceptions=False,
        )  # fmt: skip
    assert refused.value.code == "policy-builtin-refused"
    assert not (folder / FOLDER).exists()


def test_without_a_compiler_it_says_who_must_act(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        CliRunner().invoke(
            app,
            ["policy", "compile", "--policies", str(policies_with(tmp_path)), "--opa", "no-such"],
            catch_exceptions=False,
        )
    assert (refused.value.code, refused.value.who) == ("policy-compiler", "operator")
