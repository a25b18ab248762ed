"""Idle shares of GPUs. NVML is a stand-in: the machines that run these tests have no GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pynvml
import pytest
import ray

from ttsrl.training import gpu_idle
from ttsrl.training.gpu_idle import GpusOfRun, GpuWatch

BUSY = {0: [100, 50, 30], 1: [0, 0, 0], 2: [10, 10, 10]}
"""GPU -> its utilisations in per cent, one a sample."""


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    left: dict[int, Iterator[int]] = {number: iter(values) for number, values in BUSY.items()}

    def utilisation(handle: int) -> SimpleNamespace:
        try:
            return SimpleNamespace(gpu=next(left[handle]))
        except StopIteration:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED) from None

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(BUSY))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: f"GPU-{handle}abc")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", utilisation)
    monkeypatch.setattr(gpu_idle, "EVERY_S", 0.001)


def sampled(watch: GpuWatch, samples: int) -> None:
    deadline = time.monotonic() + 120
    while any(len(busy) < samples for busy in watch._busy.values()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_idle_share_is_what_the_samples_leave(three_gpus: None) -> None:
    watch = GpuWatch(["0", "GPU-1"], "node-1:")
    sampled(watch, 3)
    assert watch.take() == {"node-1:0": pytest.approx(0.4), "node-1:1": 1.0}
    assert watch.take() == {}


def test_without_a_driver_or_workers_there_is_no_figure() -> None:
    assert GpuWatch(["0"]).take() == {}
    assert GpusOfRun([]).take() == {}
    assert not ray.is_initialized()  # nothing was asked, and no Ray started for it
