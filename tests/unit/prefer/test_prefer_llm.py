"""An audio-LLM as a listener: asked in both orders, counted, its failures and its cost named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from support.audio_llm_server import Asked, Refused, serving
from support.paths import TINY
from ttsrl.cli.app import app
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.report.page import write_report
from ttsrl.prefer.answers import read_answers
from ttsrl.prefer.clips import clip_of
from ttsrl.prefer.compare import pair_up, wilson, write_comparison
from ttsrl.prefer.llm import LlmListener, ask, listener_of
from ttsrl.records.listening import FOLDER, KEY, LLM_ANSWERS
from ttsrl.scorers.reference import RATE_HZ, voice

TEXTS = 12
Rule = Callable[[Asked], str | Refused | None]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Before training lower voices, after it higher ones."""
    before = [clip_of(f"text {n}", voice(0.5, pitch_hz=100 + n), RATE_HZ) for n in range(TEXTS)]
    after = [clip_of(f"text {n}", voice(0.5, pitch_hz=200 + n), RATE_HZ) for n in range(TEXTS)]
    pairs, *_ = pair_up(before, after, seed=0)
    write_comparison(pairs, after, ["b", "a"], tmp_path / FOLDER)
    return tmp_path / FOLDER


def lowness(waveform: NDArray[np.float32]) -> float:
    """Share of the spectrum between 90 and 150 Hz, where only the lower voices have a harmonic."""
    spectrum = np.abs(np.fft.rfft(waveform))
    low, high = (int(hz * len(waveform) / RATE_HZ) for hz in (90, 150))
    return float(spectrum[low:high].sum() / spectrum.sum())


def higher(asked: Asked) -> str:
    """The model hears which voice is the higher one."""
    first, second = map(lowness, asked.waveforms)
    return "First." if first < second else "second"


def listener(url: str, **settings: object) -> LlmListener:
    usual: dict[str, object] = {"url": url, "served_model": "ear", "retries": 0}
    return LlmListener.model_validate(usual | settings)


def test_a_model_that_hears_the_difference_is_counted(page: Path) -> None:
    with serving(higher) as server:
        choice = ask(page, listener(server.url, input_price=10, output_price=50))
    assert (choice.share, choice.low, choice.high) == (1.0, *wilson(1.0, TEXTS))
    assert (choice.pairs, choice.same, choice.failed) == (TEXTS, 0, {})
    assert (choice.first, choice.decided) == (TEXTS, 2 * TEXTS), "each clip was first once"
    assert (choice.requests, choice.input_tokens) == (2 * TEXTS, 200 * TEXTS)
    assert choice.cost == pytest.approx(2 * TEXTS * (100 * 10 + 2 * 50) / 1e6)
    assert {asked.words.splitlines()[0] for asked in server.asked} == {
        f"You hear two recordings. Both should say: text {n}" for n in range(TEXTS)
    }
    answers = read_answers([page / LLM_ANSWERS])
    assert len(answers) == TEXTS and {answer.choice for answer in answers} == {"a", "b"}


def test_a_model_that_prefers_a_side_prefers_nothing(page: Path) -> None:
    with serving(lambda asked: "first") as server:
        choice = ask(page, listener(server.url))
    assert (choice.share, choice.same, choice.pairs) == (0.5, TEXTS, TEXTS)
    assert choice.first == choice.decided == 2 * TEXTS
    assert "played first was chosen in 100.0% of 24 answers" in " ".join(choice.words)


def test_what_is_not_answered_is_left_out_by_its_kind(page: Path) -> None:
    def rule(asked: Asked) -> str | Refused:
        if "text 3" in asked.words:
            return Refused(503)
        return "both are fine" if "text 4" in asked.words else higher(asked)

    with serving(rule) as server:
        choice = ask(page, listener(server.url))
    assert choice.failed == {"unreachable": 1, "scorer": 1}
    assert (choice.pairs, choice.texts, choice.share) == (TEXTS - 2, TEXTS - 2, 1.0)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda asked: Refused(401), "answers 401.*name the key's variable"),
        (lambda asked: "4.5", 'answered "4.5", which is none of first, second and same'),
        (lambda asked: None, "which is none of"),
    ],
)
def test_where_no_pair_is_answered_it_says_why(page: Path, rule: Rule, said: str) -> None:
    with serving(rule) as server, pytest.raises(Failure, match=said):
        ask(page, listener(server.url))


def test_the_command_asks_and_the_report_shows_it_beside_people(page: Path) -> None:
    run = page.parent
    (run / "run.json").write_text(dump_run(load_run(TINY / "run.json")))
    with serving(higher) as server:
        options = ["--url", server.url, "--served-model", "ear"]
        done = CliRunner().invoke(app, ["prefer", "ask", str(page), *options])
    assert done.exit_code == 0, done.output
    assert "ear prefers the speech after training in 100.0%" in done.output
    html = write_report(run).read_text()
    assert "What an audio-LLM chose" in html and "What listeners chose" not in html


def test_answers_of_a_page_that_compares_nothing_with_nothing_have_no_share(page: Path) -> None:
    (page / KEY).unlink()  # as `collect` leaves it
    with serving(higher) as server:
        choice = ask(page, listener(server.url))
    assert choice.share is None and choice.pairs == TEXTS
    assert "after training" not in " ".join(choice.words)


def test_bad_input_is_named(page: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no pairs\.json in .*give the folder that"):
        ask(tmp_path, listener("http://127.0.0.1:9/v1"))
    with pytest.raises(BadInput, match="--url: 'ear' is not an address"):
        listener_of(None, url="ear", served_model="ear")
    (tmp_path / "prompt.txt").write_text("which?")
    with pytest.raises(BadInput, match=r"--prompt: the prompt lacks \{text\}"):
        listener_of(tmp_path / "prompt.txt", url="http://a/v1", served_model="ear")
    with pytest.raises(BadInput, match="the prompt cannot be read"):
        listener_of(tmp_path / "none.txt", url="http://a/v1", served_model="ear")
