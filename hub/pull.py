"""Pull: open data fetched on a schedule, and pushed like any other file.

1. The address comes from the territory file, never from a request.
2. Its name is resolved once; an address that is not public is refused, and the connection goes to
   the address that was looked at: a name that answers otherwise a moment later changes nothing.
   The certificate must be the name's all the same.
3. What was fetched before is asked for only if it changed (ETag, Last-Modified).
4. A redirect is a new address: from 2 again, a few times, never from https down to http.
5. The body streams into `push.accept`, within its limits and within a time; the idempotency key is
   the edition's, so that an edition fetched twice is pushed once.
6. A site that names no edition sends the same bytes again: they are no new push.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

import httpx2

from hub import push as pushes
from hub.errors import HubError, NotFound, Unavailable
from hub.parts import Actor, Parts
from hub.records import Push, PushState
from hub.settings import PullTerms

PULLER: Final = Actor("pull", "operator", "hub")
REDIRECTS: Final = 5
PATIENCE: Final = timedelta(minutes=20)
LOOKED_AT: Final = 1_000
"""Newest pushes of a partner among which the latest of a dataset is looked for."""
SILENCE: Final = 30.0
"""Seconds the other side may be silent."""


def schedule(parts: Parts, now: datetime) -> int:
    """Promise the fetches that are due, where the operator wants them. Returns how many."""
    if not parts.settings.pulls:
        return 0
    return sum(
        parts.books.promise_pull(terms.dataset, now, terms.every) for terms in parts.territory.pulls
    )


def attempt(parts: Parts, dataset: str) -> None:
    """Fetch, as a job: what goes wrong is noted, and the schedule tries again."""
    try:
        fetch(parts, dataset)
    except HubError as error:
        known = parts.books.pulled(dataset)
        parts.books.note_pull(
            dataset, parts.clock(), error.code, etag=known.etag, modified=known.modified
        )


def fetch(parts: Parts, dataset: str) -> Push | None:
    """Fetch a dataset if it changed; returns its push, or None where it did not.

    Raises `NotFound` where the territory names no address for it, `Unavailable` where the address
    does not answer as it should or may not be reached, and what `push.accept` raises.
    """
    terms = terms_of(parts, dataset)
    known = parts.books.pulled(dataset)
    now = parts.clock()
    asked = {"accept-encoding": "identity", "user-agent": "mobile-cvl-hub"}
    if known.etag:
        asked["if-none-match"] = known.etag
    if known.modified:
        asked["if-modified-since"] = known.modified
    with _answer(parts, terms.url, asked) as answer:  # 2, 3, 4
        if answer.status_code == 304:
            parts.books.note_pull(
                dataset, now, "unchanged", etag=known.etag, modified=known.modified
            )
            return None
        if answer.status_code != 200:
            raise _failed("pull-refused", f"HTTP {answer.status_code}")
        etag = answer.headers.get("etag", "")[:200]
        modified = answer.headers.get("last-modified", "")[:100]
        edition = hashlib.sha256(f"{terms.url}\n{etag}\n{modified}".encode()).hexdigest()
        key = f"pull-{edition[:32]}" if etag or modified else None
        partner, _, name = dataset.partition("/")
        body = _body(parts, answer, now + PATIENCE, _latest(parts, partner, name))
        made: Push | None = None
        with suppress(_Unchanged):  # 6
            made, _ = pushes.accept(parts, PULLER, partner, name, body, key)  # 5
    outcome = "unchanged" if made is None else "pushed"
    parts.books.note_pull(dataset, now, outcome, etag=etag, modified=modified)
    return made


class _Unchanged(Exception):
    """The bytes are those of the latest push, and were not kept."""


def _latest(parts: Parts, partner: str, name: str) -> str | None:
    """The digest of the dataset's latest push, None where there is none or it was refused."""
    for one in parts.books.pushes(partner=partner, limit=LOOKED_AT):
        if one.dataset == name:
            return None if one.state is PushState.REFUSED else one.file_sha256
    return None


def terms_of(parts: Parts, dataset: str) -> PullTerms:
    """The territory's address of a dataset. Raises `NotFound`."""
    for terms in parts.territory.pulls:
        if terms.dataset == dataset:
            return terms
    raise NotFound(
        "no-pull",
        fr="Le fichier de territoire ne donne pas d’adresse pour ce jeu de données.",
        en="The territory file gives no address for this dataset.",
        who="operator",
    )


@contextmanager
def _answer(parts: Parts, url: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
    """The answer at the end of the redirects. Raises `Unavailable`."""
    try:
        # No proxy from the environment: it would choose the address that was just checked. The
        # certificate is checked against the name (SNI), by the system's authorities or those of
        # SSL_CERT_FILE.
        trust = httpx2.create_ssl_context()
        with httpx2.Client(timeout=SILENCE, trust_env=False, verify=trust) as client:
            for _ in range(REDIRECTS + 1):
                where = httpx2.URL(url)
                pinned = where.copy_with(
                    host=public_address(where.host, allow=parts.settings.pull_allow_private)
                )
                request = client.build_request(
                    "GET",
                    pinned,
                    headers=headers | {"host": where.netloc.decode("ascii")},
                    extensions={"sni_hostname": where.host},
                )
                answer = client.send(request, stream=True)
                try:
                    if not answer.has_redirect_location:
                        yield answer
                        return
                    after = where.join(answer.headers["location"])
                finally:
                    answer.close()
                if after.scheme not in {"http", "https"} or (
                    where.scheme == "https" and after.scheme != "https"
                ):
                    raise _failed("pull-redirect-unsafe", "redirect")
                url = str(after)
            raise _failed("pull-redirects", "redirect")
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        raise _failed("pull-unreachable", type(error).__name__) from error


def public_address(host: str, *, allow: bool = False) -> str:
    """Resolve a host once. Raises `Unavailable` where any of its addresses is not public.

    Any, not the chosen one: a name that points inside as well as outside is a trap.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _failed("pull-unresolved", "DNS") from error
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    if not allow and not all(is_public(one) for one in addresses):
        raise _failed("pull-address-private", "address")
    return str(addresses[0])


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the open internet, however it is written."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def _body(
    parts: Parts, answer: httpx2.Response, until: datetime, known: str | None
) -> Iterator[bytes]:
    """The body as it comes. The vault measures it; here only the time is.

    Raises `_Unchanged` at the end of bytes whose digest is `known`.
    """
    digest = hashlib.sha256()
    try:
        for chunk in answer.iter_raw(1 << 16):
            if parts.clock() > until:
                raise _failed("pull-too-slow", "time")
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() == known:
            raise _Unchanged
    except httpx2.HTTPError as error:
        raise _failed("pull-unreachable", type(error).__name__) from error


def _failed(code: str, where: str) -> Unavailable:
    return Unavailable(
        code,
        fr=f"L’adresse du jeu de données n’a pas pu être lue ({where}).",
        en=f"The dataset's address could not be read ({where}).",
        who="operator",
        where=where,
    )
