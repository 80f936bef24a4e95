"""The files an operator starts from: each read by what reads it where that is here, and lawful."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]

from hub.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
UNITS = sorted((DEPLOY / "systemd").iterdir())
SCRIPTS = [DEPLOY / "services", *sorted((DEPLOY / "services.d").glob("*.sh"))]
SETTINGS = {f"HUB_{name.upper()}" for name in Settings.model_fields}


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions, with their continuation lines."""
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def test_compose_is_what_its_specification_allows() -> None:
    schema = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    assert [(e.instance_path, e.message) for e in validator.iter_errors(COMPOSE)] == []
    wrong = COMPOSE | {"services": {"hub": {"comand": []}}}
    assert not validator.is_valid(wrong), "a word it does not know is not let by"


def test_hadolint_finds_nothing_in_the_containerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, "--no-color", DEPLOY / "Containerfile"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_setting_named_in_deploy_exists() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".sh"]
    named = {
        name
        for path in files
        if path.name not in {"services", "package-lock.json"}
        for name in re.findall(r"\bHUB_[A-Z][A-Z0-9_]+\b", path.read_text("utf-8"))
    }
    assert named
    assert named <= SETTINGS, named - SETTINGS


def test_the_container_runs_as_an_ordinary_user_from_locked_packages() -> None:
    found = instructions()
    known = {
        "ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE",
        "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    assert {name for name, _ in found} <= known
    stages = [n for n, (name, _) in enumerate(found) if name == "FROM"]
    build, *_, spark, default = [
        value.rpartition(" ")[2] for name, value in found if name == "FROM"
    ]
    assert (build, spark, default) == ("build", "spark", "hub")
    for first, end in pairwise(stages[1:]):
        assert [v for n, v in found[first:end] if n == "USER"][-1] == "10001:10001"
    installs = [value for name, value in found if name == "RUN" and "pip install" in value]
    assert all("--require-hashes" in value for value in installs)
    assert installs
    for source in [v.split()[0] for n, v in found if n == "COPY" and "--from" not in v]:
        assert (DEPLOY.parent / source).exists(), source
    for name in ("ENTRYPOINT", "CMD"):
        (value,) = [v for n, v in found if n == name]
        assert isinstance(json.loads(value), list)


def test_every_container_is_confined() -> None:
    always = {name for name, one in COMPOSE["services"].items() if "profiles" not in one}
    assert always == {"hub", "worker", "books", "objects", "policy", "proxy"}
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"], volume
        for network in service["networks"]:
            assert network in COMPOSE["networks"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_only_the_proxy_is_reached_from_outside() -> None:
    open_ = [name for name, service in COMPOSE["services"].items() if "ports" in service]
    assert open_ == ["proxy"]


def test_no_secret_is_written_in_a_file() -> None:
    for name, service in COMPOSE["services"].items():
        for key, value in service.get("environment", {}).items():
            assert not re.search(r"PASSWORD$|SECRET|_KEY$", key), (name, key, value)


def test_the_server_of_policies_verifies_its_bundle() -> None:
    command = COMPOSE["services"]["policy"]["command"]
    assert any(word.startswith("--verification-key=") for word in command)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_reads_the_units(unit: Path, tmp_path: Path) -> None:
    for path in UNITS:
        # Only what is written is looked at: the program is not installed here.
        text = path.read_text("utf-8").replace("/opt/hub/bin/hub", "/bin/true")
        (tmp_path / path.name).write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
    )
    about = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert about == [], done.stderr


@pytest.mark.parametrize("unit", [p for p in UNITS if p.suffix == ".service"], ids=lambda p: p.name)
def test_every_unit_is_confined(unit: Path) -> None:
    text = unit.read_text("utf-8")
    for line in ("User=hub", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes"):
        assert f"\n{line}\n" in text, line


def test_a_login_counts_for_who_guesses_and_not_for_the_proxy() -> None:
    """The hub believes the header, which the proxy writes anew whatever a stranger sent."""
    assert COMPOSE["services"]["hub"]["environment"]["FORWARDED_ALLOW_IPS"] == "*"
    proxy = (DEPLOY / "proxy" / "nginx.conf").read_text("utf-8")
    assert re.findall(r"X-Forwarded-For (\S+);", proxy) == ["$remote_addr"]


def test_the_proxy_speaks_tls_and_keeps_no_address() -> None:
    text = (DEPLOY / "proxy" / "nginx.conf").read_text("utf-8")
    assert text.count("{") == text.count("}")
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text
    (kept,) = re.findall(r"log_format plain '(.*)'", text)
    assert "$remote_addr" not in kept
    assert "$request_uri" not in kept


@pytest.mark.parametrize("zone", ["worker", "web", "public"])
def test_what_each_process_may_in_the_bucket(zone: str) -> None:
    policy = json.loads((DEPLOY / "s3" / f"{zone}.json").read_text("utf-8"))
    allowed = {
        (action, resource.removeprefix("arn:aws:s3:::"))
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    assert not [action for action, _ in allowed if "*" in action]
    if zone == "web":
        assert ("s3:GetObject", "hub/vault/*") not in allowed, "the web process can only seal"
        assert [a for a, resource in allowed if "tables" in resource] == ["s3:GetObject"]
    if zone == "public":
        assert allowed == {("s3:GetObject", "hub/public/audit/*")}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_locked_provider_names_no_registry() -> None:
    lock = json.loads((DEPLOY / "oidc" / "package-lock.json").read_text("utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert name == "" or package["integrity"].startswith("sha512-"), name
