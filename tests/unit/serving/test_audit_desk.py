"""Audits that clients ask the service for: once each, with progress, cancelled if nobody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

from support.paths import TINY
from ttsrl.data.audit_clips import read_clips
from ttsrl.serving import audit, audit_desk
from ttsrl.serving.audit_cases import AuditCase, cases
from ttsrl.serving.audit_desk import AuditDesk
from ttsrl.serving.batcher import Full
from ttsrl.serving.recording import RecordedUtterance
from ttsrl.wire import (
    AuditRefused,
    AuditReport,
    AuditRequest,
    AuditRunning,
    Failed,
    Ok,
    Outcome,
    Utterance,
)

REQUEST = read_clips(TINY / "clips/clips.tsv", "en")
OTHERS = [
    AuditRequest(clips=[c.model_copy(update={"text": f"{c.text} {n}"}) for c in REQUEST.clips])
    for n in range(audit_desk.MOST)
]


class Rewards:
    """In the place of the service's queue and workers: every utterance is worth the same."""

    def __init__(self) -> None:
        self.measured = 0
        self.go_on = asyncio.Event()
        self.failures = 0
        """Measurements that are yet to fail."""

    async def score(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        await self.go_on.wait()
        self.measured += len(utterances)
        if self.failures:
            self.failures -= 1
            return [Failed(kind="scorer", detail="no memory") for _ in utterances]
        return [Ok(reward=0.5, raw={}, utilities={}, duration_s=1.0) for _ in utterances]


async def finished(desk: AuditDesk, request: AuditRequest = REQUEST) -> AuditReport | AuditRefused:
    async with asyncio.timeout(120):
        while isinstance(answer := await desk.answer(request, "hash"), AuditRunning):
            pass
        return answer


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits of a few ways to spoil, which answer at once."""
    monkeypatch.setattr(audit_desk, "WAIT_S", 0.01)
    monkeypatch.setattr(audit, "cases", lambda recordings: islice(cases(recordings), 3))


def test_an_audit_runs_once_however_often_it_is_asked_for() -> None:
    async def scenario() -> None:
        rewards = Rewards()
        desk = AuditDesk(rewards.score)
        waiting = await desk.answer(REQUEST, "hash")
        assert waiting == AuditRunning(done=0, total=0)
        rewards.go_on.set()
        one, other = await asyncio.gather(finished(desk), finished(desk))
        assert isinstance(one, AuditReport) and one == other and one.spec_hash == "hash"
        assert one.clean == [0.5] * 3
        measured = rewards.measured
        assert await finished(desk) == one
        assert rewards.measured == measured

    asyncio.run(scenario())


def test_a_measurement_that_fails_once_is_made_again_and_one_that_always_fails_is_told() -> None:
    async def scenario() -> None:
        rewards = Rewards()
        rewards.go_on.set()
        rewards.failures = 1
        assert isinstance(await finished(AuditDesk(rewards.score)), AuditReport)
        rewards.failures = 1_000
        desk = AuditDesk(rewards.score)
        refused = await finished(desk)
        assert isinstance(refused, AuditRefused) and refused.reason == "measurement"
        assert "no memory" in refused.detail
        rewards.failures = 0
        assert isinstance(await finished(desk), AuditReport)

    asyncio.run(scenario())


def test_a_case_that_cannot_be_made_is_told_like_a_failed_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(recordings: Sequence[RecordedUtterance]) -> Iterator[AuditCase]:
        yield from islice(cases(recordings), 1)
        raise ModuleNotFoundError("No module named 'av.error'")

    async def scenario() -> None:
        rewards = Rewards()
        rewards.go_on.set()
        desk = AuditDesk(rewards.score)
        monkeypatch.setattr(audit, "cases", broken)
        refused = await finished(desk)
        assert isinstance(refused, AuditRefused) and refused.reason == "measurement"
        assert "No module named 'av.error'" in refused.detail
        monkeypatch.setattr(audit, "cases", lambda recordings: islice(cases(recordings), 3))
        assert isinstance(await finished(desk), AuditReport)

    asyncio.run(scenario())


def test_more_audits_than_a_service_runs_have_to_wait() -> None:
    async def scenario() -> None:
        rewards = Rewards()
        desk = AuditDesk(rewards.score)
        for other in OTHERS:
            assert isinstance(await desk.answer(other, "hash"), AuditRunning)
        with pytest.raises(Full, match="audits run already"):
            await desk.answer(REQUEST, "hash")
        assert isinstance(await desk.answer(OTHERS[0], "hash"), AuditRunning)
        rewards.go_on.set()
        for other in OTHERS:
            assert isinstance(await finished(desk, other), AuditReport)
        assert isinstance(await finished(desk), AuditReport)

    asyncio.run(scenario())


def test_an_audit_that_nobody_asks_for_any_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        rewards = Rewards()
        desk = AuditDesk(rewards.score)
        await desk.answer(REQUEST, "hash")
        monkeypatch.setattr(audit_desk, "FORGET_S", -1.0)
        rewards.go_on.set()
        async with asyncio.timeout(120):
            while desk.running:
                await asyncio.sleep(0.01)
        assert rewards.measured <= 4

    asyncio.run(scenario())
