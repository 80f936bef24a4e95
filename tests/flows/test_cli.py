"""The command line as an operator types it: output, exit codes, and no content in either."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hub import push, release, worker
from hub.audit import proofs
from hub.cli import consents, edge, pushes, releases
from hub.cli.app import app
from hub.events import AuditEvent, Kind
from hub.parts import OPERATOR, Parts
from hub.records import Erasure, PushState
from hub.storage import age
from tests.flows import command, world


@pytest.fixture
def home(tmp_path: Path) -> Path:
    world.hub_in(tmp_path / "var").books.close()
    return tmp_path / "var"


def hub(home: Path, *words: str, stdin: str = "") -> tuple[int, Any, str]:
    """Run `hub`; gives the exit code, the JSON it printed (or its text) and the error stream."""
    done = command.run(words, {"HUB_HOME": str(home), "HUB_LEASE_SECONDS": "2"}, stdin)
    try:
        return done.returncode, json.loads(done.stdout), done.stderr
    except json.JSONDecodeError:
        return done.returncode, done.stdout, done.stderr


def test_push_and_pushes(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "taps.csv"
    file.write_bytes(world.taps(["CARD-SECRET"]))
    words = ("push", str(file), "--partner", "transdev", "--dataset", "validations", "--json")
    code, shown, _ = hub(home, *words)
    assert (code, shown["state"], shown["received"], shown["kept"]) == (0, "stored", 5, 5)
    assert {"id", "valid", "rejected", "reasons", "warnings", "file_sha256", "log_index"} <= set(
        shown
    )
    code, listed, _ = hub(home, "pushes", "--json")
    assert (code, [p["id"] for p in listed]) == (0, [shown["id"]])
    assert shown["id"] in hub(home, "pushes")[1], "an id is shown whole, however many columns"
    code, one, _ = hub(home, "pushes", shown["id"], "--json")
    assert (code, one["file_sha256"]) == (0, shown["file_sha256"])


def test_how_far_a_push_is_is_told_while_it_is_worked_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = world.hub_in(home)
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["CARD"])])
    told: list[tuple[str, int]] = []
    half, work = Event(), worker.step

    def say(state: Mapping[str, Any]) -> None:
        told.append((state["stage"], state["percentage"]))
        if told[-1] == ("reading", 45):
            half.set()

    def slowly(parts: Parts) -> bool:
        parts.books.advance(made.id, "reading", 45)
        assert half.wait(30)  # nobody who works here says it: it is told beside the work
        return work(parts)

    monkeypatch.setattr(worker, "step", slowly)
    assert pushes.finish(parts, made.id, say).state is PushState.STORED
    assert told[0] == ("waiting", 0)
    assert told[-1] == ("done", 100)


def test_a_push_draws_a_bar_on_a_terminal(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "taps.csv"
    file.write_bytes(world.taps(["CARD"]))
    monkeypatch.setenv("HUB_HOME", str(home))
    for terminal, words in ((True, ["transdev/validations", "terminé / done"]), (False, [])):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=terminal, width=120)
        monkeypatch.setattr(edge, "err", console)
        pushes.push_command(file, "transdev", "validations", as_json=True)
        assert json.loads(capsys.readouterr().out)["state"] == "stored"
        assert bool(screen.getvalue()) is terminal
        assert all(word in screen.getvalue() for word in words)


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (["withdraw", "acc-1", "--partner", "coachco2"], "journal / log"),
        (["release", "build", "places"], "places · publication / publishing"),
        (["retention", "run"], "rangement des tables / gathering tables"),
        (["audit", "reconcile"], "publications / releases"),
        (["audit", "verify"], "Vérification / verifying"),
        (["policy", "replay"], "Décisions / decisions"),
        (["backup", "create"], "Sauvegarde / back-up"),
    ],
)
def test_what_takes_long_draws_a_bar_on_a_terminal_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], last: str
) -> None:
    parts = world.hub_in(tmp_path / "var")
    if words[0] == "release":
        world.map_data(parts)
    parts.sequence()
    parts.books.close()
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("HUB_BACKUP_RECIPIENT", age.Identity.make().recipient.text)
    for terminal in (True, False):
        screen = io.StringIO()
        monkeypatch.setattr(edge, "err", Console(file=screen, force_terminal=terminal, width=120))
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout) is not None
        assert last in screen.getvalue() if terminal else screen.getvalue() == ""


def test_every_state_and_step_has_its_words() -> None:
    assert list(consents.STATES) == list(Erasure)
    assert tuple(releases.STEPS) == release.STEPS


def test_a_release_tells_its_steps_in_order(tmp_path: Path) -> None:
    parts = world.hub_in(tmp_path / "var")
    world.map_data(parts)
    told: list[str] = []
    release.build(parts, "places", told.append)
    assert tuple(told) == release.STEPS
    told.clear()
    assert release.build(parts, "places", told.append)[1] is False
    assert tuple(told) == release.STEPS[:-1], "the same again is not published"


def test_a_refused_file_ends_with_three_and_no_content(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(b"CARD-SECRET;x\n1;2\n")
    code, shown, errors = hub(
        home, "push", str(file), "--partner", "transdev", "--dataset", "validations", "--json"
    )
    assert code == 3
    assert shown["state"] == "refused"
    assert "CARD-SECRET" not in errors + json.dumps(shown)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["push", "/nowhere.csv", "--partner", "transdev", "--dataset", "validations"], 3),
        (["push"], 2),
        (["pushes", "unknown"], 3),
        (["release", "build", "modal-split"], 3),
        (["release", "show", "none"], 3),
        (["consent", "give", "X", "--partner", "orange"], 4),
        (["partner", "add", "nobody"], 3),
    ],
)
def test_exit_codes(home: Path, words: list[str], code: int) -> None:
    assert hub(home, *words)[0] == code


def test_consent_and_withdrawal_leave_no_reference_behind(home: Path) -> None:
    words = ("--partner", "coachco2", "--birth-month", "2009-01", "--json")
    code, given, errors = hub(home, "consent", "give", "-", *words, stdin="acc-secret\n")
    assert (code, given["state"]) == (0, "given")
    code, shown, _ = hub(home, "consent", "show", given["id"], "--json")
    assert (code, shown["log_index"]) == (0, given["log_index"])
    code, gone, more = hub(
        home, "withdraw", "-", "--partner", "coachco2", "--json", stdin="acc-secret\n"
    )
    assert (code, gone["state"]) == (0, "completed")
    assert "acc-secret" not in json.dumps([given, shown, gone]) + errors + more
    receipt = home.parent / "receipt.txt"
    receipt.write_text(gone["receipt"])
    code, verified, _ = hub(home, "receipt", "verify", str(receipt), "--json")
    assert (code, verified["kind"], verified["ok"]) == (0, "withdrawal", True)
    receipt.write_text(gone["receipt"].replace("completed", "completes"))
    assert hub(home, "receipt", "verify", str(receipt))[0] == 3


def test_a_flipped_byte_in_the_log_or_checkpoint_is_found_and_located(home: Path) -> None:
    hub(home, "consent", "give", "a", "--partner", "coachco2", "--birth-month", "2009-01")
    code, report, _ = hub(home, "audit", "verify", "--json")
    assert (code, report["ok"], report["problems"]) == (0, True, [])
    assert report["size"] > 10
    # The journal beside the log is how the hub writes it, and nothing anybody verifies.
    served = [p for p in (home / "log").rglob("*") if p.is_file() and p.name != ".journal"]
    assert len(served) >= 3
    for file in sorted(served):
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[len(flipped) // 2] ^= 1
        file.write_bytes(bytes(flipped))
        code, report, _ = hub(home, "audit", "verify", "--json")
        assert code != 0, file
        assert report["ok"] is False
        name = file.relative_to(home / "log").as_posix()
        assert any(name in problem for problem in report["problems"]), (name, report)
        file.write_bytes(whole)
    assert hub(home, "audit", "verify")[0] == 0


def test_keys_doctor_and_lists(home: Path) -> None:
    code, keys, _ = hub(home, "keys", "show", "--json")
    assert code == 0
    assert keys["recipient"].startswith("age1")
    assert "SECRET" not in json.dumps(keys).upper().replace("SECRET-KEY", "SECRET")
    assert hub(home, "doctor", "--json")[0] == 0
    code, user, _ = hub(home, "user", "add", "dpo", "--role", "dpo", "--organisation", "region",
                        "--json")  # fmt: skip
    assert (code, user["role"]) == (0, "dpo")
    code, users, _ = hub(home, "user", "list", "--json")
    assert [u["login"] for u in users] == ["dpo"]
    assert "password" not in json.dumps(users)
    assert hub(home, "partner", "list", "--json")[0] == 0
    assert hub(home, "audit", "events", "--json")[0] == 4
    code, shown, _ = hub(home, "audit", "proof", "0", "--json")
    assert code == 0
    file = proofs.read(hub(home, "audit", "proof", "0")[1].encode())
    assert (file.index, file.note.decode().rstrip()) == (0, shown["checkpoint"].rstrip())
    assert [node.hex() for node in file.path] == shown["hashes"]


def test_a_worker_whose_parent_died_before_it_began_stops(home: Path) -> None:
    assert hub(home, "work", "--parent", "999999999")[0] == 0


def test_retention_says_what_would_go_and_then_lets_it_go(home: Path) -> None:
    parts = world.hub_in(home)
    agreement = parts.books.agreement("transdev", "validations")
    assert agreement is not None
    event = AuditEvent(Kind.AGREEMENT_RECORDED, "hub", "x", parts.clock(), {})
    plain = replace(agreement, terms=dict(agreement.terms) | {"retention": None})
    parts.books.add_agreement(plain, event=event)
    # Of January 2026: for the clock of any machine that runs this, long enough ago.
    world.pushed(parts, "transdev/validations", world.taps(["CARD-SECRET"]))
    assert parts.tables.periods("transdev/validations/validations") != {}
    parts.books.close()
    code, told, errors = hub(home, "retention", "run", "--dry-run", "--json")
    assert (code, errors) == (0, "")
    assert {(one["kind"], one["name"]) for one in told} == {
        ("rows", "transdev/validations/validations"),
        ("key", "school-mobility"),
    }
    assert {one["count"] for one in told} == {"1-10"}
    assert "CARD-SECRET" not in json.dumps(told)
    assert hub(home, "retention", "run", "--json")[:2] == (0, told), "nothing had gone"
    assert hub(home, "retention", "run", "--dry-run", "--json")[:2] == (0, [])


def test_a_back_up_is_made_listed_and_restored(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, errors = hub(home, "backup", "create", "--json")
    assert code != 0
    assert "HUB_BACKUP_RECIPIENT" in errors
    identity = age.Identity.make()
    monkeypatch.setenv("HUB_BACKUP_RECIPIENT", identity.recipient.text)
    monkeypatch.setenv("HUB_BACKUPS", str(tmp_path / "elsewhere"))
    code, made, _ = hub(home, "backup", "create", "--json")
    assert code == 0
    code, listed, _ = hub(home, "backup", "list", "--json")
    assert (code, listed) == (0, [made])
    [file] = (tmp_path / "elsewhere" / "backups").iterdir()
    key = tmp_path / "identity"
    key.write_text(identity.text)
    words = ("backup", "restore", str(file), "--identity", str(key), "--json")
    code, _, errors = hub(tmp_path / "new", *words)
    assert code != 0
    assert "--withdrawals" in errors
    code, again, _ = hub(tmp_path / "new", *words, "--withdrawals", str(tmp_path / "elsewhere"))
    assert (code, again["id"], again["withdrawals"]) == (0, made["id"], 0)


def test_what_is_kept_elsewhere_is_backed_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, key = age.Identity.make(), tmp_path / "identity"
    key.write_text(identity.text)
    monkeypatch.setenv("HUB_BACKUP_RECIPIENT", identity.recipient.text)
    monkeypatch.setenv("HUB_BACKUPS", str(tmp_path / "backups"))
    storage = (tmp_path / "storage").as_uri()
    parts = world.hub_in(tmp_path / "var", storage_url=storage)
    world.pushed(parts, "transdev/validations", world.taps(["CARD-SECRET"]))
    parts.books.close()
    monkeypatch.setenv("HUB_STORAGE_URL", storage)
    code, _, errors = hub(tmp_path / "var", "backup", "create", "--json")
    assert (code, errors) == (0, "")
    monkeypatch.delenv("HUB_STORAGE_URL")
    [file] = (tmp_path / "backups" / "backups").iterdir()
    code, _, errors = hub(
        tmp_path / "new", "backup", "restore", str(file), "--identity", str(key),
        "--withdrawals", str(tmp_path / "backups"), "--json",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    code, found, _ = hub(tmp_path / "new", "audit", "reconcile", "--json")
    assert (code, found["ok"]) == (0, True)
    rows = world.hub_in(tmp_path / "new").tables.periods("transdev/validations/validations")
    assert rows != {}
