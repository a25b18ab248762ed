"""Batched sampling from a Hugging Face causal LM with a static key-value cache, in plain torch.

For evaluation, and for rollouts of policies small enough for it; vLLM is for large ones. Against
`model.generate` it prefills a prompt once for its whole group, computes no logits that cannot be
sampled, and drops rows as they end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from ttsrl.errors import BadInput

ARCHITECTURES = ("llama", "qwen2", "qwen3")
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All but cuDNN's, which plans anew for every length of the cache: for each token."""
COMPACT_AT = 8
"""Ended rows are dropped once they are 1/8 of the batch: dropping copies the whole cache."""


@dataclass(frozen=True)
class Sampled:
    """One response."""

    token_ids: list[int]
    """The stop token is the last one when `finished`."""
    log_probs: list[float]
    """One a token, nats; see `Sampler`."""
    finished: bool
    """Whether a stop token ended the response; otherwise `max_tokens` did."""


class Sampler:
    """Samples token ids of an allowed set; every other token has probability 0.

    The k-th token of a response is of the set `allowed_in_frame[k % n]`, n being their number: one
    set, where every token may stand anywhere. A stop token is only drawn where a set has it.

    Log-probabilities are those of the soft-max over the whole vocabulary at the sampling
    temperature (1 for greedy), before top-k and top-p: what verl's actor computes for the same
    tokens. They are below the sampling distribution's own by the log of the allowed set's mass.
    With `whole_vocabulary=False` the soft-max goes over the allowed set alone, and only its rows of
    the output head are multiplied: the same samples for less work.

    Weights are read from `model` at every call, so they may be changed in place between calls.
    Raises BadInput for an architecture that is not known here.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        allowed_in_frame: Sequence[Sequence[int]],
        stop_ids: Sequence[int],
        *,
        whole_vocabulary: bool = True,
    ) -> None:
        config = cast(Any, model).config
        if config.model_type not in ARCHITECTURES or getattr(config, "use_sliding_window", False):
            raise BadInput(
                f"the torch sampler cannot run a model of type {config.model_type!r} with this "
                f"configuration; it knows {', '.join(ARCHITECTURES)} with full attention"
            )
        allowed = sorted({*stop_ids}.union(*allowed_in_frame))
        if not stop_ids or allowed[0] < 0 or allowed[-1] >= config.vocab_size:
            raise BadInput(
                "the sampler needs stop ids, and ids below the model's vocabulary of "
                f"{config.vocab_size}: got {len(stop_ids)} stop ids and ids {allowed[:1]} to "
                f"{allowed[-1:]}; is this the model's own tokenizer?"
            )
        self.model = model
        self.allowed_in_frame = [
            torch.tensor(sorted(set(ids)), device=model.device) for ids in allowed_in_frame
        ]
        self.stops = torch.tensor(sorted(set(stop_ids)), device=model.device)
        self.whole_vocabulary = whole_vocabulary

    @torch.inference_mode()
    @sdpa_kernel(ATTENTION)
    def sample(
        self,
        prompts_P: Sequence[Sequence[int]],
        group_size: int = 1,
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        top_p: float = 1.0,
        top_k: int = -1,
        on_finished: Callable[[int, Sampled], None] | None = None,
    ) -> list[Sampled]:
        """Sample `group_size` responses a prompt; returns P * group_size, prompt-major.

        `temperature` 0 is greedy. `max_tokens` counts the stop token. The same seed, prompts and
        weights give the same responses; a row's random numbers depend on its index alone.
        `on_finished(index, response)` is called once a row, as soon as it has ended. Raises
        BadInput for prompts or limits that cannot be sampled, and when the logits are not finite.
        """
        self._check(prompts_P, group_size, temperature, max_tokens, top_p)
        rows = len(prompts_P) * group_size
        device = self.stops.device
        # All random numbers before the first step, and on the CPU: a row's depend on the seed and
        # its index, not on the device, on other rows, or on which of them are still running.
        generator = torch.Generator().manual_seed(seed)
        uniform_NT = torch.rand(rows, max_tokens, generator=generator, dtype=torch.float64)
        uniform_NT = uniform_NT.float().to(device)
        ids_NT = torch.zeros(rows, max_tokens, dtype=torch.long, device=device)
        log_probs_NT = torch.zeros(rows, max_tokens, device=device)
        results: list[Sampled | None] = [None] * rows

        decoder = _Decoder(self.model, prompts_P, group_size, max_tokens)
        head: Tensor = cast(Any, self.model).get_output_embeddings().weight
        places = self.allowed_in_frame
        heads = [head if self.whole_vocabulary else head[allowed] for allowed in places]
        hidden = decoder.prefill()
        row_of = torch.arange(rows, device=device)
        live = torch.ones(rows, dtype=torch.bool, device=device)
        for t in range(max_tokens):
            # The soft-max in float32, whatever the weights are in: it sums over a vocabulary, and
            # the trainer's probability ratios divide by the result.
            allowed, head = places[t % len(places)], heads[t % len(places)]
            logits = F.linear(hidden, head).float() / (temperature or 1.0)
            choice, log_probs = self._choose(
                logits, allowed, uniform_NT[row_of, t], temperature == 0, top_p, top_k
            )
            token = allowed[choice]
            ids_NT[row_of, t] = token
            log_probs_NT[row_of, t] = log_probs
            stopped = torch.isin(token, self.stops) & live
            ended = live if t == max_tokens - 1 else stopped
            if ended.any():
                for k in _list(ended.nonzero().flatten()):
                    row = int(row_of[k])
                    done = Sampled(
                        _list(ids_NT[row, : t + 1]),
                        _list(log_probs_NT[row, : t + 1]),
                        bool(stopped[k]),
                    )
                    results[row] = done
                    if on_finished:
                        on_finished(row, done)
                # An ended row is still computed: what it draws now stands behind what was read.
                live = live & ~ended
                if not live.any():
                    break
                if (len(live) - int(live.sum())) * COMPACT_AT >= len(live):
                    decoder.keep(live)
                    row_of, token, live = row_of[live], token[live], live[live]
            hidden = decoder.step(token)
        return [r for r in results if r is not None]

    def _choose(
        self,
        logits: Tensor,
        allowed: Tensor,
        uniform: Tensor,
        greedy: bool,
        top_p: float,
        top_k: int,
    ) -> tuple[Tensor, Tensor]:
        """Logits [N, V or A] at temperature -> index into the allowed set [N], log-prob [N]."""
        normaliser = logits.logsumexp(-1, keepdim=True)
        if not normaliser.isfinite().all():
            raise BadInput(
                "the model's logits are not finite: its weights are broken, or training diverged "
                "(a lower train.learning_rate helps)"
            )
        log_probs = logits - normaliser
        if self.whole_vocabulary:
            log_probs = log_probs[:, allowed]
        if greedy:
            choice = log_probs.argmax(-1)
        else:
            # Shifted by the maximum: the allowed set may hold little of the vocabulary's mass.
            probs = (log_probs - log_probs.amax(-1, keepdim=True)).exp()
            if top_k > 0 or top_p < 1.0:
                probs = truncate(probs, top_k, top_p)
            choice = draw(probs, uniform)
        return choice, log_probs.gather(-1, choice[:, None])[:, 0]

    def _check(
        self,
        prompts_P: Sequence[Sequence[int]],
        group_size: int,
        temperature: float,
        max_tokens: int,
        top_p: float,
    ) -> None:
        if not prompts_P or not all(prompts_P):
            raise BadInput("the sampler needs at least one prompt, and no empty one")
        if group_size < 1 or max_tokens < 1 or temperature < 0 or not 0 < top_p <= 1:
            raise BadInput(
                "sampling needs group_size >= 1, max_tokens >= 1, temperature >= 0 and top_p in "
                f"(0, 1]: got {group_size}, {max_tokens}, {temperature}, {top_p}"
            )
        longest = max(map(len, prompts_P))
        if longest + max_tokens > self.positions:
            raise BadInput(
                f"a prompt of {longest} tokens and {max_tokens} more do not fit the model's "
                f"{self.positions} positions; lower max_speech_tokens or shorten the text"
            )

    @property
    def positions(self) -> int:
        """How many tokens a prompt and its response may have together."""
        return cast(Any, self.model).config.max_position_embeddings


def truncate(probs: Tensor, top_k: int, top_p: float) -> Tensor:
    """Zero all but the `top_k` largest, then all but the fewest that hold `top_p` of those.

    Takes and returns probabilities [N, A] up to a factor; top_k < 1 and top_p = 1 keep everything.
    """
    ordered, index = probs.sort(-1, descending=True)
    if top_k > 0:
        ordered[:, top_k:] = 0.0
    mass = ordered.cumsum(-1)
    # By the mass before a token: the one that reaches top_p stays, so that at least one does.
    ordered[mass - ordered >= top_p * mass[:, -1:]] = 0.0
    return torch.zeros_like(probs).scatter_(-1, index, ordered)


def draw(probs: Tensor, uniform: Tensor) -> Tensor:
    """Index [N] by inverse transform: probabilities [N, A] up to a factor, uniform [N] in [0, 1).

    One random number a row, where the Gumbel trick takes one an allowed token.
    """
    mass = probs.cumsum(-1)
    total = mass[:, -1]
    # Strictly below the total, so that rounding never lands behind the last possible index.
    target = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(mass, target[:, None], right=True)[:, 0]


class _Decoder:
    """The model's forward pass over left-padded rows with a static cache.

    Reads the modules of a Llama-shaped `transformers` model instead of calling its forward, whose
    cache, masks and dispatch cost more than the arithmetic of a small model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts_P: Sequence[Sequence[int]],
        group_size: int,
        max_tokens: int,
    ) -> None:
        # transformers types neither; which modules there are is checked by `Sampler`.
        config = cast(Any, model).config
        self.body = cast(Any, model).model
        self.group_size = group_size
        self.normed = config.model_type == "qwen3"
        """Queries and keys are, head by head."""
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.length = max(map(len, prompts_P))
        capacity = self.length + max_tokens
        device = model.device
        rows = len(prompts_P) * group_size
        self.ids = torch.zeros(len(prompts_P), self.length, dtype=torch.long, device=device)
        self.valid = torch.ones(len(prompts_P), capacity, dtype=torch.bool, device=device)
        # On the left, so that the next token of every row goes into the same column: one slice of
        # the cache is written per step, and the last column predicts the first token of all.
        for i, prompt in enumerate(prompts_P):
            pad = self.length - len(prompt)
            self.ids[i, pad:] = torch.tensor(prompt, device=device)
            self.valid[i, :pad] = False
        self.padded = not bool(self.valid.all())
        shape = rows, self.kv_heads, capacity, self.head_dim
        weight = self.body.embed_tokens.weight
        self.keys = [weight.new_empty(shape) for _ in self.body.layers]
        self.values = [weight.new_empty(shape) for _ in self.body.layers]
        positions = torch.arange(capacity, device=device)[None]
        cos, sin = self.body.rotary_emb(weight, positions)
        self.cos, self.sin = cos[0], sin[0]

    def prefill(self) -> Tensor:
        """Run every prompt once; returns the hidden state [N, d] that predicts the first token."""
        length = self.length
        valid = self.valid[:, :length]
        # Counted from a row's own first token: rotary angles are those without padding.
        positions = (valid.long().cumsum(1) - 1).clamp_min(0)
        causal = torch.ones(length, length, dtype=torch.bool, device=valid.device).tril()
        # A padded query has nothing to look at but itself; soft-max over nothing would be NaN.
        itself = torch.eye(length, dtype=torch.bool, device=valid.device)
        mask = (causal & valid[:, None]) | itself
        repeat = self.group_size

        def store(layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            self.keys[layer][:, :, :length] = key.repeat_interleave(repeat, 0)
            self.values[layer][:, :, :length] = value.repeat_interleave(repeat, 0)
            return key, value

        hidden = self._forward(self.ids, positions, mask[:, None], store)
        self.positions = (positions[:, -1] + 1).repeat_interleave(repeat, 0)
        self.valid = self.valid.repeat_interleave(repeat, 0)
        return hidden.repeat_interleave(repeat, 0)

    def step(self, token_N: Tensor) -> Tensor:
        """Append one token a row; returns the hidden state [N, d] that predicts the next."""
        start, end = self.length, self.length + 1

        def append(layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            self.keys[layer][:, :, start:end] = key
            self.values[layer][:, :, start:end] = value
            return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

        # Without padding the newest token may look at every column, and attention is faster with
        # no mask than with one that is true everywhere.
        mask = self.valid[:, None, None, :end] if self.padded else None
        hidden = self._forward(token_N[:, None], self.positions[:, None], mask, append)
        self.positions = self.positions + 1
        self.length = end
        return hidden

    def keep(self, rows: Tensor) -> None:
        """Drop the rows that are false in `rows` [N]; moved within the cache, nothing allocated."""
        count, length = int(rows.sum()), self.length
        for cache in (self.keys, self.values):
            for layer, full in enumerate(cache):
                # The right side is a copy, so that rows may move onto each other.
                full[:count, :, :length] = full[rows, :, :length]
                cache[layer] = full[:count]
        self.positions, self.valid = self.positions[rows], self.valid[rows]

    def _forward(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        cache: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Ids [N, T] -> normalised hidden state of the last position [N, d]."""
        rows, length = ids.shape
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]

        def heads(x: Tensor, count: int) -> Tensor:
            return x.view(rows, length, count, self.head_dim).transpose(1, 2)

        x = self.body.embed_tokens(ids)
        for i, layer in enumerate(self.body.layers):
            attention = layer.self_attn
            h = _rms_norm(layer.input_layernorm, x)
            query, key = (
                heads(attention.q_proj(h), self.heads),
                heads(attention.k_proj(h), self.kv_heads),
            )
            if self.normed:
                query, key = _rms_norm(attention.q_norm, query), _rms_norm(attention.k_norm, key)
            query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
            key, value = cache(i, key, heads(attention.v_proj(h), self.kv_heads))
            mixed = F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, enable_gqa=self.heads != self.kv_heads
            )
            x = x + attention.o_proj(mixed.transpose(1, 2).reshape(rows, length, -1))
            x = x + layer.mlp(_rms_norm(layer.post_attention_layernorm, x))
        return _rms_norm(self.body.norm, x[:, -1])


def _list(values_T: Tensor) -> list[Any]:
    return cast(Any, values_T).tolist()


def _rms_norm(norm: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding: x [N, H, T, D], cos and sin [N, 1, T, D]."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin
