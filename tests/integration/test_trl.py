"""TRL's own GRPOTrainer with our reward function, on the tiny policy and the real service."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from support.paths import ROOT
from support.reward_server import TEXTS, RewardServer, free_port, utterances
from ttsrl.client.trl import SpeechReward, adapt, row

POLICY = str(ROOT / "examples/tiny/policy")
UNSPEAKABLE = "!?"
"""Nothing of it is left to compare with, so that no measurement of it can succeed."""


def test_trl_trains_on_the_services_rewards_and_leaves_out_what_could_not_be_measured(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    family = adapt(tokenizer)
    given: list[list[float | None]] = []

    class Watched(SpeechReward):
        def __call__(self, **columns: Any) -> list[float | None]:
            given.append(super().__call__(**columns))
            return given[-1]

    trainer = GRPOTrainer(
        model=POLICY,
        processing_class=tokenizer,
        reward_funcs=Watched(reward_service.url, family),
        train_dataset=Dataset.from_list([row(family, text) for text in (TEXTS[1], UNSPEAKABLE)]),
        args=GRPOConfig(
            output_dir=str(tmp_path),
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
    steps = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(steps) == len(given) == 2
    for step, rewards in zip(steps, given, strict=True):
        measured = [reward for reward in rewards if reward is not None]
        assert len(measured) == 4
        assert all(0 <= reward <= 1 for reward in measured)
        assert math.isclose(step["reward"], sum(measured) / 4, abs_tol=1e-4)
        assert step["speech/failed/rejected"] == 0.5
        assert step["speech/cer"] >= 0
        assert math.isfinite(step["loss"])
    assert len({round(reward, 4) for rewards in given for reward in rewards if reward}) > 1


def test_the_prompt_that_trl_renders_is_the_one_of_training_and_evaluation() -> None:
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
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
    reward = SpeechReward(f"http://127.0.0.1:{free_port()}", family, deadline_s=0.3)
    logged: dict[str, float] = {}
    columns: dict[str, Any] = {
        "completion_ids": [ids] * 2,
        "text": [item.text] * 2,
        "prompts": ["", ""],
    }
    assert reward(**columns, log_metric=logged.__setitem__) == [None, None]
    assert logged == {"speech/failed/unreachable": 1.0}
