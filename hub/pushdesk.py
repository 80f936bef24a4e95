"""What a partner sees of its own pushes: one answer for the interface and for the pages.

A push of another partner and one that is not there get the same answer. What the consent gate
refused is in none of this, and what is told of refused rows is the list that was written once
(`Books.rejections`): nothing here changes when a person withdraws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.contract import Rejected
from connectors.report import report
from hub import progress, push, uploads
from hub.parts import Actor, Parts
from hub.records import Account, Push

SHOWN: Final = 50
"""Newest pushes on a partner's page."""


def latest(parts: Parts, actor: Actor, limit: int = 100) -> list[dict[str, Any]]:
    """The pushes of the actor's own organisation, newest first. Raises `Denied`."""
    parts.require("push_read", actor, {"push": {"partner": actor.organisation}})
    found = parts.books.pushes(partner=actor.organisation, limit=limit)
    return [push.shown(made) | progress.told(parts, made) for made in found]


def state(parts: Parts, actor: Actor, push_id: str) -> dict[str, Any]:
    """A push as JSON, with stage and percentage; an upload that is none yet is told as one."""
    upload = parts.books.upload(push_id)
    if upload is not None and upload.push is None and _may_read(parts, actor, upload.partner):
        return uploads.shown(parts, upload)
    made = own(parts, actor, push_id if upload is None else upload.push or push_id)
    return push.shown(made, operator=actor.role == "operator") | progress.told(parts, made)


def own(parts: Parts, actor: Actor, push_id: str) -> Push:
    """A push the actor may read. Raises `NotFound`."""
    made = parts.books.push(push_id)
    if made is None or not _may_read(parts, actor, made.partner):
        raise push.unknown_push()
    return made


def findings(parts: Parts, made: Push) -> list[dict[str, Any]]:
    """What was wrong with rows of a push: reason, column, count and line ranges, no content."""
    told = push.shown(made).get("findings")
    if told is not None:
        return list(told)
    rows = (Rejected(at, code, column) for at, code, column in parts.books.rejections(made.id))
    return [finding.as_json() for finding in report(rows)]


@dataclass(frozen=True, slots=True)
class PartsPushDesk:
    """`hub.web.pushdesk.PushDesk`, real."""

    parts: Parts

    def latest(self, account: Account) -> Sequence[Mapping[str, Any]]:
        """See `PushDesk.latest`."""
        return latest(self.parts, Actor.of(account), SHOWN)

    def state(self, account: Account, push_id: str) -> Mapping[str, Any]:
        """See `PushDesk.state`."""
        return state(self.parts, Actor.of(account), push_id)

    def findings(self, account: Account, push_id: str) -> Sequence[Mapping[str, Any]]:
        """See `PushDesk.findings`."""
        return findings(self.parts, own(self.parts, Actor.of(account), push_id))


def _may_read(parts: Parts, actor: Actor, partner: str) -> bool:
    question = {"actor": actor.facts(), "push": {"partner": partner}}
    return parts.policy.decide("push_read", question).allow
