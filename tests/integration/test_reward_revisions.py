"""Models that a reward service gets by their ids, whose branch moves while a run is under way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.local_hub import LocalHub, environment_of, folder_content, local_hub, python
from support.paths import TINY
from support.reward_server import (
    SMALL_BATCHES,
    RewardServer,
    StartRewards,
    free_port,
    metrics,
    post,
    utterances,
    wait_until,
    worker_pids,
)
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.serving.commits import known_commits
from ttsrl.storage.run_store import RunStore
from ttsrl.training.run_identity import check_reward_identity
from ttsrl.wire import ServiceSpec

CODEC, WHISPER = "some/codec", "some/whisper"
LOADED = """
from ttsrl.config.load import load_run
from ttsrl.models.revisions import models_of_reward, pinned_reward
from ttsrl.serving.commits import known_commits
run = load_run({config!r}, {overrides})
print(models_of_reward(pinned_reward(run, known_commits(run))))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with local_hub() as hub:
        hub.push(CODEC, folder_content(TINY / "codec"))
        hub.push(WHISPER, folder_content(TINY / "whisper"))
        yield hub


@pytest.fixture(scope="module")
def server(
    hub: LocalHub, start_reward_service: StartRewards, tmp_path_factory: pytest.TempPathFactory
) -> RewardServer:
    """It has loaded its models, and then their branches have moved."""
    folder = tmp_path_factory.mktemp("machine")
    models = [f"codec={CODEC}", f"reward.whisper.model={WHISPER}", f"storage={folder}/storage"]
    server = start_reward_service(
        [*SMALL_BATCHES, *models], environment=environment_of(hub, folder / "home")
    )
    server.wait_ready()
    for name, folder in ((CODEC, TINY / "codec"), (WHISPER, TINY / "whisper")):
        files = folder_content(folder)
        hub.push(name, files | {"config.json": files["config.json"] + b" "})
    return server


def spec_of(server: RewardServer) -> ServiceSpec:
    return ServiceSpec.model_validate_json(httpx.get(f"{server.url}/v1/spec").content)


def loaded(server: RewardServer, hub: LocalHub, home: Path, *overrides: str) -> str:
    """Models of a service that starts now, with an empty cache."""
    code = LOADED.format(config=str(server.config), overrides=list(overrides))
    return python(code, hub, home).splitlines()[-1]


def test_a_worker_that_is_replaced_has_the_models_of_the_one_before(server: RewardServer) -> None:
    before = spec_of(server)
    assert all("@" in before.models[key] for key in ("codec", "reward.whisper.model"))
    (lost,) = worker_pids(server)
    os.kill(lost, signal.SIGKILL)
    post(server, utterances(1))  # finds out
    died = 'ttsrl_reward_workers_lost_total{"reason": "died"}'
    wait_until(lambda: (now := metrics(server))["ttsrl_reward_workers{}"] == now.get(died) == 1)
    server.wait_ready()
    assert spec_of(server) == before


def test_a_replica_has_the_models_of_those_that_serve(
    server: RewardServer, hub: LocalHub, tmp_path: Path
) -> None:
    served = str(spec_of(server).models)
    elsewhere = f"storage={tmp_path}/other"
    assert loaded(server, hub, tmp_path / "home", elsewhere) == served
    alone = f"reward.url=http://127.0.0.1:{free_port()}"
    newest = loaded(server, hub, tmp_path / "home", elsewhere, alone)
    assert f"{WHISPER}@{hub.main[WHISPER]}" in newest and newest != served
    given = f"reward.whisper.model={WHISPER}@{hub.main[WHISPER]}"
    assert f"{WHISPER}@{hub.main[WHISPER]}" in loaded(server, hub, tmp_path / "home", given)


def test_a_service_that_starts_anew_has_the_models_that_its_run_began_with(
    server: RewardServer, hub: LocalHub, tmp_path: Path
) -> None:
    run, spec = server.run, spec_of(server)
    check_reward_identity(run, spec, RunStore(run.storage, run.name))
    alone = f"reward.url=http://127.0.0.1:{free_port()}"
    assert loaded(server, hub, tmp_path / "home", alone) == str(spec.models)
    # Another run that is served there begins anew.
    assert hub.main[WHISPER] in loaded(server, hub, tmp_path / "home", alone, "name=another")


def test_a_run_that_is_served_moved_models_is_told_which_to_serve(
    server: RewardServer, hub: LocalHub
) -> None:
    run, spec = server.run, spec_of(server)
    store = RunStore(run.storage, run.name)
    check_reward_identity(run, spec, store)
    moved = f"{WHISPER}@{hub.main[WHISPER]}"
    other = spec.model_copy(
        update={"spec_hash": "0" * 64, "models": {**spec.models, "reward.whisper.model": moved}}
    )
    began = spec.models["reward.whisper.model"]
    with pytest.raises(
        BadInput, match=rf"serve reward.whisper.model = {began} \(it serves {moved}\)"
    ):
        check_reward_identity(run, other, store)


def test_where_no_model_can_move_nobody_is_asked(tmp_path: Path) -> None:
    run = load_run(TINY / "run.json", [f"storage={tmp_path}", "reward.url=http://[::1"])
    assert known_commits(run) == {}
