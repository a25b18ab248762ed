"""The reward service: load, queue, latency, outcomes, replicas and GPUs of one release."""

from __future__ import annotations

from monitoring.board import Board
from monitoring.panels import (
    BYTES,
    COUNT,
    PER_SECOND,
    PLAIN,
    RED,
    SECONDS,
    SHARE,
    WATT,
    YELLOW,
    Panel,
    PanelRow,
)

OF = 'namespace=~"$namespace",release=~"$release"'
PODS = 'namespace=~"$namespace",pod=~"$release(-ttsrl)?-reward-.+"'
"""The service's pods in metrics of Kubernetes, which know no release."""
DEPLOYMENT = 'namespace=~"$namespace",deployment=~"$release(-ttsrl)?-reward"'


def rate(metric: str, *labels: str, where: str = "") -> str:
    """Growth a second, summed over replicas."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({metric}{{{OF}{where}}}[$__rate_interval]))"


def quantile(share: float, metric: str, *labels: str, where: str = "") -> str:
    """A quantile of a histogram over all replicas."""
    return f"histogram_quantile({share}, {rate(metric + '_bucket', 'le', *labels, where=where)})"


def mean(metric: str, *labels: str) -> str:
    """Mean of a histogram over all replicas."""
    return f"{rate(metric + '_sum', *labels)} / {rate(metric + '_count', *labels)}"


def gpu(field: str) -> str:
    """A field of DCGM of the GPUs that pods hold. Where Prometheus does not honour the exporter's
    labels, the pod that holds the GPU is in exported_pod."""
    exported = ",".join(f"exported_{matcher}" for matcher in PODS.split(",", 1))
    named = f'label_replace({field}{{{exported}}}, "pod", "$1", "exported_pod", "(.+)")'
    return f"max by (pod, gpu) ({named} or {field}{{{PODS}}})"


OUTCOMES = "ttsrl_reward_outcomes_total"
REQUESTS = "ttsrl_reward_requests_total"


def recorded(name: str) -> tuple[tuple[str, str], ...]:
    """A share that helm/rules records, over the windows whose burn rates are alerted on."""
    return tuple(
        (f"max(ttsrl:reward_{name}:ratio_rate{window}{{{OF}}})", window)
        for window in ("5m", "1h", "6h")
    )


OBJECTIVES = PanelRow(
    "Objectives",
    (
        Panel(
            "Requests that failed",
            "Share of 5xx. The objective allows thresholds.availabilityObjective of 30 days.",
            SHARE,
            recorded("failed_requests"),
            width=8,
        ),
        Panel(
            "Requests that were late",
            "Share that took longer than thresholds.sloSeconds.",
            SHARE,
            recorded("slow_requests"),
            width=8,
        ),
        Panel(
            "Requests turned away",
            "Share that found the queue full (429). Trainers ask again, and wait longer.",
            SHARE,
            (
                (
                    "("
                    + rate(REQUESTS, where=',code="429"')
                    + f" or 0 * {rate(REQUESTS)}) / {rate(REQUESTS)}",
                    "429",
                ),
            ),
            width=8,
        ),
    ),
)

BOARD = Board(
    uid="ttsrl-reward",
    title="ttsrl / Reward service",
    about="Whether rollouts get their scores, how soon, and with how much hardware.",
    rows=(
        PanelRow(
            "Now",
            (
                Panel(
                    "Replicas that can score",
                    "Replicas whose models are loaded. At 0 every rollout waits, and after "
                    "reward.sample_deadline_s it is left out of its group.",
                    COUNT,
                    ((f"sum(ttsrl_reward_ready{{{OF}}})", ""),),
                    kind="stat",
                    limits=((0, RED), (1, "green")),
                    width=4,
                    height=4,
                ),
                Panel(
                    "Utterances a second",
                    "Utterances that got an outcome.",
                    PER_SECOND,
                    ((rate(OUTCOMES), ""),),
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Waiting a replica",
                    "Utterances in the queue of a replica: what the autoscaler looks at.",
                    COUNT,
                    (
                        (
                            f"sum(ttsrl_reward_queue_depth{{{OF}}}) "
                            f"/ clamp_min(sum(ttsrl_reward_ready{{{OF}}}), 1)",
                            "",
                        ),
                    ),
                    kind="stat",
                    limits=((64, YELLOW), (256, RED)),
                    width=4,
                    height=4,
                ),
                Panel(
                    "Latency, 95th percentile",
                    "Seconds from a scoring request to its scores, the queue included.",
                    SECONDS,
                    ((quantile(0.95, "ttsrl_reward_request_seconds"), ""),),
                    kind="stat",
                    limits=((10, YELLOW), (60, RED)),
                    width=4,
                    height=4,
                ),
                Panel(
                    "Errors",
                    "Share of utterances that could not be measured. They are not data: retried, "
                    "then left out of training. Never a reward of 0.",
                    SHARE,
                    (
                        (
                            rate(OUTCOMES, where=',outcome="error"') + f" / {rate(OUTCOMES)}",
                            "",
                        ),
                    ),
                    kind="stat",
                    limits=((0.005, YELLOW), (0.02, RED)),
                    width=4,
                    height=4,
                ),
                Panel(
                    "Specifications served",
                    "Distinct specifications of the replicas. More than one, except during an "
                    "upgrade, means that a reward depends on the replica that gives it.",
                    COUNT,
                    ((f"count(count by (spec_hash) (ttsrl_reward_spec_info{{{OF}}}))", ""),),
                    kind="stat",
                    limits=((2, RED),),
                    width=4,
                    height=4,
                ),
            ),
        ),
        OBJECTIVES,
        PanelRow(
            "Load and queue",
            (
                Panel(
                    "Utterances by outcome",
                    "ok: measured; gated: no speech of its text, reward 0; error: not measured.",
                    PER_SECOND,
                    ((rate(OUTCOMES, "outcome"), "{{outcome}}"),),
                    kind="stacked",
                ),
                Panel(
                    "Requests by status",
                    "200 scores; 401 wrong token; 413 too large; 429 the queue is full; 499 the "
                    "client left before its scores; 503 loading or ending. Clients retry 429 and "
                    "503.",
                    PER_SECOND,
                    ((rate("ttsrl_reward_requests_total", "route", "code"), "{{route}} {{code}}"),),
                    kind="stacked",
                ),
                Panel(
                    "Speech scored a second",
                    "Seconds of speech measured in a second; above 1 is faster than listening.",
                    PLAIN,
                    ((rate("ttsrl_reward_audio_seconds_total"), "s of speech / s"),),
                ),
                Panel(
                    "Queue",
                    "Utterances waiting at each replica, and how many may of each run; what comes "
                    "beyond is answered with 429 and sent again by the client. One replica far "
                    "above the others: its clients hold their connections, which new replicas do "
                    "not help.",
                    COUNT,
                    (
                        (f"ttsrl_reward_queue_depth{{{OF}}}", "{{pod}}"),
                        (f"max(ttsrl_reward_queue_capacity{{{OF}}})", "room of a run"),
                    ),
                ),
                Panel(
                    "Utterances measured, by run",
                    "Runs that share the service take turns: while each has something to measure, "
                    "each gets the same share. (unnamed): clients that do not send a run's name.",
                    PER_SECOND,
                    ((rate("ttsrl_reward_run_utterances_total", "run"), "{{run}}"),),
                    kind="stacked",
                ),
                Panel(
                    "Waiting and turned away, by run",
                    "Utterances that wait, and requests that were answered with 429: a run that "
                    "sends more than it may is turned away alone.",
                    COUNT,
                    (
                        (f"sum by (run) (ttsrl_reward_run_queue_depth{{{OF}}})", "{{run}} waits"),
                        (
                            f"sum by (run) (increase(ttsrl_reward_run_refused_total{{{OF}}}"
                            "[$__rate_interval]))",
                            "{{run}} turned away",
                        ),
                    ),
                ),
                Panel(
                    "In flight",
                    "Utterances accepted and not yet answered, the ones being measured included; "
                    "the line is what all replicas measure at once.",
                    COUNT,
                    (
                        (f"sum(ttsrl_reward_in_flight{{{OF}}})", "in flight"),
                        (f"sum(ttsrl_reward_batch_capacity{{{OF}}})", "measured at once"),
                    ),
                ),
                Panel(
                    "How full batches are",
                    "Mean batch as a share of reward.batch_size. Low with a queue: the scorers are "
                    "not the limit. Low without one: there is little to do.",
                    SHARE,
                    (
                        (
                            f"({mean('ttsrl_reward_batch_size')}) * "
                            f"sum(ttsrl_reward_workers{{{OF}}}) "
                            f"/ sum(ttsrl_reward_batch_capacity{{{OF}}})",
                            "fill",
                        ),
                    ),
                    maximum=1.0,
                ),
            ),
        ),
        PanelRow(
            "Latency",
            (
                Panel(
                    "Request",
                    "Seconds from a scoring request to its scores, the queue included.",
                    SECONDS,
                    tuple(
                        (quantile(share, "ttsrl_reward_request_seconds"), f"p{share * 100:g}")
                        for share in (0.5, 0.95, 0.99)
                    ),
                    limits=((60, RED),),
                ),
                Panel(
                    "Waiting in the queue",
                    "Seconds that the oldest utterance of a batch had waited.",
                    SECONDS,
                    tuple(
                        (quantile(share, "ttsrl_reward_queue_seconds"), f"p{share * 100:g}")
                        for share in (0.5, 0.95)
                    ),
                ),
                Panel(
                    "Stages of a batch, 95th percentile",
                    "Seconds that each stage takes for one batch.",
                    SECONDS,
                    ((quantile(0.95, "ttsrl_reward_stage_seconds", "stage"), "{{stage}}"),),
                ),
                Panel(
                    "Where the scorers' time goes",
                    "Seconds spent in each stage a second, all replicas together.",
                    PLAIN,
                    ((rate("ttsrl_reward_stage_seconds_sum", "stage"), "{{stage}}"),),
                    kind="stacked",
                ),
                Panel(
                    "Busy",
                    "Share of the time that a replica's workers measure. Near 1 with a queue: more "
                    "replicas help.",
                    SHARE,
                    (
                        (
                            rate("ttsrl_reward_stage_seconds_sum", "pod")
                            + f" / sum by (pod) (ttsrl_reward_workers{{{OF}}})",
                            "{{pod}}",
                        ),
                    ),
                    limits=((0.9, YELLOW),),
                ),
                Panel(
                    "Loading of models",
                    "Seconds until a replica could score: what a new replica or an upgrade costs.",
                    SECONDS,
                    ((f"ttsrl_reward_load_seconds{{{OF}}}", "{{pod}}"),),
                ),
            ),
        ),
        PanelRow(
            "What is measured",
            (
                Panel(
                    "Gated by reason",
                    "Share of utterances with reward 0 for a reason. It falls while a policy "
                    "learns; a rise is a policy that breaks, or one that cheats.",
                    SHARE,
                    (
                        (
                            rate(OUTCOMES, "reason", where=',outcome="gated"')
                            + f" / on () group_left () {rate(OUTCOMES)}",
                            "{{reason}}",
                        ),
                    ),
                    kind="stacked",
                ),
                Panel(
                    "Errors by kind",
                    "Share of utterances without a measurement. rejected: a text that cannot be "
                    "scored; decode, scorer, nan: look into the service's log.",
                    SHARE,
                    (
                        (
                            rate(OUTCOMES, "reason", where=',outcome="error"')
                            + f" / on () group_left () {rate(OUTCOMES)}",
                            "{{reason}}",
                        ),
                    ),
                    kind="stacked",
                    limits=((0.02, RED),),
                ),
                Panel(
                    "Rewards",
                    "How rewards of measured utterances are spread, over time.",
                    PLAIN,
                    (
                        (
                            f"sum by (le) (increase(ttsrl_reward_reward_bucket{{{OF}}}"
                            "[$__rate_interval]))",
                            "{{le}}",
                        ),
                    ),
                    kind="heatmap",
                ),
                Panel(
                    "CER",
                    "Character error rate of measured utterances.",
                    SHARE,
                    (
                        (mean("ttsrl_reward_cer"), "mean"),
                        (quantile(0.5, "ttsrl_reward_cer"), "median"),
                        (quantile(0.9, "ttsrl_reward_cer"), "p90"),
                    ),
                ),
                Panel(
                    "NLL",
                    "Nats a token that Whisper needs for the text, of measured utterances.",
                    PLAIN,
                    (
                        (mean("ttsrl_reward_nll"), "mean"),
                        (quantile(0.5, "ttsrl_reward_nll"), "median"),
                        (quantile(0.9, "ttsrl_reward_nll"), "p90"),
                    ),
                ),
                Panel(
                    "Utility by component",
                    "Mean of each component of the reward, 1 is perfect. The reward is their "
                    "weighted harmonic mean: the lowest decides.",
                    PLAIN,
                    ((mean("ttsrl_reward_utility", "component"), "{{component}}"),),
                    maximum=1.0,
                ),
            ),
        ),
        PanelRow(
            "Replicas",
            (
                Panel(
                    "Wanted and there",
                    "Replicas that the autoscaler wants, that exist, and that can score. Wanted "
                    "above existing: kubectl describe says why. From kube-state-metrics.",
                    COUNT,
                    (
                        (f"max(kube_deployment_spec_replicas{{{DEPLOYMENT}}})", "wanted"),
                        (f"max(kube_deployment_status_replicas{{{DEPLOYMENT}}})", "exist"),
                        (f"max(kube_deployment_status_replicas_ready{{{DEPLOYMENT}}})", "ready"),
                        (
                            "max(kube_horizontalpodautoscaler_spec_max_replicas{"
                            'namespace=~"$namespace",'
                            'horizontalpodautoscaler=~"(keda-hpa-)?$release(-ttsrl)?-reward"})',
                            "limit",
                        ),
                    ),
                ),
                Panel(
                    "What the autoscaler sees",
                    "Value of each of KEDA's triggers, from KEDA's operator. Nothing where "
                    "reward.autoscaling.keda is off.",
                    COUNT,
                    (
                        (
                            "max by (scaler) (keda_scaler_metrics_value{"
                            'exported_namespace=~"$namespace",'
                            'scaledObject=~"$release(-ttsrl)?-reward"} '
                            'or keda_scaler_metrics_value{namespace=~"$namespace",'
                            'scaledObject=~"$release(-ttsrl)?-reward"})',
                            "{{scaler}}",
                        ),
                    ),
                    no_value="KEDA is off",
                ),
                Panel(
                    "Workers lost and restarts",
                    "Worker processes that died or hung and were replaced, and restarts of whole "
                    "containers (from kube-state-metrics), over the range shown. Neither loses a "
                    "reward: work is done again.",
                    COUNT,
                    (
                        (
                            "sum by (pod, reason) (increase("
                            f"ttsrl_reward_workers_lost_total{{{OF}}}[$__range]))",
                            "{{pod}} worker {{reason}}",
                        ),
                        (
                            "sum by (pod) (increase("
                            f"kube_pod_container_status_restarts_total{{{PODS}}}[$__range]))",
                            "{{pod}} restarted",
                        ),
                    ),
                    limits=((1, YELLOW),),
                ),
                Panel(
                    "CPU",
                    "Cores that each replica uses. From cAdvisor.",
                    PLAIN,
                    (
                        (
                            "sum by (pod) (rate(container_cpu_usage_seconds_total"
                            f'{{{PODS},container="reward"}}[$__rate_interval]))',
                            "{{pod}}",
                        ),
                    ),
                ),
                Panel(
                    "Memory",
                    "Memory that each replica holds and cannot give back. From cAdvisor.",
                    BYTES,
                    (
                        (
                            "max by (pod) (container_memory_working_set_bytes"
                            f'{{{PODS},container="reward"}})',
                            "{{pod}}",
                        ),
                    ),
                ),
                Panel(
                    "What serves",
                    "Specification, codec, Whisper and device of each replica.",
                    PLAIN,
                    ((f"ttsrl_reward_spec_info{{{OF}}}", ""),),
                    kind="table",
                    minimum=None,
                ),
            ),
        ),
        PanelRow(
            "GPU (NVIDIA's DCGM exporter)",
            (
                Panel(
                    "Utilisation",
                    "Share of the time that a kernel runs. High with a short queue is well used; "
                    "low with a long one points to the CPU or to the network.",
                    SHARE,
                    ((f"{gpu('DCGM_FI_DEV_GPU_UTIL')} / 100", "{{pod}} GPU {{gpu}}"),),
                    maximum=1.0,
                    no_value="no GPU, or no DCGM exporter",
                ),
                Panel(
                    "Memory used",
                    "Frame buffer in use. A larger reward.batch_size uses more.",
                    BYTES,
                    ((f"{gpu('DCGM_FI_DEV_FB_USED')} * 1048576", "{{pod}} GPU {{gpu}}"),),
                    no_value="no GPU, or no DCGM exporter",
                ),
                Panel(
                    "Power",
                    "Power draw.",
                    WATT,
                    ((gpu("DCGM_FI_DEV_POWER_USAGE"), "{{pod}} GPU {{gpu}}"),),
                    no_value="no GPU, or no DCGM exporter",
                ),
            ),
        ),
    ),
)
