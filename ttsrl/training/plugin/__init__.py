"""What ttsrl adds to verl in every process of a run.

verl imports the modules named in VERL_USE_EXTERNAL_MODULES at the end of its own import, so this
file registers by name only and leaves heavy imports to whoever asks for them.
"""

from __future__ import annotations

import os
from typing import Any

import verl.utils.import_utils
from verl.workers.rollout import base as rollout_base
from verl.workers.rollout.replica import RolloutReplicaRegistry

from ttsrl.training.environment import policy_here
from ttsrl.training.plugin import compiling as compiling
from ttsrl.training.plugin import fsdp_units as fsdp_units
from ttsrl.training.plugin import lora_weights as lora_weights
from ttsrl.training.plugin import packed_attention as packed_attention
from ttsrl.training.plugin import resharding as resharding
from ttsrl.training.plugin import saving as saving

policy_here()

if os.environ.get("VERL_PLATFORM") == "cpu":
    from ttsrl.training.plugin import platform_cpu as platform_cpu


def _torch_replica() -> Any:
    from ttsrl.training.plugin.torch_rollout import TorchReplica

    return TorchReplica


# verl has no public function that adds a weight sender.
rollout_base._ROLLOUT_REGISTRY[("torch", "async")] = (  # pyright: ignore[reportPrivateUsage]
    "ttsrl.training.plugin.torch_rollout.TorchWeightSender"
)
RolloutReplicaRegistry.register("torch", _torch_replica)

# verl patches TRL's value head where it finds TRL, and TRL has none since 1.0. A GRPO run has no
# critic, so TRL may be installed beside it and is of no concern.
verl.utils.import_utils.is_trl_available = lambda: False
