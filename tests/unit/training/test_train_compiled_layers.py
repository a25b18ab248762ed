"""Compiled layers give the update of plain ones, and are compiled once for all lengths."""

import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from support.paths import ROOT, TINY
from support.verl_actor import distance
from ttsrl.config.load import load_run
from ttsrl.training.compiling import POLICIES, compiles_layers

SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}


def policy_of(model_type: str) -> Any:
    torch.manual_seed(0)
    if model_type == "llama":
        return LlamaForCausalLM(LlamaConfig(**SIZES))
    return Qwen2ForCausalLM(Qwen2Config(**SIZES))


@pytest.fixture
def plain_again(model_type: str) -> Iterator[None]:
    """The plain layers, after the test."""
    modeling: Any = import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    layers = [x for n, x in vars(modeling).items() if n.endswith(("RMSNorm", "MLP"))]
    forwards, rotary = [x.forward for x in layers], modeling.apply_rotary_pos_emb
    yield
    for layer, forward in zip(layers, forwards, strict=True):
        layer.forward = forward
    modeling.apply_rotary_pos_emb = rotary
    torch.compiler.reset()


@pytest.fixture
def torch_without_a_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """torch's C++ compiler, which only CPUs use, splits its own path where it has a space."""
    link = tmp_path / "torch"
    link.symlink_to(Path(torch.__file__).parent)
    monkeypatch.setattr("torch.utils.cpp_extension.TORCH_LIB_PATH", str(link / "lib"))
    monkeypatch.setattr("torch.utils.cpp_extension._TORCH_PATH", str(link))
    monkeypatch.setattr("torch._inductor.cpp_builder._TORCH_PATH", str(link))


def update(policy: Any, length: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    tokens = torch.arange(length)[None] * 7 % 100
    policy.zero_grad()
    out = policy(input_ids=tokens, labels=tokens)
    out.loss.backward()
    return out.logits.detach(), [p.grad.clone() for p in policy.parameters()]


@pytest.mark.parametrize("model_type", sorted(POLICIES))
@pytest.mark.usefixtures("plain_again", "torch_without_a_space")
def test_compiled_layers_give_the_update_of_plain_ones(model_type: str) -> None:
    from ttsrl.training.plugin.compiled_layers import compile_layers

    policy = policy_of(model_type)
    lengths = [9, 17, 40]
    plain = [update(policy, length) for length in lengths]
    counters.clear()
    compile_layers(model_type)
    graphs: list[int] = []
    for length, (logits, gradients) in zip(lengths, plain, strict=True):
        found_logits, found_gradients = update(policy, length)
        torch.testing.assert_close(found_logits, logits, rtol=1e-5, atol=1e-5)
        assert distance(found_gradients, gradients) < 1e-5
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs == [3, 3, 3]  # norm, MLP, rotary positions


def test_layers_are_compiled_where_that_was_tried() -> None:
    run = load_run(TINY / "run.json")
    assert compiles_layers(run, "llama") and compiles_layers(run, "qwen2")
    assert not compiles_layers(run, "mixtral")
    assert not compiles_layers(load_run(TINY / "run.json", ["train.compile_layers=false"]), "llama")
    assert not compiles_layers(load_run(ROOT / "examples/recipes/llasa-clap-style.json"), "llama")


def test_a_run_goes_on_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ttsrl.training.plugin import compiled_head, compiling

    def fails(*_: Any) -> None:
        raise AssertionError("compiled all the same")

    monkeypatch.setattr(compiling, "compile_head", fails)
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    torch.compiler.reset()
    with fresh_cache(), caplog.at_level(logging.WARNING):
        compiling.compile_update("llama", "cpu")
    assert "cannot compile" in caplog.text and "C compiler" in caplog.text
    assert not hasattr(
        compiled_head.functional._fused_linear_for_ppo_fwd, "_torchdynamo_orig_callable"
    )
