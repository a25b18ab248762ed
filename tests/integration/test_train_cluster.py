"""Training on two machines that share nothing but storage: the pods of a PyTorchJob, each with a
disk of its own at the same path (a bind mount in its own mount namespace)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from support.paths import ROOT
from support.reward_server import TTSRL, RewardServer, free_port
from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.merge import merge
from ttsrl.storage.run_store import RunStore
from ttsrl.training.pod_starts import AGAIN

TWO_RANKS = (
    "train.device=cpu",
    "train.nodes=2",
    "train.steps=2",
    "train.save_every=1",
    "train.prompts_per_step=2",
    "rollout.group_size=2",
)
OWN_DISK = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
ON_OWN_DISK = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'

pytestmark = pytest.mark.skipif(
    subprocess.run([*OWN_DISK, "true"], capture_output=True).returncode != 0,
    reason="this machine allows no mount namespaces, so two machines on it would share their disk",
)


class Pods:
    """Two pods, each with a machine's disk."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.config = config
        self.work_dir = folder / "work"
        self.disks = [folder / "disk0", folder / "disk1"]
        for path in (self.work_dir, *self.disks):
            path.mkdir()
        self.processes: list[subprocess.Popen[str]] = []
        self.environment: dict[str, str] = {}
        self.arguments: list[str] = []

    def start(self) -> None:
        self.environment = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
        self.arguments = ["--ray-port", str(free_port())]
        self.processes = [self._start(rank) for rank in range(2)]

    def _start(self, rank: int) -> subprocess.Popen[str]:
        pod = [*TTSRL, "job", "pytorchjob", "--config", self.config, "--work-dir", self.work_dir]
        command = [ON_OWN_DISK, "pod", self.disks[rank], self.work_dir, *pod]
        with (self.disks[rank] / "pod.log").open("a") as output:
            return subprocess.Popen(
                [*OWN_DISK, *command, *self.arguments],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env={
                    **os.environ,
                    **self.environment,
                    "RANK": str(rank),
                    "WORLD_SIZE": "2",
                    "OMP_NUM_THREADS": "1",
                },
            )

    def family(self) -> list[psutil.Process]:
        """All their processes, by machine."""
        alive = [psutil.Process(process.pid) for process in self.processes]
        return [p for one in alive for p in (one, *one.children(recursive=True))]

    def lose(self, rank: int) -> None:
        """A machine goes, with its disk."""
        pod = psutil.Process(self.processes[rank].pid)
        for process in (*pod.children(recursive=True), pod):
            process.kill()
        self.processes[rank].wait()
        shutil.rmtree(self.disks[rank])
        self.disks[rank].mkdir()

    def log(self, rank: int) -> str:
        return (self.disks[rank] / "pod.log").read_text()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 1500
        while not condition():
            codes = [process.poll() for process in self.processes]
            if any(code is not None for code in codes) or time.monotonic() > deadline:
                pytest.fail(f"pods ended with {codes}: {self.log(0)}\n{self.log(1)}")
            time.sleep(0.05)

    def shards(self, disk: Path, step: int) -> dict[str, Path]:
        folder = disk / "train" / "checkpoints" / f"global_step_{step}" / "actor"
        return {path.name: path for path in folder.glob("*.pt")}


@pytest.fixture
def run(reward_service: RewardServer, tmp_path: Path) -> RunConfig:
    storage = f"storage={tmp_path / 'storage'}"
    return load_run(reward_service.config, [*TWO_RANKS, storage])


@pytest.fixture
def pods(run: RunConfig, tmp_path: Path) -> Iterator[Pods]:
    config = tmp_path / "run.json"
    config.write_text(dump_run(run))
    pods = Pods(tmp_path, config)
    yield pods
    for process in pods.processes:
        process.terminate()
    for process in pods.processes:
        process.wait(30)


@pytest.mark.timeout(2400)
def test_a_lost_machine_ends_all_and_all_go_on_from_storage(
    run: RunConfig, pods: Pods, tmp_path: Path
) -> None:
    store = RunStore(run.storage, run.name)
    pods.start()
    pods.wait_until(lambda: store.newest_checkpoint() == 1)
    family = pods.family()

    pods.lose(1)

    assert pods.processes[0].wait(60) == AGAIN
    assert "the pod of rank 1 is lost" in pods.log(0)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert store.list_checkpoints() == [1]

    pods.start()
    for process in pods.processes:
        assert process.wait(400) == 0, pods.log(0) + pods.log(1)

    assert "going on from step 1" in pods.log(0)
    assert store.list_checkpoints() == [1, 2]
    # verl's ranks go by the machines' addresses, so either may be on either; none is on both
    on_disk = [set(pods.shards(disk, 2)) for disk in pods.disks]
    of_rank = [
        {f"{kind}_world_size_2_rank_{rank}.pt" for kind in ("model", "optim", "extra_state")}
        for rank in (0, 1)
    ]
    assert on_disk in (of_rank, of_rank[::-1])
    assert merged_weights(store, tmp_path) == actor_weights(pods)


def merged_weights(store: RunStore, tmp_path: Path) -> dict[str, bytes]:
    merge(store, tmp_path / "merge", 2)
    store.storage.pull(store.model(2), tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    return {name: tensor.view(torch.uint8).numpy().tobytes() for name, tensor in weights.items()}


def actor_weights(pods: Pods) -> dict[str, bytes]:
    """Each parameter as its ranks hold it, row block after row block, in the merger's precision."""
    files = pods.shards(pods.disks[0], 2) | pods.shards(pods.disks[1], 2)
    ranks: list[dict[str, Any]] = [
        torch.load(files[f"model_world_size_2_rank_{rank}.pt"], weights_only=False)
        for rank in (0, 1)
    ]
    whole = {
        name: torch.cat([rank[name].to_local() for rank in ranks]).bfloat16() for name in ranks[0]
    }
    if "lm_head.weight" in whole and torch.equal(
        whole["lm_head.weight"], whole["model.embed_tokens.weight"]
    ):
        del whole["lm_head.weight"]  # tied: saved once
    return {name: t.contiguous().view(torch.uint8).numpy().tobytes() for name, t in whole.items()}
