"""A real Prometheus scrapes the real reward service and the real trainer's exporter; every panel of
every dashboard must have series there, and every rule must be evaluated.

Exporters of Kubernetes are not on this machine: their series come from cluster_metrics.txt.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
import yaml

from examples.tiny.word_tokens import say
from monitoring.__main__ import BOARDS, main
from monitoring.check import QueryResult, answers
from support.paths import ROOT
from support.prometheus_server import prometheus, release_rules
from support.reward_server import TINY_RUN, RewardServer, free_port
from ttsrl.client.reward_client import score_blocking
from ttsrl.config.load import load_run
from ttsrl.records.checkpoint import CheckpointPublished
from ttsrl.records.during import ChangeEstimate, DuringTrainingState
from ttsrl.records.evaluation import AdaptationFigure, ReportJudge
from ttsrl.records.rollout import Rollout
from ttsrl.reward.config import RewardConfig
from ttsrl.storage.run_store import RunStore
from ttsrl.training.follower import Follower
from ttsrl.training.guarding import GuardWatch
from ttsrl.training.metrics import HeldOut, TrainMetrics, serve
from ttsrl.training.step_log import StepLog
from ttsrl.wire import Utterance

RELEASE = {"namespace": "speech", "release": "ttsrl"}
WITHIN_S = 120.0


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder; Prometheus wants its text format named."""

    extensions_map = {".txt": "text/plain; version=0.0.4"}

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Generator[int]:
    """The folder over HTTP; gives its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextmanager
def repeated(action: Callable[[], None]) -> Generator[None]:
    """Does it about twice a second, in a thread, until the end."""
    over = Event()

    def work() -> None:
        while not over.wait(0.5):
            action()

    thread = Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def rollout(group: int, number: int, cer: float) -> Rollout:
    now_s = time.time()
    kinds: list[dict[str, Any]] = [
        {
            "status": "ok",
            "reward": 1 - cer,
            "raw": {"cer": cer, "nll": 1.0},
            "utilities": {"cer": 1 - cer, "nll": 0.7},
            "transcript": "one",
            "duration_s": 1.5,
        },
        {"status": "gated", "reward": 0, "reason": "silence"},
        {"status": "error", "kind": "deadline"},
    ]
    return Rollout.model_validate(
        {
            "group": str(group),
            "text": f"text {group}",
            "speech_tokens": [1, 2, 3 + number],
            "speech_prefix": [],
            "finished": True,
            "outcome": kinds[number % 3],
            "generate_start_s": now_s - 0.4,
            "generate_end_s": now_s - 0.3,
            "score_end_s": now_s - 0.2,
        }
    )


def ask(rewards: RewardConfig, utterances: list[Utterance]) -> None:
    """Scored, gated and rejected: one of each kind of outcome."""
    statuses = [outcome.status for outcome in score_blocking(rewards, utterances)]
    assert statuses == ["ok", "ok", "error", "gated"]


JUDGES = [
    ReportJudge(name="wav2vec2", type="ctc", model="a", kinship="unlike"),
    ReportJudge(name="whisper", type="whisper", model="b", kinship="kin"),
]
ADAPTED = AdaptationFigure.model_validate(
    {"kin": "whisper", "unlike": "wav2vec2", "mode": "greedy", "texts": 9}
    | {name: {"value": 0.3, "low": 0.2, "high": 0.4} for name in ("kin_gain", "adaptation")}
    | {"unlike_gain": {"value": 0.0, "low": -0.1, "high": 0.1}}
)


class Trainer:
    """What a supervisor serves, of a run whose CER falls from step to step."""

    def __init__(self, folder: Path) -> None:
        self.step = 0
        self.port = free_port()
        self.log = StepLog(folder, resumed_at=0)
        self.metrics = TrainMetrics(load_run(TINY_RUN), "cpu")
        store = RunStore(str(folder / "storage"), "tiny")
        guards = GuardWatch(self.metrics.run, store, folder)
        self.metrics.guards = guards
        self.follower = Follower(folder, self.metrics, guards.on_step)
        self.metrics.on_checkpoint(
            CheckpointPublished(step=1, at_s=time.time(), bytes=10**9, seconds=2.0)
        )
        serve(self.metrics, self.port)

    def go_on(self) -> None:
        self.step += 1
        cer = max(0.05, 0.5 - 0.01 * self.step)
        now_s = time.time()
        verl = {"actor/lr": 1e-4, "actor/grad_norm": 0.5, "actor/entropy": 0.3}
        self.log.write(
            self.step,
            [rollout(group, number, cer) for group in range(2) for number in range(6)],
            verl | {"actor/kl_loss": 0.01, "actor/pg_loss": 0.2},
            {"update_actor": 0.1, "update_weights": 0.05},
            now_s - 0.5,
            now_s,
            gpu_idle={"node-0/0": 0.4},
        )
        self.follower.look()
        heard, change = ("wav2vec2", "greedy"), ChangeEstimate(value=cer - 0.5, low=-0.5, high=0.1)
        cers = {heard: cer, ("whisper", "greedy"): cer / 2}
        self.metrics.on_evaluation(HeldOut("held_out", self.step, cers, JUDGES, [ADAPTED]))
        self.metrics.on_evaluation(
            HeldOut("held_out.during", self.step, {heard: cer}, cer_change={heard: change})
        )
        self.metrics.during_training = DuringTrainingState(
            evaluated=[0, self.step], waiting=[], at_s=now_s
        )


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, reward_service: RewardServer
) -> Iterator[httpx.Client]:
    """Prometheus, with everything that it scrapes at work."""
    folder = tmp_path_factory.mktemp("monitoring")
    trainer = Trainer(folder / "train")
    texts = ["six climb outside", "white run run early sing", "!?"]
    utterances = [Utterance(text=t, speech_tokens=say(["six", "climb", "outside"])) for t in texts]
    utterances.append(Utterance(text=texts[0], speech_tokens=[]))
    rewards = reward_service.run.reward

    def target(job: str, port: int, path: str = "/metrics", **labels: str) -> dict[str, Any]:
        return {
            "job_name": job,
            "metrics_path": path,
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}],
        }

    with (
        served(ROOT / "tests/integration") as cluster_port,
        repeated(lambda: ask(rewards, utterances)),
        repeated(trainer.go_on),
        prometheus(
            folder,
            [
                target("train", trainer.port, pod="ttsrl-train-abcde-head", **RELEASE),
                target(
                    "reward",
                    int(rewards.url.rpartition(":")[2]),
                    pod="ttsrl-reward-5d9c7b6f4-x2x7k",
                    **RELEASE,
                ),
                target("cluster", cluster_port, "/cluster_metrics.txt"),
            ],
            soon(release_rules(folder, **RELEASE)),
        ) as connection,
    ):
        yield connection


def soon(rules: Path) -> Path:
    """The rules, with those that are evaluated once a minute evaluated every second."""
    rules.write_text(rules.read_text().replace("interval: 1m", "interval: 1s"))
    return rules


def wait_for_series(client: httpx.Client) -> list[QueryResult]:
    """The answers once all have series, or what they are after two minutes."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = answers(client, BOARDS, RELEASE, range_shown="2m", rate="15s")
        if all(answer.series for answer in found) or time.monotonic() > deadline:
            return found
        time.sleep(1)


def test_every_panel_of_every_dashboard_has_series(client: httpx.Client) -> None:
    found = wait_for_series(client)
    assert len(found) > 80
    empty = [f"{a.panel}: {a.problem}\n  {a.query}" for a in found if not a.series]
    assert not empty, "\n".join(empty)


def value(client: httpx.Client, panel: str) -> dict[str, float]:
    """The series of a panel by the value of their only label."""
    wait_for_series(client)
    (answer,) = (
        a for a in answers(client, BOARDS, RELEASE, "2m", "15s") if a.panel.endswith(panel)
    )
    return {
        "".join(series["metric"].values()): float(series["value"][1]) for series in answer.series
    }


def test_gpus_are_counted_by_component_and_only_where_a_pod_runs(client: httpx.Client) -> None:
    assert value(client, "Where it goes / GPUs held") == {"reward": 1, "train": 4}
    busy = value(client, "Where it goes / GPUs busy")
    assert busy == {"reward": pytest.approx(0.6), "train": pytest.approx(0.9)}


def test_the_service_answers_for_itself(client: httpx.Client) -> None:
    assert value(client, "Now / Replicas that can score") == {"": 1}
    assert value(client, "Now / Specifications served") == {"": 1}
    assert value(client, "Now / Errors")[""] == pytest.approx(0.25, abs=0.05)


def test_prometheus_evaluates_every_rule(client: httpx.Client) -> None:
    wait_for_series(client)
    groups = client.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    installed = yaml.safe_load((ROOT / "helm/rules/ttsrl.yaml").read_text())["groups"]
    assert len(rules) == sum(len(group["rules"]) for group in installed)
    assert {rule["health"] for rule in rules} == {"ok"}, [r.get("lastError") for r in rules]
    recorded = client.get("/api/v1/query", params={"query": '{__name__=~"ttsrl:.+"}'}).json()
    names = {series["metric"]["__name__"] for series in recorded["data"]["result"]}
    assert names == {rule["name"] for rule in rules if rule["type"] == "recording"}


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "nonsense"])
def test_an_address_where_no_prometheus_answers_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["monitoring", "--check", address])
    with pytest.raises(SystemExit, match=f"no answer of a Prometheus at {address}"):
        main()
