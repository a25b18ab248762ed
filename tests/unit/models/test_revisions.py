"""A run's ids at one commit each: recorded when it begins, the same when it is resumed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.local_hub import LocalHub, folder_content, local_hub, python
from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.config.models import split_revision
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.report.provenance import provenance
from ttsrl.facts import models_in
from ttsrl.models.revisions import pinned_run
from ttsrl.storage.run_store import RunStore
from ttsrl.training.run_identity import check_run_identity

ID, COMMIT, OTHER = "some/policy", "a" * 40, "b" * 40
START = """
from ttsrl.config.load import load_run
from ttsrl.storage.run_store import RunStore
from ttsrl.training.run_identity import at_recorded_commit, check_run_identity
run = load_run("examples/tiny/run.json", ["model=some/policy", "storage={storage}"])
store = RunStore(run.storage, run.name)
run = at_recorded_commit(run, store)
check_run_identity(run, store)
print(run.model)
"""

CHECK = """
from ttsrl.config.load import load_run
from ttsrl.training.preflight import check_weights
check_weights(load_run("examples/tiny/run.json", ["model=some/policy"]))
"""


def tiny(*overrides: str) -> RunConfig:
    return load_run(TINY / "run.json", overrides)


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as hub:
        yield hub


def test_a_branch_that_moves_between_start_and_resume(hub: LocalHub, tmp_path: Path) -> None:
    first = hub.push(ID, folder_content(TINY / "policy"))
    start = START.format(storage=tmp_path / "storage")
    assert python(start, hub, tmp_path / "home") == f"{ID}@{first}"
    hub.push(ID, folder_content(TINY / "policy") | {"config.json": b"{}"})
    assert python(start, hub, tmp_path / "home") == f"{ID}@{first}"
    # on another machine, whose cache is empty
    assert python(start, hub, tmp_path / "elsewhere") == f"{ID}@{first}"


def test_the_policy_of_an_id_is_checked_as_a_folder_is(hub: LocalHub, tmp_path: Path) -> None:
    files = folder_content(TINY / "policy")
    cut = {"model.safetensors": files["model.safetensors"][:-1000]}
    hub.push(ID, files | cut)
    said = python(CHECK, hub, tmp_path / "home")
    assert "cannot be read" in said and "cut short" in said


def test_a_pin_that_is_added_is_the_same_run_and_another_commit_is_not(tmp_path: Path) -> None:
    storage = f"storage={tmp_path}"

    def check(model: str, codec: str = "some/codec") -> None:
        run = tiny(f"model={model}", f"codec={codec}", storage)
        check_run_identity(run, RunStore(run.storage, run.name))

    check(ID)  # by a release that recorded no commit
    check(f"{ID}@{COMMIT}", f"some/codec@{OTHER}")
    run = tiny(storage)
    store = RunStore(run.storage, run.name)
    assert (store.storage.read_json(store.run_json) or {})["model"] == f"{ID}@{COMMIT}"
    check(f"{ID}@{COMMIT}")
    with pytest.raises(BadInput, match="another configuration: model is"):
        check(f"{ID}@{OTHER}")
    with pytest.raises(BadInput, match="another configuration: model is"):
        check(f"some/other@{COMMIT}")


def test_what_was_recorded_is_not_asked_for_and_folders_stay(tmp_path: Path) -> None:
    run = tiny(f"model={ID}", 'reward.components=[{"type": "cer"}]')
    pinned = pinned_run(run, {"model": f"{ID}@{COMMIT}"})  # there is no hub to ask
    assert pinned.model == f"{ID}@{COMMIT}"
    assert models_in(pinned) == models_in(run) | {"model": f"{ID}@{COMMIT}"}
    assert pinned.model_copy(update={"model": ID}) == run
    assert provenance(pinned)["model"] == f"{ID}@{COMMIT}"


def test_a_judge_is_the_reward_s_model_at_any_revision(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the model that gives the reward"):
        tiny("reward.whisper.model=some/whisper", f"eval.judges[0].model=some/whisper@{COMMIT}")


def test_a_path_may_have_an_at_sign() -> None:
    assert split_revision("/data/x@y/model") == ("/data/x@y/model", None)
    assert split_revision("some/model@refs/pr/1") == ("some/model", "refs/pr/1")


REWARD = """
from ttsrl.config.load import load_run
from ttsrl.models.revisions import models_of_reward, pinned_reward
run = pinned_reward(load_run("examples/tiny/run.json", {overrides}), {{}})
print(*(f"{{key}}={{model}}" for key, model in models_of_reward(run).items()))
"""


def test_a_reward_service_tells_the_commits_of_its_models(hub: LocalHub, tmp_path: Path) -> None:
    """Of those that it loads: a Whisper that nothing asks for is not looked for."""
    codec = hub.push("some/codec", folder_content(TINY / "codec"))
    whisper = hub.push("some/whisper", folder_content(TINY / "whisper"))
    given = ["codec=some/codec", "reward.whisper.model=some/whisper", "model=no/policy"]
    told = python(REWARD.format(overrides=given), hub, tmp_path)
    assert told == f"codec=some/codec@{codec} reward.whisper.model=some/whisper@{whisper}"
    given = ["codec=some/codec", 'reward.components=[{"type":"rate"}]', "model=no/policy"]
    given.append("reward.whisper.model=no/whisper")
    told = python(REWARD.format(overrides=given), hub, tmp_path)
    assert told == f"codec=some/codec@{codec}"
