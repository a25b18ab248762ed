"""`ttsrl audit`: the audit of a run's reward in this process, and its table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.data.audit_clips import clips_of, no_clips, read_clips
from ttsrl.errors import BadInput, Failure
from ttsrl.reward.audited import missed, table
from ttsrl.runtime.progress import Progress
from ttsrl.serving.audit import Update, audit, recorded
from ttsrl.serving.pipeline import Pipeline
from ttsrl.serving.worker import device_of
from ttsrl.wire import AuditReport, AuditRequest, Outcome, Utterance


def show(run: RunConfig, clips: Path | None) -> None:
    """Print the table.

    Raises BadInput for clips that are not clean speech, Failure for a way that is paid as much and
    for what cannot be measured.
    """
    request = clips_of(run) if clips is None else read_clips(clips, run.data.language)
    if request is None:
        raise BadInput(f"{no_clips(run)}; give some with --clips")
    with Progress() as progress:
        loading = progress.stage("load models")
        pipeline = Pipeline(run, device_of(0, 1))
        loading.finish()
        scoring = progress.stage("audit")
        report = audit_here(pipeline, request, scoring.update)
        scoring.finish()
    allowed = run.guards.audit_allows
    print("\n".join(table(report, run.reward, allowed)))
    if names := missed(report, run.reward, allowed):
        raise Failure(
            f"this reward pays as much for {', '.join(names)} as for clean speech: a policy may "
            "learn it; add the component that measures it (docs/rewards.md)"
        )


def audit_here(
    pipeline: Pipeline, request: AuditRequest, update: Update = lambda done, total: None
) -> AuditReport:
    """The audit of a pipeline. Raises BadInput, Failure."""

    async def score(utterances: Sequence[Utterance]) -> list[Outcome]:
        return await asyncio.to_thread(pipeline.score, utterances)

    return asyncio.run(audit(recorded(request), score, pipeline.spec_hash, update))
