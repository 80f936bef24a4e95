"""The contract of `Objects`, held on every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.errors import NotFound, Rejected
from hub.storage.objects import FolderObjects, MemoryObjects, Objects
from tests.storage.buckets import OBJECTS, SERVERS, objects_on

Make = Callable[[Path], Objects]
EVERY = pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)


@EVERY
def test_what_is_put_is_read_back(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    assert objects.put("a/b.age", [b"one", b"", b"two"]) == 6
    assert objects.get("a/b.age") == b"onetwo"
    with objects.open("a/b.age") as file:
        assert file.read(2) == b"on"
        file.seek(0)
        assert file.read() == b"onetwo"


@EVERY
def test_putting_again_replaces(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    objects.put("a", [b"long content"])
    with objects.open("a") as before:
        objects.put("a", [b"new"])
        assert before.read() == b"long content", "a reader keeps what it opened"
    assert objects.get("a") == b"new"


@EVERY
def test_nothing_is_empty_content(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    assert objects.put("empty", []) == 0
    assert objects.exists("empty")
    assert objects.get("empty") == b""


@EVERY
def test_delete_is_idempotent(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    objects.put("a/b", [b"x"])
    objects.delete("a/b")
    objects.delete("a/b")
    objects.delete("never/there")
    assert not objects.exists("a/b")
    assert list(objects.list()) == []


@EVERY
def test_a_missing_object_is_not_found(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    objects.put("folder/x", [b"x"])
    for name in ("a", "folder", "folder/y"):
        assert not objects.exists(name)
        with pytest.raises(NotFound):
            objects.get(name)
        with pytest.raises(NotFound):
            objects.open(name)


@EVERY
def test_list_is_sorted_and_by_prefix(make: Make, tmp_path: Path) -> None:
    objects = make(tmp_path)
    for name in ("b/2", "b/1", "bb", "a/x/y"):
        objects.put(name, [b"x"])
    assert list(objects.list()) == ["a/x/y", "b/1", "b/2", "bb"]
    assert list(objects.list("b/")) == ["b/1", "b/2"]
    assert list(objects.list("b")) == ["b/1", "b/2", "bb"]


class Broken(Exception):
    pass


@EVERY
def test_a_failing_source_leaves_what_was_there(make: Make, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise Broken

    objects = make(tmp_path)
    with pytest.raises(Broken):
        objects.put("new", chunks())
    assert list(objects.list()) == []
    objects.put("old", [b"whole"])
    with pytest.raises(Broken):
        objects.put("old", chunks())
    assert objects.get("old") == b"whole"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], ["old"])


BAD_NAMES = [
    "",
    "/",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "a/",
    "./a",
    ".part-x",
    "a/.hidden",
    "a\\b",
    "a\0b",
    "a\n",
    "é",
    "x" * 201,
    "/".join(["xx"] * 200),
]


@EVERY
@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_not_plain_is_refused(make: Make, tmp_path: Path, name: str) -> None:
    objects = make(tmp_path / "store")
    operations: list[Callable[[str], object]] = [
        lambda n: objects.put(n, [b"x"]),
        objects.open,
        objects.get,
        objects.exists,
        objects.delete,
    ]
    for operation in operations:
        with pytest.raises(Rejected) as refusal:
            operation(name)
        assert refusal.value.code == "name-invalid"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@given(name=st.text(max_size=30))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    objects = FolderObjects(tmp_path / "store")
    try:
        objects.put(name, [b"x"])
    except Rejected:
        return
    assert name in objects.list()
    assert (tmp_path / "store" / name).resolve().is_relative_to((tmp_path / "store").resolve())
    objects.delete(name)


NAMES = st.sampled_from(["a", "b/1", "b/2", "c/d/e"])


class AgreesWithMemory(RuleBasedStateMachine):
    """Whatever is done to both, other objects (opened anew each time) say what memory says."""

    opened: Callable[[], Objects]

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryObjects()
        for name in self.opened().list():
            self.opened().delete(name)

    @rule(name=NAMES, content=st.lists(st.binary(max_size=8), max_size=3))
    def put(self, name: str, content: list[bytes]) -> None:
        assert self.memory.put(name, content) == self.opened().put(name, content)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.memory.delete(name)
        self.opened().delete(name)

    @invariant()
    def same(self) -> None:
        others = self.opened()
        assert list(others.list()) == list(self.memory.list())
        assert all(others.get(name) == self.memory.get(name) for name in others.list())


@pytest.mark.parametrize("kind", ["folder", *SERVERS])
def test_others_agree_with_memory(kind: str, tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    if kind == "folder":
        opened: Callable[[], Objects] = lambda: FolderObjects(tmp_path)  # noqa: E731
    else:
        made = objects_on(kind)(tmp_path)
        opened = lambda: made  # noqa: E731
    machine = type("Machine", (AgreesWithMemory,), {"opened": staticmethod(opened)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=15, stateful_step_count=12, deadline=None)
    )
