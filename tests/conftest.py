"""Parts that several tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from support.browser import start_browser
from support.reward_server import TINY_RUN, RewardServer, StartRewards, start

GRACE_S = 20.0
"""For services to end after the last test, before they are killed."""
ALONE = (
    "integration/test_train_",
    "integration/test_wheel",
    "cluster/test_sweep",
    "cluster/test_whole_job.py::test_a_policy",
    *(f"cluster/test_{name}" for name in ("pages", "leaving", "trouble", "machine_loss")),
)
"""Tests that keep both cores busy, in their order. Those of the cluster train on Ray, which takes
6 GB: a machine has room for two such runs, not for three."""

# Tiny models gain nothing from threads, and the processes of one test share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class OneBusy(LoadFileScheduling):
    """Two processes: one runs what keeps the cores busy, the other all else, a file at a time.

    The start of verl or of a pod leaves half of two cores idle; two trainings fight for both.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "alone" if is_alone(nodeid) else super()._split_scope(nodeid)


def is_alone(nodeid: str) -> bool:
    """Whether a test is one of ALONE."""
    return place_of(nodeid) < len(ALONE)


def place_of(nodeid: str) -> int:
    """Of a test in ALONE; all others come after those."""
    return next((n for n, name in enumerate(ALONE) if name in nodeid), len(ALONE))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneBusy:
    """Instead of xdist's own; its groups by mark do nothing under pytest 9.2."""
    return OneBusy(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These come first: the other process has enough to do meanwhile."""
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where TTSRL_NO_SKIP=1 says that every program is there, a test that is skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("TTSRL_NO_SKIP") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, and TTSRL_NO_SKIP=1 allows no skip: {report.longreprtext}"
    return report


@pytest.fixture(scope="session")
def start_reward_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRewards]:
    """Starts reward services as `reward_server.start` does, and ends what tests leave behind."""
    servers: list[RewardServer] = []

    def start_and_remember(
        overrides: Sequence[str] = (),
        url: str | None = None,
        command: Sequence[str] = (),
        environment: Mapping[str, str] = {},
        base: Path = TINY_RUN,
    ) -> RewardServer:
        folder = tmp_path_factory.mktemp("reward")
        servers.append(start(folder, overrides, url, command, environment, base))
        return servers[-1]

    yield start_and_remember
    for server in servers:
        server.signal(signal.SIGTERM)  # all at once; a traced one writes down what it ran
    for server in servers:
        server.end(GRACE_S)


@pytest.fixture(scope="session")
def reward_service(start_reward_service: StartRewards) -> RewardServer:
    """A reward service of the tiny stack that is ready; one a session."""
    server = start_reward_service()
    server.wait_ready()
    return server


@pytest.fixture(scope="session")
def devtools_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a headless browser's DevTools; one browser a session."""
    yield from start_browser(tmp_path_factory.mktemp("chromium"))
