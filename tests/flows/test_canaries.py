"""Canaries in the pushed files are found in nothing the hub wrote, logged or answered."""

import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hub import push
from hub.main import application
from hub.parts import OPERATOR
from tests.flows import world
from tests.storage.scan import find

ACCOUNT = "canari-compte-7f3a"
NAME = "Canarie Zyx-Durand"
CARD = "CANARI-CARD-55512"
MAIL = "canari@exemple.invalid"
CANARIES = [text.encode() for text in (ACCOUNT, NAME, CARD, MAIL)]


def test_no_canary_survives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    home = tmp_path / "var"
    parts = world.hub_in(home)
    world.reference_data(parts)
    world.agree(parts, ACCOUNT)
    trips = world.trips([ACCOUNT, "other"]).replace(b'"display_name": "x"',
        b'"display_name": "' + NAME.encode() + b'", "mail": "' + MAIL.encode() + b'"')  # fmt: skip
    taps = world.taps([CARD]) + f"bad,not-a-date,{MAIL},x,{NAME},Fly,,,,,,maybe,{CARD}\n".encode()
    files = {
        "coachco2/trips": [trips, trips[: len(trips) // 2], b'{"_id": "' + CARD.encode()],
        "transdev/validations": [taps, taps.replace(b",", b";"), CARD.encode() + b"\xff\n" + taps],
        "region/lycees": [taps],
        "orange/presence": [trips],
    }
    with TestClient(application(parts)) as client:
        answers = b""
        for name, datas in files.items():
            for data in datas:
                done = world.pushed(parts, name, data)
                answers += repr(done).encode() + repr(push.shown(done, operator=True)).encode()
                if done.log_index is not None:
                    answers += push.receipt(parts, done)
        for path in ("/", "/indicators", "/map", "/v1/releases", "/openapi.json", "/v1/pushes/x"):
            answers += client.get(path).content
    parts = world.hub_in(home)
    sealed = [row for p in parts.books.pushes() for row in parts.books.set_aside(push=p.id)]
    assert any(row.sealed for row in sealed), "the quarantine was to hold something, sealed"
    assert push.accept(parts, OPERATOR, "transdev", "validations", [taps])[1]
    places = find(home, CANARIES, None)
    assert places == []
    told = answers + caplog.text.encode() + "".join(capsys.readouterr()).encode()
    assert [canary for canary in CANARIES if canary in told] == []
    # The scan would have found them: the waiting file holds them, sealed, and only there.
    opened = find(home, CANARIES, parts.vault.unseal)
    assert opened
