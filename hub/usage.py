"""Where the data of one consent went: the receipt its holder can have completed, at any time.

While the consent stands the hub has its secret. Once it has ended only the holder's receipt has
it, and the hub is asked with that; it looks, answers, and keeps nothing of it. Who would rather
not show the secret again asks for one position at a time: a position tells the hub nothing.
"""

from __future__ import annotations

from typing import Any, Final

from hub import consents, contributors, release, withdraw
from hub.audit import contributions, receipts
from hub.errors import NotFound, Rejected
from hub.parts import Parts
from hub.records import Contribution

PROVES: Final = {
    "fr": "Ce reçu prouve que l’accord (s’il a été donné seul), son retrait et chaque publication "
    "sont inscrits au journal, et que l’accord figure, ou ne figure pas, parmi les contributeurs "
    "que chaque publication a déclarés.",
    "en": "This receipt proves that the consent (if it was given on its own), its withdrawal and "
    "each release are in the log, and that the consent is, or is not, among the contributors each "
    "release declared.",
}
ATTESTS: Final = {
    "fr": "Le hub atteste, par sa signature, que chaque publication est calculée sur les seuls "
    "contributeurs déclarés, qu’aucune ne manque ici à la date indiquée, et que les lignes sont "
    "effacées. Une publication ouverte avant le retrait reste : la recalculer vous montrerait.",
    "en": "The hub attests by its signature that each release is computed from the declared "
    "contributors only, that none is missing here at the time given, and that the rows are "
    "erased. A release opened before the withdrawal stays: computing it anew would show you.",
}


def complete(parts: Parts, presented: bytes) -> bytes:
    """The receipt of where a consent's data went, for whoever presents the consent's receipt.

    Raises `Rejected` where that receipt does not hold or has no secret, `NotFound` where the
    consent is unknown, `Unavailable` where a tree is damaged. It grows by about 3 kB a release; a
    note holds three hundred.
    """
    given = receipts.verify(presented, parts.log.keys)
    grant = parts.books.grant(str(given.get("id")))
    kept = parts.books.contribution(str(given.get("id")))
    if given["kind"] != "consent" or contributors.FACT not in given:
        raise Rejected(
            "receipt-without-secret",
            fr="Il faut le reçu de l’accord, tel qu’il a été remis quand l’accord a été donné.",
            en="This takes the consent's receipt, as it was handed out when consent was given.",
            who="person",
        )
    if grant is None or kept is None:
        raise consents.unknown_grant()
    secret = bytes.fromhex(given[contributors.FACT]["secret"])
    looked_up: list[dict[str, Any]] = []
    for made in contributors.declaring(parts, grant):
        sought = contributors.position(made, secret)
        proof = contributors.prove(contributors.tree_of(parts, made), sought)
        looked_up.append(
            {
                "receipt": release.receipt(parts, made).decode(),
                "used": proof.leaf == sought,
                "proof": contributions.shown(proof),
            }
        )
    facts = {
        "as_of": parts.clock().isoformat(),
        "consent": presented.decode(),
        "withdrawal": _withdrawal(parts, kept),
        "releases": looked_up,
        "proves": dict(PROVES),
        "attests": dict(ATTESTS),
    }
    return receipts.issue(contributions.KIND, facts, parts.log.signer)


def look_up(parts: Parts, release_id: str, position: str) -> dict[str, Any]:
    """Whether a release declared a contributor at this position (64 hex digits), with the proof.

    Raises `NotFound` where there is no such release, or it declares none, `Rejected` where that
    is no position.
    """
    made = parts.books.release(release_id)
    if made is None:
        raise NotFound(
            "unknown-release",
            fr="Aucune publication ne porte ce numéro.",
            en="No release has this number.",
            who="person",
        )
    tree = contributors.tree_of(parts, made)
    try:
        sought = bytes.fromhex(position)
        proof = contributors.prove(tree, sought)
    except ValueError as error:
        raise Rejected(
            "position-unreadable",
            fr="Une position s’écrit en 64 chiffres hexadécimaux.",
            en="A position is written as 64 hexadecimal digits.",
            who="person",
        ) from error
    return {
        "release": made.id,
        "declared": made.manifest[contributors.FACT],
        "used": proof.leaf == sought,
        "proof": contributions.shown(proof),
        "receipt": release.receipt(parts, made).decode(),
    }


def _withdrawal(parts: Parts, kept: Contribution) -> str | None:
    """The receipt of the withdrawal that ended the grant; None while it stands or is under way."""
    made = parts.books.withdrawal(kept.ended_by) if kept.ended_by else None
    if made is None or made.completed_at is None:
        return None
    return withdraw.receipt(parts, made).decode()
