"""What the pages of partners need of pushes, as a protocol with its memory version.

A push is told as the interface tells it (`GET /v1/pushes/{id}`), a finding as a receipt does
(`connectors.report.Finding.as_json`): counts, codes and line ranges, never a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hub.errors import Denied, NotFound
from hub.records import Account, Role

Told = Mapping[str, Any]


class PushDesk(Protocol):
    """Where the pages get it. The policy is asked each time."""

    def latest(self, account: Account) -> Sequence[Told]:
        """The newest pushes of the account's own organisation. Raises `Denied`."""
        ...

    def state(self, account: Account, push_id: str) -> Told:
        """One push with its stage and percentage. `NotFound` where it is not theirs to see."""
        ...

    def findings(self, account: Account, push_id: str) -> Sequence[Told]:
        """What was wrong with its rows. Raises as `state`."""
        ...


@dataclass(slots=True)
class MemoryPushDesk:
    """Pushes of partners in a list; an account sees those of its organisation."""

    pushes: list[dict[str, Any]] = field(default_factory=list)
    found: dict[str, list[Told]] = field(default_factory=dict)

    def latest(self, account: Account) -> Sequence[Told]:
        """Those of the organisation, in the order they were given."""
        if account.role is not Role.PARTNER:
            raise Denied(
                "denied-by-policy",
                fr="La politique d’accès refuse.",
                en="The access policy refuses.",
                who="steward",
            )
        return [push for push in self.pushes if push["partner"] == account.organisation]

    def state(self, account: Account, push_id: str) -> Told:
        """The push of that number."""
        for push in self.latest(account):
            if push["id"] == push_id:
                return push
        raise NotFound(
            "unknown-push",
            fr="Aucun dépôt ne porte ce numéro.",
            en="No push has this number.",
            who="partner",
        )

    def findings(self, account: Account, push_id: str) -> Sequence[Told]:
        """What it was given for that push."""
        return self.found.get(self.state(account, push_id)["id"], [])
