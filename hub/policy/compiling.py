"""Which built-ins policies call, found out in a process of its own.

Run as a program: sources as JSON on standard input, names of the called built-ins as JSON on
standard output. Two reasons for a process of its own, both seen: some policies make the compiler
end the whole process rather than report an error; and writing the compiled plan corrupts memory
where numpy was loaded before the engine. Here neither can hurt the hub. Nothing but the standard
library and the engine is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

DEADLINE_SECONDS: Final = 60

ALLOWED_BUILTINS: Final = frozenset(
    {
        "count",
        "equal",
        "gt",
        "gte",
        "internal.member_2",
        "is_number",
        "is_string",
        "lt",
        "lte",
        "neq",
        "sort",
    }
)
"""What a policy may call: pure functions of the question. Adding one is a security decision."""


class DoesNotCompile(Exception):
    """The policies do not compile, or the compiler did not survive them."""


def called_builtins(sources: Mapping[str, str], entry_points: Sequence[str]) -> frozenset[str]:
    """Names of the built-ins the compiled policies call. Raises `DoesNotCompile`."""
    return _called(json.dumps({"sources": dict(sources), "entry_points": list(entry_points)}))


@lru_cache(maxsize=2)  # the same policies call the same: asked once, however many gates there are
def _called(asked: str) -> frozenset[str]:
    try:
        done = subprocess.run(  # noqa: S603 - this file, with this interpreter
            [sys.executable, "-P", __file__],
            input=asked,
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_SECONDS,
        )
        # The compiler prints its complaints on standard output too: ours is the last line.
        return frozenset(json.loads(done.stdout.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
        raise DoesNotCompile from error


def main() -> None:
    """Compile what is on standard input and print what it calls."""
    from regopy import Interpreter

    asked = json.load(sys.stdin)
    interpreter = Interpreter()
    for name, content in asked["sources"].items():
        interpreter.add_module(name, content)
    bundle = interpreter.build(None, asked["entry_points"])
    if not bundle.ok():
        sys.exit(1)
    with tempfile.TemporaryDirectory() as folder:
        interpreter.save_bundle(folder, bundle)
        plan = json.loads((Path(folder) / "plan.json").read_text("utf-8"))
    called = sorted(found["name"] for found in plan["static"].get("builtin_funcs", ()))
    sys.stdout.write(json.dumps(called) + "\n")


if __name__ == "__main__":
    main()
