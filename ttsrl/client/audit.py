"""Has a reward service audit its reward, and waits for the result through outages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydantic import ValidationError

from ttsrl.client.reward_client import RewardClient, Unavailable
from ttsrl.errors import BadInput, Failure
from ttsrl.wire import AuditAnswer, AuditRefused, AuditReport, AuditRequest, AuditRunning

REQUEST_S = 60.0
"""The service answers within seconds, done or not."""
RETRY_S = 1.0
ATTEMPTS = 3
"""Audits whose measurement may fail before that is believed."""


async def audit(
    client: RewardClient,
    request: AuditRequest,
    patience_s: float,
    update: Callable[[int, int], None] = lambda done, total: None,
) -> AuditReport:
    """The result. A service that goes is waited for, and begins anew.

    `update` gets how many of about how many utterances are done. Raises BadInput for clips that are
    not clean speech to this reward; Failure where measurements fail again and again, and where
    there is no answer for `patience_s`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    failures = 0
    while True:
        try:
            answer = await _ask(client, request)
        except Unavailable as error:
            if loop.time() > deadline:
                raise Failure(f"the reward could not be audited: {error}") from None
            await asyncio.sleep(max(RETRY_S, error.retry_after_s))
            continue
        deadline = loop.time() + patience_s
        match answer:
            case AuditRunning(done=done, total=total):
                update(done, total)
            case AuditRefused(reason="clips", detail=detail):
                raise BadInput(detail)
            case AuditRefused(detail=detail):
                failures += 1
                if failures == ATTEMPTS:
                    raise Failure(f"the reward could not be audited: {detail}")
            case AuditReport():
                client.check_spec(answer.spec_hash)
                return answer


async def _ask(
    client: RewardClient, request: AuditRequest
) -> AuditReport | AuditRunning | AuditRefused:
    answer = await client.request("POST", "/v1/audit", REQUEST_S, content=request.model_dump_json())
    try:
        return AuditAnswer.model_validate_json(answer.content).audit
    except ValidationError as error:
        raise Unavailable(f"POST /v1/audit gave no audit: {error}") from None
