"""Direct preference optimisation (arXiv 2305.18290) by TRL's trainer: a second way to train a run.

One process trains on one device. What it publishes is what `ttsrl merge` publishes after training
by rollouts, under the run's last step, so that pulling, evaluating, speaking and reporting are the
same.
"""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import are_prepared, prepare
from ttsrl.errors import BadInput
from ttsrl.models.hub import load_part, local_folder
from ttsrl.records.preference import PreferencePair
from ttsrl.records.record import Record, append_lines
from ttsrl.runtime.exit_codes import exit_on_sigterm
from ttsrl.storage.published import RUN
from ttsrl.storage.run_store import RunStore
from ttsrl.training import environment, preflight
from ttsrl.training.pairs import read_pairs
from ttsrl.training.run_identity import at_recorded_commit, check_run_identity
from ttsrl.training.step_log import drop_steps_after

LOG = "dpo.jsonl"
SAVED = "trl"
"""What an interrupted run continues from; removed once the model is published."""


class DpoStep(Record):
    """A line of dpo.jsonl: means over an update's pairs."""

    step: int
    loss: float
    accuracy: float
    """Share of the pairs whose chosen response has gained more than the rejected one."""
    margin: float
    """By how much more, times beta, in nats per response."""
    grad_norm: float
    learning_rate: float
    ended_at_s: float


def train_by_preferences(config: Path, work_dir: Path) -> None:
    """Make the run's updates from its pairs, and publish the model.

    Raises BadInput, StorageError.
    """
    exit_on_sigterm()
    if find_spec("trl") is None:
        raise BadInput(
            "pairs are learned by the package trl, which is not installed; install the extra 'dpo'"
        )
    run = load_run(config)
    store = RunStore(run.storage, run.name)
    if store.storage.is_complete(store.model(run.train.steps)):
        print(f"the model of step {run.train.steps} is published: nothing to do")
        return
    run = at_recorded_commit(run, store)
    family = preflight.check_policy(run)
    preflight.check_weights(run)
    if not are_prepared(work_dir / "data"):
        print(prepare(run, work_dir / "data"), flush=True)
    from transformers import AutoConfig

    positions = load_part(AutoConfig, local_folder(run.model)).max_position_embeddings
    pairs = read_pairs(run, family, positions, work_dir / "data")
    check_run_identity(run, store)
    print("guards: none, and no audit of the reward: they are of runs with rollouts", flush=True)
    print(f"{len(pairs)} pairs of {len({pair.text for pair in pairs})} texts", flush=True)
    model = _train(run, pairs, work_dir / "train")
    (model / RUN).write_text(dump_run(run), encoding="utf-8")
    store.storage.publish(model, store.model(run.train.steps))
    for done in (model, work_dir / "train" / SAVED):
        shutil.rmtree(done, ignore_errors=True)
    print(f"published: {store.storage.address(store.model(run.train.steps))}")


def _train(run: RunConfig, pairs: list[PreferencePair], folder: Path) -> Path:
    """The trained model's folder. What TRL has saved there before is continued."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl.trainer.dpo_trainer import DPOTrainer

    class PairTrainer(DPOTrainer):
        """TRL's, for pairs that are token ids already: text is not what a policy has said."""

        def _prepare_dataset(
            self, dataset: Any, processing_class: Any, args: Any, dataset_name: str
        ) -> Any:
            return dataset

    class UpdateLog(TrainerCallback):
        """Writes each update's figures down."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "rewards/margins" in logs:
                append_lines(folder / LOG, [step_of(state.global_step, logs)])

    policy = local_folder(run.model)
    device = environment.device_of(run)
    tokenizer = load_part(AutoTokenizer, policy)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    rows = [pair.model_dump(include={"prompt_ids", "chosen_ids", "rejected_ids"}) for pair in pairs]
    trainer = PairTrainer(
        model=AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32),
        args=arguments(run, folder / SAVED, device),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[UpdateLog()],
    )
    saved = last_saved(folder / SAVED)
    drop_steps_after(folder / LOG, 0 if saved is None else int(saved.rpartition("-")[2]))
    trainer.train(resume_from_checkpoint=saved)
    model = folder / "model"
    # as verl's merger writes them
    cast(Any, trainer.model).to(torch.bfloat16).save_pretrained(model)
    AutoTokenizer.from_pretrained(policy).save_pretrained(model)
    return model


def last_saved(folder: Path) -> str | None:
    """TRL's newest checkpoint, `checkpoint-STEP`, if there is one."""
    from transformers.trainer_utils import get_last_checkpoint

    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def arguments(run: RunConfig, folder: Path, device: str) -> Any:
    """TRL's arguments: the run's, as training by rollouts has them."""
    from trl.trainer.dpo_config import DPOConfig

    assert run.dpo is not None
    train = run.train
    # TRL pads a batch to its longest response, so an update is made of passes with one pair each
    decays = train.final_learning_rate_ratio < 1
    return DPOConfig(
        output_dir=str(folder),
        max_steps=train.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=train.prompts_per_step,
        learning_rate=train.learning_rate,
        lr_scheduler_type="cosine_with_min_lr" if decays else "constant_with_warmup",
        lr_scheduler_kwargs={"min_lr_rate": train.final_learning_rate_ratio} if decays else {},
        warmup_steps=train.warmup_steps,
        adam_beta1=train.adam_betas[0],
        adam_beta2=train.adam_betas[1],
        weight_decay=train.weight_decay,
        max_grad_norm=train.gradient_clip,
        gradient_checkpointing=device != "cpu" and train.gradient_checkpointing is not False,
        bf16=device != "cpu",
        use_cpu=device == "cpu",
        beta=run.dpo.beta,
        max_length=None,
        precompute_ref_log_probs=True,  # no second model in memory while it trains
        seed=run.seed,
        data_seed=run.seed,
        logging_steps=1,
        save_strategy="steps",
        save_steps=train.save_every,
        save_total_limit=train.max_checkpoints,
        report_to="none",
        disable_tqdm=True,
    )


def step_of(step: int, logs: dict[str, float]) -> DpoStep:
    """An update's line, of what TRL logs."""
    return DpoStep(
        step=step,
        loss=logs["loss"],
        accuracy=logs["rewards/accuracies"],
        margin=logs["rewards/margins"],
        grad_norm=logs["grad_norm"],
        learning_rate=logs["learning_rate"],
        ended_at_s=time.time(),
    )
