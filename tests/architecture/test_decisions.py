"""Every decision is kept for a replay, or is about a look that leaves no event."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hub
from hub.policy.gate import POLICIES

HUB: Final = Path(hub.__file__).parent

LOOKS: Final = {
    # What is read is public, the actor's own, or told by another event; nothing is changed.
    "api.collectivities.release_facts": "what a release is",
    "api.collectivities.manifest": "what a release is",
    "api.collectivities.receipt": "its receipt, which proves it to strangers",
    "api.collectivities._data": "an open release, read by nobody known",
    "api.dpo.code": "asked again by the look itself, which is an event",
    "api.sharing.file": "the load was an event; its files are asked about one by one",
    "cli.backups.listed": "which back-ups there are",
    "cli.consents.show": "a consent by its number",
    "cli.events.reconcile_command": "the log compared with what it tells of",
    "cli.operate.keys_show": "public halves of keys",
    "cli.operate.partner_list": "agreements",
    "cli.operate.user_list": "accounts, without what proves them",
    "cli.policies.replay_command": "decisions, which are in the log",
    "cli.pushes.pushes_command": "counts",
    "cli.releases._readable": "what a release is",
    "desk.PartsDesk.overview": "who may come in; what is looked up there is an event",
    "metering.statement": "a statement, made of events",
    "pushdesk.latest": "one's own pushes",
    "quarantine.listed": "positions and reasons",
    "quarantine.show": "positions, reasons and shapes",
    "recipients.listed": "recipients, without what proves them",
    "rights.register": "cases, without whose",
    "sharing.Shares.table": "what a table is",
    # Asked once more by what they call, whose event keeps that answer.
    "cli.events.events_command": "the look that follows",
    "rights.open_for": "`open_case`",
    # The worker does the same each day by itself, and its own events tell of it.
    "cli.backups.expire": "the daily end of back-ups",
    "cli.retention.run": "the daily end of what is kept",
    # The command's own events: `release.approve` asks about each table.
    "cli.releases.build": "each release asks `release_publish`",
}
"""Where an answer is dropped, and why a replay does without it."""

NOBODY_ASKS: Final = {"release_retract"}
"""Actions of `admin.rego` no part of the hub takes yet."""


def dropped() -> Iterator[str]:
    """Functions that ask `require` and keep no answer."""
    for path in sorted(HUB.rglob("*.py")):
        module = ".".join(path.relative_to(HUB).with_suffix("").parts)
        yield from _dropped(ast.parse(path.read_text("utf-8")), module)


def _dropped(node: ast.AST, name: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}"
        match child:
            case ast.Expr(ast.Call(ast.Attribute(attr="require"))):
                yield name
        yield from _dropped(child, inner)


def test_an_answer_that_is_dropped_is_of_a_look_that_leaves_no_event() -> None:
    assert set(dropped()) == set(LOOKS)


def test_every_action_of_running_the_hub_is_asked_about() -> None:
    admin = (POLICIES / "admin.rego").read_text("utf-8").split("# title: The action is in")[0]
    listed = {
        word
        for node in admin.split("takers :=")[1:]
        for word in node.partition("input.action")[2].split('"')[1::2]
    }
    sources = "".join(path.read_text("utf-8") for path in HUB.rglob("*.py"))
    assert {action for action in listed if f'"{action}"' not in sources} == NOBODY_ASKS
