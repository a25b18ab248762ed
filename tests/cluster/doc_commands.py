"""Runs the commands of a documentation page, as they stand."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import TINY, Bucket, Namespace, users_environment
from testbed import tools
from testbed.gpus import FAKE
from testbed.paths import REPOSITORY


class PageRunner:
    """Works in a folder of their own; the namespace is the context's."""

    def __init__(self, namespace: Namespace, bucket: Bucket, folder: Path) -> None:
        self.folder = folder
        self.commands: list[str] = []
        self.node = f"{namespace.name}-node"
        self.storage = f"{bucket.url}/speech"
        self._namespace = namespace
        self._put_files(bucket)
        self._environment = self._log_in(bucket)
        self.written = {
            "s3://BUCKET/speech": self.storage,
            "s3://BUCKET": self.storage,
            "--namespace speech": f"--namespace {namespace.name}",
            "-n speech": f"-n {namespace.name}",
            "-n monitoring": f"-n {namespace.name}",
            "=FILE": "=.aws/credentials",
            " NODE": f" {self.node}",
            "delete node NAME": f"delete node {self.node}",
            "job/NAME": "job/ttsrl-eval-reduce-0",
            "delete job NAME": "delete job ttsrl-eval-reduce-0",
            "--queue NAME": "--queue none-of-mine",
            "--step 400": "--step 8",
            # the tiny stack's words, and where its codec lies outside of the images
            '"Hello there" --model': '"three blue dogs run" --codec examples/tiny/codec --model',
        }
        """What a reader puts in place of a page's words."""

    def __call__(
        self, command: str, *more: str, codes: Sequence[int] = (0,), ends_after: float | None = None
    ) -> str:
        """Type a page's command, with `more` that only the test needs; returns what it says.

        `ends_after`: seconds until Ctrl-C, for one that never ends.
        """
        self.commands.append(command)
        return self.run(f"{self._filled(command)} {' '.join(more)}", codes, ends_after)

    def run(
        self, command: str, codes: Sequence[int] = (0,), ends_after: float | None = None
    ) -> str:
        """Type something that is on no page."""
        with self._started(command) as process:
            try:
                said, _ = process.communicate(timeout=ends_after)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGINT)
                return process.communicate()[0]
        if process.returncode not in codes:
            pytest.fail(f"{command}\nexit code {process.returncode}: {said}")
        return said

    @contextmanager
    def in_background(self, command: str) -> Generator[None]:
        """Type a page's command that ends with &, and end it with the block."""
        self.commands.append(command)
        with self._started(self._filled(command).removesuffix("&")) as process:
            assert process.stdout
            process.stdout.readline()  # Forwarding from ...
            try:
                yield
            finally:
                os.killpg(process.pid, signal.SIGINT)

    def write_values(self, bucket: Bucket, **changes: Any) -> None:
        """my-values.yaml: the tiny stack in this bucket, changed."""
        values = yaml.safe_load(TINY.read_text())
        mine = {"run": {"storage": self.storage}, "s3": {"endpoint": bucket.endpoint}}
        for more in (mine, changes):
            _update(values, more)
        (self.folder / "my-values.yaml").write_text(yaml.safe_dump(values))

    def write_run(self) -> None:
        """run.json: the release's run under no name of its own, with another seed."""
        text = self.run("kubectl get configmap ttsrl-run -o jsonpath='{.data.run\\.json}'")
        (self.folder / "run.json").write_text(json.dumps({**json.loads(text), "seed": 3}))

    def _filled(self, command: str) -> str:
        for words, mine in self.written.items():
            command = command.replace(words, mine)
        return command

    def _started(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # Tests that a shell runs in its background ignore Ctrl-C, and so would what they start.
            ["env", "--default-signal=INT", "bash", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _put_files(self, bucket: Bucket) -> None:
        for name in ("helm", "jobs", "monitoring", "examples"):
            (self.folder / name).symlink_to(REPOSITORY / name)
        shutil.copy(REPOSITORY / "examples/tiny/texts.jsonl", self.folder)
        (self.folder / ".aws").mkdir()
        (self.folder / ".aws/credentials").write_text(bucket.credentials())

    def _log_in(self, bucket: Bucket) -> dict[str, str]:
        kubeconfig = yaml.safe_load(self._namespace.cluster.kubeconfig.read_text())
        for context in kubeconfig["contexts"]:
            context["context"]["namespace"] = self._namespace.name
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        programs = (tools.binary("kubectl"), tools.binary("helm"), Path(sys.executable))
        return {
            **users_environment(),
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "PATH": ":".join([*(str(one.parent) for one in programs), os.environ["PATH"]]),
            "AWS_ENDPOINT_URL": bucket.endpoint,
            "AWS_REGION": "us-east-1",
        }

    def add_node(self) -> None:
        """One more fake node, to be labelled and removed."""
        metadata = {"name": self.node, "annotations": {FAKE: "fake"}}
        self._namespace.apply([{"apiVersion": "v1", "kind": "Node", "metadata": metadata}])


def _update(values: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _update(values[key], value)
        else:
            values[key] = value
