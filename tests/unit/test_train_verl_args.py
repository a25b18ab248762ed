from pathlib import Path

import pytest

from jobs.train.verl_args import RayHere, RayThere, verl_keys
from jobs.train.verl_main import configuration
from ttsrl.config import RunConfig
from ttsrl.errors import BadInput
from ttsrl.settings import load_run

TINY = Path(__file__).parents[2] / "examples" / "tiny" / "run.json"


def keys_of(run: RunConfig, device: str = "cpu") -> dict[str, object]:
    return dict(verl_keys(run, Path("/runs/x"), device, RayHere("/tmp/ray")))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_verl_knows_every_key_that_we_set(device: str) -> None:
    keys = keys_of(load_run(TINY), device)
    config = configuration(keys)
    assert config.trainer.total_training_steps == load_run(TINY).train.steps
    assert config.data.train_batch_size == load_run(TINY).train.prompts_per_step


def test_the_same_run_generates_with_vllm_on_a_gpu() -> None:
    name = "actor_rollout_ref.rollout.name"
    run = load_run(TINY)
    assert keys_of(run, "cpu")[name] == "torch"
    assert keys_of(run, "cuda")[name] == "vllm"


def test_ray_finds_its_python_in_a_path_with_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/my projects/.venv/bin/python")
    quoted = keys_of(load_run(TINY))["+ray_kwargs.ray_init.runtime_env.py_executable"]
    assert quoted == "'/my projects/.venv/bin/python'"


def test_old_log_probabilities_are_taken_from_the_rollout_only_where_they_are_exact() -> None:
    key = "algorithm.rollout_correction.bypass_mode"
    assert keys_of(load_run(TINY))[key] is True
    assert keys_of(load_run(TINY, ["rollout.top_p=0.9"]))[key] is False
    assert keys_of(load_run(TINY), "cuda")[key] is False


def test_a_key_of_verl_may_be_added_but_not_contradicted() -> None:
    added = load_run(TINY, ['verl={"actor_rollout_ref.actor.entropy_coeff": 0.01}'])
    assert keys_of(added)["actor_rollout_ref.actor.entropy_coeff"] == 0.01
    clash = load_run(TINY, ['verl={"data.train_batch_size": 7}'])
    with pytest.raises(BadInput, match=r"data\.train_batch_size"):
        keys_of(clash)


def test_an_unknown_key_of_verl_is_refused_by_name() -> None:
    keys = keys_of(load_run(TINY, ['verl={"actor_rollout_ref.actor.entropy_coef": 0.01}']))
    with pytest.raises(SystemExit, match="entropy_coef"):
        configuration(keys)


def test_a_micro_batch_is_no_larger_than_an_update() -> None:
    run = load_run(TINY, ["train.prompts_per_step=2", "rollout.group_size=4"])
    assert keys_of(run)["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"] == 8


def test_rollouts_that_do_not_fill_micro_batches_are_refused() -> None:
    with pytest.raises(BadInput, match=r"288 rollouts.*micro_batch_size = 100"):
        load_run(TINY, ["train.micro_batch_size=100"])


def test_a_cluster_is_joined_and_its_machines_get_the_variables_of_the_run() -> None:
    ray = RayThere({"TTSRL_RUN": '{"name": "x"}'})
    keys = verl_keys(load_run(TINY), Path("/runs/x"), "cuda", ray)
    init = configuration(keys).ray_kwargs.ray_init
    assert init.runtime_env.env_vars.TTSRL_RUN == '{"name": "x"}'
    assert "_temp_dir" not in init
    assert init.num_cpus is None, "Ray refuses to size a cluster that is there"


def test_rollouts_that_the_ranks_cannot_share_are_refused() -> None:
    with pytest.raises(BadInput, match=r"288 rollouts .* not divisible by 10 GPUs"):
        load_run(TINY, ["train.nodes=5", "train.gpus_per_node=2"])


def test_what_lives_once_a_machine_is_as_many_as_the_machines() -> None:
    run = load_run(TINY, ["train.nodes=3", "train.micro_batch_size=24"])
    config = configuration(keys_of(run, "cuda"))
    assert config.trainer.nnodes == 3
    assert config.actor_rollout_ref.rollout.agent.num_workers == 3
    storage = config.transfer_queue.backend.SimpleStorage
    assert storage.num_data_storage_units == 3
    assert storage.required_node_resource == "GPU", "a head without CPU slots would wait for ever"
