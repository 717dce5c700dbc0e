"""The dashboard's way in, as printed: a person who follows it gets in, one who does not stays out."""

import asyncio
import os
import re
import shutil
import subprocess

import pytest

from benchmarks.devtools import Browser
from sweeps.cluster.connect import way_in

ASKED = "Authentication Token Required"
THREE_NODES = "TOTAL\nx 3"  # as the page Cluster counts them


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser: chromium")
def test_what_is_printed_opens_the_dashboard_in_a_browser(local_cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    printed = way_in(local_cluster.dashboard.removeprefix("http://"))
    said = re.fullmatch(r"open (http://\S+), paste the token from `([^`]+)`", printed)
    environment = {**local_cluster.environment, "PATH": f"{local_cluster.environment['PATH']}:{os.defpath}"}
    command = said[2].split()
    token = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    async def log_in():
        async with Browser(tmp_path / "profile") as browser:
            await browser.open(f"{said[1]}/#/cluster", ASKED)
            assert THREE_NODES not in await browser.text()
            await browser.watch()
            await browser.enter("0" * 64)
            assert await browser.answered("/api/authenticate") in (401, 403)
            assert ASKED in await browser.text()
            await browser.open(said[1], ASKED)
            browser.events.clear()
            await browser.enter(token.strip())
            assert await browser.answered("/api/authenticate") == 200
            await browser.open(f"{said[1]}/#/cluster", THREE_NODES)
            assert ASKED not in await browser.text()

    asyncio.run(log_in())
