"""A process that holds the models and measures batches, for the service that started it.

It is apart from the service so that a crash or a hang in native code costs one batch and a restart,
and so that several of them share the cores or GPUs of a machine behind one queue.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.runtime.machine import cores
from ttsrl.wire import Failed, Outcome, ServiceSpec, Utterance

if TYPE_CHECKING:
    from ttsrl.serving.pipeline import Pipeline

logger = logging.getLogger(__name__)
PR_SET_PDEATHSIG = 1
LATE_BATCHES = 2
"""Batches in a row in which a scorer is late: its thread is taken for hung."""
PROGRAMS = ("ttsrl", "bentoml", "torch", "transformers", "faster-whisper", "ctranslate2", "jiwer")


@dataclass(frozen=True)
class Loaded:
    """The models are warm."""

    spec: ServiceSpec
    device: str


@dataclass(frozen=True)
class CannotLoad:
    """The process ends; nothing but a change of its input or its machine will fix it."""

    detail: str
    exit_code: int


@dataclass(frozen=True)
class Measured:
    """A batch is done."""

    outcomes: list[Outcome]
    stages: list[tuple[str, float]]
    """Stage and its seconds, in the order in which they ran."""
    last: bool = False
    """Whether the process ends now, to be replaced."""


def main() -> None:
    """Loads, says so, then answers each batch on the socket until the other end closes it."""
    parser = argparse.ArgumentParser(prog="python -m ttsrl.serving.worker", description=__doc__)
    parser.add_argument("--config", required=True, help="the run's JSON file")
    parser.add_argument("--number", type=int, required=True, help="which of the workers, from 0")
    parser.add_argument("--workers", type=int, required=True, help="how many there are")
    parser.add_argument("--fd", type=int, required=True, help="socket of the service")
    arguments = parser.parse_args()
    # The service decides when work ends: it drains on a signal that all processes get. When it is
    # gone, however it went, so is this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    logging.basicConfig(format=f"[worker {arguments.number}] %(levelname)s %(name)s: %(message)s")
    service = Connection(arguments.fd)
    stages: list[tuple[str, float]] = []
    try:
        run = load_run(arguments.config)
        device = device_of(arguments.number, arguments.workers)
        pipeline = load(run, device, stages)
        service.send(Loaded(specification(run, pipeline), device))
    except BadInput as error:
        service.send(CannotLoad(str(error), 2))
        return
    except Exception as error:
        logger.exception("the models cannot be loaded")
        service.send(CannotLoad(f"{type(error).__name__}: {error}", 1))
        return
    serve(service, pipeline, stages)


def load(run: RunConfig, device: str, stages: list[tuple[str, float]]) -> Pipeline:
    """A pipeline that has measured a batch already and agrees with itself."""
    from ttsrl.scorers import memory
    from ttsrl.serving.pipeline import Pipeline

    memory.limit(device, run.reward.gpu_memory_utilization)
    pipeline = Pipeline(run, device, on_stage=lambda name, seconds: stages.append((name, seconds)))
    pipeline.warm_up()
    pipeline.self_test()
    return pipeline


def serve(service: Connection, pipeline: Pipeline, stages: list[tuple[str, float]]) -> None:
    """Answers batches, until a scorer hangs or the service goes.

    Raises when the device measures nothing any more: a new process may.
    """
    late_batches = 0
    while late_batches < LATE_BATCHES:
        stages.clear()
        try:
            utterances: list[Utterance] = service.recv()
        except EOFError:
            return
        outcomes = pipeline.score(utterances)
        kinds = {o.kind if isinstance(o, Failed) else None for o in outcomes}
        if kinds <= {"decode", "scorer"}:
            pipeline.self_test()
        late_batches = late_batches + 1 if "deadline" in kinds else 0
        service.send(Measured(outcomes, list(stages), last=late_batches == LATE_BATCHES))


def device_of(number: int, workers: int) -> str:
    """The GPU of this worker; without GPUs its share of the cores."""
    import torch

    if count := torch.cuda.device_count():
        return f"cuda:{number % count}"
    if workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, int(cores()) // workers))
    return "cpu"


def specification(run: RunConfig, pipeline: Pipeline) -> ServiceSpec:
    """What this process measures, and with which programs."""
    codec = pipeline.codec
    return ServiceSpec(
        spec_hash=pipeline.spec_hash,
        specification=pipeline.specification,
        versions=versions(),
        codec=run.codec,
        codebook_size=codec.codebook_size,
        sample_rate_hz=codec.sample_rate_hz,
        tokens_per_s=codec.tokens_per_s,
    )


def versions() -> dict[str, str]:
    """Distribution name -> version of the programs that decide a score."""
    found: dict[str, str] = {}
    for name in PROGRAMS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an engine that this image does without
    return found


if __name__ == "__main__":
    # Pickle looks the messages up by module: run as `__main__` they would be other classes.
    from ttsrl.serving import worker

    sys.exit(worker.main())
