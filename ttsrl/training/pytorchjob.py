"""A run as a PyTorchJob.

Every pod takes part with MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE (the number of pods)
as Kubeflow's operator sets them. Rank 0 starts the head of a Ray cluster, the others join it; when
all are there rank 0 trains like a RayJob. The end of one is the end of all, with
rank 0's exit code or, where a pod is lost or training failed, `AGAIN`; when all are started again,
the run resumes from the last published checkpoint.
"""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.runtime import addresses
from ttsrl.runtime.exit_codes import FAILED, exit_code, exit_on_sigterm
from ttsrl.runtime.job import Job
from ttsrl.runtime.scratch import scratch
from ttsrl.storage.run_store import RunStore
from ttsrl.training import environment, rendezvous
from ttsrl.training.ending import Ending
from ttsrl.training.pod_starts import AGAIN, PodStarts
from ttsrl.training.supervisor import train
from ttsrl.training.verl_args import cpus_of_machine

RAY_PORT = 6379
HEAD_DEADLINE_S = 120.0
POLL_S = 0.2
STARTS = 6


@dataclass(frozen=True)
class Place:
    """Which pod of the job this is."""

    rank: int
    pods: int
    master: str
    port: int

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self:
        """From the operator's variables. Raises BadInput."""
        names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        if absent := [name for name in names if name not in variables]:
            raise BadInput(
                f"{absent[0]} is not set: this is the command of a PyTorchJob's pods; on one "
                "machine, or in a RayJob, run `ttsrl train`"
            )
        rank, pods, master, port = (variables[name] for name in names)
        if not (rank.isdecimal() and pods.isdecimal() and port.isdecimal()):
            raise BadInput(f"RANK = {rank}, WORLD_SIZE = {pods}, MASTER_PORT = {port}: not numbers")
        if int(rank) >= int(pods):
            raise BadInput(f"RANK = {rank} is none of WORLD_SIZE = {pods} pods")
        return cls(int(rank), int(pods), master, int(port))


def take_part(
    config: Path, work_dir: Path, ray_port: int = RAY_PORT, max_starts: int = STARTS
) -> int:
    """Be the pod of this rank to the end of training; returns rank 0's exit code, AGAIN or 143.

    `work_dir` is a local folder, by the same path in every pod. After `max_starts` starts in a row
    without a new checkpoint the exit code of a failure is 1. Raises BadInput.
    """
    exit_on_sigterm()
    try:
        return _take_part(config, work_dir, ray_port, max_starts)
    except Failure as error:
        print(f"error: {error}", file=sys.stderr)
        return AGAIN


def _take_part(config: Path, work_dir: Path, ray_port: int, max_starts: int) -> int:
    run, place = load_run(config), Place.of(os.environ)
    if place.pods < run.train.nodes:
        raise BadInput(
            f"train.nodes = {run.train.nodes}, and the PyTorchJob has {place.pods} pods "
            "(WORLD_SIZE): set its worker replicas to train.nodes - 1, and no nprocPerNode"
        )
    if place.rank == 0:
        starts = PodStarts(RunStore(run.storage, run.name), max_starts)
        if not starts.begin():
            return FAILED
        return lead(place, run, config, work_dir, ray_port, starts)
    return join(place, run, work_dir)


def lead(
    place: Place, run: RunConfig, config: Path, work_dir: Path, ray_port: int, starts: PodStarts
) -> int:
    """Rank 0: start Ray, train, tell everybody how it ended; returns the exit code."""
    with ExitStack() as stack:
        others = stack.enter_context(rendezvous.gather(place.port, place.pods - 1))
        folder = stack.enter_context(scratch("ttsrl-ray-"))
        address = addresses.with_port(others.own_address, ray_port)
        token = secrets.token_hex(32)
        os.environ |= authentication(token)
        head = ["--head", f"--port={ray_port}", f"--temp-dir={folder}", "--include-dashboard=false"]
        ray = stack.enter_context(start_ray(run, others.own_address, head, work_dir))
        _wait_until_listening(ray, others.own_address, ray_port)
        others.tell({"ray": address, "token": token})
        os.environ["RAY_ADDRESS"] = address

        ending = Ending()
        ending.listen()

        def look() -> None:
            if others.look():
                ending.ask()
            if not ray.is_running():
                raise Failure(f"Ray ended; log: {ray.log}")

        # with GPUs no training has yet gone through its steps so
        one_machine = place.pods == 1 and environment.device_of(run) == "cpu"
        code = AGAIN
        try:
            code = starts.exit_code(
                exit_code(lambda: train(config, work_dir, look, ending, one_machine))
            )
        except SystemExit as left:  # SIGTERM
            code = int(left.code or 0)
        finally:
            others.tell({"exit": code})
        return code


def join(place: Place, run: RunConfig, work_dir: Path) -> int:
    """Any other rank: lend this machine to Ray until rank 0 tells how it ended."""
    with rendezvous.join(place.master, place.port, place.rank) as leader:
        said = leader.wait()
        if "exit" in said:
            return int(said["exit"])
        os.environ |= authentication(said["token"])
        head = [f"--address={said['ray']}"]
        with start_ray(run, leader.own_address, head, work_dir) as ray:
            ending = Ending()
            ending.listen()
            ending.can_save = True
            while (said := leader.poll(POLL_S)) is None:
                if ending.is_new():
                    leader.send({"ending": place.rank})
                if not ray.is_running():
                    raise Failure(f"Ray ended on rank {place.rank}; log: {ray.log}")
        return int(said["exit"])


def authentication(token: str) -> dict[str, str]:
    """Ray runs what it is sent: only who was told the token of this start may send anything."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


@contextmanager
def start_ray(
    run: RunConfig, own_address: str, arguments: Sequence[str], work_dir: Path
) -> Generator[Job]:
    """`ray start`, with slots for what verl puts on one machine, until the block ends."""
    device = environment.device_of(run)
    slots = [f"--num-cpus={max(os.cpu_count() or 1, cpus_of_machine(run, device))}"]
    if device == "cpu":
        slots.append(f"--num-gpus={run.train.gpus_per_node}")
    fixed = ["--block", "--disable-usage-stats", f"--node-ip-address={own_address}"]
    command = ["start", *arguments, *fixed, *slots]
    log = work_dir.absolute() / "logs" / "ray.log"
    variables = environment.of_driver(run, device)
    with python_of_one_word() as python:
        job = Job("ray", run_ray, (command,), log, variables, python)
        try:
            yield job
        finally:
            job.stop()


def run_ray(command: Sequence[str]) -> None:
    """Ray's own command line, which is its only way to be a node of a cluster."""
    from ray.scripts.scripts import cli

    cli(command)


@contextmanager
def python_of_one_word() -> Generator[str]:
    """This Python by a path that a shell reads as one word, while the block runs.

    `ray start` runs Python through a shell and does not quote its path: a space would end it.
    """
    if shlex.quote(sys.executable) == sys.executable:
        yield sys.executable
        return
    with scratch("ttsrl-python-") as folder:
        prefix = folder / "prefix"
        prefix.symlink_to(sys.prefix)  # not the program alone: it looks for its packages beside it
        yield str(prefix / Path(sys.executable).relative_to(sys.prefix))


def _wait_until_listening(ray: Job, address: str, port: int) -> None:
    deadline = time.monotonic() + HEAD_DEADLINE_S
    while ray.is_running():
        try:
            socket.create_connection((address, port), timeout=POLL_S).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
    raise Failure(f"Ray did not start at {addresses.with_port(address, port)}; log: {ray.log}")
