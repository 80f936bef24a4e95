"""What is built from npm: locked, from nowhere in particular, and rebuilt only when it must be."""

from __future__ import annotations

import json
import os
import re
import subprocess

from hub.web.assets import STATIC

FRONT = STATIC.parent / "front"
SERVICES = FRONT.parents[2] / "deploy" / "services"


def test_locks_name_no_registry() -> None:
    lock = json.loads((FRONT / "package-lock.json").read_text("utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert name == "" or package["integrity"].startswith("sha512-"), name
    for line in (FRONT / "requirements-node.lock").read_text("utf-8").splitlines():
        assert re.match(r"^([a-z-]+==[\d.]+( \\)?|    --hash=sha256:[0-9a-f]{64}( \\)?)$", line)
    assert "omit-lockfile-registry-resolved=true" in (FRONT / ".npmrc").read_text("utf-8")


def test_versions_are_exact() -> None:
    package = json.loads((FRONT / "package.json").read_text("utf-8"))
    for version in (package["dependencies"] | package["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_scripts_run() -> None:
    for script in (FRONT / "build.sh", SERVICES):
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert not re.search(r"https?://", script.read_text("utf-8"))
