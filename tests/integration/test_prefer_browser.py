"""The page that collects preferences, in a real browser, from its file, by keyboard and mouse."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from report_folder import write_run_folder

from support.browser import Tab, new_tab
from ttsrl.prefer.answers import read_answers
from ttsrl.prefer.clips import clips_of, pairs_of
from ttsrl.prefer.page import write_page

PAIRS = 4
STATE = """({
  count: document.getElementById("count").textContent,
  text: document.getElementById("text").textContent,
  hidden: document.getElementById("pair").hidden,
  thanks: !document.getElementById("done").hidden,
  mayChoose: !document.getElementById("choose-a").disabled,
  maySave: !document.getElementById("save").disabled,
  unnamed: [...document.querySelectorAll("audio, progress")]
    .filter(e => !e.getAttribute("aria-label")).length,
})"""
HEARD = """new Promise((done, fail) => {
  const player = document.getElementById("play-SIDE");
  player.onerror = () => fail(new Error(player.error.message));
  player.addEventListener("ended", () => done(player.duration), {once: true});
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run_folder(tmp_path_factory.mktemp("run") / "run", steps=3, texts=4)
    pairs = pairs_of(clips_of(run), PAIRS, seed=0)
    return write_page(pairs, tmp_path_factory.mktemp("prefer"), "run")


async def hear(tab: Tab, key: str) -> float:
    """Play one side to its end; its seconds."""
    ended = asyncio.create_task(tab.evaluate(HEARD.replace("SIDE", {"1": "a", "2": "b"}[key])))
    await asyncio.sleep(0.05)
    await tab.press(key)
    return await ended


async def hear_both(tab: Tab) -> list[float]:
    return [await hear(tab, "1"), await hear(tab, "2")]


async def saved(tab: Tab, folder: Path) -> Path:
    """What the button writes where the browser puts its downloads."""
    await tab.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    await tab.evaluate("document.getElementById('save').click()")
    for _ in range(200):
        if files := list(folder.glob("*.jsonl")):
            return files[0]
        await asyncio.sleep(0.05)
    pytest.fail("nothing was downloaded")


def test_a_listener_hears_chooses_stops_goes_on_and_saves(
    devtools_url: str, page: Path, tmp_path: Path
) -> None:
    async def listen() -> tuple[list[dict[str, Any]], list[str], Path]:
        states: list[dict[str, Any]] = []
        async with new_tab(devtools_url) as tab:
            await tab.open(page)
            states.append(await tab.evaluate(STATE))
            await tab.press("a")  # before anything was heard
            assert await hear(tab, "1") > 0.5
            await tab.press("a")
            states.append(await tab.evaluate(STATE))
            await hear(tab, "2")
            states.append(await tab.evaluate(STATE))
            await tab.press("a")
            await hear_both(tab)
            await tab.press("s")
            states.append(await tab.evaluate(STATE))
        async with new_tab(devtools_url) as tab:  # another day
            await tab.open(page)
            states.append(await tab.evaluate(STATE))
            await tab.press("z")
            states.append(await tab.evaluate(STATE))
            for choice in ("a", "b", "same"):
                await hear_both(tab)
                await tab.evaluate(f"document.getElementById('choose-{choice}').click()")
            states.append(await tab.evaluate(STATE))
            return states, tab.requests, await saved(tab, tmp_path)

    states, requests, file = asyncio.run(listen())
    first, deaf, heard, twice, resumed, undone, over = states
    assert (first["count"], first["mayChoose"], first["maySave"]) == ("0 of 4", False, False)
    assert first["unnamed"] == 0
    assert (deaf["count"], deaf["mayChoose"]) == ("0 of 4", False)
    assert (heard["count"], heard["mayChoose"]) == ("0 of 4", True)
    assert (twice["count"], twice["mayChoose"]) == ("2 of 4", False)
    assert resumed == twice and undone["count"] == "1 of 4"
    assert over["hidden"] and over["thanks"] and over["count"] == "4 of 4"
    assert [url for url in requests if not url.startswith(("data:", "blob:", page.as_uri()))] == []

    answers = read_answers([file])
    assert [answer.choice for answer in answers] == ["a", "a", "b", "same"]
    shown = json.loads(page.read_text().partition('id="pairs">')[2].partition("</script>")[0])
    assert file.name == f"answers-{shown['id']}.jsonl"
    assert [(a.pair, a.a, a.b, a.text) for a in answers] == [
        (p["id"], p["a"], p["b"], p["text"]) for p in shown["pairs"]
    ]
    assert {a.page for a in answers} == {shown["id"]}
    [listener] = {a.listener for a in answers}
    assert len(listener) == 16
    for answer in answers:
        assert (page.parent / "clips" / f"{answer.a}.flac").is_file()
    # blind: ids are of the samples, and nothing else is told
    assert {key for pair in shown["pairs"] for key in pair} == {
        *("id", "text", "a", "b", "a_audio", "b_audio")
    }
