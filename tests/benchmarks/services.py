"""The same work on real parts and on embedded ones: PostgreSQL, S3 and OPA beside SQLite, folders
and the engine in this process. All of it over loopback.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from connectors.registry import DATASETS
from hub import release, worker
from hub.parts import OPERATOR, Parts
from hub.push import accept
from tests.benchmarks import files
from tests.benchmarks.peers import Missing
from tests.benchmarks.runner import Row, Timed, paired, seconds
from tests.flows import real, world
from tests.services import found

ROUNDS: Final = 3
TAPS: Final = 300_000
LYCEES: Final = 4_000
OF_S3: Final = ("storage_url", "s3_endpoint", "s3_access_key", "s3_secret_key")
_numbers = itertools.count()


@cache
def _embedded(folder: Path) -> Parts:
    return world.hub_in(folder / "embedded")


@cache
def _real(folder: Path, server: str, *, only_s3: bool = False) -> Parts:
    missing = [name for name in ("postgres", "policy", server) if found(name) is None]
    if missing:
        raise Missing(f"{', '.join(missing)} does not run; `make services` starts it")
    settings: dict[str, Any] = real.settings_on(server)
    if only_s3:
        settings = {name: settings[name] for name in OF_S3}
    return world.hub_in(folder / f"real-{server}-{only_s3}", **settings)


def _pushing(parts: Parts, path: Path) -> Callable[[], None]:
    """A push from its first byte to its receipt."""

    def push() -> None:
        with path.open("rb") as file:
            made, _ = accept(
                parts, OPERATOR, "transdev", "validations", iter(lambda: file.read(1 << 20), b"")
            )
        worker.drain(parts)
        done = parts.books.push(made.id)
        assert done is not None
        assert (done.state, done.valid) == ("stored", TAPS)

    return push


def _releasing(parts: Parts) -> Callable[[], Timed]:
    """A release of `places` after its directory has changed; the change itself is not timed."""
    for name in ("region/gtfs", "region/carpool-places"):
        world.pushed(parts, name, DATASETS[name].examples[0].content())

    def build() -> Timed:
        world.pushed(parts, "region/lycees", _directory(next(_numbers)))
        made: list[bool] = []
        took = seconds(lambda: made.append(release.build(parts, "places")[1]))
        assert made == [True]
        return Timed(took)

    return build


def _directory(edition: int) -> bytes:
    header, row, _ = world.lycees().decode().split("\n")
    rows = (
        row.replace(world.UAI, f"{450_0000 + n:07d}A").replace("d'essai", f"{n}, {edition}")
        for n in range(LYCEES)
    )
    return "\n".join([header, *rows, ""]).encode()


def push_on_services(folder: Path) -> Row:
    """A push on PostgreSQL, MinIO and OPA."""
    path = files.tides(folder / f"taps-{TAPS}.csv", TAPS)
    return paired(
        f"push of {TAPS:,} taps on PostgreSQL, S3 and OPA",
        "embedded parts",
        _pushing(_real(folder, "minio"), path),
        _pushing(_embedded(folder), path),
        rounds=ROUNDS,
    )


def release_on_services(folder: Path) -> Row:
    """A release on PostgreSQL, MinIO and OPA."""
    return paired(
        f"release of places, {LYCEES:,} lycées, on PostgreSQL, S3 and OPA",
        "embedded parts",
        _releasing(_real(folder, "minio")),
        _releasing(_embedded(folder)),
        rounds=ROUNDS,
    )


def push_to_minio(folder: Path) -> Row:
    """A push whose storage alone is a bucket: at least half the folder's throughput."""
    return _push_to(folder, "minio")


def push_to_versitygw(folder: Path) -> Row:
    """The same on the other server."""
    return _push_to(folder, "versitygw")


def _push_to(folder: Path, server: str) -> Row:
    path = files.tides(folder / f"taps-{TAPS}.csv", TAPS)
    return paired(
        f"push of {TAPS:,} taps, storage on {server}",
        "storage in a folder",
        _pushing(_real(folder, server, only_s3=True), path),
        _pushing(_embedded(folder), path),
        at_most=2.0,
        rounds=ROUNDS,
    )
