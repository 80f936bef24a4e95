"""The official client, driven from outside: it wants another pandas than the hub.

Run by the Python of `build/sharing-venv` with a profile's path. Takes one command per line of
standard input, as JSON, and answers each with one line of JSON.
"""

# mypy: ignore-errors

import contextlib
import json
import sys
import time

import delta_sharing
import pandas as pd
from delta_sharing.protocol import DeltaSharingProfile
from delta_sharing.reader import DeltaSharingReader
from delta_sharing.rest_client import DataSharingRestClient

OUT, IN = sys.stdout, sys.stdin


def say(answer):
    OUT.write(json.dumps(answer) + "\n")
    OUT.flush()


def shown(frame):
    return {
        "columns": list(frame.columns),
        "rows": len(frame),
        "names": sorted(set(frame["name"]))[:10],
        "sum": float(frame["lon"].sum()),
        "changes": sorted(
            {f"{kind} {version}" for kind, version in zip(*(frame[c] for c in CHANGE), strict=True)}
        )
        if set(CHANGE) <= set(frame.columns)
        else [],
    }


CHANGE = ("_change_type", "_commit_version")


def paused(load):
    """Say when the first file is read, and go on when told."""
    read, files = DeltaSharingReader._to_pandas, []

    def slow(*args, **named):
        frame = read(*args, **named)
        files.append(1)
        if len(files) == 1:
            say({"read": 1})
            IN.readline()
        return frame

    DeltaSharingReader._to_pandas = staticmethod(slow)
    try:
        return load()
    finally:
        DeltaSharingReader._to_pandas = staticmethod(read)


def seconds(profile, address, reads):
    """How long one load takes: the client's, or pandas' reading the same link."""
    rest = DataSharingRestClient(DeltaSharingProfile.read_from_file(profile))
    share, schema, name = address.split("#")[1].split(".")
    table = delta_sharing.Table(name=name, share=share, schema=schema)
    (file,) = rest.list_files_in_table(table).add_files
    begun = time.perf_counter()
    if reads == "pandas":
        frame = pd.read_parquet(file.url)
    else:
        frame = delta_sharing.load_as_pandas(address)
    return {"seconds": time.perf_counter() - begun, "rows": len(frame)}


def done(profile, said):
    do = said.pop("do")
    if do == "list":
        client = delta_sharing.SharingClient(profile)
        return [f"{one.share}.{one.schema}.{one.name}" for one in client.list_all_tables()]
    address = f"{profile}#{said.pop('table')}"
    if do == "load":
        return shown(delta_sharing.load_as_pandas(address, **said))
    if do == "version":
        return delta_sharing.get_table_version(address, **said)
    if do == "columns":
        return delta_sharing.get_table_metadata(address).schema_string
    if do == "time":
        return seconds(profile, address, **said)
    load = {"changes": lambda: delta_sharing.load_table_changes_as_pandas(address, **said)}[do]
    return shown(paused(load) if said.pop("pause", False) else load())


for line in IN:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = done(sys.argv[1], json.loads(line))
        say({"answer": answer})
    except Exception as error:  # noqa: BLE001 - what the client raises is what is asked
        status = getattr(getattr(error, "response", None), "status_code", None)
        say({"error": type(error).__name__, "status": status})
