"""Where the policies, their vectors and the `opa` binary are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from hub.errors import Unavailable
from hub.policy.gate import POLICIES, ServerGate
from tests.services import missing, needed

PATIENT = 20.0
"""A deadline for tests of what is answered: the machine may be busy."""

SOURCES = sorted(path for path in POLICIES.glob("*.rego") if not path.name.endswith("_test.rego"))
TESTS = sorted(path for path in POLICIES.glob("*_test.rego") if path.name != "vectors_test.rego")

VECTORS: dict[str, dict[str, Any]] = {
    rule: cases
    for path in sorted((POLICIES / "vectors").glob("*.json"))
    for rule, cases in json.loads(path.read_text("utf-8")).items()
}

ALLOWED = [
    (rule, name)
    for rule, cases in VECTORS.items()
    for name, case in cases.items()
    if case["expected"]["allow"]
]


def opa() -> str | None:
    """The `opa` program, on the path or where `make services` puts it."""
    built = POLICIES.parent / "build" / "bin" / "opa"
    return shutil.which("opa") or (str(built) if built.exists() else None)


needs_opa = pytest.mark.skipif(
    opa() is None, reason="no `opa` on the path nor in build/bin: run `make services`"
)


def policy_url() -> str:
    """Where the OPA server is that `deploy/services` has started, if it decides by our policies."""
    server_gate()
    return needed("policy")["HUB_TEST_POLICY_URL"]


def server_gate() -> ServerGate:
    """The gate of that server."""
    gate = ServerGate(needed("policy")["HUB_TEST_POLICY_URL"], deadline=PATIENT)
    try:
        gate.check()
    except Unavailable as error:
        missing(f"the OPA server has an older bundle: `make services` again ({error.code})")
    return gate


def serving(program: Path | str, folder: Path, port: int) -> list[str]:
    """The words that start an OPA server on the bundle of a folder, if its signature holds."""
    return [
        str(program), "run", "--server", "--addr", f"127.0.0.1:{port}", "--bundle",
        str(folder / "bundle.tar.gz"), "--verification-key", str(folder / "public.pem"),
        "--verification-key-id", "hub", "--signing-alg", "ES256", "--disable-telemetry",
        "--log-level", "error",
    ]  # fmt: skip


def policies_with(folder: Path, **changed: str | None) -> Path:
    """A copy of the policies with some files replaced (or, for None, left out)."""
    for path in SOURCES:
        content = changed.get(path.stem, path.read_text("utf-8"))
        if content is not None:
            (folder / path.name).write_text(content, "utf-8")
    return folder


def facts(question: dict[str, Any], above: str = "") -> Iterator[str]:
    """Dotted names of every fact of a question, inner ones included."""
    for name, value in question.items():
        yield above + name
        if isinstance(value, dict):
            yield from facts(value, f"{above}{name}.")


def changed(question: dict[str, Any], fact: str, *value: Any) -> dict[str, Any]:
    """The question with a fact replaced, or taken away where no value is given."""
    copy = deepcopy(question)
    inner = copy
    *above, last = fact.split(".")
    for name in above:
        inner = inner[name]
    if value:
        inner[last] = value[0]
    else:
        del inner[last]
    return copy


STRANGE: list[Any] = [None, True, False, 0, 11, 1.5, "", "hub", "operator", [], ["push"], {}]


@st.composite
def nearly_allowed(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A rule and a question it allows, with up to three of its facts changed or taken away."""
    rule, name = draw(st.sampled_from(ALLOWED))
    question: dict[str, Any] = VECTORS[rule][name]["question"]
    for _ in range(draw(st.integers(0, 3))):
        names = list(facts(question))
        if not names:
            break
        fact = draw(st.sampled_from(names))
        value = draw(st.sampled_from([(), *((strange,) for strange in STRANGE)]))
        question = changed(question, fact, *value)
    return rule, question
