"""`hub receipt`: any receipt, offline."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hub.audit import contributions, receipts
from hub.audit.keys import follow
from hub.audit.notes import VerifierKey
from hub.cli import edge
from hub.errors import Rejected
from hub.settings import Settings

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Key = Annotated[str, typer.Option(help="Verifier key; this hub's own without it.")]


def check_home() -> None:
    """Refuse to make a hub only to ask it for its key: on a stranger's machine there is none."""
    if not (Settings().home / "keys").is_dir():
        raise Rejected(
            "key-missing",
            fr="Il n’y a pas de hub ici : donnez avec --key la clé publique du journal.",
            en="There is no hub here: give the log's verifier key with --key.",
            who="person",
        )


@app.command("complete")
def receipt_complete(file: Path) -> None:
    """Present a consent's receipt: the signed receipt of which releases used its data."""
    from hub import usage  # releases: what only verifies a receipt does without

    data = edge.given(file)
    with edge.opened() as parts:
        parts.sequence()
        sys.stdout.write(usage.complete(parts, data).decode())


@app.command("verify")
def receipt_verify(
    file: Path,
    key: Key = "",
    keys: Annotated[
        Path | None, typer.Option(help="The log's list of keys (…/audit/keys), kept as a file.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint one trusts: then no key is needed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a receipt and its proof, offline: with a key, or with a remembered checkpoint."""
    data = edge.given(file)
    known: Sequence[VerifierKey] = []
    if checkpoint is not None:
        receipt = receipts.checked(data, edge.given(checkpoint))
    elif key:
        known = follow(edge.given(keys) if keys else None, [VerifierKey.parse(key)])
        receipt = receipts.verified(data, known)
    else:
        check_home()
        with edge.opened() as parts:
            known = parts.log.keys
            receipt = receipts.verified(data, known)
    under = receipt.checkpoint
    proved = {"size": under.size, "root": under.root.hex()} if under else None
    former = receipt.signer.until if receipt.signer else None
    said = dict(receipt.facts)
    if said["kind"] == contributions.KIND:
        said = {key: said[key] for key in ("kind", "as_of", "proves", "attests")}
        said |= contributions.check(receipt.facts, known)
    document = {"ok": True, **said, "proved_under": proved, "key_until": former}
    edge.say(document, as_json=as_json)
