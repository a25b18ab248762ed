"""Does a reward see through bad speech?

Recordings that say their texts are spoiled and combined in every way of `audit_cases`, and sounds
without speech are given the words that recognisers write for them. Each has to be rewarded less
than clean speech: what a policy can do to a recording for nothing, it can learn to do.
`ttsrl.reward.audited` judges what is measured here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence

from pydantic import ValidationError

from ttsrl.errors import BadInput, Failure
from ttsrl.reward.audited import SOUNDS_AS_WORDS, WAYS
from ttsrl.serving.audit_cases import (
    HALLUCINATED,
    AuditCase,
    cases,
    sounds_as_words,
    sounds_like,
)
from ttsrl.serving.recording import RecordedUtterance, read_recording
from ttsrl.wire import (
    AuditFinding,
    AuditReport,
    AuditRequest,
    Failed,
    Gated,
    Ok,
    Outcome,
    Utterance,
)

AT_ONCE = 4
"""Recordings measured together: more would only meet a scorer's deadline on a CPU."""
ATTEMPTS = 3
"""Times that an utterance is measured before its failure ends the audit."""
LEAST_CLEAN = 0.1
"""A recording that gets less is not what the reward is for: nothing could be told from it."""

Score = Callable[[Sequence[Utterance]], Awaitable[list[Outcome]]]
Update = Callable[[int, int], None]


def recorded(request: AuditRequest) -> list[RecordedUtterance]:
    """The clips as utterances. Raises BadInput for audio that cannot be read."""
    recordings: list[RecordedUtterance] = []
    for n, clip in enumerate(request.clips, 1):
        name = f"recording {n} ({clip.text!r})"
        try:
            recording = read_recording(clip.audio, clip.text, clip.language)
        except BadInput as error:
            raise BadInput(f"{name}: {error}") from None
        except ValidationError as error:
            raise BadInput(f"{name}: {error.errors()[0]['msg']}") from None
        recordings.append(recording.model_copy(update={"speaker": clip.speaker}))
    return recordings


async def audit(
    recordings: Sequence[RecordedUtterance],
    score: Score,
    spec_hash: str,
    update: Update = lambda done, total: None,
) -> AuditReport:
    """What becomes of the reward of each recording in each way to be bad.

    `score` measures a few utterances; `update` gets how many of about how many are done. Raises
    BadInput for recordings that are not clean speech to this reward, Failure for an utterance that
    cannot be measured.
    """
    measured = AuditMeasurements(score, update, len(recordings) * (len(WAYS) + 1))
    clean = await measured.clean(recordings)
    findings: list[AuditFinding] = []
    made = cases(recordings)
    while (case := await asyncio.to_thread(next, made, None)) is not None:
        findings.append(await measured.finding(case))
    findings.append(await measured.sounds(recordings[0], min(clean)))
    update(measured.done, measured.done)
    return AuditReport(spec_hash=spec_hash, clean=clean, findings=findings)


class AuditMeasurements:
    """The measurements of one audit; none is made twice."""

    def __init__(self, score: Score, update: Update, about: int) -> None:
        self.done = 0
        self._score = score
        self._update = update
        self._about = about
        self._known: dict[Hashable, Ok | Gated] = {}

    async def clean(self, recordings: Sequence[RecordedUtterance]) -> list[float]:
        """Reward of each recording as it is. Raises BadInput for one that is not clean speech."""
        names = [f"recording {n} ({r.text!r})" for n, r in enumerate(recordings, 1)]
        rewards: list[float] = []
        for name, outcome in zip(names, await self._outcomes(recordings, names), strict=True):
            if isinstance(outcome, Gated):
                raise BadInput(
                    f"{name} is not clean speech to this reward: {outcome.reason}, "
                    f"{outcome.detail}; give recordings that say their text"
                )
            if outcome.reward < LEAST_CLEAN:
                heard = "" if outcome.transcript is None else f", heard: {outcome.transcript!r}"
                raise BadInput(
                    f"{name} is worth only {outcome.reward:.3f} to this reward{heard}; give "
                    "recordings that say their text and that the reward's models understand"
                )
            rewards.append(outcome.reward)
        return rewards

    async def finding(self, case: AuditCase) -> AuditFinding:
        """What becomes of one way to be bad."""
        names = [f"clean twin of {case.name}, {u.text!r}" for u in case.twins]
        twins = await self._outcomes(case.twins, names)
        names = [f"{case.name}, {u.text!r}" for u in case.utterances]
        outcomes = await self._outcomes(case.utterances, names)
        return _finding(case.name, [float(t.reward) for t in twins], outcomes)

    async def sounds(self, recording: RecordedUtterance, least: float) -> AuditFinding:
        """Each sound with the words that recognisers are known to write for it, and with those
        that this reward's recogniser writes."""
        plain = sounds_like(recording)
        known = sounds_as_words(plain, HALLUCINATED)
        outcomes = await self._outcomes(known, [f"a sound as {u.text!r}" for u in known])
        heard = {o.transcript for o in outcomes if isinstance(o, Ok) and o.transcript}
        made_up = sounds_as_words(plain, sorted(heard.difference(HALLUCINATED)))
        outcomes += await self._outcomes(made_up, [f"a sound as {u.text!r}" for u in made_up])
        return _finding(SOUNDS_AS_WORDS, [least] * len(outcomes), outcomes)

    async def _outcomes(
        self, utterances: Sequence[RecordedUtterance], names: Sequence[str]
    ) -> list[Ok | Gated]:
        """Raises Failure for the first that cannot be measured, BadInput if its text is why."""
        new = {_key(u): (u, name) for u, name in zip(utterances, names, strict=True)}
        asked = [(key, u, name) for key, (u, name) in new.items() if key not in self._known]
        for first in range(0, len(asked), AT_ONCE):
            some = asked[first : first + AT_ONCE]
            outcomes = await self._score([u for _, u, _ in some])
            for (key, utterance, name), outcome in zip(some, outcomes, strict=True):
                self._known[key] = await self._insist(utterance, name, outcome)
            self.done += len(some)
            self._update(self.done, max(self._about, self.done))
        return [self._known[_key(u)] for u in utterances]

    async def _insist(self, utterance: Utterance, name: str, outcome: Outcome) -> Ok | Gated:
        """The outcome; another one, of a few more attempts, where the measurement failed."""
        for _ in range(ATTEMPTS - 1):
            if not isinstance(outcome, Failed) or outcome.kind == "rejected":
                break
            [outcome] = await self._score([utterance])
        if isinstance(outcome, Failed):
            raise _not_measured(name, outcome)
        return outcome


def _key(utterance: RecordedUtterance) -> Hashable:
    u = utterance
    return u.samples, u.sample_rate_hz, u.text, u.language, u.speaker


def _not_measured(name: str, outcome: Failed) -> Failure | BadInput:
    match outcome.kind:
        case "deadline":
            return Failure(
                f"{name} was not measured: {outcome.detail}, which says nothing about the speech; "
                "raise reward.scorer_deadline_s, or use a faster machine or a smaller model"
            )
        case "rejected":
            return BadInput(f"{name} cannot be measured: {outcome.detail}")
        case kind:
            return Failure(f"{name} was not measured: {kind}: {outcome.detail}")


def _finding(name: str, clean: list[float], outcomes: Sequence[Ok | Gated]) -> AuditFinding:
    gates = Counter(o.reason for o in outcomes if isinstance(o, Gated))
    rewards = [float(o.reward) for o in outcomes]
    return AuditFinding(name=name, clean=clean, rewards=rewards, gates=dict(gates.most_common()))
