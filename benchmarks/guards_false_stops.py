"""How often a guard on evaluations acts in runs that do not change.

PYTHONPATH=.:tests python benchmarks/guards_false_stops.py --evaluations 20

Each simulated run draws the figures of every checkpoint's utterances from the distribution that the
policy before training has, and its rewards rise all the same: whatever acts, acts by chance. The
evaluations go through the code that a real run's guards do. `--worse 0.05` makes speech worse by 5
points of CER from the first checkpoint on: what acts is then right.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator

from scipy.stats import binomtest

from support.paths import TINY
from support.records import report_of, row_of, step_of
from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.measures import Evaluated, measures_of
from ttsrl.guards.armed import armed
from ttsrl.guards.history import History
from ttsrl.guards.judging import findings
from ttsrl.records.evaluation import SAMPLED, EvaluationRow

UNLIKE, KIN = "unlike", "kin"
SAVE_EVERY = 4
QUALITY = ("dnsmos", "distillmos")
EACH = {
    "name": "each_alone",
    "when": [
        {"measure": "reward", "rises": 0.0},
        {"measure": "eval.held_out.cer_change_low", "above": 0.0},
    ],
}
"""What `held_out` would be if it looked at the 95 % interval of each evaluation alone."""


def often_wrong(draw: random.Random, hardness: float) -> float:
    """CER of an utterance as of the tiny policy: 0.32 on average."""
    return sum(draw.random() < 0.12 + 0.4 * hardness for _ in range(30)) / 30


def seldom_wrong(draw: random.Random, hardness: float) -> float:
    """As of a published model: most utterances have no error, and one in fifty runs away."""
    if draw.random() < 0.02:
        return draw.uniform(0.5, 2.0)
    if draw.random() < 0.5 + 0.5 * hardness:
        return 0.0
    return sum(draw.random() < 0.1 for _ in range(60)) / 60


SPEECH: dict[str, Callable[[random.Random, float], float]] = {
    "often wrong": often_wrong,
    "seldom wrong": seldom_wrong,
}


def run_of(evaluations: int, texts: int, samples: int) -> RunConfig:
    """A run of so many checkpoints whose guards on evaluations are all armed."""
    judges = [
        {"name": UNLIKE, "type": "pocketsphinx", "model": "pocketsphinx"},
        {"name": KIN, "type": "whisper", "model": "openai/whisper-small"},
    ]
    components = [{"type": name} for name in QUALITY]
    settings = {
        "reward.whisper.model": "openai/whisper-large-v3",
        "reward.components": [{"type": "cer"}, *components],
        "eval.judges": judges,
        "eval.quality": [{"type": name, "used_in_reward": True} for name in QUALITY],
        "eval.during_training": {"texts": texts},
        "eval.bootstrap_samples": samples,
        "train.steps": evaluations * SAVE_EVERY,
        "train.save_every": SAVE_EVERY,
        "guards.rules": [EACH],
    }
    return load_run(TINY / "run.json", [f"{k}={json.dumps(v)}" for k, v in settings.items()])


def acting(run: RunConfig, speech: str, seed: int, worse: float = 0.0) -> dict[str, int]:
    """Guard on evaluations -> the first evaluation, from 1 on, at which it acts; -1: at none."""
    draw = random.Random(seed)
    texts = run.eval.during_training.texts if run.eval.during_training else 0
    hardness_T = [draw.random() for _ in range(texts)]
    history = History(run.guards.base_steps)
    base = _evaluated(draw, speech, hardness_T, 0.0)
    for step in range(1, run.train.steps + 1):
        raw = dict.fromkeys(QUALITY, 3 + 0.001 * step)
        history.add_step(step_of(step, reward=0.5 + 0.001 * step, raw=raw, utilities={}))
    history.add_evaluation(0, measures_of(run, HELD_OUT, base, base))
    for step in range(SAVE_EVERY, run.train.steps + 1, SAVE_EVERY):
        now = _evaluated(draw, speech, hardness_T, worse)
        history.add_evaluation(step, measures_of(run, HELD_OUT, now, base))
    guards = (guard for guard in armed(run).guards if guard.of_evaluation)
    first = {guard.name: next(findings(guard, history), None) for guard in guards}
    return {name: -1 if one is None else one.step // SAVE_EVERY for name, one in first.items()}


def _evaluated(
    draw: random.Random, speech: str, hardness_T: list[float], worse: float
) -> Evaluated:
    rows = list(_rows(draw, SPEECH[speech], hardness_T, worse))
    report = report_of({SAMPLED: dict.fromkeys((UNLIKE, KIN), 0.0)}, texts=len(rows))
    judges = [judge.model_copy(update={"kinship": judge.name}) for judge in report.judges]
    mode = report.modes[SAMPLED].model_copy(update={"mean_quality": dict.fromkeys(QUALITY, 3.0)})
    return report.model_copy(update={"judges": judges, "modes": {SAMPLED: mode}}), rows


def _rows(
    draw: random.Random,
    cer_of: Callable[[random.Random, float], float],
    hardness_T: list[float],
    worse: float,
) -> Iterator[EvaluationRow]:
    for index, hardness in enumerate(hardness_T):
        cer = cer_of(draw, hardness) + worse
        heard = {UNLIKE: cer, KIN: cer * draw.uniform(0.5, 1.5)}
        quality = {name: draw.gauss(3 + 0.3 * hardness, 0.3) for name in QUALITY}
        yield row_of(index, heard, mode=SAMPLED, quality=quality)


def main() -> None:
    """Simulate, then print in how many runs each guard acted."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--samples", type=int, default=2000, help="of each bootstrap")
    parser.add_argument("--worse", type=float, default=0.0)
    given = parser.parse_args()
    run = run_of(given.evaluations, given.texts, given.samples)
    print(f"{given.runs} runs, {given.evaluations} evaluations of {given.texts} texts")
    print("| speech | guard | acts in | 95 % interval | median evaluation |\n|---|---|---|---|---|")
    for speech in SPEECH:
        found = [acting(run, speech, seed, given.worse) for seed in range(given.runs)]
        for guard in found[0]:
            at = sorted(one[guard] for one in found if one[guard] > 0)
            limits = binomtest(len(at), given.runs).proportion_ci(method="wilson")
            middle = at[len(at) // 2] if at else "none"
            share = f"{100 * len(at) / given.runs:.1f} %"
            told = f"{100 * limits.low:.1f} to {100 * limits.high:.1f} %"
            print(f"| {speech} | `{guard}` | {share} | {told} | {middle} |", flush=True)


if __name__ == "__main__":
    main()
