"""How often a training job starts again without getting further.

With the restart policy ExitCode, Kubeflow's operator 1.9 ends the job where a container ends with 1
to 127, and makes the pod anew for 128 and above (pkg/util/train/train_util.go). It does not count
how often: `backoffLimit` counts restarts of containers, and a new pod has none. So the starts are
counted here, in the run's storage; and so are those of a RayJob and a TrainJob, whose operators
count each attempt, whatever ended it.
"""

from __future__ import annotations

from ttsrl.runtime.exit_codes import FAILED
from ttsrl.storage.run_store import RunStore
from ttsrl.training.noted_end import note_end

AGAIN = 138
"""Exit code of what may succeed another time."""


class PodStarts:
    """Starts of a job in a row that found no newer checkpoint than the one before."""

    def __init__(self, store: RunStore, allowed: int) -> None:
        self._store = store
        self._allowed = allowed
        self._count = 0

    def begin(self) -> bool:
        """Count this start; False where it is one too many. Raises BadInput, StorageError."""
        storage, key = self._store.storage, self._store.pod_starts
        step = self._store.newest_checkpoint() or 0
        before = storage.read_json(key) or {}
        self._count = before["starts"] + 1 if before.get("step") == step else 1
        if self._count > self._allowed:
            self._give_up()
            return False
        storage.write_json(key, {"step": step, "starts": self._count})
        return True

    def exit_code(self, code: int) -> int:
        """The exit code of a pod whose training ended with one."""
        if code == FAILED and self._count < self._allowed:
            return AGAIN
        if code == FAILED:
            self._give_up()
        return code

    def _give_up(self) -> None:
        """The next job counts from the beginning."""
        self._store.storage.delete(self._store.pod_starts)
        note_end(self._store, f"{self._allowed} starts in a row without a new checkpoint")
        print(
            f"{self._allowed} starts in a row without a new checkpoint: the job ends; "
            "`ttsrl submit` starts it again, from the newest checkpoint",
            flush=True,
        )
