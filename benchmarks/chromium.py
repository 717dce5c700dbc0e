"""A headless Chromium that a script drives over its DevTools protocol: open a page, type, take its picture.

Needs a Chromium on PATH, and aiohttp, which comes with `ray[default]`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1280, 800
PATIENCE = 60.0  # seconds


class Chromium:
    """An async context manager: one browser with one page and a throw-away profile."""

    async def __aenter__(self) -> Chromium:
        program = next((path for name in NAMES if (path := shutil.which(name))), None)
        if program is None:
            raise SystemExit(f"error: no browser is on PATH; install one of {', '.join(NAMES)}")
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        # Port 0: the browser takes a free one of the loopback and writes it down in its profile.
        flags = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
        )
        self._process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={self._profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._http = aiohttp.ClientSession()
        self._calls = 0
        port = await self._port()
        async with self._http.get(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in await answer.json() if target["type"] == "page")
        self._socket = await self._http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        await self.call("Page.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()
        self._process.terminate()
        self._process.wait(timeout=PATIENCE)
        shutil.rmtree(self._profile, ignore_errors=True)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol and its result; events that come between are dropped."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive(timeout=PATIENCE)).data)
            if message.get("id") == self._calls:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]

    async def open(self, url: str) -> None:
        """Load a page. One that only differs behind its # is loaded too."""
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=url)

    async def text(self) -> str:
        """What a person can read on the page."""
        found = await self.call("Runtime.evaluate", expression="document.body ? document.body.innerText : ''")
        return str(found["result"].get("value", ""))

    async def wait_for(self, *words: str, seconds: float = PATIENCE) -> str:
        """Until the page shows all of `words`; returns its text. Raises RuntimeError with what it shows instead."""
        until = time.monotonic() + seconds
        while True:
            text = await self.text()
            if all(word in text for word in words):
                return text
            if time.monotonic() > until:
                raise RuntimeError(f"the page never showed {words}, but: {text[:2000]}")
            await asyncio.sleep(0.3)

    async def type_and_enter(self, text: str) -> None:
        """Type into the field that has the focus."""
        await self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                windowsVirtualKeyCode=13,
                text="\r",
            )

    async def picture(self, width: int = WIDTH, height: int = HEIGHT) -> bytes:
        """The page as PNG, `width` x `height` pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await asyncio.sleep(1.0)  # the page lays itself out again
        shot = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])

    async def _port(self) -> int:
        path, until = Path(self._profile) / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not path.is_file() or not path.read_text():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("Chromium did not start")
            await asyncio.sleep(0.1)
        return int(path.read_text().splitlines()[0])
