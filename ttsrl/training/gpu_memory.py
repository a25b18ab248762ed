"""What a run needs of each GPU, before one is taken: an estimate from the policy's shape.

Held against peaks of torch's allocator on one NVIDIA H200 with Llama-3.2-1B's shape and Llasa's
193 800 token ids, without checkpointing: plain layers and passes of 8 x 2112 tokens 55.5 GiB, of
16 x 576 tokens 41.8 GiB, of at most 10 240 packed tokens 40.6 GiB and of 40 960 89.9 GiB; compiled
layers and at most 40 960 tokens 70.0 GiB. The test of this file asks for 10 %. What LoRA and
checkpointing save is taken from the same arithmetic. While vLLM spoke for a LoRA run on one NVIDIA
H100, its processes held 1.5 GiB beyond their share, and the trainer 8.0 GiB; while it folded its
adapters into the weights for vLLM, whose processes held 4.6 GiB then, the trainer held 10.0 GiB and
asked for 1.5 more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.models.hub import load_part, local_folder
from ttsrl.runtime.machine import GIB, Gpu
from ttsrl.training.compiling import compiles_layers
from ttsrl.training.verl_args import SOFTMAX_CHUNK, weight_bucket_mib

REST_BYTES = 1.2 * GIB
"""What torch's allocator held beyond this arithmetic, in both runs."""
PROCESS_BYTES = 1.0 * GIB
"""CUDA's context of one process, which no allocator counts; the trainer and vLLM are two."""
VLLM_BEYOND_BYTES = 1.5 * GIB
"""What vLLM takes beyond `rollout.gpu_memory_utilization`: its context and its CUDA graphs."""
VLLM_WORK_BYTES = 1.5 * GIB
"""vLLM's buffers and CUDA graphs beside its weights and its key-value cache."""


@dataclass(frozen=True)
class Shape:
    """A Llama-shaped policy."""

    layers: int
    hidden: int
    intermediate: int
    kv: int
    """Key-value heads times their size."""
    vocabulary: int
    tied: bool
    """Whether the output head is the embedding."""
    model_type: str
    """As Hugging Face calls it."""

    @classmethod
    def of(cls, config: Any) -> Shape:
        """From a Hugging Face configuration."""
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_key_value_heads * size,
            config.vocab_size,
            bool(config.tie_word_embeddings),
            config.model_type,
        )

    @property
    def embedding(self) -> int:
        """Parameters of the embedding."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Of the whole policy."""
        d, kv, i = self.hidden, self.kv, self.intermediate
        layer = 2 * d * d + 2 * d * kv + 3 * d * i + 2 * d
        return self.layers * layer + self.embedding * (1 if self.tied else 2)

    def layer_bytes_a_token(self, *, compiled: bool) -> int:
        """What one layer keeps of a token for its gradient, in bfloat16.

        Rotated queries, keys, values and attention; of each norm its input and its result, and if
        it is not compiled its input in float32 in place of bfloat16 and the normed input; of the
        MLP three tensors, and if it is not compiled the activation too.
        """
        if compiled:
            return (4 + 2 * 4) * self.hidden + 4 * self.kv + 6 * self.intermediate
        return (4 + 2 * 8) * self.hidden + 4 * self.kv + 8 * self.intermediate


def shape_of(run: RunConfig) -> Shape:
    """Of the run's policy."""
    from transformers import AutoConfig

    return Shape.of(load_part(AutoConfig, local_folder(run.model)))


@dataclass(frozen=True)
class Need:
    """Bytes on each GPU."""

    state: float
    """Sharded float32 weights, with their gradients and two Adam moments where they are trained."""
    gathered: float
    """The embedding in one piece, with its gradient, and the logits of one chunk."""
    activations: float
    """Of one micro batch, full of whole rollouts without padding."""
    resting_state: float
    """What stays of the trainer while vLLM generates: no gradients."""
    handing_over: float
    """What the trainer takes beyond that while it gives vLLM new weights: the bucket that they pass
    through, the largest in one piece, and where adapters are folded in its copy."""
    vllm_weights: float
    vllm_least: float
    """vLLM's weights, buffers, and the key-value cache of one rollout."""

    @property
    def allocated(self) -> float:
        """Peak of torch's allocator while the policy is updated."""
        return self.state + self.gathered + self.activations + REST_BYTES

    @property
    def update(self) -> float:
        """While the policy is updated and vLLM sleeps."""
        return self.allocated + 2 * PROCESS_BYTES

    @property
    def resting(self) -> float:
        """The trainer's process while it does not train."""
        return self.resting_state + REST_BYTES + PROCESS_BYTES

    @property
    def handover(self) -> float:
        """While vLLM, without a cache, takes new weights."""
        return self.resting + self.handing_over + self.vllm_weights + VLLM_BEYOND_BYTES

    def generation(self, vllm: float) -> float:
        """While vLLM generates with so many bytes."""
        return self.resting + vllm + VLLM_BEYOND_BYTES


def tokens_of_pass(run: RunConfig) -> int:
    """Most tokens of a forward pass on one GPU: never more than an update has there."""
    train = run.train
    rollouts = train.prompts_per_step // train.updates_per_step * run.rollout.group_size
    share = rollouts // train.ranks
    return min(run.micro_batch_tokens, share * run.rollout.longest)


def need_of(run: RunConfig, shape: Shape, *, checkpointing: bool) -> Need:
    """Estimate for one GPU of the run; `checkpointing` computes activations twice."""
    train = run.train
    ranks = train.ranks
    tokens = tokens_of_pass(run)
    layer = shape.layer_bytes_a_token(compiled=compiles_layers(run, shape.model_type))
    kept = shape.layers * layer
    if checkpointing:
        kept = shape.layers * 2 * shape.hidden + layer
    weights = 4 * shape.parameters / ranks
    trained = train.lora is None
    # logits and their gradient in bfloat16, compiled: nothing of them is kept in float32
    chunk = 2 * 2 * SOFTMAX_CHUNK * shape.vocabulary
    return Need(
        state=weights * (4 if trained else 1),
        # bfloat16 weights, and where they are trained a bfloat16 gradient and its float32 sum
        gathered=shape.embedding * (8 if trained else 2) + chunk,
        activations=float(tokens * kept),
        resting_state=weights * (3 if trained else 1),
        handing_over=(weight_bucket_mib(run) << 20) + shape.embedding * (2 if trained else 8),
        vllm_weights=2.0 * shape.parameters,
        vllm_least=2 * shape.parameters
        + VLLM_WORK_BYTES
        + run.rollout.longest * shape.layers * 2 * 2 * shape.kv,
    )


def check_gpus(run: RunConfig, shape: Shape, gpus: list[Gpu]) -> bool:
    """Whether gradients are checkpointed: as the run says, or where a GPU cannot do without.

    Raises BadInput for the first GPU that would run out of memory, with the estimate.
    """
    used = gpus[: run.train.gpus_per_node]
    checkpointing = run.train.gradient_checkpointing
    if checkpointing is None:
        whole = need_of(run, shape, checkpointing=False).update
        checkpointing = any(whole > _room(run, gpu)[0] for gpu in used)
    need = need_of(run, shape, checkpointing=checkpointing)
    share = run.rollout.gpu_memory_utilization
    policy = f"{run.model} ({shape.parameters / 1e9:.2f} G parameters)"
    for gpu in used:
        vllm = share * gpu.total_bytes
        room, free = _room(run, gpu)
        free = f"{_gib(room)} of its {_gib(gpu.total_bytes)} {free}"
        if vllm < need.vllm_least:
            raise BadInput(
                f"rollout.gpu_memory_utilization = {share:g} gives vLLM {_gib(vllm)} of GPU "
                f"{gpu.name}, and the weights of {policy} with one rollout need about "
                f"{_gib(need.vllm_least)}; raise it"
            )
        if need.update > room:
            raise BadInput(
                f"updating {policy} needs about {_gib(need.update)} of GPU {gpu.name} (weights, "
                f"gradients and Adam {_gib(need.state)}, activations of {tokens_of_pass(run)} "
                f"tokens {_gib(need.activations)}, embedding and logits {_gib(need.gathered)}), "
                f"and {free}; lower train.max_tokens_per_micro_batch or rollout.max_speech_tokens, "
                f"{'' if checkpointing else 'unset train.gradient_checkpointing, '}set train.lora, "
                "or take more GPUs"
            )
        if run.train.asynchronous is not None:
            # this GPU only trains or only generates; NCCL's engine keeps two buckets on each
            alone = vllm + VLLM_BEYOND_BYTES + 2 * (weight_bucket_mib(run) << 20)
            if alone > room:
                raise BadInput(
                    f"generating needs about {_gib(alone)} of GPU {gpu.name} (vLLM {_gib(vllm)}, "
                    f"by rollout.gpu_memory_utilization = {share:g}), and {free}; lower it"
                )
            continue
        if need.generation(vllm) > room:
            raise BadInput(
                f"generating needs about {_gib(need.generation(vllm))} of GPU {gpu.name} (vLLM "
                f"{_gib(vllm)}, by rollout.gpu_memory_utilization = {share:g}; beside it the "
                f"trainer's {_gib(need.resting_state)}), and {free}; lower "
                "rollout.gpu_memory_utilization, set train.lora, or take more GPUs"
            )
        if need.handover > room:
            raise BadInput(
                f"giving vLLM new weights needs about {_gib(need.handover)} of GPU {gpu.name} "
                f"(trainer {_gib(need.resting + need.handing_over)}, vLLM's weights "
                f"{_gib(need.vllm_weights)}), and {free}; lower reward.gpu_memory_utilization, "
                "set train.lora, or take more GPUs"
            )
    return checkpointing


def _room(run: RunConfig, gpu: Gpu) -> tuple[float, str]:
    """Bytes that the run may have of a GPU, and by what."""
    reward = run.reward.gpu_memory_utilization
    if reward and (rest := (1 - reward) * gpu.total_bytes - PROCESS_BYTES) < gpu.free_bytes:
        return rest, f"are left by reward.gpu_memory_utilization = {reward:g}"
    return gpu.free_bytes, "are free"


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
