"""verl's agent-loop worker for speech: generate a group, score each rollout as soon as it ends.

Scores are asked for while the rest of the batch is still being generated. A rollout whose
measurement failed carries NO_REWARD, which the advantage estimator leaves out of its group.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
import torch
import transfer_queue as tq
from verl.experimental.agent_loop import AgentLoopManager
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from ttsrl.client.reward_client import RewardClient
from ttsrl.config.schema import RunConfig
from ttsrl.data.told import conditions_in
from ttsrl.families.registry import load_family
from ttsrl.records.rollout import Rollout
from ttsrl.text.normalise import normalise
from ttsrl.training.advantage import (
    component_advantages,
    group_advantages,
    leave_one_out_advantages,
)
from ttsrl.training.asked_of_vllm import asked_of_vllm
from ttsrl.training.environment import reward_here, run_here
from ttsrl.training.idle_time import IdleTime
from ttsrl.training.verl_args import GROUP_METRIC
from ttsrl.training.verl_fields import extra_fields_of, reward_of, utilities_of
from ttsrl.wire import Outcome, SpokenAfter, Utterance

KEPT_RECORDINGS = 1_024
"""Files of references whose contents are kept."""


def prefix_of(info: dict[str, Any]) -> list[int]:
    """Speech tokens with which a row's prompt ends."""
    return [int(token) for token in info["speech_prefix"]]


def advantages_in_group(run: RunConfig, outcomes: Sequence[Outcome]) -> list[float]:
    """What a group's rollouts will get, before anything that needs the whole batch."""
    group = np.zeros(len(outcomes), dtype=int)
    normalise = run.train.normalise_by_std
    if run.train.advantage == "gdpo":
        weights = run.reward.weights
        utilities_GK = torch.tensor([utilities_of(o, list(weights)) for o in outcomes])
        weights_K = torch.tensor(list(weights.values()))
        return component_advantages(
            utilities_GK, weights_K, group, normalise_by_std=normalise
        ).tolist()
    rewards_G = torch.tensor([reward_of(o) for o in outcomes])
    if run.train.advantage == "rloo":
        return leave_one_out_advantages(rewards_G, group).tolist()
    return group_advantages(rewards_G, group, normalise_by_std=normalise).tolist()


# verl decorates its worker with ray.remote; a subclass needs the plain class behind it
_PlainWorker: Any = cast(Any, AgentLoopWorkerTQ).__ray_metadata__.modified_class


class SpeechRolloutWorker(_PlainWorker):
    """Runs the groups of its share of a step's prompts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

        self.run = run_here()
        self.family = load_family(self.run.family, self.tokenizer, told=self.run.prompt)
        self.asked = asked_of_vllm(self.run) if self.rollout_config.name == "vllm" else {}
        self.idle = IdleTime()
        self._recording = lru_cache(maxsize=KEPT_RECORDINGS)(lambda file: Path(file).read_bytes())
        self.reward_client = RewardClient.of(
            self.run.reward, reward_here().spec_hash, self.run.name
        )

    async def take_idle_s(self) -> float:
        """Seconds since the last call in which this worker waited for no rollout engine."""
        return self.idle.take()

    def _reference(self, info: dict[str, Any]) -> SpokenAfter | None:
        """The reference of a row, as the reward service is told it."""
        if (found := info.get("reference")) is None:
            return None
        told = self.family.continued(conditions_in(self.run, info))
        # there where the reward hears it
        audio = self._recording(found["audio"]) if found["audio"] else None
        return SpokenAfter(
            speech_tokens=[*told.tokens] if told else [],
            audio=audio and base64.b64encode(audio),
        )

    async def _run_prompt(
        self,
        prompt: dict[str, Any],
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        trace: bool,
    ) -> None:
        """Generate and score one group, then hand it to the trainer as a whole."""
        uid = prompt["uid"]
        partition = "val" if trajectory["validate"] else "train"
        info = prompt["extra_info"]
        conditions = conditions_in(self.run, info)
        prompt_ids = self.family.prompt_ids(info["text"], prefix_of(info), conditions)
        sampling_params = {
            **sampling_params,
            **self.asked,
            "stop_token_ids": self.family.stop_token_ids,
        }
        group = range(self.rollout_config.n)
        try:
            rows = await asyncio.gather(
                *(self._run_one(prompt_ids, info, sampling_params, prompt) for _ in group)
            )
            fields, tags, outcomes = zip(*rows, strict=True)
            for field, advantage in zip(
                fields, advantages_in_group(self.run, outcomes), strict=True
            ):
                field["extra_fields"]["reward_extra_info"] = {GROUP_METRIC: advantage}
            await tq.async_kv_batch_put(
                keys=[f"{uid}_{i}_0" for i in group],
                fields=list_of_dict_to_tensordict(list(fields)),
                tags=list(tags),
                partition_id=partition,
            )
        except Exception:
            await tq.async_kv_put(key=uid, partition_id=partition, tag={"status": "failure"})
            raise
        await tq.async_kv_put(key=uid, partition_id=partition, tag={"status": "finished"})

    async def _run_one(
        self,
        prompt_ids: list[int],
        info: dict[str, Any],
        sampling_params: dict[str, Any],
        prompt: dict[str, Any],
    ) -> tuple[dict[str, Any], dict[str, Any], Outcome]:
        """One rollout as verl's (fields, tag), and what was measured of it."""
        start_s = time.time()
        with self.idle.at_work():
            generated = await self.llm_client.generate(
                # verl keeps what shares an id on one server: a group's prompt is read once
                request_id=str(prompt["uid"]),
                prompt_ids=prompt_ids,
                sampling_params=sampling_params,
            )
        end_s = time.time()
        response_ids = generated.token_ids[: self.rollout_config.response_length]
        tokens, finished = self.family.speech_tokens(response_ids)
        prefix = prefix_of(info)
        utterance = Utterance(
            text=self.family.spoken(info["text"]),
            language=info.get("language") or self.run.data.language,
            # who adds nothing to the prefix has said nothing
            speech_tokens=[*prefix, *tokens] if tokens else [],
            finished=finished,
            style=info.get("style"),
            speaker=info.get("speaker"),
            label=info.get("label"),
            reference=self._reference(info),
        )
        (outcome,) = await self.reward_client.score([utterance])
        rollout = Rollout(
            group=str(prompt["uid"]),
            text=info["text"],
            chars=len(normalise(utterance.text, utterance.language)),
            speech_tokens=tokens,
            speech_prefix=prefix,
            finished=finished,
            outcome=outcome,
            generate_start_s=start_s,
            generate_end_s=end_s,
            score_end_s=time.time(),
        )
        output = AgentLoopOutput(
            prompt_ids=prompt_ids,
            response_ids=response_ids,
            response_mask=[1] * len(response_ids),
            response_logprobs=(generated.log_probs or [])[: len(response_ids)] or None,
            reward_score=reward_of(outcome),
            num_turns=2,
            metrics=AgentLoopMetrics(generate_sequences=end_s - start_s),
            extra_fields=extra_fields_of(rollout),
        )
        fields = output.as_dict()
        input_ids = torch.cat([fields["prompts"], fields["responses"]])
        fields |= {
            "uid": prompt["uid"],
            "loss_mask": fields["response_mask"],
            "input_ids": input_ids,
            "position_ids": torch.arange(len(input_ids)),
            "multi_modal_inputs": {},
        }
        tag = {
            "status": "success",
            "prompt_len": len(prompt_ids),
            "response_len": len(response_ids),
            "seq_len": len(input_ids),
            "global_steps": prompt["global_steps"],
            # the policies that its first and its last token were sampled from
            "min_global_steps": generated.extra_fields["min_global_steps"],
            "max_global_steps": generated.extra_fields["max_global_steps"],
        }
        return fields, tag, outcome


class SpeechRolloutManager(AgentLoopManagerTQ):
    """verl's manager with our worker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.agent_loop_workers_class = ray.remote(SpeechRolloutWorker)
        AgentLoopManager.__init__(self, *args, **kwargs)
