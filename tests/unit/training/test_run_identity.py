from pathlib import Path

import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.reward.specification import hash_of
from ttsrl.storage.run_store import RunStore
from ttsrl.training.run_identity import check_reward_identity, check_run_identity
from ttsrl.wire import ServiceSpec

TINY_RUN = TINY / "run.json"


def test_a_name_taken_by_another_configuration_is_refused(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path / "storage"), "run")
    check_run_identity(load_run(TINY_RUN), store)
    operation = ["train.steps=99", "train.metrics_port=9400", "reward.workers=2"]
    machines = ["train.gpus_per_node=2", "train.nodes=2"]
    check_run_identity(load_run(TINY_RUN, operation + machines), store)  # the same run
    with pytest.raises(BadInput, match=r"train\.learning_rate is 0\.0004 there, 0\.001 here"):
        check_run_identity(load_run(TINY_RUN, ["train.learning_rate=0.001"]), store)
    with pytest.raises(BadInput, match=r"configuration: verl\.a is not set there, 1 here"):
        check_run_identity(load_run(TINY_RUN, ['verl={"a": 1}']), store)
    with pytest.raises(BadInput, match=r"train\.prompts_per_step is 24 there, 16 here"):
        check_run_identity(load_run(TINY_RUN, ["train.prompts_per_step=16"]), store)
    with_key = RunStore(str(tmp_path / "storage"), "with a key of verl")
    check_run_identity(load_run(TINY_RUN, ['verl={"a": 1}']), with_key)
    with pytest.raises(BadInput, match=r"configuration: verl\.a is 1 there, not set here"):
        check_run_identity(load_run(TINY_RUN), with_key)


def measuring(**specification: object) -> ServiceSpec:
    return ServiceSpec(
        spec_hash=hash_of(specification),
        specification=specification,
        versions={},
        codec="codec",
        codebook_size=8,
        sample_rate_hz=16_000,
        tokens_per_s=50.0,
    )


def test_a_run_keeps_the_reward_that_it_began_with(tmp_path: Path) -> None:
    run, store = load_run(TINY_RUN), RunStore(str(tmp_path / "storage"), "run")
    began_with = measuring(whisper="digest", gates={"slack_s": 1.0})
    check_reward_identity(run, began_with, store)
    check_reward_identity(run, began_with, store)  # resumed
    assert store.storage.read_json(store.reward_json) == began_with.model_dump()
    with pytest.raises(BadInput, match='whisper is "digest" there, "other" here; ') as refused:
        check_reward_identity(run, measuring(whisper="other", gates={"slack_s": 1.0}), store)
    assert began_with.spec_hash in str(refused.value)
    assert "slack_s" not in str(refused.value)
    with pytest.raises(BadInput, match=r"gates\.slack_s is 1\.0 there, 2\.0 here"):
        check_reward_identity(run, measuring(whisper="digest", gates={"slack_s": 2.0}), store)
