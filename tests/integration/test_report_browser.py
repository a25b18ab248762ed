"""The report in a real browser: no request leaves it, every player sounds, every chart is drawn."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from report_folder import write_run_folder

from support.browser import new_tab
from ttsrl.evaluation.report.page import write_report

STEPS = 12

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


async def look(devtools_url: str, page: Path, **media: Any) -> tuple[dict[str, Any], list[str]]:
    """What INSPECT returns for a page, and the address of each request that the page made."""
    async with new_tab(devtools_url) as tab:
        for method, params in media.items():
            await tab.ask(f"Emulation.{method}", **params)
        await tab.open(page)
        return await tab.evaluate(INSPECT), tab.requests


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
    assert page["verdict"].startswith(
        "As measured by judge, which is independent of the reward, GRPO cut"
    )


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
