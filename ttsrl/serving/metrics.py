"""What Prometheus sees of the reward service, beside BentoML's own HTTP metrics.

Import it only in the process that serves: prometheus_client looks for BentoML's shared folder when
it is imported.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from ttsrl.reward.gates import REASONS
from ttsrl.scorers.remote import Usage
from ttsrl.serving.buckets import LONG_SECONDS, SECONDS
from ttsrl.serving.queue_metrics import QueueMetrics
from ttsrl.wire import Failed, Gated, Ok, Outcome, ServiceSpec

SHARES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]
RAW_BUCKETS = {
    "cer": [0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0],
    "nll": [0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0],
}
ERRORS = ("rejected", "decode", "scorer", "deadline", "nan", "unreachable")
"""Kinds of `Failed` that the pipeline gives."""
POWERS = [1, 2, 4, 8, 16, 32, 64, 128, 256]


class ServiceMetrics:
    """One set a process; all names begin with `ttsrl_reward_`."""

    def __init__(self) -> None:
        self._requests = Counter(
            "ttsrl_reward_requests", "Scoring requests by route and HTTP status", ["route", "code"]
        )
        self._request_seconds = Histogram(
            "ttsrl_reward_request_seconds",
            "Seconds from a scoring request to its scores, the queue included",
            ["route"],
            buckets=LONG_SECONDS,
        )
        self.queue = QueueMetrics()
        self.queue_capacity = Gauge(
            "ttsrl_reward_queue_capacity",
            "Utterances that may wait of each run; a request of it beyond is answered with 429",
            multiprocess_mode="livesum",
        )
        self.in_flight = Gauge(
            "ttsrl_reward_in_flight",
            "Utterances waiting or being measured",
            multiprocess_mode="livesum",
        )
        self.batch_capacity = Gauge(
            "ttsrl_reward_batch_capacity",
            "Utterances that are measured at the same time at most, by all workers",
            multiprocess_mode="livesum",
        )
        self.ready = Gauge(
            "ttsrl_reward_ready",
            "1 while utterances can be scored, 0 while models load and while the service ends",
            multiprocess_mode="livemin",
        )
        self.workers = Gauge(
            "ttsrl_reward_workers",
            "Worker processes that can measure now",
            multiprocess_mode="livesum",
        )
        self.workers_lost = Counter(
            "ttsrl_reward_workers_lost",
            "Worker processes that died, or hung and were killed, and were replaced",
            ["reason"],
        )
        for reason in ("died", "hung"):
            self.workers_lost.labels(reason)
        self.load_seconds = Gauge(
            "ttsrl_reward_load_seconds",
            "Seconds from the start of the process's service until it could score",
            multiprocess_mode="livemax",
        )
        self._spec = Gauge(
            "ttsrl_reward_spec_info",
            "1; the labels say what is measured: services of one spec_hash give the same rewards",
            ["spec_hash", "codec", "whisper", "device"],
            multiprocess_mode="livemax",
        )
        self._build = Gauge(
            "ttsrl_reward_build_info",
            "1; the labels are the versions of the programs that decide a score",
            ["version", "bentoml", "torch", "transformers"],
            multiprocess_mode="livemax",
        )
        self._outcomes = Counter(
            "ttsrl_reward_outcomes",
            "Utterances by outcome; reason is the gate or the kind of error",
            ["outcome", "reason"],
        )
        # A rate sees no growth in a series that begins with its first event.
        self._outcomes.labels("ok", "")
        for reason in REASONS:
            self._outcomes.labels("gated", reason)
        for kind in ERRORS:
            self._outcomes.labels("error", kind)
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
        self._utility = Histogram(
            "ttsrl_reward_utility",
            "Utilities of scored utterances by component of the reward",
            ["component"],
            buckets=SHARES,
        )
        self._remote_requests = Counter(
            "ttsrl_reward_remote_requests", "Answers of other programs that measure, as audio-LLMs"
        )
        self._remote_tokens = Counter(
            "ttsrl_reward_remote_tokens", "Tokens of these requests by direction", ["direction"]
        )
        self._remote_cost = Counter(
            "ttsrl_reward_remote_cost", "What these tokens cost by the component's prices"
        )
        self._raw = {
            name: Histogram(
                f"ttsrl_reward_{name}",
                f"Raw {name} of scored utterances",
                buckets=buckets,
            )
            for name, buckets in RAW_BUCKETS.items()
        }

    def loaded(self, spec: ServiceSpec, whisper: str, device: str, seconds: float) -> None:
        """The service can score: what it measures, with which programs, after how long."""
        self._spec.labels(spec.spec_hash, spec.codec, whisper, device).set(1)
        versions = {"version": spec.versions.get("ttsrl", "")} | {
            name: spec.versions.get(name, "") for name in ("bentoml", "torch", "transformers")
        }
        self._build.labels(**versions).set(1)
        self.load_seconds.set(seconds)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A scoring request was answered; how soon counts where the answer is scores."""
        self._requests.labels(route, str(status)).inc()
        if status == 200:
            self._request_seconds.labels(route).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the pipeline took so long for one batch."""
        self._stages.labels(name).observe(seconds)

    def used(self, usage: Usage) -> None:
        """Other programs were asked."""
        self._remote_requests.inc(usage.requests)
        self._remote_tokens.labels("input").inc(usage.input_tokens)
        self._remote_tokens.labels("output").inc(usage.output_tokens)
        self._remote_cost.inc(usage.cost)

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
                    for name, utility in outcome.utilities.items():
                        self._utility.labels(name).observe(utility)
                    for name in self._raw.keys() & outcome.raw.keys():
                        self._raw[name].observe(outcome.raw[name])
                case Gated():
                    self._outcomes.labels("gated", outcome.reason).inc()
                    self._audio.inc(outcome.duration_s)
                case Failed():
                    self._outcomes.labels("error", outcome.kind).inc()
