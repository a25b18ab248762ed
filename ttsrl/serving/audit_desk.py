"""Audits that the service's clients ask for: each runs once, however often it is asked for."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass

from ttsrl.errors import BadInput, Failure, reason_of
from ttsrl.serving.audit import Score, audit, recorded
from ttsrl.serving.batcher import Full
from ttsrl.wire import AuditRefused, AuditReport, AuditRequest, AuditRunning

WAIT_S = 5.0
"""What a client waits at most before it hears how far its audit is."""
MOST = 4
RETRY_AFTER_S = 5
FORGET_S = 120.0
"""An audit that nobody has asked for during so long is cancelled."""
logger = logging.getLogger(__name__)


@dataclass
class _Audit:
    task: asyncio.Task[AuditReport | AuditRefused]
    asked_s: float
    """On the event loop's clock."""
    done: int = 0
    total: int = 0


class AuditDesk:
    """Runs audits of one reward."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._audits: dict[str, _Audit] = {}

    @property
    def running(self) -> int:
        """Audits that are not done."""
        return sum(not one.task.done() for one in self._audits.values())

    async def answer(
        self, request: AuditRequest, spec_hash: str
    ) -> AuditReport | AuditRunning | AuditRefused:
        """The result, or how far the audit is after `WAIT_S`.

        An audit without a result is forgotten with its answer: who asks again begins anew. Raises
        Full where `MOST` run already.
        """
        loop = asyncio.get_running_loop()
        key = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
        running = self._audits.get(key)
        if running is None:
            if self.running >= MOST:
                raise Full(f"{MOST} audits run already; come back later", RETRY_AFTER_S)
            task = asyncio.create_task(self._run(key, request, spec_hash))
            running = self._audits[key] = _Audit(task, loop.time())
        running.asked_s = loop.time()
        await asyncio.wait({running.task}, timeout=WAIT_S)
        if not running.task.done():
            return AuditRunning(done=running.done, total=running.total)
        result = running.task.result()
        if isinstance(result, AuditRefused):
            self._audits.pop(key, None)
        return result

    async def _run(
        self, key: str, request: AuditRequest, spec_hash: str
    ) -> AuditReport | AuditRefused:
        loop = asyncio.get_running_loop()

        def update(done: int, total: int) -> None:
            asked = self._audits[key]
            asked.done, asked.total = done, total
            if loop.time() > asked.asked_s + FORGET_S:
                raise _Forgotten

        try:
            recordings = await asyncio.to_thread(recorded, request)
            return await audit(recordings, self._score, spec_hash, update)
        except BadInput as error:
            return AuditRefused(reason="clips", detail=str(error))
        except Failure as error:
            return AuditRefused(reason="measurement", detail=str(error))
        except _Forgotten:
            self._audits.pop(key, None)
            return AuditRefused(reason="measurement", detail="no client asked for the result")
        except Exception as error:
            # An answer with status 500 would be taken for an outage, and begun again for ever.
            logger.exception("an audit failed")
            detail = f"{type(error).__name__} in the service: {reason_of(error)}"
            return AuditRefused(reason="measurement", detail=detail)


class _Forgotten(Exception):
    """Nobody waits for the audit."""
