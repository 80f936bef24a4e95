"""Pages of partners: what to send and how, and for who is signed in, what became of it.

The documentation is public: nothing in it is secret, and whoever writes an export has no account
yet. It is made from the connector, so that it cannot say other than what is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from connectors.contract import REASONS, Dataset, Example
from connectors.pages import reasons, snippet
from connectors.tableschema import table_schema, table_schemas
from hub.catalog import BASES
from hub.errors import NotFound
from hub.push import REPLACED
from hub.records import Account, Role
from hub.settings import AgreementTerms, Territory
from hub.web.howto import commands, verify
from hub.web.pushdesk import PushDesk
from hub.web.render import Renderer

HANDED_OUT: Final = 32 * 1024
"""Bytes of the largest example to download; those that are larger are tricks, such as bombs."""
STAGES: Final = ("waiting", "receiving", "assembling", "opening", "reading", "recording", "logging",
                 "done")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reception:
    """What the pages need: the datasets, the desk of pushes, the hub's address and its limits.

    `key` gives the log's verifier key, which changes when it is rotated. `largest` and `a_day` are
    bytes a partner may send at once and in 24 hours.
    """

    datasets: Mapping[str, Dataset]
    desk: PushDesk
    url: str
    key: Callable[[], str]
    largest: int = 8 << 30
    a_day: int = 64 << 30


def add(routes: APIRouter, reception: Reception, renderer: Renderer) -> None:
    """Add `/partner` and what is below it."""
    territory = renderer.shelf.territory
    kept: dict[str, tuple[Shown, ...]] = {}

    def listed(dataset: Dataset) -> tuple[Shown, ...]:
        """The examples of a dataset, made once."""
        if dataset.key not in kept:
            kept[dataset.key] = _listed(dataset)
        return kept[dataset.key]

    @routes.api_route("/partner", methods=["GET", "HEAD"])
    def index(request: Request) -> Response:
        account = renderer.account(request)
        mine = account is not None and account.role is Role.PARTNER
        return renderer.page(
            request,
            "partner.html",
            account=account,
            groups=_groups(reception.datasets, territory, account.organisation if account else ""),
            pushes=reception.desk.latest(account) if mine and account else None,
            reception=reception,
            instant=datetime.fromisoformat,
            stages=STAGES,
        )

    @routes.api_route("/partner/pushes/{push_id}", methods=["GET", "HEAD"])
    def push(request: Request, push_id: str) -> Response:
        def shown(account: Account) -> Response:
            state = reception.desk.state(account, push_id)
            known = reception.datasets.get(f"{state['partner']}/{state['dataset']}")
            done = state["stage"] == "done" and state["log_index"] is not None
            return renderer.page(
                request,
                "push.html",
                account=account,
                push=state,
                dataset=known,
                findings=reception.desk.findings(account, push_id) if done else [],
                edition=f"{state['partner']}/{state['dataset']}" in REPLACED,
                check=commands(known, reception.url, "").check if known else "",
                verify=verify(f"receipt-{push_id}.txt", reception.key()),
                reasons=REASONS,
                instant=datetime.fromisoformat,
                stages=STAGES,
            )

        return renderer.signed_in(request, shown)

    @routes.api_route("/partner/{partner}/{name}", methods=["GET", "HEAD"])
    def dataset(request: Request, partner: str, name: str) -> Response:
        found = _dataset(reception.datasets, partner, name)
        return renderer.page(
            request,
            "dataset.html",
            account=renderer.account(request),
            dataset=found,
            agreements=_agreements(found, territory),
            bases=BASES,
            partner_name=territory.named(partner),
            reasons=REASONS,
            effects=reasons(found),
            snippet=snippet(found),
            examples=listed(found),
            how=commands(found, reception.url, reception.key()),
            outcomes=table_schemas(found),
        )

    @routes.api_route("/partner/{partner}/{name}/schema.json", methods=["GET", "HEAD"])
    def schema(partner: str, name: str) -> Response:
        found = _dataset(reception.datasets, partner, name)
        return JSONResponse(table_schema(found), headers={"cache-control": "no-cache"})

    @routes.api_route("/partner/{partner}/{name}/examples/{slug}", methods=["GET", "HEAD"])
    def example(partner: str, name: str, slug: str) -> Response:
        found = _dataset(reception.datasets, partner, name)
        for shown in listed(found):
            if shown.slug == slug and shown.size:
                return Response(
                    shown.example.content(),
                    media_type="application/octet-stream",
                    headers={"content-disposition": f'attachment; filename="{found.name}-{slug}"'},
                )
        raise _nowhere()


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the page lists it; `size` is 0 where it is not handed out."""

    example: Example
    slug: str
    size: int


def _listed(dataset: Dataset) -> tuple[Shown, ...]:
    """Every example by a name for addresses, told apart by its place."""
    listed = []
    for number, example in enumerate(dataset.examples, 1):
        size = len(example.content())
        slug = f"{number:02d}-" + re.sub(r"[^a-z0-9]+", "-", example.name.lower()).strip("-")
        listed.append(Shown(example, slug, size if size <= HANDED_OUT else 0))
    return tuple(listed)


def _dataset(datasets: Mapping[str, Dataset], partner: str, name: str) -> Dataset:
    found = datasets.get(f"{partner}/{name}")
    if found is None:
        raise _nowhere()
    return found


def _groups(
    datasets: Mapping[str, Dataset], territory: Territory, own: str
) -> list[tuple[str, Sequence[Dataset]]]:
    """Datasets by partner, in the territory's own names and order; the reader's own first."""
    names = [terms.id for terms in territory.partners]
    order = [*names, *sorted({dataset.partner for dataset in datasets.values()} - set(names))]
    order.sort(key=lambda partner: partner != own)
    groups = [
        (territory.named(partner), [d for d in datasets.values() if d.partner == partner])
        for partner in order
    ]
    return [group for group in groups if group[1]]


def _agreements(dataset: Dataset, territory: Territory) -> list[AgreementTerms]:
    wanted = (dataset.partner, dataset.name)
    return [terms for terms in territory.agreements if (terms.partner, terms.dataset) == wanted]


def _nowhere() -> NotFound:
    return NotFound(
        "no-such-page",
        fr="Il n’y a rien à cette adresse.",
        en="There is nothing at this address.",
        who="person",
    )
