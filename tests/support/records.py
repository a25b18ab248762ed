"""Whole records, of which a test says only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ttsrl.records.evaluation import EvaluationReport, EvaluationRow, Verdict
from ttsrl.records.step import TrainingStep


def step_of(step: int, **figures: Any) -> TrainingStep:
    """A step of four measured rollouts, with these figures."""
    usual: dict[str, Any] = {
        "rollouts": 4,
        "prompts_sha256": "0" * 16,
        "reward": 0.5,
        "reward_std": 0.1,
        "group_std": 0.1,
        "zero_advantage_share": 0.0,
        "tokens": 80,
        "length_tokens": 20.0,
        "duration_s": 1.6,
        "end_token_rate": 1.0,
        "gated_share": 0.0,
        "gated_reasons": {},
        "failed_share": 0.0,
        "failed_kinds": {},
        "distinct_share": 1.0,
        "seconds": 2.0,
        "seconds_by_stage": {"generate": 1.0, "wait_for_scores": 0.5, "update": 0.5},
        "ended_at_s": 1.0,
    }
    return TrainingStep(step=step, **usual | figures)


def row_of(index: int, cers: Mapping[str, float | None], **values: Any) -> EvaluationRow:
    """A greedy utterance with these CERs by judge; a WER is twice the CER."""
    usual: dict[str, Any] = {
        "text": f"text {index}",
        "language": "en",
        "id": None,
        "mode": "greedy",
        "seed": 0,
        "tokens": 10,
        "finished": True,
        "duration_s": 0.8,
        "wav": None,
        "judges": {
            name: Verdict(cer=cer, wer=None if cer is None else 2 * cer)
            for name, cer in cers.items()
        },
    }
    return EvaluationRow(index=index, **usual | values)


def report_of(cers: Mapping[str, Mapping[str, float | None]], **values: Any) -> EvaluationReport:
    """A report with these mean CERs by mode and judge."""
    usual: dict[str, Any] = {
        "identity": {"model": "m", "protocol": "p"},
        "model": "policy",
        "texts": 1,
        "seeds": [0],
        "sampling": {"temperature": 1.0, "max_speech_tokens": 37},
        "judges": [
            {"name": name, "type": "ctc", "model": name}
            for name in dict.fromkeys(name for by_judge in cers.values() for name in by_judge)
        ],
        "tokens_per_s": 10.0,
        "modes": {
            mode: {
                "utterances": 1,
                "end_token_rate": 1.0,
                "mean_duration_s": 0.8,
                "mean_tokens": 10.0,
                "judges": {
                    name: {
                        "mean_cer": cer,
                        "corpus_cer": cer,
                        "exact_share": 0.0,
                        "cut": 0,
                        "errors": 0,
                    }
                    for name, cer in by_judge.items()
                },
            }
            for mode, by_judge in cers.items()
        },
    }
    return EvaluationReport.model_validate(usual | values)
