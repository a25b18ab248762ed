"""A process that holds the models and measures batches, for the service that started it.

It is apart from the service so that a crash or a hang in native code costs one batch and a restart,
and so that several of them share the cores or GPUs of a machine behind one queue.
"""

from __future__ import annotations

import logging
import os
import signal
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.models.revisions import models_of_reward, pinned_reward
from ttsrl.runtime.machine import cores
from ttsrl.runtime.native_thread import abandon_native_threads
from ttsrl.runtime.reaper import end_with_parent
from ttsrl.serving.commits import known_commits
from ttsrl.serving.messages import CannotLoad, Loaded, Measured, WorkerPlace
from ttsrl.wire import Failed, ServiceSpec, Utterance

if TYPE_CHECKING:
    from ttsrl.serving.pipeline import Pipeline

logger = logging.getLogger(__name__)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LATE_BATCHES = 2
"""Batches in a row in which a scorer is late: its thread is taken for hung."""
PROGRAMS = ("ttsrl", "bentoml", "torch", "transformers", "faster-whisper", "ctranslate2", "jiwer")


def main(place: WorkerPlace, service: Connection) -> None:
    """Loads, says so, then answers each batch on the connection until its other end closes."""
    stay_until_the_service_ends()
    logging.basicConfig(format=f"[worker {place.number}] %(levelname)s %(name)s: %(message)s")
    logging.getLogger(known_commits.__module__).setLevel(logging.INFO)
    stages: list[tuple[str, float]] = []
    try:
        run = load_run(place.config)
        run = pinned_reward(run, place.models or known_commits(run))
        device = device_of(place.number, place.workers)
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
    abandon_native_threads(0)


def stay_until_the_service_ends() -> None:
    """Only the service decides when work ends: it drains on a signal that all processes get.

    When it is gone, however it went, so is this process.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    parent = parent_process()
    assert parent is not None and parent.pid is not None
    end_with_parent(parent.pid, signal.SIGKILL)


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
        last = late_batches == LATE_BATCHES
        service.send(Measured(outcomes, list(stages), pipeline.take_usage(), last))


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
        models=models_of_reward(run),
        codec=run.codec,
        codebook_size=codec.codebook_size,
        frame_tokens=pipeline.frame_tokens,
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
