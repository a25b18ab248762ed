"""Before a run starts: does its reward see through bad speech? Asked once per specification."""

from __future__ import annotations

import asyncio
import hashlib
from importlib.metadata import version

from pydantic import ValidationError

from ttsrl.client.audit import audit
from ttsrl.client.reward_client import RewardClient
from ttsrl.config.schema import RunConfig
from ttsrl.data.audit_clips import clips_of, no_clips
from ttsrl.errors import BadInput
from ttsrl.reward.audited import missed, paid, table
from ttsrl.storage.run_store import RunStore
from ttsrl.wire import AuditReport, AuditRequest, ServiceSpec

PATIENCE_S = 300.0
"""What a service that is replaced may take to be ready again."""


def check_reward_audit(run: RunConfig, spec: ServiceSpec, store: RunStore) -> None:
    """Have the reward audited, or find what an audit has found.

    Raises BadInput where the run's reward pays spoiled speech as much as its clean twin, and where
    it cannot measure the clips; with `guards.audit` "warn" both are only told.
    """
    if run.guards.audit == "off":
        return
    request = clips_of(run)
    if request is None:
        print(f"the reward is not audited: {no_clips(run)}; name some in guards.audit_clips")
        return
    try:
        report = _report(run, request, spec, store)
    except BadInput as error:
        _tell(run, f"the reward cannot be audited: {error} (guards.audit_clips)")
        return
    allowed = run.guards.audit_allows
    if names := missed(report, run.reward, allowed):
        print("\n".join(table(report, run.reward, allowed)), flush=True)
        _tell(
            run,
            f"this reward pays as much for spoiled speech as for clean speech: "
            f"{', '.join(paid(report, name) for name in names)}; a policy may learn it: add the "
            "component that measures it (docs/rewards.md), or accept it by name in "
            "guards.audit_allows",
        )


def _report(
    run: RunConfig, request: AuditRequest, spec: ServiceSpec, store: RunStore
) -> AuditReport:
    """From storage, where an audit of this specification with these clips has been."""
    asked = f"{version('ttsrl')} {request.model_dump_json()}"
    key = store.audit(spec.spec_hash, hashlib.sha256(asked.encode()).hexdigest()[:16])
    try:
        return AuditReport.model_validate(store.storage.read_json(key))
    except ValidationError:
        pass  # not there, or of another release
    print("auditing the reward", flush=True)
    report = asyncio.run(_ask(run, request, spec))
    store.storage.write_json(key, report.model_dump(mode="json"))
    return report


async def _ask(run: RunConfig, request: AuditRequest, spec: ServiceSpec) -> AuditReport:
    def update(done: int, total: int) -> None:
        print(f"auditing the reward: {done} of about {total} recordings", flush=True)

    async with RewardClient.of(run.reward, spec.spec_hash, run.name) as client:
        return await audit(client, request, PATIENCE_S, update)


def _tell(run: RunConfig, what: str) -> None:
    """Raises BadInput, or warns."""
    if run.guards.audit == "refuse":
        raise BadInput(f'{what}; guards.audit = "warn" trains all the same')
    print(f"warning: {what}", flush=True)
