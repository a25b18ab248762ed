"""Facts about configuration: every field has them, and what is asked of them stays what it was."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from examples.tiny.domain import HERE
from ttsrl.config.load import load_run
from ttsrl.config.models import check_models
from ttsrl.config.schema import RunConfig
from ttsrl.config.training import RolloutConfig
from ttsrl.errors import BadInput
from ttsrl.facts import (
    InEvaluation,
    InReward,
    Location,
    ModelPath,
    OfDeployment,
    OnResume,
    Setting,
    dump_where,
    models_in,
    walk,
    walk_class,
    walk_raw,
)
from ttsrl.reward.config import RewardConfig
from ttsrl.reward.specification import configured, hash_of

EXAMPLES = HERE.parent

WORDS_OF_PATHS = {
    *("model", "models", "encoder", "codec", "voice", "voices", "head", "vocoder", "tokenizer"),
    *("checkpoint", "path", "file", "folder", "storage"),
}
NO_PATHS = {
    "reward.components.*.voice",
    "reward.components.*.served_model",
    "eval.quality.*.served_model",
}
"""Of the speaker component: the name of a speaker, whose recording lies in `voices`. Of an
audio-LLM: what its server calls it."""


def without_location(config: type[BaseModel]) -> Iterator[str]:
    """Settings whose names are those of paths, whose values are strings, and that have no fact."""
    for setting in walk_class(config):
        words = set(str(setting.key[-1]).split("_"))
        is_text = str in (setting.annotation, *getattr(setting.annotation, "__args__", ()))
        if words & WORDS_OF_PATHS and is_text and not setting.fact(Location):
            yield setting.name


def decisions(setting: Setting) -> int:
    """How often it is decided whether a resumed run may change it."""
    return sum(isinstance(fact, OnResume) for fact in setting.facts)


class WithoutFacts(RolloutConfig):
    vocoder_model: str | None = None


class RunWithoutFacts(RunConfig):
    rollout: WithoutFacts = WithoutFacts()  # pyright: ignore[reportIncompatibleVariableOverride]


def test_a_field_that_is_named_like_a_path_says_what_lies_there() -> None:
    assert set(without_location(RunConfig)) == NO_PATHS
    assert set(without_location(RunWithoutFacts)) - NO_PATHS == {"rollout.vocoder_model"}


def test_for_every_field_it_is_decided_once_whether_a_resumed_run_may_change_it() -> None:
    assert [s.name for s in walk_class(RunConfig) if decisions(s) != 1] == []
    undecided = [s.name for s in walk_class(RunWithoutFacts) if decisions(s) != 1]
    assert undecided == ["rollout.vocoder_model"]


def named(*facts: Any) -> set[str]:
    """Settings that have one of these facts."""
    return {s.name for s in walk_class(RunConfig) if any(s.fact(type(f)) == f for f in facts)}


def test_what_a_resumed_run_may_change() -> None:
    changeable = named(OnResume(may_change=True))
    sections = ("eval.", "guards.", "trackers.")
    assert {name for name in changeable if not name.startswith(sections)} == {
        "reward.batch_size",
        "reward.queue_size",
        "reward.sample_deadline_s",
        "reward.scorer_deadline_s",
        "reward.token_file",
        "reward.url",
        "reward.worker_deadline_s",
        "reward.workers",
        "rollout.gpu_memory_utilization",
        "storage",
        "train.asynchronous.rollout_gpus_per_node",
        "train.compile_layers",
        "train.gpus_per_node",
        "train.gradient_checkpointing",
        "train.keep_pairs",
        "train.max_checkpoints",
        "train.max_generation_batches",
        "train.max_tokens_per_micro_batch",
        "train.metrics_port",
        "train.nodes",
        "train.save_beside",
        "train.save_every",
        "train.step_deadline_s",
        "train.steps",
        "train.termination_grace_s",
    }
    everything = {setting.name for setting in walk_class(RunConfig)}
    assert {name for name in everything if name.startswith("eval.")} <= changeable


def test_what_decides_a_reward_is_never_changed_on_resume() -> None:
    decides = named(InReward("value"), InReward("digest"), InReward("resolved"))
    assert {"codec", "voice", "reward.whisper.model", "reward.components.*.voices"} <= decides
    assert {"reward.whisper.dtype", "reward.gates.slack_s", "reward.composition"} <= decides
    assert decides & named(OnResume(may_change=True), OfDeployment()) == set()
    assert named(ModelPath("scorer")) <= named(InReward("digest"))


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (
            "tiny/run.json",
            "e8177cfaf059964e61f652c9bf52fc0fe44e2ad93d7ee4b77eb77d5d2b23513e",
        ),
        (
            "recipes/cosyvoice2-dapo.json",
            "e44056dcb3981074bdd5e12ffa427944cf213a56c733f1b51b84b6ce4bfe39a0",
        ),
        (
            "recipes/cosyvoice2-official.json",
            "8871428549b562b344792335a85ebb34e3f204a8918c2f2e284ff84c3337295f",
        ),
        (
            "recipes/llasa-channel-io.json",
            "e8177cfaf059964e61f652c9bf52fc0fe44e2ad93d7ee4b77eb77d5d2b23513e",
        ),
        (
            "recipes/llasa-clap-style.json",
            "b33d8cb27261eacfbad39b631adcdcf152fdeb15b135362fe3f405338baaa380",
        ),
        (
            "recipes/llasa-deep-unlearning.json",
            "b10f5a8f362e084d280f40252c8e05c3b7ad918f5c7cb834e64f6a7aa8be28d6",
        ),
    ],
)
def test_the_rewards_of_the_examples_keep_their_hashes(run: str, expected: str) -> None:
    """A published run is resumed only with rewards of the specification that it began with."""
    assert hash_of(configured(load_run(EXAMPLES / run).reward)) == expected


def test_a_reward_of_every_component_keeps_its_hash() -> None:
    plain = (
        "cer wer nll pinyin_wer parakeet_cer rate pitch_spread energy_spread voiced_share pauses "
        "snr clipping clicks reverb dnsmos distillmos style"
    )
    components = [
        *({"type": name} for name in plain.split()),
        {"type": "speaker", "voices": "voices", "voice": "ann"},
        {"type": "classifier", "model": "emotions", "labels": ["happy"]},
        {"type": "preference", "model": "head", "encoder": "encoder", "floor": 0.1},
    ]
    reward = RewardConfig.model_validate(
        {
            "whisper": {"model": "w", "mode": "channel-io", "rows": 8},
            "components": components,
            "composition": "product",
            "gates": {"slack_s": 2},
            "batch_size": 7,
            "codec_precision": "bfloat16",
        }
    )
    expected = "2251eab350e1816b87e66547f2cb772dba8e596075ca30f2b9250984d932aa60"
    assert hash_of(configured(reward)) == expected


def test_what_an_evaluation_depends_on_of_its_run() -> None:
    run = load_run(HERE / "run.json")
    assert dump_where(run, lambda setting: setting.fact(InEvaluation) is not None) == {
        "eval": {"seeds": [0], "greedy": True, "batch_size": 64},
    }


COMPONENTS = [
    {"type": "cer"},
    {"type": "speaker", "voices": "voices"},
    {"type": "preference", "model": "head", "encoder": "encoder"},
]
SUITE = {
    **{"name": "s", "type": "jsonl", "path": "list.jsonl", "language": "en"},
    **{"speaker_model": "wavlm", "judges": [{"name": "j", "type": "ctc", "model": "listener"}]},
}


def run_with(components: list[Any] = COMPONENTS, suites: list[Any] | None = None) -> RunConfig:
    raw = {
        **{"name": "r", "model": "policy", "codec": "codec", "voice": "voice.wav"},
        "data": {"texts": "texts.jsonl"},
        "train": {"steps": 3, "lora": {}},
        "reward": {"whisper": {"model": "whisper"}, "components": components},
        "eval": {
            "judges": [{"name": "j", "type": "ctc", "model": "judge"}],
            "suites": [SUITE] if suites is None else suites,
        },
    }
    return RunConfig.model_validate(raw)


def test_the_models_of_a_run_are_all_that_it_names() -> None:
    run = run_with()
    assert models_in(run) == {
        "model": "policy",
        "codec": "codec",
        "voice": "voice.wav",
        "reward.whisper.model": "whisper",
        "reward.components[1].model": "microsoft/wavlm-base-plus-sv",
        "reward.components[1].voices": "voices",
        "reward.components[2].model": "head",
        "reward.components[2].encoder": "encoder",
        "eval.judges[0].model": "judge",
        "eval.suites[0].judges[0].model": "listener",
        "eval.suites[0].speaker_model": "wavlm",
    }
    assert models_in(run, "policy", "judge") == {
        "model": "policy",
        "eval.judges[0].model": "judge",
        "eval.suites[0].judges[0].model": "listener",
    }
    without = models_in(run_with([{"type": "preference", "model": "head"}], suites=[]))
    assert {*without} >= {"reward.components[0].model"} and "encoder" not in str(without)


@pytest.mark.parametrize(
    ("key", "components"),
    [
        ("reward.components[0].encoder", [COMPONENTS[2] | {"encoder": "/no/encoder"}]),
        ("reward.components[0].voices", [COMPONENTS[1] | {"voices": "/no/voices"}]),
    ],
)
def test_models_that_are_not_there_are_named_by_their_keys(key: str, components: list[Any]) -> None:
    with pytest.raises(BadInput, match=rf"{re.escape(key)} = /no/\w+: there is no such folder"):
        check_models(models_in(run_with(components)))


def test_a_walk_goes_through_lists_unions_and_optional_sections() -> None:
    settings = {setting.name: setting for setting in walk(run_with())}
    assert settings["train.lora.rank"].value == 16
    assert settings["train.adam_betas"].value == [0.9, 0.999]
    assert settings["data.prefix"].value is None
    assert settings["reward.components[0].beta"].fact(InReward) == InReward("value")
    assert settings["reward.components[2].model"].fact(InReward) == InReward("digest")
    assert settings["eval.suites[0].path"].fact(OnResume) == OnResume(may_change=True)
    assert not any(name.startswith("data.prefix.") for name in settings)
    declared = {setting.name for setting in walk_class(RunConfig)}
    assert {"data.prefix.min_s", "train.lora.rank", "reward.components.*.beta"} <= declared


def test_a_walk_through_json_takes_what_is_there_valid_or_not() -> None:
    raw = {
        "model": 7,
        "no_such_key": 1,
        "data": "texts",
        "reward": {"components": [None, {"type": "preference", "encoder": "e"}, {"type": "no"}]},
        "eval": {"judges": "none", "suites": [{"judges": [{"model": "m"}]}]},
    }
    found = {s.name: s.value for s in walk_raw(RunConfig, raw) if s.fact(Location)}
    assert found == {
        "model": 7,
        "reward.components[1].encoder": "e",
        "eval.suites[0].judges[0].model": "m",
    }


def test_a_dump_holds_what_is_wanted_and_no_empty_section() -> None:
    run = run_with()
    assert dump_where(run, lambda setting: True) == run.model_dump(mode="json")
    scorers = dump_where(run, lambda setting: setting.fact(ModelPath) == ModelPath("scorer"))
    assert scorers == {
        "reward": {
            "whisper": {"model": "whisper"},
            "components": [
                {"model": "microsoft/wavlm-base-plus-sv"},
                {"model": "head", "encoder": "encoder"},
            ],
        }
    }


def test_paths_beside_a_runs_file_are_found_wherever_they_are_named(tmp_path: Path) -> None:
    for name in ("encoder", "voices", "listener", "wavlm", "list.jsonl", "voice.wav"):
        (tmp_path / name).touch()
    file = tmp_path / "run.json"
    file.write_text(run_with().model_dump_json())
    found = models_in(load_run(file)).values()
    assert {model for model in found if model.startswith(str(tmp_path))} == {
        str(tmp_path / name) for name in ("encoder", "voices", "listener", "wavlm", "voice.wav")
    }
    assert load_run(file).eval.suites[0].path == str(tmp_path / "list.jsonl")
