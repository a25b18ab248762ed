"""What Prometheus sees of a training run, at `train.metrics_port` of the machine that runs
`ttsrl train`.

The supervisor serves it: it lives from the first check to the last upload, in the pod that started
the run (a RayJob's head, a PyTorchJob's master), and verl's task runner writes the step log beside
it. Every series has the label `run`. A value that a step does not have has no series.

Progress, gauges
  ttsrl_train_info{model,family,device,version}   1
  ttsrl_train_gpus                                training processes: nodes x processes a node
  ttsrl_train_planned_steps                       train.steps
  ttsrl_train_save_every_steps                    train.save_every
  ttsrl_train_step_deadline_seconds               train.step_deadline_s
  ttsrl_train_start_timestamp_seconds             when the supervisor started
  ttsrl_train_resumed_step                        step that this start went on from, 0 for a new run
  ttsrl_train_step                                last finished step
  ttsrl_train_last_step_timestamp_seconds
  ttsrl_train_checkpoint_step                     last checkpoint published
  ttsrl_train_checkpoint_timestamp_seconds
  ttsrl_train_checkpoint_bytes
  ttsrl_train_checkpoint_publish_seconds          its upload, beside the steps after it

Last step, gauges
  ttsrl_train_reward_mean, ttsrl_train_reward_std gated rollouts are 0, failed ones left out
  ttsrl_train_raw_mean{component}                 cer, nll, ...: over measured rollouts
  ttsrl_train_utility_mean{component}
  ttsrl_train_speech_tokens_mean                  tokens a rollout
  ttsrl_train_speech_seconds_mean                 speech a rollout that was measured
  ttsrl_train_end_token_share                     rollouts that ended by themselves
  ttsrl_train_distinct_share                      rollouts that are not a copy of another one
  ttsrl_train_gated_share{reason}                 sum over reason: all gated rollouts
  ttsrl_train_failed_share{kind}                  sum over kind: rollouts without a measurement
  ttsrl_train_group_std                           mean over the groups of their rewards' deviation
  ttsrl_train_zero_advantage_group_share          groups that moved no weight
  ttsrl_train_kl, ttsrl_train_entropy, ttsrl_train_policy_loss
  ttsrl_train_rollout_kl                          of the engine that sampled to the actor
  ttsrl_train_grad_norm, ttsrl_train_learning_rate
  ttsrl_train_balance                             1: all training processes got as many tokens
  ttsrl_train_step_seconds                        the whole step
  ttsrl_train_stage_seconds{stage}                generate, wait_for_scores, old_log_prob,
                                                  reference_log_prob, advantage, update, save,
                                                  sync_weights
  ttsrl_train_waiting_share                       wait_for_scores / the whole step
  ttsrl_train_gpu_idle_share{gpu}                 of the step, without a kernel; none on CPUs

Since the supervisor started, counters
  ttsrl_train_steps_total
  ttsrl_train_rollouts_total{outcome}             ok, gated, error
  ttsrl_train_speech_tokens_total
  ttsrl_train_spent_seconds_total                 whole steps; x ttsrl_train_gpus: GPU-seconds
  ttsrl_train_spent_stage_seconds_total{stage}
  ttsrl_train_checkpoints_published_total
  ttsrl_train_log_upload_errors_total             uploads of the step log that failed

Guards, of the whole run
  ttsrl_train_guard_tripped{guard,then}           1 while what it watches is beyond its limits
  ttsrl_train_guard_trips_total{guard,then}
  ttsrl_train_guard_nearness{guard,then}          share of the way to its limits, 1 where it trips
  ttsrl_train_rollbacks_total

Trackers (`trackers` of the run), as the process that tells them counts
  ttsrl_train_tracker_step{tracker}               gauge: last step that it has
  ttsrl_train_tracker_errors_total{tracker}       attempts that failed; what it lacks is told later
  ttsrl_train_tracker_dropped_total{tracker}      what it refused, and lacks

Held-out texts, gauges, from the newest evaluation of this run in storage
  ttsrl_train_held_out_cer{suite,judge,decoding}  mean CER over texts; decoding: sampled, greedy
  ttsrl_train_held_out_judge_info{suite,judge,kinship}  1; kinship: unlike, unknown, kin, same
  ttsrl_train_held_out_verdict_cer{suite,judge,decoding}
                                                  the same of the judge on which the verdict rests
  ttsrl_train_held_out_adaptation{suite,judge,kin,decoding}
                                                  relative gain heard by the reward's kin minus
                                                  that heard by the judge, which is unlike it
  ttsrl_train_held_out_step{suite}                step of the model that was evaluated
  ttsrl_train_held_out_cer_change{suite,judge,decoding,estimate}
                                                  CER minus the base's, paired by text; estimate:
                                                  value, low, high (95 % interval); only of suites
                                                  NAME.during, which eval.during_training makes
  ttsrl_train_checkpoints_evaluated               by eval.during_training, without the base
  ttsrl_train_checkpoints_waiting                 published, and not evaluated yet
  ttsrl_train_checkpoints_skipped                 gone before their turn, or failed too often
  ttsrl_train_evaluation_failures                 attempts that failed, repeated ones included
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.records.checkpoint import (
    CheckpointEvent,
    CheckpointPublished,
    CheckpointRestored,
)
from ttsrl.records.during import ChangeEstimate, DuringTrainingState
from ttsrl.records.evaluation import AdaptationFigure, ReportJudge, most_independent
from ttsrl.records.step import TrainingStep
from ttsrl.records.tracking import TrackerStatus
from ttsrl.reward.gates import REASONS
from ttsrl.runtime.addresses import every_address
from ttsrl.training.guarding import GuardWatch
from ttsrl.training.step_log import STAGES
from ttsrl.wire import FAILURES

PREFIX = "ttsrl_train_"
STAGE_NAMES = ("generate", "wait_for_scores", *list(STAGES.values())[1:])
OUTCOMES = ("ok", "gated", "error")

OF_STEP: dict[str, tuple[str, Callable[[TrainingStep], float | None]]] = {
    "reward_mean": ("Mean reward of the last step", lambda s: s.reward),
    "reward_std": ("Standard deviation of the last step's rewards", lambda s: s.reward_std),
    "speech_tokens_mean": ("Speech tokens a rollout", lambda s: s.length_tokens),
    "speech_seconds_mean": ("Seconds of speech a measured rollout", lambda s: s.duration_s),
    "end_token_share": ("Rollouts that ended by themselves", lambda s: s.end_token_rate),
    "distinct_share": (
        "Rollouts that are not a copy of another one",
        lambda s: s.distinct_share,
    ),
    "group_std": (
        "Standard deviation of rewards within a group, mean over groups",
        lambda s: s.group_std,
    ),
    "zero_advantage_group_share": (
        "Groups that moved no weight",
        lambda s: s.zero_advantage_share,
    ),
    "kl": ("KL to the reference policy", lambda s: s.kl),
    "rollout_kl": ("KL of the engine that sampled to the actor", lambda s: s.rollout_kl),
    "entropy": ("Entropy of the policy in nats per token", lambda s: s.entropy),
    "policy_loss": ("Policy loss", lambda s: s.policy_loss),
    "grad_norm": ("Norm of the gradient before it is clipped", lambda s: s.grad_norm),
    "learning_rate": ("Learning rate", lambda s: s.learning_rate),
    "balance": (
        "Tokens of the training process that got the most, in those of the mean",
        lambda s: s.balance,
    ),
    "step_seconds": ("Seconds that the last step took", lambda s: s.seconds),
}
"""Gauge -> its help, and its value in a step."""


@dataclass(frozen=True)
class HeldOut:
    """A published evaluation of this run's model."""

    suite: str
    step: int
    cer: Mapping[tuple[str, str], float]
    """(judge, decoding) -> mean CER."""
    judges: Sequence[ReportJudge] = ()
    adaptation: Sequence[AdaptationFigure] = ()
    cer_change: Mapping[tuple[str, str], ChangeEstimate] = field(
        default_factory=dict[tuple[str, str], ChangeEstimate]
    )
    """(judge, decoding) -> CER minus the base's."""

    @property
    def verdict_judge(self) -> str | None:
        """Name of the judge on which the verdict rests."""
        if not self.judges:
            return None
        return self.judges[most_independent([judge.relation for judge in self.judges])].name


class TrainMetrics(Collector):
    """What is known of the run; told by the supervisor, read by whoever scrapes."""

    def __init__(self, run: RunConfig, device: str) -> None:
        self.run = run
        self.device = device
        self.start_s = time.time()
        self.resumed_step = 0
        self.last: TrainingStep | None = None
        self.checkpoint: CheckpointPublished | None = None
        self.held_out: dict[str, HeldOut] = {}
        self.during_training: DuringTrainingState | None = None
        self.guards: GuardWatch | None = None
        self.log_upload_errors = 0
        self.trackers: Sequence[TrackerStatus] = ()
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._stages: dict[str, float] = dict.fromkeys(STAGE_NAMES, 0.0)

    def on_step(self, step: TrainingStep) -> None:
        """A finished step; those of an earlier start are shown, and not counted."""
        self.last = step
        if step.ended_at_s < self.start_s:
            return
        gated, failed = (sum(c.values()) for c in (step.gated_reasons, step.failed_kinds))
        self._outcomes.update(
            {"ok": step.rollouts - gated - failed, "gated": gated, "error": failed}
        )
        for stage, seconds in step.seconds_by_stage.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds
        self._totals["steps"] += 1
        self._totals["speech_tokens"] += step.tokens
        self._totals["spent_seconds"] += step.seconds

    def on_checkpoint(self, event: CheckpointEvent) -> None:
        """A checkpoint was restored or published."""
        if isinstance(event, CheckpointRestored):
            self.resumed_step = event.step
        else:
            self.checkpoint = event
            self._totals["checkpoints_published"] += event.at_s >= self.start_s

    def set_back(self) -> None:
        """Steps of the run are given up: their repetition is not counted again, and what evaluation
        measured of their checkpoints is dropped."""
        self.start_s = time.time()
        self.held_out = {}

    def on_evaluation(self, held_out: HeldOut) -> None:
        """An evaluation in storage; of each suite the newest model counts."""
        known = self.held_out.get(held_out.suite)
        if known is None or known.step <= held_out.step:
            self.held_out = {**self.held_out, held_out.suite: held_out}

    def collect(self) -> Iterable[Metric]:
        """Everything as it is now; called by the HTTP server's threads."""
        yield from self._progress()
        if self.last:
            yield from self._of_step(self.last)
        yield from self._counters()
        yield from self._of_guards()
        yield from self._of_held_out(list(self.held_out.values()))
        if self.during_training:
            yield from self._of_during(self.during_training)

    def _progress(self) -> Iterable[Metric]:
        run, train = self.run, self.run.train
        about = {
            "model": run.model,
            "family": run.family,
            "device": self.device,
            "version": version("ttsrl"),
        }
        info = self._gauge("info", "The run", *about)
        info.add_metric([run.name, *about.values()], 1)
        yield info
        yield self._one(
            "gpus", "GPUs of the run; on CPUs, processes", train.gpus_per_node * train.nodes
        )
        yield self._one("planned_steps", "Steps of the whole run", train.steps)
        yield self._one("save_every_steps", "Steps between checkpoints", train.save_every)
        deadline = "A step that takes longer ends the run"
        yield self._one("step_deadline_seconds", deadline, train.step_deadline_s)
        yield self._one("start_timestamp_seconds", "When the supervisor started", self.start_s)
        yield self._one("resumed_step", "Step that this start went on from", self.resumed_step)
        step = self.last.step if self.last else self.resumed_step
        yield self._one("step", "Last finished step", step)
        if self.last:
            ended = self.last.ended_at_s
            yield self._one("last_step_timestamp_seconds", "When the last step ended", ended)
        if published := self.checkpoint.step if self.checkpoint else self.resumed_step:
            yield self._one("checkpoint_step", "Last checkpoint published", published)
        if event := self.checkpoint:
            yield self._one("checkpoint_timestamp_seconds", "When it was published", event.at_s)
            yield self._one("checkpoint_bytes", "Its size", event.bytes)
            yield self._one("checkpoint_publish_seconds", "Seconds of its upload", event.seconds)

    def _of_step(self, step: TrainingStep) -> Iterable[Metric]:
        for name, (about, value_of) in OF_STEP.items():
            if (value := value_of(step)) is not None:
                yield self._one(name, about, value)
        raw = {name: step.raw[name] for name in step.utilities}
        yield self._each("raw_mean", "Raw score, mean", "component", raw)
        yield self._each("utility_mean", "Utility, mean", "component", step.utilities)
        gated = dict.fromkeys(REASONS, 0) | step.gated_reasons
        shares = {reason: n / step.rollouts for reason, n in gated.items()}
        yield self._each("gated_share", "Rollouts that were gated", "reason", shares)
        failed = dict.fromkeys(FAILURES, 0) | step.failed_kinds
        shares = {kind: n / step.rollouts for kind, n in failed.items()}
        yield self._each("failed_share", "Rollouts without a measurement", "kind", shares)
        stages = step.seconds_by_stage
        yield self._each("stage_seconds", "Seconds that a stage took", "stage", stages)
        yield self._each("gpu_idle_share", "Share of the step", "gpu", step.gpu_idle)
        waiting = stages["wait_for_scores"] / step.seconds
        yield self._one("waiting_share", "Share of the step spent waiting for scores", waiting)

    def _counters(self) -> Iterable[Metric]:
        for name, about in (
            ("steps", "Steps finished"),
            ("speech_tokens", "Speech tokens generated"),
            ("spent_seconds", "Seconds of finished steps"),
            ("checkpoints_published", "Checkpoints published"),
        ):
            yield self._count(name, about, self._totals[name])
        errors = self.log_upload_errors
        yield self._count("log_upload_errors", "Failed uploads of the step log", errors)
        yield from self._of_trackers()
        rollouts = self._counter("rollouts", "Rollouts by outcome", "outcome")
        for outcome, count in self._outcomes.items():
            rollouts.add_metric([self.run.name, outcome], count)
        yield rollouts
        stages = self._counter("spent_stage_seconds", "Seconds by stage", "stage")
        for stage, seconds in self._stages.items():
            stages.add_metric([self.run.name, stage], seconds)
        yield stages

    def _of_guards(self) -> Iterable[Metric]:
        if self.guards is None:
            return
        tripped = self._gauge("guard_tripped", "Beyond its limits now", "guard", "then")
        trips = self._counter("guard_trips", "Times that a guard tripped", "guard", "then")
        near = self._gauge("guard_nearness", "Share of the way to its limits", "guard", "then")
        for state in self.guards.states():
            of = [self.run.name, state.guard.name, state.guard.then]
            tripped.add_metric(of, state.is_tripped)
            trips.add_metric(of, state.trips)
            if state.nearness is not None:
                near.add_metric(of, state.nearness)
        yield from (tripped, trips, near)
        yield self._count("rollbacks", "Times that the run was set back", self.guards.rollbacks)

    def _of_trackers(self) -> Iterable[Metric]:
        step = self._gauge("tracker_step", "Last step that a tracker has", "tracker")
        errors = self._counter("tracker_errors", "Failed attempts to tell a tracker", "tracker")
        dropped = self._counter("tracker_dropped", "What a tracker refused", "tracker")
        for one in self.trackers:
            step.add_metric([self.run.name, one.name], one.step)
            errors.add_metric([self.run.name, one.name], one.errors)
            dropped.add_metric([self.run.name, one.name], one.dropped)
        yield from (step, errors, dropped)

    def _of_held_out(self, evaluations: Iterable[HeldOut]) -> Iterable[Metric]:
        heard = ("suite", "judge", "decoding")
        cer = self._gauge("held_out_cer", "Mean CER", *heard)
        verdict = self._gauge("held_out_verdict_cer", "Mean CER of the verdict", *heard)
        info = self._gauge("held_out_judge_info", "A judge", "suite", "judge", "kinship")
        only_kin = ("suite", "judge", "kin", "decoding")
        adaptation = self._gauge("held_out_adaptation", "Gain that only kin hears", *only_kin)
        step = self._gauge("held_out_step", "Step of the evaluated model", "suite")
        change = self._gauge(
            "held_out_cer_change",
            "Mean CER minus the base's",
            "suite",
            "judge",
            "decoding",
            "estimate",
        )
        for held_out in evaluations:
            of = [self.run.name, held_out.suite]
            step.add_metric(of, held_out.step)
            for (judge, decoding), value in held_out.cer.items():
                for gauge in [cer, verdict] if judge == held_out.verdict_judge else [cer]:
                    gauge.add_metric([*of, judge, decoding], value)
            for judge in held_out.judges:
                info.add_metric([*of, judge.name, judge.relation], 1)
            for figure in held_out.adaptation:
                labels = [*of, figure.unlike, figure.kin, figure.mode]
                adaptation.add_metric(labels, figure.adaptation.value)
            for (judge, decoding), moved in held_out.cer_change.items():
                for estimate, value in moved.model_dump().items():
                    change.add_metric([*of, judge, decoding, estimate], value)
        yield from (cer, verdict, info, adaptation, step, change)

    def _of_during(self, state: DuringTrainingState) -> Iterable[Metric]:
        evaluated = sum(step > 0 for step in state.evaluated)
        waiting = sum(step > 0 for step in state.waiting)
        yield self._one("checkpoints_evaluated", "Evaluated beside training", evaluated)
        yield self._one("checkpoints_waiting", "Published, and not evaluated yet", waiting)
        yield self._one("checkpoints_skipped", "Not to be evaluated", len(state.skipped))
        yield self._one("evaluation_failures", "Failed attempts of evaluation", state.failures)

    def _one(self, name: str, about: str, value: float) -> Metric:
        gauge = self._gauge(name, about)
        gauge.add_metric([self.run.name], value)
        return gauge

    def _each(self, name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
        gauge = self._gauge(name, about, label)
        for key, value in values.items():
            gauge.add_metric([self.run.name, key], value)
        return gauge

    def _count(self, name: str, about: str, value: float) -> Metric:
        counter = self._counter(name, about)
        counter.add_metric([self.run.name], value)
        return counter

    def _gauge(self, name: str, about: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(PREFIX + name, about, labels=["run", *labels])

    def _counter(self, name: str, about: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(PREFIX + name, about, labels=["run", *labels])


def serve(metrics: TrainMetrics, port: int) -> None:
    """Answer scrapes in a thread until the process ends. BadInput where the port is taken."""
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    try:
        start_http_server(port, every_address(), registry)
    except OSError as error:
        raise BadInput(
            f"train.metrics_port = {port}: {error.strerror}; choose a free port, or null for none"
        ) from None
