"""The sandbox: the compiled policies, run by wasmtime in this process.

The module is WebAssembly of OPA's own compiler. What holds it (each has its test):

- It can reach nothing. All it may ask of its host are the seven names of OPA's interface; each of
  the functions among them ends the question when called, so no built-in of the host exists: no
  clock, no network, no environment. A module that wants another name, or says that it needs a
  built-in, does not start.
- It is given so much fuel for a question, counted in instructions, and so much memory. A policy
  that runs out of either is denied, at the same instruction on every machine.
- One instance per thread. Each question begins on the heap as it was after start-up, so nothing of
  one question is there for the next; after a failure, or a question that made the memory grow, the
  instance is thrown away.
- What it says is read within bounds, and anything but one document is a fault.

Compiled to machine code at start (0.1 s) and kept for the process. Nothing compiled is kept on
disk: whoever could write there could run code in the hub.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import wasmtime

from hub.policy.decisions import RULES, EngineFault, entry_point, unusable

FUEL: Final = 2_000_000_000
"""Instructions a question may take, at most 0.3 s; the signed-off ones take up to 180,000."""

PAGE: Final = 65_536
MEMORY_PAGES: Final = 1_024
"""Memory a question may take, in pages: 64 MiB. The largest question allowed needs half of it."""

FIRST_PAGES: Final = 16
"""What an instance begins with: the policies' data and an ordinary question take three."""

KEPT_PAGES: Final = 32
"""An instance whose memory has grown beyond this is not kept."""

LONGEST_ANSWER: Final = 65_536
ABI: Final = (1, 3)
NAMES: Final = frozenset({"memory", "opa_abort"} | {f"opa_builtin{n}" for n in range(5)})
BUILTINS: Final = tuple(
    f'(func (export "opa_builtin{n}") (param {"i32 " * (n + 2)}) (result i32) unreachable)'
    for n in range(5)
)
HOST: Final = f"""(module
  (memory (export "memory") {FIRST_PAGES})
  (func (export "opa_abort") (param i32) unreachable)
  {" ".join(BUILTINS)})"""
"""All a module is offered: memory, and functions that end the question.

A module itself, not functions in Python: no code of ours can be reached from inside, and wasmtime's
list of such functions is not safe to use from several threads.
"""

_FAULTS: Final = (wasmtime.WasmtimeError, wasmtime.Trap, msgspec.DecodeError)


class _Code(NamedTuple):
    """A module and what it is offered, as machine code. Shared by all threads."""

    engine: wasmtime.Engine
    host: wasmtime.Module
    policies: wasmtime.Module


class Sandbox:
    """A module's answers. Raises `Unavailable` for a module that is not what it must be."""

    engine = "compiled module"

    def __init__(self, module: bytes, *, fuel: int = FUEL) -> None:
        self._fuel = fuel
        self._threads = threading.local()
        try:
            self._code = _compiled(module)
            wanted = {(each.module, each.name) for each in self._code.policies.imports}
            if not wanted <= {("env", name) for name in NAMES}:
                raise unusable("policies-module-reaches-out", "")
            self._instance()
        except (*_FAULTS, LookupError) as error:
            raise unusable("policies-module-damaged", "") from error

    def ask(self, rule: str, asked: bytes) -> Any:
        """The raw decision document, None where there is none. Raises `EngineFault`."""
        try:
            document = self._instance().ask(rule, asked)
        except _FAULTS as error:
            self._threads.__dict__.clear()
            raise EngineFault from error
        if self._threads.instance.pages > KEPT_PAGES:
            self._threads.__dict__.clear()
        match document:
            case [{"result": answer, **more}] if not more:
                return answer
        return None

    def _instance(self) -> _Instance:
        mine: dict[str, _Instance] = self._threads.__dict__
        if "instance" not in mine:
            mine["instance"] = _Instance(self._code, self._fuel)
        return mine["instance"]


class _Instance:
    """One thread's module and its memory. Raises what wasmtime does, and `DecodeError`."""

    def __init__(self, code: _Code, fuel: int) -> None:
        self._fuel = fuel
        self._store = store = wasmtime.Store(code.engine)
        store.set_limits(memory_size=MEMORY_PAGES * PAGE, memories=1, instances=2)
        store.set_fuel(fuel)
        offered: Mapping[str, Any] = wasmtime.Instance(store, code.host, []).exports(store)
        self._memory: wasmtime.Memory = offered["memory"]
        imports = [offered[str(each.name)] for each in code.policies.imports]
        told: Mapping[str, Any] = wasmtime.Instance(store, code.policies, imports).exports(store)
        dump, self._eval = told["opa_json_dump"], told["opa_eval"]
        version = (
            told["opa_wasm_abi_version"].value(store),
            told["opa_wasm_abi_minor_version"].value(store),
        )
        if version != ABI:
            raise unusable("policies-module-other-interface", ".".join(map(str, version)))
        needed = self._said(dump(store, told["builtins"](store)))
        if needed:
            raise unusable("policy-builtin-refused", ", ".join(sorted(needed)))
        entries = self._said(dump(store, told["entrypoints"](store)))
        self._entries = {rule: entries[entry_point(rule)] for rule in RULES}
        self._heap = told["opa_heap_ptr_get"](store)

    @property
    def pages(self) -> int:
        """How large its memory is."""
        return self._memory.size(self._store)

    def ask(self, rule: str, asked: bytes) -> Any:
        """Write the question at the foot of the heap, evaluate above it, read what was said."""
        store, end = self._store, self._heap + len(asked)
        lacking = end - self._memory.data_len(store)
        if lacking > 0:
            self._memory.grow(store, -(-lacking // PAGE))
        self._memory.write(store, asked, self._heap)
        store.set_fuel(self._fuel)
        return self._said(
            self._eval(store, 0, self._entries[rule], 0, self._heap, len(asked), end, 0)
        )

    def _said(self, where: int) -> Any:
        """The JSON text at an address, which ends at a NUL."""
        size = self._memory.data_len(self._store)
        if not 0 <= where < size:
            raise msgspec.DecodeError
        first = ctypes.addressof(self._memory.data_ptr(self._store).contents)
        text = ctypes.string_at(first + where, min(LONGEST_ANSWER, size - where))
        return msgspec.json.decode(text[: text.index(b"\0")] if b"\0" in text else b"")


@lru_cache(maxsize=4)  # the same module is compiled once, however many gates there are
def _compiled(module: bytes) -> _Code:
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    return _Code(engine, wasmtime.Module(engine, HOST), wasmtime.Module(engine, module))
