"""Another process decides: an OPA server, asked over HTTP through its Python client.

What is asked, what counts as an answer and what is a no are the same as for the embedded engine.
What only a server can get wrong, and what is done about it (each has its test):

- It may be slow, or trickle: each question is under a deadline for the whole of it
  (`hub.deadlines`); when that passes, the answer is a no.
- It may answer anything: no JSON, `{}` (which is OPA's "undefined"), half a document.
- It may decide by other policies than ours. Each answer names the revision of the bundle it comes
  from, and a bundle's revision is the digest of its policies (`deploy/bundle.py`): an answer from
  any other is a no. So a decision's `bundle_digest` is of the policies that really answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3.exceptions
from requests import RequestException

from hub.deadlines import AT_ONCE, Deadline
from hub.errors import Rejected, Unavailable
from hub.policy.decisions import (
    POLICIES,
    RULES,
    Decision,
    EngineFault,
    decided,
    digest_of,
    policy_sources,
)

DEADLINE_SECONDS: Final = 2.0

_SERVER_ERRORS: Final = (
    RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,  # an answer that is no JSON
    RecursionError,  # or JSON without end
)


class ServerGate:
    """The policies of a folder, decided by the OPA server at an address.

    The server need not be there yet: until it is, every answer is no. Raises `Rejected` for an
    address that cannot be one, `Unavailable` where the policies cannot be read.
    """

    def __init__(
        self,
        url: str,
        policies_dir: Path = POLICIES,
        *,
        deadline: float = DEADLINE_SECONDS,
        at_once: int = AT_ONCE,
    ) -> None:
        from opa_client.opa import OpaClient  # loaded by those who have a server: it takes long

        host, port, secure = _address(url)
        try:
            sources = policy_sources(policies_dir)
        except OSError as error:
            raise _unavailable("policies-unreadable") from error
        if not sources:
            raise _unavailable("policies-unreadable")
        self.bundle_digest = digest_of(sources)
        self._deadline: Deadline[Any] = Deadline(deadline, _SERVER_ERRORS, at_once)
        # No second try: the deadline is for the whole, and the caller may ask again.
        self._client = OpaClient(host=host, port=port, ssl=secure, retries=0, timeout=deadline)

    def decide(self, rule: str, question: Mapping[str, Any]) -> Decision:
        """Answer a rule's question. Never raises; what cannot be answered is denied."""

        def ask(asked: bytes) -> Any:
            answer = self._ask(rule, json.loads(asked))
            if self.bundle_digest not in _revisions(answer):
                raise EngineFault
            return answer.get("result")

        return decided(rule, question, self.bundle_digest, ask)

    def check(self) -> None:
        """Raise `Unavailable` where the server does not answer, or by other policies than ours."""
        answer = self._ask(RULES[0], {})
        if not answer:
            raise _unavailable("policy-server-silent")
        if self.bundle_digest not in _revisions(answer):
            raise _unavailable("policy-server-other-bundle")

    def _ask(self, rule: str, question: Any) -> dict[str, Any]:
        """The server's whole answer within the deadline, empty where there is none."""

        def ask() -> Any:
            return self._client.query_rule(
                question, f"hub/{rule}", "decision", {"provenance": "true"}
            )

        try:
            answer = self._deadline.call(f"policy {rule}", ask)
        except _SERVER_ERRORS:  # TimeoutError is an OSError
            return {}
        return answer if isinstance(answer, dict) else {}


def _revisions(answer: Mapping[str, Any]) -> set[str]:
    """Revisions of the bundles an answer comes from; an answer from several proves nothing."""
    match answer:
        case {"provenance": {"bundles": dict(bundles)}} if len(bundles) == 1:
            return {
                str(told.get("revision")) for told in bundles.values() if isinstance(told, dict)
            }
    return set()


def _address(url: str) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(url)
        port = {"http": 80, "https": 443}[parts.scheme]
        port = parts.port or port
        if not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError
    except (ValueError, KeyError) as error:
        raise Rejected(
            "policy-address",
            fr="HUB_POLICY_URL n’est pas une adresse utilisable (http(s)://hôte:port).",
            en="HUB_POLICY_URL is not a usable address (http(s)://host:port).",
            who="operator",
            where="HUB_POLICY_URL",
        ) from error
    return parts.hostname, port, parts.scheme == "https"


_WORDS: Final = {
    "policies-unreadable": (
        "Les politiques d’accès ne peuvent être lues sur ce disque.",
        "The access policies cannot be read from this disk.",
    ),
    "policy-server-silent": (
        "Le serveur OPA de HUB_POLICY_URL ne répond pas comme il faut : tout est refusé.",
        "The OPA server of HUB_POLICY_URL does not answer as it should: everything is refused.",
    ),
    "policy-server-other-bundle": (
        "Le serveur OPA décide selon d’autres politiques que celles de ce hub : tout est refusé. "
        "Donnez-lui le paquet que produit deploy/bundle.py.",
        "The OPA server decides by other policies than this hub's: everything is refused. "
        "Give it the bundle that deploy/bundle.py makes.",
    ),
}


def _unavailable(code: str) -> Unavailable:
    fr, en = _WORDS[code]
    return Unavailable(code, fr=fr, en=en, who="operator")
