"""Which settings an evaluation samples with."""

import json
from typing import Any

import pytest

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.sampling import sampling_of
from ttsrl.records.sampling import Sampling


def run_with(family: str, *overrides: str) -> RunConfig:
    suites = [
        {"name": "seed", "type": "seed-tts-eval", "path": "meta.lst", "language": "zh"},
        {
            "name": "cv3",
            "type": "cv3-eval",
            "path": "zh",
            "language": "zh",
            "sampling": {"temperature": 1.0, "max_speech_tokens": 512},
        },
        {"name": "ours", "type": "jsonl", "path": "ours.jsonl", "language": "zh"},
    ]
    return load_run(
        "examples/tiny/run.json",
        [
            f"family={family}",
            f"eval.suites={json.dumps(suites)}",
            "rollout.top_p=0.9",
            "rollout.max_speech_tokens=512",
            *overrides,
        ],
    )


def test_held_out_texts_are_sampled_as_in_training_unless_the_evaluation_says_otherwise() -> None:
    run = run_with("llasa")
    as_trained = Sampling(temperature=1.0, top_p=0.9, top_k=-1, max_speech_tokens=512)
    assert sampling_of(run) == sampling_of(run, run.eval.suites[2]) == as_trained
    run = run_with("llasa", "eval.sampling.top_k=50", "eval.sampling.temperature=0.8")
    asked = Sampling(temperature=0.8, top_p=0.9, top_k=50, max_speech_tokens=512)
    assert sampling_of(run) == sampling_of(run, run.eval.suites[2]) == asked


@pytest.mark.parametrize(
    ("family", "top_p"), [("llasa", 1.0), ("cosyvoice2", 0.95), ("qwen2-cosy", 0.95)]
)
def test_published_suites_are_sampled_as_their_tables_were(family: str, top_p: float) -> None:
    run = run_with(family, "eval.sampling.temperature=0.3")
    published = Sampling(temperature=0.8, top_p=top_p, top_k=50, max_speech_tokens=2048)
    assert sampling_of(run, run.eval.suites[0]) == published
    changed = published.model_copy(update={"temperature": 1.0, "max_speech_tokens": 512})
    assert sampling_of(run, run.eval.suites[1]) == changed


def test_a_judge_that_computes_in_float32_alone_is_asked_for_nothing_else() -> None:
    judge = {"name": "j", "type": "ctc", "model": "examples/tiny/judge", "dtype": "bfloat16"}
    with pytest.raises(BadInput, match=r"judge 'j' is of type 'ctc', which computes in float32"):
        load_run("examples/tiny/run.json", [f"eval.judges={json.dumps([judge])}"])


@pytest.mark.parametrize(
    ("quality", "why"),
    [
        (
            [{"type": "dnsmos"}],
            "eval.quality 'dnsmos' is a component of the reward: use another",
        ),
        ([{"type": "distillmos"}, {"type": "distillmos"}], "eval.quality names a model twice"),
    ],
)
def test_a_quality_model_is_asked_once_and_is_not_the_reward_s(
    quality: list[dict[str, Any]], why: str
) -> None:
    components = json.dumps([{"type": "cer"}, {"type": "dnsmos"}])
    reward = f"reward.components={components}"
    with pytest.raises(BadInput, match=why):
        load_run("examples/tiny/run.json", [reward, f"eval.quality={json.dumps(quality)}"])
    on_purpose = json.dumps([{"type": "dnsmos", "used_in_reward": True}, {"type": "distillmos"}])
    run = load_run("examples/tiny/run.json", [reward, f"eval.quality={on_purpose}"])
    assert [one.type for one in run.eval.quality] == ["dnsmos", "distillmos"]
