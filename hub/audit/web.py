"""A log read over HTTP, as any web server hosts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import httpx2

from hub.errors import Rejected, Unavailable

ABSENT: Final = frozenset({404, 410})


class WebStore:
    """The files of a log elsewhere; it is not ours to write."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=f"{url.rstrip('/')}/", timeout=30)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def read(self, name: str) -> bytes | None:
        """A file of the log, None where there is none. Raises `Unavailable`."""
        answer = self._ask("GET", name)
        if answer.status_code in ABSENT:
            return None
        if not answer.is_success:
            raise _unreachable()
        return answer.content

    def post(self, name: str, body: bytes) -> None:
        """Hand something to the log. Raises `Rejected` where it refuses."""
        answer = self._ask("POST", name, body)
        if answer.status_code >= 500:
            raise _unreachable()
        if not answer.is_success:
            said = f"(HTTP {answer.status_code})"
            raise Rejected(
                "log-refused",
                fr=f"Le journal refuse la contresignature {said} : "
                "son opérateur a-t-il nommé ce témoin dans HUB_WITNESSES ?",
                en=f"The log refuses the cosignature {said}: "
                "did its operator name this witness in HUB_WITNESSES?",
                who="operator",
                facts={"status": answer.status_code},
            )

    def write(self, files: Mapping[str, bytes]) -> None:
        """Not ours to write."""
        raise NotImplementedError

    def names(self, prefix: str = "") -> Iterator[str]:  # noqa: ARG002 - the web lists nothing
        """Nothing: a web server lists no names."""
        return iter(())

    def drop(self, name: str) -> None:
        """Not ours to write."""
        raise NotImplementedError

    def _ask(self, method: str, name: str, body: bytes | None = None) -> httpx2.Response:
        try:
            return self._client.request(method, name, content=body)
        except httpx2.HTTPError as error:
            raise _unreachable() from error


def _unreachable() -> Unavailable:
    return Unavailable(
        "log-unreachable",
        fr="Le journal ne répond pas à cette adresse.",
        en="The log does not answer at this address.",
        who="operator",
    )
