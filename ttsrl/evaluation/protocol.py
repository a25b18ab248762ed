"""What an evaluation's numbers depend on, as digests: two with equal protocols compare."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ttsrl.codecs.registry import codec_digest
from ttsrl.config.schema import RunConfig
from ttsrl.data.asked_styles import asked_style
from ttsrl.evaluation.asked import told_of
from ttsrl.evaluation.quality import quality_digest
from ttsrl.evaluation.suites import Suite
from ttsrl.facts import InEvaluation, dump_where
from ttsrl.models.files import file_digest, folder_digest
from ttsrl.models.hub import local_folder, model_digest
from ttsrl.records.evaluation import EvaluationIdentity
from ttsrl.text.benchmark_wer import BENCHMARK_VERSION
from ttsrl.text.normalise import NORMALISER_VERSION


def identify(run: RunConfig, model: str, suite: Suite) -> EvaluationIdentity:
    """What an evaluation's numbers depend on; equal `protocol` makes two models comparable."""
    return EvaluationIdentity(
        model=folder_digest(local_folder(model)), protocol=protocol_of(run, suite)
    )


def protocol_of(run: RunConfig, suite: Suite) -> str:
    """Digest of all but the model: texts, codec, sampling, judges."""
    protocol = {
        "family": run.family,
        "codec": codec_digest(run.codec, run.voice),
        "sampling": suite.sampling.model_dump(),
        **dump_where(run, lambda setting: setting.fact(InEvaluation) is not None),
        "judges": [
            [judge.name, judge.type, judge.dtype, folder_digest(local_folder(judge.model))]
            + ([file_digest(Path(judge.language_model))] if judge.language_model else [])
            for judge in suite.judges
        ],
        "wer": [suite.wer, NORMALISER_VERSION, BENCHMARK_VERSION],
        "quality": [[one.type, quality_digest(one)] for one in run.eval.quality],
        **_style_protocol(run, suite),
        "speaker_model": suite.speaker_model and model_digest(suite.speaker_model),
        "texts": [
            [text.index, text.text, text.language, text.id]
            + ([text.voice.text, text.voice.sha256] if text.voice else [])
            + ([text.reference.text, *text.reference.tokens] if text.reference else [])
            + told_of(run, text)
            for text in suite.texts
        ],
    }
    return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()


def _style_protocol(run: RunConfig, suite: Suite) -> dict[str, Any]:
    """The judges of styles and what was asked of whom; empty where there are none."""
    if not run.eval.styles:
        return {}
    judges = [
        [one.name, one.type, None if one.type == "measure" else model_digest(one.model)]
        for one in run.eval.styles
    ]
    return {"styles": [judges, [[asked_style(run, text), text.label] for text in suite.texts]]}
