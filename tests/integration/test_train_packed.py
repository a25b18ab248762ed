"""verl's own actor: packed rollouts give the update of padded ones, on any number of ranks, and a
checkpoint is loaded by any number, bit for bit by the same.

The policies are small, with random weights; float32 on a CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from support.paths import ROOT
from support.update_ranks import PROMPTS, RESUMED
from support.verl_actor import distance

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

pytestmark = pytest.mark.timeout(1.5 * DEADLINE_S)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, dict[str, Any]]]]:
    """Number of ranks, or of those that saved and those that continue -> what each found.

    One has every model and way.
    """
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
    names = {"1": 1, "2": 2, "4": 4} | {f"{saved}-{ranks}": ranks for saved, ranks in RESUMED}
    return {
        name: [torch.load(folder / f"{name}-{rank}.pt") for rank in range(ranks)]
        for name, ranks in names.items()
    }


@pytest.mark.parametrize("model", ["llama", "qwen2"])
def test_packed_rollouts_give_the_update_of_padded_ones(
    found: dict[str, list[dict[str, dict[str, Any]]]], model: str
) -> None:
    packed, padded = (found["1"][0][f"{model} {way}"] for way in ("packed", "padded"))
    assert list(packed["log_probs"]) == list(range(len(PROMPTS)))
    for name in ("log_probs", "entropy"):
        for row in range(len(PROMPTS)):
            torch.testing.assert_close(packed[name][row], padded[name][row], rtol=1e-5, atol=1e-5)
    assert distance(packed["gradients"], padded["gradients"]) < 1e-5
    assert packed["second_loss"] == pytest.approx(padded["second_loss"], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("ranks", [2, 4])
def test_any_number_of_ranks_makes_the_same_update(
    found: dict[str, list[dict[str, dict[str, Any]]]], ranks: int
) -> None:
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
    found: dict[str, list[dict[str, dict[str, Any]]]],
) -> None:
    tokens = [
        sum(PROMPTS[row] + len(said) for row, said in one["llama packed"]["log_probs"].items())
        for one in found["2"]
    ]
    assert max(tokens) <= 1.1 * sum(tokens) / len(tokens)


@pytest.mark.parametrize(("saved", "ranks"), RESUMED)
def test_a_checkpoint_is_loaded_by_any_number_of_ranks(
    found: dict[str, list[dict[str, dict[str, Any]]]], saved: int, ranks: int
) -> None:
    by_those, by_these = found[str(saved)], found[f"{saved}-{ranks}"]
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
        if saved == ranks:
            assert torch.equal(values, expected[row])
        torch.testing.assert_close(values, expected[row], rtol=1e-5, atol=1e-5)
