"""The compiled module beside the policies: how it is made, and when it is believed.

`compiled/policies.wasm` is what OPA's compiler makes of the policies; `compiled/manifest.json` says
of which files, by which version, and its digest. A module is believed where its manifest names
exactly the policies that are there. That it is what the text says is not taken on trust: OPA makes
the same bytes of the same text each time (`tests/policy/test_module.py` has it made again), and
`hub doctor` puts the signed-off questions to the module and to the interpreter.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from hub.policy.compiling import ALLOWED_BUILTINS
from hub.policy.decisions import RULES, entry_point, unusable

FOLDER: Final = "compiled"
MODULE: Final = "policies.wasm"
MANIFEST: Final = "manifest.json"
OF_THE_COMPILER: Final = frozenset({"assign", "eq"})
"""What `:=` and `=` are called before they are compiled away."""

BUILD: Final = (
    *("build", "--target", "wasm", "--bundle", "policies", "--capabilities", "capabilities.json"),
    *(word for rule in RULES for word in ("--entrypoint", entry_point(rule))),
    *("--output", "bundle.tar.gz"),
)
"""What `opa` is told, in a folder that holds `policies` and the capabilities."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of what a module was made, and how. Digests are SHA-256, in hex."""

    opa: str
    command: str
    sources: dict[str, str]
    module: str

    def of(self, module: bytes) -> Manifest:
        """The same, of another module."""
        return msgspec.structs.replace(self, module=hashlib.sha256(module).hexdigest())


def read_module(folder: Path, sources: Mapping[str, bytes]) -> bytes | None:
    """The module made of these policies, None where there is none.

    Raises `OSError`, and `Unavailable` for one that is not what its manifest says: somebody
    changed it.
    """
    told = read_manifest(folder)
    if told is None or told.sources != _digests(sources):
        return None
    module = (folder / FOLDER / MODULE).read_bytes()
    if told.module != hashlib.sha256(module).hexdigest():
        raise unusable("policies-module-damaged", MODULE)
    return module


def read_manifest(folder: Path) -> Manifest | None:
    """What is said of the module of a folder, None where there is none. Raises as above."""
    path = folder / FOLDER / MANIFEST
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise unusable("policies-module-damaged", MANIFEST) from error


def make_module(opa: str, sources: Mapping[str, bytes]) -> tuple[bytes, Manifest]:
    """The module OPA's compiler makes of the policies. Raises `OSError`, `SubprocessError`."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        stage(opa, sources, scratch)
        subprocess.run(  # noqa: S603 - the program the operator named
            [opa, *BUILD], check=True, cwd=scratch, capture_output=True, text=True
        )
        with tarfile.open(scratch / "bundle.tar.gz") as bundle:
            found = bundle.extractfile("/policy.wasm")
            module = found.read() if found else b""
    return module, Manifest(
        _run(opa, "version").split("\n", 1)[0].removeprefix("Version: "),
        f"opa {' '.join(BUILD)}",
        _digests(sources),
        hashlib.sha256(module).hexdigest(),
    )


def write_module(folder: Path, module: bytes, manifest: Manifest) -> None:
    """Put a module and its manifest beside the policies. Raises `OSError`."""
    into = folder / FOLDER
    into.mkdir(exist_ok=True)
    (into / MODULE).write_bytes(module)
    told = json.dumps(msgspec.to_builtins(manifest), indent=2)
    (into / MANIFEST).write_text(f"{told}\n", "utf-8")


def stage(opa: str, sources: Mapping[str, bytes], folder: Path) -> None:
    """Lay out what `opa build` is given: the policies, and what they may use.

    Files are called in what it builds as they are here, from this folder on.
    """
    (folder / "capabilities.json").write_text(_capabilities(opa), "utf-8")
    (folder / "policies").mkdir()
    for file, content in sources.items():
        (folder / "policies" / file).write_bytes(content)


def _capabilities(opa: str) -> str:
    """What the compiler may use: the language as it is, few built-ins, no network."""
    capabilities: dict[str, Any] = json.loads(_run(opa, "capabilities", "--current"))
    capabilities["builtins"] = [
        each
        for each in capabilities["builtins"]
        if each["name"] in ALLOWED_BUILTINS | OF_THE_COMPILER
    ]
    return json.dumps(capabilities | {"allow_net": []})


def _run(opa: str, *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - the program the operator named
        [opa, *words], check=True, capture_output=True, text=True
    )
    return done.stdout


def _digests(sources: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in sources.items()}
