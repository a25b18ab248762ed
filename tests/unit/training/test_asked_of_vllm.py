"""What vLLM is asked for with each rollout."""

from __future__ import annotations

import enum
import sys
from types import ModuleType

import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.training.asked_of_vllm import asked_of_vllm


class RequestOutputKind(enum.Enum):
    """As vLLM has it, which has no wheel for the machines that tests run on."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("vllm.sampling_params")
    module.__dict__["RequestOutputKind"] = RequestOutputKind
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_rollout_is_handed_over_once_without_its_text() -> None:
    asked = asked_of_vllm(load_run(TINY / "run.json"))
    assert asked["output_kind"] is RequestOutputKind.FINAL_ONLY
    assert asked["detokenize"] is False
    assert asked["flat_logprobs"] is True


def test_one_that_new_weights_may_interrupt_says_when_it_has_begun() -> None:
    apart = ["train.asynchronous={}", "train.gpus_per_node=2"]
    asked = asked_of_vllm(load_run(TINY / "run.json", apart))
    assert asked == {"detokenize": False, "flat_logprobs": True}
