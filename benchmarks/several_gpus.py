"""One run on two GPUs, again on two after a rank was killed, then on one, then on two again.

On GPUs: python benchmarks/several_gpus.py --shape full --work-dir DIR --prompts 16
Without: the same with --shape test, on two processes of the CPU.

Each start resumes from the newest checkpoint, so it repeats the step that had ended after it: with
the same prompts, or this ends with an error. Random weights, and the reward service on the first
GPU, as in train_speed.py. The last part is a run of its own on one GPU with half of the prompts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from reward_speed import server, wait_loaded
from train_speed import BENCH, REWARD, SHAPES, Done, make_models, write_run

from ttsrl.errors import Failure
from ttsrl.records.record import whole_lines
from ttsrl.records.step import TrainingStep
from ttsrl.runtime.machine import gpus
from ttsrl.training.supervisor import train

SAVE_EVERY = 2
RANK = "WorkerDict"
"""In the title of a process of Ray that trains."""
STAGES = ("generate", "wait_for_scores", "old_log_prob", "update", "sync_weights", "save")


@dataclass(frozen=True)
class RunPart:
    """One start of the run."""

    name: str
    gpus: int
    until: int
    """The step after whose end this start ends."""
    kill: bool = False
    """Whether it ends because a rank is killed."""


PARTS = (
    RunPart("two", 2, 3, kill=True),
    RunPart("two again", 2, 5),
    RunPart("one", 1, 7),
    RunPart("two once more", 2, 9),
)
HALF = RunPart("one, half of the prompts", 1, 3)


@dataclass(frozen=True)
class Ended:
    """A step, and when it ended."""

    part: str
    after_s: float
    """Seconds after this start of the run began."""
    step: TrainingStep


def main() -> None:
    """Every part in turn, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=[*SHAPES], default="test")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=4, help="of a step")
    parser.add_argument("--reward-python", default=sys.executable)
    parser.add_argument("--tokens", type=float, default=1150, help="mean length of a rollout")
    parser.add_argument("--set", action="append", default=[], help="as of `ttsrl train`")
    names = [part.name for part in (*PARTS, HALF)]
    parser.add_argument(
        "--parts", nargs="+", choices=names, default=names, help="without the others"
    )
    arguments = parser.parse_args()
    folder = arguments.work_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[arguments.shape]
    make_models(arguments.reward_python, folder, shape, arguments.tokens)
    paths = [str(BENCH), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    served = write_run(folder, shape, [], published=False).rename(folder / "reward.json")
    ended: list[Ended] = []
    with server(*REWARD, str(served), "--port", python=arguments.reward_python) as url:
        wait_loaded(url)
        common = [f"reward.url={url}", f"train.save_every={SAVE_EVERY}", *arguments.set]
        for part in PARTS:
            if part.name in arguments.parts:
                sizes = [f"train.prompts_per_step={arguments.prompts}", "name=several"]
                ended += run_part(part, folder, shape, [*common, *sizes])
                check_prompts(ended)
        if HALF.name in arguments.parts:
            sizes = [f"train.prompts_per_step={arguments.prompts // 2}", "name=half"]
            ended += run_part(HALF, folder, shape, [*common, *sizes])
    table(ended)


def run_part(
    part: RunPart, folder: Path, shape: dict[str, Any], settings: Sequence[str]
) -> list[Ended]:
    """Its steps in order, those that the log had before left out."""
    given = [*settings, f"train.gpus_per_node={part.gpus}"]
    config = write_run(folder, shape, given, published=False)
    work_dir = folder / json.loads(config.read_text())["name"]
    log = work_dir / "train" / "steps.jsonl"
    known = whole_lines(log)
    start = time.monotonic()
    ended: list[Ended] = []

    def look() -> None:
        for line in whole_lines(log):
            if line in known:
                continue
            known.append(line)
            step = TrainingStep.model_validate_json(line)
            ended.append(Ended(part.name, time.monotonic() - start, step))
            print(f"{part.name}: {ended[-1].after_s:6.1f} s", line, flush=True)
        if ended and ended[-1].step.step >= part.until:
            if not part.kill:
                raise Done
            kill_rank()

    print(f"{part.name}: starts", flush=True)
    try:
        train(config, work_dir, look)
    except Done:
        pass
    except Failure as error:
        if not part.kill:
            raise
        print(f"{part.name}: after the kill it ended with: {error}", flush=True)
    return ended


def kill_rank() -> None:
    """SIGKILL to the last process that trains, where it has not been killed yet."""
    ranks = [one for one in psutil.Process().children(recursive=True) if is_rank(one)]
    if len(ranks) > 1:
        print(f"killed: {ranks[-1].pid}, one of {len(ranks)}", flush=True)
        ranks[-1].kill()


def is_rank(process: psutil.Process) -> bool:
    """Whether it trains."""
    with suppress(psutil.Error):
        return any(RANK in word for word in process.cmdline())
    return False


def check_prompts(ended: Sequence[Ended]) -> None:
    """Raises SystemExit where one step had other prompts after a start than before it."""
    prompts: dict[int, str] = {}
    for one in ended:
        first = prompts.setdefault(one.step.step, one.step.prompts_sha256)
        if first != one.step.prompts_sha256:
            raise SystemExit(f"step {one.step.step} had other prompts in part {one.part!r}")


def table(ended: Sequence[Ended]) -> None:
    """A line per step."""
    names = ("part", "step", "ended after", "seconds", *STAGES, "balance", "GPU idle", "prompts")
    print("|", " | ".join(names), "|")
    print("|" + "---|" * len(names))
    figures: Sequence[Callable[[Ended], str]] = (
        lambda one: one.part,
        lambda one: str(one.step.step),
        lambda one: f"{one.after_s:.0f} s",
        lambda one: f"{one.step.seconds:.1f}",
        *(stage_of(name) for name in STAGES),
        lambda one: f"{one.step.balance or 1:.3f}",
        lambda one: ", ".join(f"{share:.0%}" for share in one.step.gpu_idle.values()) or "-",
        lambda one: one.step.prompts_sha256[:8],
    )
    for one in ended:
        print("|", " | ".join(figure(one) for figure in figures), "|")
    where = ", ".join(gpu.name for gpu in gpus()) or "no GPU"
    print(f"{where}; the prompts of each repeated step are those of before")


def stage_of(name: str) -> Callable[[Ended], str]:
    """Seconds of a stage of a step."""
    return lambda one: f"{one.step.seconds_by_stage.get(name, 0.0):.2f}"


if __name__ == "__main__":
    main()
