"""A pod's log, followed over broken connections and restarts of the API server."""

from __future__ import annotations

import time
from collections.abc import Iterator

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from ttsrl.kube.cluster import RETRY_S, Cluster, explained, is_outage
from ttsrl.kube.objects import part


class PodLog:
    """Lines of one container, each once, wherever the connection breaks."""

    def __init__(self, cluster: Cluster, pod: str, container: str | None = None) -> None:
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._time = ""
        """Of the last line; the server sends again what was written in that second."""
        self._count = 0
        """Lines of that very time."""
        self._rest = b""
        """Of the last connection: a line whose end did not come."""

    def follow(self) -> Iterator[str]:
        """Lines from the beginning, as they come, until the pod has ended or is gone.

        Raises BadInput, Failure where the API server stays away longer than the cluster's patience.
        """
        away_since: float | None = None
        while True:
            try:
                for line in self._lines():
                    away_since = None
                    yield line
                if self._has_ended():
                    if self._rest:
                        yield self._rest.decode(errors="replace").partition(" ")[2]
                    return
            except (ApiException, HTTPError, OSError) as error:
                if isinstance(error, ApiException) and error.status == 404:
                    return
                away_since = away_since or time.monotonic()
                late = time.monotonic() - away_since > self._cluster.patience_s
                if late or not (is_outage(error) or _not_yet(error)):
                    with explained(self._pod):
                        raise
            time.sleep(RETRY_S)

    def _lines(self) -> Iterator[str]:
        """Lines of one connection that are new."""
        before, known = self._time, self._count
        self._rest = b""
        for chunk in self._cluster.open_log(self._pod, self._container, self._time or None):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                when, _, text = line.decode(errors="replace").partition(" ")
                if when < before:
                    continue
                if when == before and known:
                    known -= 1
                    continue
                self._count = self._count + 1 if when == self._time else 1
                self._time = when
                yield text

    def _has_ended(self) -> bool:
        pod = self._cluster.get(self._cluster.core(f"pods/{self._pod}"))
        return pod is None or part(pod, "status").get("phase") in ("Succeeded", "Failed")


def _not_yet(error: Exception) -> bool:
    """400: no container of the pod has begun."""
    return isinstance(error, ApiException) and error.status == 400
