"""verl-omni's audio protocol against the real service, asked as its client asks, and asking one."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import httpx
import numpy as np
import pytest

from support.paths import TINY
from support.reward_server import TINY_RUN, RewardServer, score, utterances
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.registry import load_codec
from ttsrl.config.load import load_run
from ttsrl.serving.pipeline import Pipeline
from ttsrl.wire import Failed, Ok, Utterance


@pytest.fixture(scope="module")
def spoken() -> list[tuple[Utterance, Waveform, int]]:
    """Utterances, as the codec decodes them, and its sample rate."""
    codec = load_codec(str(TINY / "codec"))
    items = utterances(4, seed=5)
    waveforms = codec.decode([item.speech_tokens for item in items])
    return [(item, w, codec.sample_rate_hz) for item, w in zip(items, waveforms, strict=True)]


def body_of(waveform: Waveform, sample_rate_hz: int, text: str, **changes: Any) -> dict[str, Any]:
    """The body that verl-omni's client sends (examples/grpo_trainer/qwen3_tts/README.md there)."""
    return {
        "protocol_version": "1",
        "waveform_f32_base64": base64.b64encode(waveform.astype("<f4").tobytes()).decode(),
        "num_samples": len(waveform),
        "sample_rate": sample_rate_hz,
        "prompt": text,
        "metadata": {"id": "a-1", "split": "train", "seed": 7, "temperature": 0.9, "x": None},
    } | changes


def ask(server: RewardServer, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{server.url}/score", json=body, timeout=300)


def test_a_waveform_gets_the_reward_of_the_tokens_that_it_was_decoded_from(
    reward_service: RewardServer, spoken: list[tuple[Utterance, Waveform, int]]
) -> None:
    expected = score(reward_service, [item for item, _, _ in spoken])
    keys: set[tuple[str, type]] = set()
    for (item, waveform, rate_hz), outcome in zip(spoken, expected, strict=True):
        answer = ask(reward_service, body_of(waveform, rate_hz, item.text))
        assert answer.status_code == 200
        told = answer.json()
        # what verl-omni's client asks of an answer
        assert type(told["score"]) is float
        assert all(isinstance(v, str | int) or math.isfinite(v) for v in told.values())
        assert isinstance(outcome, Ok)
        assert told["score"] == pytest.approx(outcome.reward, abs=1e-4)
        assert told["transcript"] == outcome.transcript
        assert json.loads(told["raw"])["cer"] == pytest.approx(outcome.raw["cer"], abs=1e-5)
        assert told["utility_nll"] == pytest.approx(outcome.utilities["nll"], abs=1e-4)
        keys |= {(key, type(value)) for key, value in told.items()}
    silence = ask(reward_service, body_of(np.zeros(24_000, np.float32), 24_000, spoken[0][0].text))
    told = silence.json()
    assert (told["score"], told["gated"], told["gate"]) == (0.0, 1.0, "silence")
    # verl takes the keys of a batch from its first rollout, and averages those that are numbers
    assert {(key, type(value)) for key, value in told.items()} == keys


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"protocol_version": "2"}, "this service speaks '1'"),
        ({"protocol_version": 1}, "valid string"),
        ({"waveform_f32_base64": "AA*AAAA=="}, "is not base64"),
        ({"num_samples": 3}, "num_samples is 3"),
        ({"num_samples": True}, "valid integer"),
        ({"sample_rate": 0}, "greater than or equal to 4000"),
        ({"sample_rate": 24_000.5}, "valid integer"),
        ({"prompt": ""}, "at least 1 character"),
        ({"prompt": "!?"}, "rejected"),
        ({"metadata": {"language": "Klingon"}}, "language 'Klingon' is not supported"),
        ({"metadata": {"style": 7}}, "metadata.style is 7; give words"),
        ({"metadata": None}, "should be an object"),
    ],
    ids=str,
)
def test_a_request_that_cannot_be_scored_is_told_why_and_gets_no_score(
    reward_service: RewardServer,
    spoken: list[tuple[Utterance, Waveform, int]],
    changes: dict[str, Any],
    problem: str,
) -> None:
    item, waveform, rate_hz = spoken[0]
    answer = ask(reward_service, body_of(waveform, rate_hz, item.text, **changes))
    assert answer.status_code == 400
    assert problem in answer.text
    assert "score" not in answer.json()


@pytest.mark.parametrize(
    ("waveform", "problem"),
    [
        (np.zeros(0), "give at least"),
        (np.zeros(3), "give at least"),
        (np.full(9_000, np.nan), "not numbers"),
        (np.full(9_000, 3e4), "full scale"),
        (np.zeros(4_000 * 601), "give at most"),
    ],
    ids=["empty", "too short", "no numbers", "not scaled", "too long"],
)
def test_samples_that_are_no_recording_are_refused(
    reward_service: RewardServer, waveform: Waveform, problem: str
) -> None:
    answer = ask(reward_service, body_of(waveform, 4_000, "six dogs"))
    assert answer.status_code == 400
    assert problem in answer.json()["detail"]


@pytest.mark.parametrize("language", ["English", "en", "en-US", "auto", "", None])
def test_the_language_is_a_code_or_a_name_or_the_runs_own(
    reward_service: RewardServer,
    spoken: list[tuple[Utterance, Waveform, int]],
    language: str | None,
) -> None:
    item, waveform, rate_hz = spoken[1]
    told = [
        ask(reward_service, body_of(waveform, rate_hz, item.text, metadata=metadata)).json()
        for metadata in ({"language": language}, {})
    ]
    assert told[0] == told[1]


def test_a_reward_is_made_of_another_services_scores(reward_service: RewardServer) -> None:
    """A pipeline here asks the service there: both ends of the protocol."""
    component = {
        "type": "http",
        "url": f"{reward_service.url}/score",
        "served_model": "tiny",
        "retries": 0,
    }
    run = load_run(TINY_RUN, [f"reward.components={json.dumps([component])}"])
    items = utterances(6, seed=6)
    items.append(items[0].model_copy(update={"text": "!?"}))
    pipeline = Pipeline(run)
    pipeline.self_test()
    expected, got = score(reward_service, items), pipeline.score(items)
    compared = 0
    for theirs, ours in zip(expected, got, strict=True):
        if isinstance(theirs, Ok) and isinstance(ours, Ok):
            assert ours.raw["http"] == pytest.approx(theirs.reward, abs=1e-4)
            assert ours.reward == pytest.approx(theirs.reward, abs=1e-4)
            compared += 1
    assert compared >= 4
    assert isinstance(got[-1], Failed)
