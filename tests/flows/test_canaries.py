"""Canaries in the pushed files are found in nothing the hub wrote, logged or answered."""

import logging
import struct
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hub import backup, consents, push, retention, withdraw
from hub.application import application
from hub.main import zones_of
from hub.parts import OPERATOR
from hub.storage import age
from tests.flows import world
from tests.storage.scan import find

ACCOUNT = "canari-compte-7f3a"
NAME = "Canarie Zyx-Durand"
CARD = "CANARI-CARD-55512"
MAIL = "canari@exemple.invalid"
HOME = 1.9554321987
"""The longitude of a home, sought as text and as the number itself."""
CANARIES = [text.encode() for text in (ACCOUNT, NAME, CARD, MAIL, str(HOME))]
CANARIES.append(struct.pack("<d", HOME))


def test_no_canary_survives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    home = tmp_path / "var"
    recipient = age.Identity.make().recipient.text
    elsewhere = {"backup_recipient": recipient, "backups": tmp_path / "elsewhere"}
    parts = world.hub_with_places(home, **elsewhere)
    world.agree(parts, ACCOUNT)
    trips = world.trips([ACCOUNT, "other"]).replace(b'"display_name": "x"',
        b'"display_name": "' + NAME.encode() + b'", "mail": "' + MAIL.encode() + b'"')  # fmt: skip
    home_as_told = str(world.home_of(0)[0]).encode()
    assert home_as_told in trips
    trips = trips.replace(home_as_told, str(HOME).encode())
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
                made = world.pushed(parts, name, data)
                answers += repr(made).encode() + repr(push.shown(made, operator=True)).encode()
                if made.log_index is not None:
                    answers += push.receipt(parts, made)
        for path in ("/", "/indicators", "/map", "/v1/releases", "/openapi.json", "/v1/pushes/x",
                     "/metrics", "/readyz", "/my-consent", "/v1/catalog"):  # fmt: skip
            answers += client.get(path).content
    answers += (
        repr(retention.due(parts)).encode()
        + repr(backup.create(parts, OPERATOR, zones_of(parts.settings))).encode()
    )
    parts = world.hub_in(home, **elsewhere)
    sealed = [row for p in parts.books.pushes() for row in parts.books.set_aside(push=p.id)]
    assert any(row.sealed for row in sealed), "the quarantine was to hold something, sealed"
    assert push.accept(parts, OPERATOR, "transdev", "validations", [taps])[1]
    places = find(tmp_path, CANARIES, None)
    assert places == []
    digest = consents.digest_of(parts, "coachco2", ACCOUNT)
    done = withdraw.complete(
        parts, withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli").id
    )
    answers += withdraw.receipt(parts, done) + repr(done).encode()
    assert find(tmp_path, CANARIES, None) == []
    told = answers + caplog.text.encode() + "".join(capsys.readouterr()).encode()
    assert [canary for canary in CANARIES if canary in told] == []
    # The scan would have found them: the waiting file holds them, sealed, and only there.
    opened = find(home, CANARIES, parts.vault.unseal)
    assert opened
