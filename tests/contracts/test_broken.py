"""Each contract fails on each implementation that breaks it: seen here, not believed.

A flaw replaces one method of an implementation; the contract's test that should see it must fail,
on every implementation alike; `Engine` on Spark with `THOROUGH=all` only, for it takes long.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from hub.audit.store import MemoryStore, TileStore
from hub.computing import DuckDBEngine
from hub.errors import HubError
from hub.policy.gate import Decision, DenyAll, EmbeddedGate, PolicyGate
from hub.storage.books import Books
from hub.storage.vault import Vault
from tests.audit import test_store
from tests.contracts import test_books, test_computing, test_objects, test_tables, test_vault
from tests.contracts.test_books import Open, open_books
from tests.contracts.test_computing import spark
from tests.contracts.test_log_storage import STORES
from tests.policy import test_gate
from tests.policy.cases import server_gate
from tests.storage.buckets import OBJECTS
from tests.storage.making import Interrupted
from tests.thorough import EVERYTHING

__all__ = ["open_books", "spark"]

Method = Callable[..., Any]
EVERY: Final = pytest.mark.parametrize
_numbers = itertools.count()


@dataclass(frozen=True)
class Flaw:
    """`broken` makes a bad method of the good one; `seen_by` is the test that must fail then."""

    method: str
    broken: Callable[[Method], Method]
    seen_by: Callable[..., None]
    more: tuple[Any, ...] = ()
    """What the test takes beside the implementation and a folder."""


@contextmanager
def in_place(kind: type, flaw: Flaw) -> Iterator[None]:
    """The flaw, for as long as the block lasts, which must fail as a contract fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, flaw.method, flaw.broken(getattr(kind, flaw.method)))
        with pytest.raises((AssertionError, pytest.fail.Exception, HubError)):
            yield


def nothing(_: Method) -> Method:
    return lambda *_, **__: None


def always(answer: Any) -> Callable[[Method], Method]:
    return lambda _: lambda *_, **__: answer


def named(flaws: dict[str, Flaw]) -> pytest.MarkDecorator:
    return EVERY("flaw", flaws.values(), ids=flaws)


# Objects ----------------------------------------------------------------------------------------


def short(put: Method) -> Method:
    return lambda self, name, chunks: put(self, name, [b"".join(chunks)[:-1]])


def keeps_the_first(put: Method) -> Method:
    def broken(self: Any, name: str, chunks: Any) -> Any:
        content = list(chunks)
        return 0 if name in self.list() else put(self, name, content)

    return broken


def half(put: Method) -> Method:
    def broken(self: Any, name: str, chunks: Any) -> Any:
        seen: list[bytes] = []
        with suppress(test_objects.Broken):
            seen.extend(chunk for chunk in chunks)
        return put(self, name, seen or [b"half"])

    return broken


def backwards(listed: Method) -> Method:
    return lambda self, prefix="": iter(sorted(listed(self, prefix), reverse=True))


def unchecked(_: Method) -> Method:
    return lambda self, name: False


OBJECT_FLAWS: Final = {
    "a byte is lost": Flaw("put", short, test_objects.test_what_is_put_is_read_back),
    "nothing is replaced": Flaw(
        "put", keeps_the_first, test_objects.test_putting_again_replaces
    ),
    "half an object is kept": Flaw(
        "put", half, test_objects.test_a_failing_source_leaves_what_was_there
    ),
    "nothing is deleted": Flaw("delete", nothing, test_objects.test_delete_is_idempotent),
    "everything is there": Flaw(
        "exists", always(True), test_objects.test_a_missing_object_is_not_found
    ),
    "what is missing is empty": Flaw(
        "get", always(b""), test_objects.test_a_missing_object_is_not_found
    ),
    "no order": Flaw("list", backwards, test_objects.test_list_is_sorted_and_by_prefix),
    "any name": Flaw(
        "exists", unchecked, test_objects.test_a_name_that_is_not_plain_is_refused, ("../x",)
    ),
}  # fmt: skip


@named(OBJECT_FLAWS)
@EVERY("kind", OBJECTS)
def test_the_contract_of_objects_sees(kind: str, flaw: Flaw, tmp_path: Path) -> None:
    make = OBJECTS[kind]
    with in_place(type(make(tmp_path / "made")), flaw):
        flaw.seen_by(make, tmp_path / "store", *flaw.more)


# The vault, over each kind of objects -----------------------------------------------------------


def swallows(keep: Method) -> Method:
    def broken(self: Any, name: str, chunks: Any, max_bytes: int) -> Any:
        def until() -> Iterator[bytes]:
            with suppress(Exception):
                yield from chunks

        return keep(self, name, until(), max_bytes)

    return broken


VAULT_FLAWS: Final = {
    "nothing is forgotten": Flaw("forget", nothing, test_vault.test_forgetting_is_idempotent),
    "what is cut off is kept": Flaw(
        "keep", swallows, test_vault.test_an_exception_of_the_source_comes_out_as_it_is
    ),
    "nothing is sealed": Flaw(
        "seal", lambda _: lambda self, data: data,
        test_vault.test_the_front_door_seals_and_cannot_open,
    ),
    "no name is told": Flaw(
        "names", lambda _: lambda self: iter(()), test_vault.test_what_is_kept_is_opened
    ),
}  # fmt: skip


@named(VAULT_FLAWS)
@EVERY("kind", OBJECTS)
def test_the_contract_of_the_vault_sees(kind: str, flaw: Flaw, tmp_path: Path) -> None:
    with in_place(Vault, flaw):
        flaw.seen_by(OBJECTS[kind], tmp_path / "store")


# Tables -----------------------------------------------------------------------------------------


def forgets_pushes(append: Method) -> Method:
    def broken(self: Any, name: str, chunks: Any, push: str, **how: Any) -> Any:
        return append(self, name, chunks, f"{push}-{next(_numbers)}", **how)

    return broken


def never_replaces(append: Method) -> Method:
    def broken(self: Any, *what: Any, personal: bool, mode: str = "append") -> Any:
        del mode
        return append(self, *what, personal=personal)

    return broken


def commits_what_came(append: Method) -> Method:
    def broken(self: Any, name: str, chunks: Any, push: str, **how: Any) -> Any:
        def until() -> Iterator[Any]:
            with suppress(Interrupted):
                yield from chunks

        return append(self, name, until(), push, **how)

    return broken


TABLE_FLAWS: Final = {
    "a push counts each time": Flaw(
        "append", forgets_pushes, test_tables.test_a_push_is_committed_once
    ),
    "an edition is added": Flaw(
        "append", never_replaces, test_tables.test_an_edition_replaces_the_one_before
    ),
    "half a push is committed": Flaw(
        "append", commits_what_came, test_tables.test_a_failing_source_commits_nothing
    ),
    "nobody leaves": Flaw("rewrite", always(8), test_tables.test_people_leave_by_period),
    "versions stay": Flaw("purge", nothing, test_tables.test_purging_leaves_one_version),
    "no version is told": Flaw(
        "versions", always([]), test_tables.test_a_push_without_rows_commits_nothing, ([],)
    ),
}


@named(TABLE_FLAWS)
@EVERY("kind", test_tables.KINDS)
def test_the_contract_of_tables_sees(kind: str, flaw: Flaw, tmp_path: Path) -> None:
    make = test_tables.KINDS[kind]
    with in_place(type(make(tmp_path / "made")), flaw):
        flaw.seen_by(make, tmp_path / "tables", *flaw.more)


# The books --------------------------------------------------------------------------------------


def without_event(_: Method) -> Method:
    @contextmanager
    def broken(self: Any, event: Any) -> Iterator[Any]:
        del event
        with self._change() as connection:
            yield connection, 0

    return broken


def event_apart(_: Method) -> Method:
    @contextmanager
    def broken(self: Any, event: Any) -> Iterator[Any]:
        with self._change() as connection, self._logging(connection, event) as sequence:
            pass
        with self._change() as connection:
            yield connection, sequence

    return broken


def in_memory_only(accept: Method) -> Method:
    return lambda self, made, *, event: (replace(made), True)


BOOK_FLAWS: Final = {
    "a write without its event": Flaw(
        "_write", without_event, test_books.test_a_write_records_exactly_its_event, ("accept_push",)
    ),
    "an event that outlives its write": Flaw(
        "_write", event_apart,
        test_books.test_a_change_that_fails_leaves_neither_change_nor_event, ("add_client",),
    ),
    "an acknowledgement that is not written": Flaw(
        "accept_push", in_memory_only,
        test_books.test_a_write_records_exactly_its_event, ("accept_push",),
    ),
}  # fmt: skip


@named(BOOK_FLAWS)
def test_the_contract_of_the_books_sees(open_books: Open, flaw: Flaw) -> None:
    open_books()
    with in_place(Books, flaw):
        flaw.seen_by(open_books, *flaw.more)


# Log storage ------------------------------------------------------------------------------------

LOG_FLAWS: Final = {
    "the first is kept": Flaw(
        "write",
        lambda write: (
            lambda self, files: write(
                self, {name: data for name, data in files.items() if self.read(name) is None}
            )
        ),
        test_store.test_what_was_written_is_read_and_replaced,
    ),
    "nothing is dropped": Flaw(
        "drop", nothing, test_store.test_a_full_tile_lives_beside_its_partial_ones
    ),
    "what is missing is empty": Flaw(
        "read", always(b""), test_store.test_nothing_is_there_at_first
    ),
    "any name": Flaw(
        "read", always(None), test_store.test_other_names_never_reach_the_disk, ("x",)
    ),
}
LOGS: Final[dict[str, Callable[[Path], TileStore]]] = {"memory": lambda _: MemoryStore(), **STORES}


@named(LOG_FLAWS)
@EVERY("kind", LOGS)
def test_the_contract_of_log_storage_sees(kind: str, flaw: Flaw, tmp_path: Path) -> None:
    store = LOGS[kind](tmp_path)
    with in_place(type(store), flaw):
        flaw.seen_by(store, *flaw.more)


# The policy gate --------------------------------------------------------------------------------


def raises(_: Method) -> Method:
    def broken(self: Any, rule: str, question: Any) -> Decision:
        raise AssertionError(f"{rule} {question!r:.20}")

    return broken


def yes(decide: Method) -> Method:
    return lambda self, rule, question: replace(decide(self, rule, question), allow=True)


def without_digest(decide: Method) -> Method:
    return lambda self, rule, question: replace(decide(self, rule, question), input_digest="")


CONTRACT: Final = test_gate.TestContract()
GATE_FLAWS: Final = {
    "yes to everything": Flaw("decide", yes, CONTRACT.test_a_rule_that_does_not_exist_is_denied),
    "yes to nothing asked": Flaw(
        "decide", yes, CONTRACT.test_the_empty_question_is_denied, ("push",)
    ),
    "an error for an answer": Flaw(
        "decide", raises, CONTRACT.test_a_question_out_of_bounds_is_denied_not_raised, ("a set",)
    ),
    "no digest": Flaw(
        "decide", without_digest,
        CONTRACT.test_a_decision_carries_the_digests_of_question_and_policies,
    ),
}  # fmt: skip
GATES: Final[dict[str, Callable[[], PolicyGate]]] = {
    "deny-all": DenyAll,
    "embedded": EmbeddedGate,
    "server": server_gate,
}


@named(GATE_FLAWS)
@EVERY("kind", GATES)
def test_the_contract_of_the_policy_gate_sees(kind: str, flaw: Flaw) -> None:
    gate = GATES[kind]()
    with in_place(type(gate), flaw):
        flaw.seen_by(gate, *flaw.more)


# Computing --------------------------------------------------------------------------------------


def leaves_out_a_file(tables: Method) -> Method:
    return lambda self, files: tables(self, {name: paths[:1] for name, paths in files.items()})


ENGINE_FLAWS: Final = {
    "a file is left out": Flaw(
        "tables", leaves_out_a_file,
        test_computing.test_measures_over_files_are_those_over_rows_in_memory,
    ),
    "nothing was tried": Flaw(
        "check", always("well"), lambda engine, _: test_computing.test_it_says_what_it_is(engine)
    ),
}  # fmt: skip
LONG: Final = pytest.mark.skipif(not EVERYTHING, reason="a measure on Spark takes long")


@test_computing.pytestmark
@named(ENGINE_FLAWS)
@EVERY("kind", ["duckdb", pytest.param("spark", marks=LONG)])
def test_the_contract_of_computing_sees(
    kind: str, flaw: Flaw, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    engine = DuckDBEngine() if kind == "duckdb" else request.getfixturevalue("spark")
    with in_place(type(engine), flaw):
        flaw.seen_by(engine, tmp_path)
