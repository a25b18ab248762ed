"""What Prometheus sees of the queues of the runs. Import it as metrics.py says."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from ttsrl.serving.asking import UNNAMED
from ttsrl.serving.buckets import LONG_SECONDS

MOST_RUNS = 100
"""Runs with a label of their own: prometheus_client keeps a series for the life of the process."""
NO_NAME, OTHERS = "(unnamed)", "(other)"
"""Labels of who does not name a run, and of the runs after the first `MOST_RUNS`: no run can be
called so."""


class QueueMetrics:
    """Waiting utterances, all and by run. See `ttsrl.serving.batcher.Watcher`."""

    def __init__(self) -> None:
        self._depth = Gauge(
            "ttsrl_reward_queue_depth",
            "Utterances waiting for the scorers",
            multiprocess_mode="livesum",
        )
        self._seconds = Histogram(
            "ttsrl_reward_queue_seconds",
            "Seconds that a batch's oldest utterance had waited for the scorers",
            buckets=LONG_SECONDS,
        )
        self._run_depth = Gauge(
            "ttsrl_reward_run_queue_depth",
            "Utterances of a run waiting for the scorers",
            ["run"],
            multiprocess_mode="livesum",
        )
        self._run_taken = Counter(
            "ttsrl_reward_run_utterances",
            "Utterances of a run that went to a worker",
            ["run"],
        )
        self._run_refused = Counter(
            "ttsrl_reward_run_refused",
            "Requests of a run that were answered with 429, because too many of it wait",
            ["run"],
        )
        self._labels: set[str] = set()
        for label in (NO_NAME, OTHERS):
            self._begin(label)
        self._waiting: dict[str, dict[str, int]] = {}

    def waits(self, run: str, of_run: int, of_all: int) -> None:
        """See `Watcher`; addresses share one label, as other runs do."""
        label = self._label(run)
        waiting = self._waiting.setdefault(label, {})
        if of_run:
            waiting[run] = of_run
        else:
            waiting.pop(run, None)
        self._run_depth.labels(label).set(sum(waiting.values()))
        self._depth.set(of_all)

    def waited(self, seconds: float) -> None:
        """See `Watcher`."""
        self._seconds.observe(seconds)

    def taken(self, run: str, count: int) -> None:
        """See `Watcher`."""
        self._run_taken.labels(self._label(run)).inc(count)

    def refused(self, run: str) -> None:
        """See `Watcher`."""
        self._run_refused.labels(self._label(run)).inc()

    def _label(self, run: str) -> str:
        if run.startswith(UNNAMED):
            return NO_NAME
        if run not in self._labels and len(self._labels) >= MOST_RUNS:
            return OTHERS
        if run not in self._labels:
            self._labels.add(run)
            self._begin(run)
        return run

    def _begin(self, label: str) -> None:
        """A rate sees no growth in a series that begins with its first event."""
        self._run_taken.labels(label)
        self._run_refused.labels(label)
