"""`hub witness`: what a second party runs, on a machine of its own, once per minute or hour."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.audit import submissions, witness
from hub.audit.notes import VerifierKey, Witness
from hub.audit.store import FolderStore
from hub.audit.web import WebStore
from hub.cli import edge, waiting
from hub.errors import Conflict, Rejected, Unavailable

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
State = Annotated[Path, typer.Option(help="The witness's own folder: its key and its memory.")]
KEY: Final = "witness.key"
NAME: Final = "witness.name"


@app.command("init")
def init(
    state: State,
    name: Annotated[str, typer.Option(help="Who witnesses, such as partner.example/witness.")],
    as_json: Json = False,
) -> None:
    """Make a witness's key; the verifier key printed is what the hub and clients configure."""
    made = Witness(name, Ed25519PrivateKey.generate())
    verifier = str(made.verifier)  # refuses a name that no note can carry
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(state / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(made.key.private_bytes_raw())
        (state / NAME).write_text(f"{name}\n", "utf-8")
    except OSError as error:
        raise _unusable(error) from error
    edge.say({"witness": verifier}, as_json=as_json, text=verifier)


@app.command("cosign")
def cosign(
    state: State,
    key: Annotated[str, typer.Option(help="A verifier key of the log, present or former.")],
    url: Annotated[str, typer.Option(help="The log, such as https://hub.example/audit.")] = "",
    tiles: Annotated[Path | None, typer.Option(help="The log in a folder instead.")] = None,
    post: Annotated[bool, typer.Option(help="Hand the cosignature to the log.")] = True,
    as_json: Json = False,
) -> None:
    """Check that the log only grew since the last time, and cosign its checkpoint."""
    if bool(url) == bool(tiles):
        raise Rejected(
            "log-unnamed",
            fr="Donnez --url ou --tiles, l’un des deux.",
            en="Give --url or --tiles, one of the two.",
            who="operator",
        )
    with ExitStack() as open_until_done:
        web = open_until_done.enter_context(closing(WebStore(url))) if url else None
        open_until_done.enter_context(_alone(state))
        told = open_until_done.enter_context(waiting.counting(waiting.VERIFYING))
        note = witness.cosign(
            web or FolderStore(tiles or Path()),
            FolderStore(state / "log"),
            [VerifierKey.parse(key)],
            _witness(state),
            datetime.now(UTC),
            told,
        )
        if post and web is not None:
            web.post("cosignatures", note)
    edge.say({"ok": True, "note": note.decode()}, as_json=as_json, text=note.decode().rstrip())


@app.command("serve")
def serve(
    state: State,
    key: Annotated[
        list[str], typer.Option(help="Each verifier key of the log, the present first.")
    ],
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8080,
) -> None:
    """Cosign what the log hands in: C2SP `add-checkpoint`, at /add-checkpoint."""
    made = application(state, _witness(state), [VerifierKey.parse(one) for one in key])
    uvicorn.run(made, host=host, port=port, log_level="warning")


def application(state: Path, who: Witness, keys: Sequence[VerifierKey]) -> Starlette:
    """The witness's one address."""
    turn = threading.Lock()

    def answered(body: bytes) -> Response:
        try:
            with turn, _alone(state):
                answer = submissions.add_checkpoint(
                    FolderStore(state / "log"), keys, who, body, datetime.now(UTC)
                )
        except (Conflict, Unavailable):  # it looks at the log itself just now, or has no disk
            return Response(status_code=503, headers={"retry-after": "5"})
        # As a header: of a media type that begins with text Starlette would name a character set.
        return Response(answer.body, answer.status, {"content-type": answer.media_type})

    async def add(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > submissions.MAX_BYTES:
                return Response(status_code=413)
        return await run_in_threadpool(answered, body)

    return Starlette(routes=[Route("/add-checkpoint", add, methods=["POST"])])


def _witness(state: Path) -> Witness:
    try:
        raw = (state / KEY).read_bytes()
        name = (state / NAME).read_text("utf-8").strip()
        return Witness(name, Ed25519PrivateKey.from_private_bytes(raw))
    except (OSError, ValueError) as error:
        raise Rejected(
            "witness-unknown",
            fr="Ce dossier n’a pas de clé de témoin : « hub witness init » d’abord.",
            en="This folder has no witness key: run `hub witness init` first.",
            who="operator",
        ) from error


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One run at a time: two at once could cosign two histories."""
    try:
        file = (state / ".lock").open("wb")
    except OSError as error:
        raise _unusable(error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                "witness-busy",
                fr="Un autre passage de ce témoin est en cours.",
                en="Another run of this witness is under way.",
                who="operator",
            ) from error
        yield


def _unusable(error: OSError) -> Unavailable | Conflict:
    if isinstance(error, FileExistsError):
        return Conflict(
            "witness-exists",
            fr="Ce dossier a déjà une clé de témoin.",
            en="This folder has a witness key already.",
            who="operator",
        )
    return Unavailable(
        "witness-folder",
        fr=f"Le dossier du témoin ne répond pas ({error.strerror}).",
        en=f"The witness's folder does not answer ({error.strerror}).",
        who="operator",
    )
