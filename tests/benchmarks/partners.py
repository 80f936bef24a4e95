"""Files of partners: reading them, and whole pushes with everything on.

Everything: validation, the gate against 200,000 objections, pseudonyms, sealing, the event in the
log and the receipt. A push is timed from its first byte at the front door to its receipt.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final
from unittest import mock

import numpy as np
import pyarrow as pa
import pyrage
from pyrage import x25519

from connectors.contract import Reading
from connectors.registry import DATASETS
from connectors.tableschema import table_schema
from consent import gate, pseudonyms
from hub import push, stages, worker
from hub.events import AuditEvent, Kind
from hub.parts import OPERATOR, Parts
from hub.records import Grant
from hub.storage import age
from hub.storage.books import OBJECTED
from hub.storage.sealing import seal_stream, verify
from tests.benchmarks import files, peers
from tests.benchmarks.runner import Row, Timed, paired
from tests.flows import world

ROUNDS: Final = 3
CHUNK: Final = 1 << 20
SEALED_MB: Final = 256
CUT: Final = 300_000
"""Rows for peers that would take many minutes for the whole file."""
MANY_ROUNDS: Final = 9
"""Where both sides take nearly as long: a round on a shared machine is off by a twentieth."""
SMALL: Final = 1_000
"""Rows of a push as an app or one bus sends it."""
OBJECTIONS: Final = files.CARDS
OBJECTING: Final = 2_000
"""Cards of the file among them: one in a hundred."""
MOST_MEMORY: Final = 1_500
"""MB a worker may need at its peak for the large file, all libraries loaded; it runs on 2 GB."""
SCHOOL_YEAR: Final = Reading(now=datetime(2026, 11, 22, tzinfo=UTC))


def _taps(folder: Path, rows: int = files.ROWS, *, bad: bool = False) -> Path:
    return files.tides(folder / f"taps-{rows}{'-bad' if bad else ''}.csv", rows, bad=bad)


@cache
def _hub(folder: Path, objections: int = OBJECTIONS) -> Parts:
    """One hub for all pushes: it has been running when a partner's file comes."""
    parts = world.hub_in(folder / "hub")
    first = files.CARDS - OBJECTING
    _object(parts, pa.array([files.card(first + n) for n in range(objections)], pa.string()))
    return parts


def _object(parts: Parts, cards: pa.Array) -> None:
    """Object for each of these cards."""
    at = parts.clock() - timedelta(days=1)
    objections = [
        Grant(
            parts.new_id(at),
            "transdev",
            "school-mobility",
            digest,
            OBJECTED,
            "unknown",
            at,
            None,
            "",
        )
        for digest in pseudonyms.digests(parts.keyring.digest_key, "transdev", cards).to_pylist()
    ]
    parts.books.give(
        objections, event=AuditEvent(Kind.OBJECTION_RECORDED, "transdev", "benchmark", at)
    )
    parts.sequence()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _push(parts: Parts, path: Path, bad: int = 0) -> None:
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", _chunks(path))
    worker.drain(parts)
    done = parts.books.push(made.id)
    assert done is not None
    assert (done.state, done.rejected) == ("stored", bad)
    assert push.receipt(parts, done)


def _push_anew(parts: Parts, path: Path) -> None:
    """Push after somebody has objected: who stands where is not just known from the last push."""
    _object(parts, pa.array([parts.new_id(parts.clock())]))
    _push(parts, path)


def _copy(path: Path) -> None:
    """DuckDB's fastest way from CSV to Parquet: rows may change places."""
    target = path.with_suffix(".parquet")
    with files.engine() as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            f"COPY (FROM read_csv('{path}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )
    target.unlink()


def whole_push(folder: Path) -> Row:
    """A push with everything on beside DuckDB's COPY of the same CSV to Parquet."""
    parts, path = _hub(folder), _taps(folder)
    return paired(
        f"push of {files.ROWS:,} taps, everything on",
        "duckdb COPY, unordered, zstd",
        lambda: _push(parts, path),
        lambda: _copy(path),
        2.0,
        rounds=ROUNDS,
    )


def bad_rows(folder: Path) -> Row:
    """A file with one bad row in a hundred beside the same without."""
    parts, clean, bad = _hub(folder), _taps(folder), _taps(folder, bad=True)
    return paired(
        f"push of {files.ROWS:,} taps, 1 % bad",
        "the clean file",
        lambda: _push(parts, bad, bad=files.ROWS // 100),
        lambda: _push(parts, clean),
        1.5,
        rounds=ROUNDS,
    )


def sealing(_: Path) -> Row:
    """Sealing and opening, in memory, beside another implementation of age."""
    identity = age.Identity.make()
    peer = x25519.Identity.from_str(identity.text)
    pieces = [bytes(CHUNK)] * SEALED_MB
    plain = b"".join(pieces)
    sealed = b"".join(age.encrypt(pieces, identity.recipient))

    def ours() -> None:
        seal_stream(pieces, len, identity.recipient, len(plain))
        verify(io.BytesIO(sealed), identity)

    def theirs() -> None:
        with Path(os.devnull).open("wb") as nowhere:
            pyrage.encrypt_io(io.BytesIO(plain), nowhere, [peer.to_public()])
            pyrage.decrypt_io(io.BytesIO(sealed), nowhere, [peer])

    name = f"seal and open {SEALED_MB} MiB, with the SHA-256"
    return paired(name, "pyrage, without", ours, theirs, rounds=ROUNDS)


def beside_dlt(folder: Path) -> Row:
    """A whole push beside dlt, which reads the CSV and writes Parquet; per row."""
    parts, path, cut = _hub(folder), _taps(folder), _taps(folder, min(CUT, files.ROWS))

    def peer() -> Timed:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            return peers.timed("dlt_csv.py", cut, Path(work))

    return paired(
        f"push of {files.ROWS:,} taps, everything on",
        f"dlt, CSV to Parquet, {CUT:,} rows",
        lambda: _push(parts, path),
        peer,
        1 / 10,
        rounds=ROUNDS,
        warm=False,
        sizes=(files.ROWS, min(CUT, files.ROWS)),
    )


def beside_frictionless(folder: Path) -> Row:
    """A whole push beside Frictionless, which only validates, by the schema we publish; per row."""
    parts, path, cut = _hub(folder), _taps(folder), _taps(folder, min(CUT, files.ROWS))
    schema = folder / "taps.schema.json"
    schema.write_text(json.dumps(table_schema(DATASETS["transdev/validations"])))
    return paired(
        f"push of {files.ROWS:,} taps, everything on",
        f"frictionless validate, {CUT:,} rows",
        lambda: _push(parts, path),
        lambda: peers.timed("frictionless_csv.py", cut, schema),
        1 / 15,
        rounds=ROUNDS,
        warm=False,
        sizes=(files.ROWS, min(CUT, files.ROWS)),
    )


def gates(folder: Path) -> Row:
    """A push beside the same one with the gate and the pseudonyms taken out.

    Taken out means: nobody asks who stands where, every row is admitted, and people are named by
    their reference. What is left is the same work: the same columns (population a dictionary, as
    the gate leaves it), and each person's rows in one bucket. With a card's rows in all buckets, as
    they once were here, its column was hardly worth a dictionary and cost the writer none.
    """
    parts, path = _hub(folder), _taps(folder)

    def without() -> None:
        with (
            mock.patch.multiple(stages, admit=_unasked, pseudonymise=_unnamed),
            mock.patch.object(Parts, "standing", return_value=NOBODY),
        ):
            _push_anew(parts, path)

    return paired(
        "push with gate and pseudonyms",
        "the same without",
        lambda: _push_anew(parts, path),
        without,
        1.1,
        rounds=MANY_ROUNDS,
    )


def small(folder: Path) -> Row:
    """A small push where very many have objected beside one where nobody has."""
    many, nobody = _hub(folder), _hub(folder / "few", 0)
    path = _taps(folder, SMALL)

    return paired(
        f"push of {SMALL:,} taps, {OBJECTIONS:,} have objected",
        "nobody has",
        lambda: _push_anew(many, path),
        lambda: _push_anew(nobody, path),
        1.5,
        rounds=MANY_ROUNDS,
    )


NOBODY: Final = gate.Standing(
    pa.array([], pa.binary()), pa.array([], pa.string()), pa.array([], pa.binary())
)


def _unasked(chunk: stages.Recognised, *_: object) -> stages.Admitted:
    return stages.Admitted._mint(chunk.dataset, chunk.table, chunk.rows)


def _unnamed(chunk: stages.Admitted, *_: object) -> stages.Pseudonymous:
    rows = chunk.rows
    names = rows.column("subject").combine_chunks().cast(pa.binary())
    unknown = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows.num_rows, np.int32)), pa.array([gate.NOBODY_SAID])
    )
    rows = rows.drop_columns(["subject"]).append_column("population", unknown)
    rows = rows.append_column("pseudonym", names).append_column("bucket", _bucketed(names))
    return stages.Pseudonymous._mint(chunk.dataset, chunk.table, rows)


def _bucketed(cards: pa.Array) -> pa.Array:
    """As even as the buckets of pseudonyms, and each card in one: the files must be the same."""
    width = len(files.card(0))
    digits = np.frombuffer(cards.buffers()[2], np.uint8).reshape(-1, width)[:, -3:].astype(np.int16)
    return pa.array((digits @ np.array([100, 10, 1], np.int16)) % pseudonyms.BUCKETS)


def memory(folder: Path) -> Row:
    """The most memory a worker held while it processed the large file, beside a limit."""
    path = _taps(folder)
    home = folder / "memory"
    parts = world.hub_in(home)
    push.accept(parts, OPERATOR, "transdev", "validations", _chunks(path))
    parts.books.close()
    spawn = multiprocessing.get_context("spawn")
    told = spawn.SimpleQueue()
    process = spawn.Process(target=_work, args=(home, told))
    process.start()
    process.join()
    assert process.exitcode == 0
    most = told.get()
    shutil.rmtree(home)
    name = f"peak memory of a worker, {files.ROWS:,} taps"
    ratio = round(most / MOST_MEMORY, 3)
    return Row(name, round(most), MOST_MEMORY, ratio, "MB", "the limit", 1.0)


def _work(home: Path, told: multiprocessing.SimpleQueue[float]) -> None:
    worker.drain(world.hub_in(home))
    # Not `getrusage`: its peak is inherited from whoever started this process.
    status = Path("/proc/self/status").read_text()
    told.put(int(status.partition("VmHWM:")[2].split()[0]) * 1_024 / 1_000_000)


def reading(folder: Path) -> Row:
    """The validations connector beside DuckDB's CSV reader on the same file."""
    path = _taps(folder)
    dataset = DATASETS["transdev/validations"]

    def ours() -> int:
        with path.open("rb") as file:
            return sum(batch.received for batch in dataset.read(file, SCHOOL_YEAR))

    def peer() -> object:
        query = f"SELECT count(DISTINCT token_id) FROM read_csv('{path}')"
        with files.engine() as connection:
            return connection.execute(query).fetchall()

    return paired("read TIDES (validated)", "duckdb read_csv", ours, peer, rounds=ROUNDS)


def documents(folder: Path) -> Row:
    """CoachCO2 documents, validated, as columns, beside an orjson loop pulling the same fields."""
    path = files.documents(folder / "trips.ndjson")
    dataset = DATASETS["coachco2/trips"]

    def ours() -> None:
        with path.open("rb") as file:
            batches = list(dataset.read(file, SCHOOL_YEAR))
        assert sum(batch.received for batch in batches) == sum(b.records.num_rows for b in batches)

    return paired(
        f"read {files.DOCUMENTS_MB} MB of CoachCO2 documents",
        "orjson loop",
        ours,
        lambda: peers.timed("orjson_loop.py", path),
        1 / 1.6,
    )
