"""The stages of a quickstart: each one job, begun where the last interrupted one ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.during.beside import BesideTraining
from ttsrl.evaluation.merge import merge_run
from ttsrl.evaluation.one_suite import evaluate_suite
from ttsrl.evaluation.report.page import log_report
from ttsrl.models.kinship import as_said_now
from ttsrl.records.evaluation import REPORT, EvaluationReport
from ttsrl.records.record import parse
from ttsrl.runtime.follow import POLL_S, counts, follow, steps
from ttsrl.runtime.job import Job
from ttsrl.runtime.machine import cores
from ttsrl.runtime.progress import Progress, Stage
from ttsrl.serving.serve import serve
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.follow import tell_rest
from ttsrl.training.environment import gpus_here
from ttsrl.training.preflight import check_before_start
from ttsrl.training.supervisor import train_until_terminated

REWARD_SERVICE_DEADLINE_S = 600.0
HEALTH_EVERY_S = 1.0
"""Seconds between questions to a service that loads: it answers with the core that it loads on."""


@dataclass
class Session:
    """One quickstart at work."""

    run: RunConfig
    """As its jobs see it: with the addresses of this session."""
    work_dir: Path
    progress: Progress
    jobs: list[Job] = field(default_factory=list)
    reward_service: Job | None = None
    loading: Stage | None = None
    next_look_s: float = 0.0

    @property
    def config(self) -> Path:
        return self.work_dir / "run.json"

    def start(self, name: str, function: Callable[..., int | None], *arguments: object) -> Job:
        """Start a job that `jobs` remembers; its log is logs/NAME.log."""
        log = self.work_dir / "logs" / f"{name}.log"
        threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", f"{max(1, cores()):.0f}")}
        job = Job(name, function, arguments, log, threads)
        self.jobs.append(job)
        return job

    def start_reward_service(self) -> None:
        """Start loading it beside whatever comes before training."""
        port = urlsplit(self.run.reward.url).port
        self.loading = self.progress.stage("reward service")
        self.reward_service = self.start("serve", serve, self.config, "127.0.0.1", port)

    def watch_reward_service(self) -> None:
        """Note that it is ready; raises if it has ended."""
        if self.reward_service is None:
            return
        if not self.reward_service.is_running():
            raise Failure(f"the reward service ended early; log: {self.reward_service.log}")
        if self.loading is None or time.monotonic() < self.next_look_s:
            return
        if _answers(f"{self.run.reward.url}/healthz"):
            self.loading.finish(self.run.reward.url)
            self.loading = None
        self.next_look_s = time.monotonic() + HEALTH_EVERY_S

    def wait_for_reward_service(self) -> None:
        """Until it is ready. Raises Failure."""
        deadline = time.monotonic() + REWARD_SERVICE_DEADLINE_S
        while self.loading is not None:
            self.watch_reward_service()
            if time.monotonic() > deadline:
                raise Failure(
                    f"the reward service was not ready within {REWARD_SERVICE_DEADLINE_S:.0f} s; "
                    f"log: {self.work_dir / 'logs' / 'serve.log'}"
                )
            time.sleep(POLL_S)

    def stop_reward_service(self) -> None:
        """Give its memory back."""
        if self.reward_service is not None:
            self.reward_service.stop()
            self.reward_service = None


@dataclass(frozen=True)
class StageOfRun:
    """A stage: what to call it, what it leaves in the run's folder, how it is done."""

    name: str
    output: str
    run: Callable[[Session, Stage], str]
    """Does it and returns a few words about it."""
    needs_reward: bool = False
    """Whether the reward service must answer."""


def prepare_texts(session: Session, stage: Stage) -> str:
    """Texts -> data/*.parquet."""
    counts = prepare(session.run, session.work_dir / "data", stage.update)
    # what training would refuse is found out before anything is measured
    check = session.start("check", check_before_start, session.config, session.work_dir)
    follow(check, session.watch_reward_service)
    left_out = counts.duplicates + counts.overlapping + sum(counts.left_out.values())
    return f"{counts.train} texts to train on, {counts.held_out} held out, {left_out} left out"


def evaluate_base(session: Session, stage: Stage) -> str:
    """The policy to start from -> eval/before."""
    return _evaluate(session, stage, "before", session.run.model)


def train(session: Session, stage: Stage) -> str:
    """GRPO; resumes from the newest checkpoint by itself."""
    job = session.start("train", train_until_terminated, session.config, session.work_dir)
    look = steps(job, session.work_dir, stage, session.run.train.steps)
    run, gpus = session.run, gpus_here(session.run)
    with BesideTraining(run, session.config, session.work_dir, gpus, stage.tell) as evaluation:
        follow(job, look, session.watch_reward_service, evaluation.look)
    last = look()
    if last is None or last.reward is None:
        return ""
    return f"reward {last.reward:.3f} in the last step"


def merge(session: Session, stage: Stage) -> str:
    """Newest checkpoint -> Hugging Face folder in storage."""
    job = session.start("merge", merge_run, session.config, session.work_dir)
    follow(job, session.watch_reward_service)
    return _model_address(session)


def pull_model(session: Session, stage: Stage) -> str:
    """Storage -> pulled/."""
    store = RunStore(session.run.storage, session.run.name)
    model = store.model(session.run.train.steps)
    store.storage.pull(model, session.work_dir / "pulled", stage.update_bytes)
    return str(session.work_dir / "pulled")


def evaluate_trained(session: Session, stage: Stage) -> str:
    """The pulled model -> eval/after."""
    return _evaluate(session, stage, "after", str(session.work_dir / "pulled"))


def report(session: Session, stage: Stage) -> str:
    """Everything -> report.html."""
    job = session.start("report", log_report, session.work_dir)
    follow(job, session.watch_reward_service)
    if session.run.trackers:
        _tell_trackers(session)
    return str(session.work_dir / "report.html")


STAGES = (
    StageOfRun("prepare", "data/held_out.parquet", prepare_texts),
    StageOfRun("evaluate base", "eval/before/report.json", evaluate_base),
    StageOfRun("train", "train/steps.jsonl", train, needs_reward=True),
    StageOfRun("merge", "", merge),
    StageOfRun("pull", "pulled/config.json", pull_model),
    StageOfRun("evaluate trained", "eval/after/report.json", evaluate_trained),
    StageOfRun("report", "report.html", report),
)


def free_url(url: str) -> str:
    """`url` if a server can listen at its port, else the same with a free port."""
    address = urlsplit(url)
    if address.hostname != "127.0.0.1":
        raise BadInput(
            f"reward.url = {url}: a quickstart serves rewards at 127.0.0.1; leave the key out"
        )
    for port in (address.port or 80, 0):
        with socket.socket() as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"http://127.0.0.1:{probe.getsockname()[1]}"
    raise Failure("no free port at 127.0.0.1")


def _evaluate(session: Session, stage: Stage, name: str, model: str) -> str:
    data, out = session.work_dir / "data" / "held_out.parquet", session.work_dir / "eval" / name
    job = session.start(
        f"evaluate-{name}", evaluate_suite, session.config, model, HELD_OUT, data, out
    )
    follow(job, counts(job, stage), session.watch_reward_service)
    report = parse(EvaluationReport, (out / REPORT).read_bytes(), out / REPORT)
    judge = as_said_now(session.run, report).verdict_judge.name
    cer = report.modes["sampled"].judges[judge].mean_cer
    return f"CER {'unknown' if cer is None else f'{cer:.3f}'} ({judge}, sampled)"


def _tell_trackers(session: Session) -> None:
    """Of what came after training; a tracker that does not answer costs the run nothing."""
    try:
        follow(session.start("track", tell_rest, session.config, session.work_dir))
    except Failure as error:
        print(error, flush=True)


def _model_address(session: Session) -> str:
    store = RunStore(session.run.storage, session.run.name)
    return store.storage.address(store.model(session.run.train.steps))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.TransportError:
        return False
