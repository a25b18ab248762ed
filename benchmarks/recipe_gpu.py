"""A published recipe on one GPU, from its first step to a merged model that vLLM speaks with.

On a GPU: python benchmarks/recipe_gpu.py examples/recipes/llasa-clap-style.json --cap-gib 24 ...
--reward-python names the interpreter of an environment with the extras reward and xcodec2, for
CosyVoice2 with the extra cosyvoice.

All as the recipe has it, reward service on the same GPU, but for random weights of the published
sizes, one GPU, few steps, and the Mandarin scorer, which is not a torch network: Whisper's CER
and NLL stand for it. What the models say and hear means nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import torch
from prometheus_client.parser import text_string_to_metric_families
from reward_speed import server, wait_loaded
from train_speed import REWARD, make_all, run_steps, write_texts

from ttsrl.config.load import dump_run, load_run
from ttsrl.evaluation.merge import merge
from ttsrl.families.registry import load_family
from ttsrl.lines.json_lines import json_objects
from ttsrl.runtime.machine import GIB, gpus
from ttsrl.storage.run_store import RunStore
from ttsrl.training.environment import RUN
from ttsrl.training.verl_args import ONLY_SPEECH

WHISPER = "large-v3-turbo"
PROMPTS, TOKENS = 4, 32
"""What the merged model is asked to say."""


def main() -> None:
    """Make the models, serve rewards, train, merge, speak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--cap-gib", type=float, help="leave the run so much of the GPU's memory")
    parser.add_argument("--reward-python", default=sys.executable)
    parser.add_argument(
        "--tokens", type=float, default=500, help="mean length of a Llasa's or a Qwen2's rollout"
    )
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="small models, for a machine without")
    parser.add_argument("--set", action="append", default=[], help="as of `ttsrl train`")
    arguments = parser.parse_args()
    folder = arguments.work_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    recipe = json.loads(arguments.recipe.read_text())
    make_models(recipe, folder, arguments)
    with memory_cap(arguments.cap_gib) as share:
        run = write_run(recipe, folder, arguments.steps, share)
        override(run, arguments.set)
        with server(*REWARD, str(run), "--port", python=arguments.reward_python) as url:
            wait_loaded(url)
            override(run, [f"reward.url={url}"])
            run_steps(run, folder / "run", held=1 - share)
            print(f"seconds of the reward service: {reward_seconds(url)}", flush=True)
        speak(run, folder)


def reward_seconds(url: str) -> str:
    """What its stages took in all, warming up left out."""
    text = httpx.get(f"{url}/metrics").text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    took = [s for s in samples if s.name == "ttsrl_reward_stage_seconds_sum"]
    return ", ".join(f"{s.labels['stage']} {s.value:.1f}" for s in took)


def make_models(recipe: dict[str, Any], folder: Path, arguments: argparse.Namespace) -> None:
    """What the recipe speaks and listens with."""
    listens, trains = arguments.reward_python, sys.executable
    small = arguments.small
    makes: list[tuple[str, ...]] = [(listens, "whisper", "test" if small else WHISPER)]
    if recipe["family"] == "llasa":
        llasa = "test" if small else "1b"
        makes += [(listens, "xcodec2", "test" if small else WHISPER)]
        makes += [(trains, "llasa", llasa, str(arguments.tokens))]
    else:
        makes += [(listens, "cosyvoice2-codec", "test" if small else "full")]
        shape = "test" if small else "0.5b"
        makes += [(trains, recipe["family"], shape, str(arguments.tokens))]
    kinds = {component["type"] for component in recipe["reward"]["components"]}
    makes += [(listens, "clap", "full")] * ("style" in kinds)
    makes += [(listens, "parakeet", "full")] * ("parakeet_cer" in kinds)
    make_all(folder, makes)


@contextmanager
def memory_cap(gib: float | None) -> Generator[float]:
    """Another process takes the rest of the GPU; yields what is left as a share of the whole."""
    if gib is None:
        yield 1.0
        return
    gpu = gpus()[0]
    rest = gpu.free_bytes - gib * GIB - 0.6 * GIB  # CUDA's own memory of that process
    hold = f"import torch; x = torch.empty({int(rest)}, dtype=torch.uint8, device='cuda'); input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE)
    try:
        while (free := gpus()[0].free_bytes) > (gib + 1) * GIB:
            if holder.poll() is not None:
                raise SystemExit("the memory could not be taken")
            time.sleep(0.5)
        print(f"{free / GIB:.1f} GiB of GPU {gpu.name} are left to the run", flush=True)
        yield free / gpu.total_bytes
    finally:
        holder.kill()
        holder.wait()


def write_run(recipe: dict[str, Any], folder: Path, steps: int, share: float) -> Path:
    """The recipe with these models; what it gives vLLM is of the capped memory."""
    run = json.loads(json.dumps(recipe))
    family: str = run["family"]
    llasa = family == "llasa"
    write_texts(folder / "texts.jsonl", 12)
    run |= {
        "model": str(folder / ("cosyvoice2/model" if family == "cosyvoice2" else family)),
        "codec": str(folder / ("xcodec2" if llasa else "cosyvoice2-codec")),
        "data": {"texts": str(folder / "texts.jsonl")},
        "storage": str(folder / "storage"),
    }
    if not llasa:
        run["voice"] = str(folder / "cosyvoice2-codec" / "voice.wav")
    for part in ("rollout", "reward"):
        if run[part].get("gpu_memory_utilization"):
            run[part]["gpu_memory_utilization"] *= share
    run["train"] |= {"steps": steps, "save_every": steps, "gpus_per_node": 1}
    run["eval"]["during_training"] = None  # its judges are published models
    reward = run["reward"]
    reward["whisper"] = {**(reward.get("whisper") or {}), "model": str(folder / "whisper")}
    reward["workers"] = 1
    if any(component["type"] == "pinyin_wer" for component in reward["components"]):
        reward["components"] = [{"type": "cer", "weight": 0.5}, {"type": "nll", "weight": 0.5}]
    models = {"style": "clap", "parakeet_cer": "parakeet"}
    for component in reward["components"]:
        if component["type"] in models:
            component["model"] = str(folder / models[component["type"]])
    path = folder / "run.json"
    path.write_text(json.dumps(run, indent=2))
    return path


def override(path: Path, keys: list[str]) -> None:
    """Write them into the run."""
    path.write_text(load_run(path, keys).model_dump_json(indent=2))


def speak(config: Path, folder: Path) -> None:
    """Merge, pull, and say something: what vLLM thinks of its words, and what transformers does."""
    run = load_run(config)
    store = RunStore(run.storage, run.name)
    start = time.perf_counter()
    step = merge(store, folder / "merging")
    print(f"step {step} merged and published in {time.perf_counter() - start:.0f} s", flush=True)
    model = folder / "merged"
    store.storage.pull(store.model(step), model)
    size = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    if not torch.cuda.is_available():
        print(f"{size / GIB:.1f} GiB; without a GPU vLLM does not speak")
        return
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]

    family = load_family(run.family, AutoTokenizer.from_pretrained(model))
    rows = islice(json_objects(folder / "texts.jsonl", '{"text": "..."}'), PROMPTS)
    prompts = [family.prompt_ids(row["text"]) for _, row in rows]
    start = time.perf_counter()
    os.environ[RUN] = dump_run(run)  # where the processor finds its family
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # merging may have begun to use the GPU
    engine = LLM(
        str(model),
        dtype="bfloat16",
        seed=0,
        enforce_eager=True,
        max_model_len=1024,
        gpu_memory_utilization=run.rollout.gpu_memory_utilization,
        logits_processors=[ONLY_SPEECH],
    )
    asked = SamplingParams(
        temperature=0.0, max_tokens=TOKENS, logprobs=0, stop_token_ids=family.stop_token_ids
    )
    said = engine.generate([{"prompt_token_ids": p} for p in prompts], asked)
    print(f"vLLM has loaded {size / GIB:.1f} GiB and spoken in {time.perf_counter() - start:.0f} s")
    torch_model: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    torch_model.cuda()
    moves: list[float] = []
    for prompt, output in zip(prompts, said, strict=True):
        tokens = list(output.outputs[0].token_ids)
        with torch.inference_mode():
            logits = torch_model(torch.tensor([prompt + tokens], device="cuda")).logits[0].float()
        log_p = logits.log_softmax(-1)[len(prompt) - 1 :]
        for n, (token, known) in enumerate(zip(tokens, output.outputs[0].logprobs, strict=True)):
            moves.append(abs(float(log_p[n, token]) - known[token].logprob))
    spoken = [sum(t in family.speech_token_ids for t in s.outputs[0].token_ids) for s in said]
    print(
        f"  {sum(spoken)} speech tokens of {len(moves)}; their log-probabilities and those of "
        f"transformers differ by {sum(moves) / len(moves):.4f} on average, {max(moves):.4f} at most"
    )


if __name__ == "__main__":
    main()
