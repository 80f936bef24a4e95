"""Hubs on the real services: settings alone choose them."""

from __future__ import annotations

import os
import secrets
from typing import Any

from hub.storage.books import Books
from tests.policy.cases import policy_url
from tests.storage import buckets
from tests.storage.books import real

SERVERS = buckets.SERVERS


def settings_on(server: str, *, ways: dict[str, str] | None = None) -> dict[str, Any]:
    """Settings of a hub with nothing in it, on PostgreSQL, an S3 server and OPA.

    `ways` replaces the address (host:port) of "postgres", "s3" or "policy" by a test's proxy.
    """
    ways = ways or {}
    address = buckets.address(server)
    name = f"hub_flow_{os.getpid()}_{secrets.token_hex(3)}"
    Books.open(real.created(name)).close()  # the owner migrates; the hub is the application
    database = real.address("application", name)
    if "postgres" in ways:
        database = database.set(port=int(ways["postgres"].rpartition(":")[2]))
    endpoint = f"http://{ways['s3']}" if "s3" in ways else address.endpoint
    policy = f"http://{ways['policy']}" if "policy" in ways else None
    return {
        "database_url": real.shown(database),
        "storage_url": f"s3://{address.bucket}/hub-{secrets.token_hex(6)}",
        "s3_endpoint": endpoint,
        "s3_access_key": address.access_key,
        "s3_secret_key": address.secret_key,
        "policy_url": policy or policy_url(),
    }


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """The same as a process is told them."""
    return {f"HUB_{name.upper()}": str(value) for name, value in settings.items()}
