"""Each published recipe starts: two steps on tiny models, verl on Ray, rewards over HTTP.

Models, texts and sizes are tiny; all else is as the recipe has it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from support.cosyvoice2_files import (
    write_campplus,
    write_codec,
    write_llm,
    write_qwen2_cosy,
    write_third_tokenizer,
    write_voice_models,
)
from support.orpheus_files import write_orpheus, write_snac
from support.paths import ROOT
from support.reward_server import TINY_RUN, StartRewards
from support.tiny_scorers import (
    save_tiny_clap,
    save_tiny_parakeet,
    save_tiny_sensevoice,
)
from support.training_job import lines_of, start_training
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.merge import ADAPTERS, merge
from ttsrl.models import cosyvoice_head
from ttsrl.models.cosyvoice_editions import COSYVOICE3
from ttsrl.models.cosyvoice_llm import to_huggingface
from ttsrl.scorers.reference import voice
from ttsrl.storage.published import RUN
from ttsrl.storage.run_store import RunStore
from ttsrl.training.verl_args import ESTIMATORS

COVERED = {
    *("llasa-channel-io", "llasa-deep-unlearning", "neutts-air", "cosyvoice3", "orpheus", "maya1")
}
"""All that they train with, the others train with too: `make test-recipes` starts these."""
GATED = {"neutts-air", "orpheus", "maya1"}
"""Whose rollouts are all gated, and which learn nothing. The tiny policy cannot read the prompts of
NeuTTS and never ends; in the sound of SNAC's random weights the tiny Whisper hears no word."""
RECIPES = [
    pytest.param(
        recipe, id=recipe.stem, marks=[pytest.mark.covered] if recipe.stem in COVERED else []
    )
    for recipe in sorted((ROOT / "examples/recipes").glob("*.json"))
]
TINY = TINY_RUN.parent
STYLES = ROOT / "examples/styles"
SMALL = (
    "train.steps=2",
    "train.save_every=2",
    "train.gpus_per_node=1",
    "rollout.group_size=4",
    "rollout.max_prompt_tokens=96",
    "rollout.max_speech_tokens=37",
    "reward.batch_size=4",
    "reward.workers=1",
    # Codecs with random weights do not speak, and there is nothing to learn where all is gated.
    "reward.gates.min_speech_s=0",
    "reward.gates.max_repetition_s=1000",
    "reward.gates.max_compression_ratio=1000",
    # Its judges are published models.
    "eval.during_training=null",
)
VISIBLE_RATE = "train.learning_rate=1e-3"
"""At a published rate the second step's KL is nothing beside the rounding of float32."""

pytestmark = pytest.mark.timeout(2400)


@dataclass(frozen=True)
class Trained:
    """What two steps have left behind."""

    run: RunConfig
    folder: Path
    steps: list[dict[str, Any]]

    @property
    def store(self) -> RunStore:
        return RunStore(self.run.storage, self.run.name)

    def published(self, shard: str) -> dict[str, Any]:
        """A shard of the second step's checkpoint, as it lies in storage."""
        there = self.folder / "pulled"
        self.store.storage.pull(self.store.checkpoint(2), there)
        return torch.load(there / f"actor/{shard}_world_size_1_rank_0.pt", weights_only=False)


@pytest.fixture(scope="module")
def cosyvoice2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CosyVoice2 checkpoint, its voice, and policies whose speech mostly ends in time."""
    folder = tmp_path_factory.mktemp("CosyVoice2-0.5B")
    write_voice_models(write_codec(write_llm(folder, ending=10)))
    soundfile.write(folder / "voice.wav", voice(1.2, 24_000), 24_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cosyvoice_head, "SAMPLES", 1)
        patch.setattr(cosyvoice_head, "TOKENS", 32)
        to_huggingface(folder, folder / "cosyvoice2")
    write_qwen2_cosy(folder / "qwen2-cosy", ending=6)
    (folder / "texts.txt").write_text("\n".join(map("".join, product("你好", repeat=6))))
    return folder


@pytest.fixture(scope="module")
def cosyvoice3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of CosyVoice3; the end token is one of the tied head's rows, made likely."""
    folder = tmp_path_factory.mktemp("Fun-CosyVoice3-0.5B")
    write_codec(write_llm(folder, edition=COSYVOICE3), third=True)
    write_campplus(write_third_tokenizer(folder))
    soundfile.write(folder / "voice.wav", voice(1.2, 24_000), 24_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cosyvoice_head, "SAMPLES", 1)
        patch.setattr(cosyvoice_head, "TOKENS", 32)
        to_huggingface(folder, folder / "cosyvoice3")
    end_sooner(folder / "cosyvoice3", "<|eos1|>", -9)  # its logit is about -1 wherever one looks
    (folder / "texts.txt").write_text("\n".join(map("".join, product("你好", repeat=6))))
    return folder


def end_sooner(folder: Path, stop: str, times: float) -> Path:
    """With random weights speech does not end before its limit: a longer row ends it by chance."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.convert_tokens_to_ids(stop)] *= times
    model.save_pretrained(folder)
    return folder


def as_neutts(folder: Path) -> Path:
    """The tiny policy with NeuTTS' markers and names of speech tokens at the same ids."""
    shutil.copytree(TINY / "policy", folder)
    names = {"TEXT_UNDERSTANDING": "TEXT_PROMPT", "<|s_": "<|speech_"}
    for file in folder.glob("tokenizer*.json"):
        text = file.read_text()
        for old, new in names.items():
            text = text.replace(old, new)
        file.write_text(text)
    return folder


def tiny_stack(family: str, checkpoint: Callable[[str], Path], own: Path) -> dict[str, Path]:
    """Keys that say what a recipe of this family speaks with, and to whom."""
    if family in ("orpheus", "maya1"):
        policy = end_sooner(write_orpheus(own / "policy"), "<custom_token_2>", 30)
        keys = {"model": policy, "codec": write_snac(own / "snac")}
        return keys | {"reward.whisper.model": TINY / "whisper", "data.texts": TINY / "texts.jsonl"}
    if family in ("llasa", "neutts"):
        policy = TINY / "policy" if family == "llasa" else as_neutts(own / "policy")
        keys = {"model": policy, "codec": TINY / "codec"}
        return keys | {"reward.whisper.model": TINY / "whisper", "data.texts": TINY / "texts.jsonl"}
    folder = checkpoint("cosyvoice3" if family == "cosyvoice3" else "cosyvoice2")
    keys = {"model": folder / family, "codec": folder, "voice": folder / "voice.wav"}
    return keys | {"data.texts": folder / "texts.txt"}


def with_styles(folder: Path) -> dict[str, Path]:
    """A policy that was taught two styles, and texts that each ask for one of them."""
    rows = [json.loads(line) for line in (STYLES / "texts.jsonl").read_text().splitlines()[:300]]
    lines = [json.dumps({"text": row["text"], "style": row["label"]}) for row in rows]
    (folder / "styled.jsonl").write_text("\n".join(lines) + "\n")
    return {"model": STYLES / "policy", "data.texts": folder / "styled.jsonl"}


def tiny_scorers(run: RunConfig, folder: Path) -> dict[str, Path]:
    """Keys of the models that the reward's components listen with."""
    save = {
        "style": save_tiny_clap,
        "parakeet_cer": lambda folder: save_tiny_parakeet(folder, "ctc"),
        "pinyin_wer": save_tiny_sensevoice,
    }
    keys: dict[str, Path] = {}
    for n, component in enumerate(run.reward.components):
        if component.type in save:
            (folder / component.type).mkdir()
            saved = save[component.type](folder / component.type)
            keys[f"reward.components[{n}].model"] = saved
    return keys


def two_steps(start: StartRewards, base: Path, overrides: Sequence[str], folder: Path) -> Trained:
    """Train with the reward service of the same run; both have ended when this returns."""
    # its home is where a codec keeps the voices that it has made
    server = start(overrides, base=base, environment={"HOME": str(folder)})
    run = load_run(server.config, [f"storage={folder / 'storage'}"])
    server.wait_ready()
    job = start_training(run, folder / "run")
    try:
        output, _ = job.communicate(timeout=1500)
    finally:
        job.terminate()
        server.stop()
    log = folder / "run/logs/verl.log"
    assert job.returncode == 0, output + (log.read_text()[-5000:] if log.exists() else "")
    return Trained(run, folder, lines_of(folder / "run/train/steps.jsonl"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains(
    recipe: Path,
    start_reward_service: StartRewards,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    published = load_run(recipe)
    models = tiny_stack(published.family, request.getfixturevalue, tmp_path)
    models |= tiny_scorers(published, tmp_path)
    if any(component.type == "style" for component in published.reward.components):
        models |= with_styles(tmp_path)
    overrides = [*SMALL, *(f"{key}={path}" for key, path in models.items())]
    overrides.append(f"train.prompts_per_step={min(2, published.train.prompts_per_step)}")
    if published.train.kl_coefficient:
        overrides.append(VISIBLE_RATE)

    trained = two_steps(start_reward_service, recipe, overrides, tmp_path)

    assert [step["step"] for step in trained.steps] == [1, 2]
    assert trained.store.list_checkpoints() == [2]
    for step in trained.steps:
        assert step["failed_share"] == 0
        assert math.isfinite(step["grad_norm"])
        assert (step["gated_share"] == 1) == (recipe.stem in GATED)
    if recipe.stem not in GATED:
        assert max(step["grad_norm"] for step in trained.steps) > 0
    # gradients of an update are accumulated over its passes, and an update is one optimiser step
    train = trained.run.train
    done = {float(state["step"]) for state in trained.published("optim")["state"].values()}
    assert done == {2 * train.updates_per_step}
    verl = json.loads((tmp_path / "run/train/verl.json").read_text())
    assert verl["algorithm.adv_estimator"] == ESTIMATORS[train.advantage]
    if train.dynamic_sampling:
        check_equal_groups_were_replaced(trained)
    if train.kl_coefficient and recipe.stem not in GATED:
        check_kl_grew(trained)
    if train.lora:
        check_adapters_alone_were_trained(trained)
        check_merged_model_is_plain_and_another(trained, learnt=recipe.stem not in GATED)


def check_equal_groups_were_replaced(trained: Trained) -> None:
    assert sum(step["replaced_groups"] for step in trained.steps) > 0
    for step in trained.steps:
        assert step["zero_advantage_share"] == 0
        assert (
            step["rollouts"] == trained.run.train.prompts_per_step * trained.run.rollout.group_size
        )


def check_kl_grew(trained: Trained) -> None:
    """The first step's rollouts are the reference's own; its update moves the policy away."""
    first, second = (step["kl"] for step in trained.steps)
    assert first == pytest.approx(0, abs=1e-6)
    assert 1e-5 < second < 1


def check_adapters_alone_were_trained(trained: Trained) -> None:
    """And saved; the policy that they lie beside is published once."""
    adapters = trained.published("model")
    assert all("lora_" in name for name in adapters)
    assert len(adapters) == len(trained.published("optim")["state"]) > 0
    base = trained.folder / "base"
    trained.store.storage.pull(trained.store.base, base)
    weights = "model.safetensors"
    assert (base / weights).read_bytes() == (Path(trained.run.model) / weights).read_bytes()


def check_merged_model_is_plain_and_another(trained: Trained, *, learnt: bool) -> None:
    assert merge(trained.store, trained.folder / "merging", 2) == 2
    model = trained.folder / "merged"
    trained.store.storage.pull(trained.store.model(2), model)
    assert not (model / ADAPTERS).exists()
    started_with = trained.run.model_dump(mode="json")
    started_with["guards"]["audit"] = "off"  # as tests start it
    assert json.loads((model / RUN).read_text()) == started_with
    assert "attn_implementation" not in json.loads((model / "config.json").read_text())
    loaded: Any = AutoModelForCausalLM.from_pretrained(model, output_loading_info=True)
    merged, info = loaded
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    base = AutoModelForCausalLM.from_pretrained(trained.run.model).state_dict()
    moved = [
        name
        for name, weight in merged.state_dict().items()
        if not weight.equal(base[name].to(weight.dtype))
    ]
    assert bool(moved) == learnt and all("_proj" in name for name in moved), moved
