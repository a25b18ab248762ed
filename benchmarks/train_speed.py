"""Seconds of a training step with its rewards on one GPU: ours, then as published.

On a GPU: python benchmarks/train_speed.py --shape full --work-dir /tmp/speed
--reward-python names the interpreter of an environment with the extras reward and xcodec2.

Random weights: the policy, Llasa-1B's size, says as many codes as `--tokens` on average and ends by
itself, so that XCodec2 and Whisper large-v3 have speech to measure; what they hear means nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from reward_speed import server, wait_loaded

from ttsrl.records.record import read_lines, whole_lines
from ttsrl.records.step import TrainingStep
from ttsrl.runtime.machine import GIB, gpus
from ttsrl.training.supervisor import train

BENCH = Path(__file__).parent
SHAPES: dict[str, dict[str, Any]] = {
    "full": {"llasa": "1b", "whisper": "large-v3", "prompts": 8, "group": 16, "longest": 2048},
    "test": {"llasa": "test", "whisper": "test", "prompts": 2, "group": 4, "longest": 96},
}
REWARD = ("-m", "ttsrl", "serve", "--config")
WORDS = "the speech model reads this line aloud while rain falls over green hills near old town"


class Done(Exception):
    """As many steps as were asked for."""


def main() -> None:
    """Make the models, serve rewards, train, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=[*SHAPES], default="test")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--reward-python", default=sys.executable)
    parser.add_argument("--tokens", type=float, default=1150, help="mean length of a rollout")
    parser.add_argument(
        "--steps", type=int, default=3, help="with our settings, the first included"
    )
    parser.add_argument(
        "--no-published", action="store_true", help="leave the published recipe's step out"
    )
    parser.add_argument(
        "--saving",
        action="store_true",
        help="beside that, so many steps that each save a checkpoint, written beside the next step "
        "and while the step waits (with --set train.lora.rank=32: adapters alone)",
    )
    parser.add_argument("--set", action="append", default=[], help="as of `ttsrl train`")
    arguments = parser.parse_args()
    folder = arguments.work_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[arguments.shape]
    make_models(arguments.reward_python, folder, shape, arguments.tokens)
    served = write_run(folder, shape, [], published=False).rename(folder / "reward.json")
    with server(*REWARD, str(served), "--port", python=arguments.reward_python) as url:
        wait_loaded(url)
        overrides = [f"reward.url={url}", *arguments.set]
        config = write_run(folder, shape, overrides, published=not arguments.no_published)
        last = arguments.steps + (0 if arguments.no_published else 1)
        os.environ["TTSRL_SEED_STEP"] = str(arguments.steps + 1)
        run_steps(config, folder / "run", last)
        if arguments.saving:
            save_both_ways(folder, shape, overrides, arguments.steps)
    table(folder / "run" / "train" / "steps.jsonl", arguments.steps)
    if not arguments.no_published:
        print("  beside it, the published server scores its rollouts one at a time:", flush=True)
        duration_s, count = arguments.tokens / 50, shape["prompts"] * shape["group"]
        command = [str(BENCH / "whisper_speed.py"), "--shape", shape["whisper"], "--published-step"]
        subprocess.run([arguments.reward_python, *command, str(count), str(duration_s)], check=True)


def save_both_ways(folder: Path, shape: dict[str, Any], overrides: list[str], steps: int) -> None:
    """Runs of so many steps, and what each step after the first was held for."""
    for name, beside in (("save-beside", "true"), ("save-held", "false")):
        settings = [f"name={name}", "train.save_every=1", f"train.save_beside={beside}"]
        config = write_run(folder, shape, [*overrides, *settings], published=False)
        run_steps(config, folder / name, steps)
        train_dir = folder / name / "train"
        later = read_lines(TrainingStep, train_dir / "steps.jsonl")[1:]
        saved = [step.seconds_by_stage["save"] - step.save_waited_s for step in later]
        events = [json.loads(line) for line in whole_lines(train_dir / "checkpoints.jsonl")]
        published = [event for event in events if event["event"] == "published"]
        print(
            f"  train.save_beside={beside}: a step {fmean(s.seconds for s in later):.1f} s, held "
            f"to save {fmean(saved):.2f} s (at most {max(saved):.2f}), waited for the checkpoint "
            f"before {fmean(s.save_waited_s for s in later):.2f} s; weights to the rollouts "
            f"{fmean(s.seconds_by_stage['sync_weights'] for s in later):.2f} s; written in "
            f"{fmean(e['write_seconds'] for e in published):.1f} s, uploaded in "
            f"{fmean(e['seconds'] for e in published):.1f} s, "
            f"{published[-1]['bytes'] / GIB:.2f} GiB",
            flush=True,
        )


def make_models(reward_python: str, folder: Path, shape: dict[str, Any], tokens: float) -> None:
    """XCodec2 exists in the reward's environment alone."""
    makes: list[tuple[str, ...]] = [
        (reward_python, "whisper", shape["whisper"]),
        (reward_python, "xcodec2", shape["whisper"]),
        (sys.executable, "llasa", shape["llasa"], str(tokens)),
    ]
    make_all(folder, makes)


def make_all(folder: Path, makes: list[tuple[str, ...]]) -> None:
    """Interpreter, kind and sizes of each; all at once, where they are not there yet."""
    start = time.perf_counter()
    jobs = [
        subprocess.Popen([python, str(BENCH / "random_models.py"), str(folder / kind), kind, *rest])
        for python, kind, *rest in makes
        if not (folder / kind / "config.json").exists()
    ]
    if any([job.wait() for job in jobs]):
        raise SystemExit("a model could not be made")
    print(f"models made in {time.perf_counter() - start:.0f} s", flush=True)


def write_run(
    folder: Path, shape: dict[str, Any], overrides: list[str], *, published: bool
) -> Path:
    """The recipe llasa-channel-io at its published sizes, on one GPU that the reward shares."""
    write_texts(folder / "texts.jsonl", 28 if shape["longest"] == 2048 else 3)
    run: dict[str, Any] = {
        "name": "speed",
        "model": "llasa",
        "codec": "xcodec2",
        "data": {"texts": "texts.jsonl"},
        "rollout": {
            "group_size": shape["group"],
            "temperature": 0.8,
            "top_p": 0.9,
            "max_prompt_tokens": 320,  # this tokenizer takes one for each letter
            "max_speech_tokens": shape["longest"],
            "gpu_memory_utilization": 0.3,  # the reward's models and the optimiser stay
        },
        "train": {
            "steps": 1000,
            "save_every": 1000,
            "prompts_per_step": shape["prompts"],
            "learning_rate": 1e-12,  # else the policy learns: speech gets shorter
            "max_tokens_per_micro_batch": 20480,
        },
        "reward": {"whisper": {"model": "whisper"}},
        "eval": {"judges": [{"name": "none", "type": "ctc", "model": "none"}]},
        "guards": {"audit": "off"},  # random weights hear no speech
        "storage": str(folder / "storage"),
        "verl": {},
    }
    if published:
        run["verl"] |= {
            "trainer.v1.sampler.custom_sampler.path": "pkg://published_settings",
            "trainer.v1.sampler.custom_sampler.name": "ReplayBuffer",
        }
    for override in overrides:
        key, _, value = override.partition("=")
        at = run
        *parents, last = key.split(".") if not key.startswith("verl.") else ["verl", key[5:]]
        for parent in parents:
            at = at.setdefault(parent, {})
        try:
            at[last] = json.loads(value)
        except json.JSONDecodeError:
            at[last] = value
    path = folder / "run.json"
    path.write_text(json.dumps(run, indent=2))
    return path


def write_texts(path: Path, words: int) -> None:
    """Lines of so many words, at random."""
    random = np.random.default_rng(0)
    lines = (" ".join(random.choice(WORDS.split(), words)) for _ in range(256))
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))


def run_steps(config: Path, work_dir: Path, last: int | None = None, *, held: float = 0.0) -> None:
    """Train until so many steps are in the log, or to the end.

    `held` is the share of the GPU that a process has which is not part of the run.
    """
    paths = [str(BENCH), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    log = work_dir / "train" / "steps.jsonl"
    start = time.perf_counter()
    seen = 0

    def look() -> None:
        nonlocal seen
        lines = whole_lines(log)
        for line in lines[seen:]:
            step = json.loads(line)
            print(f"{time.perf_counter() - start:6.1f} s: step {step['step']}", flush=True)
            print("   ", json.dumps(step), flush=True)
        seen = len(lines)
        if last is not None and seen >= last:
            raise Done

    try:
        with memory_peak(held):
            train(config, work_dir, look)
    except Done:
        pass


@contextmanager
def memory_peak(held: float) -> Generator[None]:
    """Prints the most memory of the GPU that was in use, by all processes of the run together."""
    most, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(1.0):
            for gpu in gpus()[:1]:
                most = max(most, gpu.total_bytes * (1 - held) - gpu.free_bytes)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print(f"most GPU memory in use, all processes: {most / GIB:.1f} GiB", flush=True)


def table(log: Path, ours: int) -> None:
    """Mean of our steps after the first, and the published recipe's."""
    steps = read_lines(TrainingStep, log)
    print(f"  {'':24} {'step s':>8} {'generate':>9} {'wait':>7} {'old log p':>9} {'update':>8}")
    for name, part in (("ours", steps[1:ours]), ("the published settings", steps[ours:])):
        if not part:
            continue
        stage = {
            key: fmean(s.seconds_by_stage.get(key, 0.0) for s in part)
            for key in ("generate", "wait_for_scores", "old_log_prob", "update")
        }
        seconds = fmean(s.seconds for s in part)
        print(
            f"  {name:24} {seconds:8.1f} {stage['generate']:9.1f} {stage['wait_for_scores']:7.2f} "
            f"{stage['old_log_prob']:9.1f} {stage['update']:8.1f}"
        )
    lengths = [s.length_tokens for s in steps]
    failed = max(s.failed_share for s in steps)
    gated = fmean(s.gated_share for s in steps)
    print(f"  {fmean(lengths):.0f} tokens a rollout; gated {gated:.0%}, failed {failed:.0%}")


if __name__ == "__main__":
    main()
