"""RunConfig -> verl's configuration. The only file that knows verl's key names (verl 0.9.1)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ttsrl.config.schema import Plain, RunConfig
from ttsrl.errors import BadInput
from ttsrl.families.registry import family_class
from ttsrl.runtime.forked_python import python_of

Value = Plain | Sequence[Plain] | None


@dataclass(frozen=True)
class RayHere:
    """A Ray that is started on this machine and ends with the run."""

    folder: str
    """For its files: /tmp/ray may belong to another user."""
    forks: Path | None = None
    """Socket of the process that its workers are forked off; None: each imports its own modules."""


@dataclass(frozen=True)
class RayThere:
    """A Ray cluster that is joined; it outlives the run."""

    variables: Mapping[str, str]
    """What the run's processes must find in their environment on all machines."""
    forks: Path | None = None
    """As RayHere's, where the cluster is this machine alone."""


CPUS_PER_GPU = 3
"""What verl reserves on a machine for each of its GPUs."""


def weight_bucket_mib(run: RunConfig) -> int:
    """Memory that new weights pass through on their way to vLLM: verl's own size, or half of it.

    Folding adapters in holds copies of the weights beside it.
    """
    return 2048 if run.train.lora is None else 1024


ONLY_SPEECH = "ttsrl.training.plugin.vllm_speech:OnlySpeech"
"""The logits processor that vLLM loads: the ids of a codebook are too many for each request."""

PACKED_ATTENTION = "ttsrl_packed"
"""The name under which transformers knows ttsrl.training.plugin.packed_attention."""

GLOO = "ttsrl_gloo"
"""The name under which verl knows ttsrl.training.plugin.gloo_weights."""

SOFTMAX_CHUNK = 2048
"""Tokens whose logits the fused soft-max of a GPU holds at once."""

NO_REWARD = -1.0
"""Carried in place of a reward where the measurement failed; every real reward lies in [0, 1]."""

ESTIMATORS = {"grpo": "ttsrl_grpo", "gdpo": "ttsrl_gdpo", "rloo": "ttsrl_rloo"}
"""`train.advantage` -> the name that ttsrl.training.advantage registers."""
GROUP_METRIC = "advantage"
"""Field of a rollout's `reward_extra_info`: a group in which it is one number teaches nothing."""


def rollout_engine(run: RunConfig, device: str) -> str:
    """The engine that `auto` stands for on this device."""
    if run.rollout.engine != "auto":
        return run.rollout.engine
    return "vllm" if device == "cuda" else "torch"


def cpus_of_machine(run: RunConfig, device: str) -> int:
    """Logical CPUs that Ray must have for verl's actors on a training machine."""
    servers = run.train.gpus_per_node if rollout_engine(run, device) == "torch" else 0
    transfer_queue_and_rollout_worker = 3
    return CPUS_PER_GPU * run.train.gpus_per_node + servers + transfer_queue_and_rollout_worker


def verl_keys(
    run: RunConfig, work_dir: Path, device: str, ray: RayHere | RayThere
) -> dict[str, Value]:
    """verl's keys for this run; one with a leading + need not exist in verl's own defaults.

    `run.verl` may set more keys, not contradict ours: BadInput.
    """
    ours = {
        **_data(run, work_dir),
        **_actor(run, device),
        **_loss(run),
        **_lora(run),
        **_rollout(run, device),
        **_trainer(run, work_dir, device),
        **_asynchronous(run, device),
        **_ray(run, device, ray),
    }
    if clash := sorted(key for key in run.verl if key.lstrip("+") in {k.lstrip("+") for k in ours}):
        raise BadInput(
            f"verl key {clash[0]!r} may not be set: ttsrl's own configuration decides it; "
            "change the field of the run that it comes from, or remove the key"
        )
    return {**ours, **run.verl}


def _data(run: RunConfig, work_dir: Path) -> dict[str, Value]:
    return {
        "data.train_files": str(work_dir / "data" / "train.parquet"),
        "data.val_files": str(work_dir / "data" / "held_out.parquet"),
        "data.train_batch_size": run.train.prompts_per_step,
        "data.max_prompt_length": run.rollout.max_prompt_tokens,
        "data.max_response_length": run.rollout.max_speech_tokens,
        "data.truncation": "error",
        "data.shuffle": True,
        "data.seed": run.seed,
        "data.dataloader_num_workers": 0,
    }


def _actor(run: RunConfig, device: str) -> dict[str, Value]:
    train = run.train
    actor = "actor_rollout_ref.actor"
    keys: dict[str, Value] = {
        "actor_rollout_ref.model.path": run.model,
        "actor_rollout_ref.model.custom_chat_template": family_class(run.family).chat_template,
        "actor_rollout_ref.model.use_remove_padding": True,
        "actor_rollout_ref.model.enable_gradient_checkpointing": bool(train.gradient_checkpointing),
        "+actor_rollout_ref.model.override_config.attn_implementation": PACKED_ATTENTION,
        # on an H100 over Llasa's 193 800 token ids 4x faster, on two cores over the tiny stack's
        # 1 425 still 1.6x
        "actor_rollout_ref.model.use_fused_kernels": True,
        f"{actor}.strategy": "fsdp2",
        f"{actor}.ppo_mini_batch_size": train.prompts_per_step // train.updates_per_step,
        # the passes that compute log-probabilities alone take both from here
        f"{actor}.use_dynamic_bsz": True,
        f"{actor}.ppo_max_token_len_per_gpu": run.micro_batch_tokens,
        # verl then leaves the mark of a whole checkpoint to us
        f"{actor}.checkpoint.async_save": train.save_beside,
        f"{actor}.grad_clip": train.gradient_clip,
        f"{actor}.use_torch_compile": False,
        f"{actor}.fsdp_config.use_torch_compile": False,
        f"{actor}.fsdp_config.seed": run.seed,
        f"{actor}.data_loader_seed": run.seed,
        f"{actor}.optim.lr": train.learning_rate,
        f"{actor}.optim.betas": train.adam_betas,
        f"{actor}.optim.weight_decay": train.weight_decay,
        # verl's schedule counts calls of the actor: one a step, or where rollouts come apart one an
        # update, and it makes its end that of as many
        f"{actor}.optim.lr_warmup_steps": train.warmup_steps
        * (train.updates_per_step if train.asynchronous else 1),
        f"{actor}.optim.lr_scheduler_type": (
            "cosine" if train.final_learning_rate_ratio < 1 else "constant"
        ),
        f"{actor}.optim.min_lr_ratio": train.final_learning_rate_ratio,
    }
    if device == "cpu":
        # bfloat16 buys nothing on a CPU, and a tiny policy feels its rounding
        keys[f"+{actor}.fsdp_config.mixed_precision.param_dtype"] = "fp32"
        keys["+actor_rollout_ref.ref.fsdp_config.mixed_precision.param_dtype"] = "fp32"
    return keys


def _loss(run: RunConfig) -> dict[str, Value]:
    train = run.train
    actor = "actor_rollout_ref.actor"
    keys: dict[str, Value] = {
        f"{actor}.clip_ratio": train.clip_high,
        f"{actor}.clip_ratio_low": train.clip_low,
        f"{actor}.clip_ratio_high": train.clip_high,
        f"{actor}.clip_ratio_c": train.dual_clip,
        f"{actor}.loss_agg_mode": train.loss_aggregation,
        # of seq-mean-token-sum-norm alone; without it verl takes the longest rollout of the update
        f"{actor}.loss_scale_factor": run.rollout.max_speech_tokens,
        f"{actor}.entropy_coeff": train.entropy_coefficient,
        f"{actor}.use_kl_loss": train.kl_coefficient > 0,
        f"{actor}.kl_loss_coef": train.kl_coefficient,
        "algorithm.adv_estimator": ESTIMATORS[train.advantage],
        "algorithm.norm_adv_by_std_in_grpo": train.normalise_by_std,
        "algorithm.use_kl_in_reward": False,
        "algorithm.filter_groups.enable": train.dynamic_sampling,
        "algorithm.filter_groups.metric": GROUP_METRIC,
    }
    # left to `run.verl` otherwise, which may name a loss of verl's that no field here does
    if train.loss != "ppo":
        keys[f"{actor}.policy_loss.loss_mode"] = train.loss
    if train.rollout_correction != "none":
        correction = "algorithm.rollout_correction"
        keys[f"{correction}.rollout_is"] = train.rollout_correction
        keys[f"{correction}.rollout_is_threshold"] = train.rollout_correction_limit
    return keys


def _lora(run: RunConfig) -> dict[str, Value]:
    """Adapters are folded into the weights that rollouts are spoken by, for every engine alike."""
    lora = run.train.lora
    if lora is None:
        return {}
    model = "actor_rollout_ref.model"
    return {
        f"{model}.lora_rank": lora.rank,
        f"{model}.lora_alpha": lora.alpha,
        f"{model}.target_modules": lora.target_modules,
        f"{model}.lora.merge": True,
        # the base does not change, and ttsrl.training.base_weights publishes it once
        "+actor_rollout_ref.actor.checkpoint.save_lora_only": True,
    }


def _rollout(run: RunConfig, device: str) -> dict[str, Value]:
    rollout = "actor_rollout_ref.rollout"
    engine = rollout_engine(run, device)
    # On a CPU the torch engine's log-probabilities are the actor's own, so a second pass would find
    # the same numbers; on a GPU the actor computes in bfloat16. vLLM's differ by its kernels, and
    # by ln(top_p) where top_p cuts. Adapters are folded in bfloat16.
    uncut = run.rollout.top_p == 1 and run.rollout.top_k == -1
    exact = engine == "torch" and device == "cpu" and uncut and run.train.lora is None
    # verl weights by the correction only what it has computed log-probabilities of.
    corrects = run.train.rollout_correction != "none"
    together = run.train.asynchronous is None
    bypass = exact and run.train.updates_per_step == 1 and not corrects and together
    keys: dict[str, Value] = {
        f"{rollout}.name": engine,
        f"{rollout}.n": run.rollout.group_size,
        f"{rollout}.temperature": run.rollout.temperature,
        f"{rollout}.top_p": run.rollout.top_p,
        f"{rollout}.top_k": run.rollout.top_k,
        f"{rollout}.seed": run.seed,
        f"{rollout}.tensor_model_parallel_size": 1,
        f"{rollout}.dtype": "float32" if device == "cpu" else "bfloat16",
        f"{rollout}.free_cache_engine": device != "cpu",
        f"{rollout}.gpu_memory_utilization": run.rollout.gpu_memory_utilization,
        # else vLLM keeps room for a rollout as long as the model's context: 131 072 in Llama-3.2
        f"{rollout}.max_model_len": run.rollout.longest,
        f"{rollout}.checkpoint_engine.update_weights_bucket_megabytes": weight_bucket_mib(run),
        f"{rollout}.calculate_log_probs": True,
        f"+{rollout}.engine_kwargs.vllm.logits_processors": (
            [ONLY_SPEECH] if engine == "vllm" else None
        ),
        f"{rollout}.agent.num_workers": run.train.nodes,
        f"+{rollout}.agent.agent_loop_manager_class": (
            "ttsrl.training.rollout_worker.SpeechRolloutManager"
        ),
        "algorithm.rollout_correction.bypass_mode": bypass,
        # else it comes with the log-probability pass
        "actor_rollout_ref.actor.calculate_entropy": bypass,
    }
    if run.rollout.quantization != "none":
        if engine != "vllm":
            raise BadInput(
                f"rollout.quantization = {run.rollout.quantization!r} is vLLM's, and this run "
                "generates with torch; train on a GPU, or leave it out"
            )
        keys[f"{rollout}.quantization"] = run.rollout.quantization
    return keys


def _trainer(run: RunConfig, work_dir: Path, device: str) -> dict[str, Value]:
    return {
        # rewards are asked for in the rollout worker: verl's own reward workers would sit idle
        "reward.num_workers": 0,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": run.train.nodes,
        # on the training machines: a cluster's head has no CPU to give
        "+transfer_queue.backend.SimpleStorage.required_node_resource": "GPU",
        "trainer.use_v1": True,
        "trainer.v1.trainer_mode": "ttsrl" if run.train.asynchronous is None else "ttsrl_apart",
        "trainer.device": device,
        "trainer.n_gpus_per_node": run.train.training_gpus_per_node,
        "trainer.nnodes": run.train.nodes,
        "trainer.total_training_steps": run.train.steps,
        "trainer.total_epochs": 1_000_000,
        "trainer.save_freq": run.train.save_every,
        "trainer.test_freq": -1,
        "trainer.val_before_train": False,
        "trainer.logger": ["console"],
        "trainer.project_name": "ttsrl",
        "trainer.experiment_name": run.name,
        "trainer.resume_mode": "auto",
        "trainer.default_local_dir": str(work_dir / "train" / "checkpoints"),
        # verl would remove old ones on the machine of rank 0 alone
        "trainer.max_actor_ckpt_to_keep": None,
        "trainer.checkpoint_callback_class": "ttsrl.training.publish.PublishCheckpoint",
    }


def _asynchronous(run: RunConfig, device: str) -> dict[str, Value]:
    """Rollouts on GPUs of their own: verl's separate_async, without rollout engines beside actors.

    verl counts the policies that a rollout spans or is old, the newest included.
    """
    asynchronous = run.train.asynchronous
    if asynchronous is None:
        return {}
    rollout = "actor_rollout_ref.rollout"
    engine = rollout_engine(run, device)
    if engine == "vllm" and (frame := family_class(run.family).speech.frame_tokens) > 1:
        raise BadInput(
            f"train.asynchronous cannot train the family {run.family!r} with vLLM: new weights "
            "interrupt rollouts, and vLLM does not know at which of the "
            f"{frame} places of a frame one continues; leave train.asynchronous out"
        )
    return {
        "actor_rollout_ref.hybrid_engine": False,
        f"{rollout}.nnodes": run.train.nodes,
        f"{rollout}.n_gpus_per_node": asynchronous.rollout_gpus_per_node,
        f"{rollout}.checkpoint_engine.backend": "nccl" if engine == "vllm" else GLOO,
        f"{rollout}.checkpoint_engine.custom_backend_module": (
            None if engine == "vllm" else "ttsrl.training.plugin.gloo_weights"
        ),
        # an update per policy that speaks, each of its share of the step's rollouts
        "trainer.v1.separate_async.parameter_sync_step": run.train.updates_per_step,
        # our trainer asks for prompts ahead itself
        "trainer.v1.separate_async.num_warmup_batches": 0,
        "trainer.v1.sampler.max_off_policy_threshold": asynchronous.staleness + 1,
        "trainer.v1.sampler.max_off_policy_strategy": "wait",
    }


def _ray(run: RunConfig, device: str, ray: RayHere | RayThere) -> dict[str, Value]:
    init = "ray_kwargs.ray_init"
    # Ray starts its workers through a shell, and does not quote this itself
    python: dict[str, Value] = {f"+{init}.runtime_env.py_executable": shlex.join(_python(ray))}
    if isinstance(ray, RayThere):
        of_all: dict[str, Value] = {
            f"+{init}.runtime_env.env_vars.{name}": value for name, value in ray.variables.items()
        }
        return of_all | python if ray.forks else of_all
    keys: dict[str, Value] = {
        f"+{init}.include_dashboard": False,
        f"+{init}._temp_dir": ray.folder,
        **python,
    }
    if device == "cpu":
        # logical slots only: actors of this job share the machine's cores
        ranks = run.train.gpus_per_node * run.train.nodes
        keys[f"{init}.num_cpus"] = max(8, cpus_of_machine(run, device) * run.train.nodes)
        keys[f"+{init}.num_gpus"] = ranks
    return keys


def _python(ray: RayHere | RayThere) -> list[str]:
    """How Ray's workers start."""
    if ray.forks is None:
        return [sys.executable]
    return python_of(str(ray.forks))
