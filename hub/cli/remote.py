"""`hub push --server`: a partner's client over HTTP, which outlives what happens on the way.

1. A file is known by its digest, and so is a push: the same file sent again, with or without a key
   of the caller's, is the same push.
2. A small file goes in one request, which can be sent again after any doubt. A large one goes in
   pieces (tus): after a cut the hub is asked how far it got, and where the upload is, is kept in a
   file of this user's, so that the same command goes on where a killed one stopped.
3. The push is followed to its end. The digest the hub names must be the file's.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2

from hub.errors import Busy, Conflict, Denied, HubError, NotFound, Rejected, Unavailable
from hub.records import PushState

LARGE: Final = 32 << 20
"""Bytes from which a file goes in pieces."""
PIECE: Final = 64 << 20
"""Bytes of one request of an upload; a token need not live longer than one takes."""
CHUNK: Final = 1 << 20
PATIENCE: Final = 600.0
"""Seconds without any headway after which one gives up."""
PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 20.0

Say = Callable[[Mapping[str, Any]], None]
Sent = Callable[[int], None]


def state_folder() -> Path:
    """Where uploads begun and not ended are kept: `$XDG_STATE_HOME`, or its usual place."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "mobile-cvl-hub"


@dataclass
class Remote:
    """A hub at an address. Credentials are those of a partner's client.

    `state` is a folder for uploads begun and not ended. Errors are those the hub names, and
    `Unavailable` where it does not answer for `PATIENCE` seconds.
    """

    server: str
    client: str = field(default_factory=lambda: os.environ.get("HUB_CLIENT_ID", ""))
    secret: str = field(default_factory=lambda: os.environ.get("HUB_CLIENT_SECRET", ""), repr=False)
    state: Path = field(default_factory=state_folder)
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    _http: httpx2.Client = field(init=False, repr=False)
    _token: dict[str, str] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._http = httpx2.Client(base_url=self.server, timeout=60)

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def push(
        self,
        partner: str,
        dataset: str,
        file: Path,
        *,
        key: str | None = None,
        reference: str | None = None,
        sent: Sent = lambda _: None,
        say: Say = lambda _: None,
    ) -> dict[str, Any]:
        """Send a file and follow it to its end. Returns the push as the hub tells it.

        `sent` is told how many bytes are there, `say` the push as it goes on.
        """
        digest = digest_of(file)  # 1
        address = f"/v1/partners/{partner}/datasets/{dataset}/pushes"
        headers = {"idempotency-key": key or digest}
        if reference:
            headers["hub-reference"] = quote(reference, safe="")
        size = file.stat().st_size
        if size < LARGE:  # 2
            body = partial(part, file, 0, size, sent)
            push_id = self._ask("POST", address, headers=headers, body=body).json()["id"]
        else:
            push_id = self._upload(address, file, digest, headers, sent)
        shown = self._followed(push_id, say)  # 3
        if shown["file_sha256"] not in {None, digest}:
            raise Conflict(
                "file-changed",
                fr="Le fichier a changé pendant l’envoi : le hub en a reçu un autre.",
                en="The file changed while it was sent: the hub received another one.",
                who="partner",
            )
        return shown

    def receipt(self, push_id: str) -> bytes:
        """The signed receipt of a push that has ended."""
        return bytes(self._ask("GET", f"/v1/pushes/{push_id}/receipt").content)

    def _upload(
        self, address: str, file: Path, digest: str, headers: Mapping[str, str], sent: Sent
    ) -> str:
        """Send in pieces. Returns the push's number, which is the upload's."""
        size = file.stat().st_size
        kept = self.state / _fingerprint(self.server, self.client, address, digest, headers)
        at = kept.read_text("utf-8") if kept.is_file() else ""
        offset = None if not at else self._offset(at)
        since = self.clock()
        pause = PAUSE
        while offset != size:
            if offset is None:  # never begun, or forgotten by the hub since
                length = {"upload-length": str(size)}
                begun = self._ask("POST", address, headers={**headers, **TUS, **length})
                at, offset = begun.headers["location"], 0
                keep(kept, at)
            sent(offset)
            if self._piece(at, file, offset, sent):
                before, offset, pause = offset, self._offset(at), PAUSE
            else:
                self.pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                before, offset = offset, self._offset(at)
            if offset is not None and offset > before:
                since = self.clock()
            elif self.clock() - since > PATIENCE:
                raise self._silent()
        sent(size)
        kept.unlink(missing_ok=True)
        return at.rsplit("/", 1)[1]

    def _piece(self, at: str, file: Path, offset: int, sent: Sent) -> bool:
        """Send one piece; False where the line was cut or the hub asks to wait."""
        headers = {**TUS, "upload-offset": str(offset), "content-type": BYTES}
        body = part(file, offset, PIECE, sent)
        try:
            answer = self._http.patch(at, content=body, headers={**headers, **self._bearer()})
        except (httpx2.TransportError, Unavailable):
            return False
        if answer.status_code in PASSING:
            return False
        if answer.status_code == 401:  # the next question will have another token
            self._token = {}
        elif answer.status_code not in {404, 409}:  # gone or elsewhere: its offset will tell
            checked(answer)
        return True

    def _offset(self, at: str) -> int | None:
        """How far an upload is; None where the hub knows nothing of it."""
        try:
            return int(self._ask("HEAD", at, headers=TUS).headers["upload-offset"])
        except NotFound:
            return None

    def _followed(self, push_id: str, say: Say) -> dict[str, Any]:
        while True:
            shown: dict[str, Any] = self._ask("GET", f"/v1/pushes/{push_id}").json()
            say(shown)
            ended = shown["state"] != PushState.ACCEPTED
            if ended and (shown["log_index"] is not None or shown["file_sha256"] is None):
                return shown
            self.pause(PAUSE)

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Iterator[bytes]] | None = None,
    ) -> httpx2.Response:
        """Ask until there is an answer that waiting does not change."""
        since, pause = self.clock(), PAUSE
        renewed = False
        while True:
            left = PATIENCE - (self.clock() - since)
            wait = 0.0
            try:
                answer = self._http.request(
                    method,
                    path,
                    content=body() if body else None,
                    headers={**(headers or {}), **self._bearer()},
                    timeout=600 if body else 60,
                )
            except (httpx2.TransportError, Unavailable) as error:
                if left <= 0:
                    raise self._silent() from error
            else:
                if answer.status_code == 401 and not renewed:
                    self._token, renewed = {}, True
                    continue
                asked = answer.headers.get("retry-after", "0")
                wait = float(asked) if asked.isdigit() else 0.0
                if answer.status_code not in PASSING or left <= wait:
                    return checked(answer)
            self.pause(max(pause, wait))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _bearer(self) -> dict[str, str]:
        if not self._token:
            form = {"grant_type": "client_credentials"}
            answer = self._http.post("/oauth/token", data=form, auth=(self.client, self.secret))
            if answer.status_code in {400, 401}:
                raise Denied(
                    "credentials-refused",
                    fr="Le hub refuse HUB_CLIENT_ID ou HUB_CLIENT_SECRET.",
                    en="The hub refuses HUB_CLIENT_ID or HUB_CLIENT_SECRET.",
                    who="partner",
                )
            token = checked(answer).json()["access_token"]
            self._token = {"authorization": f"Bearer {token}"}
        return self._token

    def _silent(self) -> Unavailable:
        return Unavailable(
            "server-unreachable",
            fr=f"Le hub {self.server} ne répond pas ; la même commande reprendra l’envoi.",
            en=f"The hub {self.server} does not answer; the same command will go on sending.",
            who="operator",
        )


TUS: Final = {"tus-resumable": "1.0.0"}
BYTES: Final = "application/offset+octet-stream"
PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Answers that a while may change."""


def digest_of(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def part(file: Path, start: int, size: int, sent: Sent) -> Iterator[bytes]:
    """At most `size` bytes of a file from `start` on, in chunks."""
    with file.open("rb") as stream:
        stream.seek(start)
        end = start + size
        while start < end and (chunk := stream.read(min(CHUNK, end - start))):
            yield chunk
            start += len(chunk)
            sent(start)


def keep(path: Path, text: str) -> None:
    """Write a small file of this user's, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


def checked(answer: httpx2.Response) -> httpx2.Response:
    """Raise a server's problem document as the error family it names."""
    if answer.is_success:
        return answer
    families: tuple[type[HubError], ...] = (Busy, Unavailable, Conflict, Denied, NotFound, Rejected)
    family = next((f for f in families if f.status == answer.status_code), None)
    if family is None:
        family = Unavailable if answer.is_server_error else Rejected
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    detail = str(problem.get("detail", f"HTTP {answer.status_code}"))
    raise family(str(problem.get("code", "http-error")), fr=detail, en=detail, who="partner")


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
