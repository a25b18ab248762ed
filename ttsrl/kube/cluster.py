"""A connection to one namespace of a cluster: objects as plain dictionaries, errors in plain words.

Credentials and address come from where kubectl has them: KUBECONFIG, ~/.kube/config, or the pod's
own service account.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, cast

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from ttsrl.errors import BadInput, Failure
from ttsrl.kube.place import ClusterChoice, chosen

Object = dict[str, Any]

TIMEOUT_S = 20.0
RETRY_S = 2.0
PAGE = 500
WATCH_S = 60.0
"""How long one connection of a watch lasts; a server that is away without a word is noticed
TIMEOUT_S after that."""
OUTAGE_S = 120.0
"""How long what follows a job waits for an API server that is away."""


class HiddenError(BadInput):
    """This user has not the right to see or do it."""


class Cluster:
    """One namespace, the current context's where none is given."""

    def __init__(self, namespace: str | None = None) -> None:
        self.configuration, here = _configuration(chosen)
        self.namespace = namespace or here
        self.api = client.ApiClient(self.configuration)
        self.patience_s = 0.0
        """How long an API server that does not answer may take to come back, for reading."""

    def get(self, path: str) -> Object | None:
        """One object; None if there is none. Raises BadInput, Failure."""
        with explained(path):
            try:
                return self._call("GET", path)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

    def items(self, path: str, query: Mapping[str, str] | None = None) -> list[Object] | None:
        """The objects of a list; None where this user may not list them, or the API is absent."""
        with explained(path):
            try:
                return [one for page in self.pages(path, query) for one in page["items"]]
            except ApiException as error:
                if error.status in (403, 404):
                    return None
                raise

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Object]:
        """A list as the server gives it, PAGE objects at a time. Raises ApiException, HTTPError."""
        wanted = {**(query or {}), "limit": str(PAGE)}
        while True:
            page = self._call("GET", path, wanted)
            yield page
            if not (more := (page.get("metadata") or {}).get("continue")):
                return
            wanted["continue"] = more

    def changes(self, path: str, query: Mapping[str, str], since: str) -> Iterator[Object]:
        """What happens to the objects of a list after its version `since`, as events of the API,
        until the server ends the connection after WATCH_S. Raises ApiException, HTTPError."""
        more = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": since}
        wanted = {**query, **more, "timeoutSeconds": f"{WATCH_S:.0f}"}
        answer = self._send("GET", path, wanted, timeout_s=WATCH_S + TIMEOUT_S)
        rest = b""
        for chunk in answer.stream():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(json.loads, filter(None, lines))

    def create(self, path: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object and return it; a field that the cluster does not know is refused."""
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        with explained(path):
            return self._call("POST", path, query, body)

    def patch(self, path: str, body: Object) -> None:
        """Change what `body` has of an object (a JSON merge patch); null removes, a list
        takes the place of the one that is there."""
        with explained(path):
            self._call("PATCH", path, body=body, content="application/merge-patch+json")

    def delete(self, path: str, foreground: bool = False) -> None:
        """Delete an object and what it owns, if it is there."""
        policy: Literal["Foreground", "Background"] = "Foreground" if foreground else "Background"
        with explained(path):
            try:
                self._call("DELETE", path, body={"propagationPolicy": policy})
            except ApiException as error:
                if error.status != 404:
                    raise

    def log(
        self,
        pod: str,
        container: str | None = None,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        *,
        previous: bool = False,
    ) -> str:
        """What a pod has written, or its last lines, or its first bytes; nothing where it has not
        started. `previous`: what its container had written before it was started again."""
        given = {
            "container": container,
            "tail_lines": tail_lines,
            "limit_bytes": limit_bytes,
            "previous": previous or None,
        }
        options: Object = {name: value for name, value in given.items() if value is not None}
        with explained(pod):
            try:
                return client.CoreV1Api(self.api).read_namespaced_pod_log(
                    pod, self.namespace, _request_timeout=TIMEOUT_S, **options
                )
            except ApiException as error:
                if error.status in (400, 404):  # no container of it has begun, or it is gone
                    return ""
                raise

    def open_log(self, pod: str, container: str | None, since: str | None) -> Iterator[bytes]:
        """Chunks of a pod's log as they come, each line after its time; `since` is such a time.

        Raises ApiException, HTTPError.
        """
        query = {"follow": "true", "timestamps": "true"}
        query |= {"container": container} if container else {}
        query |= {"sinceTime": since} if since else {}
        answer = self._send("GET", self.core(f"pods/{pod}/log"), query, timeout_s=None)
        return answer.stream()

    def core(self, rest: str) -> str:
        """Path of core objects of this namespace."""
        return f"/api/v1/namespaces/{self.namespace}/{rest}"

    def group(self, group: str, rest: str) -> str:
        """Path of another API's objects of this namespace: `apps/v1`, `deployments`."""
        return f"/apis/{group}/namespaces/{self.namespace}/{rest}"

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
    ) -> Any:
        deadline = time.monotonic() + (self.patience_s if method == "GET" else 0.0)
        while True:
            try:
                return json.loads(self._send(method, path, query, body, content).data)
            except (HTTPError, OSError, ApiException) as error:
                if not is_outage(error) or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_S)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
        timeout_s: float | None = TIMEOUT_S,
    ) -> Any:
        return self.api.call_api(
            path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=timeout_s,
        )


def is_outage(error: Exception) -> bool:
    """Whether the same request may succeed a little later: no answer, or one of a server that is
    starting, ending or overloaded."""
    if isinstance(error, ApiException):
        return error.status in (429, 500, 502, 503, 504)
    return isinstance(error, (HTTPError, OSError))


@contextmanager
def explained(what: str) -> Generator[None]:
    """The client's errors as BadInput (a retry cannot fix it) or Failure."""
    try:
        yield
    except ApiException as error:
        raise explain(error, what) from None
    except (HTTPError, OSError) as error:
        raise Failure(
            f"the cluster does not answer ({type(error).__name__}); check the network, and with "
            "`kubectl config current-context` which cluster that is"
        ) from None


def explain(error: ApiException, what: str) -> BadInput | Failure:
    """An answer of the API server in plain words."""
    try:
        said = json.loads(error.body or "{}").get("message", "")
    except (ValueError, TypeError, AttributeError):
        said = ""
    said = said or str(error.reason)
    match error.status:
        case 401:
            return BadInput("the cluster does not know this user; log in again (kubectl get pods)")
        case 403:
            return HiddenError(
                f"not allowed: {said}; the chart's value `submitters` gives a user these rights"
            )
        case 400 | 404 | 405 | 409 | 422:
            return BadInput(f"the cluster refuses {what}: {said}")
        case _:
            return Failure(f"the cluster answers {error.status} to {what}: {said}")


def _configuration(place: ClusterChoice) -> tuple[client.Configuration, str]:
    """(how to reach the cluster, namespace of the context)."""
    configuration = client.Configuration()
    try:
        config.load_kube_config(place.file, place.context, client_configuration=configuration)
        listed: tuple[list[Any], Any] = cast(Any, config.list_kube_config_contexts(place.file))
        contexts, current = listed
        names = {one["name"]: one for one in contexts}
        chosen = current if place.context is None else names[place.context]
        return configuration, chosen["context"].get("namespace", "default")
    except config.ConfigException as error:
        problem = str(error)
    if place.as_given:
        raise BadInput(f"{place.as_given}: {problem}; see `kubectl config get-contexts`")
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        raise BadInput(
            f"no cluster is configured ({problem}); set KUBECONFIG, or write ~/.kube/config"
        ) from None
    with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:  # noqa: PTH123
        return configuration, file.read().strip()
