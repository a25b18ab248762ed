"""verl's own actor: packed rollouts give the update of padded ones, on any number of ranks, and a
checkpoint is loaded by any number, bit for bit by the same.

The policies are small, with random weights; float32 on a CPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from support.paths import ROOT, TINY
from support.update_ranks import ADAPTERS, LORA, PROMPTS, RESUMED, WHOLE
from support.verl_actor import distance
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.evaluation.merge import holds_adapters_alone, merge_checkpoint, merge_fsdp
from ttsrl.storage.run_store import RunStore
from ttsrl.training.base_weights import publish_base

SIZES: dict[str, Any] = {
    "vocab_size": 1000,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}
DEADLINE_S = 1200

Found = dict[str, list[dict[str, Any]]]
"""Number of ranks, or of those that saved and those that continue -> what each found. One has every
model and way. Of adapters the name begins with LORA."""

pytestmark = pytest.mark.timeout(1.5 * DEADLINE_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the ranks have left behind."""
    folder = tmp_path_factory.mktemp("packed")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **SIZES)).save_pretrained(
        folder / "llama"
    )
    Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=False, **SIZES)).save_pretrained(
        folder / "qwen2"
    )
    program = [sys.executable, str(ROOT / "tests/support/update_ranks.py"), str(folder)]
    variables = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "TMPDIR": str(folder),  # for verl's locks
    }
    done = subprocess.run(
        program, env=os.environ | variables, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    names = {"1": 1, "2": 2, "4": 4} | {f"{saved}-{ranks}": ranks for saved, ranks in RESUMED}
    names |= {f"{LORA}-{ranks}": ranks for ranks in (1, 2)}
    names |= {f"{LORA}-{saved}-{ranks}": ranks for saved, ranks in ADAPTERS}
    return {
        name: [torch.load(folder / f"{name}-{rank}.pt") for rank in range(ranks)]
        for name, ranks in names.items()
    }


@pytest.mark.parametrize("model", ["llama", "qwen2"])
def test_packed_rollouts_give_the_update_of_padded_ones(found: Found, model: str) -> None:
    packed, padded = (found["1"][0][f"{model} {way}"] for way in ("packed", "padded"))
    assert list(packed["log_probs"]) == list(range(len(PROMPTS)))
    for name in ("log_probs", "entropy"):
        for row in range(len(PROMPTS)):
            torch.testing.assert_close(packed[name][row], padded[name][row], rtol=1e-5, atol=1e-5)
    assert distance(packed["gradients"], padded["gradients"]) < 1e-5
    assert packed["second_loss"] == pytest.approx(padded["second_loss"], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("ranks", [2, 4])
def test_any_number_of_ranks_makes_the_same_update(found: Found, ranks: int) -> None:
    alone = found["1"][0]["llama packed"]
    of_ranks = [of_rank["llama packed"] for of_rank in found[str(ranks)]]
    log_probs = {row: values for one in of_ranks for row, values in one["log_probs"].items()}
    assert sorted(log_probs) == sorted(alone["log_probs"])
    for row, values in log_probs.items():
        torch.testing.assert_close(values, alone["log_probs"][row], rtol=1e-5, atol=1e-5)
    for one in of_ranks:
        assert distance(one["gradients"], alone["gradients"]) < 1e-5
        assert one["second_loss"] == pytest.approx(alone["second_loss"], rel=1e-4, abs=1e-5)


def test_ranks_get_tokens_and_not_only_rollouts_alike(
    found: Found,
) -> None:
    tokens = [
        sum(PROMPTS[row] + len(said) for row, said in one["llama packed"]["log_probs"].items())
        for one in found["2"]
    ]
    assert max(tokens) <= 1.1 * sum(tokens) / len(tokens)


@pytest.mark.parametrize(("saved", "ranks"), RESUMED)
def test_a_checkpoint_is_loaded_by_any_number_of_ranks(
    found: Found, saved: int, ranks: int
) -> None:
    assert_resumed(found[str(saved)], found[f"{saved}-{ranks}"], exactly=saved == ranks)


@pytest.mark.parametrize(("saved", "ranks"), ADAPTERS)
def test_adapters_that_are_saved_alone_are_loaded_beside_their_policy(
    found: Found, saved: int, ranks: int
) -> None:
    of_ranks = 1 if saved == WHOLE else saved
    assert_resumed(
        found[f"{LORA}-{of_ranks}"],
        found[f"{LORA}-{saved}-{ranks}"],
        exactly=of_ranks == ranks,
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_rollouts_get_the_weights_that_verl_merges(folder: Path, found: Found, ranks: int) -> None:
    began_with = load_file(folder / "llama/model.safetensors")
    for of_rank in found[f"{LORA}-{ranks}"]:
        ours, theirs = of_rank["sent"]["ours"], of_rank["sent"]["theirs"]
        assert of_rank["sent"]["kept"]
        assert list(ours) == list(theirs)
        assert set(began_with) <= set(ours)
        for name, weight in ours.items():
            assert weight.dtype == torch.bfloat16
            # both add the same in float32, and may round to neighbours
            torch.testing.assert_close(weight, theirs[name], rtol=2**-7, atol=1e-6)
        changed = [n for n, w in began_with.items() if not torch.equal(ours[n], w.bfloat16())]
        assert len(changed) == 7 * SIZES["num_hidden_layers"]  # all-linear


def test_adapters_are_merged_with_the_policy_that_the_run_began_with(
    folder: Path, tmp_path: Path
) -> None:
    store = RunStore(str(tmp_path / "storage"), "run")
    began_with = load_run(TINY / "run.json", [f"model={folder / 'llama'}"])
    alone, whole = (folder / f"{LORA}-saved-{saved}" for saved in (1, WHOLE))
    for actor in (alone, whole):  # the policies here have no tokenizer
        for file in (TINY / "policy").glob("*token*"):
            shutil.copy(file, actor / "huggingface")
    assert not holds_adapters_alone(whole)
    shutil.copytree(alone, tmp_path / "checkpoint" / "actor")
    store.storage.publish(tmp_path / "checkpoint", store.checkpoint(1))
    with pytest.raises(BadInput, match="step 1 holds adapters alone, and the model that"):
        merge_checkpoint(store, 1, tmp_path / "merged")

    publish_base(began_with, store)
    publish_base(began_with, store)
    merge_checkpoint(store, 1, tmp_path / "merged")
    merge_fsdp(whole, tmp_path / "as before")

    weights = [tmp_path / name / "model.safetensors" for name in ("merged", "as before")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    changed = [
        name
        for name, weight in load_file(weights[0]).items()
        if not torch.equal(weight, load_file(folder / "llama/model.safetensors")[name].bfloat16())
    ]
    assert len(changed) == 7 * SIZES["num_hidden_layers"]  # all-linear
    other = load_run(TINY / "run.json", [f"model={folder / 'qwen2'}"])
    with pytest.raises(BadInput, match="qwen2 is not the model that run 'quickstart' began with"):
        publish_base(other, store)


def assert_resumed(
    by_those: list[dict[str, Any]], by_these: list[dict[str, Any]], *, exactly: bool
) -> None:
    """Weights and moments are those that were saved, and an update of them gives the same."""
    before = by_those[0]["resumed"]["state"]
    for of_rank in by_these:
        after = of_rank["resumed"]["state"]
        assert len(after) == len(before) > 0
        assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    expected, log_probs = (
        {row: values for one in ones for row, values in one["resumed"]["log_probs"].items()}
        for ones in (by_those, by_these)
    )
    assert sorted(log_probs) == sorted(expected)
    for row, values in log_probs.items():
        if exactly:
            assert torch.equal(values, expected[row])
        torch.testing.assert_close(values, expected[row], rtol=1e-5, atol=1e-5)
