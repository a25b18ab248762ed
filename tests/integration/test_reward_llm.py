"""The real reward service asks an audio-LLM: opinions are rewarded, an outage fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.audio_llm_server import Asked, Refused, serving
from support.reward_server import StartRewards, metrics, score, utterances, worker_pids
from ttsrl.wire import Failed, Gated, Ok


def test_a_service_asks_counts_what_it_spends_and_outlives_an_outage(
    start_reward_service: StartRewards, tmp_path: Path
) -> None:
    away = tmp_path / "away"

    def rule(asked: Asked) -> str | Refused:
        if away.exists():
            return Refused(503, (("retry-after-ms", "1"),))
        return "4" if len(asked.words) % 2 else "2"

    with serving(rule) as llm:
        component = {
            "type": "llm",
            "url": llm.url,
            "served_model": "m",
            "prompt": "{text}",
            "max_cer": None,
            "retries": 1,
            "input_price": 1.0,
        }
        server = start_reward_service([f"reward.components={json.dumps([component])}"])
        server.wait_ready()
        items = utterances(12, seed=3)
        workers = worker_pids(server)
        away.touch()
        down = score(server, items)
        gated = sum(isinstance(outcome, Gated) for outcome in down)
        failed = [outcome for outcome in down if isinstance(outcome, Failed)]
        assert len(failed) == len(items) - gated > 4
        assert {outcome.kind for outcome in failed} == {"unreachable"}
        assert "answers 503" in failed[0].detail
        away.unlink()
        up = score(server, items)
        assert worker_pids(server) == workers
        told = metrics(server)
    asked = {item.text: 0.75 if len(item.text) % 2 else 0.25 for item in items}
    for item, before, after in zip(items, down, up, strict=True):
        if isinstance(before, Failed):
            assert isinstance(after, Ok)
            assert after.reward == asked[item.text]
    assert {0.25, 0.75} == {outcome.reward for outcome in up if isinstance(outcome, Ok)}
    unreachable = {"outcome": "error", "reason": "unreachable"}
    assert told[f"ttsrl_reward_outcomes_total{json.dumps(unreachable)}"] == len(failed)
    answers = 1 + len(failed)  # the self-test's clip, then those that failed before
    assert told["ttsrl_reward_remote_requests_total{}"] == answers
    assert told['ttsrl_reward_remote_tokens_total{"direction": "input"}'] == 100 * answers
    assert told["ttsrl_reward_remote_cost_total{}"] == pytest.approx(1e-4 * answers)
