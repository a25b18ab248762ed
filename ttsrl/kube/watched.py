"""Objects of a list that a watch keeps up to date: they are listed once, then only changes come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Self

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from ttsrl.kube.cluster import RETRY_S, Cluster, explained, is_outage
from ttsrl.kube.objects import Object, part

LIST_EVERY_S = 60.0
"""Where a user may list objects and not watch them."""
GONE = 410
"""The server does not know that version any more."""


class Watched:
    """In a thread of its own, from its making to `close`; use it as a context manager, or close it.

    `keep` says which objects are kept in memory. `changed` is set whenever one of them has changed,
    when the API server is away, and when it is back.
    """

    def __init__(
        self,
        cluster: Cluster,
        path: str,
        query: Mapping[str, str] | None = None,
        keep: Callable[[Object], bool] = lambda _: True,
        changed: threading.Event | None = None,
    ) -> None:
        self._cluster = cluster
        self._path = path
        self._query = dict(query or {})
        self._keep = keep
        self._changed = changed or threading.Event()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._answered = threading.Event()
        self._known: dict[str, Object] | None = {}
        self._version = ""
        self._error: Exception | None = None
        self.away_since: float | None = None
        """Of time.monotonic(), while the API server does not answer."""
        threading.Thread(target=self._run, daemon=True, name=f"watch {path}").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the thread end, at the latest when the server ends the watch."""
        self._closed.set()

    def objects(self) -> list[Object] | None:
        """As they were last seen; None where this user may not list them. Waits for the first list.

        Raises BadInput, and Failure where the API server stays away longer than the cluster's
        patience.
        """
        self._answered.wait()
        with self._lock:
            if self._error is not None:
                with explained(self._path):
                    raise self._error
            return None if self._known is None else list(self._known.values())

    def _run(self) -> None:
        try:
            self._keep_up()
        except (
            Exception
        ) as error:  # whoever asks for the objects is told, and does not wait for ever
            self._tell(error)

    def _keep_up(self) -> None:
        while not self._closed.is_set():
            try:
                if not self._version:
                    self._list()
                self._follow()
                self._closed.wait(RETRY_S)  # nothing is missed: the next one begins at this version
            except ApiException as error:
                if error.status in (403, 404) and not self._version:
                    self._say(known=None)
                    return
                if error.status == 403:  # listing is allowed
                    self._closed.wait(LIST_EVERY_S)
                if error.status in (403, GONE):
                    self._version = ""
                elif not self._waits_for(error):
                    return
            except (HTTPError, OSError, ValueError) as error:
                if not self._waits_for(error):
                    return

    def _list(self) -> None:
        found: dict[str, Object] = {}
        for page in self._cluster.pages(self._path, self._query):
            found |= {_key(one): one for one in page["items"] if self._keep(one)}
            self._version = part(page, "metadata").get("resourceVersion", "")
        self._say(known=found)

    def _follow(self) -> None:
        """Until the server ends the connection."""
        for event in self._cluster.changes(self._path, self._query, self._version):
            if self._closed.is_set():
                return
            one = event["object"]
            if event["type"] == "ERROR":
                raise ApiException(status=int(one.get("code") or GONE), reason=one.get("message"))
            self._version = one["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                self._is_here()
                continue
            with self._lock:
                assert self._known is not None
                known = dict(self._known)
                known.pop(_key(one), None)
                if event["type"] != "DELETED" and self._keep(one):
                    known[_key(one)] = one
            self._say(known=known)
        self._is_here()

    def _say(self, known: dict[str, Object] | None) -> None:
        with self._lock:
            self._known = known
        self._answered.set()
        self._is_here()
        self._changed.set()

    def _is_here(self) -> None:
        if self.away_since is not None:
            self.away_since = None
            self._changed.set()

    def _waits_for(self, error: Exception) -> bool:
        """Whether it is to be asked again, after a while; else the error is told."""
        self.away_since = self.away_since or time.monotonic()
        late = time.monotonic() - self.away_since > self._cluster.patience_s
        if not late and (is_outage(error) or isinstance(error, ValueError)):
            self._changed.set()
            return not self._closed.wait(RETRY_S)
        self._tell(error)
        return False

    def _tell(self, error: Exception) -> None:
        with self._lock:
            self._error = error
        self._answered.set()
        self._changed.set()


def _key(one: Object) -> str:
    metadata = one["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"
