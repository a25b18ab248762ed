import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_add_to_batch
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config.actor import ActorConfig

from support.paths import ROOT, TINY
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.families.registry import FAMILIES, family_class
from ttsrl.training.environment import of_driver
from ttsrl.training.verl_args import PACKED_ATTENTION, RayHere, RayThere, verl_keys
from ttsrl.training.verl_config import configuration

TINY_RUN = TINY / "run.json"


def keys_of(run: RunConfig, device: str = "cpu") -> dict[str, object]:
    return dict(verl_keys(run, Path("/runs/x"), device, RayHere("/tmp/ray")))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_verl_knows_every_key_that_we_set(device: str) -> None:
    keys = keys_of(load_run(TINY_RUN), device)
    config = configuration(keys)
    assert config.trainer.total_training_steps == load_run(TINY_RUN).train.steps
    assert config.data.train_batch_size == load_run(TINY_RUN).train.prompts_per_step


def test_adapters_are_folded_into_what_speaks_and_old_log_probabilities_computed_anew() -> None:
    run = load_run(TINY_RUN, ["train.lora.rank=4", "train.lora.alpha=6"])
    for device in ("cpu", "cuda"):
        config = configuration(keys_of(run, device))
        model = config.actor_rollout_ref.model
        assert (model.lora_rank, model.lora_alpha, model.lora.merge) == (4, 6, True)
        assert model.target_modules == "all-linear"
        assert config.algorithm.rollout_correction.bypass_mode is False
    assert "actor_rollout_ref.model.lora_rank" not in keys_of(load_run(TINY_RUN))


@pytest.mark.parametrize(
    ("settings", "beside", "adapters_alone"),
    [([], True, False), (["train.save_beside=false", "train.lora.rank=4"], False, True)],
)
def test_what_a_checkpoint_holds_and_who_waits_for_it(
    settings: list[str], beside: bool, adapters_alone: bool
) -> None:
    actor = configuration(keys_of(load_run(TINY_RUN, settings))).actor_rollout_ref.actor
    checkpoint: Any = omega_conf_to_dataclass(actor.checkpoint)
    assert (checkpoint.async_save, checkpoint.save_lora_only) == (beside, adapters_alone)


def test_the_loss_is_the_one_that_the_run_names() -> None:
    config = configuration(
        keys_of(
            load_run(
                TINY_RUN,
                [
                    "train.clip_low=0.1",
                    "train.clip_high=0.28",
                    "train.dual_clip=10",
                    "train.loss_aggregation=seq-mean-token-sum-norm",
                    "train.entropy_coefficient=0.01",
                    "train.advantage=gdpo",
                    "train.dynamic_sampling=true",
                ],
            )
        )
    )
    actor = config.actor_rollout_ref.actor
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.clip_ratio_c) == (0.1, 0.28, 10)
    assert actor.loss_agg_mode == "seq-mean-token-sum-norm"
    assert actor.loss_scale_factor == load_run(TINY_RUN).rollout.max_speech_tokens
    assert actor.entropy_coeff == 0.01
    assert config.algorithm.adv_estimator == "ttsrl_gdpo"
    assert config.algorithm.filter_groups.enable is True


def losses_config(*overrides: str, device: str = "cpu") -> Any:
    return configuration(keys_of(load_run(TINY_RUN, [f"train.{o}" for o in overrides]), device))


@pytest.mark.parametrize(
    ("loss", "overrides"),
    [
        ("vanilla", ()),
        ("gspo", ("clip_low=3e-4", "clip_high=4e-4")),
        ("cispo", ("clip_low=1", "clip_high=0.2")),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_verls_own_actor_takes_each_loss(
    loss: str, overrides: tuple[str, ...], device: str
) -> None:
    named = () if loss == "vanilla" else (f"loss={loss}",)
    config = losses_config(*named, *overrides, device=device)
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    assert isinstance(actor, ActorConfig)
    assert actor.policy_loss.loss_mode == loss
    assert callable(get_policy_loss_fn(actor.policy_loss.loss_mode))
    told = dict(o.split("=") for o in overrides)
    assert actor.clip_ratio_low == float(told.get("clip_low", 0.2))
    assert actor.clip_ratio_high == float(told.get("clip_high", 0.2))


def test_a_clip_that_clips_no_rollout_is_refused() -> None:
    with pytest.raises(BadInput, match=r"clip_low = 0.2 .* clip nothing; set both to at most 0.05"):
        load_run(TINY_RUN, ["train.loss=gspo"])


def test_a_loss_of_verls_without_a_field_is_named_in_verls_own_key() -> None:
    key = "actor_rollout_ref.actor.policy_loss.loss_mode"
    keys = keys_of(load_run(TINY_RUN, [f'verl={{"{key}": "sapo"}}']))
    assert configuration(keys).actor_rollout_ref.actor.policy_loss.loss_mode == "sapo"
    with pytest.raises(BadInput, match="may not be set"):
        keys_of(load_run(TINY_RUN, ["train.loss=cispo", f'verl={{"{key}": "sapo"}}']))


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_verl_weights_rollouts_by_the_correction_up_to_its_limit(level: str) -> None:
    """verl's own computation, with the run's configuration; on the torch engine, too."""
    config = losses_config(f"rollout_correction={level}", "rollout_correction_limit=1.5")
    correction = config.algorithm.rollout_correction
    assert correction.bypass_mode is False, "verl computes no weights where it bypasses"
    rollout = torch.log(torch.tensor([[0.1, 0.2, 0.4], [0.5, 0.5, 0.5]]))
    ratios = torch.tensor([[1.0, 1.1, 3.0], [0.8, 1.25, 1.0]])
    batch = DataProto.from_dict(
        {
            "old_log_probs": rollout + ratios.log(),
            "rollout_log_probs": rollout,
            "response_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        }
    )
    batch, metrics = compute_rollout_correction_and_add_to_batch(batch, correction)
    weights = batch.batch["rollout_is_weights"]
    expected = torch.tensor([[1.0, 1.1, 1.5], [0.8, 1.25, 0.0]])
    if level == "sequence":
        expected = torch.tensor([[1.5, 1.5, 1.5], [1.0, 1.0, 0.0]])
    torch.testing.assert_close(weights, expected)
    assert any(name.startswith("rollout_corr/") for name in metrics)


def test_nothing_is_weighted_unless_the_run_says_so() -> None:
    assert losses_config().algorithm.rollout_correction.rollout_is is None
    assert losses_config(device="cuda").algorithm.rollout_correction.rollout_is is None


def test_rollouts_in_8_bits_are_vllms() -> None:
    run = load_run(TINY_RUN, ["rollout.quantization=fp8"])
    rollout = configuration(keys_of(run, "cuda")).actor_rollout_ref.rollout
    assert omega_conf_to_dataclass(rollout).quantization == "fp8"
    with pytest.raises(BadInput, match=r"rollout.quantization = 'fp8' is vLLM's"):
        keys_of(run, "cpu")
    assert (
        configuration(keys_of(load_run(TINY_RUN), "cuda")).actor_rollout_ref.rollout.quantization
        is None
    )


def test_gdpo_with_a_single_component_is_refused() -> None:
    with pytest.raises(BadInput, match=r'"gdpo" compares components .* only \'cer\' has a weight'):
        load_run(TINY_RUN, ["train.advantage=gdpo", 'reward.components=[{"type": "cer"}]'])


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("train.clip_low=1.5", "train.clip_low"),
        ("train.dual_clip=0.5", "train.dual_clip"),
        ("train.max_generation_batches=0", "train.max_generation_batches"),
        ("train.lora.rank=0", "train.lora.rank"),
        ("rollout.gpu_memory_utilization=1", "rollout.gpu_memory_utilization"),
        ("train.loss_aggregation=mean", "train.loss_aggregation"),
    ],
)
def test_a_value_that_no_loss_can_have_is_refused_by_its_key(override: str, key: str) -> None:
    with pytest.raises(BadInput, match=key.replace(".", r"\.")):
        load_run(TINY_RUN, [override])


def test_the_same_run_generates_with_vllm_on_a_gpu() -> None:
    name = "actor_rollout_ref.rollout.name"
    run = load_run(TINY_RUN)
    assert keys_of(run, "cpu")[name] == "torch"
    assert keys_of(run, "cuda")[name] == "vllm"


def test_ray_finds_its_python_in_a_path_with_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/my projects/.venv/bin/python")
    key = "+ray_kwargs.ray_init.runtime_env.py_executable"
    run = load_run(TINY_RUN)
    assert keys_of(run)[key] == "'/my projects/.venv/bin/python'"
    forks = RayHere("/tmp/ray", Path("/my tmp/socket"))
    forked = str(verl_keys(run, Path("/runs/x"), "cpu", forks)[key])
    python, *_, socket = shlex.split(forked)
    assert (python, socket) == ("/my projects/.venv/bin/python", "/my tmp/socket")


def test_old_log_probabilities_are_taken_from_the_rollout_only_where_they_are_exact() -> None:
    key = "algorithm.rollout_correction.bypass_mode"
    assert keys_of(load_run(TINY_RUN))[key] is True
    assert keys_of(load_run(TINY_RUN, ["rollout.top_p=0.9"]))[key] is False
    assert keys_of(load_run(TINY_RUN), "cuda")[key] is False
    assert keys_of(load_run(TINY_RUN, ["rollout.engine=torch"]), "cuda")[key] is False


def test_a_key_of_verl_may_be_added_but_not_contradicted() -> None:
    added = load_run(TINY_RUN, ['verl={"actor_rollout_ref.actor.ppo_epochs": 2}'])
    assert keys_of(added)["actor_rollout_ref.actor.ppo_epochs"] == 2
    clash = load_run(TINY_RUN, ['verl={"data.train_batch_size": 7}'])
    with pytest.raises(BadInput, match=r"data\.train_batch_size"):
        keys_of(clash)


def test_a_list_reaches_verls_configuration_as_a_list() -> None:
    given = {
        "actor_rollout_ref.actor.checkpoint.save_contents": ["model", "extra"],
        "+trainer.made_up": [],
    }
    keys = keys_of(load_run(TINY_RUN, [f"verl={json.dumps(given)}"]))
    config = configuration(json.loads(json.dumps(keys)))  # as they reach verl's process
    saved = config.actor_rollout_ref.actor.checkpoint.save_contents
    assert OmegaConf.is_list(saved) and list(saved) == ["model", "extra"]
    assert list(config.trainer.made_up) == []
    with pytest.raises(BadInput, match="verl"):
        load_run(TINY_RUN, ['verl={"a.b": [[1]]}'])


def test_an_unknown_key_of_verl_is_refused_by_name() -> None:
    keys = keys_of(load_run(TINY_RUN, ['verl={"actor_rollout_ref.actor.entropy_coef": 0.01}']))
    with pytest.raises(BadInput, match="entropy_coef"):
        configuration(keys)


@pytest.mark.parametrize(("said", "tokens"), [("null", 4 * (32 + 37)), ("69", 69), ("999", 999)])
def test_all_passes_are_packed_up_to_so_many_tokens(said: str, tokens: int) -> None:
    run = load_run(TINY_RUN, [f"train.max_tokens_per_micro_batch={said}"])
    config = configuration(keys_of(run)).actor_rollout_ref
    assert config.model.use_remove_padding is True
    assert config.model.override_config.attn_implementation == PACKED_ATTENTION
    assert config.actor.use_dynamic_bsz is True
    assert config.rollout.log_prob_use_dynamic_bsz is True
    assert config.ref.log_prob_use_dynamic_bsz is True
    assert config.actor.ppo_max_token_len_per_gpu == tokens
    assert config.rollout.log_prob_max_token_len_per_gpu == tokens
    assert config.ref.log_prob_max_token_len_per_gpu == tokens


def test_a_pass_that_cannot_hold_one_rollout_is_refused() -> None:
    with pytest.raises(BadInput, match=r"max_tokens_per_micro_batch = 68 .* may have 69 tokens"):
        load_run(TINY_RUN, ["train.max_tokens_per_micro_batch=68"])


def test_a_cluster_is_joined_and_its_machines_get_the_variables_of_the_run() -> None:
    ray = RayThere({"TTSRL_RUN": '{"name": "x"}'})
    keys = verl_keys(load_run(TINY_RUN), Path("/runs/x"), "cuda", ray)
    init = configuration(keys).ray_kwargs.ray_init
    assert init.runtime_env.env_vars.TTSRL_RUN == '{"name": "x"}'
    assert "_temp_dir" not in init
    assert init.num_cpus is None, "Ray refuses to size a cluster that is there"
    assert init.runtime_env.py_executable is None, "machines need not have Python at one place"


def test_workers_of_a_cluster_of_one_machine_are_forked_there() -> None:
    ray = RayThere({"TTSRL_RUN": "{}"}, Path("/tmp/forks/socket"))
    keys = verl_keys(load_run(TINY_RUN), Path("/runs/x"), "cpu", ray)
    environment = configuration(keys).ray_kwargs.ray_init.runtime_env
    *_, program, socket = shlex.split(environment.py_executable)
    assert (Path(program).name, socket) == ("forked_python.py", "/tmp/forks/socket")
    assert environment.env_vars.TTSRL_RUN == "{}"


def test_rollouts_that_the_ranks_cannot_share_are_refused() -> None:
    with pytest.raises(BadInput, match=r"288 rollouts .* not divisible by 10 GPUs"):
        load_run(TINY_RUN, ["train.nodes=5", "train.gpus_per_node=2"])


def test_what_lives_once_a_machine_is_as_many_as_the_machines() -> None:
    run = load_run(TINY_RUN, ["train.nodes=3"])
    config = configuration(keys_of(run, "cuda"))
    assert config.trainer.nnodes == 3
    assert config.actor_rollout_ref.rollout.agent.num_workers == 3
    storage = config.transfer_queue.backend.SimpleStorage
    assert storage.num_data_storage_units == 3
    assert storage.required_node_resource == "GPU", "a head without CPU slots would wait for ever"


@pytest.mark.parametrize("family", FAMILIES)
def test_vllm_samples_speech_only_whatever_the_family(family: str) -> None:
    run = load_run(TINY_RUN, [f"family={family}", "rollout.engine=vllm"])
    vllm = configuration(keys_of(run, "cuda")).actor_rollout_ref.rollout.engine_kwargs.vllm
    (processor,) = vllm.logits_processors
    module, _, name = processor.partition(":")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    assert f"class {name}(LogitsProcessor):" in source, "vLLM is not installed where tests run"
    torch_engine = configuration(keys_of(load_run(TINY_RUN, [f"family={family}"])))
    assert not torch_engine.actor_rollout_ref.rollout.engine_kwargs.vllm.get("logits_processors")


@pytest.mark.parametrize("family", FAMILIES)
def test_verl_renders_the_familys_own_template(family: str) -> None:
    keys = keys_of(load_run(TINY_RUN, [f"family={family}"]))
    template = configuration(keys).actor_rollout_ref.model.custom_chat_template
    assert template == family_class(family).chat_template


@pytest.mark.parametrize("hidden", ["", "-1", "0"])
def test_a_shell_that_hides_its_gpu_hides_no_slot_of_ray(
    hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    run = load_run(TINY_RUN, ["train.gpus_per_node=2"])
    assert of_driver(run, "cpu")["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "CUDA_VISIBLE_DEVICES" not in of_driver(run, "cuda")  # where the user's choice holds
