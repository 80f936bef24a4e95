"""A provider of identities, as the hub needs it: where people sign in, and what it says of them.

The real one speaks OpenID Connect (`hub.identity.remote`). The memory one is the specification:
whoever holds a code that `grant` made, and the nonce and verifier it was made for, is vouched for
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from hub.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Told:
    """Who somebody is by a provider's word. `sid`: its own session; `hint`: ends it there."""

    subject: str = field(repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sid: str = ""
    hint: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a provider says has ended: one session there, or all of a person's."""

    id: str
    subject: str = field(default="", repr=False)
    sid: str = ""


class Provider(Protocol):
    """Where people sign in. Every method raises `Unavailable` where it does not answer."""

    @property
    def issuer(self) -> str:
        """Its name, an https address."""
        ...

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """Where a person's browser goes to sign in."""
        ...

    def vouch(self, answer: Mapping[str, str], nonce: str, verifier: str, now: datetime, /) -> Told:
        """Who came back with this answer; `state` was looked at. Raises `Unauthenticated`."""
        ...

    def leaving(self, hint: str) -> str:
        """Where a person's browser goes to sign out there too; '' where it knows no such place."""
        ...

    def ended(self, token: str, now: datetime, /) -> Ended:
        """What a logout token says. Raises `Unauthenticated` where it is not the provider's."""
        ...

    def check(self) -> None:
        """Raise `Unavailable` where it does not answer as it should."""
        ...


class MemoryProvider:
    """A provider that vouches for whom it was told to."""

    def __init__(self, issuer: str = "https://identity.test") -> None:
        self.issuer = issuer
        self.codes: dict[str, tuple[str, str, Told]] = {}
        self.endings: dict[str, Ended] = {}

    def grant(self, address: str, told: Told) -> dict[str, str]:
        """What the browser brings back once somebody has signed in at `address`."""
        asked = parse_qs(urlsplit(address).query)
        code = f"code-{len(self.codes)}"
        self.codes[code] = (asked["nonce"][0], asked["verifier"][0], told)
        return {"code": code, "state": asked["state"][0]}

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """See `Provider`."""
        asked = urlencode({"state": state, "nonce": nonce, "verifier": verifier})
        return f"{self.issuer}/authorize?{asked}"

    def vouch(
        self, answer: Mapping[str, str], nonce: str, verifier: str, _now: datetime, /
    ) -> Told:
        """See `Provider`."""
        made = self.codes.pop(answer.get("code", ""), None)
        if made is None or made[:2] != (nonce, verifier):
            raise refused("code")
        return made[2]

    def leaving(self, hint: str) -> str:
        """See `Provider`."""
        return f"{self.issuer}/logout?{urlencode({'id_token_hint': hint})}"

    def ended(self, token: str, _now: datetime, /) -> Ended:
        """See `Provider`."""
        found = self.endings.get(token)
        if found is None:
            raise refused("logout-token")
        return found

    def check(self) -> None:
        """See `Provider`."""


_WHY: Mapping[str, tuple[str, str]] = {
    "code": (
        "Ce retour du fournisseur d’identité a déjà servi ou n’est plus valable. Reconnectez-vous.",
        "This answer of the identity provider was used already or is too old. Sign in again.",
    ),
    "state": (
        "Cette connexion n’a pas commencé dans ce navigateur, ou a trop tardé. Reconnectez-vous.",
        "This login was not begun in this browser, or took too long. Sign in again.",
    ),
    "denied": (
        "Le fournisseur d’identité n’a pas confirmé qui vous êtes. Reconnectez-vous.",
        "The identity provider did not confirm who you are. Sign in again.",
    ),
}
_TOKENS: Mapping[str, tuple[str, str]] = {
    "issuer": ("vient d’un autre fournisseur", "comes from another provider"),
    "audience": ("n’est pas destiné à ce hub", "is not made out to this hub"),
    "time": (
        "n’est pas valable à cette heure (les horloges s’accordent-elles ?)",
        "does not hold at this time (do the clocks agree?)",
    ),
    "nonce": ("répond à une autre connexion", "answers another login"),
    "signature": (
        "n’est pas signé par une clé du fournisseur",
        "is not signed by a key of the provider",
    ),
    "subject": ("ne parle pas d’une seule personne", "is not about one person"),
    "algorithm": (
        "est signé par un procédé que le hub n’accepte pas",
        "is signed in a way the hub does not take",
    ),
    "content": ("est incomplet ou illisible", "is incomplete or unreadable"),
    "logout-token": ("n’est pas une fin de session", "is no end of a session"),
}


def refused(why: str) -> Unauthenticated:
    """A login a provider's word does not open: `identity-<why>`.

    What the person can mend is said to them; what is wrong with a token, to the operator.
    """
    if why in _WHY:
        fr, en = _WHY[why]
        return Unauthenticated(f"identity-{why}", fr=fr, en=en, who="person")
    fr, en = _TOKENS[why]
    return Unauthenticated(
        f"identity-{why}",
        fr=f"Le jeton du fournisseur d’identité {fr}. Prévenez l’exploitant du hub.",
        en=f"The identity provider's token {en}. Tell the hub's operator.",
        who="operator",
    )
