"""A real browser without a screen, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Tab:
    """One tab; `requests` has the address of each request that its pages made."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.session_id: str | None = None
        self._socket = socket
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()

    async def ask(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol."""
        number = len(self._answers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "method": method, "params": params}
        session = {"sessionId": self.session_id} if self.session_id else {}
        await self._socket.send_json(request | session)
        answer = await self._answers[number]
        assert "error" not in answer, answer
        return answer["result"]

    async def open(self, page: Path) -> None:
        """Load a file."""
        self._loaded.clear()
        await self.ask("Page.navigate", url=page.as_uri())
        await self._loaded.wait()

    async def evaluate(self, expression: str) -> Any:
        """What an expression, or the promise that it is, comes to."""
        result = await self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def press(self, key: str) -> None:
        """A key of the keyboard, down and up."""
        for kind in ("keyDown", "keyUp"):
            await self.ask("Input.dispatchKeyEvent", type=kind, key=key, text=key)

    async def read(self) -> None:
        """Take what the browser sends, for ever."""
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                self._answers[event["id"]].set_result(event)
            elif event["method"] == "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
            elif event["method"] == "Page.loadEventFired":
                self._loaded.set()


@asynccontextmanager
async def new_tab(devtools_url: str) -> AsyncGenerator[Tab]:
    """A tab of the browser, closed at the end."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(devtools_url, max_msg_size=0) as socket,
    ):
        tab = Tab(socket)
        reader = asyncio.create_task(tab.read())
        target = (await tab.ask("Target.createTarget", url="about:blank"))["targetId"]
        attached = await tab.ask("Target.attachToTarget", targetId=target, flatten=True)
        tab.session_id = attached["sessionId"]
        for method in ("Network.enable", "Page.enable"):
            await tab.ask(method)
        yield tab
        tab.session_id = None
        await tab.ask("Target.closeTarget", targetId=target)
        reader.cancel()


def start_browser(profile: Path) -> Iterator[str]:
    """Yields the address of a headless browser's DevTools; skips where there is no browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium to look at pages with: apt-get install chromium")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    with subprocess.Popen(
        [*command, f"--user-data-dir={profile}", "about:blank"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        try:
            yield next(
                line.rpartition(" ")[2].strip() for line in process.stderr if "listening on" in line
            )
        finally:
            process.terminate()
            process.stderr.read()
