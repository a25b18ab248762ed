"""A few hundred of the hostile requests that `make fuzz` sends by the thousand."""

from __future__ import annotations

from benchmarks.reward_fuzz import fuzz
from support.reward_server import RewardServer


def test_no_hostile_request_gets_more_than_a_refusal_or_harms_anybody(
    reward_service: RewardServer,
) -> None:
    findings = fuzz(reward_service, requests=300)
    assert findings.problems == []
    assert sum(findings.codes.values()) >= 300
    assert findings.codes["/v1/score 400"] > 20
    assert findings.codes["/v2/models/token2wav_asr/infer 400"] > 10
