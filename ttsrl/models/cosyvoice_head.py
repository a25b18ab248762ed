"""CosyVoice2's output head as a Qwen2 can have it: without a bias, over text and speech.

The official head scores 6 564 ids, with a bias. A Qwen2 in transformers, vLLM and verl's fused
kernels has rows for the whole vocabulary and no bias: upstream's conversion drops it there, and the
text's rows, which are zero, get the logit 0, in the soft-max too.

Here both are done through one direction v of the hidden states h along which they hardly differ,
v.h = 1 but for a remainder, found by least squares on speech that the model says itself: a speech
row becomes w + b v, and every other row -c v, which puts it far below the best speech token. With a
bias of zero nothing is lost. Otherwise the remainder is measured on other texts, and reported
beside what dropping the bias would have cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ttsrl.families.cosyvoice2 import CosyVoice2
from ttsrl.sampler.sampler import Sampler

TEXTS = [
    "The weather was so fine this morning that we walked all the way to the river.",
    "收到好友从远方寄来的生日礼物，那份意外的惊喜让我心中充满了甜蜜的快乐。",
    "She asked whether the train to Edinburgh leaves from platform nine or ten.",
    "今天下午三点钟，我们在图书馆门口见面，别忘了带上你的笔记本。",
    "明日の朝は早く起きて、海まで歩いて行きましょう。",
    "오늘은 날씨가 좋아서 친구와 함께 공원을 산책했습니다.",
    "Please remember to close the window before you leave the house.",
    "他一边吃着苹果，一边认真地读着昨天的报纸。",
    "How many people can speak more than two languages fluently?",
    "山上的雪还没有化，山下的花已经开了。",
    "彼女は毎週日曜日に祖母の家を訪ねます。",
    "저녁을 먹고 나서 같이 영화를 보러 가지 않을래요?",
    "Numbers such as 1984 and 3.14 are read aloud, too.",
    "如果明天下雨，比赛就会推迟到下个星期六举行。",
    "No one had expected the old clock to strike again.",
    "请把这封信交给站在门口的那位先生。",
]
"""Said by the model to find v; every fourth is kept to measure what remains."""
SAMPLES, TOKENS = 4, 64
LEAST = 0.25
"""Where v.h falls below this anywhere, it is not a direction to hold text down by."""
BELOW = 50.0
"""Nats that every other id is to lie below the best speech token, at least."""


@dataclass(frozen=True)
class HeadReport:
    """What became of the head, measured on speech that v was not fitted to."""

    largest_bias: float
    kl_nats: float
    """Mean KL a token from the official distribution to the folder's."""
    kl_dropped_nats: float
    """The same, had the bias been dropped."""
    text_below_nats: float | None
    """How far the best id that is not speech lies below the best that is, at least; None: its logit
    stays 0, because the hidden states have no such direction."""

    def __str__(self) -> str:
        if self.largest_bias == 0:
            bias = "the head has no bias: the folder's logits are the checkpoint's"
        else:
            bias = (
                f"the head's bias, up to {self.largest_bias:.3g}, was folded into its weights: "
                f"{self.kl_nats:.2g} nats per token from the checkpoint's distribution "
                f"({self.kl_dropped_nats:.2g} had it been dropped)"
            )
        if self.text_below_nats is None:
            return f"{bias}; ids that are not speech keep the logit 0, and are masked in sampling"
        return f"{bias}; ids that are not speech lie {self.text_below_nats:.0f} nats or more below"


@torch.inference_mode()
def make_head(model: PreTrainedModel, family: CosyVoice2, bias_R: Tensor) -> HeadReport:
    """Give the head of `model`, official in its speech rows and zero elsewhere, what it lacks.

    `bias_R` belongs to the rows from the first speech token on, in float32 or less.
    """
    first = family.speech_token_ids.start
    rows = slice(first, first + len(bias_R))
    head: Any = model.get_output_embeddings()
    weight_VD: Tensor = head.weight
    bias_R = bias_R.to(weight_VD.device).double()
    fitted_ND, others_ND = hidden_states(model, family)
    v_D = constant_direction(fitted_ND)
    official_RD = weight_VD[rows].double()
    folded_RD = official_RD + bias_R[:, None] * v_D
    weight_VD[rows] = folded_RD.to(weight_VD.dtype)
    along_N = torch.cat([fitted_ND, others_ND]) @ v_D
    best_N = (torch.cat([fitted_ND, others_ND]) @ folded_RD.T).amax(-1)
    below = None
    if along_N.min() >= LEAST:
        scale = 1.5 * float(((BELOW - best_N) / along_N).amax().clamp_min(0))
        down_D = (-scale * v_D).to(weight_VD.dtype)
        weight_VD[: rows.start] = down_D
        weight_VD[rows.stop :] = down_D
        below = float((best_N + scale * along_N).min())
    target = others_ND @ official_RD.T + bias_R
    return HeadReport(
        float(bias_R.abs().max()),
        _kl(target, others_ND @ weight_VD[rows].double().T),
        _kl(target, others_ND @ official_RD.T),
        below,
    )


def constant_direction(hidden_ND: Tensor) -> Tensor:
    """The v [d] with the least sum of (v.h - 1)^2 over hidden states, slightly shrunk."""
    gram_DD = hidden_ND.T @ hidden_ND
    gram_DD.diagonal().add_(1e-6 * gram_DD.diagonal().mean())
    return torch.linalg.solve(gram_DD, hidden_ND.sum(0))


def hidden_states(model: PreTrainedModel, family: CosyVoice2) -> tuple[Tensor, Tensor]:
    """Last hidden states [N, d] (float64) where `model` chose a token: to fit, and to measure."""
    prompts = [family.prompt_ids(text) for text in TEXTS]
    sampler = Sampler(model, family.allowed_in_frame, family.stop_token_ids, whole_vocabulary=False)
    sampled = sampler.sample(
        prompts, SAMPLES, temperature=1.0, top_p=0.8, top_k=25, max_tokens=TOKENS, seed=0
    )
    parts: tuple[list[Tensor], list[Tensor]] = [], []
    for n, response in enumerate(sampled):
        prompt = prompts[n // SAMPLES]
        ids = torch.tensor([[*prompt, *response.token_ids[:-1]]], device=model.device)
        hidden_TD = model.model(ids).last_hidden_state[0, len(prompt) - 1 :]
        parts[(n // SAMPLES) % 4 == 3].append(hidden_TD.double())
    return torch.cat(parts[0]), torch.cat(parts[1])


def _kl(target_NR: Tensor, logits_NR: Tensor) -> float:
    """Mean KL(target || logits) over rows, in nats."""
    p, q = target_NR.log_softmax(-1), logits_NR.log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())
