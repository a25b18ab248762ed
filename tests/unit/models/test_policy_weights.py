"""A policy's folder is found broken by its files alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ttsrl.errors import BadInput
from ttsrl.models.files import SAFETENSORS_INDEX
from ttsrl.models.policy import check_policy_weights

POLICY = Path("examples/tiny/policy")
NAME = "model.layers.0.self_attn.q_proj.weight"
Weights = dict[str, torch.Tensor]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICY, tmp_path / "policy"))


def test_a_whole_policy_passes_in_one_file_and_in_shards(policy: Path) -> None:
    check_policy_weights(policy)
    file = policy / "model.safetensors"
    weights = load_file(file)
    file.unlink()
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, policy / shard, {"format": "pt"})
    index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (policy / SAFETENSORS_INDEX).write_text(json.dumps(index))
    check_policy_weights(policy)
    (policy / "b.safetensors").unlink()
    with pytest.raises(BadInput, match=r"lacks b\.safetensors, which its index names"):
        check_policy_weights(policy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w | {NAME: w[NAME] * torch.nan}, f"not finite, first in {NAME}"),
        (lambda w: w | {NAME: torch.zeros_like(w[NAME])}, f"all zero, first {NAME}"),
        (lambda w: w | {NAME: w[NAME][:, :8].clone()}, "of models of different sizes"),
        (lambda w: {k: t for k, t in w.items() if k != NAME}, f"lacks 1 weights, first {NAME}"),
    ],
)
def test_broken_weights_are_named(
    policy: Path, change: Callable[[Weights], Weights], message: str
) -> None:
    file = policy / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})
    with pytest.raises(BadInput, match=message):
        check_policy_weights(policy)


def test_a_bias_that_nobody_reads_is_told(policy: Path) -> None:
    file = policy / "model.safetensors"
    assert check_policy_weights(policy) == []
    lost = torch.full((4,), -torch.inf)  # as CosyVoice's script writes it
    save_file(load_file(file) | {"lm_head.bias": lost}, file, {"format": "pt"})
    [note] = check_policy_weights(policy)
    assert "lm_head.bias is left out" in note and "ttsrl convert" in note


def test_a_file_that_was_cut_short_is_refused(policy: Path) -> None:
    file = policy / "model.safetensors"
    whole = file.read_bytes()
    for length in (len(whole) // 2, 4, 0):
        file.write_bytes(whole[:length])
        with pytest.raises(BadInput, match="cut short"):
            check_policy_weights(policy)
    file.unlink()
    with pytest.raises(BadInput, match="no weights in"):
        check_policy_weights(policy)


def test_a_folder_of_no_language_model_is_refused(policy: Path) -> None:
    (policy / "config.json").write_text(Path("examples/tiny/judge/config.json").read_text())
    with pytest.raises(BadInput, match="of no language model"):
        check_policy_weights(policy)
