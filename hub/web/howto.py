"""How a partner sends a dataset, as commands to copy: a test runs them against a real hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connectors.contract import Dataset

SUFFIXES: Final[Mapping[str, str]] = {
    "text/csv": "csv",
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/zip": "zip",
    "application/vnd.apache.parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands in the order one needs them; each is text for a terminal, but `tus` is Python."""

    check: str
    token: str
    push: str
    follow: str
    receipt: str
    tus: str
    hub: str


def file_name(dataset: Dataset) -> str:
    """What the examples call the partner's file."""
    return f"{dataset.name}.{SUFFIXES.get(dataset.media_types[0], 'bin')}"


def verify(receipt: str, key: str) -> str:
    """The command that verifies a receipt anywhere, given the log's verifier key."""
    return f"hub receipt verify {receipt} \\\n  --key {key}"


def commands(dataset: Dataset, url: str, key: str) -> Commands:
    """The commands for one dataset of the hub at `url`, whose log's verifier key is `key`.

    `HUB_CLIENT_ID` and `HUB_CLIENT_SECRET` are in the environment. The file is streamed, and an
    `Idempotency-Key` makes it safe to send again after any doubt.
    """
    file, named = file_name(dataset), f"--partner {dataset.partner} --dataset {dataset.name}"
    address = f"{url}/v1/partners/{dataset.partner}/datasets/{dataset.name}/pushes"
    bearer = '--header "Authorization: Bearer $TOKEN"'
    return Commands(
        check=f"hub partner check {file} {named}",
        token=(
            'TOKEN=$(curl --silent --user "$HUB_CLIENT_ID:$HUB_CLIENT_SECRET" \\\n'
            f"  --data grant_type=client_credentials {url}/oauth/token \\\n"
            """  | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')"""
        ),
        push=(
            f"curl --fail-with-body {bearer} \\\n"
            f'  --header "Content-Type: {dataset.media_types[0]}" \\\n'
            f'  --header "Idempotency-Key: $(sha256sum < {file} | cut -c1-64)" \\\n'
            f"  --request POST --upload-file {file} \\\n"
            f"  {address}"
        ),
        follow=f"curl --fail-with-body {bearer} {url}/v1/pushes/$PUSH",
        receipt=(
            f"curl --fail-with-body {bearer} \\\n"
            f"  --output receipt-$PUSH.txt {url}/v1/pushes/$PUSH/receipt\n"
            + verify("receipt-$PUSH.txt", key)
        ),
        tus=(
            "from os import environ\n"
            "from tusclient.client import TusClient\n\n"
            'headers = {"Authorization": "Bearer " + environ["TOKEN"]}\n'
            f'client = TusClient("{address}", headers)\n'
            f'metadata = {{"filetype": "{dataset.media_types[0]}"}}\n'
            f'upload = client.uploader("{file}", chunk_size=16 * 2**20, metadata=metadata)\n'
            "upload.retries, upload.retry_delay = 30, 10\n"
            "upload.upload()"
        ),
        hub=f"hub push {file} {named} \\\n  --server {url}",
    )
