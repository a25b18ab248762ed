"""A connection to one namespace of a cluster: objects as plain dictionaries, errors in plain words.

Credentials and address come from where kubectl has them: KUBECONFIG, ~/.kube/config, or the pod's
own service account.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from ttsrl.errors import BadInput, Failure

Object = dict[str, Any]

TIMEOUT_S = 20.0


class HiddenError(BadInput):
    """This user has not the right to see or do it."""


class Cluster:
    """One namespace, the current context's where none is given."""

    def __init__(self, namespace: str | None = None) -> None:
        self.configuration, here = _configuration()
        self.namespace = namespace or here
        self.api = client.ApiClient(self.configuration)

    def get(self, path: str) -> Object | None:
        """One object; None if there is none. Raises BadInput, Failure."""
        with explained(path):
            try:
                return self._call("GET", path)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

    def items(self, path: str, query: dict[str, str] | None = None) -> list[Object] | None:
        """The objects of a list; None where this user may not list them, or the API is absent."""
        with explained(path):
            try:
                answer = self._call("GET", path, query)
            except ApiException as error:
                if error.status in (403, 404):
                    return None
                raise
        return answer["items"]

    def create(self, path: str, body: Object, *, dry_run: bool = False) -> None:
        """Create an object; a field that the cluster does not know is refused."""
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        with explained(path):
            self._call("POST", path, query, body)

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
    ) -> str:
        """What a pod has written, or its last lines, or its first bytes; nothing where it has not
        started."""
        given = {"container": container, "tail_lines": tail_lines, "limit_bytes": limit_bytes}
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

    def follow_log(self, pod: str, container: str | None = None) -> Iterator[str]:
        """Lines of a pod's log from its beginning, as they come, until its end."""
        options: Object = {"container": container} if container else {}
        with explained(pod):
            answer = client.CoreV1Api(self.api).read_namespaced_pod_log(
                pod, self.namespace, follow=True, _preload_content=False, **options
            )
            buffer = b""
            for chunk in answer.stream():
                *lines, buffer = (buffer + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            if buffer:
                yield buffer.decode(errors="replace")

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
        query: dict[str, str] | None = None,
        body: Object | None = None,
    ) -> Any:
        answer: Any = self.api.call_api(
            path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=TIMEOUT_S,
        )
        return json.loads(answer.data)


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


def _configuration() -> tuple[client.Configuration, str]:
    """(how to reach the cluster, namespace of the current context)."""
    configuration = client.Configuration()
    try:
        config.load_kube_config(client_configuration=configuration)
        _, context = config.list_kube_config_contexts()
        return configuration, context["context"].get("namespace", "default")
    except config.ConfigException as error:
        problem = str(error)
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        raise BadInput(
            f"no cluster is configured ({problem}); set KUBECONFIG, or write ~/.kube/config"
        ) from None
    with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:  # noqa: PTH123
        return configuration, file.read().strip()
