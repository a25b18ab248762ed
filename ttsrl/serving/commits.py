"""The commits of the models that a run gives by their ids, as they have rewarded it so far.

An id stands for the newest commit of its branch. A service that is started again, or a replica that
is added to others, loads those that gave the rewards before, so that a run continues as it began.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

import httpx
from pydantic import ValidationError

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.models.revisions import floating, models_of_reward
from ttsrl.storage.run_store import RunStore
from ttsrl.wire import ServiceSpec

logger = logging.getLogger(__name__)
PATIENCE_S = 5.0
"""For an answer of the replicas."""


def known_commits(run: RunConfig) -> dict[str, str]:
    """Key -> `id@commit`: as the service at the run's `reward.url` has it or, where nothing serves
    there yet, as training has recorded it. Empty where neither knows, or no model needs it."""
    if not floating(models_of_reward(run)):
        return {}
    return _served(run) or _recorded(run)


def _served(run: RunConfig) -> dict[str, str]:
    """By other replicas: this service, too, may be at that address, and serves nothing yet."""
    try:
        # with a transport of its own httpx takes no proxy from the environment, like our client
        with httpx.Client(transport=httpx.HTTPTransport(), timeout=PATIENCE_S) as http:
            answer = http.get(f"{run.reward.url.rstrip('/')}/v1/spec")
        served = ServiceSpec.model_validate_json(answer.content).models
    except (httpx.HTTPError, httpx.InvalidURL, ValidationError):
        return {}
    logger.info("commits of models as %s has them", run.reward.url)
    return served


def _recorded(run: RunConfig) -> dict[str, str]:
    try:
        store = RunStore(run.storage, run.name)
        record = store.storage.read_json(store.reward_json) or {}
    except (BadInput, Failure) as error:
        logger.info("what rewarded run %s before cannot be read here: %s", run.name, error)
        return {}
    models = cast("Mapping[str, Any]", record).get("models")
    if not isinstance(models, dict):
        return {}
    logger.info("commits of models as run %s in %s began with them", run.name, run.storage)
    return {key: str(model) for key, model in cast("dict[str, Any]", models).items()}
