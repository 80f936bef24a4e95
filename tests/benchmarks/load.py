"""A load generator: a process of its own that asks one address so many times, and says how long.

`python -m tests.benchmarks.load PORT PATH REQUESTS CONNECTIONS`, loopback only. Every answer must
be 200 and of the same length: one that is not ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


async def ask(port: int, path: str, times: int) -> set[int]:
    """One kept-alive connection; the lengths of the answers' bodies."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    seen: set[int] = set()
    for _ in range(times):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError(head.splitlines()[0].decode())
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        seen.add(length)
    writer.close()
    return seen


async def main(port: int, path: str, requests: int, connections: int) -> None:
    """Ask, and print `{"seconds": …, "bytes": …}`."""
    await ask(port, path, 20)
    begun = time.perf_counter()
    each = [ask(port, path, requests // connections) for _ in range(connections)]
    seen = set().union(*await asyncio.gather(*each))
    seconds = time.perf_counter() - begun
    if len(seen) != 1:
        raise ValueError("answers differ")
    print(json.dumps({"seconds": seconds, "bytes": seen.pop()}))  # noqa: T201 - its answer


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
