"""Sharded checkpoint -> Hugging Face folder, published and ready to be pulled.

Takes the checkpoint from storage, so that it runs on any machine; a model that is published already
is left as it is. In a cluster it may start before training ends: then it waits for the checkpoint.
The merged weights are bfloat16, as verl's merger writes them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.evaluation.waiting import wait_until
from ttsrl.models.hub import LOST, load_model
from ttsrl.storage.published import RUN
from ttsrl.storage.run_store import RunStore

ADAPTERS = "lora_adapter"
"""Folder in which verl's merger leaves a LoRA run's adapters, beside the base's weights."""
CONFIG = "config.json"
OF_TRAINING = ("actor/optim_", "actor/extra_state_")
"""How the names of files begin that only a trainer reads."""


def merge_run(
    config: Path, work_dir: Path, step: int | None = None, wait_s: float | None = None
) -> None:
    """Merge a step of a run, the newest if none is given, and say where it is published.

    With `wait_s` wait so long for the step's checkpoint; for the run's last step if none is given.
    Raises BadInput, Failure.
    """
    run = load_run(config)
    store = RunStore(run.storage, run.name)
    if wait_s is not None:
        step = run.train.steps if step is None else step
        wait_for_checkpoint(store, step, wait_s)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # shards are merged in RAM
    step = merge(store, work_dir.absolute(), step)
    print(f"merged and published: {store.storage.address(store.model(step))}")


def wait_for_checkpoint(store: RunStore, step: int, wait_s: float) -> None:
    """Until the checkpoint of a step is published, or its model is. Raises Failure."""

    def missing() -> str:
        if store.storage.is_complete(store.checkpoint(step)):
            return ""
        if store.storage.is_complete(store.model(step)):
            return ""
        return (
            f"the checkpoint of step {step}; published are "
            f"{store.list_checkpoints() or 'none'} (--step N takes another)"
        )

    wait_until(missing, wait_s)


def merge(store: RunStore, work_dir: Path, step: int | None = None) -> int:
    """Merge one checkpoint and publish the model; returns its step.

    The folder holds its run's configuration, which tells how the model is spoken with. Raises
    BadInput where there is no such checkpoint, StorageError where storage fails.
    """
    step = step or store.newest_checkpoint()
    if step is None:
        raise BadInput(f"no checkpoint in {store.storage.address()}; train first: `ttsrl train`")
    if store.storage.is_complete(store.model(step)):
        return step
    work_dir.mkdir(parents=True, exist_ok=True)
    rollbacks = store.set_backs().done
    with TemporaryDirectory(prefix=".merge-", dir=work_dir) as temporary:
        model = Path(temporary) / "model"
        merge_checkpoint(store, step, model)
        store.publish_of_step(model, store.model(step), step, rollbacks)
    return step


def merge_checkpoint(store: RunStore, step: int, model: Path) -> None:
    """Merge the checkpoint of a step into the folder `model`, which appears whole at the end.

    Raises BadInput where there is no such checkpoint, StorageError where storage fails.
    """
    with TemporaryDirectory(prefix=".merge-", dir=model.parent) as temporary:
        checkpoint, merged = Path(temporary) / "checkpoint", Path(temporary) / "model"
        store.storage.pull(store.checkpoint(step), checkpoint, wanted=_has_weights)
        base = None
        if holds_adapters_alone(checkpoint / "actor"):
            base = Path(temporary) / "base"
            if not store.storage.is_complete(store.base):
                raise BadInput(
                    f"the checkpoint of step {step} holds adapters alone, and the model that they "
                    f"belong to is missing: {store.storage.address(store.base)}; resume the run, "
                    "which publishes it"
                )
            store.storage.pull(store.base, base)
        merge_fsdp(checkpoint / "actor", merged, base)
        if run := store.storage.read_json(store.run_json):
            (merged / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        merged.rename(model)


def _has_weights(path: str) -> bool:
    """Whether a file of a checkpoint is needed to merge it: most of its bytes are the optimiser."""
    return path.startswith("actor/") and not path.startswith(OF_TRAINING)


def holds_adapters_alone(actor: Path) -> bool:
    """Whether the weights beside a checkpoint's adapters are elsewhere."""
    import torch

    shard = next(actor.glob("model_world_size_*_rank_0.pt"))
    return all("lora_" in name for name in torch.load(shard, mmap=True, weights_only=False))


def merge_fsdp(actor: Path, model: Path, base: Path | None = None) -> None:
    """Merge verl's FSDP shards of one `actor` folder into a Hugging Face folder.

    A LoRA run's adapters are folded into the weights, so that the folder is a plain model. `base`
    is the model that they belong to, where the shards hold them alone.
    """
    from transformers import AutoModelForCausalLM
    from verl.model_merger.base_model_merger import ModelMergerConfig
    from verl.model_merger.fsdp_model_merger import FSDPModelMerger

    class Merger(FSDPModelMerger):
        """verl's, whose shards may lack the base."""

        def _load_and_merge_state_dicts(self, *args: Any, **named: Any) -> dict[str, Any]:
            merged = super()._load_and_merge_state_dicts(*args, **named)
            if base is not None:
                whole = load_model(AutoModelForCausalLM, base, "bfloat16", without=LOST)
                merged |= whole.state_dict()
            return merged

    forget_attention(actor / "huggingface" / CONFIG)
    config = ModelMergerConfig(
        operation="merge",
        backend="fsdp",
        local_dir=str(actor),
        target_dir=str(model),
        hf_model_config_path=str(actor / "huggingface"),
    )
    merger = Merger(config)
    merger.merge_and_save()
    merger.cleanup()
    if (adapters := model / ADAPTERS).exists():
        fold_adapters(model, adapters)
        shutil.rmtree(adapters)


def forget_attention(config: Path) -> None:
    """Take the name of the trainer's attention out of a checkpoint's config.json.

    verl saves the configuration as the trainer changed it; whoever loads the model, the merger
    first, chooses an attention of their own, and transformers refuses a name that it does not know.
    """
    saved = json.loads(config.read_text(encoding="utf-8"))
    if saved.pop("attn_implementation", None) is not None:
        config.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")


def fold_adapters(model: Path, adapters: Path) -> None:
    """Add LoRA's products to the weights of a Hugging Face folder, in place.

    Added in float32 and rounded once, to bfloat16, as the rollouts of the run were spoken.
    """
    import torch
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    base = load_model(AutoModelForCausalLM, model, without=LOST)
    folded: Any = get_peft_model(base, PeftConfig.from_pretrained(str(adapters)))
    loaded: Any = set_peft_model_state_dict(folded, load_peft_weights(str(adapters), "cpu"))
    if wrong := [*loaded.unexpected_keys, *(k for k in loaded.missing_keys if "lora_" in k)]:
        raise BadInput(
            f"the adapters at {adapters} do not fit the model beside them, first at {wrong[0]}; "
            "merge another step"
        )
    folded.merge_and_unload(safe_merge=True).to(torch.bfloat16).save_pretrained(model)
