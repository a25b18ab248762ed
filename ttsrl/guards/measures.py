"""The measures that a guard can watch, by name: numbers of a step's line, shares, evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ttsrl.config.evaluation import HELD_OUT, JudgeConfig
from ttsrl.config.schema import RunConfig
from ttsrl.models.kinship import kinship_of
from ttsrl.records.step import UTILITY, TrainingStep
from ttsrl.reward.components import Language
from ttsrl.reward.gates import REASONS
from ttsrl.scorers.registry import SCORER_OF
from ttsrl.wire import FAILURES

EVALUATION = "eval."
GATED, FAILED = "gated.", "failed."
WATCHED = ("pitch_spread", "voiced_share")
"""Raw scores that the service measures for the guards."""
OF_STEP = (
    "reward",
    "reward_std",
    "group_std",
    "zero_advantage_share",
    "length_tokens",
    "duration_s",
    "chars_per_s",
    "end_token_rate",
    "gated_share",
    "failed_share",
    "distinct_share",
    "entropy",
    "grad_norm",
    "policy_loss",
    "learning_rate",
    "replaced_groups",
    "seconds",
    "save_waited_s",
    "rollouts",
    "tokens",
    "balance",
)
"""Numbers of every step."""
BESIDE = {
    "dnsmos": ("dnsmos_sig", "dnsmos_bak"),
}
"""Component -> further raw scores of its scorer."""


def value_of(step: TrainingStep, measure: str) -> float | None:
    """A measure of a step; None where this step does not have it."""
    if measure.startswith(GATED):
        return step.gated_reasons.get(measure.removeprefix(GATED), 0) / step.rollouts
    if measure.startswith(FAILED):
        return step.failed_kinds.get(measure.removeprefix(FAILED), 0) / step.rollouts
    if measure.startswith(UTILITY) and measure.removeprefix(UTILITY) in step.utilities:
        return step.utilities[measure.removeprefix(UTILITY)]
    if measure in step.raw:
        return step.raw[measure]
    value = getattr(step, measure, None) if measure in TrainingStep.model_fields else None
    return float(value) if isinstance(value, int | float) else None


def measures_of_steps(run: RunConfig, device: str | None = None) -> set[str]:
    """Every measure that the steps of a run have, trained on a device; None: whatever it names."""
    return {
        *OF_STEP,
        *(["kl"] if run.train.kl_coefficient > 0 else []),
        *([] if _speaks_as_it_learns(run, device) else ["rollout_kl"]),
        *(f"{GATED}{reason}" for reason in REASONS),
        *(f"{FAILED}{kind}" for kind in FAILURES),
        *_scores(run),
    }


def measures_of_evaluations(run: RunConfig) -> set[str]:
    """Every measure that evaluations of a run may have: `eval.SUITE.NAME`.

    cer and wer are those of the judge that the verdict rests on. Raises BadInput.
    """
    suites = [(HELD_OUT, run.eval.judges)]
    suites += [(suite.name, suite.judges_in(run.eval.judges)) for suite in run.eval.suites]
    whole = (name for suite, judges in suites for name in _of_suite(run, suite, judges))
    return {*whole, *measures_during_training(run)}


def measures_during_training(run: RunConfig) -> set[str]:
    """Those of them that are there while the run trains. Raises BadInput."""
    during = run.eval.during_training
    if during is None:
        return set()
    return {*_of_suite(run, during.suite, run.eval.judges_during_training())}


def _of_suite(run: RunConfig, suite: str, judges: Sequence[JudgeConfig]) -> Iterator[str]:
    quality = [f"quality.{one.type}" for one in run.eval.quality]
    limits = ("", "_low", "_high", "_run_low", "_run_high")
    limited = [*(f"{name}_change" for name in ("cer", *quality))]
    if _may_adapt(run, judges):
        limited.append("adaptation")
    for name in (
        *("cer", "wer", "end_token_rate", "duration_s"),
        *(["similarity"] if _speaker_model(run, suite) else []),
        *quality,
        *(f"cer.{judge.name}" for judge in judges),
        *(f"{name}{limit}" for name in limited for limit in limits),
    ):
        yield f"{EVALUATION}{suite}.{name}"


def _speaker_model(run: RunConfig, suite: str) -> str | None:
    """What measures how alike voices are in a suite."""
    own = (one.speaker_model for one in run.eval.suites if one.name == suite)
    return next(own, run.eval.speaker_model)


def _may_adapt(run: RunConfig, judges: Sequence[JudgeConfig]) -> bool:
    """Whether a judge that is kin to the reward may be compared with one that is unlike it.

    One of which nothing is known on this machine may be either.
    """
    relations = [kinship_of(run, judge) for judge in judges]
    unlike = sum(relation in ("unlike", "unknown") for relation in relations)
    akin = sum(relation in ("kin", "same", "unknown") for relation in relations)
    return bool(unlike and akin) and len(relations) > 1


def _speaks_as_it_learns(run: RunConfig, device: str | None) -> bool:
    """Whether the log-probabilities of rollouts are surely the trainer's own, and compared with
    nothing; an engine or a device that is chosen at the start may have others."""
    rollout, train = run.rollout, run.train
    torch = rollout.engine != "vllm" and (device or train.device) == "cpu"
    exact = torch and rollout.top_p == 1 and rollout.top_k == -1 and train.lora is None
    together = train.asynchronous is None and train.updates_per_step == 1
    return exact and together and train.rollout_correction == "none"


def _scores(run: RunConfig) -> Iterator[str]:
    reward = run.reward
    if reward.whisper is not None:
        yield from ("cer", "wer", "nll", "no_speech")
    if reward.gates.min_speech_s > 0:
        yield from ("speech_s", "faint_speech_s")
    if run.guards.prosody_share > 0:
        yield from WATCHED
    for component in reward.components:
        yield f"{UTILITY}{component.type}"
        yield from BESIDE.get(component.type, ())
        yield component.type
        scorer = SCORER_OF.get(component.type)
        yield from (other for other, by in SCORER_OF.items() if by == scorer != "whisper")
        if isinstance(component, Language) and len(wanted := component.languages or []) > 1:
            yield from (f"language_{code}" for code in wanted)
