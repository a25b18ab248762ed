"""New weights on their way to rollout engines that have processes of their own: Gloo between the
processes (here threads), and the torch engine that gets them while it samples."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.training.plugin import torch_rollout
from ttsrl.training.plugin.gloo_weights import GlooWeights


def test_weights_travel_from_the_sender_to_every_engine_as_they_are() -> None:
    sent = {
        "embedding": torch.randn(5, 7),
        "bfloat16": torch.randn(3, 2).to(torch.bfloat16),
        "one number": torch.tensor(3.0),
        "of a view": torch.randn(4, 6).T,
    }
    actors = [GlooWeights(0, is_master=True), GlooWeights(0)]
    engines = [GlooWeights(0), GlooWeights(0)]
    for _ in range(2):  # a group lives for one hand-over
        metadata = [one.prepare() for one in actors + engines]
        of_actors, of_engines = GlooWeights.build_topology(len(actors), len(engines), metadata)

        def send(n: int, kwargs: dict[str, Any]) -> int:
            actors[n].init_process_group(**kwargs)
            walked: list[str] = []
            weights = ((walked.append(name) or (name, one)) for name, one in sent.items())
            asyncio.run(actors[n].send_weights(weights))
            return len(walked)

        async def receive(n: int) -> dict[str, torch.Tensor]:
            return {name: weight async for name, weight in engines[n].receive_weights()}

        def receive_all(n: int, kwargs: dict[str, Any]) -> dict[str, torch.Tensor]:
            engines[n].init_process_group(**kwargs)
            return asyncio.run(receive(n))

        def nth(kwargs: dict[str, list[Any]], n: int) -> dict[str, Any]:
            return {name: values[n] for name, values in kwargs.items()}

        with ThreadPoolExecutor(4) as threads:
            sending = [threads.submit(send, n, nth(of_actors, n)) for n in range(2)]
            receiving = [threads.submit(receive_all, n, nth(of_engines, n)) for n in range(2)]
            # every rank walks through the weights, which gathers them
            assert [one.result(120) for one in sending] == [len(sent)] * 2
            for received in (one.result(120) for one in receiving):
                assert received.keys() == sent.keys()
                for name, weight in sent.items():
                    assert received[name].dtype == weight.dtype
                    assert torch.equal(received[name], weight)
        for one in actors + engines:
            one.finalize()


def test_weights_that_come_while_rollouts_are_sampled_are_those_of_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = load_run(TINY / "run.json")
    monkeypatch.setattr(torch_rollout, "run_here", lambda: run)
    config: Any = SimpleNamespace(seed=1, response_length=4)
    server = torch_rollout.TorchServer(config, run.model, 0, "cpu")
    sample, begun, go_on = server.sampler.sample, threading.Event(), threading.Event()
    seeds: list[int] = []

    def slowly(*args: Any, **kwargs: Any) -> Any:
        seeds.append(kwargs["seed"])
        begun.set()
        assert go_on.wait(120)
        return sample(*args, **kwargs)

    server.sampler.sample = slowly
    weight: Any = server.model.lm_head.weight
    old = weight.detach().clone()
    new = {name: one + 1 for name, one in server.model.state_dict().items()}
    said = {"max_tokens": 2, "temperature": 1.0}

    async def ask(name: str) -> int:
        answer = await server.generate(name, [1, 2], said)
        return answer.extra_fields["global_steps"]

    async def speak() -> list[int]:
        first = asyncio.create_task(ask("first"))
        await asyncio.to_thread(begun.wait, 120)
        await server.load_weights(new, 5)
        assert torch.equal(weight, old), (
            "the batch that is being sampled has the weights it began with"
        )
        go_on.set()
        versions = [await first, await ask("second"), await ask("third")]
        assert torch.equal(weight, old + 1)
        if server.batcher is not None:
            await server.batcher
        await server.load_weights(new, 6)  # at once where nothing is sampled
        assert server.step == 6
        return versions

    assert asyncio.run(speak()) == [0, 5, 5]
    assert len(set(seeds)) == 3, "two batches of one policy would draw the same random numbers"
