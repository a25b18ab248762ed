"""How the policy is sampled and updated."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ttsrl.base import Strict
from ttsrl.config.asynchronous import AsynchronousConfig
from ttsrl.facts import Adjustable, Fixed, OfDeployment

WIDEST_GSPO_CLIP = 0.05
"""Beyond it no rollout is clipped. GSPO's authors have 0.0004, published recipes up to 0.01."""


class RolloutConfig(Strict):
    """How the policy is sampled."""

    engine: Fixed[Literal["auto", "torch", "vllm"]] = "auto"
    """What generates rollouts; auto is vllm where a GPU is, else torch. torch samples where the
    policy trains, GPUs included; it is for policies of millions of weights."""
    group_size: Fixed[int] = Field(default=8, ge=2)
    """Rollouts per prompt; their mean reward is the baseline."""
    temperature: Fixed[float] = Field(default=1.0, gt=0)
    top_p: Fixed[float] = Field(default=1.0, gt=0, le=1)
    """Below 1 the rollout's log-probabilities differ from the actor's by ln(top_p)."""
    top_k: Fixed[int] = Field(default=-1, ge=-1)
    """-1: no limit."""
    max_prompt_tokens: Fixed[int] = Field(default=512, ge=1)
    max_speech_tokens: Fixed[int] = Field(default=2048, ge=1)
    """Longest response in tokens, the end token included."""
    gpu_memory_utilization: Adjustable[float] = Field(default=0.5, gt=0, lt=1)
    """Share of each GPU's memory that vLLM takes while it generates; it gives it back to train."""
    quantization: Fixed[Literal["none", "fp8"]] = "none"
    """fp8: vLLM multiplies in 8 bits, rounded anew after each update: faster where the GPU has FP8,
    and further from the actor's probabilities, which `train.rollout_correction` is for."""

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with the longest response."""
        return self.max_prompt_tokens + self.max_speech_tokens


class LoraConfig(Strict):
    """Low-rank adapters (arXiv 2106.09685) beside frozen weights.

    Rollouts are spoken by the weights with the adapters folded in, rounded to bfloat16: what
    `ttsrl merge` publishes.
    """

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    """An adapter adds alpha / rank times its product."""
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """Layers that get adapters, by the end of their names; all-linear: all but the output head."""


class TrainConfig(Strict):
    """How GRPO updates the policy."""

    steps: Adjustable[int] = Field(ge=1)
    """Number of GRPO updates; fixed, so that a slow machine gets the same result later."""
    prompts_per_step: Fixed[int] = Field(default=8, ge=1)
    updates_per_step: Fixed[int] = Field(default=1, ge=1)
    """Optimiser steps made from one step's rollouts."""
    learning_rate: Fixed[float] = Field(default=1e-6, gt=0)
    final_learning_rate_ratio: Fixed[float] = Field(default=1.0, gt=0, le=1)
    """Below 1 the rate falls along a half cosine to this share of `learning_rate`."""
    warmup_steps: Fixed[int] = Field(default=0, ge=0)
    adam_betas: Fixed[list[float]] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    weight_decay: Fixed[float] = Field(default=0.01, ge=0)
    gradient_clip: Fixed[float] = Field(default=1.0, gt=0)
    lora: Fixed[LoraConfig | None] = None
    """Train adapters instead of all weights."""
    kl_coefficient: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of the KL to the reference policy in the loss; 0 loads no reference policy. With
    `lora` the reference is the policy without its adapters, and takes no memory."""
    entropy_coefficient: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of the policy's entropy in the loss, to be made larger."""
    loss: Fixed[Literal["ppo", "gspo", "cispo"]] = "ppo"
    """ppo: each token's probability ratio is clipped, as GRPO and DAPO have it. gspo: each
    rollout's is, the geometric mean of its tokens' (arXiv 2507.18071). cispo: each token's ratio is
    a weight that is clipped, and every token keeps its gradient (arXiv 2506.13585). With one update
    per step of exact log-probabilities all three are the same; see docs/losses.md."""
    clip_low: Fixed[float] = Field(default=0.2, gt=0, le=1)
    """The probability ratio's gain is clipped below 1 - clip_low (1: nowhere) ..."""
    clip_high: Fixed[float] = Field(default=0.2, gt=0)
    """... and above 1 + clip_high; DAPO (arXiv 2503.14476) has 0.28. GSPO's authors have 0.0003 and
    0.0004."""
    dual_clip: Fixed[float] = Field(default=3.0, gt=1)
    """Largest ratio that a negative advantage is multiplied with (arXiv 1912.09729), in the loss
    ppo."""
    rollout_correction: Fixed[Literal["none", "token", "sequence"]] = "none"
    """Weight what was sampled by the ratio of the actor's to the rollout engine's probability, of
    each token or of each whole rollout: truncated importance sampling. With `asynchronous` it is
    token unless set."""
    rollout_correction_limit: Fixed[float] = Field(default=2.0, gt=1)
    """Largest such weight."""
    loss_aggregation: Fixed[
        Literal[
            "token-mean",
            "token-sum",
            "seq-mean-token-mean",
            "seq-mean-token-sum",
            "seq-mean-token-sum-norm",
        ]
    ] = "token-mean"
    """token-mean: every token of an update weighs the same (DAPO). seq-mean-token-mean: every
    rollout does (GRPO). seq-mean-token-sum-norm: a rollout's sum is divided by max_speech_tokens
    (Dr. GRPO). Tokens of rollouts that could not be measured never count; means over rollouts
    divide by all rollouts of the update, so that one with failures is the smaller for it."""
    advantage: Fixed[Literal["grpo", "gdpo", "rloo"]] = "grpo"
    """grpo: a group's rewards are compared. gdpo: each component's utilities are, then summed by
    the components' weights (arXiv 2601.05242), whatever the composition; see docs/rewards.md.
    rloo: each rollout's reward minus the mean of its group's others (arXiv 2402.14740)."""
    normalise_by_std: Fixed[bool] = True
    """Divide advantages by the group's standard deviation (GRPO); off is Dr. GRPO. RLOO never
    does."""
    keep_pairs: Adjustable[bool] = False
    """Write the best and the worst rollout of each group to pairs.jsonl beside the step log, for
    `dpo.pairs` of another run."""
    dynamic_sampling: Fixed[bool] = False
    """Replace each group that teaches nothing, because all its measured rollouts got the same
    reward, by the group of another prompt (DAPO)."""
    max_generation_batches: Adjustable[int] = Field(default=10, ge=1)
    """Most prompts that `dynamic_sampling` may ask for in one step, in generation batches of
    3 x `prompts_per_step`, the size that DAPO's published runs have."""
    max_tokens_per_micro_batch: Adjustable[int | None] = Field(default=None, ge=1)
    """Tokens, prompts included, that a forward pass holds on one GPU: as many whole rollouts as
    fit, without padding. At least rollout.max_prompt_tokens + max_speech_tokens; null: four times
    that. Gradients are accumulated over as many passes as an update needs, so it changes memory
    and speed, not the update."""
    gradient_checkpointing: Adjustable[bool | None] = None
    """Keep one activation per layer and compute the others a second time for the gradient: less
    memory, more time. null: where a GPU's memory would not hold them, by the estimate."""
    compile_layers: Adjustable[bool] = True
    """Compile the norms, MLPs and rotary positions of a policy of Llama's or Qwen2's kind whose
    weights are all trained on a GPU: less time and memory, other rounding. A CPU compiles nothing,
    a run with `lora` or without a C compiler only what it always did."""
    device: Fixed[Literal["auto", "cpu", "cuda"]] = "auto"
    """Where the policy trains; auto is cuda where NVIDIA's driver is."""
    gpus_per_node: Adjustable[int] = Field(default=1, ge=1)
    """GPUs of a machine that the run takes; on a CPU, processes."""
    nodes: Adjustable[int] = Field(default=1, ge=1)
    asynchronous: AsynchronousConfig | None = None
    """Generate on some GPUs while the others train; null: every GPU does both by turns."""
    save_every: Adjustable[int] = Field(default=100, ge=1)
    """Steps between checkpoints; each is published to storage."""
    max_checkpoints: Adjustable[int] = Field(default=2, ge=2)
    """Checkpoints kept on the local disk; the one before the newest may still be uploading."""
    save_beside: Adjustable[bool] = True
    """Copy a checkpoint to the machine's memory, and write it while the next steps run; each rank
    needs memory for what it saves once more. false: the step waits until it is written."""
    step_deadline_s: Adjustable[float] = Field(default=1800.0, gt=0)
    """A step that takes longer is taken for hung and ends the run, to be resumed."""
    termination_grace_s: Adjustable[float] = Field(default=45.0, ge=0)
    """After SIGTERM: seconds for the step that is under way and for its checkpoint; training then
    ends without them, and resumes from the newest. A pod's terminationGracePeriodSeconds has to be
    longer by a quarter of a minute."""
    metrics_port: Annotated[Adjustable[int | None], OfDeployment()] = Field(
        default=None, ge=1, le=65535
    )
    """Port at which Prometheus finds the run's metrics; null: none are served."""

    @property
    def training_gpus_per_node(self) -> int:
        """Training processes on a machine."""
        apart = self.asynchronous.rollout_gpus_per_node if self.asynchronous else 0
        return self.gpus_per_node - apart

    @property
    def ranks(self) -> int:
        """Training processes of the run."""
        return self.training_gpus_per_node * self.nodes

    @model_validator(mode="before")
    @classmethod
    def _old_rollouts_are_corrected(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("asynchronous") is None:
            return values
        return {"rollout_correction": "token", **values}

    @model_validator(mode="after")
    def _someone_trains(self) -> Self:
        if self.training_gpus_per_node < 1:
            assert self.asynchronous
            generate = self.asynchronous.rollout_gpus_per_node
            raise ValueError(
                f"asynchronous.rollout_gpus_per_node = {generate} of gpus_per_node = "
                f"{self.gpus_per_node} leaves no GPU to train on: a GPU either generates or "
                f"trains; set gpus_per_node to {generate + 1} or more, also on a CPU, where it "
                "counts processes, or leave asynchronous out"
            )
        return self

    @model_validator(mode="after")
    def _clip_can_act(self) -> Self:
        widest = max(self.clip_low, self.clip_high)
        if self.loss == "gspo" and widest > WIDEST_GSPO_CLIP:
            raise ValueError(
                f'loss = "gspo" clips the geometric mean of a rollout\'s ratios, which moves by '
                f"thousandths: clip_low = {self.clip_low:g} and clip_high = {self.clip_high:g} "
                f"would clip nothing; set both to at most {WIDEST_GSPO_CLIP:g}, such as 0.0003 and "
                "0.0004 (arXiv 2507.18071)"
            )
        return self
