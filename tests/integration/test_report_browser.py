"""The report in a real browser: no request leaves it, every player sounds, every chart is drawn."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from report_folder import write_run_folder

from jobs.eval.report.page import write_report

STEPS = 12
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# What the page shows, from inside the page. Players are decoded by WebAudio from their own bytes.
INSPECT = """
(async () => {
  const audio = [];
  for (const player of document.querySelectorAll("audio")) {
    if (player.error) throw new Error(player.error.message);
    if (player.readyState < 1) {
      await new Promise((done, fail) => {
        player.onloadedmetadata = done;
        player.onerror = () => fail(new Error(player.error.message));
      });
    }
    const bytes = Uint8Array.from(atob(player.src.split(",")[1]), c => c.charCodeAt(0));
    const decoded = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes.buffer);
    const loudest = decoded.getChannelData(0).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    audio.push({seconds: player.duration, decoded: decoded.duration, loudest});
  }
  const figures = [...document.querySelectorAll("figure")].map(figure => ({
    title: figure.querySelector("strong").textContent,
    label: figure.querySelector("svg").getAttribute("aria-label"),
    width: figure.querySelector("svg").getBoundingClientRect().width,
    lines: figure.querySelectorAll("polyline").length,
    points: figure.querySelectorAll("circle.point").length,
    bars: figure.querySelectorAll("rect").length,
  }));
  const unnamed = [...document.querySelectorAll("audio, svg")]
    .filter(e => !e.getAttribute("aria-label")).length;
  return {
    audio, figures, unnamed,
    verdict: document.querySelector(".verdict").textContent,
    scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
  };
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_run_folder(tmp_path_factory.mktemp("run") / "run", steps=STEPS))


@pytest.fixture(scope="module")
def devtools_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a headless browser's DevTools."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium to look at the report with: apt-get install chromium")
    profile = tmp_path_factory.mktemp("chromium")
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


async def look(devtools_url: str, page: Path, **media: Any) -> tuple[dict[str, Any], list[str]]:
    """What INSPECT returns for a page, and the address of each request that the page made."""
    requests: list[str] = []
    answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
    loaded = asyncio.Event()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(devtools_url, max_msg_size=0) as socket,
    ):

        async def read() -> None:
            async for message in socket:
                event = json.loads(message.data)
                if "id" in event:
                    answers[event["id"]].set_result(event)
                elif event["method"] == "Network.requestWillBeSent":
                    requests.append(event["params"]["request"]["url"])
                elif event["method"] == "Page.loadEventFired":
                    loaded.set()

        async def ask(method: str, session_id: str | None = None, **params: Any) -> Any:
            number = len(answers)
            answers[number] = asyncio.get_running_loop().create_future()
            request = {"id": number, "method": method, "params": params}
            await socket.send_json(request | ({"sessionId": session_id} if session_id else {}))
            answer = await answers[number]
            assert "error" not in answer, answer
            return answer["result"]

        reader = asyncio.create_task(read())
        target = (await ask("Target.createTarget", url="about:blank"))["targetId"]
        tab = (await ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for method in ("Network.enable", "Page.enable"):
            await ask(method, tab)
        for method, params in media.items():
            await ask(f"Emulation.{method}", tab, **params)
        await ask("Page.navigate", tab, url=page.as_uri())
        await loaded.wait()
        result = await ask(
            "Runtime.evaluate", tab, expression=INSPECT, awaitPromise=True, returnByValue=True
        )
        await ask("Target.closeTarget", targetId=target)
        reader.cancel()
    assert "exceptionDetails" not in result, result
    return result["result"]["value"], requests


def test_page_is_whole_and_offline(devtools_url: str, report: Path) -> None:
    page, requests = asyncio.run(look(devtools_url, report))

    elsewhere = [url for url in requests if not url.startswith(("data:", report.as_uri()))]
    assert elsewhere == []
    assert report.stat().st_size < 5_000_000

    # 3 texts x 2 modes x before and after; best, typical and worst of the first and last step.
    assert len(page["audio"]) == 3 * 2 * 2 + 3 * 2
    for clip in page["audio"]:
        assert clip["seconds"] > 0.5
        assert clip["decoded"] == pytest.approx(clip["seconds"], abs=0.1)
        assert clip["loudest"] > 0.001

    charts = {figure["title"]: figure for figure in page["figures"]}
    for title in ("Reward", "CER", "NLL", "Response length", "Duration", "End-token rate"):
        assert (charts[title]["lines"], charts[title]["points"]) == (1, STEPS)
    for title in ("Utilities", "Gated and failed"):
        assert (charts[title]["lines"], charts[title]["points"]) == (2, 2 * STEPS)
    assert charts["Seconds of each step by stage"]["bars"] == 6 * STEPS + 1  # one save
    assert charts["Step 1"]["bars"] == 2 + 4
    assert all(figure["width"] > 200 for figure in page["figures"])
    assert page["unnamed"] == 0
    assert page["verdict"].startswith("Heard by a judge that gave no reward, GRPO cut")


def test_dark_scheme_and_narrow_screen(devtools_url: str, report: Path) -> None:
    def with_scheme(scheme: str) -> dict[str, Any]:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        screen = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page, _ = asyncio.run(
            look(
                devtools_url,
                report,
                setEmulatedMedia={"features": features},
                setDeviceMetricsOverride=screen,
            )
        )
        return page

    light, dark = with_scheme("light"), with_scheme("dark")
    assert light["background"] != dark["background"]
    assert not light["scrolls"]
