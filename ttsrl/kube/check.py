"""What `helm test` asks of a release that is up: does it score, store, and show its metrics?

Each check returns what it found, or raises what is wrong and what to do about it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from ttsrl.client.reward_client import RewardClient
from ttsrl.config.schema import RunConfig
from ttsrl.errors import Failure
from ttsrl.families.frames import example_tokens
from ttsrl.wire import Failed, Outcome, Utterance

READY_TIMEOUT_S = 60.0
WAKE_TIMEOUT_S = 240.0
"""For a service that is scaled to zero and starts when it is asked; `helm test` waits 300 s."""
RETRY_S = 1.0
UTTERANCE_S = 1.5
QUEUE_METRIC = "ttsrl_reward_queue_depth"


def score(run: RunConfig) -> str:
    """The service measures speech for clients with the token, and for no others."""
    outcome = asyncio.run(_score(run))
    if isinstance(outcome, Failed):
        raise Failure(
            f"{run.reward.url} cannot measure: {outcome.kind}: {outcome.detail}; "
            "see the log of the reward service"
        )
    # Not through the client: it never asks without the token.
    status = _ask("POST", f"{run.reward.url}/v1/score", json={"utterances": []}).status_code
    if run.reward.token_file and status != 401:
        raise Failure(
            f"{run.reward.url} answers {status}, not 401, to who gives no token; the service must "
            f"run with run.reward.token_file = {run.reward.token_file}"
        )
    return f"{run.reward.url} answers: {outcome.model_dump_json()}"


async def _score(run: RunConfig) -> Outcome:
    async with RewardClient.of(run.reward) as client:
        spec = await client.wait_ready(WAKE_TIMEOUT_S)
        count = int(UTTERANCE_S * spec.tokens_per_s)
        tokens = example_tokens(count, spec.codebook_size, spec.frame_tokens)
        utterance = Utterance(text="Hello there.", speech_tokens=tokens, language=run.data.language)
        return (await client.score([utterance]))[0]


def storage(run: RunConfig) -> str:
    """The run's storage takes an object, gives it back, and lets go of it."""
    from ttsrl.storage.storage import open_storage

    store = open_storage(run.storage)
    key, written = f"checks/{uuid.uuid4().hex}.json", {"run": run.name}
    store.write_json(key, written)
    try:
        if store.read_json(key) != written:
            raise Failure(f"{store.address(key)} does not give back what was written there")
    finally:
        store.delete(key)
    if store.read_json(key) is not None:
        raise Failure(f"{store.address(key)} is still there after it was deleted")
    return f"{store.address()} can be written, read and cleared"


def metrics(run: RunConfig) -> str:
    """What Prometheus asks the service for, and an autoscaler lives on, is there."""
    url = f"{run.reward.url}/metrics"
    answer = _ask("GET", url)
    if answer.status_code != 200:
        raise Failure(f"GET {url} answers {answer.status_code}; see the log of the reward service")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    if QUEUE_METRIC not in families:
        raise Failure(f"{url} has no {QUEUE_METRIC}; is it a reward service of this release?")
    ours = sorted(name for name in families if name.startswith("ttsrl_reward_"))
    return f"{url} has {len(ours)} metrics of the reward service"


def _ask(method: str, url: str, json: object = None) -> httpx.Response:
    """An answer, from a service that may have to be woken first. Raises Failure."""
    deadline = time.monotonic() + WAKE_TIMEOUT_S
    while True:
        try:
            return httpx.request(method, url, json=json, timeout=READY_TIMEOUT_S)
        except httpx.RequestError as error:
            if time.monotonic() > deadline:
                raise Failure(
                    f"{method} {url}: {error}; is the Service there, and may this pod reach it?"
                ) from None
        time.sleep(RETRY_S)


CHECKS: Mapping[str, Callable[[RunConfig], str]] = {
    "score": score,
    "storage": storage,
    "metrics": metrics,
}
"""By the names that `ttsrl job check` takes."""
