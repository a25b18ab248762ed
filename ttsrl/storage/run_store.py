"""The keys of a run in storage: this file alone knows where things lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ttsrl.errors import BadInput
from ttsrl.records.best import BestModel
from ttsrl.records.guard import GuardEvent, SetBacks
from ttsrl.records.record import parse
from ttsrl.storage.errors import GivenUpError, StorageError
from ttsrl.storage.storage import open_storage


class RunStore:
    """Keys of one run below a storage root, and its pointers.

    `<root>/runs/<run>/` holds run.json, reward.json, checkpoints/step_000100/, model/step_000100/,
    base/, eval/<suite>/step_000100/, eval/<suite>.during/state.json, latest.json, best.json,
    log/steps.jsonl, log/guards.jsonl, log/pod_starts.json,
    log/ended.json, log/attempts/TIME-MACHINE/ and trackers/.
    """

    def __init__(self, root: str, run_name: str) -> None:
        self.storage = open_storage(root)
        self._run = f"runs/{run_name}"
        self.run_json = f"{self._run}/run.json"
        """Resolved configuration of the run."""
        self.reward_json = f"{self._run}/reward.json"
        """Reward specification that every reward of the run comes from, and its hash."""
        self.base = f"{self._run}/base"
        """Prefix of the model that a run's adapters were trained beside: of runs with `train.lora`,
        whose checkpoints hold the adapters alone."""
        self.latest = f"{self._run}/latest.json"
        """Pointer to the newest checkpoint."""
        self.best = f"{self._run}/best.json"
        """Pointer to the model that evaluated best."""
        self.steps_log = f"{self._run}/log/steps.jsonl"
        """One line a finished step, at most a minute behind the training that writes it."""
        self.guards_log = f"{self._run}/log/guards.jsonl"
        """What the run's guards found."""
        self.pod_starts = f"{self._run}/log/pod_starts.json"
        """How often a PyTorchJob has started without a new checkpoint."""
        self.ended = f"{self._run}/log/ended.json"
        """Why training has ended for good, where a start was refused or too many failed."""
        self.evaluations = f"{self._run}/eval"
        """Evaluations by suite and step."""
        self.trackers = f"{self._run}/trackers"
        """What trackers have been told, and the files of those that write files."""

    def attempt(self, name: str) -> str:
        """Prefix of what an attempt of training said, and how it ended."""
        return f"{self._run}/log/attempts/{name}"

    def audit(self, spec_hash: str, clips: str) -> str:
        """What an audit of a reward with these clips found; for all runs of the storage."""
        return f"audits/{spec_hash}/{clips}.json"

    def checkpoint(self, step: int) -> str:
        """Prefix of the sharded training state after `step` updates."""
        return f"{self._run}/checkpoints/{_step(step)}"

    def model(self, step: int) -> str:
        """Prefix of the merged Hugging Face folder after `step` updates."""
        return f"{self._run}/model/{_step(step)}"

    def eval(self, suite: str, step: int) -> str:
        """Prefix of an evaluation of the model after `step` updates."""
        if not re.fullmatch(r"[\w][\w.-]*", suite):
            raise BadInput(
                f"{suite!r} is not a valid name of an evaluation suite; use letters, digits, -_."
            )
        return f"{self.evaluations}/{suite}/{_step(step)}"

    def eval_shard(self, suite: str, step: int, index: int, of: int) -> str:
        """Prefix of one of the `of` shards that an evaluation is put together from."""
        folder, _, name = self.eval(suite, step).rpartition("/")
        return f"{folder}/shards/{name}/{index:05d}-of-{of:05d}"

    def evaluation_state(self, suite: str) -> str:
        """How far the evaluation of a suite beside training is."""
        return f"{self.eval(suite, 0).rpartition('/')[0]}/state.json"

    def list_evaluated(self, suite: str) -> list[int]:
        """Steps whose evaluation is complete, ascending; 0 is the policy before training."""
        return self._steps(self.eval(suite, 0).rpartition("/")[0])

    def list_checkpoints(self) -> list[int]:
        """Steps whose checkpoint is complete, ascending."""
        return self._steps(f"{self._run}/checkpoints")

    def list_models(self) -> list[int]:
        """Steps whose merged model is complete, ascending."""
        return self._steps(f"{self._run}/model")

    def newest_checkpoint(self) -> int | None:
        """Step to resume from: found by listing, as a run may end between manifest and pointer."""
        return max(self.list_checkpoints(), default=None)

    def set_backs(self) -> SetBacks:
        """How often guards have set the run back. Raises BadInput, StorageError."""
        place = self.storage.address(self.guards_log)
        lines = (self.storage.read_text(self.guards_log) or "").splitlines()
        return SetBacks.of(parse(GuardEvent, line, place) for line in lines)

    def publish_of_step(self, folder: Path, key: str, step: int, since: int) -> None:
        """Publish what was made of a step's checkpoint, unless a rollback has given that up.

        `since` is how many rollbacks were complete when the checkpoint was read. A rollback is
        written down before it removes anything, and this looks once more when it has published: one
        of the two sees the other. Raises GivenUpError, and what `publish` does.
        """
        self._check_not_given_up(key, step, since)
        self.storage.publish(folder, key)
        try:
            self._check_not_given_up(key, step, since)
        except GivenUpError:
            self.storage.remove(key)
            raise

    def _check_not_given_up(self, key: str, step: int, since: int) -> None:
        if self.set_backs().gave_up(step, since):
            raise GivenUpError(
                f"{self.storage.address(key)} is not published: a guard has set the run back, and "
                f"this was made of the checkpoint of step {step} before"
            )

    def take_back(self, newest: int) -> None:
        """Remove checkpoints, models and evaluations of all steps after one. Repeating it is
        harmless."""
        for folder in (f"{self._run}/checkpoints", f"{self._run}/model", self.evaluations):
            for key in self.storage.list_complete(folder):
                step = re.search(r"/step_(\d+)(?:/|$)", key)
                if step is not None and int(step[1]) > newest:
                    self.storage.remove(key)
        best = self.storage.read_json(self.best)
        if best is not None and int(best["step"]) > newest:
            self.storage.delete(self.best)
        if newest:
            self.write_latest(newest)
        else:
            self.storage.delete(self.latest)

    def write_latest(self, step: int) -> None:
        """Point latest.json to a complete checkpoint."""
        self._point(self.latest, {"step": step, "checkpoint": self.checkpoint(step)})

    def write_best(self, best: BestModel) -> None:
        """Point best.json to a complete model, with what made it the best."""
        self._point(self.best, best.model_dump(mode="json"))

    def _point(self, key: str, pointer: dict[str, Any]) -> None:
        target = str(pointer.get("checkpoint") or pointer.get("model"))
        if not self.storage.is_complete(target):
            raise StorageError(
                f"{self.storage.address(key)} cannot point to {target}: it is not complete; "
                "publish it first"
            )
        self.storage.write_json(key, pointer)

    def _steps(self, prefix: str) -> list[int]:
        names = (key.rpartition("/")[2] for key in self.storage.list_complete(prefix))
        return sorted(int(m[1]) for n in names if (m := re.fullmatch(r"step_(\d+)", n)))


def is_published_run(folder: Path) -> bool:
    """Whether a local folder is a run of a storage, `<root>/runs/<run>`, and no run's own folder.

    Both hold run.json; only a run's own folder has `train`.
    """
    published = ("reward.json", "latest.json", "checkpoints", "log")
    return not (folder / "train").exists() and any((folder / name).exists() for name in published)


def _step(step: int) -> str:
    return f"step_{step:06d}"
