"""verl's main program with ttsrl's trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

from ttsrl.errors import BadInput, Failure
from ttsrl.training.cluster import gpus_of_machine, wait_for_cluster
from ttsrl.training.environment import ray_address, run_here
from ttsrl.training.gpu_memory import check_gpus, shape_of
from ttsrl.training.verl_config import configuration

# verl decorates its runner with ray.remote; a subclass needs the plain class behind it
_PlainRunner: Any = cast(Any, TaskRunnerV1).__ray_metadata__.modified_class


class SpeechTaskRunner(_PlainRunner):
    """verl's task runner, in a process where our trainer and estimator are registered."""

    def run(self, config: Any) -> None:
        # for what they register with verl
        from ttsrl.training import advantage as advantage
        from ttsrl.training import trainer as trainer
        from ttsrl.training import trainer_apart as trainer_apart

        run = run_here()
        if ray_address() is not None:
            wait_for_cluster(run, config.trainer.device)
        if config.trainer.device != "cpu":
            # in a cluster the machine that checked the run before had no GPU to look at
            model = config.actor_rollout_ref.model
            checkpointing = check_gpus(run, shape_of(run), gpus_of_machine(run))
            model.enable_gradient_checkpointing = checkpointing
        super().run(config)


class BesideTheDriver:
    """Starts the task runner on the machine of this process.

    The step log, the data position and the checkpoint tracker then lie beside the supervisor, who
    reads them, and a run has one place that Prometheus and its owner look at: in a Ray cluster the
    head, whose loss ends the run anyway.
    """

    @staticmethod
    def remote() -> Any:
        """An actor that takes no CPU slot: a cluster's head has none."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        runner: Any = ray.remote(SpeechTaskRunner)
        return runner.options(num_cpus=0, scheduling_strategy=here).remote()


def main(keys_file: Path) -> None:
    """Train with the keys of a JSON file. Raises what ends the run, BadInput, Failure as it was."""
    config = configuration(json.loads(keys_file.read_text(encoding="utf-8")))
    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    try:
        run_ppo(config, task_runner_class=BesideTheDriver)
    except (BadInput, Failure) as error:
        # one of another process is also a RayTaskError, whose words are a whole traceback
        raise (error.cause if isinstance(error, RayTaskError) else error) from None
