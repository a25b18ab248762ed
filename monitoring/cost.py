"""Cost: GPU-seconds by component, an update, and a point of CER.

Held GPU-seconds are what a cluster bills: GPUs that pods of the release request, for as long as
they run. The trainer and the service also say themselves how long they worked, so that an update
and a point have a price where nothing of Kubernetes is scraped; on CPUs read processes for GPUs.
"""

from __future__ import annotations

from monitoring.board import Board
from monitoring.panels import COUNT, PLAIN, SECONDS, SHARE, YELLOW, Panel, PanelRow
from monitoring.reward import OF as SERVICE
from monitoring.training import OF, RUN

RELEASE = 'namespace=~"$namespace",release=~"$release"'
HELD = f"sum by (component) (ttsrl:gpus_held:sum{{{RELEASE}}})"
"""GPUs that running pods hold, by component; recorded once a minute (helm/rules/ttsrl.yaml)."""


def recorded(metric: str) -> str:
    """Hours of a series that is recorded once a minute, summed over the range shown."""
    return f"sum by (component) (sum_over_time({metric}{{{RELEASE}}}[$__range])) / 60"


BUSY = f"sum by (component) (ttsrl:gpus_busy:sum{{{RELEASE}}})"
"""GPUs' worth of utilisation, by component; recorded from DCGM's series in the same way."""

GPUS = f"max by (run) (ttsrl_train_gpus{{{OF}}})"
STEPS = f"sum by (run) (increase(ttsrl_train_steps_total{{{OF}}}[$__range]))"
TRAINER = f"sum by (run) (increase(ttsrl_train_spent_seconds_total{{{OF}}}[$__range])) * {GPUS}"
"""GPU-seconds of the trainer's steps, over the range shown."""
SERVICE_HELD = f"60 * sum(sum_over_time(ttsrl:reward_workers:sum{{{RELEASE}}}[$__range]))"
"""Seconds of the reward service's workers, one per GPU; recorded once a minute."""
SERVICE_BUSY = f"sum(increase(ttsrl_reward_stage_seconds_sum{{{SERVICE}}}[$__range]))"
BOTH = f"({TRAINER}) + on () group_left () ({SERVICE_HELD})"

CER = f'ttsrl_train_raw_mean{{{OF},component="cer"}}'
POINTS = (
    f"(100 * (max by (run) (quantile_over_time(0.95, {CER}[$__range])) "
    f"- max by (run) (avg_over_time({CER}[10m]))) > 0.1)"
)
"""Points of CER won while training over the range shown; nothing below a tenth of a point."""
HELD_OUT = f"ttsrl_train_held_out_verdict_cer{{{OF}}}"
JUDGED = "max by (run, suite, judge, decoding)"
HELD_OUT_POINTS = (
    f"(100 * ({JUDGED} (max_over_time({HELD_OUT}[$__range])) - {JUDGED} ({HELD_OUT})) > 0.1)"
)

BOARD = Board(
    uid="ttsrl-cost",
    title="ttsrl / Cost",
    about="What a run costs in GPU-seconds, and what they buy. Sums are over the range shown: "
    "choose the run's whole time.",
    variables=(RUN,),
    since="now-24h",
    rows=(
        PanelRow(
            "The range shown",
            (
                Panel(
                    "GPU-seconds held",
                    "By component: GPUs that its running pods request, times their time.",
                    SECONDS,
                    ((f"3600 * {recorded('ttsrl:gpus_held:sum')}", "{{component}}"),),
                    kind="gauge",
                    no_value="no GPU requested, or no rules of the chart",
                    width=6,
                    height=6,
                ),
                Panel(
                    "Price",
                    "GPU-hours held times the price of their pool, "
                    "metrics.prometheusRule.pricePerGpuHour in the chart's values.",
                    PLAIN,
                    ((recorded("ttsrl:price_per_hour:sum"), "{{component}}"),),
                    kind="gauge",
                    no_value="no GPU requested, or no rules of the chart",
                    width=6,
                    height=6,
                ),
                Panel(
                    "GPU-seconds an update",
                    "Of the trainer, and of the reward service: its workers' time, one worker a "
                    "GPU, and within that the time that they measured.",
                    SECONDS,
                    (
                        (f"{TRAINER} / {STEPS}", "{{run}} trainer"),
                        (f"({SERVICE_HELD}) / on () group_right () {STEPS}", "reward, held"),
                        (f"({SERVICE_BUSY}) / on () group_right () {STEPS}", "reward, measuring"),
                    ),
                    kind="gauge",
                    width=6,
                    height=6,
                ),
                Panel(
                    "GPU-seconds a point of CER",
                    "Trainer and reward service together, for a fall of the CER by one of a "
                    "hundred, while training and on held-out texts. Nothing where it did not fall.",
                    SECONDS,
                    (
                        (f"({BOTH}) / {POINTS}", "{{run}} while training"),
                        (
                            f"{HELD_OUT_POINTS} ^ -1 * on (run) group_left () ({BOTH})",
                            "{{run}} {{judge}} {{decoding}}",
                        ),
                    ),
                    kind="gauge",
                    no_value="the CER has not fallen yet",
                    width=6,
                    height=6,
                ),
            ),
        ),
        PanelRow(
            "Where it goes",
            (
                Panel(
                    "GPUs held",
                    "By component, over time. From kube-state-metrics.",
                    COUNT,
                    ((HELD, "{{component}}"),),
                    kind="stacked",
                    no_value="no GPU requested, or no rules of the chart",
                ),
                Panel(
                    "GPUs busy",
                    "Utilisation summed over GPUs: 1 is one GPU all the time. From DCGM.",
                    COUNT,
                    ((BUSY, "{{component}}"),),
                    kind="stacked",
                    no_value="no GPU, or no DCGM exporter",
                ),
                Panel(
                    "Busy share of what is held",
                    "Low for reward: fewer or smaller replicas. Low for train while it waits for "
                    "scores: more of them.",
                    SHARE,
                    ((f"({BUSY}) / ({HELD})", "{{component}}"),),
                    maximum=1.0,
                    no_value="no GPU, or no DCGM exporter",
                ),
                Panel(
                    "Trainer's GPU-seconds by stage",
                    "Over the range shown. wait_for_scores buys nothing.",
                    SECONDS,
                    (
                        (
                            "sum by (run, stage) (increase(ttsrl_train_spent_stage_seconds_total"
                            f"{{{OF}}}[$__range])) * on (run) group_left () {GPUS}",
                            "{{run}} {{stage}}",
                        ),
                    ),
                    kind="gauge",
                ),
                Panel(
                    "Reward service's seconds by stage",
                    "Over the range shown, all replicas together.",
                    SECONDS,
                    (
                        (
                            "sum by (stage) (increase(ttsrl_reward_stage_seconds_sum"
                            f"{{{SERVICE}}}[$__range]))",
                            "{{stage}}",
                        ),
                    ),
                    kind="gauge",
                ),
                Panel(
                    "Reward service idle",
                    "Share of their time in which workers measured nothing. High: fewer "
                    "replicas, or let the autoscaler take them.",
                    SHARE,
                    (
                        (
                            "1 - sum(rate(ttsrl_reward_stage_seconds_sum"
                            f"{{{SERVICE}}}[$__rate_interval])) "
                            f"/ clamp_min(sum(ttsrl_reward_workers{{{SERVICE}}}), 1)",
                            "idle",
                        ),
                    ),
                    maximum=1.0,
                    limits=((0.9, YELLOW),),
                ),
            ),
        ),
        PanelRow(
            "Pace",
            (
                Panel(
                    "GPU-seconds an update",
                    "Of the trainer's last step.",
                    SECONDS,
                    (
                        (
                            f"max by (run) (ttsrl_train_step_seconds{{{OF}}}) * {GPUS}",
                            "{{run}}",
                        ),
                    ),
                ),
                Panel(
                    "Updates an hour",
                    "Finished steps, over an hour.",
                    COUNT,
                    (
                        (
                            "3600 * sum by (run) (rate(ttsrl_train_steps_total"
                            f"{{{OF}}}[$__rate_interval]))",
                            "{{run}}",
                        ),
                    ),
                ),
                Panel(
                    "GPU-seconds a thousand utterances",
                    "Workers of the reward service, times their time, for a thousand outcomes.",
                    SECONDS,
                    (
                        (
                            f"1000 * sum(ttsrl_reward_workers{{{SERVICE}}}) / sum(rate("
                            f"ttsrl_reward_outcomes_total{{{SERVICE}}}[$__rate_interval]))",
                            "held",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
