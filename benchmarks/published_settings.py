"""From one step of a run on, the settings of the published recipes; for train_speed.py.

verl takes the class below for its replay buffer and so imports this file where the trainer runs.
Which step it is stands in the environment as TTSRL_SEED_STEP.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

import ray
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer as VerlReplayBuffer

from ttsrl.training.trainer import SpeechTrainer

SEED_POLL_S = 2.0
"""verl's own pause between two looks at what has been generated."""
SEED_MICRO_BATCH = 4


class ReplayBuffer(VerlReplayBuffer):
    """verl's own."""


def published_settings(actor: Any) -> str:
    """In a rank's process: padded rollouts, whole logits, activations computed twice."""
    workers = [actor, *getattr(actor, "worker_dict", {}).values()]
    (policy,) = {id(w): w.actor for w in workers if getattr(w, "actor", None)}.values()
    engine, module = policy.engine, policy.engine.module
    # Frozen, so that nobody does what is done here.
    object.__setattr__(policy.model_config, "use_remove_padding", False)
    for config in (policy.engine_config, engine.engine_config):
        for name, value in (
            ("use_fused_kernels", False),
            ("use_dynamic_bsz", False),
            ("micro_batch_size_per_gpu", SEED_MICRO_BATCH),
            ("infer_micro_batch_size_per_gpu", SEED_MICRO_BATCH),
        ):
            object.__setattr__(config, name, value)
    module.config._attn_implementation = "sdpa"
    plain = next(c for c in type(module).__mro__ if c.__module__.startswith("transformers.models"))
    plain.forward = _published(plain).forward
    module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return f"{plain.__name__}, {type(module).__name__}"


def _published(patched: type) -> Any:
    """The class as transformers has it, which verl replaced the forward pass of."""
    spec = importlib.util.find_spec(patched.__module__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, patched.__name__)


_on_step_begin = SpeechTrainer.on_step_begin


def on_step_begin(self: Any) -> None:
    if self.global_steps == int(os.environ["TTSRL_SEED_STEP"]):
        workers = self.actor_rollout_wg.workers
        told = ray.get([worker.__ray_call__.remote(published_settings) for worker in workers])
        self.replay_buffer.poll_interval = SEED_POLL_S
        print(f"from step {self.global_steps} on as published: {told}", file=sys.stderr, flush=True)
    _on_step_begin(self)


SpeechTrainer.on_step_begin = on_step_begin
