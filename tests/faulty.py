"""A way to a service that a test can cut, slow down, or make lie."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE = 65536


def answer(status: str, body: bytes = b"", length: int | None = None) -> bytes:
    """A canned HTTP answer; `length` may promise more than `body` holds."""
    said = len(body) if length is None else length
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {said}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


class Faulty:
    """A TCP proxy to `host:port` that does as it is told from one connection to the next.

    `says`: an answer given to every request instead of the service's. `limit`: bytes of each
    answer that pass before the connection is cut. `pause`: seconds before each byte of an answer.
    `silent`: nothing is answered at all. `cut_after`: this many pieces pass to the service, then
    all is cut, whether or not it has answered. `cut()` refuses and ends everything until `mend()`.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.says: bytes | None = None
        self.limit: int | None = None
        self.pause = 0.0
        self.silent = False
        self.requests = 0
        self.cut_after: int | None = None
        self.turn = threading.RLock()
        """Held by whoever cuts or mends: a cut that comes late must not end what was mended."""
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.cut()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def heal(self) -> None:
        """Pass everything on again."""
        self.says, self.limit, self.pause, self.silent = None, None, 0.0, False

    def cut(self) -> None:
        """End every connection and refuse new ones."""
        with self.turn:
            listener, self._listener = self._listener, None
            if listener is not None:
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            for each in list(self._open):
                self._end(each)

    def mend(self) -> None:
        """Listen again, at the same address."""
        with self.turn:
            self.heal()
            listener = socket.create_server(("127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
            self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def renew(self) -> None:
        """End what is open and listen again, whether or not a cut of `cut_after` has come yet."""
        with self.turn:
            self.cut_after = None
            self.cut()
            self.mend()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with suppress(OSError):
            if self.silent or self.says is not None:
                self.requests += 1
                client.recv(PIECE)
                if self.says is not None:
                    self._send(client, self.says)
                    self._end(client)
                return  # silent: held open until cut
            service = socket.create_connection(self._target)
            self._open.add(service)
            threading.Thread(target=self._pass, args=(client, service, False), daemon=True).start()
            self._pass(service, client, True)

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(PIECE):
                if answers:
                    if self.limit is not None:
                        data = data[: max(0, self.limit - passed)]
                    passed += len(data)
                    self._send(sink, data)
                    if self.limit is not None and passed >= self.limit:
                        break
                else:
                    self.requests += 1
                    sink.sendall(data)
                    with self.turn:
                        if self.cut_after is not None and self.requests >= self.cut_after:
                            self.cut()
        self._end(source)
        self._end(sink)

    def _send(self, sink: socket.socket, data: bytes) -> None:
        if not self.pause:
            sink.sendall(data)
            return
        for at in range(len(data)):
            time.sleep(self.pause)
            sink.sendall(data[at : at + 1])

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
