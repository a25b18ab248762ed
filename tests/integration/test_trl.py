"""TRL's own GRPOTrainer with our reward function, on the tiny policy and the real service."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import AutoTokenizer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from support.paths import ROOT
from support.reward_server import TEXTS, RewardServer, free_port, utterances
from ttsrl.client.trl import AsyncSpeechReward, SpeechReward, adapt, row
from ttsrl.errors import BadInput
from ttsrl.families.base import Family

POLICY = str(ROOT / "examples/tiny/policy")
UNSPEAKABLE = "!?"
"""Nothing of it is left to compare with, so that no measurement of it can succeed."""


def train(
    rewards: list[Any],
    family: Family,
    tokenizer: Any,
    folder: Path,
    trainer_class: type[GRPOTrainer] = GRPOTrainer,
) -> GRPOTrainer:
    """Two steps on a text that can be measured and one that cannot."""
    trainer = trainer_class(
        model=POLICY,
        processing_class=tokenizer,
        reward_funcs=rewards,
        train_dataset=Dataset.from_list([row(family, text) for text in (TEXTS[1], UNSPEAKABLE)]),
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=2,
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=36,
            learning_rate=1e-3,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            seed=0,
        ),
    )
    trainer.train()
    return trainer


def test_trl_awaits_the_services_rewards_and_leaves_out_what_could_not_be_measured(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    family = adapt(tokenizer)
    given: list[list[float | None]] = []
    measuring: list[bool] = [False]
    seen_measuring: list[bool] = []

    class Watched(AsyncSpeechReward):
        async def __call__(self, **columns: Any) -> list[float | None]:
            measuring[0] = True
            given.append(await super().__call__(**columns))
            measuring[0] = False
            return given[-1]

    async def beside(completion_ids: list[list[int]], **_: Any) -> list[float]:
        """Another asynchronous reward, which has its turn while the service measures."""
        await asyncio.sleep(0)
        seen_measuring.append(measuring[0])
        return [0.0] * len(completion_ids)

    reward = Watched(reward_service.url, family)
    trainer = train([reward, beside], family, tokenizer, tmp_path)
    assert seen_measuring == [True, True]
    steps = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(steps) == len(given) == 2
    for step, rewards in zip(steps, given, strict=True):
        measured = [reward for reward in rewards if reward is not None]
        assert len(measured) == 4
        assert all(0 <= reward <= 1 for reward in measured)
        # the other reward was there for all eight, so the mean of both is over them
        mean = sum(measured) / 4
        assert math.isclose(step["rewards/speech_reward/mean"], mean, abs_tol=1e-4)
        assert math.isclose(step["reward"], mean / 2, abs_tol=1e-4)
        assert step["speech/failed/rejected"] == 0.5
        assert step["speech/cer"] >= 0
        assert math.isfinite(step["loss"])
    assert len({round(reward, 4) for rewards in given for reward in rewards if reward}) > 1


def test_a_rollout_without_a_measurement_moves_no_weight(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    """By TRL's own advantages, of a reward function that waits. Measured rewards are replaced by
    others that differ, so that those rollouts have an advantage whatever the policy says."""
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    family = adapt(tokenizer)
    seen: list[tuple[list[float], list[bool]]] = []

    class Watched(GRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            out = super()._generate_and_score_completions(inputs)
            seen.append((out["advantages"].tolist(), [x["text"] == UNSPEAKABLE for x in inputs]))
            return out

    class Different(SpeechReward):
        def __call__(self, **columns: Any) -> list[float | None]:
            given = super().__call__(**columns)
            return [None if one is None else 0.1 * n for n, one in enumerate(given)]

    reward = Different(reward_service.url, family)
    trainer = train([reward], family, tokenizer, tmp_path, Watched)
    assert len(seen) == 2
    for advantages, unmeasured in seen:
        assert all(a == 0 for a, out in zip(advantages, unmeasured, strict=True) if out)
        assert all(a != 0 for a, out in zip(advantages, unmeasured, strict=True) if not out)
        assert sorted(unmeasured) == [False] * 4 + [True] * 4
    assert all(
        math.isfinite(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry
    )


def test_speech_without_its_end_is_gated_and_the_service_is_told_the_language(
    reward_service: RewardServer,
) -> None:
    family = adapt(AutoTokenizer.from_pretrained(POLICY))
    (item,) = utterances(1)
    speech = [family.speech_token_ids[token] for token in item.speech_tokens]
    ended = [*speech, family.stop_token_ids[0]]
    logged: dict[str, float] = {}
    ends, stays, foreign = SpeechReward(reward_service.url, family)(
        completion_ids=[ended, speech, ended],
        text=[item.text] * 3,
        language=[None, "en", "xx"],
        log_metric=logged.__setitem__,
    )
    assert ends is not None and ends > 0
    assert (stays, foreign) == (0.0, None)
    assert logged["speech/gated/no_end_token"] == pytest.approx(1 / 3)
    assert logged["speech/failed/rejected"] == pytest.approx(1 / 3)


def test_the_prompt_that_trl_renders_is_the_one_of_training_and_evaluation() -> None:
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(0)  # another one, as of a model for chats
    family = adapt(tokenizer)
    rendered = tokenizer.apply_chat_template(
        row(family, TEXTS[0])["prompt"], add_generation_prompt=True, return_dict=False
    )
    assert rendered == family.prompt_ids(TEXTS[0])
    assert tokenizer.eos_token_id == family.stop_token_ids[0]


def test_an_outage_gives_no_reward_rather_than_0() -> None:
    family = adapt(AutoTokenizer.from_pretrained(POLICY))
    (item,) = utterances(1)
    ids = [family.speech_token_ids[token] for token in item.speech_tokens]
    url = f"http://127.0.0.1:{free_port()}"
    columns: dict[str, Any] = {
        "completion_ids": [ids] * 2,
        "text": [item.text] * 2,
        "language": ["en", None],
        "prompts": ["", ""],
    }
    waits = SpeechReward(url, family, deadline_s=0.3)
    awaits = AsyncSpeechReward(url, family, deadline_s=0.3)
    logged: dict[str, float] = {}
    assert waits(**columns, log_metric=logged.__setitem__) == [None, None]
    assert logged == {"speech/failed/unreachable": 1.0}
    assert asyncio.run(awaits(**columns)) == [None, None]
    with pytest.raises(BadInput, match="no column 'text'"):
        waits(completion_ids=[ids])
