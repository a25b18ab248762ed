"""A reward service in a process of its own, of the tiny stack where nothing else is said."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.tiny.domain import WORDS
from examples.tiny.word_tokens import say
from support.paths import ROOT
from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.wire import RUN_HEADER, Ok, Outcome, ScoreRequest, ScoreResponse, Utterance

TINY_RUN = ROOT / "examples/tiny/run.json"
TTSRL = (sys.executable, "-m", "ttsrl")
"""The command line of the code under test."""


@dataclass
class RewardServer:
    """A reward service in a process of its own."""

    run: RunConfig
    """Its configuration, with its address in `reward.url`."""
    config: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return self.run.reward.url

    def wait_ready(self, timeout_s: float = 900.0) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass  # the process has not opened its socket yet
            time.sleep(0.05)
        pytest.fail(f"the reward service did not become ready:\n{self.log.read_text()}")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Signal the process and everything it started; gives its exit code."""
        self.signal(signal_number)
        return self.process.wait(timeout=300)

    def signal(self, signal_number: int) -> None:
        """Signal the process and everything it started, unless it has ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal_number)

    def end(self, grace_s: float) -> None:
        """Wait until it has ended, and kill it after `grace_s`."""
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)


StartRewards = Callable[..., RewardServer]
"""`start` without its folder: what the fixture `start_reward_service` gives."""


def start(
    folder: Path,
    overrides: Sequence[str] = (),
    url: str | None = None,
    command: Sequence[str] = (),
    environment: Mapping[str, str] = {},
    base: Path = TINY_RUN,
) -> RewardServer:
    """Start a service that loads its models; `wait_ready` waits for them.

    `overrides` of the run at `base` are as for `load_run`; without `url` a free port is taken;
    `command`, with {config} and {port} in it, starts another server than `ttsrl serve`.
    """
    port = int(url.rpartition(":")[2]) if url else free_port()
    run = load_run(base, ["reward.cache_size=0", *overrides, f"reward.url=http://127.0.0.1:{port}"])
    config, log = folder / "run.json", folder / "log"
    config.write_text(dump_run(run))
    launcher = (*TTSRL, "serve", "--config", "{config}", "--port", "{port}")
    process = subprocess.Popen(
        [part.format(config=config, port=port) for part in command or launcher],
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TTSRL_RUN_CONFIG": str(config),
            "BENTOML_HOME": str(folder),
            "BENTOML_DO_NOT_TRACK": "True",
            "TMPDIR": str(folder),
            **environment,
        },
        start_new_session=True,
    )
    return RewardServer(run, config, log, process)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


TEXTS = ("robots four again tigers two seven", "six climb outside", "white run run early sing")

SMALL_BATCHES = ["reward.batch_size=8"]
"""Warms up faster."""


def utterances(count: int, seed: int = 0) -> list[Utterance]:
    """Speech of random words: something is heard, seldom the text."""
    draw = random.Random(seed)
    return [
        Utterance(
            text=TEXTS[n % len(TEXTS)],
            speech_tokens=say(draw.choices(WORDS, k=draw.randrange(2, 6))),
        )
        for n in range(count)
    ]


def post(
    server: RewardServer,
    items: list[Utterance],
    timeout_s: float = 600.0,
    token: str = "",
    run: str = "",
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {RUN_HEADER: run} if run else {}
    body = ScoreRequest(utterances=items).model_dump(mode="json")
    return httpx.post(f"{server.url}/v1/score", json=body, timeout=timeout_s, headers=headers)


def score(
    server: RewardServer, items: list[Utterance], token: str = "", run: str = ""
) -> list[Outcome]:
    answer = post(server, items, token=token, run=run)
    assert answer.status_code == 200, answer.text
    return ScoreResponse.model_validate_json(answer.content).outcomes


def assert_same(one: list[Outcome], other: list[Outcome]) -> None:
    """Equal but for the last digits of float32."""
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        if isinstance(a, Ok) and isinstance(b, Ok):
            assert a.transcript == b.transcript
            assert a.raw == pytest.approx(b.raw, abs=1e-5)
            assert a.utilities == pytest.approx(b.utilities, abs=1e-5)
            assert a.reward == pytest.approx(b.reward, abs=1e-5)
        else:
            assert a == b


def metrics(server: RewardServer) -> dict[str, float]:
    """`name{label="value",...}` -> value of every metric of the service itself."""
    text = httpx.get(f"{server.url}/metrics").text
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("ttsrl_reward_")
    }


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def worker_pids(server: RewardServer) -> list[int]:
    """Processes that hold the models."""
    return [
        child.pid
        for child in psutil.Process(server.process.pid).children(recursive=True)
        if "--multiprocessing-fork" in _command_line(child)
    ]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie is one, too
        return []
