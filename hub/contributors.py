"""The declared contributors of a release: secrets of grants, and the tree they have a place in.

What the tree proves is said in `consent.contributors`. Here:

- A grant's secret is random. It is in its person's receipt, whose digest is in the log, and the
  hub keeps it sealed under a key of its own for as long as the grant stands: without it no later
  release could hold the grant's position. A withdrawal destroys it in the transaction that ends
  the grant; from then on only the holder can ask.
- A release declares the grants on which it rests: those that stood when it asked, whose people
  have a row in the tables it opened. Only grants: a public task has none, nobody holds a receipt
  of it, and who objected is left out by signature alone.
- The tree is kept as an object under its root. It holds no secret and nothing of which leaves are
  people's, so it may stay with its release after all of them have left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent import contributors
from consent.contributors import Proof, ProofInvalid, Tree
from hub.errors import NotFound, Rejected, Unavailable
from hub.parts import Parts
from hub.records import Agreement, Contribution, Grant, Release

SCHEME: Final = "hub/contributors/v1"
FACT: Final = "contribution"
"""Where manifest and receipts hold what is said here."""
_SEAL_NONCE: Final = 12
_GIVEN: Final = "given"

SAYS: Final = {
    "fr": "Gardez ce reçu : lui seul permettra de demander si une publication a utilisé vos "
    "données. Qui le lit peut le demander aussi, pour cet accord et aucun autre.",
    "en": "Keep this receipt: it alone will let you ask whether a release used your data. "
    "Whoever reads it can ask too, about this consent and no other.",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """On which secrets a release rests, as of the moment it asked for the grants."""

    asked_at: datetime
    secrets: Sequence[bytes]


def secrets_of(parts: Parts, grants: Iterable[Grant]) -> list[Contribution]:
    """A new secret, sealed, for each of these grants that allows something."""
    seal = AESGCM(parts.keyring.contribution_key)
    made = []
    for grant in grants:
        if grant.state == _GIVEN:
            secret, nonce = _random(parts, contributors.SECRET_BYTES), _random(parts, _SEAL_NONCE)
            sealed = nonce + seal.encrypt(nonce, secret, grant.id.encode())
            made.append(Contribution(grant.id, contributors.commitment(secret), sealed))
    return made


def facts(parts: Parts, contribution: Contribution | None) -> dict[str, Any]:
    """What a consent's receipt holds of its secret; nothing where there is none, or no more."""
    if contribution is None or contribution.secret is None:
        return {}
    (secret,) = _opened(parts, [contribution])
    return {
        FACT: {
            "scheme": SCHEME,
            "secret": secret.hex(),
            "commitment": contribution.commitment.hex(),
            "says": dict(SAYS),
        }
    }


def known(parts: Parts, agreement: Agreement) -> dict[bytes, list[Contribution]]:
    """Who stands, by digest, with the secrets of their grants.

    Ask this *before* `parts.standing`, and count only who is in both: whoever withdraws in between
    is then in neither, whoever agrees in between is counted next time. The other way round a
    person could be counted whose secret is gone already, and the tree would deny it.
    """
    found: dict[bytes, list[Contribution]] = {}
    partner, purpose = agreement.partner, agreement.purpose
    for subject, contribution in parts.books.contributing(partner, purpose, parts.clock()):
        theirs = found.setdefault(subject, [])
        if contribution is not None:
            theirs.append(contribution)
    return found


def opened(
    parts: Parts, known: Mapping[bytes, list[Contribution]], subjects: Iterable[bytes]
) -> list[bytes]:
    """The secrets of these people, all of each: an older receipt must not be told less."""
    return _opened(parts, [one for subject in subjects for one in known[subject]])


def declare(parts: Parts, declared: Declared) -> dict[str, Any]:
    """Make and keep the tree of a release; what its manifest says of it.

    Raises `Rejected` "too-many-contributors" before anything is kept: a tree that grew with its
    people would count them.
    """
    nonce, leaves = _random(parts, contributors.NONCE_BYTES), parts.territory.contributor_leaves
    real = [contributors.position(secret, nonce) for secret in declared.secrets]
    try:
        positions = contributors.padded(real, leaves, lambda count: _random(parts, count))
    except contributors.TooManyContributors as error:
        raise Rejected(
            "too-many-contributors",
            fr="L’arbre des contributeurs est trop petit pour cette publication : augmentez "
            "« contributor_leaves » dans le fichier de territoire, au-delà de toute la population.",
            en="The tree of contributors is too small for this release: raise "
            "“contributor_leaves” in the territory file, beyond the whole population.",
            who="operator",
        ) from error
    tree = contributors.build(positions)
    parts.objects.put(_name(tree.root.hex()), [tree.data])
    return {
        "scheme": SCHEME,
        "root": tree.root.hex(),
        "nonce": nonce.hex(),
        "leaves": leaves,
        "asked_at": declared.asked_at.isoformat(),
    }


def tree_of(parts: Parts, release: Release) -> Tree:
    """The contributors a release declared. Raises `NotFound` where it rests on no grants."""
    said = release.manifest.get(FACT)
    if said is None:
        raise NotFound(
            "no-contributors",
            fr="Cette publication ne repose sur aucun accord individuel.",
            en="This release rests on nobody's consent.",
            who="person",
        )
    try:
        tree = Tree(parts.objects.get(_name(said["root"])))
    except (ProofInvalid, NotFound) as error:
        raise _damaged() from error
    if tree.root.hex() != said["root"]:
        raise _damaged()
    return tree


def releases_using(parts: Parts, grant: Grant) -> list[Release]:
    """Published releases that a standing grant contributed to, oldest first.

    Empty once it has ended: the hub has no secret then, and `hub.usage` asks with the holder's.
    """
    contribution = parts.books.contribution(grant.id)
    if contribution is None or contribution.secret is None:
        return []
    (secret,) = _opened(parts, [contribution])
    return [release for release in declaring(parts, grant) if _used(parts, release, secret)]


def declaring(parts: Parts, grant: Grant) -> list[Release]:
    """Releases since a grant was given that declare contributors and are in the log."""
    return [
        release
        for release in parts.books.releases()
        if release.manifest.get(FACT) is not None
        and release.log_index is not None
        and release.published_at >= grant.given_at
    ]


def position(release: Release, secret: bytes) -> bytes:
    """Where the grant of this secret is, or would be, among the contributors of a release."""
    return contributors.position(secret, bytes.fromhex(release.manifest[FACT]["nonce"]))


def _used(parts: Parts, release: Release, secret: bytes) -> bool:
    sought = position(release, secret)
    return prove(tree_of(parts, release), sought).leaf == sought


def intact(parts: Parts, release: Release) -> bool:
    """Whether what is kept is the whole tree a release declared; true where it declared none."""
    try:
        return release.manifest.get(FACT) is None or tree_of(parts, release).sound()
    except Unavailable:
        return False


def prove(tree: Tree, position: bytes) -> Proof:
    """Where a position leads. Raises `Unavailable` where the stored tree is damaged."""
    try:
        return tree.prove(position)
    except ProofInvalid as error:
        raise _damaged() from error


def _opened(parts: Parts, sealed: Sequence[Contribution]) -> list[bytes]:
    key = AESGCM(parts.keyring.contribution_key)
    found = []
    for one in sealed:
        nonce, rest = (one.secret or b"")[:_SEAL_NONCE], (one.secret or b"")[_SEAL_NONCE:]
        try:
            found.append(key.decrypt(nonce, rest, one.grant.encode()))
        except (InvalidTag, ValueError) as error:
            raise _damaged() from error
    return found


def _random(parts: Parts, count: int) -> bytes:
    return bytes.fromhex(parts.token(count))


def _name(root: str) -> str:
    return f"contributors/{root}"


def _damaged() -> Unavailable:
    return Unavailable(
        "contributors-damaged",
        fr="Ce que le hub garde des contributeurs est endommagé : restaurez la sauvegarde.",
        en="What the hub keeps of contributors is damaged: restore the back-up.",
        who="operator",
    )
