"""What Prometheus sees of the reward service, beside BentoML's own HTTP metrics.

Import it only in the process that serves: prometheus_client looks for BentoML's shared folder when
it is imported.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from ttsrl.types import Failed, Gated, Ok, Outcome

SHARES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]
RAW_BUCKETS = {
    "cer": [0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0],
    "nll": [0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0],
}
SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
POWERS = [1, 2, 4, 8, 16, 32, 64, 128, 256]


class Metrics:
    """One set a process; all names begin with `ttsrl_reward_`."""

    def __init__(self) -> None:
        self.requests = Counter(
            "ttsrl_reward_requests", "Scoring requests by route and HTTP status", ["route", "code"]
        )
        self.queue_depth = Gauge(
            "ttsrl_reward_queue_depth",
            "Utterances waiting for the scorers",
            multiprocess_mode="livesum",
        )
        self._outcomes = Counter(
            "ttsrl_reward_outcomes",
            "Utterances by outcome; reason is the gate or the kind of error",
            ["outcome", "reason"],
        )
        self._audio = Counter(
            "ttsrl_reward_audio_seconds", "Seconds of speech that were scored or gated"
        )
        self._batch = Histogram(
            "ttsrl_reward_batch_size", "Utterances measured together", buckets=POWERS
        )
        self._stages = Histogram(
            "ttsrl_reward_stage_seconds",
            "Seconds a stage took for a batch",
            ["stage"],
            buckets=SECONDS,
        )
        self._reward = Histogram(
            "ttsrl_reward_reward", "Rewards of scored utterances", buckets=SHARES
        )
        self._raw = {
            name: Histogram(
                f"ttsrl_reward_{name}",
                f"Raw {name} of scored utterances",
                buckets=buckets,
            )
            for name, buckets in RAW_BUCKETS.items()
        }

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the pipeline took so long for one batch."""
        self._stages.labels(name).observe(seconds)

    def batch(self, outcomes: Iterable[Outcome]) -> None:
        """One batch was measured."""
        outcomes = list(outcomes)
        self._batch.observe(len(outcomes))
        for outcome in outcomes:
            match outcome:
                case Ok():
                    self._outcomes.labels("ok", "").inc()
                    self._audio.inc(outcome.duration_s)
                    self._reward.observe(outcome.reward)
                    for name, histogram in self._raw.items():
                        histogram.observe(outcome.raw[name])
                case Gated():
                    self._outcomes.labels("gated", outcome.reason).inc()
                    self._audio.inc(outcome.duration_s)
                case Failed():
                    self._outcomes.labels("error", outcome.kind).inc()
