"""A headless Chromium, driven over its DevTools protocol: opens pages and takes pictures of them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from PIL import Image

WIDTH, HEIGHT = 1280, 720
COLOURS = 128  # of a picture; pages of text need no more, and the file is a third
PATIENCE = 300.0  # seconds; turns a hang into an error


class Browser:
    """`async with Browser(folder) as browser:` `folder` gets Chromium's profile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.events: list[dict[str, Any]] = []  # what the page did since `watch`

    async def __aenter__(self) -> Browser:
        self._process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             f"--user-data-dir={self._folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await self._port()
            self._http = aiohttp.ClientSession()
            async with self._http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            self._socket = await self._http.ws_connect(address, max_msg_size=0)
        except BaseException:
            self._process.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()
        self._process.terminate()
        self._process.wait()

    async def _port(self) -> int:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            path = self._folder / "DevToolsActivePort"
            if path.exists() and (lines := path.read_text().splitlines()):
                return int(lines[0])
            await asyncio.sleep(0.2)
        raise TimeoutError(f"chromium did not start within {PATIENCE:g} s")

    async def _ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": arguments})
        while True:  # events come in between
            answer = json.loads((await self._socket.receive(timeout=PATIENCE)).data)
            if "method" in answer:
                self.events.append(answer)
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    async def cookie(self, url: str, name: str, value: str) -> None:
        """Set a cookie for the pages of a server."""
        await self._ask("Network.setCookie", url=url, name=name, value=value)

    async def watch(self) -> None:
        """Collect requests, exceptions and console lines in `events` from now on."""
        for part in ("Network", "Runtime", "Log", "Page"):
            await self._ask(f"{part}.enable")

    async def look(self, width: int, height: int = HEIGHT, dark: bool = False, paper: bool = False) -> None:
        """Show pages in a window of this many pixels, light or dark, or as they are laid out on paper."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self._ask("Emulation.setEmulatedMedia", media="print" if paper else "", features=scheme)
        await self._size(width, height)

    async def save_into(self, folder: Path) -> None:
        """Where files go that a page offers for saving."""
        await self._ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    async def _size(self, width: int, height: int) -> None:
        await self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to on the page."""
        found = await self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def pdf(self, path: Path) -> None:
        """Write the page as it would be printed."""
        answer = await self._ask("Page.printToPDF", printBackground=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    async def text(self) -> str:
        """What the page shows."""
        return str(await self.value("document.body ? document.body.innerText : ''") or "")

    async def open(self, url: str, expected: str) -> None:
        """Open a page and wait until it shows a text. Raises TimeoutError."""
        await self._ask("Page.navigate", url="about:blank")  # else a change behind the # opens nothing
        await self._ask("Page.navigate", url=url)
        await self.until(lambda text: expected in text, f"'{expected}' at {url}")

    async def until(self, holds: Callable[[str], bool], what: str) -> None:
        """Wait until a condition holds of the page's text. `what` it waits for, in words. Raises TimeoutError."""
        until = time.monotonic() + PATIENCE
        while not holds(text := await self.text()):
            if time.monotonic() > until:
                raise TimeoutError(f"waited for {what}, but the page shows: {text[:500]}")
            await asyncio.sleep(0.3)

    async def answered(self, path: str) -> int:
        """Wait for the answer to a request for a path (see `watch`); the newest one's status. Raises TimeoutError."""
        until = time.monotonic() + PATIENCE
        while True:
            answers = [
                event["params"]["response"]
                for event in self.events
                if event["method"] == "Network.responseReceived"
            ]
            found = [int(answer["status"]) for answer in answers if path in answer["url"]]
            if found:
                return found[-1]
            if time.monotonic() > until:
                raise TimeoutError(f"no answer for {path}")
            await asyncio.sleep(0.1)
            await self.text()  # takes in what has happened

    async def enter(self, text: str) -> None:
        """Type into the field that has the focus, then press Enter."""
        await self._ask("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            await self._ask(
                "Input.dispatchKeyEvent", type=kind, key="Enter", windowsVirtualKeyCode=13, text="\r"
            )
        await asyncio.sleep(2.0)  # the server's answer

    async def picture(
        self, path: Path, width: int = WIDTH, height: int = HEIGHT, settle: float = 2.0
    ) -> None:
        """Write the page as a PNG of `width` x `height` pixels, `settle` seconds later, when it has stopped moving."""
        await self._size(width, height)
        await asyncio.sleep(settle)
        answer = await self._ask("Page.captureScreenshot", format="png")
        image = Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
