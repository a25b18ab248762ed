"""Seconds in which vLLM generates a step's rollouts: engines and what is asked of them, in turn.

On a GPU: python benchmarks/generation_speed.py --shape 1b --work-dir /tmp/speed
Every engine is a process of its own: `stock` as vLLM comes, `processor` with the logits processor
that keeps a run's rollouts to speech. Random weights; lengths are those of llasa-channel-io's run
in docs/speed.md, and a request ends at its own. A row of rollouts an eighth as long comes before
that of whole ones, so that a run that is cut off leaves a figure. `--family orpheus` has a codebook
whose ids depend on the place in a frame.

The first engine's speech is given to every later one, which is asked how likely it finds it: what
8 bits cost in log-probabilities.

An engine was up after 54 s on an NVIDIA H200 with what it compiles in its cache and compiled
bytecode: vLLM's engine and its worker import torch and vLLM after one another (18 and 11 s; 29 and
21 s without compiled bytecode), and the warm-up of kernels takes 12 s. Without that cache compiling
takes 16 to 42 s more.
`--sets '{"distributed_executor_backend": "uni"}'` has one process less to start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from ttsrl.config.load import dump_run, load_run
from ttsrl.families.registry import load_family
from ttsrl.training.environment import RUN
from ttsrl.training.verl_args import ONLY_SPEECH

RECIPES = Path(__file__).parents[1] / "examples/recipes"
RECIPE_OF = {"llasa": "llasa-channel-io.json", "orpheus": "orpheus.json"}
PROMPT = 80
COMPARED, COMPARED_TOKENS = 8, 256
"""Rollouts, and the tokens of each, that every engine is asked the log-probabilities of."""
ENGINES: dict[str, dict[str, Any]] = {
    "stock": {},
    "processor": {"logits_processors": [ONLY_SPEECH]},
    "synchronous": {"logits_processors": [ONLY_SPEECH], "async_scheduling": False},
    "fp8": {"logits_processors": [ONLY_SPEECH], "quantization": "fp8"},
    "fp8-cache": {"logits_processors": [ONLY_SPEECH], "kv_cache_dtype": "fp8"},
    "one-process": {"logits_processors": [ONLY_SPEECH], "distributed_executor_backend": "uni"},
}
TOKENS_ALONE = {"detokenize": False, "flat_logprobs": True}
ASKED: dict[str, dict[str, Any]] = {
    "as verl asks": {},
    "tokens alone": TOKENS_ALONE,
    "as ttsrl asks": {**TOKENS_ALONE, "once": True},
    "no log-probabilities": {**TOKENS_ALONE, "once": True, "logprobs": None},
    "whole distribution": {**TOKENS_ALONE, "once": True, "top_p": 1.0},
}
"""What of a rollout is handed over and when: with each token anew, or `once`, at its end."""

SAID = "said.json"
"""What the first engine said, and how likely it found it."""


class SpeechIds:
    """The ids of a family's speech and of its ends, for each place of a frame."""

    def __init__(self, allowed_in_frame: Sequence[Sequence[int]]) -> None:
        self.allowed = [list(ids) for ids in allowed_in_frame]
        self.sets = [frozenset(ids) for ids in allowed_in_frame]

    def prompt(self, number: int) -> list[int]:
        """PROMPT ids, the same for the same number."""
        return np.random.default_rng(number).choice(self.allowed[0], PROMPT).tolist()

    def share(self, said: Sequence[Sequence[int]]) -> float:
        """Of all tokens, those that may be at their places."""
        right = sum(t in self.sets[i % len(self.sets)] for row in said for i, t in enumerate(row))
        return right / sum(map(len, said))


def main() -> None:
    """A policy, then the engines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=list(RECIPE_OF), default="llasa")
    parser.add_argument("--shape", choices=["1b", "3b", "test"], default="1b")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--engines", default="stock,processor")
    parser.add_argument("--asked", help="names, divided by commas; all without it")
    parser.add_argument("--rollouts", type=int, default=128)
    parser.add_argument("--mean", type=float, default=1150, help="mean length of a rollout")
    parser.add_argument("--longest", type=int, default=2048)
    parser.add_argument("--sets", help="JSON: more arguments of every engine")
    parser.add_argument("--profile", action="store_true", help="kernels, and where Python spends")
    parser.add_argument("--this", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.work_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.this is not None:
        asyncio.run(measure(arguments.this, folder / arguments.family, arguments))
        return
    from train_speed import make_all  # vLLM's processes import this file, too

    (folder / SAID).unlink(missing_ok=True)
    make_all(folder, [(sys.executable, arguments.family, arguments.shape, str(arguments.mean))])
    for name in arguments.engines.split(","):
        code = subprocess.run([sys.executable, *sys.argv, "--this", name]).returncode
        if code:
            print(f"{name}: failed with exit code {code}", flush=True)


async def measure(name: str, model: Path, arguments: argparse.Namespace) -> None:
    """One engine: seconds to start, then of the rollouts, asked for in each way."""
    run = load_run(RECIPES / RECIPE_OF[arguments.family], [f"model={model}"])
    os.environ |= {
        RUN: dump_run(run),
        "VLLM_USE_FLASHINFER_SAMPLER": "0",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),  # the watch is found there
    }
    from vllm.engine.arg_utils import AsyncEngineArgs  # pyright: ignore[reportMissingImports]
    from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]

    start = time.perf_counter()
    engine = AsyncLLM.from_engine_args(
        AsyncEngineArgs(**engine_arguments(name, model, arguments, run.rollout))
    )
    print(f"{name}: up in {time.perf_counter() - start:.0f} s", flush=True)
    lengths = lengths_of(arguments.rollouts, arguments.mean, arguments.longest)
    speech = SpeechIds(
        load_family(run.family, AutoTokenizer.from_pretrained(model)).allowed_in_frame
    )
    await compare(engine, speech, model.parent / SAID, name)
    for way in arguments.asked.split(",") if arguments.asked else ASKED:
        asked = ASKED[way]
        await generate(engine, speech, [8] * len(lengths), asked)
        shorter = [-(-n // 8) for n in lengths]
        await row(engine, speech, f"{name}, {way}, an eighth", shorter, asked)
        await row(engine, speech, f"{name}, {way}", lengths, asked)
        if arguments.profile:
            await profile(engine, speech, lengths, asked)
    engine.shutdown()


async def row(
    engine: Any, speech: SpeechIds, title: str, lengths: list[int], asked: dict[str, Any]
) -> None:
    """Prints the seconds of rollouts of these lengths."""
    gc.collect()
    cpu, start = processor_seconds(), time.perf_counter()
    said = await generate(engine, speech, lengths, asked)
    seconds, used = time.perf_counter() - start, processor_seconds() - cpu
    print(
        f"{title}: {seconds:.2f} s, {seconds / max(lengths) * 1e3:.2f} ms a step, "
        f"{sum(lengths) / seconds:.0f} tokens/s; this process computes {used / seconds:.0%}; "
        f"{speech.share(said):.1%} are speech",
        flush=True,
    )


def engine_arguments(
    name: str, model: Path, arguments: argparse.Namespace, rollout: Any
) -> dict[str, Any]:
    """Those that verl gives, and this engine's own."""
    common = {
        "model": str(model),
        "dtype": "bfloat16",
        "max_model_len": arguments.longest + PROMPT,
        "max_num_seqs": 1024,
        "max_num_batched_tokens": 8192,
        "enable_chunked_prefill": True,
        "enable_prefix_caching": True,
        "enable_sleep_mode": torch.cuda.is_available(),
        "logprobs_mode": "processed_logprobs",
        "gpu_memory_utilization": rollout.gpu_memory_utilization,
        "distributed_executor_backend": "mp",
        "compilation_config": {"cudagraph_mode": "FULL_AND_PIECEWISE"},
        "worker_extension_cls": "generation_watch.KernelWatch",
        "disable_log_stats": True,
        "seed": 0,
    }
    return common | ENGINES[name] | json.loads(arguments.sets or "{}")


def lengths_of(rollouts: int, mean: float, longest: int) -> list[int]:
    """As benchmarks/update_speed.py has them."""
    drawn = np.random.default_rng(0).geometric(32 / mean, (rollouts, 32)).sum(1)
    return np.minimum(drawn, longest).tolist()


async def generate(
    engine: Any, speech: SpeechIds, lengths: list[int], asked: dict[str, Any]
) -> list[list[int]]:
    """All rollouts at once, 16 of each prompt, as a step's come; each continues to its length."""
    from vllm import SamplingParams, TokensPrompt  # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    common = {"temperature": 0.8, "top_p": 0.9, "logprobs": 0, "ignore_eos": True} | asked
    if common.pop("once", False):
        common["output_kind"] = RequestOutputKind.FINAL_ONLY

    async def one(number: int, length: int) -> list[int]:
        prompt = TokensPrompt(prompt_token_ids=speech.prompt(number // 16))
        parameters = SamplingParams(max_tokens=length, **common)
        said: list[int] = []
        async for output in engine.generate(
            prompt, parameters, request_id=f"{number}-{time.time()}"
        ):
            said = list(output.outputs[0].token_ids)
        assert len(said) == length
        return said

    return list(await asyncio.gather(*(one(*pair) for pair in enumerate(lengths))))


async def compare(engine: Any, speech: SpeechIds, kept: Path, name: str) -> None:
    """Prints how far this engine's log-probabilities of the first one's speech are from its own.

    They are those of the whole vocabulary, before temperature, top_p and the logits processor.
    """
    from vllm import SamplingParams, TokensPrompt  # pyright: ignore[reportMissingImports]

    asked = {"top_p": 1.0, "temperature": 1.0}
    before = json.loads(kept.read_text()) if kept.exists() else None
    said = before["said"] if before else await generate(
        engine, speech, [COMPARED_TOKENS] * COMPARED, asked
    )  # fmt: skip
    found: list[float] = []
    for number, tokens in enumerate(said):
        ids = speech.prompt(number // 16) + tokens
        parameters = SamplingParams(max_tokens=1, prompt_logprobs=0)
        async for output in engine.generate(
            TokensPrompt(prompt_token_ids=ids), parameters, request_id=f"compare-{number}"
        ):
            if output.prompt_logprobs:
                last = output.prompt_logprobs[-len(tokens) :]
                found += [one[t].logprob for one, t in zip(last, tokens, strict=True)]
    if before is None:
        kept.write_text(json.dumps({"engine": name, "said": said, "log_probabilities": found}))
        return
    apart = np.array(found) - np.array(before["log_probabilities"])
    print(
        f"{name}: log-probabilities of {len(found)} tokens that {before['engine']} said: mean "
        f"{apart.mean():+.4f}, mean size {np.abs(apart).mean():.4f}, 99th percentile "
        f"{np.percentile(np.abs(apart), 99):.4f} nats from its own",
        flush=True,
    )


def processor_seconds() -> float:
    """Of this process, which receives the tokens."""
    return time.process_time()


async def profile(
    engine: Any, speech: SpeechIds, lengths: list[int], asked: dict[str, Any]
) -> None:
    """The same once more: kernels of some steps, and functions of every process."""
    with python_profiles():
        work = asyncio.create_task(generate(engine, speech, lengths, asked))
        await asyncio.sleep(2.0)
        await engine.collective_rpc("begin_watch")
        await asyncio.sleep(0.5)
        (told,) = await engine.collective_rpc("end_watch")
        print(told, flush=True)
        await work


@contextlib.contextmanager
def python_profiles() -> Generator[None]:
    """Prints where this process and its children spend, as py-spy sees it, where it is there."""
    import psutil

    me = psutil.Process()
    processes = [me, *me.children(recursive=True)]
    files: list[tuple[str, Path, Any]] = []
    for process in processes:
        name = " ".join([process.name(), *process.cmdline()[-1:]])[-60:]
        file = Path(f"/tmp/py-spy-{process.pid}")
        command = ["record", "-d", "4", "-r", "200", "-f", "raw", "-o", str(file)]
        try:
            sampler = subprocess.Popen(
                ["py-spy", *command, "-p", str(process.pid)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            break
        files.append((name, file, sampler))
    yield
    for name, file, sampler in files:
        sampler.wait()
        if file.exists():
            print_stacks(name, file)


def print_stacks(name: str, file: Path) -> None:
    """Functions that most samples are in, themselves or what they call."""
    own: dict[str, int] = {}
    within: dict[str, int] = {}
    whole = 0
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        whole += int(count)
        own[frames[-1]] = own.get(frames[-1], 0) + int(count)
        for frame in set(frames):
            within[frame] = within.get(frame, 0) + int(count)
    print(f"  {name}: {whole} samples", flush=True)
    for title, table in (("itself", own), ("within", within)):
        for frame, count in sorted(table.items(), key=lambda pair: -pair[1])[:18]:
            print(f"    {title} {count / max(whole, 1):6.1%} {frame[:110]}", flush=True)


if __name__ == "__main__":
    main()
