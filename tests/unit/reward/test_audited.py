"""Which findings of an audit are misses."""

from __future__ import annotations

import pytest

from ttsrl.reward.audited import WAYS, is_missed, missed, paid, table
from ttsrl.reward.components import Rate, Speaker
from ttsrl.reward.config import RewardConfig
from ttsrl.wire import AuditFinding, AuditReport

MISSES: dict[str, tuple[list[float], list[float]]] = {
    "the same": ([0.9, 0.8], [0.9, 0.8]),
    "more": ([0.9, 0.8], [0.95, 0.9]),
    "hardly less": ([0.9, 0.8], [0.895, 0.795]),
    "one of two is paid": ([0.9, 0.8], [0.1, 0.8]),
    "less on average, by chance": ([0.9] * 4, [0.95, 0.9, 0.7, 0.9]),
}
SEEN: dict[str, tuple[list[float], list[float]]] = {
    "each is less": ([0.9, 0.8], [0.8, 0.1]),
    "each is a little less": ([0.9] * 5, [0.88] * 5),
    "one of many is paid, the others surely not": ([0.9] * 6, [0.9, 0.1, 0.0, 0.2, 0.1, 0.0]),
}


def finding(clean: list[float], rewards: list[float], name: str = "clicks") -> AuditFinding:
    return AuditFinding(name=name, clean=clean, rewards=rewards, gates={})


@pytest.mark.parametrize("case", MISSES)
def test_a_spoiled_twin_that_is_paid_as_much_is_a_miss(case: str) -> None:
    assert is_missed(finding(*MISSES[case]))


@pytest.mark.parametrize("case", SEEN)
def test_a_spoiled_twin_that_is_paid_less_is_not(case: str) -> None:
    assert not is_missed(finding(*SEEN[case]))


def test_no_sound_without_speech_may_be_paid() -> None:
    rewards = [0.9, 0.1, 0.0, 0.2, 0.1, 0.0]
    assert is_missed(finding([0.9] * 6, rewards, "sounds_as_words"))


def test_another_voice_is_wrong_only_where_a_component_knows_the_right_one() -> None:
    same = [0.9, 0.8]
    findings = [finding(same, same, name) for name in ("another_voice", "clicks", "slow")]
    report = AuditReport(spec_hash="0", clean=same, findings=findings)
    any_voice = RewardConfig(components=[Rate()])
    one_voice = RewardConfig(components=[Speaker(voices="voices", max_cer=None), Rate()])
    assert missed(report, any_voice, {"slow"}) == ["clicks"]
    assert missed(report, one_voice, {"slow"}) == ["another_voice", "clicks"]
    assert paid(report, "clicks") == "clicks (0.85 of 0.85)"
    lines = table(report, any_voice, {"slow"})
    assert [line.split()[0] for line in lines[1:4]] == ["another_voice", "clicks", "slow"]
    assert lines[1].endswith("as much, accepted") and lines[2].endswith("as much")
    assert sorted(line.split()[0] for line in lines[4:]) == sorted(
        {*WAYS} - {"another_voice", "clicks", "slow"}
    )
