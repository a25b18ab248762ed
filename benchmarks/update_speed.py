"""Seconds of old log-probabilities and one update: rollouts padded, and packed behind one another.

On a GPU: python benchmarks/update_speed.py --shape 1b
On several: torchrun --nproc-per-node 2 benchmarks/update_speed.py --shape 1b --ways compiled-40k

verl's own actor with the keys of a run of llasa-channel-io, without generation and rewards. Random
weights; lengths are those of that recipe's run in docs/speed.md: 1 230 tokens on average.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from random_models import LLAMA_SHAPES

from support.verl_actor import (
    PADDED,
    actor_of,
    batch_of,
    distance,
    enter_ranks,
    gradients_of,
    share_of,
    to_update,
)
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.training.gpu_memory import Shape, need_of

RECIPE = Path(__file__).parents[1] / "examples/recipes/llasa-channel-io.json"
VOCABULARY = 193_800
PEAK_FLOPS = 989e12
"""Dense bfloat16 of an H100 or H200, by its data sheet."""
GIB = 2**30
PROMPT = 80
FLOAT32 = {"+actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype": "fp32"}
TOKENS = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"
HERE = "bench."
"""Begins the name of what is not a key of verl's: `compiled` is the run's, others are `patched`."""
WAYS: dict[str, dict[str, Any]] = {
    "packed": {},
    "packed-20k": {TOKENS: 20_480},
    "packed-40k": {TOKENS: 40_960},
    "compiled": {TOKENS: 20_480, f"{HERE}compiled": True},
    "compiled-40k": {TOKENS: 40_960, f"{HERE}compiled": True},
    "exact-head": {TOKENS: 20_480, f"{HERE}exact_head": True},
    "wide-softmax": {TOKENS: 40_960, f"{HERE}compiled": True, f"{HERE}chunk": 8192},
    "liger-40k": {TOKENS: 40_960, "actor_rollout_ref.model.use_liger": True},
    "padded": PADDED,
    "checkpointed": {"actor_rollout_ref.model.enable_gradient_checkpointing": True},
    "float32": PADDED | FLOAT32,
}
COMPARED_ONLY = {"float32"}
"""Ways whose numbers are looked at and not their time: in float32 an update takes a minute."""


@dataclass(frozen=True)
class Update:
    """What one way took, and what it found for the first rollouts."""

    old_log_prob_s: float
    update_s: float
    peak_bytes: int
    log_probs: torch.Tensor
    gradients: list[torch.Tensor]


def main() -> None:
    """Every way in turn, on the same weights and rollouts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=[*LLAMA_SHAPES], default="test")
    parser.add_argument("--ways", default="padded,packed")
    parser.add_argument("--rollouts", type=int, help="128; of the shape test 16")
    parser.add_argument("--mean", type=float, help="mean length of a response")
    parser.add_argument(
        "--compare", type=int, default=16, help="rollouts that ways are compared on"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="as of `ttsrl train`")
    parser.add_argument("--profile", action="store_true", help="the kernels that take longest")
    arguments = parser.parse_args()
    small = arguments.shape == "test"
    rollouts = arguments.rollouts or (16 if small else 128)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rank, ranks = enter_ranks(device)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(os.environ.get("TTSRL_BENCH_MODEL", folder))
        make_policy(model, arguments.shape, rank)
        run = benchmark_run(model, ranks, rollouts, device, small, arguments.set)
        lengths = lengths_of(rollouts, arguments.mean or (60 if small else 1150), run)
        found: dict[str, Update] = {}
        for way in arguments.ways.split(","):
            torch.compiler.reset()
            keys = {k: v for k, v in WAYS[way].items() if k != TOKENS and not k.startswith(HERE)}
            timing = way not in COMPARED_ONLY
            try:
                with patched(WAYS[way]), actor_of(of_way(run, way), device, keys) as worker:
                    found[way] = measure(worker, run, lengths, arguments, device, timing=timing)
            except Exception as error:  # the other ways may do
                print(f"{way:12} failed: {error!r:.500}", flush=True)
                continue
            if rank == 0:
                report(way, found, run, lengths, ranks, Shape.of(config_of(arguments.shape)))


def of_way(run: RunConfig, way: str) -> RunConfig:
    """The run as this way has it: its layers compiled, its tokens of a pass."""
    changed: dict[str, Any] = {"compile_layers": f"{HERE}compiled" in WAYS[way]}
    if run.rollout.max_speech_tokens > 256 and TOKENS in WAYS[way]:
        changed["max_tokens_per_micro_batch"] = WAYS[way][TOKENS]
    return run.model_copy(update={"train": run.train.model_copy(update=changed)})


def config_of(shape: str) -> Any:
    """Of a Llasa of this size."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=VOCABULARY if shape == "1b" else 2000,
        max_position_embeddings=131_072,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        **LLAMA_SHAPES[shape],
    )


def make_policy(folder: Path, shape: str, rank: int) -> None:
    """Random weights without a tokenizer."""
    if rank or (folder / "config.json").exists():
        return
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        policy: Any = LlamaForCausalLM(config_of(shape))
    policy.bfloat16().save_pretrained(folder)


def benchmark_run(
    model: Path, ranks: int, rollouts: int, device: str, small: bool, overrides: list[str]
) -> RunConfig:
    """The recipe with this model; weights stay as they are, whatever the update."""
    sizes = ["rollout.max_prompt_tokens=96", "rollout.max_speech_tokens=256"] if small else []
    return load_run(
        RECIPE,
        [
            f"model={model}",
            f"train.device={device}",
            f"train.gpus_per_node={ranks}",
            f"train.prompts_per_step={rollouts // 16}",
            "train.learning_rate=1e-30",
            "train.weight_decay=0",
            *sizes,
            *([f"train.max_tokens_per_micro_batch={4 * 352}"] if small else []),
            *overrides,
        ],
    )


def lengths_of(rollouts: int, mean: float, run: RunConfig) -> list[int]:
    """Of responses: sums of 32 geometric numbers, as `random_models.make_llasa` speaks."""
    random = np.random.default_rng(0)
    lengths = random.geometric(32 / mean, (rollouts, 32)).sum(1)
    return np.minimum(lengths, run.rollout.max_speech_tokens).tolist()


@contextmanager
def patched(way: dict[str, Any]) -> Generator[None]:
    """What a way changes that verl has no key for; all that a way replaced is as before at the end.

    Liger puts classes of its own into transformers' module, and a run compiles layers and soft-max.
    """
    import verl.utils.experimental.torch_functional
    from transformers.models.llama import modeling_llama

    functional: Any = verl.utils.experimental.torch_functional
    llama: Any = modeling_llama
    from ttsrl.training.plugin.compiled_layers import compiled

    kept = [(module, dict(vars(module))) for module in (functional, llama)]
    forwards = [
        (found, vars(found)["forward"])
        for found in vars(llama).values()
        if isinstance(found, type)
        and found.__module__ == llama.__name__
        and "forward" in vars(found)
    ]
    head = functional.FusedLinearForPPO
    if way.get(f"{HERE}exact_head"):
        functional._fused_linear_for_ppo_fwd = compiled(exact_forward)
        functional._fused_linear_for_ppo_bwd = compiled(exact_backward)
    if chunk := way.get(f"{HERE}chunk"):
        functional.FusedLinearForPPO = partial(head, chunk_size=chunk)
    try:
        yield
    finally:
        for module, names in kept:
            vars(module).update(names)
        for found, forward in forwards:
            found.forward = forward


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of bfloat16, in float32."""
    if a.is_cuda and a.dtype != torch.float32:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


product = cast(
    "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]", torch.compiler.disable(_product)
)


def exact_forward(
    hidden_states: torch.Tensor,
    vocab_weights: torch.Tensor,
    input_ids: torch.Tensor,
    temperature: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As verl's fused soft-max; logits are not rounded to bfloat16."""
    logits = product(hidden_states, vocab_weights.t()) / temperature
    log_probs = logits.log_softmax(dim=-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    taken = log_probs.gather(-1, input_ids.unsqueeze(-1)).squeeze(-1)
    return taken, entropy.to(hidden_states.dtype)


def exact_backward(
    dlog_probs: torch.Tensor | None,
    dentropy: torch.Tensor | None,
    hidden_states: torch.Tensor,
    vocab_weights: torch.Tensor,
    input_ids: torch.Tensor,
    temperature: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of `exact_forward`'s log-probabilities."""
    assert dlog_probs is not None and dentropy is None
    logits = product(hidden_states, vocab_weights.t()) / temperature
    spread = -logits.softmax(dim=-1).scatter_add(
        -1, input_ids.unsqueeze(-1), -torch.ones_like(logits[:, :1])
    )
    dlogits = (spread * (dlog_probs.unsqueeze(-1) / temperature)).to(hidden_states.dtype)
    return dlogits @ vocab_weights, dlogits.t() @ hidden_states


def measure(
    worker: Any,
    run: RunConfig,
    lengths: list[int],
    arguments: Any,
    device: str,
    *,
    timing: bool,
) -> Update:
    """Log-probabilities and gradients of a few rollouts, then the time of all."""
    few = rollouts_of(run, lengths[: arguments.compare])
    few = to_update(few, worker.compute_log_prob(few.copy())["log_probs"].values())
    log_probs = few["old_log_probs"].values()
    gradients = gradients_of(worker, few.copy())
    if not timing:
        return Update(0.0, 0.0, 0, log_probs, gradients)
    whole = rollouts_of(run, lengths)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    data = to_update(whole, worker.compute_log_prob(whole.copy())["log_probs"].values())
    worker.update_actor(data.copy())  # the first allocates and compiles
    log_prob_s, update_s = [], []
    for _ in range(arguments.repeats):
        log_prob_s.append(timed(lambda: worker.compute_log_prob(whole.copy()), device))
        update_s.append(timed(lambda: worker.update_actor(data.copy()), device))
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    if arguments.profile:
        profile(lambda: worker.compute_log_prob(whole.copy()), "old log-probabilities")
        profile(lambda: worker.update_actor(data.copy()), "update")
    return Update(float(np.mean(log_prob_s)), float(np.mean(update_s)), peak, log_probs, gradients)


def rollouts_of(run: RunConfig, lengths: list[int]) -> Any:
    """This rank's share of random rollouts of these lengths."""
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    mine = share_of([PROMPT + n for n in lengths], rank, ranks)
    random = torch.Generator().manual_seed(0)
    top = VOCABULARY if run.rollout.max_speech_tokens > 256 else 2000
    prompts = [torch.randint(top, (PROMPT,), generator=random) for _ in lengths]
    responses = [torch.randint(top, (n,), generator=random) for n in lengths]
    advantages = torch.randn(len(lengths), generator=random).tolist()
    return batch_of(
        [prompts[i] for i in mine],
        [responses[i] for i in mine],
        [advantages[i] for i in mine],
        of_all=len(lengths),
        temperature=run.rollout.temperature,
    )


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds, the device's included."""
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def profile(work: Callable[[], Any], name: str) -> None:
    """Prints the kernels that take longest."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA]) as found:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    kernels = sorted(found.key_averages(), key=lambda k: -k.self_device_time_total)
    whole = sum(k.self_device_time_total for k in kernels)
    print(f"  {name}: {whole / 1e6:.2f} s in kernels")
    for kernel in kernels[:14]:
        seconds = kernel.self_device_time_total / 1e6
        print(f"    {seconds:6.3f} s {kernel.count:6d} x {kernel.key[:80]}")


def flops_of(shape: Shape, lengths: list[int]) -> float:
    """Of one pass forward: two for each weight and token, and causal attention."""
    tokens = np.array(lengths) + PROMPT
    weights = shape.parameters - (0 if shape.tied else shape.embedding)
    attention = 4 * shape.layers * shape.hidden * (tokens.astype(float) ** 2 / 2).sum()
    return float(2 * weights * tokens.sum() + attention)


def report(
    way: str, found: dict[str, Update], run: RunConfig, lengths: list[int], ranks: int, shape: Shape
) -> None:
    """One way's line, and what its numbers differ by from those of the ways before."""
    one, flops = found[way], flops_of(shape, lengths)
    if not one.update_s:
        print(f"{way:12} compared with, not timed", flush=True)
        return
    seconds = one.old_log_prob_s + one.update_s
    if sum(bool(other.update_s) for other in found.values()) == 1:
        tokens = sum(lengths) + PROMPT * len(lengths)
        print(f"{len(lengths)} rollouts, {tokens} tokens, {ranks} processes", flush=True)
    need = need_of(of_way(run, way), shape, checkpointing=False).allocated
    utilisation = {
        "together": 4 * flops / seconds / PEAK_FLOPS / ranks,
        "update": 3 * flops / one.update_s / PEAK_FLOPS / ranks,
    }
    print(
        f"{way:12} old log-probabilities {one.old_log_prob_s:.2f} s, update {one.update_s:5.2f} s, "
        f"together {seconds:5.2f} s; MFU {utilisation['together']:.1%}, of the update alone "
        f"{utilisation['update']:.1%}; peak {one.peak_bytes / GIB:.1f} GiB, "
        f"estimated {need / GIB:.1f}",
        flush=True,
    )
    for name, other in found.items():
        if name == way:
            continue
        apart = (one.log_probs - other.log_probs).abs()
        print(
            f"  to {name}: log-probabilities {apart.mean():.2e} on average, {apart.max():.2e} at "
            f"most; gradients {distance(one.gradients, other.gradients):.2e} of their norm",
            flush=True,
        )


if __name__ == "__main__":
    main()
