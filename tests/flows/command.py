"""The `hub` command as a process of its own, without the seconds its start takes.

Each run is a fork of what has the command loaded (`tests/forks.py`). That `python -m hub.cli`
starts is held by the worker beside each `hub serve`, and by `Typed` servers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.forks import CONTEXT

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def run(words: Sequence[str], settings: Mapping[str, str], stdin: str = "") -> Done:
    """Run `hub words…` with these settings beside our environment."""
    with TemporaryDirectory() as folder:
        said, out, err = (str(Path(folder, name)) for name in ("in", "out", "err"))
        Path(said).write_text(stdin, "utf-8")
        environment = {**os.environ, **settings}
        code = Started(words, environment, said, out, err).wait()
        return Done(code, Path(out).read_text("utf-8"), Path(err).read_text("utf-8"))


class Started:
    """A command under way; of `subprocess.Popen` it has what is asked of either here."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        said: str = os.devnull,
        out: str = os.devnull,
        err: str = os.devnull,
    ) -> None:
        asked = (list(words), dict(environment), said, out, err)
        self._process = CONTEXT.Process(target=_command, args=asked)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """How it ended, None while it has not."""
        return self._process.exitcode

    def wait(self) -> int:
        """Until it has ended, and how."""
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code

    def terminate(self) -> None:
        """Tell it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()


def _command(words: list[str], environment: dict[str, str], said: str, out: str, err: str) -> None:
    for stream, (path, flags) in enumerate(
        ((said, os.O_RDONLY), (out, os.O_WRONLY | os.O_CREAT), (err, os.O_WRONLY | os.O_CREAT))
    ):
        os.dup2(os.open(path, flags), stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["hub", *words]
    from hub.cli.app import main

    main()
