"""The commands a partner's page shows, run as they are shown, against a real hub."""

import html
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from hub.cli.operate import add_partner
from tests.flows import world
from tests.flows.command import ROOT
from tests.flows.served import Served


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on the PATH")
def test_the_page_s_commands_push_follow_and_verify(tmp_path: Path) -> None:
    home, desk = tmp_path / "var", tmp_path / "desk"
    desk.mkdir()
    parts = world.founded(home)
    made, secret = add_partner(parts, "transdev")
    (desk / "validations.csv").write_bytes(world.taps(["A", "B"]))
    with Served(home) as served:
        served.kill()
        served._environment["HUB_PUBLIC_URL"] = served.url
        served.start()
        page = httpx2.get(f"{served.url}/partner/transdev/validations", timeout=60).text
        shown = [
            html.unescape(c) for c in re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)
        ]
        check, hub, token, push, follow, receipt, tus = shown[-7:]
        # `hub` as installed, and the interpreter that has tuspy.
        tools = f'hub() {{ "{sys.executable}" -m hub.cli "$@"; }}'
        environment = {**os.environ, "HUB_CLIENT_ID": made.id, "HUB_CLIENT_SECRET": secret,
                       "PYTHONPATH": str(ROOT), "HUB_HOME": str(tmp_path / "none"),
                       "XDG_STATE_HOME": str(tmp_path)}  # fmt: skip

        def run(*lines: str, **more: str) -> str:
            script = "\n".join(["set -e", tools, *lines])
            return subprocess.run(
                ["bash", "-c", script], cwd=desk, env=environment | more, check=True,
                capture_output=True, text=True,
            ).stdout  # fmt: skip

        assert "10" in run(check)
        sent = run(token, push)
        (number,) = re.findall(r'"id":"([^"]+)"', sent)
        while parts.books.push(number).log_index is None:  # type: ignore[union-attr]
            time.sleep(0.1)
        told = run(token, follow, PUSH=number)
        assert '"received":10' in told
        # Where there is no hub to ask, with the key the page shows.
        assert number in run(token, receipt, PUSH=number)
        assert not (tmp_path / "none").exists()
        note = desk / f"receipt-{number}.txt"
        assert note.read_text("utf-8").startswith(parts.log.signer.name)
        # The command of the page and curl send the same file: it is the same push.
        assert number in run(hub)
        run(token, "export TOKEN", f'"{sys.executable}" - <<"END"\n{tus}\nEND')
        (upload,) = parts.books.uploads()
        assert upload.declared == "text/csv"
