"""The sampler against transformers: same greedy tokens, same log-probabilities."""

from typing import Any, cast

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers import Qwen2ForCausalLM as Qwen2
from transformers.generation.logits_process import LogitsProcessor

from ttsrl.errors import BadInput
from ttsrl.sampler.sampler import Sampled, Sampler, draw, truncate

VOCABULARY, STOP = 97, 5
ALLOWED = list(range(40, 90))
PROMPTS = [[1, 2, 3], [7], [9, 8, 7, 6, 5, 4, 3, 2, 1], [11, 12]]
SHAPE: dict[str, Any] = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    initializer_range=0.3,
    bos_token_id=None,
    eos_token_id=STOP,
    pad_token_id=0,
)
ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(1)
    shape: dict[str, Any] = {**SHAPE, "tie_word_embeddings": True, **changes}
    return LlamaForCausalLM(LlamaConfig(**shape)).eval()


def qwen2() -> Qwen2:
    torch.manual_seed(2)
    model = Qwen2(Qwen2Config(**SHAPE, num_key_value_heads=2)).eval()
    for layer in model.model.layers:  # initialised to 0, which would hide a forgotten bias
        torch.nn.init.normal_(layer.get_parameter("self_attn.q_proj.bias"))
    return model


def qwen3() -> Qwen3ForCausalLM:
    torch.manual_seed(5)
    model = Qwen3ForCausalLM(Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=12)).eval()
    for layer in model.model.layers:  # initialised to 1, which would hide a forgotten weight
        torch.nn.init.normal_(layer.get_parameter("self_attn.q_norm.weight"), 1.0)
        torch.nn.init.normal_(layer.get_parameter("self_attn.k_norm.weight"), 1.0)
    return model


MODELS = {
    "llama": llama,
    "llama-3 rope, grouped queries": lambda: llama(num_key_value_heads=1, rope_parameters=ROPE),
    "qwen2": qwen2,
    "qwen3": qwen3,
}


class OnlyAllowed(LogitsProcessor):
    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> Any:
        masked = torch.full_like(scores, -torch.inf)
        ids = [*ALLOWED, STOP]
        masked[:, ids] = scores[:, ids]
        return masked


def log_probs(model: PreTrainedModel, prompt: list[int], tokens: list[int]) -> torch.Tensor:
    """Teacher-forced logits [T, V] that predict `tokens`."""
    with torch.no_grad():
        return model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]


@pytest.mark.parametrize("name", MODELS)
def test_greedy_equals_generate(name: str) -> None:
    model = MODELS[name]()
    with torch.no_grad():  # make the end likely enough to be seen
        model.lm_head.weight[STOP] *= 2
    got = Sampler(model, [[*ALLOWED, STOP]], [STOP]).sample(
        PROMPTS, temperature=0, max_tokens=24, seed=0
    )
    for prompt, response in zip(PROMPTS, got, strict=True):
        ids = torch.tensor([prompt])
        model_of_any_kind = cast(Any, model)  # `generate` asks for a protocol that none meets
        out = model_of_any_kind.generate(
            ids, do_sample=False, max_new_tokens=24, logits_processor=[OnlyAllowed()]
        )
        assert response.token_ids == out[0, len(prompt) :].tolist()
        assert response.finished == (response.token_ids[-1] == STOP)
    assert {r.finished for r in got} == {True, False}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("whole_vocabulary", [True, False])
def test_log_probs_equal_a_teacher_forced_forward(name: str, whole_vocabulary: bool) -> None:
    model = MODELS[name]()
    sampler = Sampler(model, [[*ALLOWED, STOP]], [STOP], whole_vocabulary=whole_vocabulary)
    got = sampler.sample(PROMPTS, 3, temperature=0.7, max_tokens=20, seed=3)
    for i, response in enumerate(got):
        logits = log_probs(model, PROMPTS[i // 3], response.token_ids) / 0.7
        if not whole_vocabulary:
            logits = OnlyAllowed()(torch.empty(0), logits)
        tokens = torch.tensor(response.token_ids)
        expected = logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(response.log_probs), expected, atol=1e-4, rtol=0)


def test_group_is_prompt_major_and_seeded() -> None:
    sampler = Sampler(llama(), [[*ALLOWED, STOP]], [STOP])

    def run(seed: int, prompts: list[list[int]] = PROMPTS) -> list[Sampled]:
        return sampler.sample(prompts, 4, temperature=1.0, max_tokens=16, seed=seed)

    first = run(0)
    assert len(first) == 16
    assert first == run(0)
    assert first != run(1)
    assert len({tuple(r.token_ids) for r in first[:4]}) > 1
    assert [r.token_ids for r in run(0, PROMPTS[:1])] == [r.token_ids for r in first[:4]]


def test_samples_follow_the_soft_max_over_the_allowed_set() -> None:
    model = llama(initializer_range=0.05)
    got = Sampler(model, [[*ALLOWED, STOP]], [STOP]).sample(
        [PROMPTS[0]], 8000, temperature=0.5, max_tokens=1, seed=0
    )
    counts = torch.bincount(torch.tensor([r.token_ids[0] for r in got]), minlength=VOCABULARY)
    logits = OnlyAllowed()(torch.empty(0), log_probs(model, PROMPTS[0], [0])[:1] / 0.5)
    expected = logits.softmax(-1)[0]
    deviation = (expected * (1 - expected) / len(got)).sqrt()
    assert counts[expected == 0].sum() == 0
    assert ((counts / len(got) - expected).abs() <= 6 * deviation).all()


@pytest.mark.parametrize(
    "top_k, top_p, expected",
    [
        (-1, 1.0, [0.1, 0.4, 0.3, 0.2]),
        (2, 1.0, [0.0, 0.4, 0.3, 0.0]),
        (-1, 0.65, [0.0, 0.4, 0.3, 0.0]),
        (-1, 0.75, [0.0, 0.4, 0.3, 0.2]),
        (2, 0.5, [0.0, 0.4, 0.0, 0.0]),
    ],
)
def test_truncate(top_k: int, top_p: float, expected: list[float]) -> None:
    kept = truncate(torch.tensor([[0.1, 0.4, 0.3, 0.2]]), top_k, top_p)
    torch.testing.assert_close(kept, torch.tensor([expected]))


def test_top_k_of_one_is_greedy_and_top_p_shrinks_the_support() -> None:
    sampler = Sampler(llama(), [[*ALLOWED, STOP]], [STOP])
    greedy = sampler.sample(PROMPTS, temperature=0, max_tokens=12, seed=0)
    one = sampler.sample(PROMPTS, temperature=1.0, top_k=1, max_tokens=12, seed=0)
    assert [r.token_ids for r in one] == [r.token_ids for r in greedy]

    def support(top_p: float) -> set[int]:
        got = sampler.sample(PROMPTS[:1], 500, temperature=1.0, top_p=top_p, max_tokens=1, seed=0)
        return {r.token_ids[0] for r in got}

    assert support(0.5) < support(1.0)


def test_draw_never_takes_what_has_no_probability() -> None:
    probs = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).repeat(5, 1)
    just_below_one = 1 - 2**-24
    uniform = torch.tensor([0.0, 0.25, 0.5, 0.75, just_below_one])
    assert draw(probs, uniform).tolist() == [1, 1, 3, 3, 3]


def test_every_row_is_reported_once_when_it_ends() -> None:
    model = llama()
    with torch.no_grad():
        model.lm_head.weight[STOP] *= 1.5
    seen: list[tuple[int, Sampled]] = []
    got = Sampler(model, [[*ALLOWED, STOP]], [STOP]).sample(
        PROMPTS,
        8,
        temperature=1.0,
        max_tokens=16,
        seed=0,
        on_finished=lambda i, r: seen.append((i, r)),
    )
    assert sorted(i for i, _ in seen) == list(range(32))
    assert all(got[i] == r for i, r in seen)
    lengths = [len(r.token_ids) for _, r in seen]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1] == 16


def test_weights_changed_in_place_are_used_at_the_next_call() -> None:
    model = llama()
    sampler = Sampler(model, [[*ALLOWED, STOP]], [STOP], whole_vocabulary=False)
    before = sampler.sample(PROMPTS, temperature=0, max_tokens=8, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    after = sampler.sample(PROMPTS, temperature=0, max_tokens=8, seed=0)
    fresh = Sampler(model, [[*ALLOWED, STOP]], [STOP], whole_vocabulary=False)
    assert after != before
    assert after == fresh.sample(PROMPTS, temperature=0, max_tokens=8, seed=0)


def test_bad_input_is_named() -> None:
    model = llama()
    with pytest.raises(BadInput, match=r"'gpt2'.*llama, qwen2"):
        from transformers import GPT2Config, GPT2LMHeadModel

        Sampler(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1)), [[1]], [2])
    with pytest.raises(BadInput, match="vocabulary of 97"):
        Sampler(model, [[97]], [STOP])
    sampler = Sampler(model, [[*ALLOWED, STOP]], [STOP])
    with pytest.raises(BadInput, match="no empty one"):
        sampler.sample([[1], []], temperature=1, max_tokens=4, seed=0)
    with pytest.raises(BadInput, match="64 positions"):
        sampler.sample([[1] * 60], temperature=1, max_tokens=5, seed=0)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    with pytest.raises(BadInput, match="not finite"):
        sampler.sample(PROMPTS, temperature=1, max_tokens=4, seed=0)
