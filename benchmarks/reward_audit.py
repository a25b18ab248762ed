"""What the rewards of the shipped recipes pay spoiled speech: the table of docs/rewards.md.

python benchmarks/reward_audit.py --whisper FOLDER [--clips 5]

The clips are those that come with ttsrl, or the shortest of them. Every reward is measured with the
Whisper of FOLDER in the place of its own. A recipe with another model, whose weights are not here,
is named and not run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.audit_clips import SHIPPED, read_clips
from ttsrl.facts import models_in
from ttsrl.reward.audited import WAYS, is_missed
from ttsrl.reward.components import compose, utilities_of
from ttsrl.reward.config import RewardConfig
from ttsrl.serving.audit import audit, recorded
from ttsrl.serving.pipeline import Pipeline
from ttsrl.serving.worker import device_of
from ttsrl.wire import AuditReport, Ok, Outcome, Utterance

ROOT = Path(__file__).parents[1]
TINY = ROOT / "examples/tiny/run.json"
SECTION = "## Which degradations a reward notices"


def main() -> None:
    """Measure all rewards in one pass and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--whisper", required=True, help="folder of a Hugging Face Whisper")
    parser.add_argument("--clips", type=int, default=5, help="how many, the shortest first")
    given = parser.parse_args()
    rewards, left_out = rewards_of(given.whisper)
    components = {c.type: c for reward in rewards.values() for c in reward.components}
    dumped = json.dumps([c.model_dump() for c in components.values()])
    first = next(iter(rewards.values()))
    assert first.whisper is not None
    settings = [
        f"reward.components={dumped}",
        f"reward.whisper.model={first.whisper.model}",
        "reward.scorer_deadline_s=3600",
    ]
    pipeline = Pipeline(load_run(TINY, settings), device_of(0, 1))
    reports = {name: audited(pipeline, reward, given.clips) for name, reward in rewards.items()}
    print("\n".join(table(reports)))
    print("not run, for want of weights:", ", ".join(left_out))


def rewards_of(whisper: str) -> tuple[dict[str, RewardConfig], list[str]]:
    """Name -> reward with this Whisper; and the recipes whose rewards have another model."""
    runs: dict[str, RunConfig] = {}
    for recipe in sorted((ROOT / "examples/recipes").glob("*.json")):
        settings = [f"reward.whisper.model={whisper}"]
        whole = json.loads(recipe.read_text())["reward"].get("whisper")
        runs[recipe.stem] = load_run(recipe, settings if whole else [])
    named = {
        name: [m for m in models_in(run, "scorer").values() if m != str(Path(whisper).resolve())]
        for name, run in runs.items()
    }
    rewards = {name: run.reward for name, run in runs.items() if not named[name]}
    page = (ROOT / "docs/rewards.md").read_text().partition(SECTION)[2]
    [recommended, *_] = re.findall(r"```json\n(\[.*?)```", page, re.S)
    settings = [f"reward.whisper.model={whisper}", f"reward.components={recommended}"]
    rewards["recommended"] = load_run(TINY, settings).reward
    return rewards, [name for name, others in named.items() if others]


def audited(pipeline: Pipeline, reward: RewardConfig, count: int) -> AuditReport:
    """The audit of one reward, with what the pipeline measures for all of them."""

    async def score(utterances: Sequence[Utterance]) -> list[Outcome]:
        outcomes = await asyncio.to_thread(pipeline.score, utterances)
        pairs = zip(utterances, outcomes, strict=True)
        return [composed(reward, u, o) if isinstance(o, Ok) else o for u, o in pairs]

    clips = sorted(recorded(read_clips(SHIPPED, "en")), key=lambda clip: len(clip.samples))
    return asyncio.run(audit(clips[:count], score, pipeline.spec_hash))


def composed(reward: RewardConfig, utterance: Utterance, outcome: Ok) -> Ok:
    """The outcome that this reward has for the same measurements."""
    utilities = utilities_of(reward.components, outcome.raw, utterance.language)
    weights = {c.type: c.weight for c in reward.components}
    return outcome.model_copy(
        update={"reward": compose(utilities, weights, reward.composition), "utilities": utilities}
    )


def table(reports: dict[str, AuditReport]) -> list[str]:
    """Mean reward per way of spoiling, bold where it is as much as that of clean speech."""
    lines = [f"| | {' | '.join(reports)} |", "|---" * (len(reports) + 1) + "|"]
    clean = " | ".join(f"{fmean(report.clean):.2f}" for report in reports.values())
    lines.append(f"| clean speech | {clean} |")
    for name in WAYS:
        cells: list[str] = []
        for report in reports.values():
            found = next((f for f in report.findings if f.name == name), None)
            mean = "not tried" if found is None else f"{fmean(found.rewards):.2f}"
            cells.append(f"**{mean}**" if found is not None and is_missed(found) else mean)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
