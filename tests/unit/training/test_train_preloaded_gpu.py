"""What a run on GPUs imports once: nothing of it uses CUDA, and forks find what they need."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from ttsrl.training import preloaded_gpu
from ttsrl.training.preloaded_gpu import (
    READ_ONCE,
    before_import,
    capability_by_nvml,
    fits_fork,
    know_model,
    leave_nvml,
)


def test_variables_of_the_user_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in READ_ONCE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    told = before_import()
    assert told["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert told["OMP_NUM_THREADS"] == "1"
    assert told["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"


def test_nvml_is_left_by_all_who_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [1, 2, 3]

    def shutdown() -> int:
        return 0 if users and users.pop() else pynvml.NVML_ERROR_UNINITIALIZED

    nvml = SimpleNamespace(nvmlShutdown=shutdown)
    monkeypatch.setattr(preloaded_gpu.ctypes, "CDLL", lambda name: nvml)
    leave_nvml()
    assert users == []


def test_where_there_is_no_nvml_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def missing(name: str) -> None:
        asked.append(name)
        raise OSError(name)

    monkeypatch.setattr(preloaded_gpu.ctypes, "CDLL", missing)
    leave_nvml()
    assert asked == ["libnvidia-ml.so.1"]


def test_the_capability_is_asked_of_nvml_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: f"GPU {index}")
    capability = {"GPU 0": [9, 0]}
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCudaComputeCapability", capability.__getitem__)
    by_cuda, initialise = torch.cuda.get_device_capability, torch.cuda._lazy_init
    with capability_by_nvml():
        with pytest.raises(RuntimeError, match="CUDA is not initialised"):
            torch.cuda.current_device()
        assert torch.cuda.get_device_capability() == torch.cuda.get_device_capability(0) == (9, 0)
    assert torch.cuda.get_device_capability is by_cuda
    assert torch.cuda._lazy_init is initialise


def test_the_capability_is_asked_of_cuda_where_nvml_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    by_cuda = torch.cuda.get_device_capability
    with capability_by_nvml():
        assert torch.cuda.get_device_capability is by_cuda


class Registry:
    """vLLM's, of classes that it has not imported."""

    def __init__(self) -> None:
        known = SimpleNamespace(load_model_cls=lambda: "the class")
        self.models: dict[str, Any] = {"Known": known, "Another": known}
        self.registered: dict[str, Any] = {}

    def register_model(self, name: str, model: Any) -> None:
        self.registered[name] = model


def test_the_policy_s_class_is_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vllm, registry = ModuleType("vllm"), Registry()
    vllm.ModelRegistry = registry  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(preloaded_gpu.sys.modules, "vllm", vllm)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"architectures": ["Known", "Unknown"]}))
    know_model(tmp_path)
    assert registry.registered == {"Known": "the class"}
    config.write_text("{}")
    know_model(tmp_path)


@pytest.fixture
def imported_with(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment that a process imports with, and its forks have."""
    variables = before_import()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: False)
    return variables


def test_a_fork_forgets_what_is_known_of_the_first_gpu(
    monkeypatch: pytest.MonkeyPatch, imported_with: dict[str, str]
) -> None:
    forgotten = list[str]()
    asks = SimpleNamespace(cache_clear=lambda: forgotten.append("capability"))
    platform = SimpleNamespace(CudaPlatform=SimpleNamespace(get_device_capability=asks))
    monkeypatch.setitem(preloaded_gpu.sys.modules, "vllm.platforms.cuda", platform)
    assert fits_fork(imported_with)
    assert forgotten == ["capability"]


@pytest.mark.parametrize("name", sorted(READ_ONCE))
def test_a_program_with_other_variables_is_not_forked(
    monkeypatch: pytest.MonkeyPatch, imported_with: dict[str, str], name: str
) -> None:
    assert fits_fork(imported_with)
    monkeypatch.setenv(name, "another")
    assert not fits_fork(imported_with)


def test_nothing_is_forked_that_could_not_use_cuda(
    monkeypatch: pytest.MonkeyPatch, imported_with: dict[str, str]
) -> None:
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    assert not fits_fork(imported_with)
