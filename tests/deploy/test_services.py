"""`make services` on machines that have everything, nothing, or a Go that cannot build."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED_BY_BASH = ("bash", "dirname", "mkdir", "rm", "id", "chmod", "readlink")
OPA = "#!/bin/bash\necho 'Version: 1.4.2'\n"
SILENT = "#!/bin/bash\n"
# Builds what it is asked to, as a program that does nothing.
GO = """#!/bin/bash
while [[ $1 != -o ]]; do shift || exit 0; done
echo "#!/bin/bash" >"$2"
chmod +x "$2"
"""
PROGRAMS = ("chromium", "age", "nginx", "opa", "log-verifier")
SERVERS = ("postgres", "minio", "versitygw", "policy", "oidc", "spark", "sharing")
ALL = (*PROGRAMS, *SERVERS)


class Machine:
    """A machine with nothing on its path but what a test puts there, and no package manager."""

    def __init__(self, folder: Path) -> None:
        self.home, self.path = folder / "hub", folder / "path"
        self.path.mkdir()
        (self.home / "deploy/verifier").mkdir(parents=True)
        shutil.copy(ROOT / "deploy/services", self.home / "deploy/services")
        shutil.copytree(ROOT / "deploy/services.d", self.home / "deploy/services.d")
        for name in NEEDED_BY_BASH:
            found = shutil.which(name)
            assert found
            (self.path / name).symlink_to(found)

    def install(self, name: str, text: str = SILENT) -> None:
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o755)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.path / "bash"), str(self.home / "deploy/services"), *words],
            env={
                "PATH": str(self.path),
                "POSTGRES_HOME": str(self.home / "none"),
                "HUB_PYTHON": "/none",
                "NGINX": "/none",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def lines_with(text: str, word: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if word in line]


def test_a_bare_machine_is_told_what_is_missing_and_what_is_skipped(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert lines_with(done.stdout, "missing; skipped: ") == list(ALL)
    assert done.stdout.endswith(f"services: {len(ALL)} missing\n")


@pytest.mark.parametrize("setting", [{"SERVICES": "required"}, {"CI": "true"}])
def test_where_all_are_required_a_missing_one_is_a_failure(
    machine: Machine, setting: dict[str, str]
) -> None:
    for name in ("chromium", "age", "nginx", "log-verifier"):
        machine.install(name)
    done = machine.run(**setting)
    assert done.returncode == 1
    assert lines_with(done.stdout, "missing; skipped: ") == ["opa", *SERVERS]
    assert "all are required" in done.stderr


def test_what_is_there_is_named_with_its_place_each_time(machine: Machine) -> None:
    for name in PROGRAMS:
        machine.install(name, OPA if name == "opa" else SILENT)
    first, again = machine.run(), machine.run()
    assert (first.returncode, first.stdout) == (0, again.stdout)
    for name in PROGRAMS:
        assert str(machine.path / name) in first.stdout
    assert lines_with(first.stdout, "missing; skipped: ") == list(SERVERS)
    assert first.stdout.endswith(f"services: {len(SERVERS)} missing\n")


def test_where_nothing_runs_stopping_and_resetting_do_nothing(machine: Machine) -> None:
    for word in ("stop", "reset"):
        done = machine.run(word)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.run("nonsense").returncode == 2


def test_an_opa_of_another_version_does_not_count(machine: Machine) -> None:
    machine.install("opa", OPA.replace("1.4.2", "0.9.0"))
    assert "opa" in lines_with(machine.run().stdout, "missing; skipped: ")


def test_where_go_is_the_verifier_is_built_and_built_again(machine: Machine) -> None:
    machine.install("go", GO)
    for _ in range(2):
        done = machine.run()
        assert str(machine.home / "build/bin/log-verifier") in done.stdout


def test_a_go_that_cannot_build_leaves_no_old_verifier_behind(machine: Machine) -> None:
    machine.install("go", GO)
    machine.run()
    machine.install("go", "#!/bin/bash\nexit 1\n")
    done = machine.run()
    assert "log-verifier could not be built" in done.stderr
    assert lines_with(done.stdout, "missing; skipped: ") == list(ALL)
