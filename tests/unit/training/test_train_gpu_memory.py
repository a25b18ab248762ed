"""The estimate of a GPU's memory against what was measured, and what it refuses."""

import json
from types import SimpleNamespace

import pynvml
import pytest

from support.paths import ROOT, TINY
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.runtime.doctor import examine
from ttsrl.runtime.machine import GIB, Gpu, driver_version, gpus
from ttsrl.training.gpu_memory import Shape, check_gpus, need_of

TINY_RUN = TINY / "run.json"
RECIPES = ROOT / "examples/recipes"
LLASA_1B = Shape(
    layers=16,
    hidden=2048,
    intermediate=8192,
    kv=512,
    vocabulary=193_800,
    tied=True,
    model_type="llama",
)
QWEN2_COSY = Shape(
    layers=24,
    hidden=896,
    intermediate=4864,
    kv=128,
    vocabulary=158_592,
    tied=False,
    model_type="qwen2",
)
A6000, A100_80, RTX_4090 = 47.5 * GIB, 79.2 * GIB, 23.6 * GIB
"""What nvidia-smi calls the total of each."""


def gpu(total: float, used: float = 0.5 * GIB) -> Gpu:
    return Gpu("0 (NVIDIA X)", int(total), int(total - used))


def recipe(name: str, *overrides: str) -> RunConfig:
    return load_run(RECIPES / f"{name}.json", overrides)


@pytest.mark.parametrize(
    ("rollouts", "response", "compiled", "peak_gib"),
    [
        (8, 2048, False, 55.5),
        (16, 512, False, 41.8),
        (4, 1704, False, 36.8),  # padded to the longest: 1768 tokens
        (4, 2496, False, 40.6),
        (16, 2496, False, 89.9),
        (16, 2496, True, 70.0),
    ],
)
def test_the_estimate_is_what_torchs_allocator_held(
    rollouts: int, response: int, compiled: bool, peak_gib: float
) -> None:
    run = load_run(
        TINY_RUN,
        [
            f"train.max_tokens_per_micro_batch={rollouts * (64 + response)}",
            "train.prompts_per_step=8",
            "rollout.group_size=16",
            f"train.compile_layers={json.dumps(compiled)}",
            "rollout.max_prompt_tokens=64",
            f"rollout.max_speech_tokens={response}",
        ],
    )
    assert need_of(run, LLASA_1B, checkpointing=False).allocated / GIB == pytest.approx(
        peak_gib, rel=0.1
    )


def test_the_estimate_is_what_trainer_and_vllm_held_while_vllm_spoke() -> None:
    """A LoRA run on one NVIDIA H100: 8.0 GiB the trainer, 8.7 GiB vLLM, whose share was 7.2 GiB."""
    need = need_of(recipe("llasa-clap-style"), LLASA_1B, checkpointing=True)
    assert need.generation(7.18 * GIB) / GIB == pytest.approx(8.0 + 8.7, rel=0.1)


def test_the_estimate_is_what_both_held_while_adapters_were_folded_in() -> None:
    """The same run: 10.0 GiB and 1.5 more that it asked for, with verl's bucket of 2 GiB; 4.6."""
    need = need_of(recipe("llasa-clap-style"), LLASA_1B, checkpointing=True)
    bucket_saved = 1.0
    assert need.handover / GIB == pytest.approx(10.0 + 1.5 - bucket_saved + 4.6, rel=0.1)


@pytest.mark.parametrize(
    ("name", "total", "reward_service"),
    [
        ("llasa-channel-io", A6000, 0.0),
        ("llasa-deep-unlearning", A100_80, 16 * GIB),
        ("llasa-clap-style", RTX_4090, 7 * GIB),
        ("cosyvoice2-official", A100_80, 16 * GIB),
        ("cosyvoice2-dapo", A100_80, 16 * GIB),
    ],
)
def test_a_recipe_fits_the_gpu_that_its_authors_had(
    name: str, total: float, reward_service: float
) -> None:
    shape = LLASA_1B if name.startswith("llasa") else QWEN2_COSY
    run = recipe(name)
    check_gpus(run, shape, [gpu(total, 0.5 * GIB + reward_service)] * run.train.gpus_per_node)


def test_all_weights_do_not_fit_where_adapters_do() -> None:
    with pytest.raises(BadInput, match=r"updating .*Llasa-1B.* needs about .*train\.lora"):
        check_gpus(recipe("llasa-clap-style", "train.lora=null"), LLASA_1B, [gpu(RTX_4090)])


def activations(run: RunConfig, *, checkpointing: bool = False) -> float:
    return need_of(run, LLASA_1B, checkpointing=checkpointing).activations


def test_checkpointing_and_a_smaller_micro_batch_take_less() -> None:
    run = recipe("llasa-channel-io")
    smaller = recipe("llasa-channel-io", "train.max_tokens_per_micro_batch=5120")
    assert activations(smaller) == activations(run) / 2
    assert activations(run, checkpointing=True) < activations(run) / 5


def test_a_pass_is_no_larger_than_an_update() -> None:
    run = recipe("llasa-deep-unlearning", "train.max_tokens_per_micro_batch=1000000")
    assert activations(run) == 8 * (512 + 2048) * 16 * LLASA_1B.layer_bytes_a_token(compiled=True)


@pytest.mark.parametrize(
    ("said", "total", "decided"),
    [(None, A6000, False), (None, 28 * GIB, True), (True, A100_80, True), (False, A6000, False)],
)
def test_activations_are_computed_twice_where_a_gpu_cannot_hold_them(
    said: bool | None, total: float, decided: bool
) -> None:
    run = recipe(
        "llasa-channel-io",
        f"train.gradient_checkpointing={json.dumps(said)}",
        "rollout.gpu_memory_utilization=0.4",
    )
    assert check_gpus(run, LLASA_1B, [gpu(total)] * 2) is decided


def test_the_smallest_gpu_decides() -> None:
    run = recipe("llasa-channel-io", "rollout.gpu_memory_utilization=0.4")
    assert check_gpus(run, LLASA_1B, [gpu(A100_80), gpu(28 * GIB)])


def test_keeping_activations_by_force_is_refused_where_they_do_not_fit() -> None:
    forced = recipe("llasa-channel-io", "train.gradient_checkpointing=false")
    with pytest.raises(BadInput, match=r"10240 tokens .*unset train\.gradient_checkpointing"):
        check_gpus(forced, LLASA_1B, [gpu(28 * GIB)] * 2)


def test_vllm_may_take_neither_too_little_nor_what_the_trainer_holds() -> None:
    with pytest.raises(BadInput, match=r"gpu_memory_utilization = 0.05 gives vLLM .*raise it"):
        few = recipe("llasa-clap-style", "rollout.gpu_memory_utilization=0.05")
        check_gpus(few, LLASA_1B, [gpu(RTX_4090)])
    with pytest.raises(BadInput, match=r"generating needs about .*lower rollout"):
        much = recipe("llasa-clap-style", "rollout.gpu_memory_utilization=0.9")
        check_gpus(much, LLASA_1B, [gpu(RTX_4090)])


def test_new_weights_need_room_beside_those_that_vllm_has() -> None:
    small = recipe("llasa-clap-style", "rollout.gpu_memory_utilization=0.2")
    with pytest.raises(BadInput, match=r"giving vLLM new weights needs about 15\.3 GiB .*lower"):
        check_gpus(small, LLASA_1B, [gpu(RTX_4090, 9 * GIB)])


def test_a_gpu_that_only_generates_may_give_vllm_nearly_all() -> None:
    apart = ["train.gpus_per_node=2", "train.asynchronous.staleness=1"]
    cards = [gpu(A100_80)] * 2
    wide = "rollout.gpu_memory_utilization=0.8"
    check_gpus(recipe("llasa-channel-io", *apart, wide), LLASA_1B, cards)
    with pytest.raises(BadInput, match=r"generating needs about .*; lower it"):
        full = "rollout.gpu_memory_utilization=0.98"
        check_gpus(recipe("llasa-channel-io", *apart, full), LLASA_1B, cards)


def test_a_gpu_that_others_use_has_less() -> None:
    with pytest.raises(BadInput, match=r"20\.0 GiB of its 47\.5 GiB are free"):
        check_gpus(recipe("llasa-channel-io"), LLASA_1B, [gpu(A6000, 27.5 * GIB)])


def test_what_the_reward_service_may_still_take_is_not_free() -> None:
    shared = recipe("llasa-clap-style", "reward.gpu_memory_utilization=0.6")
    with pytest.raises(
        BadInput, match=r"8\.4 GiB of .* left by reward\.gpu_memory_utilization = 0"
    ):
        check_gpus(shared, LLASA_1B, [gpu(RTX_4090)])


class DriverOfThree:
    """NVIDIA's management library on a machine with three GPUs, since this one has none."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.opened = 0
        for name, answer in {
            "nvmlInit": lambda: self._open(1),
            "nvmlShutdown": lambda: self._open(-1),
            "nvmlDeviceGetCount": lambda: 3,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetUUID": lambda index: f"GPU-{index}f2c",
            "nvmlDeviceGetName": lambda index: "NVIDIA RTX A6000",
            "nvmlDeviceGetMemoryInfo": lambda index: SimpleNamespace(
                total=49140 << 20, free=48000 - 1000 * index << 20
            ),
            "nvmlSystemGetDriverVersion": lambda: "570.86",
        }.items():
            patch.setattr(pynvml, name, answer)

    def _open(self, by: int) -> None:
        self.opened += by


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> DriverOfThree:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return DriverOfThree(monkeypatch)


def test_gpus_are_those_that_the_process_may_use(
    driver: DriverOfThree, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [gpu.free_bytes // 2**20 for gpu in gpus()] == [48000, 47000, 46000]
    assert gpus()[0] == Gpu("0 (NVIDIA RTX A6000)", 49140 << 20, 48000 << 20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-0f2c")
    assert [gpu.free_bytes // 2**20 for gpu in gpus()] == [46000, 48000]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []
    assert driver.opened == 0


def test_the_doctor_names_each_gpu_and_the_driver(driver: DriverOfThree) -> None:
    [found] = [check for check in examine() if check.name == "GPU"]
    assert found.state == "ok"
    assert found.found.startswith("0 (NVIDIA RTX A6000), 48.0 GiB; 1 (NVIDIA RTX A6000), 48.0 GiB")
    assert found.found.endswith("driver 570.86")


@pytest.mark.parametrize(
    "error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse() -> None:
        raise pynvml.NVMLError(error)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert gpus() == []
    assert driver_version() is None
