"""Turns against apart: the same run with every GPU doing both, and with some that only generate.

python benchmarks/apart_speed.py --work-dir /tmp/apart --staleness 1 2
On GPUs: the same with --config RUN --set train.gpus_per_node=4 --rollout-gpus 2

Every way has the same GPUs (on a CPU, processes), prompts a step, steps and seeds, so that after so
many steps it has trained on as many samples. A reward service is started beside it, or given by
--url. Each way is a run of its own in --work-dir, and continues where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

from reward_speed import server, wait_loaded

from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import prepare
from ttsrl.records.record import read_lines
from ttsrl.records.step import TrainingStep
from ttsrl.training.supervisor import train

TINY = Path(__file__).parents[1] / "examples/tiny/run.json"


def main() -> None:
    """Each way in turn, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=TINY)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--staleness", type=int, nargs="+", default=[1])
    parser.add_argument("--rollout-gpus", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="as of `ttsrl train`")
    parser.add_argument("--url", help="of a reward service that is there")
    parser.add_argument("--reward-python", default=sys.executable)
    arguments = parser.parse_args()
    folder = arguments.work_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    config = str(arguments.config.absolute())
    base = ["train.gpus_per_node=2", *arguments.set, f"storage={folder / 'storage'}"]
    found: dict[str, Sequence[TrainingStep]] = {}
    with rewards(arguments.url, config, arguments.reward_python) as url:
        for staleness in (0, *arguments.staleness):
            name = f"staleness-{staleness}" if staleness else "turns"
            apart = (
                f'{{"staleness": {staleness}, "rollout_gpus_per_node": {arguments.rollout_gpus}}}'
            )
            ways = [f"train.asynchronous={apart}"] if staleness else []
            run = load_run(config, [*base, *ways, f"name={name}", f"reward.url={url}"])
            found[name] = steps_of(run, folder / name)
    table(found)


@contextmanager
def rewards(url: str | None, config: str, python: str) -> Generator[str]:
    """The address of a reward service of this run."""
    if url is not None:
        yield url
        return
    with server("-m", "ttsrl", "serve", "--config", config, "--port", python=python) as started:
        wait_loaded(started)
        yield started


def steps_of(run: RunConfig, work_dir: Path) -> Sequence[TrainingStep]:
    """Train the whole run."""
    work_dir.mkdir(parents=True, exist_ok=True)
    config = work_dir / "run.json"
    config.write_text(dump_run(run))
    prepare(run, work_dir / "data")
    train(config, work_dir)
    return read_lines(TrainingStep, work_dir / "train" / "steps.jsonl")


COLUMNS = (
    ("samples/s", ".2f"),
    ("tokens/s", ".0f"),
    ("step s", ".2f"),
    ("trainer waits s", ".2f"),
    ("rollouts wait s", ".2f"),
    ("staleness", ".2f"),
    ("reward", ".3f"),
    ("KL", ".4f"),
    ("rollout KL", ".5f"),
)


def table(found: dict[str, Sequence[TrainingStep]]) -> None:
    """A line for each way."""
    print(f"{'':12}", *(f"{name:>{len(name) + 2}}" for name, _ in COLUMNS))
    for way, steps in found.items():
        figures = zip(COLUMNS, row(steps), strict=True)
        print(
            f"{way:12}",
            *(
                f"{'-' if value is None else format(value, form):>{len(name) + 2}}"
                for (name, form), value in figures
            ),
        )


def row(steps: Sequence[TrainingStep]) -> list[float | None]:
    """Speed without the first step; reward and KL of the last quarter of the samples."""
    timed, last = steps[1:], steps[-max(1, len(steps) // 4) :]
    seconds = sum(s.seconds for s in timed)
    apart = [s.asynchronous for s in timed if s.asynchronous]
    return [
        sum(s.rollouts for s in timed) / seconds,
        sum(s.tokens for s in timed) / seconds,
        seconds / len(timed),
        mean(one.trainer_waited_s for one in apart),
        mean(one.rollouts_waited_s for one in apart),
        mean(one.staleness for one in apart),
        mean(s.reward for s in last),
        mean(s.kl for s in last),
        mean(s.rollout_kl for s in last),
    ]


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that there are."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


if __name__ == "__main__":
    main()
