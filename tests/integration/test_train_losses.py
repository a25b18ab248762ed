"""Each loss that a run can name makes an update by verl's own actor: what its gradient is.

The policy is small, with random weights; float32 on a CPU. FP8 needs a GPU, and is not here.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from support.loss_updates import LOSSES, SHIFT, WEIGHT
from support.paths import ROOT, TINY
from support.update_ranks import RESPONSES
from support.verl_actor import distance
from ttsrl.config.load import load_run

DEADLINE_S = 1200
Gradients = list[torch.Tensor]

pytestmark = pytest.mark.timeout(1.5 * DEADLINE_S)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Gradients]]:
    """Loss -> update -> gradient."""
    folder = tmp_path_factory.mktemp("losses")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "llama")
    program = [sys.executable, str(ROOT / "tests/support/loss_updates.py"), str(folder)]
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        program, env=os.environ | path, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "losses.pt")


def times(factor: float, gradients: Gradients) -> Gradients:
    return [factor * one for one in gradients]


def test_where_the_policy_has_not_moved_the_losses_are_the_same(
    found: dict[str, dict[str, Gradients]],
) -> None:
    ppo = found["ppo"]["first"]
    assert all(bool(torch.isfinite(one).all()) for one in ppo)
    assert distance(found["cispo"]["first"], ppo) < 1e-5
    assert distance(found["token tis"]["first"], ppo) < 1e-5
    assert distance(found["gspo"]["first"], found["seq-mean ppo"]["first"]) < 1e-5
    assert distance(found["seq-mean ppo"]["first"], ppo) > 0.1


def test_dr_grpo_divides_by_a_constant(found: dict[str, dict[str, Gradients]]) -> None:
    """Each rollout's sum by max_speech_tokens, where a mean over tokens divides by the tokens."""
    most = load_run(TINY / "run.json").rollout.max_speech_tokens
    factor = sum(RESPONSES) / (len(RESPONSES) * most)
    expected = times(factor, found["ppo"]["first"])
    assert distance(found["dr. grpo"]["first"], expected) < 1e-5


def test_cispo_keeps_every_tokens_gradient_with_a_clipped_weight(
    found: dict[str, dict[str, Gradients]],
) -> None:
    assert math.exp(SHIFT) > 1.2
    expected = times(1.2, found["ppo"]["first"])
    assert distance(found["cispo"]["moved"], expected) < 1e-5
    assert distance(found["ppo"]["moved"], expected) > 0.1, "PPO drops the tokens that it clips"


def test_gspo_compares_whole_rollouts(found: dict[str, dict[str, Gradients]]) -> None:
    """Ratios that go up and down by turns nearly cancel in a rollout; each token's does not."""
    by_rollout, by_token = (found[name]["waving"] for name in ("gspo", "seq-mean ppo"))
    assert distance(by_rollout, by_token) > 0.1


def test_another_loss_of_verls_can_be_named_in_the_runs_verl(
    found: dict[str, dict[str, Gradients]],
) -> None:
    assert distance(found["sapo"]["moved"], found["ppo"]["moved"]) > 0.05


@pytest.mark.parametrize("loss", LOSSES)
def test_a_correction_weights_the_gradient_of_every_loss(
    found: dict[str, dict[str, Gradients]], loss: str
) -> None:
    expected = times(WEIGHT, found[loss]["first"])
    assert distance(found[loss]["weighted"], expected) < 1e-5
