"""A rollout engine for verl in plain torch: one Ray actor a rank, with its own copy of the policy.

Used where vLLM cannot run, and for policies so small that vLLM's start takes longer than their
rollouts. It samples on the device of its rank. Requests that arrive together are sampled as one
batch, in an order of their own, so that a step's rollouts depend on the seed, the step and the
prompts alone; with several ranks also on which server got which group.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput
from verl.workers.rollout.utils import ensure_async_iterator

from ttsrl.families.registry import load_family
from ttsrl.sampler.sampler import Sampled, Sampler
from ttsrl.training.environment import run_here

QUIET_S = 0.05
"""A batch is closed when no request has come for this long."""


def _actor_name(rank: int) -> str:
    return f"ttsrl_torch_server_{rank}"


class TorchWeightSender(BaseRollout):
    """Hands new weights to a server after each update.

    Lives in the process of the rank beside it, or, where rollouts have GPUs of their own, of the
    worker there, which verl tells the server's number.
    """

    is_leader_rank = True

    def __init__(self, *args: Any, replica_rank: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.replica_rank = torch.distributed.get_rank() if replica_rank is None else replica_rank

    async def resume(self, tags: list[str]) -> None:
        pass

    async def release(self) -> None:
        pass

    @torch.no_grad()
    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]] | AsyncIterable[tuple[str, torch.Tensor]],
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Send the full state dict, as CPU tensors, and wait until the server has it."""
        state = {
            name: weight.detach().to("cpu", copy=True)
            async for name, weight in ensure_async_iterator(weights)
        }
        server: Any = ray.get_actor(_actor_name(self.replica_rank))
        await server.load_weights.remote(state, global_steps)


@dataclass
class _Request:
    prompt_ids: tuple[int, ...]
    sampling: tuple[float, float, int, int]
    """Temperature, top_p, top_k, longest response."""
    answer: asyncio.Future[TokenOutput]


class TorchServer:
    """The policy and its sampler, behind the interface that verl's LLM client expects."""

    def __init__(self, config: Any, model_path: str, rank: int, device: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from ttsrl.models.hub import LOST, load_model, load_part

        self.config, self.step = config, 0
        self.seed = config.seed * 1_000_003 + (rank << 40)  # no two servers draw the same
        folder = Path(model_path)
        family = load_family(run_here().family, load_part(AutoTokenizer, folder))
        # float32 everywhere: of a policy for which this engine is right it costs no time
        self.model: Any = load_model(AutoModelForCausalLM, folder, without=LOST).to(device)
        self.sampler = Sampler(self.model, family.allowed_in_frame, family.stop_token_ids)
        self.batches = 0
        """Sampled from the present weights."""
        self.given: tuple[dict[str, torch.Tensor], int] | None = None
        """Weights that the next batch is sampled from, and their step."""
        self.waiting: list[_Request] = []
        self.batcher: asyncio.Task[None] | None = None

    async def load_weights(self, state: dict[str, torch.Tensor], step: int | None) -> None:
        """New weights: copied in at once, or, where a batch is being sampled, before the next one.

        Names must match the policy's, tied ones may be missing.
        """
        self.given = state, step or 0
        if self.batcher is None:
            self._take_weights()

    def _take_weights(self) -> None:
        if self.given is None:
            return
        (state, self.step), self.given = self.given, None
        self.batches = 0
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        tied = set(self.model._tied_weights_keys or ())
        if unexpected or set(missing) - tied:
            raise ValueError(f"weights do not fit the policy: {missing=} {unexpected=}")
        self.model.tie_weights()

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any
    ) -> TokenOutput:
        """Sample one response of at most `max_tokens`; returns as soon as this one has ended."""
        limit = sampling_params.get("max_tokens") or self.config.response_length
        sampling = (
            float(sampling_params.get("temperature", 1.0)),
            float(sampling_params.get("top_p", 1.0)),
            int(sampling_params.get("top_k", -1)),
            int(limit),
        )
        loop = asyncio.get_running_loop()
        request = _Request(tuple(prompt_ids), sampling, loop.create_future())
        self.waiting.append(request)
        if self.batcher is None:
            self.batcher = loop.create_task(self._batch())
        return await request.answer

    async def _batch(self) -> None:
        while self.waiting:
            seen = 0
            while len(self.waiting) > seen:
                seen = len(self.waiting)
                await asyncio.sleep(QUIET_S)
            batch, self.waiting = self.waiting, []
            self._take_weights()
            for sampling in sorted({r.sampling for r in batch}):
                await self._sample([r for r in batch if r.sampling == sampling])
        self.batcher = None

    async def _sample(self, requests: list[_Request]) -> None:
        """One batch of one kind of sampling; groups of equal size share their prompt's prefill."""
        loop = asyncio.get_running_loop()
        requests = sorted(requests, key=lambda r: r.prompt_ids)
        prompts = [list(p) for p in dict.fromkeys(r.prompt_ids for r in requests)]
        group_size, rest = divmod(len(requests), len(prompts))
        if rest or any(
            requests[i].prompt_ids != requests[i - i % group_size].prompt_ids
            for i in range(len(requests))
        ):
            prompts, group_size = [list(r.prompt_ids) for r in requests], 1

        step, seed = self.step, self.seed + self.step + (self.batches % 1024 << 52)
        self.batches += 1

        def finished(row: int, sampled: Sampled) -> None:
            loop.call_soon_threadsafe(self._answer, requests[row], sampled, step)

        temperature, top_p, top_k, limit = requests[0].sampling
        try:
            await asyncio.to_thread(
                self.sampler.sample,
                prompts,
                group_size,
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
                max_tokens=limit,
                seed=seed,
                on_finished=finished,
            )
        except Exception as error:
            for request in requests:
                if not request.answer.done():
                    request.answer.set_exception(error)

    def _answer(self, request: _Request, sampled: Sampled, step: int) -> None:
        if request.answer.done():
            return
        request.answer.set_result(
            TokenOutput(
                token_ids=list(sampled.token_ids),
                log_probs=list(sampled.log_probs),
                stop_reason="completed" if sampled.finished else "length",
                num_preempted=0,
                extra_fields={"global_steps": step},
            )
        )

    async def wake_up(self, *_: Any, **__: Any) -> None: ...
    async def sleep(self, *_: Any, **__: Any) -> None:
        """The update needs what the last batch's cache had of a GPU."""
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    async def abort_all_requests(self, *_: Any, **__: Any) -> None: ...
    async def resume_generation(self, *_: Any, **__: Any) -> None: ...
    async def clear_kv_cache(self) -> None: ...
    async def release_kv_cache(self) -> None: ...
    async def resume_kv_cache(self) -> None: ...
    async def start_profile(self, **_: Any) -> None: ...
    async def stop_profile(self) -> None: ...


class TorchReplica(RolloutReplica):
    """Starts the server actor of one rank, on the rank's machine."""

    async def launch_servers(self) -> None:
        """Start the actor and make it known to verl's LLM client."""
        worker: Any = self.workers[0]
        node, gpu = await worker.__ray_call__.remote(_place)
        options: dict[str, Any] = {
            "name": _actor_name(self.replica_rank),
            "num_cpus": 1,
            "max_concurrency": self.max_concurrency,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }
        device = "cpu" if os.environ.get("VERL_PLATFORM") == "cpu" else "cuda"
        if device == "cuda":
            # Ray hides every GPU from an actor that reserves none, and the rank has reserved it
            variables = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
            options["runtime_env"] = {"env_vars": variables | {"CUDA_VISIBLE_DEVICES": gpu}}
        server: Any = (
            ray.remote(TorchServer)
            .options(**options)
            .remote(self.config, self.model_config.path, self.replica_rank, device)
        )
        self.servers = [server]
        self._server_handle = server
        self._server_address = f"torch://{self.replica_rank}"


def _place(_: Any) -> tuple[str, str]:
    """Node of a rank, and its GPU as Ray counts them."""
    here = ray.get_runtime_context()
    return here.get_node_id(), here.get_accelerator_ids()["GPU"][0]
