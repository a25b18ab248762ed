"""Training: what the reward does, what the speech does, and where a step's time goes."""

from __future__ import annotations

from monitoring.board import Board, BoardVariable
from monitoring.panels import BYTES, COUNT, PLAIN, RED, SECONDS, SHARE, YELLOW, Panel, PanelRow

OF = 'namespace=~"$namespace",release=~"$release",run=~"$run"'
RUN = BoardVariable(
    "run",
    "Run",
    'label_values(ttsrl_train_info{namespace=~"$namespace",release=~"$release"}, run)',
    every=True,
)


def last(metric: str, *labels: str, where: str = "") -> str:
    """A gauge of the last step, whichever pod the trainer runs in since its last restart."""
    return f"max by ({', '.join(('run', *labels))}) (ttsrl_train_{metric}{{{OF}{where}}})"


def stat(
    title: str,
    about: str,
    unit: str,
    expression: str,
    *,
    limits: tuple[tuple[float, str], ...] = (),
    maximum: float | None = None,
) -> Panel:
    """A number at the top."""
    return Panel(
        title,
        about,
        unit,
        ((expression, "{{run}}"),),
        kind="stat",
        limits=limits,
        maximum=maximum,
        width=4,
        height=4,
    )


WAITING = (
    "sum by (run) (increase(ttsrl_train_spent_stage_seconds_total"
    f'{{{OF},stage="wait_for_scores"}}[$__range])) '
    f"/ sum by (run) (increase(ttsrl_train_spent_seconds_total{{{OF}}}[$__range]))"
)

NEARNESS = last("guard_nearness", "guard", "then")

BOARD = Board(
    uid="ttsrl-training",
    title="ttsrl / Training",
    about="What the policy learns, and what holds it up. Gauges hold the last finished step.",
    variables=(RUN,),
    rows=(
        PanelRow(
            "Now",
            (
                stat(
                    "Step",
                    "Last finished step, as a share of train.steps.",
                    SHARE,
                    f"{last('step')} / {last('planned_steps')}",
                    maximum=1.0,
                ),
                stat("Reward", "Mean reward of the last step.", PLAIN, last("reward_mean")),
                stat(
                    "CER",
                    "Character error rate of the last step's measured rollouts, by the Whisper "
                    "that gives the reward: not a judgement of quality.",
                    SHARE,
                    last("raw_mean", where=',component="cer"'),
                ),
                stat(
                    "Waiting for scores",
                    "Share of the steps' time between the last token and the last score, over "
                    "the range shown. Above 10 %: more replicas of the reward service.",
                    SHARE,
                    WAITING,
                    limits=((0.1, YELLOW), (0.25, RED)),
                ),
                stat(
                    "Since the last step",
                    "Seconds since a step ended, or since the start where none has.",
                    SECONDS,
                    'time() - max by (run) ({__name__=~"ttsrl_train_last_step_timestamp_seconds'
                    f'|ttsrl_train_start_timestamp_seconds",{OF}}})',
                    limits=((900, YELLOW), (1800, RED)),
                ),
                stat(
                    "Time left",
                    "Steps left, at the pace of the range shown.",
                    SECONDS,
                    f"({last('planned_steps')} - {last('step')}) * sum by (run) (increase("
                    f"ttsrl_train_spent_seconds_total{{{OF}}}[$__range])) / sum by (run) "
                    f"(increase(ttsrl_train_steps_total{{{OF}}}[$__range]))",
                ),
            ),
        ),
        PanelRow(
            "Reward",
            (
                Panel(
                    "Reward",
                    "Mean over the rollouts of a step, and one standard deviation around it. Gated "
                    "rollouts count as 0, unmeasured ones are left out.",
                    PLAIN,
                    (
                        (last("reward_mean"), "{{run}}"),
                        (f"{last('reward_mean')} + {last('reward_std')}", "{{run}} + deviation"),
                        (f"{last('reward_mean')} - {last('reward_std')}", "{{run}} - deviation"),
                    ),
                    minimum=None,
                ),
                Panel(
                    "Utility by component",
                    "Mean utility of each component, 1 is perfect. One that rises while another "
                    "falls is a trade that the weights make.",
                    PLAIN,
                    ((last("utility_mean", "component"), "{{run}} {{component}}"),),
                    maximum=1.0,
                ),
                Panel(
                    "CER while training",
                    "Of measured rollouts, by the Whisper that gives the reward.",
                    SHARE,
                    ((last("raw_mean", where=',component="cer"'), "{{run}}"),),
                ),
                Panel(
                    "Raw scores",
                    "Means in natural units, CER excepted: NLL in nats per token.",
                    PLAIN,
                    (
                        (
                            last("raw_mean", "component", where=',component!="cer"'),
                            "{{run}} {{component}}",
                        ),
                    ),
                    minimum=None,
                ),
                Panel(
                    "CER on held-out texts",
                    "As every judge hears it, from the newest evaluation in storage. Rising for "
                    "one that is unlike the reward while the reward rises: the policy learns the "
                    "reward, not to speak.",
                    SHARE,
                    (
                        (
                            last("held_out_cer", "suite", "judge", "decoding"),
                            "{{run}} {{suite}} {{judge}} {{decoding}}",
                        ),
                    ),
                    no_value="no evaluation yet: ttsrl eval --cluster",
                ),
                Panel(
                    "Held-out CER against the base",
                    "CER of the newest evaluated checkpoint minus that of the policy at the start, "
                    "paired by text, with its 95 % interval. Below 0: training helps.",
                    SHARE,
                    (
                        (
                            last("held_out_cer_change", "suite", "judge", "decoding", "estimate"),
                            "{{run}} {{judge}} {{decoding}} {{estimate}}",
                        ),
                    ),
                    minimum=None,
                    no_value="eval.during_training is off, or nothing is evaluated yet",
                ),
                Panel(
                    "Checkpoints evaluated",
                    "Beside training. Waiting: published and not evaluated yet; a number that "
                    "grows asks for a larger eval.during_training.every.",
                    COUNT,
                    (
                        (last("checkpoints_evaluated"), "{{run}} evaluated"),
                        (last("checkpoints_waiting"), "{{run}} waiting"),
                        (last("checkpoints_skipped"), "{{run}} skipped"),
                        (last("evaluation_failures"), "{{run}} failed attempts"),
                    ),
                ),
                Panel(
                    "Gain that only kin measures",
                    "Adaptation: the relative fall of the held-out CER for the reward's recogniser "
                    "or its kin, minus that for a judge that is unlike it.",
                    SHARE,
                    (
                        (
                            last("held_out_adaptation", "suite", "judge", "kin", "decoding"),
                            "{{run}} {{suite}} {{kin}} against {{judge}} {{decoding}}",
                        ),
                    ),
                    minimum=None,
                    no_value="no evaluation by kin and an unlike judge yet",
                ),
                Panel(
                    "Step of the evaluated model",
                    "Which model the held-out CER is of, beside the newest step.",
                    COUNT,
                    (
                        (last("held_out_step", "suite"), "{{run}} {{suite}}"),
                        (last("step"), "{{run}} newest step"),
                    ),
                ),
            ),
        ),
        PanelRow(
            "Speech",
            (
                Panel(
                    "Length",
                    "Mean speech tokens of a rollout. A fall can be speech that is cut short.",
                    COUNT,
                    ((last("speech_tokens_mean"), "{{run}}"),),
                ),
                Panel(
                    "Duration",
                    "Mean seconds of a measured rollout.",
                    SECONDS,
                    ((last("speech_seconds_mean"), "{{run}}"),),
                ),
                Panel(
                    "Ended by themselves",
                    "Share of rollouts with an end token. Falling: the policy forgets to stop.",
                    SHARE,
                    ((last("end_token_share"), "{{run}}"),),
                    maximum=1.0,
                ),
                Panel(
                    "Gated by reason",
                    "Share of rollouts with reward 0 for a reason.",
                    SHARE,
                    ((last("gated_share", "reason"), "{{run}} {{reason}}"),),
                    kind="stacked",
                ),
                Panel(
                    "Not measured",
                    "Share of rollouts without a reward, by kind: they move no weight. More than "
                    "a few per cent: the reward service is in trouble.",
                    SHARE,
                    ((last("failed_share", "kind"), "{{run}} {{kind}}"),),
                    kind="stacked",
                    limits=((0.02, RED),),
                ),
                Panel(
                    "Distinct",
                    "Share of rollouts that are not a copy of another one of the step. Low: raise "
                    "rollout.temperature.",
                    SHARE,
                    ((last("distinct_share"), "{{run}}"),),
                    maximum=1.0,
                ),
            ),
        ),
        PanelRow(
            "Guards",
            (
                Panel(
                    "Guards nearest to their limits",
                    "Share of the way from the base to the limits: 1 is where a guard trips once "
                    "it lasts. docs/guards.md describes each guard.",
                    SHARE,
                    ((f"topk by (run) (8, {NEARNESS})", "{{run}} {{guard}} ({{then}})"),),
                    limits=((0.7, YELLOW), (1.0, RED)),
                    no_value="no guard has enough steps to judge yet",
                ),
                Panel(
                    "Guards beyond their limits",
                    "How many are tripped now, by what happens then. The log of the run names "
                    "them, with the figures and what to do.",
                    COUNT,
                    (
                        (
                            f"sum by (run, then) ({last('guard_tripped', 'guard', 'then')})",
                            "{{run}} {{then}}",
                        ),
                    ),
                    kind="stacked",
                    limits=((1, RED),),
                ),
                Panel(
                    "Trips and rollbacks",
                    "Of the whole run: how often guards tripped, and how often the run was set "
                    "back to an earlier checkpoint.",
                    COUNT,
                    (
                        (
                            f"sum by (run) ({last('guard_trips_total', 'guard', 'then')})",
                            "{{run}} trips",
                        ),
                        (last("rollbacks_total"), "{{run}} rollbacks"),
                    ),
                ),
            ),
        ),
        PanelRow(
            "Optimisation",
            (
                Panel(
                    "Deviation within groups",
                    "Standard deviation of the rewards of one prompt's rollouts, mean over the "
                    "prompts: what GRPO learns from.",
                    PLAIN,
                    ((last("group_std"), "{{run}}"),),
                ),
                Panel(
                    "Groups without advantage",
                    "Share of prompts whose rollouts all got the same reward: they cost as much "
                    "and teach nothing. High: harder texts, or larger groups.",
                    SHARE,
                    ((last("zero_advantage_group_share"), "{{run}}"),),
                    maximum=1.0,
                    limits=((0.8, RED),),
                ),
                Panel(
                    "KL to the reference",
                    "How far the policy has gone from where it started, nats per token.",
                    PLAIN,
                    ((last("kl"), "{{run}}"),),
                    minimum=None,
                    no_value="not computed: train.kl_coefficient is 0",
                ),
                Panel(
                    "Entropy",
                    "Of the policy, nats per token. Near 0 the rollouts of a group are the same.",
                    PLAIN,
                    ((last("entropy"), "{{run}}"),),
                ),
                Panel(
                    "Gradient norm",
                    "Before it is clipped to train.gradient_clip.",
                    PLAIN,
                    ((last("grad_norm"), "{{run}}"),),
                ),
                Panel(
                    "Policy loss and learning rate",
                    "The loss is near 0 by construction; spikes are what to look for.",
                    PLAIN,
                    (
                        (last("policy_loss"), "{{run}} loss"),
                        (last("learning_rate"), "{{run}} learning rate"),
                    ),
                    minimum=None,
                ),
            ),
        ),
        PanelRow(
            "Time",
            (
                Panel(
                    "Step time-line",
                    "Seconds of each stage of the last step, one above the other. "
                    "wait_for_scores begins at the last token: what scoring did not hide.",
                    SECONDS,
                    ((last("stage_seconds", "stage"), "{{stage}}"),),
                    kind="bars",
                    width=16,
                ),
                Panel(
                    "Waiting for scores",
                    "Share of the last step between its last token and its last score.",
                    SHARE,
                    ((last("waiting_share"), "{{run}}"),),
                    limits=((0.1, RED),),
                ),
                Panel(
                    "Idle GPUs",
                    "Share of the last step in which no kernel ran, for each training GPU.",
                    SHARE,
                    ((last("gpu_idle_share", "gpu"), "{{run}} GPU {{gpu}}"),),
                    maximum=1.0,
                    no_value="no GPU, or one that cannot tell (MIG)",
                ),
                Panel(
                    "Step",
                    "Seconds of the last step; the run ends itself, to be resumed, at the line "
                    "train.step_deadline_s.",
                    SECONDS,
                    (
                        (last("step_seconds"), "{{run}}"),
                        (last("step_deadline_seconds"), "{{run}} deadline"),
                    ),
                ),
                Panel(
                    "Speech tokens a second",
                    "Generated, over the whole of the steps.",
                    COUNT,
                    (
                        (
                            f"sum by (run) (rate(ttsrl_train_speech_tokens_total{{{OF}}}"
                            "[$__rate_interval])) ",
                            "{{run}}",
                        ),
                    ),
                ),
                Panel(
                    "Rollouts by outcome",
                    "Rollouts a second, as training took them.",
                    COUNT,
                    (
                        (
                            "sum by (outcome) (rate("
                            f"ttsrl_train_rollouts_total{{{OF}}}[$__rate_interval]))",
                            "{{outcome}}",
                        ),
                    ),
                    kind="stacked",
                ),
            ),
        ),
        PanelRow(
            "Checkpoints",
            (
                Panel(
                    "Published",
                    "Newest step, newest published checkpoint, and the step that this start went "
                    "on from. A gap of more than train.save_every is work that a loss would cost.",
                    COUNT,
                    (
                        (last("step"), "{{run}} step"),
                        (last("checkpoint_step"), "{{run}} published"),
                        (last("resumed_step"), "{{run}} resumed from"),
                    ),
                ),
                Panel(
                    "Upload",
                    "Seconds of the newest checkpoint's upload, beside the steps after it.",
                    SECONDS,
                    ((last("checkpoint_publish_seconds"), "{{run}}"),),
                    no_value="no checkpoint yet",
                ),
                Panel(
                    "Size",
                    "Bytes of the newest published checkpoint.",
                    BYTES,
                    ((last("checkpoint_bytes"), "{{run}}"),),
                    no_value="no checkpoint yet",
                ),
            ),
        ),
    ),
)
